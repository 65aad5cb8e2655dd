//! The two forms in which a proxy hands a configuration over.
//!
//! A `google.protobuf.StringValue` arrives as its text. A `google.protobuf.Struct` arrives as Envoy
//! received it, in protobuf's wire form (measured on Envoy 1.40.0), though its documentation speaks
//! of JSON. It is rewritten as JSON here, without a tree in between: what a key set may take is
//! bounded, and a tree takes many times its text.

use latchkey::{Code, Finding, Severity};

/// Largest `Struct` that is read, in bytes: it and its JSON stand side by side for a while, and an
/// update must fit beside what serves. A `StringValue` may be as large as any configuration.
const STRUCT_BYTES: usize = 32 * 1024 * 1024;

/// How deep a `Struct` may be nested; no policy is.
const DEPTH: usize = 64;

/// The first byte of a `Struct`'s wire form: its one field, of length-delimited type.
const FIRST_BYTE: u8 = 0x0a;

/// The configuration as JSON. What is neither form is left as it is, for the core to refuse.
pub(crate) fn as_json(bytes: Box<[u8]>) -> Result<Vec<u8>, Finding> {
    // A text may begin with this byte, too, which is a line's end.
    let is_struct = bytes.first() == Some(&FIRST_BYTE)
        && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err();
    if is_struct && bytes.len() > STRUCT_BYTES {
        return Err(Finding {
            code: Code::TooLarge,
            severity: Severity::Error,
            pointer: String::new(),
            message: format!("a Struct is larger than {STRUCT_BYTES} bytes"),
            help: Some("hand it over as a StringValue".to_owned()),
        });
    }
    let mut json = Vec::new();
    let is_written = is_struct && write_struct(&bytes, DEPTH, &mut json).is_some();
    Ok(if is_written { json } else { bytes.into_vec() })
}

/// Writes a `google.protobuf.Struct`; `None` if the bytes are none.
fn write_struct(mut bytes: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    json.push(b'{');
    let mut separator = "";
    while !bytes.is_empty() {
        let (1, Field::Bytes(mut entry)) = field(&mut bytes)? else { return None };
        let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Field::Bytes(bytes)) => name = bytes,
                (2, Field::Bytes(bytes)) => value = bytes,
                _ => return None,
            }
        }
        json.extend_from_slice(separator.as_bytes());
        write_text(name, json)?;
        json.push(b':');
        write_value(value, depth, json)?;
        separator = ",";
    }
    json.push(b'}');
    Some(())
}

/// Writes a `google.protobuf.ListValue`.
fn write_list(mut bytes: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    json.push(b'[');
    let mut separator = "";
    while !bytes.is_empty() {
        let (1, Field::Bytes(value)) = field(&mut bytes)? else { return None };
        json.extend_from_slice(separator.as_bytes());
        write_value(value, depth, json)?;
        separator = ",";
    }
    json.push(b']');
    Some(())
}

/// Writes a `google.protobuf.Value`; one without a kind is null.
fn write_value(mut bytes: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    if bytes.is_empty() {
        json.extend_from_slice(b"null");
    }
    let start = json.len();
    while !bytes.is_empty() {
        // Of several kinds the last one counts, as of every `oneof`.
        json.truncate(start);
        match field(&mut bytes)? {
            (1, Field::Varint(_)) => json.extend_from_slice(b"null"),
            (2, Field::Fixed64(bits)) => {
                serde_json::to_writer(&mut *json, &f64::from_bits(bits)).ok()?;
            }
            (3, Field::Bytes(text)) => write_text(text, json)?,
            (4, Field::Varint(0)) => json.extend_from_slice(b"false"),
            (4, Field::Varint(_)) => json.extend_from_slice(b"true"),
            (5, Field::Bytes(fields)) => write_struct(fields, depth, json)?,
            (6, Field::Bytes(values)) => write_list(values, depth, json)?,
            _ => return None,
        }
    }
    Some(())
}

fn write_text(bytes: &[u8], json: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(json, str::from_utf8(bytes).ok()?).ok()
}

/// A field's content (<https://protobuf.dev/programming-guides/encoding/>).
enum Field<'a> {
    Bytes(&'a [u8]),
    Fixed64(u64),
    Varint(u64),
}

/// Takes the next field, with its number.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(bytes)?;
    let field = match tag & 7 {
        0 => Field::Varint(varint(bytes)?),
        1 => Field::Fixed64(u64::from_le_bytes(*take(bytes, 8)?.first_chunk()?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Field::Bytes(take(bytes, length)?)
        }
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};

    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn structure() -> Struct {
        let list =
            ListValue { values: vec![value(Kind::NumberValue(403.0)), Value { kind: None }] };
        let inner = Struct {
            fields: [
                ("b".to_owned(), value(Kind::BoolValue(true))),
                ("n".to_owned(), value(Kind::NullValue(0))),
            ]
            .into(),
        };
        let fields = [
            ("a".to_owned(), value(Kind::ListValue(list))),
            ("e".to_owned(), value(Kind::ListValue(ListValue::default()))),
            ("s".to_owned(), value(Kind::StructValue(inner))),
            ("z".to_owned(), value(Kind::StringValue("\"é\"\n".to_owned()))),
        ];
        Struct { fields: fields.into() }
    }

    fn json(bytes: &[u8]) -> Vec<u8> {
        as_json(bytes.into()).unwrap()
    }

    #[test]
    fn a_struct_that_is_too_large_is_told_so() {
        let finding = as_json(vec![FIRST_BYTE; STRUCT_BYTES + 1].into()).unwrap_err();
        assert_eq!(finding.code, Code::TooLarge);
    }

    #[test]
    fn a_struct_becomes_json() {
        let json = json(&structure().encode_to_vec());
        let expected = r#"{"a":[403.0,null],"e":[],"s":{"b":true,"n":null},"z":"\"é\"\n"}"#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn a_struct_that_is_cut_off_stays_as_it_is() {
        let whole = structure().encode_to_vec();
        let fields = [("a", "1"), ("b", "2")].map(|(name, text)| {
            let kind = Kind::StringValue(text.to_owned());
            Struct { fields: [(name.to_owned(), value(kind))].into() }.encode_to_vec()
        });
        let boundary = fields[0].len();
        let two = fields.concat();
        assert_eq!(json(&two), br#"{"a":"1","b":"2"}"#);
        for (bytes, end) in [(&whole, whole.len() - 1), (&whole, 3), (&two, boundary + 1)] {
            let cut = &bytes[..end];
            assert_eq!(json(cut), cut, "{end} bytes");
        }
    }

    #[test]
    fn nesting_without_end_stays_as_it_is() {
        let deep = (0..100).fold(value(Kind::BoolValue(true)), |inner, _| {
            value(Kind::ListValue(ListValue { values: vec![inner] }))
        });
        let bytes = Struct { fields: [("a".to_owned(), deep)].into() }.encode_to_vec();
        assert_eq!(json(&bytes), bytes);
    }

    #[test]
    fn text_stays_as_it_is() {
        for text in ["{}", "\n{\n}", " {\"a\": 1}", "not JSON", "", "\n"] {
            assert_eq!(json(text.as_bytes()), text.as_bytes(), "{text}");
        }
    }
}
