//! How far an Envoy has got with a file that it watches, by its statistics.
//!
//! Measured on Envoy 1.40.0: `version_text` is the version that it took last, while the dump of its
//! configuration shows the version that it was offered last, taken or not, and no error. A file whose
//! extension is, byte for byte, the one before is taken without being configured anew. `config_reload`
//! counts once all workers are through, and for what was refused as well.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::admin::Admin;

/// What Envoy says of the extension that is the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discovery {
    /// The version that it serves; empty where that has none.
    pub(super) version: String,
    /// How often it has looked at the file.
    attempts: u64,
    /// How often it could not read it.
    failures: u64,
    /// How often it refused what it read.
    rejected: u64,
    /// How often all of its workers had got a new configuration, or kept the old one.
    reloads: u64,
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Envoy cannot read the file.
    Failed,
    /// Envoy has not looked at the file.
    Ignored,
    /// Envoy has refused the version.
    Refused,
    /// Every worker serves the version.
    Served,
    /// Something else came of it, such as the version of another push.
    Undecided,
}

impl Discovery {
    /// Asks Envoy.
    ///
    /// # Errors
    /// It does not answer, or takes no extension of that name from elsewhere.
    pub(super) fn ask(admin: &Admin, filter: &str, patience: Duration) -> Result<Discovery> {
        let prefix = format!("extension_config_discovery.http_filter.{filter}.");
        let stats = admin.stats(&prefix, patience)?;
        ensure!(
            stats.contains_key("update_attempt"),
            "Envoy at `{}` watches no file for the filter `{filter}`",
            admin.url()
        );
        let number = |name: &str| stats.get(name).and_then(Value::as_u64).unwrap_or_default();
        Ok(Discovery {
            version: stats
                .get("version_text")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            attempts: number("update_attempt"),
            failures: number("update_failure"),
            rejected: number("update_rejected"),
            reloads: number("config_reload"),
        })
    }

    /// Waits until Envoy, of which this was true before the file was replaced, has taken `version` or
    /// refused it; `is_changed` says whether the extension is another than before. What Envoy said last
    /// comes with the outcome.
    ///
    /// # Errors
    /// Envoy does not answer at the end.
    pub(super) fn wait(
        &self,
        admin: &Admin,
        filter: &str,
        version: &str,
        is_changed: bool,
        patience: Duration,
    ) -> Result<(Outcome, Discovery)> {
        const PAUSE: Duration = Duration::from_millis(20);
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            // Envoy answers by the thread that configures, so it may be late.
            match Discovery::ask(admin, filter, left.max(PAUSE)) {
                Ok(now) => match self.outcome(&now, version, is_changed) {
                    Outcome::Ignored | Outcome::Undecided if !left.is_zero() => {}
                    outcome => return Ok((outcome, now)),
                },
                Err(error) if left.is_zero() => return Err(error),
                Err(_) => {}
            }
            thread::sleep(PAUSE.min(left));
        }
    }

    fn outcome(&self, now: &Discovery, version: &str, is_changed: bool) -> Outcome {
        let is_through = !is_changed || self.version == version || now.reloads > self.reloads;
        if now.attempts <= self.attempts {
            Outcome::Ignored
        } else if now.version == version {
            if is_through { Outcome::Served } else { Outcome::Undecided }
        } else if now.rejected > self.rejected {
            Outcome::Refused
        } else if now.failures > self.failures {
            Outcome::Failed
        } else {
            Outcome::Undecided
        }
    }
}
