//! A faulty configuration never serves: Envoy ends at once, and one line of its log says where the fault is and what to
//! do.

use serde_json::{Value, json};

use crate::guarded::{plugin, routes};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

/// What must never be printed, wherever it stands in a configuration.
pub const PLANTED: &str = "planted5ecret0123456789abcdef";

/// A configuration that is refused: its text, and the place and the remedy that the line must name.
pub struct Fault {
    /// In a few words.
    pub name: &'static str,
    /// The plugin configuration.
    pub configuration: Option<String>,
    /// Where the fault is.
    pub path: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// How many of [`faults`] are tried at start-up, where each costs a process of its own; updates try them all.
const AT_START_UP: usize = 5;

/// The faults that every deployment can make. The environment has no variable `TWILIO_AUTH_TOKEN_NEXT`.
pub fn faults() -> Vec<Fault> {
    let usable = || {
        let mut plugin = plugin("none", routes());
        plugin["accounts"][0]["auth_tokens"][0]["value"] = PLANTED.into();
        plugin
    };
    let with = |pointer: &str, key: &str, value: Value| {
        let mut plugin = usable();
        let object = plugin.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        object.insert(key.to_owned(), value);
        Some(plugin.to_string())
    };
    let without = |key: &str| {
        let mut plugin = usable();
        plugin.as_object_mut().expect("an object").remove(key);
        Some(plugin.to_string())
    };
    let token = "/accounts/0/auth_tokens/0";
    let twice = json!([routes()[0], routes()[0]]);
    let faults: [(_, _, &[&str; 2]); 14] = [
        (
            "no configuration",
            None,
            &["configuration: it is empty", "public_url, default and what it verifies with"],
        ),
        (
            "an empty configuration",
            Some(String::new()),
            &["configuration: it is empty", "public_url, default and what it verifies with"],
        ),
        ("broken JSON", Some(format!("{{\"public_url\": \"{PLANTED}")), &["not JSON", "one JSON object"]),
        ("an unknown key", with("", "default_verify", PLANTED.into()), &["unknown key", "remove it"]),
        (
            "an absent variable",
            {
                let mut plugin = usable();
                plugin["accounts"][0]["auth_tokens"][0] = json!({"env": "TWILIO_AUTH_TOKEN_NEXT"});
                Some(plugin.to_string())
            },
            &["accounts[0].auth_tokens[0].env", "host_env_keys"],
        ),
        ("blanks", Some(" \n".to_owned()), &["configuration: it is empty", "public_url"]),
        ("an unknown key, deep", with(token, "vlaue", PLANTED.into()), &["auth_tokens[0]", "remove it"]),
        ("a missing key", without("default"), &["default: a required key is missing", "add it"]),
        ("a wrong type", with("", "accounts", PLANTED.into()), &["accounts: wrong type", "give a sequence"]),
        ("a wrong value", with("", "default", PLANTED.into()), &["default: unknown value", "`twilio`"]),
        (
            "a secret as account",
            with("/accounts/0", "sid", PLANTED.into()),
            &["accounts[0].sid", "AC and 32"],
        ),
        (
            "an inline secret that is not allowed",
            with("", "allow_inline_secrets", false.into()),
            &["accounts[0].auth_tokens[0].value", "use {\"env\": NAME}"],
        ),
        ("a route behind its like", with("", "routes", twice), &["routes[1]", "its own"]),
        ("a later version's key", with("", "egress", json!({})), &["egress: not available", "remove it"]),
    ];
    let fault = |(name, configuration, said): (_, _, &[&'static str; 2])| Fault {
        name,
        configuration,
        path: said[0],
        remedy: said[1],
    };
    faults.into_iter().map(fault).collect()
}

/// The filter's complaints in a log.
pub fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("twilio-guard configuration refused: ")).collect()
}

#[tokio::test]
async fn a_faulty_configuration_ends_envoy_with_one_line_that_names_place_and_remedy() -> Result<()> {
    let upstream = Upstream::start().await?;
    let module = module::path()?;
    for fault in faults().into_iter().take(AT_START_UP) {
        let name = fault.name;
        let filter = WasmFilter::raw(module, fault.configuration);
        let config = EnvoyConfig::new(upstream.address()).filter(filter);
        let error = Envoy::start(&config).await.err().ok_or(format!("{name}: it started"))?;
        assert!(error.exit.is_some_and(|exit| !exit.success()), "{name}: {error}");
        assert!(!error.log.contains(PLANTED), "{name}: the log tells the secret: {error}");
        let lines = complaints(&error.log);
        let [line] = lines[..] else { panic!("{name}: not one line: {error}") };
        assert!(line.contains("[error][wasm]"), "{name}: {line}");
        assert!(line.contains(fault.path) && line.contains(fault.remedy), "{name}: {line}");
    }
    assert_eq!(upstream.connections(), 0);
    Ok(())
}

/// A variable that is set, yet not handed to the module or empty, is as good as absent.
#[tokio::test]
async fn a_variable_that_the_module_does_not_see_ends_envoy() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut plugin = plugin("none", routes());
    plugin["accounts"][0]["auth_tokens"] = json!([{"env": "TWILIO_AUTH_TOKEN"}]);
    let filter = WasmFilter::new(module::path()?, &plugin);
    for (name, filter, value, said) in [
        ("not handed over", filter.clone().host_env_keys(&["HOME"]), PLANTED, "host_env_keys"),
        ("empty", filter.clone(), "", "absent or empty"),
        ("with a line break", filter, &format!("{PLANTED}\n"), "white space"),
    ] {
        let config = EnvoyConfig::new(upstream.address()).filter(filter).env("TWILIO_AUTH_TOKEN", value);
        let error = Envoy::start(&config).await.err().ok_or(format!("{name}: it started"))?;
        assert!(error.exit.is_some_and(|exit| !exit.success()), "{name}: {error}");
        let lines = complaints(&error.log);
        let [line] = lines[..] else { panic!("{name}: not one line: {error}") };
        assert!(line.contains("accounts[0].auth_tokens[0].env: ") && line.contains(said), "{name}: {line}");
        assert!(!error.log.contains(PLANTED), "{name}: the log tells the secret: {error}");
    }
    Ok(())
}
