//! What goes wrong on demand, in a test build only.

/// Panics at that place if the environment variable `LATCHKEY_PANIC_IN` names it, the first time that it is reached; in a
/// shipped module, never.
pub(crate) fn at(place: &str) {
    #[cfg(feature = "faults")]
    {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

        static IS_OVER: AtomicBool = AtomicBool::new(false);
        if std::env::var("LATCHKEY_PANIC_IN").is_ok_and(|own| own == place)
            && !IS_OVER.swap(true, Relaxed)
        {
            std::panic::panic_any("as asked for");
        }
    }
    #[cfg(not(feature = "faults"))]
    let _ = place;
}

/// What Envoy tells of its version, as the environment variable `LATCHKEY_ENVOY_VERSION` has it; in a shipped module, nothing.
pub(crate) fn envoy_version() -> Option<String> {
    #[cfg(feature = "faults")]
    return std::env::var("LATCHKEY_ENVOY_VERSION").ok();
    #[cfg(not(feature = "faults"))]
    None
}
