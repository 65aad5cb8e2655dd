//! Envoy's admin port.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

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
    /// That is not such an address.
    pub(crate) fn new(url: &str) -> Result<Admin> {
        ensure!(
            url.starts_with("http://"),
            "`--admin` is an address such as `http://127.0.0.1:9901`, not `{url}`"
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
        let admin = &self.url;
        let filter = prefix.replace('.', "%5C.");
        let url = format!("{admin}/stats?format=json&filter=%5E{filter}");
        let unreachable = || format!("cannot read the statistics of Envoy at `{admin}`");
        let request = self.agent.get(&url).config().timeout_global(Some(patience)).build();
        let mut response = request.call().with_context(unreachable)?;
        let body = response.body_mut().with_config().limit(1 << 30).read_to_string();
        let stats: Stats = serde_json::from_str(&body.with_context(unreachable)?)
            .with_context(|| format!("`{admin}` is no admin port of Envoy"))?;
        let own = |stat: Stat| Some((stat.name?.strip_prefix(prefix)?.to_owned(), stat.value?));
        Ok(stats.stats.into_iter().filter_map(own).collect())
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
