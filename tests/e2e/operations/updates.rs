//! Configuration updates while requests are under way.

use serde_json::{Value, json};

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::{self, Client, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::{Envoy, Update};
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Error, Result, binary, module, since};

use super::refusals::OTHER_TOKEN;
use super::start_up::{PLANTED, complaints, faults};

fn with_token(token: &str, label: &str) -> Value {
    let mut plugin = plugin("none", routes());
    plugin["accounts"][0]["auth_tokens"] = json!([{"value": token, "label": label}]);
    plugin
}

fn ingress(plugin: &Value) -> Result<Listener> {
    Ok(Listener::new(INGRESS).filter(WasmFilter::new(module::path()?, plugin)))
}

async fn dynamic(plugin: &Value) -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, plugin);
    let config = EnvoyConfig::new(upstream.address()).filter(filter).dynamic_listeners().concurrency(2);
    let envoy = Envoy::start(&config).await?;
    Ok(Guarded { upstream, envoy })
}

#[tokio::test]
async fn a_faulty_update_is_rejected_and_the_old_configuration_keeps_serving() -> Result<()> {
    let mut guarded = dynamic(&plugin("none", routes())).await?;
    let module = module::path()?;
    // Before 1.40 Envoy refuses without a word what it has just refused, and no configuration equals an empty one.
    let unsaid = |done: usize| Ok::<_, Error>(usize::from(done > 0 && binary::minor()? < 40));
    for (done, fault) in faults().into_iter().enumerate() {
        let name = fault.name;
        let listener = Listener::new(INGRESS).filter(WasmFilter::raw(module, fault.configuration));
        assert_eq!(guarded.envoy.update_listeners(&[listener]).await?, Update::Rejected, "{name}");
        let rejected = guarded.envoy.stat("listener_manager.lds.update_rejected").await?;
        assert_eq!(rejected, u64::try_from(done + 1)?, "{name}");
        let log = guarded.envoy.log();
        let lines = complaints(&log);
        let last = done - unsaid(done)?;
        assert_eq!(lines.len(), last + 1, "{name}: one line for each fault");
        let line = lines[last];
        assert!(line.contains(fault.path) && line.contains(fault.remedy), "{name}: {line}");
        assert!(!log.contains(PLANTED), "{name}: the log tells the secret");
        guarded.expect(name, &message(), Verified).await?;
        let unsigned = message().without(SIGNATURE);
        guarded.expect(name, &unsigned, Refused(401, "missing_signature")).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_rotated_token_takes_effect_and_requests_finish_under_the_configuration_they_began_with()
-> Result<()> {
    let mut guarded = dynamic(&with_token(TOKEN, "old")).await?;
    let (old, new) = (Twilio::new(TOKEN), Twilio::new(OTHER_TOKEN));
    let gate = Gate::closed();
    guarded.upstream.script("/events", Behaviour::Hold(gate.clone()));

    // Under way during the update: bodies of which one half has arrived, and requests that the application works on.
    let mut bodies = Vec::new();
    let mut answers = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http1, Protocol::Http2] {
        for sender in [&old, &new] {
            let request = sender.form("/sms", &MESSAGE);
            let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
            let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
            feed.data(request.body.slice(..20));
            bodies.push((client, feed, pending, request.body.slice(20..)));
        }
        let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
        let (_, pending) = client.start(&old.get("/events"), Some(0)).await?;
        answers.push((client, pending));
    }
    guarded.upstream.wait_for(answers.len()).await?;
    // Every half body is with the filter too: its connection is open and its request active.
    guarded.envoy.wait_for_stat("http.ingress.downstream_rq_active", 12).await?;

    let update = ingress(&with_token(OTHER_TOKEN, "new"))?;
    assert_eq!(guarded.envoy.update_listeners(&[update]).await?, Update::Applied);
    let exchange = guarded.send(Protocol::Http1, &new.form("/sms", &MESSAGE)).await?;
    exchange.assert("new token, new configuration", Verified);
    assert!(exchange.line.field("key").starts_with("new#"), "{}", exchange.line.0);
    guarded
        .expect("old token, new configuration", &old.form("/sms", &MESSAGE), Refused(401, "mismatch"))
        .await?;

    for (index, (_client, feed, pending, rest)) in bodies.into_iter().enumerate() {
        feed.data(rest);
        drop(feed);
        let expected = if index % 2 == 0 { 200 } else { 401 };
        assert_eq!(pending.response().await?.status, expected, "half body {index}, old configuration");
    }
    gate.open();
    for (_client, pending) in answers {
        assert_eq!(pending.response().await?.status, 200);
    }
    let log = guarded.envoy.wait_for_access_log(15).await?;
    let by_old = log.iter().filter(|line| line.field("key").starts_with("old#")).count();
    assert_eq!(by_old, 8, "each genuine request of before was verified with the key of before");
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn updates_under_load_lose_no_genuine_request() -> Result<()> {
    let mut both = with_token(TOKEN, "old");
    both["accounts"][0]["auth_tokens"] =
        json!([{"value": TOKEN, "label": "old"}, {"value": OTHER_TOKEN, "label": "new"}]);
    let mut guarded = dynamic(&both).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut senders = tokio::task::JoinSet::new();
    let address = guarded.envoy.address();
    for (token, protocol) in [
        (TOKEN, Protocol::Http1),
        (TOKEN, Protocol::Http2),
        (OTHER_TOKEN, Protocol::Http1),
        (OTHER_TOKEN, Protocol::Http2),
    ] {
        let (stopped, request) = (stopped.clone(), Twilio::new(token).form("/sms", &MESSAGE));
        senders.spawn(async move {
            let mut sent = 0;
            while !*stopped.borrow() {
                let response = client::send(address, protocol, &request).await?;
                assert_eq!(response.status, 200);
                sent += 1;
            }
            Ok::<_, Error>(sent)
        });
    }
    for round in 0..3 {
        both["routes"][2]["name"] = format!("media-{round}").into();
        guarded.upstream.wait_for(guarded.upstream.count() + 20).await?;
        assert_eq!(guarded.envoy.update_listeners(&[ingress(&both)?]).await?, Update::Applied);
    }
    guarded.upstream.wait_for(guarded.upstream.count() + 20).await?;
    stop.send_replace(true);
    let mut sent = 0;
    while let Some(done) = senders.join_next().await {
        sent += done??;
    }
    assert_eq!(guarded.upstream.count(), sent);
    assert_vm_alive(&guarded.envoy).await
}

/// The filter with its token in a variable that the configuration itself sets, and a marker in the VM's configuration.
fn with_variable(token: &str, label: &str, marker: &str) -> Result<Listener> {
    let mut plugin = plugin("none", routes());
    plugin["accounts"][0]["auth_tokens"] = json!([{"env": "TWILIO_AUTH_TOKEN", "label": label}]);
    let (token, marker) = (token.to_owned(), marker.to_owned());
    Ok(ingress(&plugin)?.edit(move |manager| {
        let vm = &mut manager["http_filters"][0]["typed_config"]["config"]["vm_config"];
        vm["environment_variables"] = json!({"key_values": {"TWILIO_AUTH_TOKEN": token}});
        vm["configuration"] =
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": marker});
    }))
}

/// Before 1.39 Envoy keeps the VM, and with it the variables that it was built with.
#[tokio::test]
async fn a_token_that_is_rotated_in_a_variable_takes_effect_with_a_new_vm() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut config = EnvoyConfig::new(upstream.address()).dynamic_listeners().concurrency(2);
    config.listeners = vec![with_variable(TOKEN, "old", "1")?];
    let envoy = Envoy::start(&config).await?;
    let mut guarded = Guarded { upstream, envoy };
    let (old, new) =
        (Twilio::new(TOKEN).form("/sms", &MESSAGE), Twilio::new(OTHER_TOKEN).form("/sms", &MESSAGE));
    guarded.expect("at first", &old, Verified).await?;
    let takes_effect = binary::minor()? >= since::NEW_VM_FOR_VARIABLES;
    for (what, label, marker, takes_effect) in [
        ("the variable alone", "old", "1", takes_effect),
        ("a label with it", "new", "1", takes_effect),
        ("the VM's configuration with it", "new", "2", true),
    ] {
        let update = with_variable(OTHER_TOKEN, label, marker)?;
        assert_eq!(guarded.envoy.update_listeners(&[update]).await?, Update::Applied, "{what}");
        let (valid, invalid) = if takes_effect { (&new, &old) } else { (&old, &new) };
        guarded.expect(what, valid, Verified).await?;
        guarded.expect(what, invalid, Refused(401, "mismatch")).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}
