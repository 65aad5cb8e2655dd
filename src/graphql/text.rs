//! Documents that every lexer in use cuts into the same tokens.
//!
//! Where lexers disagree, what is a string or a comment to one is fields to another. They disagree on where
//! a line and with it a comment ends (graphql-ruby: at LF only; graphql-go: at any control character; what
//! stands on regular expressions, on U+0085, U+2028 or U+2029, too), on how long a comment is (graphql-go
//! counts characters for bytes), on where a block string ends
//! (graph-gophers does not know `\"""`; gqlgen and graphql-ruby 1.13 take four quotes otherwise), and on what
//! becomes of a string that its line does not end. So a document is taken only if it has none of these. What
//! its other characters mean, the parser says, which is as strict as the specification.

use std::borrow::Cow;

use super::MalformedGraphQl;

/// A document without what lexers read differently, as the parser takes it: without the descriptions of
/// operations, fragments and variables, which came with the edition of September 2025.
pub(super) fn unambiguous(text: &str) -> Result<Cow<'_, str>, MalformedGraphQl> {
    if has_doubtful_characters(text) || is_read_again(text).ok_or(MalformedGraphQl)? {
        return Err(MalformedGraphQl);
    }
    without_descriptions(text).ok_or(MalformedGraphQl)
}

/// Whether there are characters that end a line to some and not to others, or that some skip or refuse:
/// controls besides tab and line breaks, a CR without its LF, the separators of Unicode, and a byte order
/// mark that stands neither at the start nor behind a space, so that it could part what it stands in.
fn has_doubtful_characters(text: &str) -> bool {
    let mut characters = text.chars().peekable();
    let mut is_behind_blank = true;
    while let Some(character) = characters.next() {
        let is_doubtful = match character {
            '\t' | '\n' => false,
            '\r' => characters.peek() != Some(&'\n'),
            '\u{2028}' | '\u{2029}' => true,
            '\u{feff}' => !is_behind_blank,
            character => character.is_control(),
        };
        if is_doubtful {
            return true;
        }
        is_behind_blank = matches!(character, ' ' | '\t' | '\n');
    }
    false
}

/// Whether graphql-go finds other fields behind a comment. Of what is ignored before a name it counts characters
/// for bytes, and so goes on before the name's end by as many bytes as the characters have more. There may
/// stand a part of the comment, or the name once more, by itself: the alias as a field. `None` as below.
fn is_read_again(text: &str) -> Option<bool> {
    let mut rest = text;
    while let Some(start) = rest.find(['"', '#', '\u{feff}']) {
        let marked = rest.get(start..)?;
        if marked.starts_with('"') {
            rest = after_string(marked)?;
            continue;
        }
        rest = next_token(marked);
        let ignored = marked.get(..marked.len().checked_sub(rest.len())?)?;
        let more = ignored.len().checked_sub(ignored.chars().count())?;
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if more == 0 || behind.len() == rest.len() {
            continue;
        }
        let before = text.get(..text.len().checked_sub(marked.len())?)?;
        let before = before.trim_end_matches(is_ignored);
        let is_of_field = !before.ends_with(['.', '@']) && !next_token(behind).starts_with(':');
        let goes_on = marked.len().checked_sub(behind.len())?.checked_sub(more)?;
        // No token begins with what is not ASCII, so there it would refuse the document.
        let is_token = marked.as_bytes().get(goes_on)?.is_ascii();
        let line = ignored.get(..goes_on).and_then(|before| before.rsplit('\n').next());
        if !is_of_field || is_token && line.is_some_and(|line| line.contains('#')) {
            return Some(true);
        }
    }
    Some(false)
}

/// A document with a space for each description; `None` if lexers could see another end of a string.
fn without_descriptions(text: &str) -> Option<Cow<'_, str>> {
    let (mut rest, mut kept, mut place) = (text, String::new(), Place::default());
    let mut copied_from = text;
    while let Some(start) = rest.find(['"', '#']) {
        let (before, marked) = rest.split_at_checked(start)?;
        place.pass(before);
        if marked.starts_with('#') {
            rest = after_comment(marked);
            continue;
        }
        rest = after_string(marked)?;
        if place.is_of_description(rest) {
            let length = copied_from.len().checked_sub(marked.len())?;
            kept.push_str(copied_from.get(..length)?);
            kept.push(' ');
            copied_from = rest;
        } else {
            place.pass("\"");
        }
    }
    if copied_from.len() == text.len() {
        return Some(Cow::Borrowed(text));
    }
    kept.push_str(copied_from);
    Some(Cow::Owned(kept))
}

/// What follows the comment that a text begins with.
fn after_comment(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// What follows the string that a text begins with. What could end it elsewhere is not in it, and no other
/// string touches it.
fn after_string(text: &str) -> Option<&str> {
    const BLOCK: &str = "\"\"\"";
    let rest = match text.strip_prefix(BLOCK) {
        Some(inner) => inner.get(inner.find(['"', '\\'])?..)?.strip_prefix(BLOCK)?,
        None => after_plain_string(text)?,
    };
    (!rest.starts_with('"')).then_some(rest)
}

fn after_plain_string(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('"')?;
    loop {
        let mut special = rest.get(rest.find(['"', '\\', '\n'])?..)?.chars();
        rest = match special.next()? {
            '"' => return Some(special.as_str()),
            '\\' => after_escape(special.as_str())?,
            _ => return None,
        };
    }
}

/// What follows an escape, behind its backslash. `\u{1}` is not known everywhere: whoever takes the four
/// characters behind the `u` would take the string's end with them.
fn after_escape(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    match characters.next()? {
        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => Some(characters.as_str()),
        'u' => {
            let (digits, rest) = characters.as_str().split_at_checked(4)?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(rest)
        }
        _ => None,
    }
}

/// Where in a document something stands.
#[derive(Default)]
struct Place {
    parentheses: usize,
    brackets: usize,
    /// What stands before it, other than what is ignored between tokens.
    last: Option<char>,
}

impl Place {
    /// Goes on past a text without strings and comments.
    fn pass(&mut self, text: &str) {
        for character in text.chars().filter(|character| !is_ignored(*character)) {
            match character {
                '(' => self.parentheses = self.parentheses.saturating_add(1),
                ')' => self.parentheses = self.parentheses.saturating_sub(1),
                '{' | '[' => self.brackets = self.brackets.saturating_add(1),
                '}' | ']' => self.brackets = self.brackets.saturating_sub(1),
                _ => {}
            }
            self.last = Some(character);
        }
    }

    /// Whether a string that stands here, and the rest behind it, describes what follows.
    fn is_of_description(&self, rest: &str) -> bool {
        let next = next_token(rest);
        match (self.brackets, self.parentheses) {
            // Of an operation or a fragment; a query in short form has none.
            (0, 0) => {
                matches!(self.last, None | Some('}'))
                    && next.starts_with(|c: char| c.is_ascii_alphabetic())
            }
            // Of a variable; behind `=` it is the default of the one before.
            (0, 1) => self.last != Some('=') && next.starts_with('$'),
            _ => false,
        }
    }
}

/// What is left of a text from its first token on.
fn next_token(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_ignored);
        if !rest.starts_with('#') {
            return rest;
        }
        rest = after_comment(rest);
    }
}

/// Whether a character between tokens stands for nothing.
fn is_ignored(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | ',' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        unambiguous(text).is_ok()
    }

    #[test]
    fn a_line_ends_where_every_lexer_sees_it_end() {
        for good in
            ["{a}\r\n", "{a #x\r\n}", "{\ta #x\n}", "\u{feff}{a \u{feff}b}", "{a #\u{a0}é😀\n}"]
        {
            assert!(is_taken(good), "{good:?}");
        }
        let controls = ('\0'..' ').chain('\u{7f}'..'\u{a0}').filter(|c| !"\t\n".contains(*c));
        for character in controls.chain(['\u{2028}', '\u{2029}']) {
            for around in ["{a # b}", "{a(b: \" \")}", "{a(b: \"\"\" \"\"\")}", "{a b} "] {
                let text = around.replace(' ', &format!(" {character} "));
                assert!(!is_taken(&text), "{text:?}");
            }
        }
        for bad in ["{a\u{feff}b}", "\u{feff}\u{feff}{a}", "{a(b: \"\\\u{feff}\")}"] {
            assert!(!is_taken(bad), "{bad:?}");
        }
        assert!(!is_taken("{a}\r"));
    }

    #[test]
    fn a_string_ends_where_every_lexer_sees_it_end() {
        for good in [
            r#"{a(b: "")}"#,
            r#"{a(b: "x", c: "y")}"#,
            r#"{a(b: ["x" "y","z"])}"#,
            r#"{a(b: "\"\\\/\b\f\n\r\tA\ud83d\ude00#'")}"#,
            r#"{a(b: """""")}"#,
            "{a(b: \"\"\"\r\n  # it's\r\n\tplain: {é}\r\n\"\"\", c: \"#\") #\"\n}",
        ] {
            assert!(is_taken(good), "{good}");
        }
        for bad in [
            "\"",
            "\"\"\"",
            "\"\"\"\"",
            "\"\"\" x \"\"",
            "\"x\n\"",
            "\"x\r\n\"",
            "\"x\\\n\"",
            r#""x\""#,
            r#""\a""#,
            r#""\u{41}""#,
            r#""\u41""#,
            r#""\u004é""#,
            r#""x""y""#,
            r#"""""x""""#,
            r#""x""""y""""#,
            r#""""x""""y""#,
            r#""""x"""""#,
            r#"""""x""""#,
            r#""""x"y""""#,
            r#""""x""y""""#,
            r#""""x\""""""#,
            r#""""x\y""""#,
            &"\"".repeat(7),
            &"\"".repeat(8),
        ] {
            let text = format!("{{a(b: {bad})}}");
            assert!(!is_taken(&text), "{text}");
        }
    }

    #[test]
    fn a_comment_is_one_to_who_counts_characters_for_bytes() {
        for good in [
            "{#😀😀😀😀\u{e9}secret\nok}",
            "# Größe\n{ok{id}}",
            "# Größenänderung\nquery A {ok{id}}",
            "{ok{id} # größe\n\n  ok2}",
            "{# 取得用户列表\n  ok{id}}",
            "{ok(s: \"é # é\"){id} ok2}",
            "\u{feff} # é\n{ok2}",
            "# é secret",
            "{# é\nok{id} x:ok2}",
        ] {
            assert!(is_taken(good), "{good}");
        }
        for bad in [
            "{#😀😀😀😀 secret2\nok2}",
            "{ok2 #éééééééé secret\nok}",
            "{ok2 #éééééééééé\n# secret\r\nok}",
            "{a \u{feff} \u{feff} \u{feff} \u{feff} # secret\nb}",
            "#😀😀😀😀😀😀   B{secret}\nquery A{ok}",
            "{# é\nsecret2:ok2}",
            "{# é\nsecret2 # é\n : ok2}",
            "{... # é\nsecret2} fragment secret2 on Query {ok2}",
            "{ok2 @ # é\nsecret2}",
        ] {
            assert!(!is_taken(bad), "{bad}");
        }
    }

    #[test]
    fn descriptions_are_left_out() {
        for (text, kept) in [
            (r#""d" query Q {a}"#, "  query Q {a}"),
            (
                "\"\"\"\nd\n\"\"\"#d\nquery {a} \"d\",fragment F on Q {a}",
                " #d\nquery {a}  ,fragment F on Q {a}",
            ),
            (
                r#"query ("d" $a: A = "x" "d" $b: B = ["x"] "d" $c: C) {a}"#,
                r#"query (  $a: A = "x"   $b: B = ["x"]   $c: C) {a}"#,
            ),
        ] {
            assert_eq!(unambiguous(text).unwrap(), kept);
        }
        for text in [
            r#""d" {a}"#,
            r#"query "d" Q {a}"#,
            r#"{"d" a}"#,
            r#"{a(b: "x" c: $c)}"#,
            r#"query ($a: A = "x" $b: B) {a}"#,
            r#"query ($a: A = {x: "x"} $b: B @c(d: "x")) {a}"#,
        ] {
            assert_eq!(unambiguous(text).unwrap(), text);
        }
    }
}
