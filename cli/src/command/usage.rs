//! `latchkey usage`: what a running Envoy counted.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::Style;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::Exit;
use crate::admin::Admin;
use crate::document::{self, Document};
use crate::finding::count;
use crate::style::{BOLD, WARNING};
use crate::{table, time};

/// Say how keys are used: what a running Envoy counted
///
/// Reads the statistics from Envoy's admin port: for each key its requests, its refusals and when
/// it was last used, and the refusals by reason. They count since Envoy started, and lag by about
/// a second.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, after_long_help = AFTER)]
pub struct Arguments {
    /// Address of Envoy's admin port
    #[arg(long, value_name = "URL")]
    admin: String,
    /// File with a list `keys`, or a policy: its keys' names, and which were never used
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The `name` of the policy that is meant, where Envoy serves several; empty for the one without
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// A JSON object with allowed, denied, served_keys and keys
    Json,
}

const EXAMPLE: &str = "Example:\n  latchkey usage --admin http://127.0.0.1:9901 --keys keys.yaml";

const AFTER: &str = "\
Example:
  latchkey usage --admin http://127.0.0.1:9901 --keys keys.yaml

Envoy counts per key for policies of up to 1,000 keys, or where the policy says
`metrics: {per_key: true}`.

The JSON is an object:
  allowed      requests let through
  denied       requests refused, by reason
  served_keys  how many keys Envoy serves, or null where it serves no policy
  keys         a list of objects, in the order of the keys file:
    id, name, created  as in the keys file; null where they are not known
    last_used          RFC 3339, or null
    requests           how many presented the key
    denied             how many of those were refused
    state              \"used\", \"never_used\", or \"not_served\": Envoy counts nothing for it";

/// Prints what Envoy counted.
///
/// # Errors
/// Envoy does not answer or answers something else, it serves several policies and nothing says which is
/// meant, the file cannot be read, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let known = arguments.keys.as_deref().map(known_keys).transpose()?.unwrap_or_default();
    let stats = of_policy(stats(&arguments.admin)?, arguments.name.as_deref())?;
    let usage = Usage::new(&stats, known);
    match arguments.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *output, &usage)?;
            writeln!(output)?;
        }
        Format::Table => usage.print(output)?,
    }
    Ok(Exit::Fine)
}

/// Everything that Envoy counted for Latchkey, by the name after `latchkey.`.
fn stats(admin: &str) -> Result<BTreeMap<String, u64>> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let admin = Admin::new(admin)?;
    let number = |(name, value): (String, Value)| Some((name, value.as_u64()?));
    let of_filters = admin.stats("wasmcustom.latchkey.", PATIENCE)?;
    let mut stats: BTreeMap<String, u64> = of_filters.into_iter().filter_map(number).collect();
    let of_modules = admin.stats("dynamicmodulescustom.latchkey_", PATIENCE)?;
    for (name, value) in of_modules.into_iter().filter_map(number) {
        let Some(name) = as_filters_count(&name) else { continue };
        // A module has no time of what never was.
        if let Some(key) = name.strip_suffix(".allowed").filter(|key| key.contains("key.")) {
            stats.entry(format!("{key}.last_used")).or_default();
        }
        *stats.entry(name).or_default() += value;
    }
    Ok(stats)
}

/// What the Wasm filter calls what the native module counts with labels: `policy.P.key.ID.allowed` of
/// `key_allowed.policy.P.key.ID`. A policy's name has no dots, an id may.
fn as_filters_count(name: &str) -> Option<String> {
    let (metric, labels) = name.split_once('.').unwrap_or((name, ""));
    let metric = metric.replacen("observed_", "observed.", 1);
    let (policy, label) = match labels.strip_prefix("policy.") {
        Some(rest) => {
            let (policy, label) = rest.split_once('.').unwrap_or((rest, ""));
            (format!("policy.{policy}."), label)
        }
        None => (String::new(), labels),
    };
    let own = match (metric.strip_prefix("key_"), label.split_once('.')) {
        (Some(what), Some(("key", id))) => format!("key.{id}.{what}"),
        (None, Some(("reason", reason))) => format!("{metric}.{reason}"),
        (None, None) => metric,
        _ => return None,
    };
    Some(policy + &own)
}

/// When each key was last used, as one Envoy counted.
pub(crate) struct LastUsed {
    /// When it began to count, in Unix seconds.
    pub(crate) since: i64,
    /// In Unix seconds, by id; 0 for never.
    pub(crate) keys: HashMap<String, i64>,
}

/// Asks the Envoy whose admin port is at `admin` about the policy `name`.
///
/// # Errors
/// As those of [`run`].
pub(crate) fn last_used(admin: &str, name: Option<&str>) -> Result<LastUsed> {
    let counted = |(name, value): (String, u64)| {
        let id = name.strip_prefix("key.")?.strip_suffix(".last_used")?;
        Some((id.to_owned(), i64::try_from(value).unwrap_or(i64::MAX)))
    };
    let keys = of_policy(stats(admin)?, name)?.into_iter().filter_map(counted).collect();
    let uptime = Admin::new(admin)?.stats("server.uptime", Duration::from_secs(30))?;
    let uptime = uptime.get("").and_then(Value::as_i64);
    let uptime =
        uptime.with_context(|| format!("Envoy at `{admin}` does not say since when it runs"))?;
    Ok(LastUsed { since: time::now().saturating_sub(uptime), keys })
}

/// The statistics of one policy, by the name after the policy's own.
fn of_policy(stats: BTreeMap<String, u64>, wanted: Option<&str>) -> Result<BTreeMap<String, u64>> {
    let mut policies: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (name, value) in stats {
        let parts = name.strip_prefix("policy.").and_then(|name| name.split_once('.'));
        let (policy, name) = parts.unwrap_or(("", &name));
        policies.entry(policy.to_owned()).or_default().insert(name.to_owned(), value);
    }
    let Some(wanted) = wanted else {
        if policies.len() > 1 {
            let names: Vec<_> = policies.keys().map(|name| format!("`{name}`")).collect();
            bail!("several policies were served: say which with `--name`, {}", names.join(" or "));
        }
        return Ok(policies.into_values().next().unwrap_or_default());
    };
    policies.remove(wanted).with_context(|| format!("no policy named `{wanted}` was served"))
}

/// Id, name and time of creation of each key in a file.
fn known_keys(file: &Path) -> Result<Vec<KeyUsage>> {
    let document = document::load(file)?;
    let Some(Document::Array(keys)) = document.field("keys") else {
        bail!("`{}` has no list `keys`", file.display());
    };
    let text = |key: &Document, field| Some(key.field(field)?.as_str()?.to_owned());
    let known = |key: &Document| {
        Some(KeyUsage {
            id: text(key, "id")?,
            name: text(key, "name"),
            created: key.field("created").and_then(Document::instant).map(time::display),
            last_used: None,
            requests: 0,
            denied: 0,
            state: State::NotServed,
        })
    };
    Ok(keys.iter().filter_map(known).collect())
}

#[derive(Serialize)]
struct Usage {
    allowed: u64,
    denied: BTreeMap<String, u64>,
    served_keys: Option<u64>,
    keys: Vec<KeyUsage>,
}

#[derive(Serialize)]
struct KeyUsage {
    id: String,
    name: Option<String>,
    created: Option<String>,
    last_used: Option<String>,
    requests: u64,
    denied: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    NeverUsed,
    NotServed,
    Used,
}

impl Usage {
    /// Joins what was counted to the keys that are known; others come after them.
    fn new(stats: &BTreeMap<String, u64>, known: Vec<KeyUsage>) -> Usage {
        let mut usage = Usage {
            allowed: stats.get("allowed").copied().unwrap_or_default(),
            denied: BTreeMap::new(),
            served_keys: stats.get("keys").copied(),
            keys: known,
        };
        let mut positions: HashMap<String, usize> = HashMap::new();
        for (index, key) in usage.keys.iter().enumerate() {
            positions.insert(key.id.clone(), index);
        }
        for (name, value) in stats {
            if let Some(reason) = name.strip_prefix("denied.") {
                if *value > 0 {
                    usage.denied.insert(reason.to_owned(), *value);
                }
                continue;
            }
            // An id may have dots of its own.
            let Some((id, what)) = name.strip_prefix("key.").and_then(|name| name.rsplit_once('.'))
            else {
                continue;
            };
            let index = *positions.entry(id.to_owned()).or_insert_with(|| {
                usage.keys.push(KeyUsage {
                    id: id.to_owned(),
                    name: None,
                    created: None,
                    last_used: None,
                    requests: 0,
                    denied: 0,
                    state: State::NotServed,
                });
                usage.keys.len() - 1
            });
            if let Some(key) = usage.keys.get_mut(index) {
                key.count(what, *value);
            }
        }
        usage
    }

    fn print(&self, output: &mut dyn Write) -> Result<()> {
        let Some(served) = self.served_keys else {
            writeln!(output, "this Envoy serves no Latchkey policy")?;
            return Ok(());
        };
        let head = ["KEY", "NAME", "CREATED", "LAST USED", "REQUESTS", "REFUSED"];
        let mut rows = vec![(BOLD, head.map(str::to_owned))];
        rows.extend(self.keys.iter().map(KeyUsage::row));
        table::write(&rows, 4, output)?;
        if served > 0 && self.keys.iter().all(|key| key.state == State::NotServed) {
            writeln!(
                output,
                "\nnothing is counted per key: the policy needs `metrics: {{per_key: true}}`"
            )?;
        }
        let denied: u64 = self.denied.values().sum();
        writeln!(
            output,
            "\n{} served; {} allowed, {denied} refused",
            count(served, "key"),
            count(self.allowed, "request")
        )?;
        let width = self.denied.keys().map(String::len).max().unwrap_or_default();
        let mut denied: Vec<(&String, &u64)> = self.denied.iter().collect();
        denied.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        for (reason, number) in denied {
            writeln!(output, "  {reason:<width$}  {number}")?;
        }
        Ok(())
    }
}

impl KeyUsage {
    fn count(&mut self, what: &str, value: u64) {
        match what {
            "allowed" => self.requests += value,
            "denied" => {
                self.requests += value;
                self.denied += value;
            }
            "last_used" if value > 0 => {
                self.last_used = Some(time::display(i64::try_from(value).unwrap_or(i64::MAX)));
            }
            "last_used" => {}
            _ => return,
        }
        self.state = if self.requests > 0 { State::Used } else { State::NeverUsed };
    }

    fn row(&self) -> (Style, [String; 6]) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let style = if self.state == State::NeverUsed { WARNING } else { Style::new() };
        let last_used = match self.state {
            State::NeverUsed => "never".to_owned(),
            State::NotServed => "not served".to_owned(),
            State::Used => text(&self.last_used),
        };
        let cells = [
            self.id.clone(),
            text(&self.name),
            text(&self.created),
            last_used,
            self.requests.to_string(),
            self.denied.to_string(),
        ];
        (style, cells)
    }
}

#[cfg(test)]
mod tests {
    use super::as_filters_count;

    #[test]
    fn what_a_module_counts_has_the_filter_s_name() {
        for (module, filter) in [
            ("allowed", "allowed"),
            ("keys.policy.billing", "policy.billing.keys"),
            ("denied.reason.unknown_key", "denied.unknown_key"),
            ("denied.policy.billing.reason.unknown_key", "policy.billing.denied.unknown_key"),
            ("observed_allowed", "observed.allowed"),
            ("observed_denied.reason.unknown_key", "observed.denied.unknown_key"),
            ("key_allowed.key.ci", "key.ci.allowed"),
            ("key_last_used.policy.b-1.key.team.web-1", "policy.b-1.key.team.web-1.last_used"),
            ("key_denied.key.policy.x", "key.policy.x.denied"),
        ] {
            assert_eq!(as_filters_count(module).as_deref(), Some(filter), "{module}");
        }
        for other in ["denied.key.ci", "key_allowed", "key_allowed.reason.x"] {
            assert_eq!(as_filters_count(other), None, "{other}");
        }
    }
}
