//! Tokens from the environment: they work, and they are seen nowhere.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::scenarios::MESSAGE;
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

const CURRENT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
const NEXT: &str = "facade11facade11facade11facade11";

/// An Envoy with these variables, whose second token is optional.
async fn with_environment(variables: &[(&str, &str)]) -> Result<Guarded> {
    let mut plugin = plugin("none", routes());
    plugin["allow_inline_secrets"] = false.into();
    plugin["accounts"][0]["auth_tokens"] = json!([
        {"env": "TWILIO_AUTH_TOKEN", "label": "current"},
        {"env": "TWILIO_AUTH_TOKEN_NEXT", "label": "next", "optional": true},
    ]);
    let upstream = Upstream::start().await?;
    let mut config = EnvoyConfig::new(upstream.address()).filter(WasmFilter::new(module::path()?, &plugin));
    for (name, value) in variables {
        config = config.env(name, value);
    }
    let envoy = Envoy::start(&config).await?;
    Ok(Guarded { upstream, envoy })
}

#[tokio::test]
async fn an_optional_token_may_be_absent_or_empty() -> Result<()> {
    for variables in [
        &[("TWILIO_AUTH_TOKEN", CURRENT)][..],
        &[("TWILIO_AUTH_TOKEN", CURRENT), ("TWILIO_AUTH_TOKEN_NEXT", "")],
    ] {
        let guarded = with_environment(variables).await?;
        guarded.expect("current", &Twilio::new(CURRENT).form("/sms", &MESSAGE), Verified).await?;
        for token in [NEXT, ""] {
            let request = Twilio::new(token).form("/sms", &MESSAGE);
            guarded.expect("next", &request, Refused(401, "mismatch")).await?;
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn tokens_from_the_environment_verify_and_are_seen_nowhere() -> Result<()> {
    let variables = [("TWILIO_AUTH_TOKEN", CURRENT), ("TWILIO_AUTH_TOKEN_NEXT", NEXT)];
    let guarded = with_environment(&variables).await?;
    let mut seen = Vec::new();
    for (token, label) in [(CURRENT, "current"), (NEXT, "next")] {
        let genuine = Twilio::new(token).form("/sms", &MESSAGE);
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &genuine).await?;
            exchange.assert(label, Verified);
            assert!(exchange.line.field("key").starts_with(&format!("{label}#")), "{}", exchange.line.0);
            seen.push(format!("{:?}", exchange.received));
        }
        for forged in [genuine.clone().without(SIGNATURE), genuine.body("Body=forged")] {
            let exchange = guarded.send(Protocol::Http1, &forged).await?;
            assert_eq!(exchange.response.status, 401);
            seen.push(format!("{:?}", exchange.response));
        }
    }
    let envoy = &guarded.envoy;
    for page in [
        "/config_dump?include_eds",
        "/stats",
        "/stats/prometheus",
        "/server_info",
        "/clusters",
        "/listeners",
        "/init_dump",
    ] {
        let text = envoy.admin_get(page).await?.text();
        assert!(!text.is_empty(), "{page}");
        seen.push(text);
    }
    seen.extend([envoy.log(), envoy.stdout()]);
    seen.extend(envoy.access_log().into_iter().map(|line| line.0));
    let everything = seen.concat();
    // The control: what may be seen is.
    assert!(everything.contains("TWILIO_AUTH_TOKEN_NEXT") && everything.contains("current#"));
    for token in [CURRENT, NEXT] {
        assert!(!everything.contains(token), "a token is visible");
        assert!(token.get(..16).is_some_and(|half| !everything.contains(half)), "half a token is visible");
    }
    assert_vm_alive(envoy).await
}
