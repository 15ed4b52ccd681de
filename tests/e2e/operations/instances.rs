//! Several instances of the filter in one Envoy, whose VM they share: each goes by its own configuration.

use serde_json::{Value, json};

use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::client::{self, Client, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN};
use crate::support::sign::Twilio;
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

use super::refusals::{OTHER_ACCOUNT, OTHER_TOKEN};
use super::{counters, message_of, requests};

const SECOND: &str = "second";

/// An instance for one account, with a route of this name and path. The timeout is for `/held`: the other's bodies may come late
/// on a slow machine.
fn instance(name: &str, path: &str, account: (&str, &str), header: &str, timeout: &str) -> Value {
    let routes = json!([
        {"name": name, "match": {"path": path}, "verify": "twilio", "limits": {"body_timeout": "1m"}},
        {"name": held_route(name), "match": {"path": "/held"}, "verify": "twilio"},
    ]);
    let mut plugin = plugin("none", routes);
    plugin["accounts"] =
        json!([{"sid": account.0, "auth_tokens": [{"value": account.1, "label": format!("of-{name}")}]}]);
    plugin["limits"] = json!({"body_timeout": timeout});
    plugin["verified_header"] = header.into();
    plugin
}

/// The name of the route for bodies that never end.
fn held_route(name: &str) -> String {
    format!("{name}-held")
}

const ONE: (&str, &str) = (ACCOUNT, TOKEN);
const TWO: (&str, &str) = (OTHER_ACCOUNT, OTHER_TOKEN);

#[tokio::test]
async fn two_listeners_with_one_vm_verify_each_with_its_own_keys() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = |plugin: &Value| Ok::<_, crate::support::Error>(WasmFilter::new(module::path()?, plugin));
    let one = filter(&instance("one", "/sms", ONE, "x-twilio-guard", "800ms"))?;
    let two = filter(&instance("two", "/sms", TWO, "x-twilio-guard", "1s"))?;
    assert_eq!(one.vm_id, two.vm_id);
    let config = EnvoyConfig::new(upstream.address()).filter(one).listener(Listener::new(SECOND).filter(two));
    let envoy = Envoy::start(&config).await?;
    let addresses = [envoy.listener(INGRESS), envoy.listener(SECOND)];

    // Bodies that never end, held by both instances at once: each is ended by its own clock.
    let mut held = Vec::new();
    for protocol in Protocol::BOTH {
        for (address, account) in addresses.into_iter().zip([ONE, TWO]) {
            let request = Twilio::new(account.1).form("/held", &message_of(account.0));
            let mut client = Client::connect(address, protocol).await?;
            let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
            feed.data(request.body.slice(..10));
            held.push((client, feed, pending));
        }
    }
    for protocol in Protocol::BOTH {
        for (index, account) in [ONE, TWO].into_iter().enumerate() {
            let request = Twilio::new(account.1).form("/sms", &message_of(account.0));
            let own = client::send(addresses[index], protocol, &request).await?;
            let other = client::send(addresses[1 - index], protocol, &request).await?;
            assert_eq!((own.status, other.status), (200, 401), "{} {protocol:?}", account.0);
        }
    }
    for (_client, _feed, pending) in held {
        assert_eq!(pending.response().await?.status, 408);
    }
    let values: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.headers["x-twilio-guard"].to_str().map(str::to_owned))
        .collect::<std::result::Result<_, _>>()?;
    let expected = [(ONE, "one"), (TWO, "two")].map(|((sid, _), name)| {
        format!("scheme=twilio; account={sid}; key=of-{name}; route={name}; replay=unchecked")
    });
    assert_eq!(values, [&expected[..], &expected[..]].concat());

    let counters = counters(&envoy).await?;
    for name in ["one", "two"] {
        let held = held_route(name);
        for (outcome, reason, route) in [
            ("verified", "none", name),
            ("refused", "account_mismatch", name),
            ("refused", "body_timeout", &held),
        ] {
            assert_eq!(counters.get(&requests(outcome, reason, route)), Some(&2), "{route} {reason}");
        }
    }
    assert_eq!(counters.keys().filter(|name| name.starts_with("twilio_guard_requests")).count(), 6);
    assert_vm_alive(&envoy).await
}

#[tokio::test]
async fn two_instances_in_one_chain_demand_each_what_it_is_configured_to() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = |plugin: &Value| Ok::<_, crate::support::Error>(WasmFilter::new(module::path()?, plugin));
    let mut one = instance("one", "/one", ONE, "x-guard-one", "1m");
    let mut two = instance("two", "/two", TWO, "x-guard-two", "1m");
    for (plugin, name) in [(&mut one, "both-one"), (&mut two, "both-two")] {
        let both = json!({"name": name, "match": {"path": "/both"}, "verify": "twilio"});
        plugin["routes"].as_array_mut().ok_or("no routes")?.push(both);
    }
    // The second instance knows the first one's account too.
    let token = json!([{"value": TOKEN, "label": "seen-twice"}]);
    two["accounts"].as_array_mut().ok_or("no list")?.push(json!({"sid": ACCOUNT, "auth_tokens": token}));
    let config = EnvoyConfig::new(upstream.address()).filter(filter(&one)?).filter(filter(&two)?);
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };

    let form = |target: &str, account: (&str, &str)| {
        let request = Twilio::new(account.1).form(target, &message_of(account.0));
        request.header("x-guard-one", "spoofed").header("x_guard_two", "spoofed")
    };
    for protocol in Protocol::BOTH {
        for (target, account, header_one, header_two) in [
            ("/one", ONE, Some("of-one; route=one; replay=unchecked"), None),
            ("/two", TWO, None, Some("of-two; route=two; replay=unchecked")),
            (
                "/both",
                ONE,
                Some("of-one; route=both-one; replay=unchecked"),
                Some("seen-twice; route=both-two; replay=unchecked"),
            ),
            ("/neither", ONE, None, None),
        ] {
            let exchange = guarded.send(protocol, &form(target, account)).await?;
            assert_eq!((exchange.response.status, exchange.received.len()), (200, 1), "{target}");
            for (name, expected) in [("x-guard-one", header_one), ("x-guard-two", header_two)] {
                let value = exchange.received_header(name);
                assert_eq!(value.and_then(|value| value.split_once("key=")).map(|(_, end)| end), expected);
            }
            assert!(!exchange.received[0].headers.contains_key("x_guard_two"));
            assert_eq!(exchange.received[0].body, form(target, account).body);
        }
        for (target, account) in [("/one", TWO), ("/both", TWO)] {
            let exchange = guarded.send(protocol, &form(target, account)).await?;
            assert_eq!((exchange.response.status, exchange.received.len()), (401, 0), "{target}");
        }
        let forged = Request { body: "Body=forged".into(), ..form("/two", TWO) };
        let exchange = guarded.send(protocol, &forged).await?;
        assert_eq!((exchange.response.status, exchange.received.len()), (401, 0));
    }
    let genuine = Twilio::new(TOKEN).websocket("/one");
    let exchange = guarded.send(Protocol::Http1, &genuine).await?;
    assert!(exchange.response.accepted() && exchange.received_header("x-guard-one").is_some());
    let unnamed = Twilio::new(TOKEN).form("/both", &MESSAGE[..1]);
    let exchange = guarded.send(Protocol::Http2, &unnamed).await?;
    assert_eq!(
        exchange.line.details(),
        "twilio_guard_account_missing",
        "the second instance has the last word"
    );
    assert_vm_alive(&guarded.envoy).await
}
