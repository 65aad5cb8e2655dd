//! What the proxy is asked to do, in the filter's words: all of the filter's host calls.
//!
//! What crosses is bytes: a header's value need not be text, and the SDK panics on one that is not, if
//! it is asked for as such (`clippy.toml` forbids it). It also panics where the proxy answers a call
//! with a status that the call has no room for. No proxy does so while it calls about a request that it
//! has; one that did would get a trap, so nobody would be let in.

use std::cell::RefCell;
use std::panic;
use std::time::{Duration, UNIX_EPOCH};

use hashbrown::HashMap;
use latchkey::{Changes, Claim, Claims, Level, Line, Reply};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};
use rustc_hash::FxBuildHasher;

use crate::pairs;

/// How often metrics are handed to the proxy.
const TICK: Duration = Duration::from_secs(1);

/// Names and values of headers.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// Sends what the crate `log` takes to the proxy.
///
/// The SDK brings a panic hook, too; this one tells the place only, since a panic's message may hold
/// what a client sent.
pub(crate) fn start_logging() {
    proxy_wasm::set_log_level(LogLevel::Info);
    panic::set_hook(Box::new(|panic| {
        let line = match panic.location() {
            Some(place) => format!("panic at {}:{}", place.file(), place.line()),
            None => "panic at an unknown place".to_owned(),
        };
        let _ = hostcalls::log(LogLevel::Critical, &line);
    }));
}

/// Takes over the level from which on the proxy logs, so that a line it would drop is not written.
pub(crate) fn log_as_the_proxy_does() {
    if let Ok(level) = hostcalls::get_log_level() {
        proxy_wasm::set_log_level(level);
    }
}

/// Writes a line to the proxy's log.
pub(crate) fn log(line: Line<'_>) {
    let level = match line.level() {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log!(level, "{line}");
}

/// The plugin's configuration: the text of a `StringValue`, or a `Struct` in wire form.
pub(crate) fn configuration() -> Vec<u8> {
    let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
    bytes.ok().flatten().unwrap_or_default()
}

/// The plugin's name and root id. Neither need be there, or be text.
pub(crate) fn plugin() -> [Vec<u8>; 2] {
    ["plugin_name", "plugin_root_id"].map(|name| property(vec![name]).unwrap_or_default())
}

/// The address and the filter chain by which the present stream came in; `None` without an address.
pub(crate) fn place() -> Option<Vec<u8>> {
    let address = property(vec!["destination", "address"]).filter(|address| !address.is_empty())?;
    let chain = property(vec!["xds", "filter_chain_name"]).unwrap_or_default();
    Some([address, chain].join(&0))
}

fn property(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
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
pub(crate) fn request_headers() -> Result<Headers, Status> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders)
}

/// The first `size` bytes of the request's body, or as much as there is; none if there is none.
pub(crate) fn request_body(size: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten()
}

/// The client's address and port, as Envoy has them: what `X-Forwarded-For` says is taken for it as far as Envoy is told
/// to trust that.
pub(crate) fn address() -> Option<Vec<u8>> {
    property(vec!["source", "address"])
}

/// The claims of the token that Envoy's `jwt_authn` filter has verified and left under `payload`.
pub(crate) fn claims(payload: &str) -> Option<Claims> {
    let path = vec!["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", payload];
    let claims = property(path)?;
    let owned = |(name, value): (&str, &[u8])| (name.to_owned(), claim(value));
    Some(pairs::read(&claims).unwrap_or_default().into_iter().map(owned).collect())
}

/// A claim's value. The proxy does not tell of what kind it is, but only a text is without control
/// characters: a list is pairs whose values are empty, with their number and lengths before them, and
/// a number is a double, eight bytes, of which one is zero in every whole number below 2^45.
fn claim(value: &[u8]) -> Claim {
    let text = str::from_utf8(value).ok().filter(|text| !text.contains(char::is_control));
    if let Some(text) = text {
        return Claim::Text(text.to_owned());
    }
    if let Ok(bytes) = value.try_into() {
        return Claim::Number(f64::from_le_bytes(bytes));
    }
    match pairs::read(value) {
        Some(items) if items.iter().all(|(_, value)| value.is_empty()) => {
            Claim::List(items.into_iter().map(|(item, _)| item.to_owned()).collect())
        }
        _ => Claim::Other,
    }
}

/// Changes a request whose headers are here: one by one where no more than `calls` calls do it, else by writing
/// the headers anew, which are `headers`, or have to be read for it.
pub(crate) fn change_request(
    headers: Option<&[(&str, &[u8])]>,
    changes: &Changes<'_>,
    calls: usize,
) -> Result<(), Status> {
    const MAP: MapType = MapType::HttpRequestHeaders;
    let Changes { remove, set, path } = changes;
    let path = path.as_deref();
    // A name that is set twice has both values, as only a whole map can have them.
    let repeats = |at: usize, name: &str| set.iter().take(at).any(|(before, _)| before == name);
    let needed = remove.len().saturating_add(set.len()).saturating_add(path.map_or(0, |_| 1));
    if needed <= calls && !set.iter().enumerate().any(|(at, (name, _))| repeats(at, name)) {
        remove.iter().try_for_each(|name| hostcalls::remove_map_value(MAP, name))?;
        for (name, value) in set {
            hostcalls::set_map_value_bytes(MAP, name, Some(value))?;
        }
        return path
            .map_or(Ok(()), |path| hostcalls::set_map_value_bytes(MAP, ":path", Some(path)));
    }
    match headers {
        Some(headers) => write_anew(headers, changes),
        None => write_anew(&borrowed(&request_headers()?), changes),
    }
}

/// Apart, so that a request whose headers are changed one by one has nothing of it.
#[inline(never)]
fn write_anew(headers: &[(&str, &[u8])], changes: &Changes<'_>) -> Result<(), Status> {
    let Changes { remove, set, path } = changes;
    let path = path.as_deref();
    let mut kept = Vec::with_capacity(headers.len().saturating_add(set.len()));
    for (name, value) in headers {
        if !remove.iter().any(|gone| gone == name) && !set.iter().any(|(new, _)| new == name) {
            let path = path.filter(|_| *name == ":path");
            kept.push((*name, path.unwrap_or(value)));
        }
    }
    kept.extend(set.iter().map(|(name, value)| (&**name, &**value)));
    hostcalls::set_map_bytes(MapType::HttpRequestHeaders, kept)
}

/// Headers as the core takes them.
pub(crate) fn borrowed(headers: &Headers) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// The trailers of the request.
pub(crate) fn request_trailers() -> Result<Headers, Status> {
    hostcalls::get_map_bytes(MapType::HttpRequestTrailers)
}

/// Takes trailers of these names out of the request.
pub(crate) fn remove_trailers(names: &[&str]) -> Result<(), Status> {
    const MAP: MapType = MapType::HttpRequestTrailers;
    names.iter().try_for_each(|name| hostcalls::remove_map_value(MAP, name))
}

/// Answers the request. The caller must pause it, and not answer again. Envoy makes the gRPC status of the
/// status itself.
pub(crate) fn reply(reply: &Reply<'_>) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let body = Some(reply.body.as_bytes());
    let _ = hostcalls::send_http_response(reply.status.into(), headers, body);
}

pub(crate) fn set_response_header(name: &str, value: &str) {
    let value = Some(value.as_bytes());
    let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, value);
}

/// Writes filter state `wasm.NAME`, where the guard, access logs and others read it.
pub(crate) fn publish((name, value): (&str, &str)) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

thread_local! {
    /// The metrics of the VM, by name. Envoy gives out a new id for each definition and keeps it as long
    /// as the VM, so each metric is defined once, not with each policy.
    static METRICS: RefCell<HashMap<Box<str>, u32, FxBuildHasher>> =
        const { RefCell::new(HashMap::with_hasher(FxBuildHasher)) };
}

/// A metric of that name; `None` where the proxy has none to give.
pub(crate) fn metric(kind: MetricType, name: &str) -> Option<u32> {
    let known = METRICS.with_borrow(|metrics| metrics.get(name).copied());
    known.or_else(|| {
        let id = hostcalls::define_metric(kind, name).ok()?;
        METRICS.with_borrow_mut(|metrics| metrics.insert(name.into(), id));
        Some(id)
    })
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
        let count =
            hostcalls::get_shared_data(name).ok().and_then(|(bytes, _)| bytes?.first().copied());
        let count = count.unwrap_or_default();
        let _ = hostcalls::set_shared_data(name, Some(&[count.saturating_add(1)]), None);
        count >= 2
    }
    #[cfg(not(feature = "fail-in-worker"))]
    false
}
