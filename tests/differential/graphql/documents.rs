//! Documents made of what lexers disagree on, and documents as people write them.

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
    let oddity = *random.one(&[1, 4, 16, 64]);
    let mut soup = Soup { random, oddity, text: String::new() };
    match soup.random.below(16) {
        0 => soup.tokens(),
        1 => {
            soup.document();
            soup.mutate();
        }
        2..6 => soup.document(),
        _ => soup.sandwich(),
    }
    soup.text
}

/// A document as somebody would write it, that asks for allowed fields only.
pub(crate) fn ordinary(random: &mut Random) -> String {
    let line = *random.one(&["\n", "\n", "\r\n"]);
    let mut lines = Vec::new();
    if random.once_in(3) {
        lines.push(comment(random));
    }
    let (has_variable, has_fragment) = (random.once_in(2), random.once_in(2));
    lines.push(if has_variable {
        format!("query Items($text: String = {}, $count: Int) {{", string(random))
    } else {
        random.one(&["query Items {", "{", "query {"]).to_string()
    });
    let mut length = 1 + random.below(5);
    if has_variable {
        lines.push("  used: ok(s: $text, i: $count) { id }".to_owned());
    }
    while length > 0 {
        if random.once_in(4) {
            // Of other letters than ASCII, before an alias, graphql-go makes another field.
            let comment = comment(random);
            lines.push(if comment.is_ascii() {
                format!("  {comment}")
            } else {
                format!("  ok2 {comment}\n  ok2")
            });
        }
        let alias = format!("{}{length}: ", random.one(&["item", "f", "secret"]));
        let field = match random.below(6) {
            0 => format!("ok2(s: {})", string(random)),
            1 => format!("ok(l: [{}, {}]) {{ id, name }}", string(random), string(random)),
            2 => format!("ok(o: {{s: {}, l: []}}, e: secret2, f: -1.5e3) {{ id }}", string(random)),
            3 => "q { ok2 q { __typename } }".to_owned(),
            4 => "ok2 @include(if: true) @skip(if: false)".to_owned(),
            _ => "ok(i: 1, b: true) {\n    id\n    ... on Item { name }\n  }".to_owned(),
        };
        lines.push(format!("  {alias}{field}"));
        length -= 1;
    }
    if has_fragment {
        lines.push("  ...Fields".to_owned());
    }
    lines.push("}".to_owned());
    if has_fragment {
        lines.push(String::new());
        lines.push("fragment Fields on Query {\n  __typename\n  all: ok { ...Item }\n}".to_owned());
        lines.push("fragment Item on Item { id name }".to_owned());
    }
    if random.once_in(2) {
        lines.push(String::new());
    }
    let mark = if random.once_in(16) { "\u{feff}" } else { "" };
    format!("{mark}{}", lines.join("\n")).replace('\n', line)
}

fn comment(random: &mut Random) -> String {
    let words = random.one(&[
        "The items, with \"quotes\" and what's else { }",
        "import \"./item.graphql\"",
        "TODO: #42 \"\"\" C:\\items",
        "Größe und Änderung",
        "取得商品列表",
        "",
        "query Old { secret2 }",
        "----------",
    ]);
    format!("# {words}")
}

fn string(random: &mut Random) -> String {
    random
        .one(&[
            r#""""#,
            r#""plain""#,
            r##""it's \"so\" \\ \n \u00e9 é 😀 #1 { secret2 }""##,
            "\"\"\"\"\"\"",
            "\"\"\"\n    A text of two lines:\n      # it's { secret2 }\n  \"\"\"",
            "\"\"\"één regel\"\"\"",
        ])
        .to_string()
}

struct Soup<'r> {
    random: &'r mut Random,
    /// Once in how many times something stands that a lexer may trip over.
    oddity: usize,
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

    fn is_odd(&mut self) -> bool {
        self.random.once_in(self.oddity)
    }

    fn gap(&mut self) {
        match self.random.below(8) {
            0..6 => self.add_one(&[" ", " ", " ", "\n", "\r\n", ","]),
            6 if self.is_odd() => self.add_one(&GAPS),
            6 => self.add_one(&["", " ", "\t", ", "]),
            _ => self.comment(),
        }
    }

    fn comment(&mut self) {
        self.add("#");
        self.inner(4, &[" ", "a", "é", "\"", "\"\"\"", "\"\"\"\"", "\\", "#", "{", "}", ")", "]"]);
        if self.is_odd() {
            self.add_one(&["\r", "\u{2028}", "\u{85}", "\u{b}", "\0", ""]);
        } else {
            self.add_one(&["\n", "\n", "\r\n"]);
        }
    }

    /// The inside of a string or a comment: what lexers trip over, or what they should not.
    fn inner(&mut self, most: usize, plain: &[&str]) {
        for _ in 0..self.random.below(most + 1) {
            if self.is_odd() {
                self.add_one(&INNER);
            } else if self.random.once_in(3) {
                self.add_one(&[
                    " secret2 ",
                    " secret{id} ",
                    "secret2",
                    " z:secret2 #",
                    "__schema{__typename}",
                ]);
            } else {
                self.add_one(plain);
            }
        }
    }

    /// A string, or something like one.
    fn string(&mut self) {
        const PLAIN: [&str; 11] =
            [" ", "a", "é", "#", "\\\"", "\\\\", "\\n", "\\u0022", "'", "{", "}"];
        const BLOCK: [&str; 10] = [" ", "a", "é", "#", "\n", "\r\n", "\t", "'", "{", "}"];
        let is_block = self.random.once_in(2);
        let mark = if is_block { "\"\"\"" } else { "\"" };
        self.add(mark);
        if self.is_odd() {
            self.add_one(&["\"", "\"", "\"\"\"", "\\", "\\\""]);
        }
        self.inner(3, if is_block { &BLOCK } else { &PLAIN });
        self.add(mark);
        if self.is_odd() {
            self.add_one(&["\"", "\"", "\"\"\"", "\\"]);
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
        for _ in 0..1 + usize::from(self.is_odd()) {
            match self.random.below(if self.oddity > 4 { 7 } else { 8 }) {
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
                6 => self.add_one(&["i:1", "b:true", "e:ok", "e:secret2", "f:1.5", "i : -1"]),
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
        } else if !self.is_odd() {
            let name = format!("f{}:", self.random.below(1000));
            self.add(&name);
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
            14 if self.is_odd() => self.add_one(&["...A", "... A", "...B"]),
            15 if self.is_odd() => {
                self.add_one(&NAMES);
                self.arguments();
                self.add_one(&["", "", "{id}", "{__typename}"]);
            }
            _ => self.add("__typename"),
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

    /// What is forbidden between two pieces that may be the ends of strings or comments, or their insides.
    fn sandwich(&mut self) {
        const FIRST: [&str; 6] = ["ok(s:", "ok(l:[", "ok2 #", "ok2", "ok(s:\"", "ok(s:\"\"\""];
        const FILLING: [&str; 7] = [
            "){id} secret2 z:ok(s:",
            "]){id} secret2 z:ok(l:[",
            " secret2 ",
            "\n secret2 ",
            "\n z:ok(s:\"\"\"",
            "\n z:ok(s:\"",
            "){id}\n secret2 z:ok(i:1 ",
        ];
        const LAST: [&str; 7] =
            ["){id}}", "]){id}}", "}", "\n}", "\n){id}}", "\"){id}}", "\"\"\"){id}}"];
        self.add("{");
        self.add_one(&FIRST);
        for _ in 0..1 + self.random.below(2) {
            self.marks();
            self.add_one(&FILLING);
        }
        self.marks();
        self.add_one(&LAST);
    }

    fn marks(&mut self) {
        const MARKS: [&str; 21] = [
            "\"", "\"", "\"", "\"\"", "\"\"\"", "\"\"\"", "\"\"\"\"", "\\", "\\", "\\\"",
            "\\\"\"\"", "\\\\", "#", "#", " #", "\n", "\r\n", "\r", "\u{2028}", " ", "a",
        ];
        for _ in 0..1 + self.random.below(5) {
            if self.random.once_in(24) {
                self.add_one(&INNER);
            } else {
                self.add_one(&MARKS);
            }
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
