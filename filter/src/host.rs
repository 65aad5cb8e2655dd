//! Every call to the proxy. Headers cross this border as bytes: the SDK's string calls panic on a
//! value that is not UTF-8, and a panic takes the worker's filter down (see `clippy.toml`).

use std::panic;
use std::time::{Duration, UNIX_EPOCH};

use latchkey::Claims;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

/// How often metrics are handed to the proxy.
const TICK: Duration = Duration::from_secs(1);

/// Sets up logging, and a panic hook that tells the place only: a panic's message may hold what a
/// client sent.
pub(crate) fn prepare() {
    proxy_wasm::set_log_level(LogLevel::Info);
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        let message = format!("panic at {}", place.as_deref().unwrap_or("an unknown place"));
        let _ = hostcalls::log(LogLevel::Critical, &message);
    }));
}

/// Logs what the proxy is set to log, so that a line that it would drop is not written.
pub(crate) fn follow_log_level() {
    if let Ok(level) = hostcalls::get_log_level() {
        proxy_wasm::set_log_level(level);
    }
}

/// The plugin's configuration: the text of a `StringValue`, or a `Struct` as JSON.
pub(crate) fn configuration() -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The time in Unix seconds.
pub(crate) fn now() -> Option<i64> {
    let since = hostcalls::get_current_time().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().filter(|seconds| *seconds > 0)
}

pub(crate) fn start_ticking() {
    if hostcalls::set_tick_period(TICK).is_err() {
        log::warn!("no tick, so no metrics");
    }
}

/// The request's headers, in one call.
pub(crate) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// The first `size` bytes of the request's body, or as much as there is.
pub(crate) fn request_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default()
}

/// The claims of the token that Envoy's `jwt_authn` filter has verified and left under `payload`.
pub(crate) fn claims(payload: &str) -> Option<Claims> {
    const FILTER: &str = "envoy.filters.http.jwt_authn";
    let path = vec!["metadata", "filter_metadata", FILTER, payload];
    let pairs = hostcalls::get_property(path).ok().flatten()?;
    Some(pairs_of(&pairs).unwrap_or_default())
}

/// Reads names and values as a proxy writes them: how many there are, the lengths of each, then each
/// with a zero byte behind it (proxy-wasm ABI 0.2.1, "serialized map").
fn pairs_of(bytes: &[u8]) -> Option<Claims> {
    let (count, mut lengths) = number(bytes)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    let mut text = |length: usize| {
        let text = texts.get(..length)?;
        texts = texts.get(length.checked_add(1)?..)?;
        Some(text.to_vec())
    };
    let mut pairs = Claims::new();
    for _ in 0..count {
        let (name, rest) = number(lengths)?;
        let (value, rest) = number(rest)?;
        lengths = rest;
        pairs.push((String::from_utf8(text(name)?).ok()?, text(value)?));
    }
    Some(pairs)
}

/// The number that bytes begin with, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*first)).ok()?, rest))
}

/// Changes the request that goes on: one change by itself, several by writing the headers anew,
/// since calls are what costs.
pub(crate) fn change_request(
    headers: &[(String, Vec<u8>)],
    set: &[(String, Vec<u8>)],
    remove: &[String],
    path: Option<&[u8]>,
) -> Result<(), Status> {
    const MAP: MapType = MapType::HttpRequestHeaders;
    match (set, remove, path) {
        ([], [], None) => Ok(()),
        ([], [name], None) => hostcalls::remove_map_value(MAP, name),
        ([(name, value)], [], None) => hostcalls::set_map_value_bytes(MAP, name, Some(value)),
        ([], [], Some(path)) => hostcalls::set_map_value_bytes(MAP, ":path", Some(path)),
        _ => {
            let is_gone = |name: &str| {
                remove.iter().any(|own| own == name) || set.iter().any(|(own, _)| own == name)
            };
            let kept = headers.iter().filter(|(name, _)| !is_gone(name)).map(|(name, value)| {
                let value = if name == ":path" { path.unwrap_or(value) } else { value };
                (name.as_str(), value)
            });
            let set = set.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            hostcalls::set_map_bytes(MAP, kept.chain(set).collect())
        }
    }
}

/// Answers the request. The caller must pause it, and not answer again.
pub(crate) fn reply(status: u16, headers: &[(String, String)], body: &[u8]) {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let _ = hostcalls::send_http_response(status.into(), headers, Some(body));
}

pub(crate) fn set_response_header(name: &str, value: &str) {
    const MAP: MapType = MapType::HttpResponseHeaders;
    let _ = hostcalls::set_map_value_bytes(MAP, name, Some(value.as_bytes()));
}

/// Writes filter state `wasm.latchkey`, where the guard, access logs and others read it.
pub(crate) fn publish(decision: &str) {
    let _ = hostcalls::set_property(vec!["latchkey"], Some(decision.as_bytes()));
}

/// Defines a metric; `None` where the proxy has none to give.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

pub(crate) fn add_to_counter(metric: u32, amount: u32) {
    let _ = hostcalls::increment_metric(metric, amount.into());
}

pub(crate) fn set_gauge(metric: u32, value: u64) {
    let _ = hostcalls::record_metric(metric, value);
}

/// In a test build, whether this VM is neither the canary's nor the main thread's, told by how many
/// of the plugin's VMs were configured before; in a shipped module, never.
pub(crate) fn fails_in_worker() -> bool {
    #[cfg(feature = "fail-in-worker")]
    {
        let name = "latchkey.configured";
        let earlier = hostcalls::get_shared_data(name).ok().and_then(|(bytes, _)| bytes);
        let count = earlier.and_then(|bytes| bytes.first().copied()).unwrap_or_default();
        let _ = hostcalls::set_shared_data(name, Some(&[count.saturating_add(1)]), None);
        count >= 2
    }
    #[cfg(not(feature = "fail-in-worker"))]
    false
}
