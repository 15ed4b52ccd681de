//! SendGrid's signed webhooks: the host does the arithmetic, and the verdict is as strict as Twilio's own.

use std::collections::BTreeMap;

use serde_json::json;

use crate::guarded::Outcome::{self, Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive};
use crate::operations::{counters, fingerprint};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::sendgrid::{SIGNATURE, Sendgrid, TIME, TIMESTAMP, encode};
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

use super::{mail, sendgrid_plugin};

const EVENTS: &str =
    "[{\"email\":\"someone@example.com\",\"event\":\"delivered\",\"sg_event_id\":\"1\"}]\r\n";
const MISMATCH: Outcome = Refused(401, "mismatch");
const MALFORMED_TIMESTAMP: Outcome = Refused(401, "malformed_timestamp");

fn events() -> Request {
    Sendgrid::genuine().events("/mail", EVENTS)
}

/// A mail as Inbound Parse posts it, with every byte that there is, and of about this size.
fn inbound_mail(attachment: usize) -> Request {
    let binary: Vec<u8> = (0..=255).cycle().take(attachment.max(512)).collect();
    let head = "--xYzZY\r\nContent-Disposition: form-data; name=\"subject\"\r\n\r\nGr\u{fc}\u{df}e\r\n--xYzZY\r\n\
                Content-Disposition: form-data; name=\"attachment1\"; filename=\"a.bin\"\r\n\r\n";
    let body = [head.as_bytes(), &binary, b"\r\n--xYzZY--\r\n"].concat();
    Sendgrid::genuine().post("/mail", "multipart/form-data; boundary=xYzZY", body)
}

#[tokio::test]
async fn a_signed_post_is_verified_whatever_its_content_type() -> Result<()> {
    let guarded = Guarded::start(&sendgrid_plugin(mail())).await?;
    let signed = Sendgrid::genuine();
    for (name, request) in [
        ("events", events()),
        ("events of undeclared length", events().undeclared_length()),
        ("events with trailers", events().trailer("x-end", "yes")),
        ("another path with a query", signed.events("/mail?a=b", EVENTS)),
        ("a mail with binary", inbound_mail(4000)),
        ("no body", signed.events("/mail", "")),
        ("no body, of undeclared length", signed.events("/mail", "").undeclared_length()),
        ("no content type", events().without("content-type")),
        ("a host with a port", events().authority("HOOKS.example.org:443")),
    ] {
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(name, Verified);
            let header = exchange.received_header("x-twilio-guard");
            assert_eq!(header, Some("scheme=sendgrid; key=events; route=mail; replay=unchecked"), "{name}");
            assert_eq!(exchange.received[0].body, request.body, "{name}: to the byte");
        }
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn what_was_changed_or_signed_by_somebody_else_is_refused() -> Result<()> {
    let guarded = Guarded::start(&sendgrid_plugin(mail())).await?;
    let genuine = Sendgrid::genuine();
    let without_time = encode(&genuine.sign("", EVENTS.as_bytes()));
    let mut other_mail = inbound_mail(600).body.to_vec();
    other_mail[200] ^= 1;
    for (name, request) in [
        ("body changed", events().body(EVENTS.replace("delivered", "bounced"))),
        ("line end removed", events().body(EVENTS.trim_end())),
        ("body removed", events().body("")),
        ("body added", genuine.events("/mail", "").body("[]")),
        ("one bit of a mail", inbound_mail(600).body(other_mail)),
        ("timestamp changed", events().with(TIMESTAMP, "1700555011")),
        ("timestamp not signed", events().with(SIGNATURE, without_time)),
        ("signed with another key", Sendgrid::stranger().events("/mail", EVENTS)),
        ("signature of another body", events().with(SIGNATURE, encode(&genuine.sign(&TIME, b"[]")))),
    ] {
        guarded.expect(name, &request, MISMATCH).await?;
    }
    assert_eq!(guarded.upstream.connections(), 0);
    assert_vm_alive(&guarded.envoy).await
}

/// The signature covers timestamp and body as one text: only its fixed length keeps bytes from moving between them.
#[tokio::test]
async fn no_byte_moves_between_timestamp_and_body() -> Result<()> {
    let guarded = Guarded::start(&sendgrid_plugin(mail())).await?;
    let text = format!("{}{EVENTS}", *TIME);
    for split in [0, 1, 5, 9, 11, 12, 20] {
        let (timestamp, body) = text.split_at(split);
        let request = events().with(TIMESTAMP, timestamp).body(body.to_owned());
        guarded.expect(&format!("split at {split}"), &request, MALFORMED_TIMESTAMP).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn missing_repeated_and_malformed_headers_have_their_reasons() -> Result<()> {
    let guarded = Guarded::start(&sendgrid_plugin(mail())).await?;
    // Not every length of a signature needs padding in base64; this one does.
    let signature = encode(&Sendgrid::genuine().sign("1700555010", EVENTS.as_bytes()));
    assert!(signature.ends_with('='));
    let unsigned = || events().without(SIGNATURE);
    let timeless = || events().without(TIMESTAMP);
    for (name, request, code) in [
        ("no signature", unsigned(), "missing_signature"),
        ("no header at all", unsigned().without(TIMESTAMP), "missing_signature"),
        ("an empty signature", unsigned().header(SIGNATURE, ""), "missing_signature"),
        ("two signatures", events().header(SIGNATURE, &signature), "repeated_signature"),
        ("two and one of them empty", events().header(SIGNATURE, ""), "repeated_signature"),
        ("no padding", events().with(SIGNATURE, signature.trim_end_matches('=')), "malformed_signature"),
        ("a list", events().with(SIGNATURE, format!("{signature},{signature}")), "malformed_signature"),
        ("no base64", events().with(SIGNATURE, "not a signature"), "malformed_signature"),
        ("no DER", events().with(SIGNATURE, "AAAA"), "malformed_signature"),
        ("a long one", events().with(SIGNATURE, "MEUC".repeat(2000)), "malformed_signature"),
        ("no timestamp", timeless(), "malformed_timestamp"),
        ("an empty timestamp", timeless().header(TIMESTAMP, ""), "malformed_timestamp"),
        ("two timestamps", events().header(TIMESTAMP, &*TIME), "malformed_timestamp"),
        ("nine digits", events().with(TIMESTAMP, "170055501"), "malformed_timestamp"),
        ("milliseconds", events().with(TIMESTAMP, "1700555010000"), "malformed_timestamp"),
        ("a sign", events().with(TIMESTAMP, "+170055501"), "malformed_timestamp"),
        ("a blank inside", events().with(TIMESTAMP, "17005 5501"), "malformed_timestamp"),
        (
            "other digits",
            events().with(TIMESTAMP, "\u{661}\u{662}\u{663}\u{664}\u{665}"),
            "malformed_timestamp",
        ),
    ] {
        guarded.expect(name, &request, Refused(401, code)).await?;
    }
    // Twilio's own header proves nothing here.
    let twilio = crate::support::sign::Twilio::new(crate::support::scenarios::TOKEN).form("/mail", &[]);
    guarded.expect("Twilio's signature", &twilio, Refused(401, "missing_signature")).await?;
    guarded.expect("host", &events().authority("else.example"), Refused(403, "host_not_accepted")).await?;
    assert_eq!(guarded.upstream.connections(), 0);
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_method_that_is_not_post_is_answered_405() -> Result<()> {
    let guarded = Guarded::start(&sendgrid_plugin(mail())).await?;
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let request = Request { method: method.to_owned(), ..Sendgrid::genuine().events("/mail", "") };
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(method, Refused(405, "method_not_allowed"));
            assert_eq!(exchange.response.header("allow"), Some("POST"), "{method}");
        }
    }
    let upgrade = Request::websocket("/mail");
    guarded.expect("an upgrade", &upgrade, Refused(405, "method_not_allowed")).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn either_key_of_a_rotation_signs_and_the_counters_tell_which() -> Result<()> {
    let (old, new) = (Sendgrid::genuine(), Sendgrid::stranger());
    let mut plugin = sendgrid_plugin(mail());
    plugin["sendgrid_keys"] = json!([
        {"value": old.public_key(), "label": "old"},
        {"value": new.public_key(), "label": "new"},
        {"env": "SENDGRID_PUBLIC_KEY_NEXT", "optional": true},
    ]);
    let guarded = Guarded::start(&plugin).await?;
    let mut expected = BTreeMap::new();
    for (label, sender, times) in [("old", &old, 1), ("new", &new, 2)] {
        let fingerprint = fingerprint(&sender.public_key());
        for _ in 0..times {
            for protocol in Protocol::BOTH {
                let exchange = guarded.send(protocol, &sender.events("/mail", EVENTS)).await?;
                exchange.assert(label, Verified);
                assert_eq!(exchange.line.field("key"), format!("{label}#{fingerprint}"));
                let header = format!("scheme=sendgrid; key={label}; route=mail; replay=unchecked");
                assert_eq!(exchange.received_header("x-twilio-guard"), Some(&*header));
            }
        }
        expected.insert(format!("twilio_guard_signatures.key={label}.fingerprint={fingerprint}"), 2 * times);
    }
    guarded.expect("changed", &new.events("/mail", EVENTS).body("[]"), MISMATCH).await?;
    let mut counted = counters(&guarded.envoy).await?;
    counted.retain(|name, _| name.starts_with("twilio_guard_signatures"));
    assert_eq!(counted, expected);
    let tried = guarded.envoy.module_lines()[0]["keys_tried"].clone();
    assert_eq!(tried.as_array().map(Vec::len), Some(2), "{tried}");
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_body_may_have_max_body_bytes_and_no_more() -> Result<()> {
    const LIMIT: usize = 4096;
    let mut plugin = sendgrid_plugin(mail());
    plugin["limits"] = json!({"max_body": LIMIT});
    let guarded = Guarded::start(&plugin).await?;
    let of_length = |length: usize| Sendgrid::genuine().events("/mail", vec![b'a'; length]);
    for (length, expected) in
        [(LIMIT - 1, Verified), (LIMIT, Verified), (LIMIT + 1, Refused(413, "body_too_large"))]
    {
        guarded.expect("declared", &of_length(length), expected).await?;
        guarded.expect("undeclared", &of_length(length).undeclared_length(), expected).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

/// What the documentation says of Inbound Parse: `max_body`, and Envoy's buffers with it.
#[tokio::test]
async fn a_mail_of_several_megabytes_passes_where_envoy_may_buffer_it() -> Result<()> {
    const SIZE: usize = 5 << 20;
    let mut routes = mail();
    routes[0]["profile"] = "inbound-parse".into();
    routes[0]["limits"] = json!({"max_body": "6MiB"});
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address())
        .filter(WasmFilter::new(module::path()?, &sendgrid_plugin(routes)))
        .ingress(|ingress| {
            ingress.buffer_limit(8 << 20).edit(|manager| {
                manager["http2_protocol_options"]["initial_stream_window_size"] = json!(8 << 20);
            })
        });
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };
    let mail = inbound_mail(SIZE);
    let mut changed = mail.body.to_vec();
    changed[SIZE / 2] ^= 0x80;
    for protocol in Protocol::BOTH {
        let exchange = guarded.send(protocol, &mail).await?;
        exchange.assert("a large mail", Verified);
        assert!(exchange.received[0].body == mail.body, "to the byte");
        guarded.send(protocol, &mail.clone().body(changed.clone())).await?.assert("changed", MISMATCH);
    }
    assert_vm_alive(&guarded.envoy).await
}

/// The fault in the configuration is told before any request is served.
#[tokio::test]
async fn a_key_that_is_none_ends_envoy_with_its_path() -> Result<()> {
    let upstream = Upstream::start().await?;
    for (name, key) in
        [("no key", json!({"value": "AAAA"})), ("no variable", json!({"env": "SENDGRID_PUBLIC_KEY"}))]
    {
        let mut plugin = sendgrid_plugin(mail());
        plugin["sendgrid_keys"] = json!([key]);
        let filter = WasmFilter::new(module::path()?, &plugin);
        let config = EnvoyConfig::new(upstream.address()).filter(filter);
        let error = Envoy::start(&config).await.err().ok_or(format!("{name}: it started"))?;
        let [line] = crate::operations::start_up::complaints(&error.log)[..] else {
            panic!("{name}: not one line: {error}")
        };
        assert!(line.contains("sendgrid_keys[0]"), "{name}: {line}");
    }
    Ok(())
}
