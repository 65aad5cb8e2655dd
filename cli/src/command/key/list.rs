//! `latchkey key list`: the keys, without anything secret.

use std::io::Write;
use std::path::PathBuf;

use anstyle::Style;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::tell;
use crate::Exit;
use crate::keyfile::{Key, KeyFile};
use crate::{table, time};

/// List keys and the state that they are in
///
/// A key is active, not yet valid, expired or revoked. The hint is the prefix of its token and the
/// last four characters. Neither token nor hash is shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// File with the list `keys`, YAML or JSON
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// How keys are printed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListFormat {
    /// A JSON list of objects with id, name, type, account, hint, created, expires and state
    Json,
    /// One line for each key
    Table,
}

const EXAMPLE: &str = "\
Example:
  latchkey key list --keys keys.yaml --format json | jq -r '.[] | select(.state == \"active\").id'";

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let file = KeyFile::load(&arguments.keys)?;
    let now = time::now();
    let rows = file.keys().map(|key| Row::new(key, now));
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
                tell(format_args!("{} has no keys", file.file().display()));
            } else {
                table::write(&rows, COLUMNS.len(), output)?;
            }
        }
    }
    Ok(Exit::Fine)
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
            created: key.time("created").map(time::display),
            expires: key.time("expires_at").map(time::display),
            state: key.state(now).to_string(),
        }
    }

    fn cells(self) -> [String; COLUMNS.len()] {
        let own = |text: Option<&str>| text.unwrap_or("-").to_owned();
        [
            own(Some(self.id)),
            own(self.name),
            own(self.key_type),
            own(self.account),
            own(self.hint),
            own(self.created.as_deref()),
            own(self.expires.as_deref()),
            self.state,
        ]
    }
}

const COLUMNS: [&str; 8] = ["ID", "NAME", "TYPE", "ACCOUNT", "HINT", "CREATED", "EXPIRES", "STATE"];
