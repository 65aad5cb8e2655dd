//! Envoy's admin port.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use percent_encoding::NON_ALPHANUMERIC;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Usage;

/// The admin port of a running Envoy.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Without a slash at its end.
    url: String,
    agent: ureq::Agent,
}

impl Admin {
    /// The admin port at `url`, such as `http://127.0.0.1:9901`.
    ///
    /// # Errors
    /// Wrong usage: that is not such an address.
    pub(crate) fn new(url: &str) -> Result<Admin> {
        ensure!(
            url.starts_with("http://"),
            Usage::new(format!(
                "`--admin` is an address such as `http://127.0.0.1:9901`, not `{url}`"
            ))
        );
        // An admin port is reached directly or not at all.
        let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
        Ok(Admin { url: url.trim_end_matches('/').to_owned(), agent })
    }

    /// The address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The statistics whose names start with `prefix`, by the rest of their names. Histograms are left out.
    ///
    /// # Errors
    /// Envoy does not answer within `patience`, or answers something else.
    pub(crate) fn stats(
        &self,
        prefix: &str,
        patience: Duration,
    ) -> Result<BTreeMap<String, Value>> {
        // A regular expression, in which each character stands for itself.
        let literal = prefix.chars().map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => character.to_string(),
            other => format!("\\{other}"),
        });
        let literal: String = literal.collect();
        let filter = percent_encoding::utf8_percent_encode(&literal, NON_ALPHANUMERIC);
        let path = format!("/stats?format=json&filter=%5E{filter}");
        let stats: Stats = self.ask(&path, "the statistics", patience)?;
        let of_prefix =
            |stat: Stat| Some((stat.name?.strip_prefix(prefix)?.to_owned(), stat.value?));
        Ok(stats.stats.into_iter().filter_map(of_prefix).collect())
    }

    /// All of its configuration.
    ///
    /// # Errors
    /// Envoy does not answer within `patience`, or answers something else.
    pub(crate) fn config_dump(&self, patience: Duration) -> Result<Value> {
        self.ask("/config_dump", "the configuration", patience)
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, what: &str, patience: Duration) -> Result<T> {
        let admin = &self.url;
        let unreachable = || format!("cannot read {what} of Envoy at `{admin}`");
        let request = self.agent.get(format!("{admin}{path}"));
        let request = request.config().timeout_global(Some(patience)).build();
        let mut response = request.call().with_context(unreachable)?;
        let body = response.body_mut().with_config().limit(1 << 30).read_to_string();
        serde_json::from_str(&body.with_context(unreachable)?)
            .with_context(|| format!("`{admin}` is not an admin port of Envoy"))
    }
}

/// What Envoy answers to `/stats?format=json`. Histograms have no name.
#[derive(Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
struct Stat {
    name: Option<String>,
    value: Option<Value>,
}
