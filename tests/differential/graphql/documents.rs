//! Documents made of what lexers disagree on.

use crate::round::Random;

const NAMES: [&str; 8] = ["ok", "ok2", "secret", "secret2", "q", "z", "__schema", "__type"];

/// What stands between tokens.
const GAPS: [&str; 18] = [
    " ", " ", " ", " ", "", "", ",", "\n", "\n", "\r\n", "\r", "\t", "\u{feff}", "\u{2028}",
    "\u{2029}", "\u{85}", "\u{b}", "\u{a0}",
];

/// What stands in strings and comments.
const INNER: [&str; 46] = [
    "\"",
    "\"",
    "\"",
    "\"\"",
    "\"\"\"",
    "\"\"\"\"",
    "\\",
    "\\\\",
    "\\\"",
    "\\\"\"\"",
    "\\n",
    "\\u0022",
    "\\u000a",
    "\\u{22}",
    "\\u000A",
    "\\ud83d\\ude00",
    "#",
    "#",
    " #\"",
    "#\"\"\"",
    "\n",
    "\n",
    "\r",
    "\r\n",
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "\u{b}",
    "\u{c}",
    "\0",
    "\u{1a}",
    "\u{7f}",
    "\u{feff}",
    "é",
    "😀",
    " secret2 ",
    " secret2 ",
    " secret{id} ",
    "{",
    "}",
    "(",
    ")",
    "]",
    ",",
    ":",
    " z:ok(s:",
];

/// Tokens of all kinds.
const TOKENS: [&str; 40] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "...",
    "!",
    "$",
    "@",
    "=",
    "|",
    "&",
    "ok",
    "ok2",
    "secret",
    "secret2",
    "z",
    "q",
    "id",
    "s:",
    "l:",
    "i:",
    "1",
    "-1.5e3",
    "0",
    "1.",
    "true",
    "null",
    "query",
    "mutation",
    "fragment",
    "on",
    "Query",
    "Item",
    "__schema{__typename}",
    "ok{id}",
    "@skip(if:false)",
    "$z",
];

/// A document that somebody may read as another.
pub(crate) fn soup(random: &mut Random) -> String {
    let mut soup = Soup { random, text: String::new() };
    match soup.random.below(8) {
        0 => soup.tokens(),
        1 => {
            soup.document();
            soup.mutate();
        }
        _ => soup.document(),
    }
    soup.text
}

struct Soup<'r> {
    random: &'r mut Random,
    text: String,
}

impl Soup<'_> {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn add_one(&mut self, of: &[&str]) {
        let one = *self.random.one(of);
        self.add(one);
    }

    /// Mostly a blank, at times none or one that only some lexers know, at times a comment.
    fn gap(&mut self) {
        match self.random.below(12) {
            0..9 => self.add_one(&[" ", " ", "", "\n"]),
            9 => self.add_one(&GAPS),
            _ => self.comment(),
        }
    }

    fn comment(&mut self) {
        self.add("#");
        self.inner(4);
        self.add_one(&["\n", "\n", "\n", "\r\n", "\r", "\u{2028}", "\u{85}", ""]);
    }

    fn inner(&mut self, most: usize) {
        for _ in 0..self.random.below(most + 1) {
            match self.random.below(4) {
                0 => self.add_one(&[" ", "a", " secret2 ", " a "]),
                _ => self.add_one(&INNER),
            }
        }
    }

    /// A string, or something like one.
    fn string(&mut self) {
        const OPENING: [&str; 8] =
            ["\"", "\"", "\"", "\"\"\"", "\"\"\"", "\"\"\"", "\"\"", "\"\"\"\""];
        let opening = *self.random.one(&OPENING);
        self.add(opening);
        self.inner(3);
        if self.random.once_in(12) {
            self.add_one(&OPENING);
        } else {
            self.add(opening);
        }
    }

    fn value(&mut self, depth: usize) {
        match self.random.below(if depth > 2 { 6 } else { 8 }) {
            0..4 => self.string(),
            4 => self
                .add_one(&["1", "-1", "0", "1.5", "1e3", "01", "1a", "1_", ".1", "0x1", "1.", "-"]),
            5 => self.add_one(&["true", "null", "ok", "$v", "secret2", "z"]),
            6 => {
                self.add("[");
                for _ in 0..self.random.below(4) {
                    self.gap();
                    self.value(depth + 1);
                }
                self.gap();
                self.add("]");
            }
            _ => {
                self.add("{");
                for _ in 0..self.random.below(3) {
                    self.add_one(&["s:", "l:", "o:", "s :"]);
                    self.value(depth + 1);
                    self.gap();
                }
                self.add("}");
            }
        }
    }

    fn arguments(&mut self) {
        if self.random.once_in(3) {
            return;
        }
        self.add("(");
        for _ in 0..1 + self.random.below(2) {
            match self.random.below(8) {
                0..4 => {
                    self.add("s:");
                    self.gap();
                    self.string();
                }
                4..6 => {
                    self.add("l:[");
                    for _ in 0..1 + self.random.below(3) {
                        self.gap();
                        self.string();
                    }
                    self.gap();
                    self.add("]");
                }
                6 => {
                    self.add_one(&["i:1", "b:true", "e:ok", "e:secret2", "f:1.5", "i:$i", "i : -1"])
                }
                _ => {
                    self.add_one(&["s:", "l:", "i:", "o:", "e:", "f:"]);
                    self.value(0);
                }
            }
            self.gap();
        }
        self.add(")");
    }

    fn field(&mut self, depth: usize) {
        if self.random.once_in(3) {
            self.add_one(&["z:", "ok:", "y :", "x:", "w\n:"]);
        }
        match self.random.below(16) {
            0..7 => {
                self.add("ok");
                self.arguments();
                self.add_one(&["{id}", "{id}", "{ id}", "{id name}", "{z:id}"]);
            }
            7..12 => {
                self.add("ok2");
                self.arguments();
            }
            12 if depth < 3 => {
                self.add_one(&["q", "ok{q", "q@include(if:true)"]);
                let is_in_ok = self.text.ends_with("ok{q");
                self.selections(depth + 1);
                self.add(if is_in_ok { "}" } else { "" });
            }
            13 if depth < 3 => {
                self.add_one(&["...", "...on Query", "... on\nQuery", "...@skip(if:false)"]);
                self.selections(depth + 1);
            }
            14 => self.add_one(&["...A", "... A", "...B"]),
            _ => {
                self.add_one(&NAMES);
                self.arguments();
                self.add_one(&["", "", "{id}", "{__typename}"]);
            }
        }
    }

    fn selections(&mut self, depth: usize) {
        self.add("{");
        self.gap();
        for _ in 0..1 + self.random.below(4) {
            self.field(depth);
            self.gap();
        }
        self.add("}");
    }

    fn document(&mut self) {
        if self.random.once_in(4) {
            self.gap();
        }
        if self.random.once_in(4) {
            self.add_one(&[
                "query",
                "query A",
                "query A($i:Int)",
                "query($i:Int=1)",
                "mutation",
                "query\u{feff}A",
            ]);
            if self.random.once_in(3) {
                self.gap();
            }
        }
        self.selections(0);
        while self.random.once_in(4) {
            self.gap();
            self.add_one(&[
                "fragment A on Query",
                "fragment B on Query",
                "query B",
                "mutation C",
                "fragment A on Item",
            ]);
            self.selections(1);
        }
        if self.random.once_in(4) {
            self.gap();
        }
    }

    fn tokens(&mut self) {
        self.add("{");
        for _ in 0..1 + self.random.below(16) {
            match self.random.below(5) {
                0 => self.string(),
                1 => self.field(3),
                _ => self.add_one(&TOKENS),
            }
            self.gap();
        }
        self.add("}");
    }

    /// Takes a piece out, doubles one, or puts one in.
    fn mutate(&mut self) {
        let mut characters: Vec<char> = self.text.chars().collect();
        for _ in 0..1 + self.random.below(3) {
            let start = self.random.below(characters.len());
            let end = (start + 1 + self.random.below(4)).min(characters.len());
            match self.random.below(3) {
                0 if characters.len() > 8 => drop(characters.drain(start..end)),
                1 => {
                    let piece = characters[start..end].to_vec();
                    characters.splice(start..start, piece);
                }
                _ => {
                    let piece = *self.random.one(&INNER);
                    characters.splice(start..start, piece.chars());
                }
            }
        }
        self.text = characters.into_iter().collect();
    }
}
