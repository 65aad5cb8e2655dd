//! What the proxy is asked to do, in the filter's words; `abi` carries it over.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::panic;

use hashbrown::HashMap;
use latchkey::{Changes, Claim, Claims};
use rustc_hash::FxBuildHasher;

use crate::abi::{self, Buffer, Level, Map, Metric, Refused};
use crate::pairs;

/// How often metrics are handed to the proxy, in milliseconds.
const TICK: u32 = 1_000;

/// Sets a panic hook that tells the place only: a panic's message may hold what a client sent.
pub(crate) fn guard_the_log() {
    panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => {
            log(Level::Critical, format_args!("panic at {}:{}", place.file(), place.line()))
        }
        None => log(Level::Critical, format_args!("panic at an unknown place")),
    }));
}

/// Whether the proxy logs such lines, so that one it would drop is not written.
pub(crate) fn logs(level: Level) -> bool {
    abi::log_level().is_ok_and(|lowest| level as u32 >= lowest)
}

pub(crate) fn log(level: Level, line: fmt::Arguments<'_>) {
    abi::log(level, &line.to_string());
}

/// The plugin's configuration: the text of a `StringValue`, or a `Struct` in wire form.
pub(crate) fn configuration() -> Box<[u8]> {
    abi::buffer(Buffer::PluginConfiguration, usize::MAX).unwrap_or_default()
}

/// The time in Unix seconds.
pub(crate) fn now() -> Option<i64> {
    let seconds = abi::time().ok()? / 1_000_000_000;
    i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

pub(crate) fn start_ticking() {
    if abi::set_tick_period(TICK).is_err() {
        log(Level::Warn, format_args!("no tick, so no metrics"));
    }
}

/// The request's headers in one call, for [`pairs::read`].
pub(crate) fn request_headers() -> Result<Box<[u8]>, Refused> {
    abi::header_map(Map::RequestHeaders)
}

/// The first `size` bytes of the request's body, or as much as there is.
pub(crate) fn request_body(size: usize) -> Result<Box<[u8]>, Refused> {
    abi::buffer(Buffer::RequestBody, size)
}

/// The claims of the token that Envoy's `jwt_authn` filter has verified and left under `payload`.
pub(crate) fn claims(payload: &str) -> Option<Claims> {
    let path = format!("metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0{payload}");
    let claims = abi::property(&path).ok()?;
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

/// Changes a request whose headers are still here: one by one where no more than `calls` calls do it,
/// else by writing the headers anew.
pub(crate) fn change_request(
    headers: &[(&str, &[u8])],
    changes: &Changes<'_>,
    calls: usize,
) -> Result<(), Refused> {
    const MAP: Map = Map::RequestHeaders;
    let Changes { remove, set, path } = changes;
    let path = path.as_deref();
    if set.len() + remove.len() + usize::from(path.is_some()) <= calls {
        remove.iter().try_for_each(|name| abi::remove_header(MAP, name))?;
        set.iter().try_for_each(|(name, value)| abi::replace_header(MAP, name, value))?;
        return path.map_or(Ok(()), |path| abi::replace_header(MAP, ":path", path));
    }
    let mut kept = Vec::with_capacity(headers.len() + set.len());
    for (name, value) in headers {
        if !remove.contains(name) && !set.iter().any(|(own, _)| own == name) {
            let path = path.filter(|_| *name == ":path");
            kept.push((*name, path.unwrap_or(value)));
        }
    }
    kept.extend(set.iter().map(|(name, value)| (*name, &**value)));
    abi::set_header_map(MAP, &pairs::write(&kept))
}

/// Answers the request. The caller must pause it, and not answer again.
pub(crate) fn reply(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), Refused> {
    abi::send_local_response(status, &pairs::write(headers), body)
}

pub(crate) fn set_response_header(name: &str, value: &str) {
    let _ = abi::replace_header(Map::ResponseHeaders, name, value.as_bytes());
}

/// Writes filter state `wasm.NAME`, where the guard, access logs and others read it.
pub(crate) fn publish(name: &str, value: impl fmt::Display) {
    // Room for a reason and a key's id.
    let mut text = String::with_capacity(96);
    let _ = write!(text, "{value}");
    let _ = abi::set_property(name, text.as_bytes());
}

thread_local! {
    /// The metrics of the VM, by name. Envoy gives out a new id for each definition and keeps it as long
    /// as the VM, so each metric is defined once, not with each policy.
    static METRICS: RefCell<HashMap<Box<str>, u32, FxBuildHasher>> =
        const { RefCell::new(HashMap::with_hasher(FxBuildHasher)) };
}

/// A metric of that name; `None` where the proxy has none to give.
pub(crate) fn metric(kind: Metric, name: &str) -> Option<u32> {
    let known = METRICS.with_borrow(|metrics| metrics.get(name).copied());
    known.or_else(|| {
        let id = abi::define_metric(kind, name).ok()?;
        METRICS.with_borrow_mut(|metrics| metrics.insert(name.into(), id));
        Some(id)
    })
}

pub(crate) fn add_to_counter(metric: u32, amount: u32) {
    let _ = abi::increment_metric(metric, amount);
}

pub(crate) fn set_gauge(metric: u32, value: u64) {
    let _ = abi::record_metric(metric, value);
}

/// In a test build, whether this VM is neither the canary's nor the main thread's, told by how many
/// of the plugin's VMs were configured before; in a shipped module, never.
pub(crate) fn fails_in_worker() -> bool {
    #[cfg(feature = "fail-in-worker")]
    {
        let name = "latchkey.configured";
        let count = abi::shared_data(name).ok().and_then(|bytes| bytes.first().copied());
        let count = count.unwrap_or_default();
        let _ = abi::set_shared_data(name, &[count.saturating_add(1)]);
        count >= 2
    }
    #[cfg(not(feature = "fail-in-worker"))]
    false
}
