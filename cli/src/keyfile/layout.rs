//! Where the keys stand in the text of a file, so that a change touches nothing else.
//!
//! JSON is read as the YAML that it is. What comes of an edit is parsed again and compared, so a
//! wrong place found here is an error, never a wrong file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// Where the list of keys stands; all places are in bytes.
#[derive(Debug)]
pub(super) enum List {
    /// There is none: the file is empty, or an object whose fields start their lines.
    Missing,
    /// It is there without a value, or with `null`, `~` or `[]`: the end of its name's colon, and
    /// the value.
    Empty { colon: usize, value: Range<usize> },
    /// One key behind each dash: the end of its name's colon, or of the anchor or tag behind it.
    Block { head: usize, items: Vec<Item> },
    /// In brackets: what is between them.
    Flow { inner: Range<usize>, items: Vec<Item> },
}

impl List {
    /// The keys in the order in which they stand.
    pub(super) fn items(&self) -> &[Item] {
        match self {
            List::Missing | List::Empty { .. } => &[],
            List::Block { items, .. } | List::Flow { items, .. } => items,
        }
    }
}

/// One key, or another object or item of a list.
#[derive(Debug)]
pub(super) struct Item {
    /// From its brace, or its first field, to its brace or the end of its last value.
    pub(super) range: Range<usize>,
    /// Whether it is in braces.
    pub(super) is_flow: bool,
    /// Where its last field's name starts.
    pub(super) last_name: usize,
    /// Where its last field's value ends.
    pub(super) last_end: usize,
    /// Its fields, where they are wanted.
    pub(super) fields: Vec<Field>,
}

impl Item {
    /// What starts at a place, without any field yet.
    fn of(range: Range<usize>, is_flow: bool) -> Item {
        let end = range.end;
        Item { range, is_flow, last_name: end, last_end: end, fields: Vec::new() }
    }

    /// The field `name`, if it is wanted and there.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }
}

/// One field of a key, or of an object in one.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Where its name starts.
    pub(super) start: usize,
    /// The end of its colon.
    pub(super) colon: usize,
    pub(super) value: Range<usize>,
    pub(super) node: Node,
}

/// What a field's value is.
#[derive(Debug)]
pub(super) enum Node {
    /// A list of texts that is not empty.
    List(List, Vec<String>),
    /// An object that is not empty.
    Object(Item),
    /// Anything else.
    Other,
    /// One value: its text.
    Scalar(String),
}

/// Finds the list `keys` of a document, and the fields of those keys that `wanted` names by their place.
///
/// # Errors
/// The text is laid out in a way that this does not understand.
pub(super) fn find(text: &str, is_json: bool, wanted: &HashSet<usize>) -> Result<List> {
    let masked = if is_json { mask_escapes(text) } else { Cow::Borrowed(text) };
    // The parser counts characters.
    let offsets = (!masked.is_ascii())
        .then(|| masked.char_indices().map(|(offset, _)| offset).chain([masked.len()]).collect());
    Walker { parser: Parser::new_from_str(&masked), text: &masked, offsets, wanted }.document()
}

/// Whether something stands for something else, so that a change in one place is one in another.
pub(super) fn has_aliases(text: &str) -> bool {
    let events = Parser::new_from_str(text).map_while(Result::ok);
    events.into_iter().any(|(event, _)| matches!(event, Event::Alias(_)))
}

/// The line on which `place` stands, up to it.
pub(super) fn line_up_to(text: &str, place: usize) -> &str {
    let before = text.get(..place).unwrap_or(text);
    before.rsplit('\n').next().unwrap_or(before)
}

/// Where the line on which `place` stands ends, before what ends it.
pub(super) fn line_end(text: &str, place: usize) -> usize {
    let rest = text.get(place..).unwrap_or("");
    let line = rest.split('\n').next().unwrap_or(rest);
    place + line.strip_suffix('\r').unwrap_or(line).len()
}

/// JSON has escapes that YAML has not. Their places are free to hold anything, as only the places
/// of what is around them are wanted.
fn mask_escapes(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return Cow::Borrowed(json);
    }
    let mut characters = json.chars();
    let mut masked = String::with_capacity(json.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                masked.push('_');
                masked
                    .extend(characters.next().map(|next| if next.is_ascii() { '_' } else { next }));
            }
            character => masked.push(character),
        }
    }
    Cow::Owned(masked)
}

struct Walker<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    offsets: Option<Vec<usize>>,
    wanted: &'t HashSet<usize>,
}

impl<'t> Walker<'t> {
    fn document(&mut self) -> Result<List> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(List::Missing),
                (Event::Scalar(value, ScalarStyle::Plain, _, _), _)
                    if matches!(&*value, "" | "~" | "null") =>
                {
                    return Ok(List::Missing);
                }
                (Event::MappingStart(..), range) => return self.root(self.opens(&range, '{')),
                _ => bail!("the file is not an object with a list `keys`"),
            }
        }
    }

    fn root(&mut self, is_flow: bool) -> Result<List> {
        loop {
            let (name, range) = match self.next()? {
                (Event::MappingEnd, _) if is_flow => {
                    bail!("the file has no list `keys`: add `keys: []`")
                }
                (Event::MappingEnd, _) => return Ok(List::Missing),
                (Event::Scalar(name, ..), range) => (name, range),
                _ => bail!("a field's name is not a text"),
            };
            if name == "keys" {
                return self.keys(range.end);
            }
            let value = self.next()?;
            self.skip(&value)?;
        }
    }

    fn keys(&mut self, name_end: usize) -> Result<List> {
        let colon = self.colon(name_end)?;
        match self.next()? {
            (Event::Scalar(_, ScalarStyle::Plain, _, _), range) => Ok(List::Empty {
                colon,
                value: if range.is_empty() { colon..colon } else { range },
            }),
            (Event::SequenceStart(..), open) => {
                let mut items = Vec::new();
                let close = loop {
                    match self.next()? {
                        (Event::SequenceEnd, close) => break close,
                        (Event::MappingStart(..), start) => {
                            let is_wanted = self.wanted.contains(&items.len());
                            items.push(self.item(start, is_wanted)?);
                        }
                        _ => bail!("a key is not an object"),
                    }
                };
                Ok(self.list(colon, &open, &close, items))
            }
            _ => bail!("`keys` is not a list"),
        }
    }

    fn list(
        &self,
        colon: usize,
        open: &Range<usize>,
        close: &Range<usize>,
        items: Vec<Item>,
    ) -> List {
        match (self.opens(open, '['), items.is_empty()) {
            (false, _) if open.is_empty() => List::Block { head: colon, items },
            (false, _) => List::Block { head: open.end, items },
            (true, true) => List::Empty { colon, value: open.start..close.end },
            (true, false) => List::Flow { inner: open.end..close.start, items },
        }
    }

    fn item(&mut self, start: Range<usize>, is_wanted: bool) -> Result<Item> {
        let mut item = Item::of(start.clone(), self.opens(&start, '{'));
        loop {
            let (name, name_range) = match self.next()? {
                (Event::MappingEnd, end) => {
                    item.range.end = if item.is_flow { end.end } else { item.last_end };
                    return Ok(item);
                }
                (Event::Scalar(name, ..), range) => (name, range),
                _ => bail!("a field's name is not a text"),
            };
            let colon = self.colon(name_range.end)?;
            let value = self.next()?;
            let start = value.1.start;
            let (node, end) = match is_wanted {
                true => self.node(colon, value)?,
                false if value.1.is_empty() && matches!(value.0, Event::Scalar(..)) => {
                    (Node::Other, start)
                }
                false => (Node::Other, self.skip(&value)?),
            };
            let range = if end <= start { colon..colon } else { start..end };
            item.last_name = name_range.start;
            item.last_end = range.end.max(name_range.end);
            if is_wanted {
                let (name, start) = (name.into_owned(), name_range.start);
                item.fields.push(Field { name, start, colon, value: range, node });
            }
        }
    }

    /// The value that starts with `event`, and where it ends.
    fn node(
        &mut self,
        colon: usize,
        (event, range): (Event<'t>, Range<usize>),
    ) -> Result<(Node, usize)> {
        Ok(match event {
            Event::MappingStart(..) => {
                let item = self.item(range, true)?;
                let end = item.range.end;
                (if item.fields.is_empty() { Node::Other } else { Node::Object(item) }, end)
            }
            Event::SequenceStart(..) => {
                let (mut items, mut texts) = (Vec::new(), Vec::new());
                let mut last = range.end;
                let close = loop {
                    match self.next()? {
                        (Event::SequenceEnd, close) => break close,
                        (event, span) => {
                            let start = span.start;
                            let end = self.skip(&(event.clone(), span))?;
                            last = last.max(end);
                            items.push(Item::of(start..end, false));
                            if let Event::Scalar(text, ..) = event {
                                texts.push(text.into_owned());
                            }
                        }
                    }
                };
                let are_texts = !items.is_empty() && texts.len() == items.len();
                let list = self.list(colon, &range, &close, items);
                let end = if matches!(list, List::Block { .. }) { last } else { close.end };
                (if are_texts { Node::List(list, texts) } else { Node::Other }, end)
            }
            event => {
                let end = self.skip(&(event.clone(), range))?;
                match event {
                    Event::Scalar(text, ..) => (Node::Scalar(text.into_owned()), end),
                    _ => (Node::Other, end),
                }
            }
        })
    }

    /// Skips the value that starts with `event` and returns where it ends.
    fn skip(&mut self, (event, range): &(Event<'t>, Range<usize>)) -> Result<usize> {
        let mut end = self.content_end(event, range);
        let mut depth = usize::from(is_start(event));
        while depth > 0 {
            let (event, range) = self.next()?;
            if is_start(&event) {
                depth += 1;
            } else if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                depth -= 1;
            }
            end = end.max(self.content_end(&event, &range));
        }
        Ok(end)
    }

    /// Where an event's text ends. What ends without a bracket is reported where the next begins,
    /// a block of text with the spaces that follow it, and a text in quotes with a comment.
    fn content_end(&self, event: &Event<'_>, range: &Range<usize>) -> usize {
        match event {
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, _, _) => {
                let text = self.text.get(range.clone()).unwrap_or("");
                range.start + text.trim_end().len()
            }
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, _, _) => {
                let text = self.text.get(range.clone()).unwrap_or("");
                range.start + quoted_end(text)
            }
            Event::SequenceEnd | Event::MappingEnd if range.is_empty() => 0,
            _ => range.end,
        }
    }

    /// Whether what begins with `range`, which may hold an anchor or a tag, stands in brackets.
    fn opens(&self, range: &Range<usize>, bracket: char) -> bool {
        self.text.get(range.clone()).is_some_and(|text| text.contains(bracket))
    }

    /// The place after the colon that follows a name.
    fn colon(&self, name_end: usize) -> Result<usize> {
        let rest = self.text.get(name_end..).unwrap_or("");
        let blanks = rest.len() - rest.trim_start().len();
        if rest.trim_start().starts_with(':') {
            Ok(name_end + blanks + 1)
        } else {
            bail!("a field's name is not followed by a colon")
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Range<usize>)> {
        let (event, span) = self
            .parser
            .next()
            .context("the file ends early")?
            .map_err(|error| anyhow!("line {}: {}", error.marker().line(), error.info()))?;
        let (start, mut end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        if matches!(event, Event::SequenceEnd | Event::MappingEnd) && start < end {
            // The bracket; the parser counts the spaces and the comment after it as well.
            end = start + 1;
        }
        Ok((event, start..end))
    }

    fn offset(&self, index: usize) -> usize {
        let offset = match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
            None => index,
        };
        offset.min(self.text.len())
    }
}

/// Where the quotes close that open in `text`.
fn quoted_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip_while(|(_, c)| !matches!(c, '\'' | '"'));
    let quote = characters.next().map(|(_, quote)| quote);
    let mut characters = characters.peekable();
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' if quote == Some('"') => {
                characters.next();
            }
            '\'' if quote == Some('\'') && characters.next_if(|(_, c)| *c == '\'').is_some() => {}
            _ if Some(character) == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_start(event: &Event<'_>) -> bool {
    matches!(event, Event::SequenceStart(..) | Event::MappingStart(..))
}
