//! Where things stand in a file: the line and column of what a JSON pointer names.
//!
//! Parsing a document forgets places, which few of its users want and a million keys would pay
//! for. They are found by reading the text once more, for the pointers asked for only.

use std::collections::HashMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, Span, StrInput};

use crate::document::is_json;

/// A line and a column of a file, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

impl Place {
    /// Where a file begins.
    pub(crate) const START: Place = Place { line: 1, column: 1 };
}

/// Finds where the fields and items that `pointers` name stand in `text`, which came from `file`
/// and parses. A field stands where its name does. What does not stand in the text, a field that
/// is missing say, stands where what should hold it does.
pub(crate) fn find<'p>(
    file: &Path,
    text: &str,
    pointers: impl IntoIterator<Item = &'p str>,
) -> HashMap<&'p str, Place> {
    let mut walk = Walk { wanted: HashMap::new(), pointer: String::new() };
    let pointers: Vec<&str> = pointers.into_iter().collect();
    for pointer in &pointers {
        for ancestor in ancestors(pointer) {
            walk.wanted.insert(ancestor, None);
        }
    }
    // A text that cannot be read to its end has places up to there.
    let _ = if is_json(file, text) {
        Json::new(text).value(&mut walk)
    } else {
        walk.yaml_document(&mut Parser::new_from_str(text))
    };
    let place = |pointer: &&'p str| {
        let place = ancestors(pointer).find_map(|ancestor| walk.wanted.get(ancestor)?.as_ref());
        Some((*pointer, *place?))
    };
    pointers.iter().filter_map(place).collect()
}

/// A name as it stands in a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer itself, then what holds it, up to the whole document.
fn ancestors(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| {
        pointer.rsplit_once('/').map(|(parent, _)| parent)
    })
}

/// A walk through a document: the pointer to where it is, and the places wanted.
struct Walk<'p> {
    wanted: HashMap<&'p str, Option<Place>>,
    pointer: String,
}

impl Walk<'_> {
    fn note(&mut self, place: Place) {
        if let Some(wanted) = self.wanted.get_mut(self.pointer.as_str()) {
            wanted.get_or_insert(place);
        }
    }

    /// Walks into a field or an item that stands at `place`.
    fn step<T>(
        &mut self,
        name: &str,
        place: Place,
        inside: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let length = self.pointer.len();
        self.pointer.push('/');
        if name.contains(['~', '/']) {
            self.pointer.push_str(&escaped(name));
        } else {
            self.pointer.push_str(name);
        }
        self.note(place);
        let result = inside(self);
        self.pointer.truncate(length);
        result
    }

    fn yaml_document(&mut self, parser: &mut YamlParser<'_>) -> Option<()> {
        loop {
            match parser.next_event()?.ok()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (event, span) => {
                    self.note(start(span));
                    return self.yaml(event, parser);
                }
            }
        }
    }

    /// Walks through the node that starts with `event`.
    fn yaml(&mut self, event: Event<'_>, parser: &mut YamlParser<'_>) -> Option<()> {
        match event {
            Event::SequenceStart(..) => {
                for index in 0.. {
                    let (event, span) = parser.next_event()?.ok()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    let inside = |walk: &mut Self| walk.yaml(event, parser);
                    self.step(&index.to_string(), start(span), inside)?;
                }
                Some(())
            }
            Event::MappingStart(..) => loop {
                let (event, span) = parser.next_event()?.ok()?;
                let name = match event {
                    Event::MappingEnd => return Some(()),
                    Event::Scalar(name, ..) => name,
                    // Only texts name fields; such a file did not parse.
                    _ => return None,
                };
                let inside = |walk: &mut Self| {
                    let (event, _) = parser.next_event()?.ok()?;
                    walk.yaml(event, parser)
                };
                self.step(&name, start(span), inside)?;
            },
            _ => Some(()),
        }
    }
}

type YamlParser<'t> = Parser<'t, StrInput<'t>>;

fn start(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

/// A walk through JSON (RFC 8259) that is known to be well-formed.
struct Json<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    place: Place,
}

impl<'t> Json<'t> {
    fn new(text: &'t str) -> Json<'t> {
        Json { rest: text.chars().peekable(), place: Place::START }
    }

    fn value(&mut self, walk: &mut Walk<'_>) -> Option<()> {
        let first = self.peek()?;
        // The whole document; any other value was noted when it was stepped into.
        if walk.pointer.is_empty() {
            walk.note(self.place);
        }
        match first {
            '[' => {
                self.next()?;
                let mut index = 0;
                while self.peek()? != ']' {
                    let place = self.place;
                    walk.step(&index.to_string(), place, |walk| self.value(walk))?;
                    self.comma()?;
                    index += 1;
                }
                self.next().map(drop)
            }
            '{' => {
                self.next()?;
                while self.peek()? != '}' {
                    let place = self.place;
                    let name = self.string()?;
                    self.peek()?;
                    self.next()?; // the colon
                    walk.step(&name, place, |walk| self.value(walk))?;
                    self.comma()?;
                }
                self.next().map(drop)
            }
            '"' => self.string().map(drop),
            _ => {
                let is_part = |character: &char| !matches!(character, ',' | ']' | '}');
                while self.rest.peek().is_some_and(is_part) {
                    self.next()?;
                }
                Some(())
            }
        }
    }

    /// The next character that is not a space, which is then the next.
    fn peek(&mut self) -> Option<char> {
        while self.rest.peek()?.is_ascii_whitespace() {
            self.next()?;
        }
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        if character == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(character)
    }

    fn comma(&mut self) -> Option<()> {
        if self.peek()? == ',' {
            self.next()?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut quoted = String::from(self.next()?);
        loop {
            let character = self.next()?;
            quoted.push(character);
            match character {
                '"' => return serde_json::from_str(&quoted).ok(),
                '\\' => quoted.push(self.next()?),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(file: &str, text: &str, pointers: &[&str]) -> Vec<(usize, usize)> {
        let places = find(Path::new(file), text, pointers.iter().copied());
        pointers.iter().map(|pointer| (places[pointer].line, places[pointer].column)).collect()
    }

    const POINTERS: [&str; 6] = ["", "/keys", "/keys/0", "/keys/1", "/keys/1/a~1b", "/x"];

    #[test]
    fn a_field_stands_where_its_name_does() {
        let yaml = "# é\nkeys:\n- id: a\n- {id: b,\n   a/b: [1]}\nx: |\n  1\n";
        let found = places("p.yaml", yaml, &POINTERS);
        assert_eq!(found, [(2, 1), (2, 1), (3, 3), (4, 3), (5, 4), (6, 1)]);
        let json =
            "{\"keys\" : [ {\"id\": \"é\\\"}\"},\n {\"a\\/b\":\t[1.5e3, null]}],\n \"x\":true}";
        let found = places("p.json", json, &POINTERS);
        assert_eq!(found, [(1, 1), (1, 2), (1, 13), (2, 2), (2, 3), (3, 2)]);
    }

    #[test]
    fn what_is_missing_stands_where_it_should() {
        let pointers = ["/keys/0/hash", "/rules/0", "/keys/7/a/b"];
        assert_eq!(places("p.yaml", "keys:\n- id: a\n", &pointers), [(2, 3), (1, 1), (1, 1)]);
        assert_eq!(places("p.json", "{\"keys\":\n[{}]}", &pointers), [(2, 2), (1, 1), (1, 2)]);
    }

    #[test]
    fn what_an_alias_stands_for_stands_where_the_alias_does() {
        let yaml = "a: &a\n  - x\nb: *a\nc: 1\n";
        assert_eq!(places("p.yaml", yaml, &["/a/0", "/b/0", "/c"]), [(2, 5), (3, 1), (4, 1)]);
    }
}
