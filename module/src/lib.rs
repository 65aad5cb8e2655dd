//! Latchkey as a dynamic module of Envoy: the decision core in Envoy's own process.
//!
//! All that is decided is decided in the `latchkey` crate. Envoy calls `border`, which has all that is unsafe; a `plugin` is
//! a configuration, whose `policy` serves all workers; a `stream` is one request.

#[allow(unsafe_code, reason = "a border of C")]
mod border;
mod fault;
mod metrics;
mod plugin;
mod policy;
mod session;
mod stream;
mod version;

use std::panic;

/// Sends what the crate `log` takes to Envoy, and of a panic the place only: its message may hold what a client sent.
fn start_logging() {
    static LOGGER: Logger = Logger;
    // A second module in the process finds its own.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(log::LevelFilter::Debug);
    panic::set_hook(Box::new(|panic| {
        let line = match panic.location() {
            Some(place) => format!("panic at {}:{}", place.file(), place.line()),
            None => "panic at an unknown place".to_owned(),
        };
        border::log(border::Level::Critical, &line);
    }));
}

/// Writes a line of the core's.
fn log(line: latchkey::Line<'_>) {
    let level = match line.level() {
        latchkey::Level::Debug => log::Level::Debug,
        latchkey::Level::Error => log::Level::Error,
        latchkey::Level::Info => log::Level::Info,
        latchkey::Level::Warn => log::Level::Warn,
    };
    log::log!(level, "{line}");
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        border::is_logged(metadata.level().into())
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            border::log(record.level().into(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}
