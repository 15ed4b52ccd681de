//! The configuration as nested values (`google.protobuf.Struct`): it means what the same text means.

use serde_json::{Value, json};

use crate::guarded::Outcome::{Refused, Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::operations::start_up::complaints;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::{Envoy, StartError};
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

/// An Envoy with this configuration, as text or as a `Struct`.
async fn start(
    plugin: &Value,
    as_struct: bool,
) -> Result<(Upstream, std::result::Result<Envoy, StartError>)> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, plugin);
    let filter = if as_struct { filter.structured() } else { filter };
    let config = EnvoyConfig::new(upstream.address())
        .filter(filter)
        .env("TWILIO_AUTH_TOKEN", "a token of the environment");
    let envoy = Envoy::start(&config).await;
    Ok((upstream, envoy))
}

/// Every kind of value: text, whole numbers in their full range, truth values, lists and nested objects.
fn configuration() -> Value {
    let mut plugin = plugin("none", routes());
    let tokens = plugin["accounts"][0]["auth_tokens"].as_array_mut().expect("a list");
    tokens.push(json!({"env": "TWILIO_AUTH_TOKEN", "label": "environment", "optional": true}));
    plugin["limits"] =
        json!({"max_form": 1024, "max_body": 1_000_000, "max_params": 20, "body_timeout": "15s"});
    plugin["statuses"] = json!({"denied": 404});
    plugin["accept_hosts"] = json!(["hooks.example.org"]);
    plugin["routes"][1]["methods"] = json!(["GET"]);
    plugin
}

#[tokio::test]
async fn the_same_configuration_does_the_same_as_text_and_as_a_struct() -> Result<()> {
    let of_length = |length: usize| {
        let padding = "a".repeat(length - "Body=".len());
        Twilio::new(TOKEN).form("/sms", &[("Body", &padding)])
    };
    let many: Vec<_> = (0..21).map(|number| (format!("p{number}"), String::new())).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for as_struct in [false, true] {
        let (upstream, envoy) = start(&configuration(), as_struct).await?;
        let guarded = Guarded { upstream, envoy: envoy? };
        for (name, request, expected) in [
            ("genuine", message(), Verified),
            (
                "by the environment",
                Twilio::new("a token of the environment").form("/sms", &MESSAGE),
                Verified,
            ),
            ("a GET", Twilio::new(TOKEN).get("/events?a=b"), Verified),
            ("unprotected", Request::get("/other"), Unprotected),
            ("at the limit", of_length(1024), Verified),
            ("over the limit", of_length(1025), Refused(413, "body_too_large")),
            ("too many parameters", Twilio::new(TOKEN).form("/sms", &many), Refused(413, "too_many_params")),
            ("forged", message().body("Body=forged"), Refused(401, "mismatch")),
            ("unsigned", message().without(SIGNATURE), Refused(401, "missing_signature")),
            ("a status of its own", message().authority("else.example"), Refused(404, "host_not_accepted")),
            ("a method", Twilio::new(TOKEN).json("/events", "{}"), Refused(405, "method_not_allowed")),
        ] {
            guarded.expect(&format!("{name}, as a Struct: {as_struct}"), &request, expected).await?;
        }
        let header = guarded.send(crate::support::client::Protocol::Http1, &message()).await?;
        assert!(header.received_header("x-twilio-guard").is_some_and(|value| value.contains("key=current")));
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_fault_has_the_same_path_and_remedy_as_text_and_as_a_struct() -> Result<()> {
    let with = |pointer: &str, key: &str, value: Value| {
        let mut plugin = configuration();
        let object = plugin.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        object.insert(key.to_owned(), value);
        plugin
    };
    for (name, plugin, path) in [
        ("an unknown key", with("/routes/1", "vrify", json!("none")), "routes[1]"),
        ("null", with("", "mode", Value::Null), "mode"),
        ("no whole number", with("/limits", "max_form", json!(1024.5)), "limits.max_form"),
    ] {
        let mut said = Vec::new();
        for as_struct in [false, true] {
            let (_upstream, envoy) = start(&plugin, as_struct).await?;
            let error = envoy.err().ok_or(format!("{name}: it started"))?;
            assert!(error.exit.is_some_and(|exit| !exit.success()), "{name}: {error}");
            let [line] = complaints(&error.log)[..] else { panic!("{name}: not one line: {error}") };
            let complaint = line.split_once("refused: ").ok_or("no complaint")?.1;
            assert!(complaint.starts_with(path), "{name}: {line}");
            said.push(complaint.to_owned());
        }
        assert_eq!(said[0], said[1], "{name}");
    }
    Ok(())
}
