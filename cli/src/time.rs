//! Points in time, in Unix seconds.

use std::time::{Duration, SystemTime};

pub(crate) use latchkey::display_timestamp as display;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

/// The time by the system's clock.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Whether RFC 3339 can write a time: its calendar ends with the year 9999.
pub(crate) fn is_writable(seconds: i64) -> bool {
    OffsetDateTime::from_unix_timestamp(seconds).is_ok_and(|time| time.format(&Rfc3339).is_ok())
}

/// Milliseconds of a time in RFC 3339, such as `2026-06-01T00:00:00.123Z`.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Reads a time as it is given to a command: RFC 3339, or a date, which is its first second in UTC.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    latchkey::parse_timestamp(text)
        .or_else(|| latchkey::parse_timestamp(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| {
            "expected an RFC 3339 time, such as `2026-06-01T00:00:00Z`, or a date".to_owned()
        })
}

/// Reads `90d`, `24h` or `1h 30m`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a span of time such as `90d`, `24h` or `1h 30m`".to_owned())
}
