//! `explain`: the operator is told what would have matched. Nobody else is, and nothing of the request is told.

use serde_json::{Value, json};

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::operations::refusals::{OTHER_ACCOUNT, OTHER_TOKEN};
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, TOKEN, message};
use crate::support::sign::{FORM_TYPE, SIGNATURE, encode_form, signature};

/// The most explanations at once, and how many come back in a second.
const BURST: usize = 5;

const PARAMETERS: [(&str, &str); 2] = [("Body", "PLANTED-value"), ("PLANTED-name", "x")];
const URL: &str = "https://hooks.example.org/sms?q=PLANTED";

fn explaining(explain: bool) -> Value {
    let mut plugin = plugin("none", routes());
    plugin["routes"][0]["accounts"] = json!([ACCOUNT]);
    let other = json!({"sid": OTHER_ACCOUNT, "auth_tokens": [{"value": OTHER_TOKEN, "label": "other"}]});
    plugin["accounts"].as_array_mut().expect("a list").push(other);
    if explain {
        plugin["explain"] = true.into();
    }
    plugin
}

/// A message for which something else was signed than what is configured.
fn signed_as(token: &str, url: &str, parameters: &[(&str, &str)]) -> Request {
    Request::post("/sms?q=PLANTED", FORM_TYPE, encode_form(&PARAMETERS))
        .header(SIGNATURE, signature(token, url, parameters))
        .header("user-agent", "PLANTED")
}

/// Three mistakes of three kinds (URL, key, body), their hints, and words of the advice.
fn mistakes() -> [(&'static str, &'static str, Request); 3] {
    let http = URL.replacen("https", "http", 1);
    [
        ("scheme", "set the scheme of public_url", signed_as(TOKEN, &http, &PARAMETERS)),
        ("other_key", "token of another account", signed_as(OTHER_TOKEN, URL, &PARAMETERS)),
        ("params_ignored", "it matches the URL alone", signed_as(TOKEN, URL, &[])),
    ]
}

#[tokio::test]
async fn the_log_names_the_fix_and_nothing_of_the_request() -> Result<()> {
    let (silent, telling) =
        (Guarded::start(&explaining(false)).await?, Guarded::start(&explaining(true)).await?);
    let mut secrets = vec!["PLANTED".to_owned(), signature(TOKEN, URL, &PARAMETERS)];
    for (number, (hint, advice, request)) in mistakes().into_iter().enumerate() {
        secrets.push(String::from_utf8_lossy(request.headers[1].1.as_bytes()).into_owned());
        let protocol = Protocol::BOTH[number % 2];
        let mut answers = Vec::new();
        for guarded in [&silent, &telling] {
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(hint, Refused(401, "mismatch"));
            let mut response = exchange.response;
            // The time and the id alone differ.
            response.headers.remove("date");
            let text = response.text();
            let id = text.trim_end().rsplit(' ').next().ok_or("no id")?.to_owned();
            assert_eq!(text, format!("Request refused. Request id: {id}\n"));
            answers.push((response.status, response.headers));
        }
        assert_eq!(answers[0], answers[1], "{hint}: the caller learns whether it is explained");
        let line = &telling.envoy.module_lines()[number];
        assert_eq!(line["would_match"], json!([hint]), "{line}");
        let told = line["advice"][0].as_str().ok_or("no advice")?;
        assert!(told.contains(advice), "{hint}: {told}");
        // Off by default: the same line without these two.
        let plain = &silent.envoy.module_lines()[number];
        assert_eq!((plain.get("would_match"), plain.get("advice")), (None, None), "{plain}");
        assert_eq!((&plain["code"], &plain["keys_tried"]), (&line["code"], &line["keys_tried"]));
    }
    // A forgery has no explanation, and a genuine request needs none.
    let forged = signed_as("no token of anybody", URL, &PARAMETERS);
    telling.send(Protocol::Http1, &forged).await?.assert("forged", Refused(401, "mismatch"));
    let line = &telling.envoy.module_lines()[3];
    assert_eq!((line.get("would_match"), line.get("advice")), (None, None), "{line}");
    telling.expect("genuine", &message(), Verified).await?;
    for guarded in [&silent, &telling] {
        let texts = [guarded.envoy.log(), guarded.envoy.admin_get("/stats").await?.text()];
        for secret in &secrets {
            assert!(texts.iter().all(|text| !text.contains(secret)), "{secret} is told");
        }
        assert_eq!(guarded.upstream.count(), if std::ptr::eq(guarded, &telling) { 2 } else { 0 });
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_only_observed_is_explained_as_well() -> Result<()> {
    let mut plugin = explaining(true);
    plugin["mode"] = "observe".into();
    let guarded = Guarded::start(&plugin).await?;
    let [(hint, _, request), ..] = mistakes();
    let exchange = guarded.send(Protocol::Http1, &request).await?;
    assert_eq!(exchange.line.field("verdict"), "observed_reject");
    assert_eq!(exchange.received[0].body, request.body);
    let line = &guarded.envoy.module_lines()[0];
    assert_eq!((&line["event"], &line["would_match"]), (&json!("observed_reject"), &json!([hint])));
    assert_vm_alive(&guarded.envoy).await
}

/// An explanation costs hundreds of signatures: a flood must not be able to order them.
#[tokio::test]
async fn a_burst_of_refusals_has_few_explained() -> Result<()> {
    const FLOOD: usize = 100;
    let guarded = Guarded::start(&explaining(true)).await?;
    let [(_, _, request), ..] = mistakes();
    let started = std::time::Instant::now();
    for protocol in Protocol::BOTH {
        let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
        for _ in 0..FLOOD / 2 {
            if client.send(&request).await.map_or(0, |response| response.status) != 401 {
                // Until this host has proved that bodies follow, the answer comes first and ends the connection.
                client = Client::connect(guarded.envoy.address(), protocol).await?;
                assert_eq!(client.send(&request).await?.status, 401);
            }
        }
    }
    let earned = usize::try_from(started.elapsed().as_secs())? + 1;
    let lines = guarded.envoy.module_lines();
    let explained = lines.iter().filter(|line| line.get("would_match").is_some()).count();
    assert!((BURST..=BURST + earned).contains(&explained), "{explained} of {} lines", lines.len());
    let unexplained = lines.len() - explained;
    assert!(unexplained >= 40, "the others have their line all the same: {unexplained}");
    assert_vm_alive(&guarded.envoy).await
}

/// A scanner that signs nothing must not use up what genuine senders need: there is nothing to explain to it.
#[tokio::test]
async fn refusals_that_have_no_explanation_use_none_up() -> Result<()> {
    let guarded = Guarded::start(&explaining(true)).await?;
    let mut scanner = Client::connect(guarded.envoy.address(), Protocol::Http2).await?;
    for _ in 0..2 * BURST {
        assert_eq!(scanner.send(&Request::get("/sms")).await?.status, 401);
    }
    guarded.envoy.wait_for_access_log(2 * BURST).await?;
    let [(hint, _, request), ..] = mistakes();
    guarded.send(Protocol::Http1, &request).await?.assert(hint, Refused(401, "mismatch"));
    let lines = guarded.envoy.module_lines();
    assert_eq!(lines[2 * BURST].get("would_match"), Some(&json!([hint])), "{}", lines[2 * BURST]);
    assert_vm_alive(&guarded.envoy).await
}
