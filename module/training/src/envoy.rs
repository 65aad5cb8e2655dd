//! As much of Envoy as the module calls and is called by: `module/src/border.rs` seen from the other side.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;

/// What an Envoy says with `--version`, as the module reads it.
pub(crate) const VERSION: &str = "envoy  version: 0/1.40.0/Clean/RELEASE/BoringSSL";

/// Envoy's log levels: that from which on it logs by default, and the last of which nothing need be told here.
const INFO: u32 = 2;
const WARN: u32 = 3;

/// A request as Envoy hands it to a filter.
pub(crate) struct Request {
    pub(crate) headers: Headers,
    /// Its body as it comes.
    pub(crate) pieces: Vec<String>,
    /// The client's, with a port; empty if it is not known.
    pub(crate) address: Vec<u8>,
}

type Headers = Vec<(String, Vec<u8>)>;

impl Request {
    /// One without a body.
    pub(crate) fn new(method: &str, path: &str) -> Request {
        let headers = vec![
            header(":authority", "api.example.com"),
            header(":path", path),
            header(":method", method),
            header(":scheme", "http"),
            header("x-forwarded-proto", "http"),
            header("x-request-id", "f5b9d7a2-6a5f-4f0e-9d6f-0d4d9b1d7a11"),
        ];
        Request { headers, pieces: Vec::new(), address: Vec::new() }
    }
}

/// A header as a request holds it.
pub(crate) fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.into())
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    start: *const u8,
    length: usize,
}

#[repr(C)]
struct Pair {
    name: Bytes,
    value: Bytes,
}

impl Bytes {
    fn of(bytes: &[u8]) -> Bytes {
        Bytes { start: bytes.as_ptr(), length: bytes.len() }
    }

    /// # Safety
    /// The module owns the bytes, and gives them for as long as a call takes.
    unsafe fn copied(self) -> Option<Vec<u8>> {
        // SAFETY: as the caller promises; null stands for no value.
        (!self.start.is_null())
            .then(|| unsafe { slice::from_raw_parts(self.start, self.length) }.to_vec())
    }
}

/// A stream's side of Envoy, which the module has a pointer to.
#[derive(Default)]
struct Stream {
    request: Headers,
    response: Headers,
    body: Vec<u8>,
    address: Vec<u8>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The status with which the module answered.
    replied: Option<u32>,
}

/// The module, loaded and started.
pub(crate) struct Envoy {
    module: NonNull<c_void>,
}

/// A configuration of the module's.
pub(crate) struct Filter<'e> {
    envoy: &'e Envoy,
    plugin: NonNull<c_void>,
}

type OnHeaders = unsafe extern "C" fn(*mut Stream, *const c_void, bool) -> u32;
type OnEnd = unsafe extern "C" fn(*mut Stream, *const c_void);

impl Envoy {
    pub(crate) fn load(file: &str) -> Envoy {
        let path = CString::new(file).expect("a path");
        // SAFETY: the module is ours, and its exports are what `border.rs` says.
        unsafe {
            let module = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            let Some(module) = NonNull::new(module) else {
                panic!("{file} does not load: {:?}", CStr::from_ptr(libc::dlerror()));
            };
            let envoy = Envoy { module };
            let start: unsafe extern "C" fn() -> *const c_char = envoy.export(c"program_init");
            assert!(!start().is_null(), "{file} does not start");
            envoy
        }
    }

    /// A filter with that policy, which must be a good one.
    pub(crate) fn configure(&self, policy: &str) -> Filter<'_> {
        type New = unsafe extern "C" fn(*mut c_void, Bytes, Bytes) -> *const c_void;
        // SAFETY: the module copies what it keeps, and nothing here looks at a configuration's handle.
        let plugin = unsafe {
            let new: New = self.export(c"http_filter_config_new");
            new(ptr::null_mut(), Bytes::of(b"latchkey"), Bytes::of(policy.as_bytes()))
        };
        let plugin = NonNull::new(plugin.cast_mut()).expect("a good policy");
        Filter { envoy: self, plugin }
    }

    /// # Safety
    /// `T` is the type of that function.
    unsafe fn export<T: Copy>(&self, event: &CStr) -> T {
        let name = [b"envoy_dynamic_module_on_", event.to_bytes_with_nul()].concat();
        // SAFETY: the name ends with a zero. A pointer to a function is a pointer, and of type `T`, as the caller promises.
        unsafe {
            let found = libc::dlsym(self.module.as_ptr(), name.as_ptr().cast());
            assert!(!found.is_null(), "the module does not export {event:?}");
            std::mem::transmute_copy(&found)
        }
    }
}

impl Filter<'_> {
    /// The status with which the module answers a request, or `None` where that goes on and gets its response.
    pub(crate) fn ask(&self, request: &Request) -> Option<u32> {
        const CONTINUE: u32 = 0;
        type New = unsafe extern "C" fn(*const c_void, *mut Stream) -> *const c_void;
        let Request { headers, pieces, address } = request;
        let mut stream = Stream {
            request: headers.clone(),
            response: vec![(":status".to_owned(), b"200".to_vec())],
            address: address.clone(),
            ..Stream::default()
        };
        let stream: *mut Stream = &raw mut stream;
        // SAFETY: the stream lives until `destroy`, and only one side uses it at a time.
        unsafe {
            let new: New = self.envoy.export(c"http_filter_new");
            let request_headers: OnHeaders = self.envoy.export(c"http_filter_request_headers");
            let request_body: OnHeaders = self.envoy.export(c"http_filter_request_body");
            let response_headers: OnHeaders = self.envoy.export(c"http_filter_response_headers");
            let response_body: OnHeaders = self.envoy.export(c"http_filter_response_body");
            let complete: OnEnd = self.envoy.export(c"http_filter_stream_complete");
            let destroy: unsafe extern "C" fn(*const c_void) =
                self.envoy.export(c"http_filter_destroy");

            let entry = new(self.plugin.as_ptr(), stream);
            let mut flow = request_headers(stream, entry, pieces.is_empty());
            for (index, piece) in pieces.iter().enumerate() {
                if (*stream).replied.is_some() {
                    break;
                }
                (*stream).body.extend_from_slice(piece.as_bytes());
                flow = request_body(stream, entry, index + 1 == pieces.len());
            }
            let replied = (*stream).replied;
            if replied.is_none() {
                assert_eq!(flow, CONTINUE, "the module waits for more than there is");
                response_headers(stream, entry, false);
                response_body(stream, entry, true);
            }
            complete(stream, entry);
            destroy(entry);
            replied
        }
    }
}

impl Drop for Filter<'_> {
    /// The module waits for its thread, so that all of it is counted.
    fn drop(&mut self) {
        // SAFETY: the plugin is what `config_new` gave, and nobody uses it any more.
        unsafe {
            let destroy: unsafe extern "C" fn(*const c_void) =
                self.envoy.export(c"http_filter_config_destroy");
            destroy(self.plugin.as_ptr());
        }
    }
}

/// A map of a stream's: request headers, request trailers, response headers.
///
/// # Safety
/// The stream lives.
unsafe fn map<'s>(stream: *mut Stream, map: u32) -> &'s mut Headers {
    // SAFETY: as the caller promises.
    let stream = unsafe { &mut *stream };
    match map {
        0 => &mut stream.request,
        2 => &mut stream.response,
        other => panic!("no stream here has a map {other}"),
    }
}

/// What the module calls. Each function is as `border.rs` declares it.
macro_rules! callbacks {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block)+) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            // SAFETY: the module hands back the stream that it was given, and bytes that live as long as the call.
            #[allow(unused_unsafe, reason = "some need none")]
            unsafe { $body }
        }
    )+};
}

callbacks! {
    envoy_dynamic_module_callback_log(level: u32, line: Bytes) {
        if level > WARN {
            eprintln!("{}", String::from_utf8_lossy(&line.copied().unwrap_or_default()));
        }
    }
    envoy_dynamic_module_callback_log_enabled(level: u32) -> bool { level >= INFO }

    envoy_dynamic_module_callback_http_get_headers_size(stream: *mut Stream, which: u32) -> usize {
        map(stream, which).len()
    }
    envoy_dynamic_module_callback_http_get_headers(stream: *mut Stream, which: u32, into: *mut Pair) -> bool {
        for (index, (name, value)) in map(stream, which).iter().enumerate() {
            into.add(index).write(Pair { name: Bytes::of(name.as_bytes()), value: Bytes::of(value) });
        }
        true
    }
    envoy_dynamic_module_callback_http_set_header(stream: *mut Stream, which: u32, name: Bytes, value: Bytes) -> bool {
        let own_name = name.copied().unwrap_or_default();
        map(stream, which).retain(|(own, _)| own.as_bytes() != own_name);
        value.start.is_null() || envoy_dynamic_module_callback_http_add_header(stream, which, name, value)
    }
    envoy_dynamic_module_callback_http_add_header(stream: *mut Stream, which: u32, name: Bytes, value: Bytes) -> bool {
        let name = String::from_utf8(name.copied().unwrap_or_default()).expect("a name is a text");
        map(stream, which).push((name, value.copied().unwrap_or_default()));
        true
    }
    envoy_dynamic_module_callback_http_get_body_chunks_size(stream: *mut Stream, body: u32) -> usize {
        const BUFFERED: u32 = 1;
        usize::from(body == BUFFERED && !(*stream).body.is_empty())
    }
    envoy_dynamic_module_callback_http_get_body_chunks(stream: *mut Stream, _body: u32, into: *mut Bytes) -> bool {
        into.write(Bytes::of(&(*stream).body));
        true
    }
    envoy_dynamic_module_callback_http_send_response(
        stream: *mut Stream, status: u32, _headers: *const Pair, _count: usize, _body: Bytes, _details: Bytes
    ) {
        (*stream).replied = Some(status);
    }
    envoy_dynamic_module_callback_http_filter_get_attribute_string(
        stream: *mut Stream, _attribute: u32, into: *mut Bytes
    ) -> bool {
        into.write(Bytes::of(&(*stream).address));
        !(*stream).address.is_empty()
    }
    envoy_dynamic_module_callback_http_get_filter_state_bytes(
        stream: *mut Stream, name: Bytes, into: *mut Bytes
    ) -> bool {
        let found = (*stream).state.get(&name.copied().unwrap_or_default());
        found.is_some_and(|value| {
            into.write(Bytes::of(value));
            true
        })
    }
    envoy_dynamic_module_callback_http_set_filter_state_bytes(
        stream: *mut Stream, name: Bytes, value: Bytes
    ) -> bool {
        (*stream).state.insert(name.copied().unwrap_or_default(), value.copied().unwrap_or_default());
        true
    }

    envoy_dynamic_module_callback_http_filter_config_define_counter(
        _config: *mut c_void, _name: Bytes, _labels: *const Bytes, _count: usize, id: *mut usize
    ) -> u32 {
        id.write(1);
        0
    }
    envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: *mut c_void, name: Bytes, labels: *const Bytes, count: usize, id: *mut usize
    ) -> u32 {
        envoy_dynamic_module_callback_http_filter_config_define_counter(config, name, labels, count, id)
    }
    envoy_dynamic_module_callback_http_filter_increment_counter(
        _stream: *mut Stream, _id: usize, _labels: *const Bytes, _count: usize, _value: u64
    ) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_set_gauge(
        _stream: *mut Stream, _id: usize, _labels: *const Bytes, _count: usize, _value: u64
    ) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_config_increment_counter(
        _config: *mut c_void, _id: usize, _labels: *const Bytes, _count: usize, _value: u64
    ) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_config_set_gauge(
        _config: *mut c_void, _id: usize, _labels: *const Bytes, _count: usize, _value: u64
    ) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_config_scheduler_new(_config: *mut c_void) -> *mut c_void {
        ptr::without_provenance_mut(1)
    }
    envoy_dynamic_module_callback_http_filter_config_scheduler_commit(_scheduler: *mut c_void, _event: u64) {}
    envoy_dynamic_module_callback_http_filter_config_scheduler_delete(_scheduler: *mut c_void) {}
}
