//! The border to the proxy: proxy-wasm ABI 0.2.1
//! (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>), and no more of it than is
//! used. A proxy calls what a module exports, and each call costs every request, so no callback is
//! exported that would do nothing.
//!
//! All of the crate's `unsafe` stands here. What crosses is bytes: a header's value need not be text.

#![expect(unsafe_code, reason = "a border of addresses and sizes")]

use std::mem::MaybeUninit;
use std::ptr;

use crate::plugin;

/// What a proxy does next with what it called about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    PluginConfiguration = 7,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Map {
    RequestHeaders = 0,
    ResponseHeaders = 2,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
}

/// A call that the proxy did not carry out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        limit: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    safe fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    safe fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    safe fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    #[cfg(feature = "fail-in-worker")]
    fn proxy_get_shared_data(
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    #[cfg(feature = "fail-in-worker")]
    fn proxy_set_shared_data(
        name: *const u8,
        name_size: usize,
        data: *const u8,
        size: usize,
        version: u32,
    ) -> u32;
}

unsafe extern "C" {
    /// Runs the constructors of what is linked in; made by the linker.
    safe fn __wasm_call_ctors();
}

// What the proxy calls.

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    __wasm_call_ctors();
    plugin::on_load();
}

/// Memory for bytes that the proxy hands over; [`taken`] takes them.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    plugin::on_context_create(context, root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _size: usize) -> bool {
    plugin::on_configure(root)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    plugin::on_tick(root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _count: usize, ends: bool) -> Action {
    plugin::on_request_headers(context, ends)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, ends: bool) -> Action {
    plugin::on_request_body(context, size, ends)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _count: usize) -> Action {
    plugin::on_request_trailers(context)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _count: usize, _ends: bool) -> Action {
    plugin::on_response_headers(context);
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    plugin::on_delete(context);
}

// What the proxy is asked.

pub(crate) fn define_metric(kind: Metric, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the name is read during the call, the id written.
    done(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

pub(crate) fn increment_metric(id: u32, offset: u32) -> Result<(), Refused> {
    done(proxy_increment_metric(id, offset.into()))
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Refused> {
    done(proxy_record_metric(id, value))
}

/// The first `limit` bytes of a buffer, or as much as there is.
pub(crate) fn buffer(buffer: Buffer, limit: usize) -> Result<Box<[u8]>, Refused> {
    // SAFETY: both addresses are good during the call.
    taken(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, limit, data, size) })
}

/// The time since 1970 in nanoseconds.
pub(crate) fn time() -> Result<u64, Refused> {
    let mut time = 0;
    // SAFETY: the time is written during the call.
    done(unsafe { proxy_get_current_time_nanoseconds(&mut time) })?;
    Ok(time)
}

/// The lowest level that the proxy logs.
pub(crate) fn log_level() -> Result<u32, Refused> {
    let mut level = 0;
    // SAFETY: the level is written during the call.
    done(unsafe { proxy_get_log_level(&mut level) })?;
    Ok(level)
}

pub(crate) fn log(level: Level, text: &str) {
    // SAFETY: the text is read during the call.
    unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// All names and values of a header map, as [`pairs`](crate::pairs) reads them.
pub(crate) fn header_map(map: Map) -> Result<Box<[u8]>, Refused> {
    // SAFETY: both addresses are good during the call.
    taken(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Writes a header map anew, out of what [`pairs`](crate::pairs) wrote.
pub(crate) fn set_header_map(map: Map, pairs: &[u8]) -> Result<(), Refused> {
    // SAFETY: the bytes are read during the call.
    done(unsafe { proxy_set_header_map_pairs(map as u32, pairs.as_ptr(), pairs.len()) })
}

/// Sets a header, in place of every one of that name.
pub(crate) fn replace_header(map: Map, name: &str, value: &[u8]) -> Result<(), Refused> {
    let (map, size) = (map as u32, value.len());
    // SAFETY: name and value are read during the call.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), size)
    })
}

/// Removes every header of a name.
pub(crate) fn remove_header(map: Map, name: &str) -> Result<(), Refused> {
    // SAFETY: the name is read during the call.
    done(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property by its path, whose parts are joined with zero bytes.
pub(crate) fn property(path: &str) -> Result<Box<[u8]>, Refused> {
    // SAFETY: the path is read during the call; both addresses are good that long.
    taken(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub(crate) fn set_property(path: &str, value: &[u8]) -> Result<(), Refused> {
    let size = value.len();
    // SAFETY: path and value are read during the call.
    done(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), size) })
}

/// Answers the request, with headers that [`pairs`](crate::pairs) wrote.
pub(crate) fn send_local_response(status: u16, headers: &[u8], body: &[u8]) -> Result<(), Refused> {
    const NO_GRPC_STATUS: i32 = -1;
    // SAFETY: headers and body are read during the call.
    done(unsafe {
        proxy_send_local_response(
            status.into(),
            ptr::null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Refused> {
    done(proxy_set_tick_period_milliseconds(milliseconds))
}

/// A value that all VMs of a plugin share.
#[cfg(feature = "fail-in-worker")]
pub(crate) fn shared_data(name: &str) -> Result<Box<[u8]>, Refused> {
    let mut version = 0;
    // SAFETY: the name is read during the call; all addresses are good that long.
    taken(|data, size| unsafe {
        proxy_get_shared_data(name.as_ptr(), name.len(), data, size, &mut version)
    })
}

#[cfg(feature = "fail-in-worker")]
pub(crate) fn set_shared_data(name: &str, value: &[u8]) -> Result<(), Refused> {
    let size = value.len();
    // SAFETY: name and value are read during the call.
    done(unsafe { proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), size, 0) })
}

fn done(status: u32) -> Result<(), Refused> {
    if status == 0 { Ok(()) } else { Err(Refused) }
}

/// The bytes that a call hands over, whose address and size it writes.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Box<[u8]>, Refused> {
    let (mut data, mut size) = (ptr::null_mut::<MaybeUninit<u8>>(), 0);
    done(call((&raw mut data).cast(), &mut size))?;
    if data.is_null() {
        return Ok(Box::default());
    }
    // SAFETY: the proxy got this memory for this size from `proxy_on_memory_allocate`, has written
    // all of it, and has let go of it.
    Ok(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)).assume_init() })
}
