//! The shared vectors as questions for the peer, with the verdicts of the official packages that they record.

use crate::peer::latin1;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The questions, and the name and recorded verdict of each.
pub fn read(file: &str) -> (Vec<Value>, Vec<(String, String)>) {
    let file: Value = serde_json::from_str(file).expect("the vector file");
    let vectors = file["vectors"].as_array().expect("vectors");
    vectors.iter().map(|vector| (question(vector), recorded(vector))).unzip()
}

fn recorded(vector: &Value) -> (String, String) {
    let verdict = match &vector["libs"]["python"] {
        Value::Bool(true) => "accepts",
        Value::Bool(false) => "refuses",
        Value::String(error) if error == "error" => "raises",
        other => panic!("{other} is no verdict"),
    };
    (text(&vector["name"]).to_owned(), verdict.to_owned())
}

fn question(vector: &Value) -> Value {
    let url = text(&vector["url"]);
    let start = url.find("://").map_or(0, |at| at + 3);
    let at = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let body = match &vector["body_base64"] {
        Value::String(encoded) => STANDARD.decode(encoded).expect("vectors are base64"),
        _ => text(&vector["body"]).as_bytes().to_vec(),
    };
    let mut headers: Vec<(String, Value)> = Vec::new();
    for (name, value) in vector["headers"].as_object().into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        // A URL with `http` is the mistake of not seeing the upgrade.
        if url.starts_with("http") && name == "upgrade" {
            continue;
        }
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        headers.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    let shared = vector["shared_keys"].as_object().into_iter().flatten();
    let shared: serde_json::Map<String, Value> =
        shared.map(|(id, key)| (id.clone(), key["secret"].clone())).collect();
    json!({
        "do": vector["scheme"].as_str().filter(|scheme| *scheme == "sendgrid").unwrap_or("twilio"),
        "public_url": &url[..at],
        "method": vector["method"],
        "target": latin1(&url.as_bytes()[at..]),
        "headers": headers,
        "body": latin1(&body),
        "tokens": vector["auth_tokens"].as_array().cloned().unwrap_or_default(),
        "shared_keys": shared,
        "public_key": vector["public_key"],
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
