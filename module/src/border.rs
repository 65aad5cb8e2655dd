//! Envoy's border: what is used of its interface for dynamic modules, and all `unsafe` of this package.
//!
//! The declarations follow `source/extensions/dynamic_modules/abi/abi.h` of Envoy 1.38 to 1.40. Envoy calls the exports at
//! the end of this file. None of them lets a panic out, which would end Envoy: a stream in which one panics is refused.
//!
//! What Envoy hands out is borrowed: it stays as it is until the next call that changes something, which the types say by
//! `&self` and `&mut self`.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::OnceLock;

use crate::fault;
use crate::metrics::Recorder;
use crate::plugin::Plugin;
use crate::stream::{Flow, Stream};
use crate::version;

/// The version of the interface that the declarations are of. Envoy warns of any other, and loads the module all the same.
const INTERFACE: &CStr = c"v0.2.0";

/// Bytes of this module's or of Envoy's.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    start: *const u8,
    length: usize,
}

/// A header's name and value.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pair {
    name: Bytes,
    value: Bytes,
}

impl Bytes {
    const NONE: Bytes = Bytes { start: ptr::null(), length: 0 };

    /// # Safety
    /// The bytes live as long as `'a` and do not change meanwhile.
    unsafe fn get<'a>(self) -> &'a [u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: as the caller promises.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes { start: bytes.as_ptr(), length: bytes.len() }
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        text.as_bytes().into()
    }
}

type ConfigHandle = *mut c_void;
type StreamHandle = *mut c_void;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: u32, message: Bytes);
    fn envoy_dynamic_module_callback_log_enabled(level: u32) -> bool;

    fn envoy_dynamic_module_callback_http_get_headers_size(stream: StreamHandle, map: u32)
    -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(
        stream: StreamHandle,
        map: u32,
        into: *mut Pair,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        stream: StreamHandle,
        map: u32,
        name: Bytes,
        value: Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_add_header(
        stream: StreamHandle,
        map: u32,
        name: Bytes,
        value: Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_body_chunks_size(
        stream: StreamHandle,
        body: u32,
    ) -> usize;
    fn envoy_dynamic_module_callback_http_get_body_chunks(
        stream: StreamHandle,
        body: u32,
        into: *mut Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(
        stream: StreamHandle,
        status: u32,
        headers: *const Pair,
        count: usize,
        body: Bytes,
        details: Bytes,
    );
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        stream: StreamHandle,
        attribute: u32,
        into: *mut Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
        stream: StreamHandle,
        name: Bytes,
        into: *mut Bytes,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        stream: StreamHandle,
        name: Bytes,
        value: Bytes,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: ConfigHandle,
        name: Bytes,
        labels: *const Bytes,
        count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: ConfigHandle,
        name: Bytes,
        labels: *const Bytes,
        count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_increment_counter(
        stream: StreamHandle,
        id: usize,
        labels: *const Bytes,
        count: usize,
        value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_set_gauge(
        stream: StreamHandle,
        id: usize,
        labels: *const Bytes,
        count: usize,
        value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        config: ConfigHandle,
    ) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: *mut c_void,
        event: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
}

/// Counts up, or sets a gauge: handle, id, label values and their number, value.
type Record = unsafe extern "C" fn(*mut c_void, usize, *const Bytes, usize, u64) -> u32;

/// What of the interface an Envoy may lack: 1.38 counts only on behalf of a stream.
struct Optional {
    config_increment_counter: Option<Record>,
    config_set_gauge: Option<Record>,
}

fn optional() -> &'static Optional {
    static OPTIONAL: OnceLock<Optional> = OnceLock::new();
    OPTIONAL.get_or_init(|| {
        let find = |name: &CStr| -> Option<Record> {
            // SAFETY: the name ends with a zero; what Envoy exports by it is such a function.
            unsafe {
                let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
                (!found.is_null()).then(|| std::mem::transmute::<*mut c_void, Record>(found))
            }
        };
        Optional {
            config_increment_counter: find(
                c"envoy_dynamic_module_callback_http_filter_config_increment_counter",
            ),
            config_set_gauge: find(c"envoy_dynamic_module_callback_http_filter_config_set_gauge"),
        }
    })
}

/// Envoy's log levels.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Level {
        match level {
            log::Level::Trace | log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        }
    }
}

/// Whether Envoy writes lines of that level.
pub(crate) fn is_logged(level: Level) -> bool {
    // SAFETY: Envoy may be asked from any thread.
    unsafe { envoy_dynamic_module_callback_log_enabled(level as u32) }
}

/// Writes a line to Envoy's log.
pub(crate) fn log(level: Level, line: &str) {
    // SAFETY: the line lives until Envoy has written it.
    unsafe { envoy_dynamic_module_callback_log(level as u32, line.into()) }
}

/// The plugin's configuration in Envoy, on whose behalf metrics are defined and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config(ConfigHandle);

// SAFETY: metrics may be written from any thread: Envoy counts atomically, and locks where it makes a new one.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

impl Config {
    /// A counter with those labels, or `None` where Envoy has none to give.
    pub(crate) fn counter(self, name: &str, labels: &[&str]) -> Option<usize> {
        self.define(envoy_dynamic_module_callback_http_filter_config_define_counter, name, labels)
    }

    /// The same for a gauge.
    pub(crate) fn gauge(self, name: &str, labels: &[&str]) -> Option<usize> {
        self.define(envoy_dynamic_module_callback_http_filter_config_define_gauge, name, labels)
    }

    fn define(
        self,
        define: unsafe extern "C" fn(ConfigHandle, Bytes, *const Bytes, usize, *mut usize) -> u32,
        name: &str,
        labels: &[&str],
    ) -> Option<usize> {
        let labels: Vec<Bytes> = labels.iter().map(|label| Bytes::from(*label)).collect();
        let mut id = 0;
        // SAFETY: Envoy copies name and labels, and writes the id before it returns.
        let result =
            unsafe { define(self.0, name.into(), labels.as_ptr(), labels.len(), &raw mut id) };
        (result == 0).then_some(id)
    }

    /// Whether metrics can be written on behalf of a configuration, or only of a stream.
    pub(crate) fn can_record() -> bool {
        optional().config_increment_counter.is_some() && optional().config_set_gauge.is_some()
    }

    /// What calls the plugin on Envoy's main thread.
    pub(crate) fn scheduler(self) -> Option<Scheduler> {
        // SAFETY: the configuration is there.
        let scheduler =
            unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.0) };
        NonNull::new(scheduler).map(Scheduler)
    }
}

impl Recorder for Config {
    fn add(&self, counter: usize, labels: &[&str], count: u64) {
        record(optional().config_increment_counter, self.0, counter, labels, count);
    }

    fn set(&self, gauge: usize, labels: &[&str], value: u64) {
        record(optional().config_set_gauge, self.0, gauge, labels, value);
    }
}

impl Recorder for Host {
    fn add(&self, counter: usize, labels: &[&str], count: u64) {
        let add: Record = envoy_dynamic_module_callback_http_filter_increment_counter;
        record(Some(add), self.0, counter, labels, count);
    }

    fn set(&self, gauge: usize, labels: &[&str], value: u64) {
        let set: Record = envoy_dynamic_module_callback_http_filter_set_gauge;
        record(Some(set), self.0, gauge, labels, value);
    }
}

fn record(record: Option<Record>, handle: *mut c_void, id: usize, labels: &[&str], value: u64) {
    let Some(record) = record else { return };
    let labels: Vec<Bytes> = labels.iter().map(|label| Bytes::from(*label)).collect();
    // SAFETY: the handle is the one that the function is for, and Envoy reads the labels before it returns.
    unsafe { record(handle, id, labels.as_ptr(), labels.len(), value) };
}

/// Calls [`Plugin::flush`] on Envoy's main thread, from any thread.
#[derive(Debug)]
pub(crate) struct Scheduler(NonNull<c_void>);

// SAFETY: a scheduler may be used from any thread; Envoy forgets an event whose configuration is gone.
unsafe impl Send for Scheduler {}

impl Scheduler {
    pub(crate) fn schedule(&self) {
        // SAFETY: it is deleted by `drop` only.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0.as_ptr(), 0);
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: nobody else deletes it.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0.as_ptr());
        }
    }
}

/// A header map.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
}

/// Envoy's side of a stream.
#[derive(Debug)]
pub(crate) struct Host(StreamHandle);

impl Host {
    /// A map's headers; `None` where Envoy cannot tell them, or a name is not ASCII.
    pub(crate) fn headers(&self, map: Map) -> Option<Vec<(&str, &[u8])>> {
        /// So many fit the stack, which those of most requests do.
        const FEW: usize = 64;
        // SAFETY: Envoy writes as many pairs as it says that there are, which stay as they are until something is changed:
        // that takes `&mut self`. ASCII is UTF-8, and told apart much faster.
        unsafe {
            let count = envoy_dynamic_module_callback_http_get_headers_size(self.0, map as u32);
            let mut few = [MaybeUninit::<Pair>::uninit(); FEW];
            let mut many = Vec::new();
            let pairs = match few.get_mut(..count) {
                Some(few) => few,
                None => {
                    many.resize(count, MaybeUninit::uninit());
                    &mut many
                }
            };
            let into = pairs.as_mut_ptr().cast();
            if count > 0
                && !envoy_dynamic_module_callback_http_get_headers(self.0, map as u32, into)
            {
                return None;
            }
            let mut are_ascii = true;
            let header = |pair: &MaybeUninit<Pair>| {
                let Pair { name, value } = pair.assume_init();
                let name = name.get();
                let is_ascii = name.is_ascii();
                are_ascii &= is_ascii;
                (str::from_utf8_unchecked(if is_ascii { name } else { b"" }), value.get())
            };
            let headers = pairs.iter().map(header).collect();
            are_ascii.then_some(headers)
        }
    }

    /// Puts a value in place of every header of that name, or removes them.
    #[must_use]
    pub(crate) fn set_header(&mut self, map: Map, name: &str, value: Option<&[u8]>) -> bool {
        // A null value removes; an empty one is none.
        let value = value.map_or(Bytes::NONE, Bytes::from);
        // SAFETY: Envoy copies name and value.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.0, map as u32, name.into(), value)
        }
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn add_header(&mut self, map: Map, name: &str, value: &[u8]) -> bool {
        // SAFETY: Envoy copies name and value.
        unsafe {
            envoy_dynamic_module_callback_http_add_header(
                self.0,
                map as u32,
                name.into(),
                value.into(),
            )
        }
    }

    /// What of the request's body has come, that which Envoy holds back included.
    pub(crate) fn request_body(&self) -> Vec<u8> {
        self.request_body_pieces().concat()
    }

    /// The size of [`Host::request_body`] in bytes.
    pub(crate) fn request_body_size(&self) -> usize {
        self.request_body_pieces().iter().map(|piece| piece.len()).sum()
    }

    fn request_body_pieces(&self) -> Vec<&[u8]> {
        const RECEIVED: u32 = 0;
        const BUFFERED: u32 = 1;
        let (held, received) = (self.body(BUFFERED), self.body(RECEIVED));
        // Where a filter before held the body back, both are the same buffer.
        let is_same =
            held.iter().map(|piece| piece.as_ptr()).eq(received.iter().map(|piece| piece.as_ptr()));
        let received = if is_same { Vec::new() } else { received };
        held.into_iter().chain(received).collect()
    }

    fn body(&self, body: u32) -> Vec<&[u8]> {
        // SAFETY: as with headers.
        unsafe {
            let count = envoy_dynamic_module_callback_http_get_body_chunks_size(self.0, body);
            let mut pieces: Vec<Bytes> = Vec::with_capacity(count);
            if count > 0
                && envoy_dynamic_module_callback_http_get_body_chunks(
                    self.0,
                    body,
                    pieces.as_mut_ptr(),
                )
            {
                pieces.set_len(count);
            }
            pieces.into_iter().map(|piece| piece.get()).filter(|piece| !piece.is_empty()).collect()
        }
    }

    /// The client's address and port: what `X-Forwarded-For` says is taken for it as far as Envoy is told to trust that.
    pub(crate) fn address(&self) -> Option<Vec<u8>> {
        const SOURCE_ADDRESS: u32 = 24;
        let mut value = Bytes::NONE;
        // SAFETY: the value stays as it is until it is copied.
        unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.0,
                SOURCE_ADDRESS,
                &raw mut value,
            )
            .then(|| value.get().to_vec())
        }
    }

    /// Filter state of that name, if it is bytes.
    pub(crate) fn filter_state(&self, name: &str) -> Option<&[u8]> {
        let mut value = Bytes::NONE;
        // SAFETY: the value stays as it is until something is changed.
        unsafe {
            envoy_dynamic_module_callback_http_get_filter_state_bytes(
                self.0,
                name.into(),
                &raw mut value,
            )
            .then(|| value.get())
        }
    }

    /// Writes filter state, where the guard, access logs and others read it.
    #[must_use]
    pub(crate) fn publish(&mut self, name: &str, value: &str) -> bool {
        if !version::changes_filter_state() && self.filter_state(name).is_some() {
            // The first word stays, and Envoy would complain.
            return true;
        }
        // SAFETY: Envoy copies name and value.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.0,
                name.into(),
                value.into(),
            )
        }
    }

    /// Answers the request, which goes no further.
    pub(crate) fn reply(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let pair = |(name, value): &(&str, &str)| Pair {
            name: Bytes::from(*name),
            value: Bytes::from(*value),
        };
        let pairs: Vec<Pair> = headers.iter().map(pair).collect();
        // SAFETY: Envoy copies all of it.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.0,
                status.into(),
                pairs.as_ptr(),
                pairs.len(),
                body.into(),
                "latchkey".into(),
            );
        }
    }
}

/// What Envoy is handed for a stream.
struct Entry {
    /// Envoy keeps it as long as a stream of it lives.
    plugin: NonNull<Plugin>,
    stream: Stream,
    /// One of its events has panicked, and it was refused: nothing of it goes on.
    is_broken: bool,
}

/// Envoy's answers to callbacks of a stream, the same numbers for headers, body and trailers: to go on, or to wait with what
/// has come.
const CONTINUE: u32 = 0;
const WAIT: u32 = 1;

/// Runs what must let no panic out.
fn guarded<T>(fallback: T, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(fallback)
}

/// Hands an event of a stream over. Where that panics the stream is refused, and so is one that there was no room for.
///
/// # Safety
/// `entry` is what `envoy_dynamic_module_on_http_filter_new` gave, and not in use elsewhere.
unsafe fn on_event(
    handle: StreamHandle,
    entry: *const c_void,
    event: impl FnOnce(&mut Stream, &Plugin, &mut Host) -> Flow,
) -> u32 {
    let refuse = || {
        guarded((), || Host(handle).reply(503, &[], b""));
        WAIT
    };
    // SAFETY: as the caller promises; a stream's events come one after the other, on one thread.
    let Some(entry) = (unsafe { entry.cast_mut().cast::<Entry>().as_mut() }) else {
        return refuse();
    };
    if entry.is_broken {
        return WAIT;
    }
    // SAFETY: Envoy keeps the plugin as long as a stream of it.
    let plugin = unsafe { entry.plugin.as_ref() };
    let stream = &mut entry.stream;
    match catch_unwind(AssertUnwindSafe(|| event(stream, plugin, &mut Host(handle)))) {
        Ok(Flow::Continue) => CONTINUE,
        Ok(Flow::Wait) => WAIT,
        Err(_) => {
            entry.is_broken = true;
            refuse()
        }
    }
}

/// Envoy has loaded the module: on its main thread, once.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guarded(ptr::null(), || {
        crate::start_logging();
        fault::at("program_init");
        match version::tested() {
            Ok(()) => INTERFACE.as_ptr(),
            Err(refusal) => {
                log(Level::Critical, &refusal);
                ptr::null()
            }
        }
    })
}

/// A configuration has come, on Envoy's main thread. Null refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: ConfigHandle,
    name: Bytes,
    text: Bytes,
) -> *const c_void {
    guarded(ptr::null(), || {
        fault::at("config_new");
        // SAFETY: Envoy keeps both until this returns.
        let (name, text) = unsafe { (name.get(), text.get()) };
        match Plugin::new(Config(config), name, text) {
            Some(plugin) => Box::into_raw(Box::new(plugin)).cast_const().cast(),
            None => ptr::null(),
        }
    })
}

/// A configuration is gone, and so are its streams; on any thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(plugin: *const c_void) {
    guarded((), || {
        if !plugin.is_null() {
            // SAFETY: it is what `config_new` gave, and comes once.
            drop(unsafe { Box::from_raw(plugin.cast_mut().cast::<Plugin>()) });
        }
    });
}

/// [`Scheduler::schedule`] has asked for this.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    _config: ConfigHandle,
    plugin: *const c_void,
    _event: u64,
) {
    guarded((), || {
        fault::at("config_scheduled");
        // SAFETY: it is what `config_new` gave, and lives.
        if let Some(plugin) = unsafe { plugin.cast::<Plugin>().as_ref() } {
            plugin.flush();
        }
    });
}

/// A request has come. Null is no way to refuse it: `on_event` does.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    plugin: *const c_void,
    _handle: StreamHandle,
) -> *const c_void {
    guarded(ptr::null(), || {
        fault::at("filter_new");
        let Some(plugin) = NonNull::new(plugin.cast_mut().cast::<Plugin>()) else {
            return ptr::null();
        };
        let entry = Entry { plugin, stream: Stream::new(), is_broken: false };
        Box::into_raw(Box::new(entry)).cast_const().cast()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    handle: StreamHandle,
    entry: *const c_void,
    ends: bool,
) -> u32 {
    // SAFETY: Envoy hands back what `filter_new` gave.
    unsafe {
        on_event(handle, entry, |stream, plugin, host| {
            fault::at("request_headers");
            stream.request_headers(&plugin.policy, host, ends)
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    handle: StreamHandle,
    entry: *const c_void,
    ends: bool,
) -> u32 {
    // SAFETY: as above.
    unsafe {
        on_event(handle, entry, |stream, plugin, host| {
            fault::at("request_body");
            stream.request_body(&plugin.policy, host, ends)
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    handle: StreamHandle,
    entry: *const c_void,
) -> u32 {
    // SAFETY: as above.
    unsafe {
        on_event(handle, entry, |stream, plugin, host| {
            fault::at("request_trailers");
            stream.request_trailers(&plugin.policy, host)
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    handle: StreamHandle,
    entry: *const c_void,
    _ends: bool,
) -> u32 {
    // SAFETY: as above.
    unsafe {
        on_event(handle, entry, |stream, _, host| {
            fault::at("response_headers");
            stream.response_headers(host)
        })
    }
}

/// The stream has ended, on which Envoy writes its access log.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _handle: StreamHandle,
    entry: *const c_void,
) {
    guarded((), || {
        fault::at("stream_complete");
        // SAFETY: as above.
        if let Some(entry) = unsafe { entry.cast_mut().cast::<Entry>().as_mut() } {
            // SAFETY: Envoy keeps the plugin as long as a stream of it.
            entry.stream.ended(&unsafe { entry.plugin.as_ref() }.policy);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(entry: *const c_void) {
    guarded((), || {
        fault::at("filter_destroy");
        if !entry.is_null() {
            // SAFETY: it is what `filter_new` gave, and comes once.
            drop(unsafe { Box::from_raw(entry.cast_mut().cast::<Entry>()) });
        }
    });
}

/// Exports that Envoy demands, for what this module neither looks at nor asks for.
macro_rules! exports_without_effect {
    ($($name:ident($($argument:ty),*) $(-> $answer:ident)?;)+) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) $(-> answer!($answer))? {
            $($answer)?
        }
    )+};
}

macro_rules! answer {
    (CONTINUE) => {
        u32
    };
}

exports_without_effect! {
    envoy_dynamic_module_on_http_filter_response_body(StreamHandle, *const c_void, bool) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_response_trailers(StreamHandle, *const c_void) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(StreamHandle, *const c_void);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(StreamHandle, *const c_void);
    envoy_dynamic_module_on_http_filter_http_callout_done(
        StreamHandle, *const c_void, u64, u32, *const Pair, usize, *const Bytes, usize
    );
    envoy_dynamic_module_on_http_filter_http_stream_complete(StreamHandle, *const c_void, u64);
    envoy_dynamic_module_on_http_filter_http_stream_data(
        StreamHandle, *const c_void, u64, *const Bytes, usize, bool
    );
    envoy_dynamic_module_on_http_filter_http_stream_headers(
        StreamHandle, *const c_void, u64, *const Pair, usize, bool
    );
    envoy_dynamic_module_on_http_filter_http_stream_reset(StreamHandle, *const c_void, u64, u32);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(
        StreamHandle, *const c_void, u64, *const Pair, usize
    );
    envoy_dynamic_module_on_http_filter_scheduled(StreamHandle, *const c_void, u64);
}
