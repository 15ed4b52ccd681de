//! YAML and JSON as trees, their paths, and the two spellings of protobuf field names.

use serde_json::Value;

/// The documents of a text.
#[derive(Debug)]
pub(super) enum Documents {
    /// One JSON object.
    Json(Value),
    /// YAML.
    Yaml(Vec<Value>),
}

/// Reads all documents of a text. The reason for a refusal is a place, not a quotation.
pub(super) fn parse(text: &str) -> Result<Documents, String> {
    // JSON is YAML too, but its own parser is stricter.
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(Documents::Json(value));
    }
    let documents = serde_saphyr::from_multiple(text).map_err(|error| match error.location() {
        Some(place) => format!("not valid YAML at line {} column {}", place.line(), place.column()),
        None => "not valid YAML".to_owned(),
    });
    documents.map(Documents::Yaml)
}

/// The path of a member.
pub(super) fn member(path: &str, key: &str) -> String {
    let is_plain =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    match (is_plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key:?}]"),
    }
}

/// The path of an element.
pub(super) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// A protobuf field, by its name or its JSON name (`typed_config`, `typedConfig`); with its path.
pub(super) fn field<'v>(node: &'v Value, path: &str, name: &str) -> Option<(&'v Value, String)> {
    if let Some(value) = node.get(name) {
        return Some((value, member(path, name)));
    }
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    node.get(&camel).map(|value| (value, member(path, &camel)))
}

/// A text field.
pub(super) fn text<'v>(node: &'v Value, name: &str) -> Option<&'v str> {
    field(node, "", name).and_then(|(value, _)| value.as_str())
}

/// Whether a boolean field is set.
pub(super) fn is_true(node: &Value, name: &str) -> bool {
    field(node, "", name).is_some_and(|(value, _)| value == &Value::Bool(true))
}

/// The elements of a list field with their paths.
pub(super) fn list<'v>(node: &'v Value, path: &str, name: &str) -> Vec<(&'v Value, String)> {
    let Some((Value::Array(items), path)) = field(node, path, name) else { return Vec::new() };
    items.iter().enumerate().map(|(index, item)| (item, element(&path, index))).collect()
}

/// A number that may be written as text, as protobuf JSON allows, or as a Kubernetes quantity (`64Ki`, `1M`).
pub(super) fn bytes(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let text = value.as_str()?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.strip_prefix(digits)? {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_of_a_field_are_read() {
        let node = json!({"typedConfig": 1, "vm_config": 2});
        assert_eq!(field(&node, "a", "typed_config"), Some((&json!(1), "a.typedConfig".to_owned())));
        assert_eq!(field(&node, "", "vm_config"), Some((&json!(2), "vm_config".to_owned())));
    }

    #[test]
    fn quantities() {
        for (value, number) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!("32Ki"), Some(32768)),
            (json!("1M"), Some(1_000_000)),
            (json!("x"), None),
            (json!("1Xi"), None),
        ] {
            assert_eq!(bytes(&value), number, "{value}");
        }
    }

    #[test]
    fn paths_quote_what_is_not_a_plain_key() {
        assert_eq!(member("a[0]", "b-c"), "a[0].b-c");
        assert_eq!(member("data", "envoy.yaml"), "data[\"envoy.yaml\"]");
    }
}
