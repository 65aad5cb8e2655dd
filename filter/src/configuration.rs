//! The two forms in which a proxy hands a configuration over.
//!
//! A `google.protobuf.StringValue` arrives as its text. A `google.protobuf.Struct` arrives as Envoy
//! received it, in protobuf's wire form (measured on Envoy 1.40.0), though its documentation speaks
//! of JSON. It is rewritten as JSON here.

use latchkey::{Code, Finding, Severity, has_room};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Largest `Struct` that is read, in bytes: its tree takes several times as much, beside what serves. A `StringValue` may be as large as any configuration.
const STRUCT_BYTES: usize = 32 * 1024 * 1024;

/// How many times its size a `Struct` takes as a tree, at most.
const TREE: usize = 12;

/// The first byte of a `Struct`'s wire form: its one field, of length-delimited type.
const FIRST_BYTE: u8 = 0x0a;

/// The configuration as JSON. What is neither form is left as it is, for the core to refuse.
pub(crate) fn as_json(bytes: Vec<u8>) -> Result<Vec<u8>, Finding> {
    // A text may begin with this byte, too, which is a line's end.
    let is_json =
        || str::from_utf8(&bytes).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    let is_struct = bytes.first() == Some(&FIRST_BYTE) && !is_json();
    if !is_struct {
        return Ok(bytes);
    }
    if bytes.len() > STRUCT_BYTES {
        return Err(Finding {
            code: Code::TooLarge,
            severity: Severity::Error,
            pointer: String::new(),
            message: format!("a Struct is larger than {STRUCT_BYTES} bytes"),
            help: Some("hand it over as a StringValue".to_owned()),
        });
    }
    if !has_room(bytes.len().saturating_mul(TREE)) {
        return Err(no_room());
    }
    let Ok(tree) = Struct::decode(&*bytes) else { return Ok(bytes) };
    let mut json = Vec::with_capacity(bytes.len());
    drop(bytes);
    // Every part of a Struct has its JSON, and memory takes all that is written.
    let _ = serde_json::to_writer(&mut json, &Fields(&tree));
    Ok(json)
}

/// There is no room for the configuration's text.
pub(crate) fn no_room() -> Finding {
    Finding {
        code: Code::OutOfMemory,
        severity: Severity::Error,
        pointer: String::new(),
        message: "there is no memory left for the configuration".to_owned(),
        help: None,
    }
}

/// A `Struct` as JSON.
struct Fields<'a>(&'a Struct);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(name, value)| (name, Json(value))))
    }
}

/// A `Value` as JSON; one without a kind is null.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Kind::ListValue(list)) => serializer.collect_seq(list.values.iter().map(Json)),
            Some(Kind::NumberValue(number)) => serializer.serialize_f64(*number),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::StructValue(fields)) => Fields(fields).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

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
        as_json(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_struct_that_is_too_large_is_told_so() {
        let finding = as_json(vec![FIRST_BYTE; STRUCT_BYTES + 1]).unwrap_err();
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
