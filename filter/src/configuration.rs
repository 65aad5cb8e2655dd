//! The two forms in which a proxy hands a configuration over.
//!
//! A `google.protobuf.StringValue` arrives as its text. A `google.protobuf.Struct` arrives as Envoy
//! received it, in protobuf's wire form (measured on Envoy 1.40.0), though its documentation speaks
//! of JSON.

use prost::Message;
use prost_types::{Struct, Value, value::Kind};

/// Largest `Struct` that is read, in bytes: read whole, it takes many times its size, and an update
/// must fit beside what serves. A `StringValue` may be as large as any configuration.
const STRUCT_BYTES: usize = 8 * 1024 * 1024;

/// The first byte of a `Struct`'s wire form: its one field, of length-delimited type.
const FIRST_BYTE: u8 = 0x0a;

/// The configuration as JSON. What is neither form is left as it is, for the core to refuse.
pub(crate) fn as_json(bytes: Vec<u8>) -> Vec<u8> {
    let is_struct = bytes.first() == Some(&FIRST_BYTE)
        && bytes.len() <= STRUCT_BYTES
        && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err();
    match is_struct.then(|| Struct::decode(bytes.as_slice())) {
        Some(Ok(configuration)) => json_of_struct(&configuration).to_string().into_bytes(),
        _ => bytes,
    }
}

fn json_of_struct(fields: &Struct) -> serde_json::Value {
    fields.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(json).collect(),
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::StructValue(fields)) => json_of_struct(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn a_struct_becomes_json() {
        let list = prost_types::ListValue { values: vec![value(Kind::NumberValue(403.0))] };
        let inner = Struct { fields: [("b".to_owned(), value(Kind::BoolValue(true)))].into() };
        let fields = [
            ("a".to_owned(), value(Kind::ListValue(list))),
            ("s".to_owned(), value(Kind::StructValue(inner))),
            ("z".to_owned(), value(Kind::StringValue("é".to_owned()))),
        ];
        let bytes = Struct { fields: fields.into() }.encode_to_vec();
        assert_eq!(as_json(bytes), r#"{"a":[403.0],"s":{"b":true},"z":"é"}"#.as_bytes());
    }

    #[test]
    fn text_stays_as_it_is() {
        for text in ["{}", "\n{\n}", " {\"a\": 1}", "not JSON", "", "\n"] {
            assert_eq!(as_json(text.into()), text.as_bytes(), "{text}");
        }
    }
}
