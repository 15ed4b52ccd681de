//! The two forms in which a host hands over a configuration: JSON text, or a serialized `google.protobuf.Struct`.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value as ProtobufValue};
use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};

use super::ConfigError;
use super::raw::RawConfig;
use super::shape;
use super::strict::StrictValue;

/// Reads a configuration in either form.
///
/// They cannot be confused: JSON that parses is no serialized message, because a message begins with a field tag that JSON allows
/// only as a line break, and goes on with lengths and tags that JSON does not allow there.
pub(super) fn read(bytes: &[u8]) -> Result<RawConfig, ConfigError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ConfigError::new(
            "",
            "it is empty",
            "give the plugin a configuration with at least public_url, default and what it verifies with",
        ));
    }
    let text = std::str::from_utf8(bytes).ok();
    let fault = match text.map(serde_json::from_str::<IgnoredAny>) {
        Some(Ok(IgnoredAny)) => return from_value(strict_value(bytes)?),
        Some(Err(fault)) => format!("not JSON (line {} column {})", fault.line(), fault.column()),
        None => "not UTF-8 text".to_owned(),
    };
    if bytes.first() == Some(&STRUCT_FIELD)
        && let Ok(message) = Struct::decode(bytes)
    {
        let value = object(message).map_err(|Unset| {
            ConfigError::new("", "a value of the Struct has no kind", "give every key a value")
        })?;
        return from_value(value);
    }
    Err(ConfigError::new(
        "",
        format!("{fault}, nor a google.protobuf.Struct"),
        "give one JSON object (a google.protobuf.StringValue in plain Envoy)",
    ))
}

/// The tag of the one field of a `Struct`: number 1, length-delimited. As text it is a line break.
const STRUCT_FIELD: u8 = 0x0a;

/// Both forms are read from the same tree, so that they mean the same (and the module holds one reader).
fn from_value(value: Value) -> Result<RawConfig, ConfigError> {
    let mut track = serde_path_to_error::Track::new();
    shape::object(serde_path_to_error::Deserializer::new(value, &mut track))
        .map_err(|error| ConfigError::from_parser(&track.path(), &error))
}

fn strict_value(text: &[u8]) -> Result<Value, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map(|StrictValue(value)| value)
        .map_err(|error| ConfigError::from_parser(error.path(), error.inner()))
}

/// A value of a message that says nothing, not even null.
struct Unset;

fn object(message: Struct) -> Result<Value, Unset> {
    let fields = message.fields.into_iter().map(|(key, value)| Ok((key, json(value)?)));
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

fn json(value: ProtobufValue) -> Result<Value, Unset> {
    Ok(match value.kind.ok_or(Unset)? {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(value) => Value::Bool(value),
        Kind::StringValue(text) => Value::String(text),
        Kind::NumberValue(number) => number_value(number),
        Kind::ListValue(list) => list.values.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Kind::StructValue(message) => object(message)?,
    })
}

/// A `Struct` knows doubles only; a whole number in it is meant as one.
fn number_value(number: f64) -> Value {
    match number.to_string().parse::<u64>() {
        Ok(whole) => Value::from(whole),
        Err(_) => Number::from_f64(number).map_or(Value::Null, Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &Value) -> ProtobufValue {
        let kind = match json {
            Value::Null => Kind::NullValue(0),
            Value::Bool(value) => Kind::BoolValue(*value),
            Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a double")),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(items) => {
                Kind::ListValue(prost_types::ListValue { values: items.iter().map(message).collect() })
            }
            Value::Object(fields) => Kind::StructValue(Struct {
                fields: fields.iter().map(|(key, value)| (key.clone(), message(value))).collect(),
            }),
        };
        ProtobufValue { kind: Some(kind) }
    }

    fn encoded(json: &Value) -> Vec<u8> {
        match message(json).kind {
            Some(Kind::StructValue(message)) => message.encode_to_vec(),
            _ => panic!("not an object"),
        }
    }

    #[test]
    fn a_struct_means_what_the_json_means() {
        let config = serde_json::json!({
            "public_url": "https://hooks.example.org", "default": "none", "allow_inline_secrets": true,
            "accounts": [{"auth_tokens": [{"value": "token"}]}], "limits": {"max_form": 2048, "body_timeout": "5s"},
        });
        let raw = read(&encoded(&config)).map_err(|fault| fault.to_string()).expect("a valid Struct");
        assert_eq!(raw.limits.and_then(|limits| limits.max_form).map(|size| size.0), Some(2048));
    }

    #[test]
    fn faults_in_a_struct_have_paths() {
        for (config, path) in [
            (serde_json::json!({"public_url": "https://h", "default": "none", "colour": 1}), "colour"),
            (
                serde_json::json!({"public_url": "https://h", "default": "none", "limits": {"max_form": 1.5}}),
                "limits.max_form",
            ),
            (serde_json::json!({"public_url": "https://h", "default": "none", "mode": null}), "mode"),
            (serde_json::json!({"public_url": "https://h"}), "default"),
        ] {
            assert_eq!(
                read(&encoded(&config)).err().map(|fault| fault.path().to_owned()),
                Some(path.to_owned())
            );
        }
    }

    #[test]
    fn an_entry_of_the_length_of_a_brace_is_still_a_struct() {
        // The entry's length byte is 0x7b, so that the message begins like a line break and a brace.
        let config = serde_json::json!({"public_url": format!("https://{}.example", "h".repeat(91))});
        let bytes = encoded(&config);
        assert!(bytes.starts_with(b"\n{"), "{:x?}", bytes.get(..2));
        assert_eq!(read(&bytes).err().map(|fault| fault.path().to_owned()), Some("default".to_owned()));
    }

    #[test]
    fn garbage_is_neither() {
        for garbage in [&b"\n"[..], b"\n\xff", b"\xff\xfe", b"public_url: x", b"{", b"\n\x05hello"] {
            assert!(read(garbage).is_err());
        }
    }
}
