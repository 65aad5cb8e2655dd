//! `latchkey key show`: everything about keys but what is secret.

use std::io::Write;

use anstyle::Style;
use anyhow::Result;
use clap::Args;

use super::list::ListFormat;
use super::{Files, keys};
use crate::document::{Document, Fields};
use crate::keyfile::{Key, KeyFile};
use crate::{Exit, table, time};

/// Show everything about keys
///
/// All of a key's fields but its hash, and the state that it is in.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey key show ci-2026 --keys keys.yaml")]
pub(super) struct Arguments {
    /// The keys' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// How keys are printed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let file = KeyFile::load(&arguments.files.keys)?;
    let now = time::now();
    let keys = keys(&file, &arguments.ids)?;
    match arguments.format {
        ListFormat::Json => {
            let keys: Vec<_> = keys.iter().map(|key| Document::Object(shown(*key, now))).collect();
            serde_json::to_writer_pretty(&mut *output, &keys)?;
            writeln!(output)?;
        }
        ListFormat::Table => {
            for (index, key) in keys.iter().enumerate() {
                if index > 0 {
                    writeln!(output)?;
                }
                let fields = shown(*key, now).0.into_iter();
                let rows: Vec<_> =
                    fields.map(|(name, value)| (Style::new(), [name, words(&value)])).collect();
                table::write(&rows, 2, output)?;
            }
        }
    }
    Ok(Exit::Fine)
}

/// The key's fields and its state.
fn shown(key: Key<'_>, now: i64) -> Fields<Document> {
    let mut fields: Vec<_> =
        key.fields().iter().filter(|(name, _)| name != "hash").cloned().collect();
    let state = Document::String(key.state(now).to_string());
    fields.insert(fields.len().min(1), ("state".to_owned(), state));
    Fields(fields)
}

fn words(value: &Document) -> String {
    match value {
        Document::String(text) => text.clone(),
        Document::Array(items) if items.is_empty() => "none".to_owned(),
        Document::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(" "),
        Document::Object(Fields(fields)) => {
            let words = fields.iter().map(|(name, value)| format!("{name}={}", words(value)));
            words.collect::<Vec<_>>().join(" ")
        }
        Document::Boolean(_) | Document::Null | Document::Number(_) => {
            value.to_json().unwrap_or_default()
        }
    }
}
