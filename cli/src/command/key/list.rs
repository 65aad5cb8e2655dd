//! `latchkey key list`: the keys, without anything secret.

use std::collections::HashMap;
use std::io::Write;

use anstyle::Style;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use latchkey::{Engine, Scope};
use serde::Serialize;

use super::{Files, parse_duration, tell};
use crate::command::usage;
use crate::document::Document;
use crate::keyfile::{Key, KeyFile, State};
use crate::style::warn;
use crate::{Exit, finding, table, time};

/// List keys and the state that they are in
///
/// A key is active, suspended, not yet valid, expired or revoked; or invalid, where no policy takes what says so, such
/// as an end that is no time. The hint is the prefix of its token
/// and the last four characters. Neither token nor hash is shown. Of several filters all must fit.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Keys of this account only
    #[arg(long)]
    account: Option<String>,
    /// Keys of this type only
    #[arg(long = "type", value_name = "TYPE")]
    key_type: Option<String>,
    /// Keys in this state only; may be repeated
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,
    /// Keys only that grant this scope, by their own scopes or by their type's; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<Scope>,
    /// Keys only that were last used before then, or never: a span of time such as `30d`, or a date. Keys
    /// made since then are left out
    #[arg(long, value_name = "WHEN", value_parser = parse_past, requires = "admin")]
    unused_since: Option<Past>,
    /// Address of the admin port of an Envoy that counts uses; may be repeated
    #[arg(long, value_name = "URL", requires = "unused_since")]
    admin: Vec<String>,
    /// The `name` of the policy that is meant, where Envoy serves several
    #[arg(long, value_name = "NAME", requires = "unused_since")]
    name: Option<String>,
    /// How keys are printed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ListFormat {
    /// A JSON list of objects
    Json,
    /// For people
    Table,
}

const EXAMPLE: &str = "\
Examples:
  latchkey key list --keys keys.yaml --account ws_1 --state active
  latchkey key list --keys keys.yaml --policy policy.yaml --scope reports:delete
  latchkey key list --keys keys.yaml --unused-since 90d --admin http://127.0.0.1:9901 --format json

The JSON is a list of objects with id, name, type, account, hint, created, expires and state.";

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let file = KeyFile::load(&arguments.files.keys)?;
    let now = time::now();
    let Some(keys) = arguments.keys(&file, now)? else { return Ok(Exit::Findings) };
    let rows = keys.into_iter().map(|key| Row::new(key, now));
    match arguments.format {
        ListFormat::Json => {
            let rows: Vec<_> = rows.collect();
            serde_json::to_writer_pretty(&mut *output, &rows)?;
            writeln!(output)?;
        }
        ListFormat::Table => {
            // Without a style: this output is for programs, too.
            let head = std::iter::once(COLUMNS.map(str::to_owned));
            let rows: Vec<_> =
                head.chain(rows.map(Row::cells)).map(|row| (Style::new(), row)).collect();
            if rows.len() == 1 {
                let such = if file.keys().next().is_some() { "such " } else { "" };
                tell(format_args!("{} has no {such}keys", file.file().display()));
            } else {
                table::write(&rows, COLUMNS.len(), output)?;
            }
        }
    }
    Ok(Exit::Fine)
}

impl Arguments {
    /// The keys that all filters fit; none where the policy has errors, which are printed.
    fn keys<'f>(&self, file: &'f KeyFile, now: i64) -> Result<Option<Vec<Key<'f>>>> {
        let types = if self.scopes.is_empty() || !self.knows_policy(file) {
            None
        } else {
            match file.policy(self.files.policy.as_deref())? {
                Ok(engine) => Some(engine),
                Err(mut errors) => {
                    finding::locate(&mut errors);
                    finding::print(&errors, &mut anstream::stderr())?;
                    return Ok(None);
                }
            }
        };
        let used = self.unused_since.map(|past| self.used_since(past.before(now))).transpose()?;
        let mut keys = Vec::new();
        for key in file.keys() {
            let is_wanted =
                self.account.as_ref().is_none_or(|wanted| key.text("account") == Some(wanted))
                    && self.key_type.as_ref().is_none_or(|wanted| key.text("type") == Some(wanted))
                    && (self.states.is_empty() || self.states.contains(&key.state(now)))
                    && used.as_ref().is_none_or(|used| used.is_unused(key))
                    && self.grants(key, types.as_ref())?;
            if is_wanted {
                keys.push(key);
            }
        }
        Ok(Some(keys))
    }

    fn knows_policy(&self, file: &KeyFile) -> bool {
        self.files.policy.is_some() || file.is_policy()
    }

    /// Whether a key has all the scopes that are asked for.
    fn grants(&self, key: Key<'_>, policy: Option<&Engine>) -> Result<bool> {
        if self.scopes.is_empty() {
            return Ok(true);
        }
        let covers = |granted: &[Scope]| {
            self.scopes.iter().all(|wanted| granted.iter().any(|scope| scope.covers(wanted)))
        };
        if let Some(granted) = key.texts("scopes") {
            return Ok(covers(
                &granted.iter().filter_map(|scope| Scope::parse(scope).ok()).collect::<Vec<_>>(),
            ));
        }
        let Some(name) = key.text("type") else { return Ok(false) };
        let Some(policy) = policy else {
            bail!(
                "the key `{}` has the scopes of its type: name the policy with `--policy`",
                key.id()
            );
        };
        let key_type = policy.key_types().iter().find(|key_type| key_type.name() == name);
        Ok(key_type.is_some_and(|key_type| covers(key_type.scopes().unwrap_or_default())))
    }

    /// Which keys were used since `cut`, as the Envoys have counted.
    fn used_since(&self, cut: i64) -> Result<Used> {
        let mut last: HashMap<String, i64> = HashMap::new();
        for admin in &self.admin {
            let counted = usage::last_used(admin, self.name.as_deref())?;
            if counted.keys.is_empty() {
                bail!(
                    "Envoy at `{admin}` counts nothing per key: the policy needs `metrics: {{per_key: true}}`"
                );
            }
            if counted.since > cut {
                warn(format_args!(
                    "Envoy at `{admin}` counts since {} only: a key may have been used before",
                    time::display(counted.since)
                ));
            }
            for (id, time) in counted.keys {
                let latest = last.entry(id).or_insert(time);
                *latest = time.max(*latest);
            }
        }
        Ok(Used { cut, last })
    }
}

/// When keys were last used.
struct Used {
    /// Those that were used since then are in use.
    cut: i64,
    last: HashMap<String, i64>,
}

impl Used {
    fn is_unused(&self, key: Key<'_>) -> bool {
        self.last.get(key.id()).is_none_or(|last| *last < self.cut)
            && key.time("created").is_none_or(|created| created < self.cut)
    }
}

/// A time in the past.
#[derive(Clone, Copy, Debug)]
enum Past {
    /// In Unix seconds.
    At(i64),
    /// So many seconds ago.
    Ago(i64),
}

impl Past {
    fn before(self, now: i64) -> i64 {
        match self {
            Past::At(time) => time,
            Past::Ago(seconds) => now.saturating_sub(seconds),
        }
    }
}

fn parse_past(text: &str) -> Result<Past, String> {
    match time::parse(text) {
        Ok(time) => Ok(Past::At(time)),
        Err(_) => parse_duration(text).map(Past::Ago).map_err(|_| {
            "expected a span of time such as `30d`, or a date such as `2026-01-01`".to_owned()
        }),
    }
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    name: Option<&'a str>,
    #[serde(rename = "type")]
    key_type: Option<&'a str>,
    account: Option<&'a str>,
    hint: Option<&'a str>,
    created: Option<String>,
    expires: Option<String>,
    state: String,
}

impl<'a> Row<'a> {
    fn new(key: Key<'a>, now: i64) -> Row<'a> {
        Row {
            id: key.id(),
            name: key.text("name"),
            key_type: key.text("type"),
            account: key.text("account"),
            hint: key.text("hint"),
            created: time_of(key, "created"),
            expires: time_of(key, "expires_at"),
            state: key.state(now).to_string(),
        }
    }

    fn cells(self) -> [String; COLUMNS.len()] {
        let cell = |text: Option<&str>| text.unwrap_or("-").to_owned();
        [
            cell(Some(self.id)),
            cell(self.name),
            cell(self.key_type),
            cell(self.account),
            cell(self.hint),
            cell(self.created.as_deref()),
            cell(self.expires.as_deref()),
            self.state,
        ]
    }
}

/// The time that stands there, or what else does.
fn time_of(key: Key<'_>, field: &str) -> Option<String> {
    let value = key.field(field)?;
    Some(match (value.instant(), value) {
        (Some(time), _) => time::display(time),
        (None, Document::String(text)) => text.clone(),
        (None, value) => value.to_json().unwrap_or_default(),
    })
}

const COLUMNS: [&str; 8] = ["ID", "NAME", "TYPE", "ACCOUNT", "HINT", "CREATED", "EXPIRES", "STATE"];
