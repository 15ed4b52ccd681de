//! A place where the filter is configured, in one form for every host.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::document::{bytes, field, is_true, list, member, text};
use super::finding::Location;

/// One configuration of the filter with what surrounds it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) kind: &'static str,
    pub(super) location: Location,
    pub(super) config: Configured,
    /// The variables that the host passes on; `None` where nothing is known of a host.
    pub(super) environment: Option<Passed>,
    /// Where the host is told to let requests pass when the filter fails.
    pub(super) fails_open: Option<Location>,
    pub(super) header_hold: HeaderHold,
    pub(super) buffer: Buffer,
    /// The route on which a request may be under way for the longest time, and for how many seconds.
    pub(super) slowest: Option<(u64, Location)>,
}

/// How a configuration is given.
#[derive(Debug)]
pub(super) enum Configured {
    /// The bytes that the filter gets.
    Text(Vec<u8>),
    /// An object that the host turns into JSON or a protobuf Struct.
    Object(Value),
    /// Nothing.
    Absent,
    /// A message that the filter cannot read.
    Unreadable,
}

impl Configured {
    /// The bytes to parse.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Object(value) => Some(value.to_string().into_bytes()),
            Self::Absent => Some(Vec::new()),
            Self::Unreadable => None,
        }
    }

    /// The configuration as a tree, where it is one.
    pub(super) fn tree(&self) -> Option<Value> {
        match self {
            Self::Text(text) => serde_json::from_slice(text).ok(),
            Self::Object(value) => Some(value.clone()),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// The environment variables that a host gives to the filter.
#[derive(Debug)]
pub(super) struct Passed {
    /// Where they are listed.
    pub(super) location: Location,
    /// What to write there.
    pub(super) remedy: &'static str,
    pub(super) names: BTreeSet<String>,
    /// Those whose value stands in the file itself.
    pub(super) inline: Vec<(String, Location)>,
}

/// Whether the host can hold the head of a request until its body was read.
#[derive(Debug)]
pub(super) enum HeaderHold {
    /// It can, or nothing is known of the host.
    Available,
    /// It could, but for a flag that is not set at this place.
    FlagMissing(Location),
    /// It has no such flag, but what it makes of this can be patched.
    Patched(&'static str),
    /// It has no such flag.
    Unavailable(&'static str),
}

/// How many bytes of a body the host holds.
#[derive(Debug, Clone)]
pub(super) enum Buffer {
    /// Envoy's default, as far as is known.
    Unknown,
    /// What a listener says, or where it would say it.
    Listener(Option<u64>, Location),
    /// Envoy Gateway's default.
    Gateway,
}

/// The names by which a plugin shows that it is this filter.
pub(super) fn is_our_name(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("twilio-guard") || text.contains("twilio_guard")
}

/// Whether a tree has keys that only this filter's configuration has.
pub(super) fn is_our_config(config: &Value) -> bool {
    let ours = ["public_url", "sendgrid_keys", "shared_keys", "verified_header", "accept_hosts"];
    ours.iter().any(|key| config.get(key).is_some())
        || (config.get("accounts").is_some() && config.get("default").is_some())
}

fn is_ours(config: &Configured, names: &[Option<&str>]) -> bool {
    names.iter().flatten().any(|name| is_our_name(name))
        || config.tree().is_some_and(|config| is_our_config(&config))
        || matches!(config, Configured::Text(text) if String::from_utf8_lossy(text).contains("\"public_url\""))
}

/// Reads an Envoy `PluginConfig`; `None` if it is another filter's.
pub(super) fn envoy(
    filter_name: Option<&str>,
    plugin: &Value,
    at: &Location,
    buffer: Buffer,
) -> Option<Place> {
    let vm = field(plugin, &at.path, "vm_config");
    let (vm_value, vm_path) = vm.unwrap_or((&Value::Null, member(&at.path, "vm_config")));
    let code = field(vm_value, "", "code").map_or(&Value::Null, |(code, _)| code);
    let local = field(code, "", "local").and_then(|(local, _)| text(local, "filename"));
    let remote = field(code, "", "remote").and_then(|(remote, _)| field(remote, "", "http_uri"));
    let remote = remote.and_then(|(uri, _)| text(uri, "uri"));
    let (config, config_path) = any(plugin, &at.path);
    let names =
        [filter_name, text(plugin, "name"), text(plugin, "root_id"), text(vm_value, "vm_id"), local, remote];
    if !is_ours(&config, &names) {
        return None;
    }
    let variables = field(vm_value, &vm_path, "environment_variables");
    let (variables, variables_path) =
        variables.unwrap_or((&Value::Null, member(&vm_path, "environment_variables")));
    let mut passed = Passed {
        location: at.at(member(&variables_path, "host_env_keys")),
        remedy: "list it in vm_config.environment_variables.host_env_keys",
        names: list(variables, "", "host_env_keys")
            .iter()
            .filter_map(|(name, _)| name.as_str())
            .map(str::to_owned)
            .collect(),
        inline: Vec::new(),
    };
    if let Some((Value::Object(values), path)) = field(variables, &variables_path, "key_values") {
        for name in values.keys() {
            passed.inline.push((name.clone(), at.at(member(&path, name))));
        }
    }
    let fails_open = field(plugin, &at.path, "fail_open")
        .filter(|(value, _)| **value == Value::Bool(true))
        .or_else(|| field(plugin, &at.path, "failure_policy").filter(|(value, _)| *value == "FAIL_OPEN"));
    let header_hold = if is_true(plugin, "allow_on_headers_stop_iteration") {
        HeaderHold::Available
    } else {
        HeaderHold::FlagMissing(at.clone())
    };
    Some(Place {
        kind: "envoy",
        location: at.at(config_path),
        config,
        environment: Some(passed),
        fails_open: fails_open.map(|(_, path)| at.at(path)),
        header_hold,
        buffer,
        slowest: None,
    })
}

/// The `configuration` of a plugin: what Envoy hands to the filter.
fn any(plugin: &Value, path: &str) -> (Configured, String) {
    let Some((any, path)) = field(plugin, path, "configuration") else {
        return (Configured::Absent, member(path, "configuration"));
    };
    let kind = any.get("@type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.rsplit('/').next().unwrap_or_default();
    let value_path = member(&path, "value");
    match (kind, any.get("value")) {
        ("google.protobuf.StringValue", Some(Value::String(text))) => {
            (Configured::Text(text.clone().into_bytes()), value_path)
        }
        ("google.protobuf.BytesValue", Some(Value::String(text))) => match STANDARD.decode(text) {
            Ok(bytes) => (Configured::Text(bytes), value_path),
            Err(_) => (Configured::Unreadable, value_path),
        },
        ("google.protobuf.Struct", Some(value)) => (Configured::Object(value.clone()), value_path),
        ("google.protobuf.StringValue" | "google.protobuf.Struct", None) => (Configured::Absent, value_path),
        _ => (Configured::Unreadable, path),
    }
}

/// Reads what Istio's WasmPlugin has in `spec` and TrafficExtension in `spec.wasm`.
pub(super) fn istio(kind: &'static str, name: Option<&str>, spec: &Value, at: &Location) -> Option<Place> {
    let (config, config_path) = object(spec, at, "plugin_config");
    if !is_ours(&config, &[name, text(spec, "url"), text(spec, "plugin_name")]) {
        return None;
    }
    let (vm, vm_path) =
        field(spec, &at.path, "vm_config").unwrap_or((&Value::Null, member(&at.path, "vmConfig")));
    let mut passed = Passed {
        location: at.at(member(&vm_path, "env")),
        remedy: "add {name: .., valueFrom: HOST} to vmConfig.env",
        names: BTreeSet::new(),
        inline: Vec::new(),
    };
    for (entry, path) in list(vm, &vm_path, "env") {
        let Some(name) = text(entry, "name") else { continue };
        if text(entry, "value_from") == Some("HOST") {
            passed.names.insert(name.to_owned());
        } else {
            passed.inline.push((name.to_owned(), at.at(member(&path, "value"))));
        }
    }
    let fails_open = field(spec, &at.path, "fail_strategy").filter(|(value, _)| *value == "FAIL_OPEN");
    Some(Place {
        kind,
        location: at.at(config_path),
        config,
        environment: Some(passed),
        fails_open: fails_open.map(|(_, path)| at.at(path)),
        header_hold: HeaderHold::Unavailable(
            "set hold: body in the configuration, or insert the filter by an EnvoyFilter, which can set the flag",
        ),
        buffer: Buffer::Unknown,
        slowest: None,
    })
}

/// Reads an entry of `spec.wasm` of Envoy Gateway's EnvoyExtensionPolicy.
pub(super) fn gateway(policy: Option<&str>, entry: &Value, at: &Location) -> Option<Place> {
    let (config, config_path) = object(entry, at, "config");
    let code = entry.get("code").unwrap_or(&Value::Null);
    let url = |kind: &str| code.get(kind).and_then(|source| text(source, "url"));
    let names =
        [policy, text(entry, "name"), entry.get("rootID").and_then(Value::as_str), url("image"), url("http")];
    if !is_ours(&config, &names) {
        return None;
    }
    let (env, env_path) = field(entry, &at.path, "env").unwrap_or((&Value::Null, member(&at.path, "env")));
    Some(Place {
        kind: "envoy_extension_policy",
        location: at.at(config_path),
        config,
        environment: Some(Passed {
            location: at.at(member(&env_path, "hostKeys")),
            remedy: "list it in env.hostKeys",
            names: list(env, "", "host_keys")
                .iter()
                .filter_map(|(name, _)| name.as_str())
                .map(str::to_owned)
                .collect(),
            inline: Vec::new(),
        }),
        fails_open: is_true(entry, "fail_open").then(|| at.at(member(&at.path, "failOpen"))),
        header_hold: HeaderHold::Patched(
            "set hold: body in the configuration, or set the flag on the generated filter by an EnvoyPatchPolicy (check its file in the same run)",
        ),
        buffer: Buffer::Gateway,
        slowest: None,
    })
}

fn object(node: &Value, at: &Location, name: &str) -> (Configured, String) {
    match field(node, &at.path, name) {
        None | Some((Value::Null, _)) => {
            (Configured::Absent, member(&at.path, if name == "config" { name } else { "pluginConfig" }))
        }
        Some((value, path)) => (Configured::Object(value.clone()), path),
    }
}

/// The buffer limit of a listener.
pub(super) fn listener_buffer(listener: &Value, at: &Location) -> Buffer {
    let name = "per_connection_buffer_limit_bytes";
    match field(listener, &at.path, name) {
        Some((value, path)) => Buffer::Listener(bytes(value), at.at(path)),
        None => Buffer::Listener(None, at.at(member(&at.path, name))),
    }
}
