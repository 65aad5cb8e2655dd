//! Changes to the text of a keys file: what is not named by a change keeps every byte.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use anyhow::{Context, Result, bail};

use super::layout::{self, Field, Item, List, Node, line_end, line_up_to};
use crate::document::{Document, Fields, json_for_yaml};

/// One change; a key is named by its place in the list before any change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new key at the end.
    Add(Fields<Document>),
    /// The key is taken away.
    Remove(usize),
    /// A field of the key gets a new value, or is added.
    Set(usize, &'static str, Document),
    /// A field of the key is taken away, if it is there.
    Unset(usize, &'static str),
}

impl Change {
    /// The key that it changes, by its place before any change.
    fn key(&self) -> Option<usize> {
        match self {
            Change::Add(_) => None,
            Change::Remove(index) | Change::Set(index, ..) | Change::Unset(index, _) => {
                Some(*index)
            }
        }
    }
}

/// The list of keys after `changes`; what they do not name is not copied.
pub(super) fn change_list<'a>(
    keys: &'a [Document],
    changes: &'a [Change],
) -> impl Iterator<Item = Cow<'a, Document>> {
    let mut of_key: HashMap<usize, Vec<&Change>> = HashMap::new();
    for change in changes {
        if let Some(index) = change.key() {
            of_key.entry(index).or_default().push(change);
        }
    }
    let kept = keys.iter().enumerate().filter_map(move |(index, key)| {
        let mut key = Cow::Borrowed(key);
        for change in of_key.get(&index).into_iter().flatten() {
            match change {
                Change::Add(_) => {}
                Change::Remove(_) => return None,
                Change::Set(_, name, value) => set(key.to_mut(), name, value),
                Change::Unset(_, name) => unset(key.to_mut(), name),
            }
        }
        Some(key)
    });
    let added = changes.iter().filter_map(|change| match change {
        Change::Add(fields) => Some(Cow::Owned(Document::Object(fields.clone()))),
        _ => None,
    });
    kept.chain(added)
}

fn set(key: &mut Document, name: &str, value: &Document) {
    let Document::Object(Fields(fields)) = key else { return };
    match fields.iter_mut().find(|(field, _)| field == name) {
        Some((_, field)) => *field = value.clone(),
        None => fields.push((name.to_owned(), value.clone())),
    }
}

fn unset(key: &mut Document, name: &str) {
    if let Document::Object(Fields(fields)) = key {
        fields.retain(|(field, _)| field != name);
    }
}

/// The text of the file after `changes`.
///
/// # Errors
/// The text is laid out in a way that this does not understand.
pub(super) fn change_text(text: &str, is_json: bool, changes: &[Change]) -> Result<String> {
    if text.trim().is_empty() && is_json {
        return change_text("{\n  \"keys\": []\n}\n", is_json, changes);
    }
    let wanted = changes.iter().filter_map(Change::key).collect();
    let list = layout::find(text, is_json, &wanted)?;
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut editor = Editor { text, is_json, line_break, list: &list, edits: Vec::new() };
    editor.remove_keys(changes)?;
    // What is added to a field that is there stands before a new one behind it.
    for is_new in [false, true] {
        for change in changes {
            let item = |index: &usize| list.items().get(*index).context("a key is missing");
            match change {
                Change::Set(index, name, value) if item(index)?.has(name) != is_new => {
                    editor.set(item(index)?, name, value)?;
                }
                Change::Unset(index, name) if is_new => editor.unset(item(index)?, name)?,
                _ => {}
            }
        }
    }
    editor.add(changes)?;
    Ok(editor.finish())
}

struct Editor<'a> {
    text: &'a str,
    is_json: bool,
    line_break: &'static str,
    list: &'a List,
    edits: Vec<(Range<usize>, String)>,
}

impl Editor<'_> {
    fn edit(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.edits.push((range, text.into()));
    }

    fn finish(mut self) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut result = String::with_capacity(self.text.len() + 1024);
        let mut done = 0;
        for (range, text) in &self.edits {
            result.push_str(self.text.get(done..range.start).unwrap_or(""));
            result.push_str(text);
            done = done.max(range.end);
        }
        result.push_str(self.text.get(done..).unwrap_or(""));
        result
    }

    fn set(&mut self, item: &Item, name: &str, value: &Document) -> Result<()> {
        if let Some(field) = item.field(name) {
            return self.replace(field, item.is_flow, value);
        }
        let value = self.value(value, item.is_flow)?;
        let name = self.name(name)?;
        let before = line_up_to(self.text, item.last_name);
        if item.is_flow {
            let blank = if is_blank(before) {
                format!("{}{before}", self.line_break)
            } else {
                " ".to_owned()
            };
            self.edit(item.last_end..item.last_end, format!(",{blank}{name}: {value}"));
        } else {
            // The first field stands behind the dash.
            let indent: String =
                before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let end = line_end(self.text, item.last_end);
            self.edit(end..end, format!("{}{indent}{name}: {value}", self.line_break));
        }
        Ok(())
    }

    /// Gives a field that is there another value. Of a list and of an object, what stays keeps its text.
    fn replace(&mut self, field: &Field, in_flow: bool, value: &Document) -> Result<()> {
        match (&field.node, value) {
            (Node::List(list, texts), Document::Array(new))
                if self.change_texts(list, texts, new)? =>
            {
                return Ok(());
            }
            (Node::Object(item), Document::Object(Fields(new)))
                if item
                    .fields
                    .iter()
                    .any(|field| new.iter().any(|(name, _)| *name == field.name)) =>
            {
                for (name, value) in new {
                    let old = item.field(name);
                    let is_same = old.is_some_and(|old| {
                        matches!((&old.node, value), (Node::Scalar(old), Document::String(new)) if old == new)
                    });
                    if !is_same {
                        self.set(item, name, value)?;
                    }
                }
                let is_gone = |field: &Field| !new.iter().any(|(name, _)| *name == field.name);
                return self.unset_all(item, &item.fields.iter().map(is_gone).collect::<Vec<_>>());
            }
            _ => {}
        }
        let value = self.value(value, in_flow)?;
        let Field { colon, value: range, .. } = field;
        let on_own_lines = self.text.get(*colon..range.start).is_some_and(|gap| gap.contains('\n'));
        if on_own_lines {
            self.edit(*colon..*colon, format!(" {value}"));
            self.edit(line_end(self.text, *colon)..range.end, "");
        } else {
            let blank = if range.is_empty() { " " } else { "" };
            self.edit(range.clone(), format!("{blank}{value}"));
        }
        Ok(())
    }

    /// Makes a list of `texts` one of `new`, if something of it stays.
    fn change_texts(&mut self, list: &List, texts: &[String], new: &[Document]) -> Result<bool> {
        let mut rest = new.iter().peekable();
        let mut removed = Vec::new();
        for (item, text) in list.items().iter().zip(texts) {
            // The layout of JSON is found without its escapes.
            let plain = self.text.get(item.range.clone()).filter(|_| self.is_json);
            let plain = plain.and_then(|plain| serde_json::from_str::<String>(plain).ok());
            let text = plain.as_ref().unwrap_or(text);
            removed.push(rest.next_if(|new| new.as_str() == Some(text)).is_none());
        }
        let Some(last) = removed.iter().rposition(|removed| !removed) else { return Ok(false) };
        self.remove(list, &removed)?;
        let Some(last) = list.items().get(last) else { return Ok(false) };
        let is_block = matches!(list, List::Block { .. });
        let before = line_up_to(self.text, last.range.start).to_owned();
        let (end, between) = if is_block {
            let dash = self.dash(last)?;
            let indent = line_up_to(self.text, dash);
            (line_end(self.text, last.range.end), format!("{}{indent}- ", self.line_break))
        } else if is_blank(&before) {
            (last.range.end, format!(",{}{before}", self.line_break))
        } else {
            (last.range.end, ", ".to_owned())
        };
        let mut added = String::new();
        for value in rest {
            let _ = write!(added, "{between}{}", self.value(value, !is_block)?);
        }
        if !added.is_empty() {
            self.edit(end..end, added);
        }
        Ok(true)
    }

    fn unset(&mut self, item: &Item, name: &str) -> Result<()> {
        self.unset_all(
            item,
            &item.fields.iter().map(|field| field.name == name).collect::<Vec<_>>(),
        )
    }

    /// Takes away those fields of an object that `removed` marks; others stay.
    fn unset_all(&mut self, item: &Item, removed: &[bool]) -> Result<()> {
        let Some(last_kept) = removed.iter().rposition(|removed| !removed) else {
            bail!("nothing of an object stays");
        };
        for (index, field) in item.fields.iter().enumerate() {
            if !removed.get(index).is_some_and(|removed| *removed) {
                continue;
            }
            let range = if index > last_kept && item.is_flow {
                let before = index.checked_sub(1).and_then(|index| item.fields.get(index));
                before.context("a field is missing")?.value.end..field.value.end
            } else if item.is_flow || !is_blank(line_up_to(self.text, field.start)) {
                // Behind a brace, a comma or a dash.
                let next = item.fields.get(index + 1).context("a field is missing")?;
                field.start..next.start
            } else {
                self.lines(field.start, field.value.end.max(field.colon))
            };
            self.edit(range, "");
        }
        Ok(())
    }

    /// The lines from the one of `start` to the one of `end`, with the line break before them: behind
    /// them something else may be added.
    fn lines(&self, start: usize, end: usize) -> Range<usize> {
        let before = self.text.get(..start - line_up_to(self.text, start).len()).unwrap_or("");
        let before = before.strip_suffix('\n').unwrap_or(before);
        let before = before.strip_suffix('\r').unwrap_or(before);
        before.len()..line_end(self.text, end)
    }

    fn add(&mut self, changes: &[Change]) -> Result<()> {
        let added: Vec<&Fields<Document>> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Add(fields) => Some(fields),
                _ => None,
            })
            .collect();
        if added.is_empty() {
            return Ok(());
        }
        match self.list {
            List::Missing if self.is_json => bail!("the file has no list `keys`"),
            List::Missing => {
                let end = self.text.len();
                let first = if self.text.is_empty() || self.text.ends_with('\n') {
                    ""
                } else {
                    self.line_break
                };
                let items = self.block_items(&added, "  ", false)?;
                self.edit(end..end, format!("{first}keys:{items}{}", self.line_break));
            }
            List::Empty { value, .. } if self.is_json => {
                let before = line_up_to(self.text, value.start);
                let outer = indentation(before).to_owned();
                let inner = format!("{outer}  ");
                let mut items = String::new();
                for (index, fields) in added.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let item = self.flow_item(fields, Some(&format!("{inner}  ")), &inner)?;
                    let _ = write!(items, "{comma}{}{inner}{item}", self.line_break);
                }
                self.edit(value.clone(), format!("[{items}{}{outer}]", self.line_break));
            }
            List::Empty { colon, value } => {
                let name_line = indentation(line_up_to(self.text, *colon)).to_owned();
                let items = self.block_items(&added, &format!("{name_line}  "), false)?;
                self.edit(*colon..value.end, "");
                let end = line_end(self.text, value.end);
                self.edit(end..end, items);
            }
            List::Block { items, .. } => {
                let last = items.last().context("a list without keys")?;
                let dash = self.dash(last)?;
                let indent = line_up_to(self.text, dash).to_owned();
                let end = line_end(self.text, last.range.end);
                let items = self.block_items(&added, &indent, last.is_flow)?;
                self.edit(end..end, items);
            }
            List::Flow { items, .. } => {
                let last = items.last().context("a list without keys")?;
                let before = line_up_to(self.text, last.range.start);
                let outer = indentation(before).to_owned();
                let blank = if is_blank(before) {
                    format!("{}{outer}", self.line_break)
                } else {
                    " ".to_owned()
                };
                let last_text = self.text.get(last.range.clone()).unwrap_or("");
                let name_line = line_up_to(self.text, last.last_name);
                let inner = (last_text.contains('\n') && is_blank(name_line)).then_some(name_line);
                let mut text = String::new();
                for fields in &added {
                    let item = self.flow_item(fields, inner, &outer)?;
                    let _ = write!(text, ",{blank}{item}");
                }
                self.edit(last.range.end..last.range.end, text);
            }
        }
        Ok(())
    }

    fn remove_keys(&mut self, changes: &[Change]) -> Result<()> {
        let mut removed = vec![false; self.list.items().len()];
        for change in changes {
            if let Change::Remove(index) = change {
                *removed.get_mut(*index).context("a key is missing")? = true;
            }
        }
        self.remove(self.list, &removed)
    }

    /// Takes away those items of a list that `removed` marks.
    fn remove(&mut self, list: &List, removed: &[bool]) -> Result<()> {
        if !removed.contains(&true) {
            return Ok(());
        }
        let all = !removed.contains(&false);
        match list {
            List::Missing | List::Empty { .. } => bail!("an item is missing"),
            List::Block { head, items } => {
                for (item, _) in items.iter().zip(removed).filter(|(_, removed)| **removed) {
                    let dash = self.dash(item)?;
                    self.edit(self.lines(dash, item.range.end), "");
                }
                if all {
                    self.edit(*head..*head, " []");
                }
            }
            List::Flow { inner, .. } if all => self.edit(inner.clone(), ""),
            List::Flow { items, .. } => {
                let last_kept = removed.iter().rposition(|removed| !removed).unwrap_or(0);
                let removed = removed.iter().enumerate().filter(|(_, removed)| **removed);
                for (index, _) in removed {
                    // A comma goes with each: the one behind the key, or the one before it where
                    // no key stays behind.
                    let first = if index < last_kept { index } else { index - 1 };
                    if let (Some(first), Some(second)) = (items.get(first), items.get(first + 1)) {
                        self.edit(
                            if index < last_kept {
                                first.range.start..second.range.start
                            } else {
                                first.range.end..second.range.end
                            },
                            "",
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the dash of a key stands.
    fn dash(&self, item: &Item) -> Result<usize> {
        let before = self.text.get(..item.range.start).unwrap_or("").trim_end();
        let dash = before.strip_suffix('-').context("something is between a dash and its key")?;
        if !is_blank(line_up_to(self.text, dash.len())) {
            bail!("a key does not start its line");
        }
        Ok(dash.len())
    }

    /// Lines for keys, each of them with the line break before it.
    fn block_items(
        &self,
        added: &[&Fields<Document>],
        indent: &str,
        are_flow: bool,
    ) -> Result<String> {
        let mut lines = String::new();
        for fields in added {
            if are_flow {
                let item = self.flow_item(fields, None, "")?;
                let _ = write!(lines, "{}{indent}- {item}", self.line_break);
                continue;
            }
            for (index, (name, value)) in fields.0.iter().enumerate() {
                let dash = if index == 0 { "- " } else { "  " };
                let (name, value) = (self.name(name)?, self.value(value, false)?);
                let _ = write!(lines, "{}{indent}{dash}{name}: {value}", self.line_break);
            }
        }
        Ok(lines)
    }

    /// A key in braces: on one line, or with a line for each field, which starts with `inner`.
    fn flow_item(
        &self,
        fields: &Fields<Document>,
        inner: Option<&str>,
        outer: &str,
    ) -> Result<String> {
        let mut text = String::new();
        for (index, (name, value)) in fields.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let blank = match inner {
                Some(inner) => format!("{}{inner}", self.line_break),
                None => if index > 0 { " " } else { "" }.to_owned(),
            };
            let (name, value) = (self.name(name)?, self.value(value, true)?);
            let _ = write!(text, "{comma}{blank}{name}: {value}");
        }
        Ok(match inner {
            Some(_) => format!("{{{text}{}{outer}}}", self.line_break),
            None => format!("{{{text}}}"),
        })
    }

    fn name(&self, name: &str) -> Result<String> {
        if self.is_json || !is_plain(name) { quoted(name) } else { Ok(name.to_owned()) }
    }

    /// A value on one line.
    fn value(&self, value: &Document, in_flow: bool) -> Result<String> {
        Ok(match value {
            Document::String(text) if self.is_json => quoted(text)?,
            Document::String(text) => {
                let is_time = latchkey::parse_timestamp(text).is_some();
                if is_plain(text) || is_time && !in_flow { text.clone() } else { quoted(text)? }
            }
            Document::Array(items) => {
                let items: Result<Vec<_>> =
                    items.iter().map(|item| self.value(item, true)).collect();
                format!("[{}]", items?.join(", "))
            }
            Document::Object(fields) => self.flow_item(fields, None, "")?,
            Document::Boolean(_) | Document::Null | Document::Number(_) => value.to_json()?,
        })
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn indentation(line: &str) -> &str {
    line.get(..line.len() - line.trim_start().len()).unwrap_or("")
}

/// Whether YAML of every version takes these bare characters for a text.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// A text in double quotes, which JSON and YAML read alike.
fn quoted(text: &str) -> Result<String> {
    Ok(json_for_yaml(&serde_json::to_string(text).context("cannot write JSON")?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::document;

    fn text(text: &str) -> Document {
        Document::String(text.to_owned())
    }

    fn new_key(id: &str) -> Change {
        Change::Add(Fields(vec![
            ("id".to_owned(), text(id)),
            ("created".to_owned(), text("2026-06-01T00:00:00Z")),
            ("scopes".to_owned(), Document::Array(vec![text("reports:read"), text("read")])),
        ]))
    }

    fn revoke(index: usize) -> [Change; 2] {
        [
            Change::Set(index, "expires_at", text("2026-06-01T00:00:00Z")),
            Change::Set(index, "disabled", Document::Boolean(true)),
        ]
    }

    fn keys(file: &str, text: &str) -> Vec<Document> {
        match document::parse(Path::new(file), text).unwrap().field("keys") {
            Some(Document::Array(keys)) => keys.clone(),
            _ => Vec::new(),
        }
    }

    /// The text after the changes, which must mean what the changes mean.
    #[track_caller]
    fn changed(file: &str, text: &str, changes: &[Change]) -> String {
        let is_json = document::is_json(Path::new(file), text);
        let result = change_text(text, is_json, changes).unwrap();
        let is_nothing = text.lines().all(|line| line.is_empty() || line.starts_with('#'));
        let old = if is_nothing { Vec::new() } else { keys(file, text) };
        let expected: Vec<_> = change_list(&old, changes).map(Cow::into_owned).collect();
        assert_eq!(keys(file, &result), expected, "{result}");
        result
    }

    const BLOCK: &str = "\
# Keys of the workspace, é
keys:
  # the first
  - id: a          # who
    hash: \"x\"
    scopes: [read, \"w\"]   # what

  # the second
  - id: b
    note: |
      two
      lines

    # nothing follows
# end
";

    #[test]
    fn a_key_is_added_behind_the_last_line_of_the_last_one() {
        let expected = "      lines
  - id: ci-2026
    created: 2026-06-01T00:00:00Z
    scopes: [\"reports:read\", read]

    # nothing follows
# end
";
        let start = BLOCK.find("      lines").unwrap();
        assert_eq!(
            changed("k.yaml", BLOCK, &[new_key("ci-2026")]),
            format!("{}{expected}", BLOCK.get(..start).unwrap())
        );
    }

    #[test]
    fn a_key_is_revoked_behind_its_last_field() {
        let line = "    scopes: [read, \"w\"]   # what\n";
        let more = "    expires_at: 2026-06-01T00:00:00Z\n    disabled: true\n";
        let expected = BLOCK.replace(line, &format!("{line}{more}"));
        assert_eq!(changed("k.yaml", BLOCK, &revoke(0)), expected);
    }

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        let yaml =
            "keys:\n- expires_at: 2030-01-01T00:00:00Z  # late\n  disabled: false\n  id: a\n";
        assert_eq!(
            changed("k.yaml", yaml, &revoke(0)),
            "keys:\n- expires_at: 2026-06-01T00:00:00Z  # late\n  disabled: true\n  id: a\n"
        );
        let json = r#"{"keys": [{"disabled":false,"expires_at":17,"id":"a\/\ud83d\ude00"}]}"#;
        assert_eq!(
            changed("k.json", json, &revoke(0)),
            r#"{"keys": [{"disabled":true,"expires_at":"2026-06-01T00:00:00Z","id":"a\/\ud83d\ude00"}]}"#
        );
    }

    #[test]
    fn keys_are_removed_and_the_comments_around_them_stay() {
        let expected = "\
# Keys of the workspace, é
keys:
  # the first

  # the second
  - id: b
    note: |
      two
      lines

    # nothing follows
# end
";
        assert_eq!(changed("k.yaml", BLOCK, &[Change::Remove(0)]), expected);
        let all = changed("k.yaml", BLOCK, &[Change::Remove(0), Change::Remove(1)]);
        assert!(all.starts_with("# Keys of the workspace, é\nkeys: []\n  # the first\n"), "{all}");
        assert!(all.ends_with("# end\n"), "{all}");
        // And back again.
        changed("k.yaml", &all, &[new_key("c")]);
    }

    fn words(words: &[&str]) -> Document {
        Document::Array(words.iter().map(|word| text(word)).collect())
    }

    fn object(fields: &[(&str, &str)]) -> Document {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
        Document::Object(Fields(fields.collect()))
    }

    #[test]
    fn what_stays_of_a_list_keeps_its_text() {
        let yaml = "\
keys:
  - id: a
    scopes:            # what it may
      - 'a:read'       # the first
      # and more
      - \"b:read\"
      - c:read
    name: x
  - id: b
    scopes: [ 'a:read',  b ]  # few
    origins: [
      https://a.example,
      https://b.example
    ]
";
        let changes = [
            Change::Set(0, "scopes", words(&["a:read", "c:read", "d:read"])),
            Change::Set(1, "scopes", words(&["a:read", "c"])),
            Change::Set(1, "origins", words(&["https://b.example", "https://c.example"])),
        ];
        assert_eq!(
            changed("k.yaml", yaml, &changes),
            "\
keys:
  - id: a
    scopes:            # what it may
      - 'a:read'       # the first
      # and more
      - c:read
      - \"d:read\"
    name: x
  - id: b
    scopes: [ 'a:read', c ]  # few
    origins: [
      https://b.example,
      \"https://c.example\"
    ]
"
        );
        // Nothing of the old list stays, or there is none in the new one.
        let changes = [
            Change::Set(0, "scopes", words(&["read"])),
            Change::Set(1, "scopes", words(&[])),
            Change::Unset(1, "origins"),
        ];
        assert_eq!(
            changed("k.yaml", yaml, &changes),
            "\
keys:
  - id: a
    scopes: [read]            # what it may
    name: x
  - id: b
    scopes: []  # few
"
        );
    }

    #[test]
    fn what_stays_of_an_object_keeps_its_text() {
        let yaml = "\
keys:
  - id: a
    attributes:
      plan: 'pro'   # paid
      # where
      region: eu
    # end
  - {id: b, attributes: {plan: 'pro', region: eu}, name: b} # b
";
        let new = object(&[("plan", "pro"), ("seats", "5")]);
        let changes =
            [Change::Set(0, "attributes", new.clone()), Change::Set(1, "attributes", new)];
        assert_eq!(
            changed("k.yaml", yaml, &changes),
            "\
keys:
  - id: a
    attributes:
      plan: 'pro'   # paid
      # where
      seats: \"5\"
    # end
  - {id: b, attributes: {plan: 'pro', seats: \"5\"}, name: b} # b
"
        );
        let new = object(&[("plan", "free"), ("region", "eu")]);
        let changes = [Change::Set(0, "attributes", new), Change::Unset(1, "attributes")];
        assert_eq!(
            changed("k.yaml", yaml, &changes),
            yaml.replacen("'pro'", "free", 1)
                .replace(" attributes: {plan: 'pro', region: eu},", "")
        );
    }

    #[test]
    fn a_field_that_comes_and_goes_leaves_the_file_as_it_was() {
        for (file, text) in LAYOUTS {
            for index in 0..3 {
                let set = Change::Set(index, "suspended", Document::Boolean(true));
                let unset = Change::Unset(index, "suspended");
                let suspended = changed(file, text, &[set]);
                let resumed = changed(file, &suspended, std::slice::from_ref(&unset));
                // A comma behind the last field is all that may go.
                assert_eq!(resumed.replace(", }", "}"), text.replace(", }", "}"));
                let both = [unset, Change::Set(index, "name", super::tests::text("é"))];
                changed(file, &suspended, &both);
            }
        }
    }

    #[test]
    fn a_field_goes_wherever_it_stands() {
        for text in [
            "keys:\n- suspended: true\n  id: a\n",
            "keys:\r\n- id: a\r\n  suspended: true # x\r\n",
            "keys:\n- id: a\n  suspended:\n    true\n  name: x\n",
            "keys: [{suspended: true, id: a}]\n",
            "keys: [{id: a, suspended: true}]\n",
            "{\"keys\": [{\"id\": \"\\u0061\", \"suspended\": true, \"scopes\": [\"a\\u003ab\"]}]}\n",
        ] {
            let is_json = text.starts_with('{');
            let file = if is_json { "k.json" } else { "k.yaml" };
            let rest = changed(file, text, &[Change::Unset(0, "suspended")]);
            assert!(!rest.contains("suspended"), "{rest}");
            if is_json {
                let rest = changed(file, text, &[Change::Set(0, "scopes", words(&["a:b", "c"]))]);
                assert!(rest.contains("[\"a\\u003ab\", \"c\"]"), "{rest}");
            }
        }
    }

    const LAYOUTS: [(&str, &str); 13] = [
        ("k.yaml", "keys:\n- id: a\n- id: b\n  disabled: false\n- id: c"),
        ("k.yaml", "keys:\r\n  - id: a\r\n  - id: b # x\r\n    expires_at:\r\n  - id: c\r\n"),
        (
            "k.yaml",
            "keys:\n  -\n    id: a\n  -   id: b\n      name: 'it''s\n        long'\n  - id: c\n",
        ),
        ("k.yaml", "keys:\n- {id: a}\n- {id: b, disabled: false} # x\n- {id: c, }\n"),
        ("k.yaml", "keys: [{id: a}, {id: b, expires_at: 1}, {id: c}]\nrealm: x\n"),
        ("k.yaml", "keys: [\n  {id: a},\n  {id: b},\n  {id: c},\n]\n"),
        (
            "k.yaml",
            "---\nrealm: x\nkeys:\n  - id: a\n    attributes:\n      plan: é\n  - id: b\n  - id: c\n    scopes:\n    - read\nrules: []\n",
        ),
        (
            "k.yaml",
            "keys: &k\n- &x\n  id: a\n  scopes: &s [read]\n- &y {id: b, scopes: &t [read]}\n- id: c\n  attributes: &a\n    plan: x\n",
        ),
        (
            "k.yaml",
            "keys: !!seq\n- !!map\n  id: !!str a\n- id: &b b\n  disabled: !!bool false\n- id: c\n",
        ),
        ("k.yaml", "keys: &k [&x {id: a}, &y {id: b, scopes: &s [read]}, {id: c}]\n"),
        ("k.json", r#"{"keys":[{"id":"a"},{"id":"b","disabled":false},{"id":"c"}]}"#),
        (
            "k.json",
            "{\n\t\"keys\": [\n\t\t{\n\t\t\t\"id\": \"a\"\n\t\t},\n\t\t{\"id\": \"b\"},\n\t\t{\n\t\t\t\"id\": \"c\"\n\t\t}\n\t],\n\t\"realm\": \"é\\n\"\n}\n",
        ),
        ("keys", "{\"keys\": [\n  {\"id\": \"a\"},\n  {\"id\": \"b\"},\n  {\"id\": \"c\"}\n]}\n"),
    ];

    #[test]
    fn every_layout_takes_every_change() {
        for (file, text) in LAYOUTS {
            changed(file, text, &[new_key("d")]);
            for index in 0..3 {
                let revoked = changed(file, text, &revoke(index));
                changed(file, &revoked, &revoke(index));
                let mut rotation = revoke(index).to_vec();
                rotation.push(new_key("d"));
                changed(file, text, &rotation);
            }
            for removed in 1..8 {
                let indexes = (0..3).filter(|index| removed >> index & 1 == 1);
                let changes: Vec<_> = indexes.map(Change::Remove).collect();
                let rest = changed(file, text, &changes);
                changed(file, &rest, &[new_key("d"), new_key("e")]);
            }
        }
    }

    #[test]
    fn an_empty_list_becomes_one_with_a_key() {
        let block = "keys:\n  - id: d\n    created: 2026-06-01T00:00:00Z\n    scopes: [\"reports:read\", read]\n";
        for text in ["", "# ours\n", "keys: []\n", "keys:\n", "keys: null\n", "keys: [ ]\n"] {
            let result = changed("k.yaml", text, &[new_key("d")]);
            assert!(result.ends_with(block), "{result}");
        }
        assert_eq!(
            changed("k.yaml", "# ours\nkeys: [] # none yet\nrealm: x\n", &[new_key("d")]),
            "# ours\nkeys: # none yet\n  - id: d\n    created: 2026-06-01T00:00:00Z\n    \
             scopes: [\"reports:read\", read]\nrealm: x\n"
        );
        let json = r#"{
  "keys": [
    {
      "id": "d",
      "created": "2026-06-01T00:00:00Z",
      "scopes": ["reports:read", "read"]
    }
  ]
}
"#;
        for text in ["", "{\n  \"keys\": []\n}\n", "{\n  \"keys\": null\n}\n"] {
            assert_eq!(changed("k.json", text, &[new_key("d")]), json);
        }
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (given, expected) in [
            ("ci-2026", "ci-2026"),
            ("No", "\"No\""),
            ("1e3", "\"1e3\""),
            ("a: b # c", "\"a: b # c\""),
            ("", "\"\""),
            ("\u{85}\u{2028}\u{feff}\n", r#""\u0085\u2028\ufeff\n""#),
            ("Łódź", "\"Łódź\""),
        ] {
            let change = Change::Add(Fields(vec![("name".to_owned(), text(given))]));
            let result = changed("k.yaml", "keys: []", &[change]);
            assert_eq!(result, format!("keys:\n  - name: {expected}"));
        }
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused() {
        for (file, text, message) in [
            ("k.yaml", "- a\n", "the file is not an object with a list `keys`"),
            ("k.yaml", "keys: {}\n", "`keys` is not a list"),
            ("k.yaml", "keys: [a]\n", "a key is not an object"),
            ("k.yaml", "keys: [\n", "line 2: "),
            ("k.json", "{}", "the file has no list `keys`: add `keys: []`"),
        ] {
            let error = change_text(text, file == "k.json", &[new_key("d")]).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }
}
