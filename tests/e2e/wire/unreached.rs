//! The upstream never sees a byte of an unverified request: each test starts with one that has never been connected
//! to, and it has to stay so until the genuine request at the end.

use serde_json::{Value, json};

use super::probe::Probe;
use super::{EVENT, stranger, twilio};
use crate::guarded::plugin;
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::{self, FORM_TYPE, SIGNATURE, signature};

fn strict_plugin() -> Value {
    let mut plugin = plugin(
        "none",
        json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "call", "match": {"path": "/call"}, "verify": "twilio", "require_params": ["CallSid"]},
            {"name": "events", "match": {"path": "/events"}, "verify": "twilio"},
            {"name": "media", "match": {"path": "/media"}, "verify": "twilio"},
            {"name": "closed", "match": {"path_prefix": "/closed"}, "verify": "deny"},
        ]),
    );
    plugin["limits"] = json!({"max_form": 1024, "max_body": 4096, "max_params": 20});
    plugin
}

fn refusals() -> Vec<(&'static str, Request, (u16, &'static str))> {
    let genuine = || twilio().form("/sms", &MESSAGE);
    let forged = || stranger().form("/sms", &MESSAGE);
    let many: Vec<_> = (0..21).map(|_| ("a", "b")).collect();
    let long = "a".repeat(1025);
    let own_signature =
        |request: &Request| request.headers.iter().find(|(name, _)| name == SIGNATURE).cloned();
    let repeated = own_signature(&genuine()).map(|(_, value)| genuine().header(SIGNATURE, value.as_bytes()));
    let json_with_another_body = twilio().json("/events", EVENT).body("{}");
    let stripped = Request { headers: Vec::new(), ..twilio().json("/events", EVENT).body("") };
    let stripped = twilio().url_only(stripped.header("content-type", FORM_TYPE));
    let post = |content_type: &str, body: &str| {
        twilio().url_only(Request::post("/events", content_type, body.to_owned()))
    };
    let form = |body: &str| {
        Request::post("/sms", FORM_TYPE, body.to_owned()).header(SIGNATURE, signature("t", "u", &[]))
    };
    vec![
        ("a forged form", forged(), (401, "mismatch")),
        ("a forged form of undeclared length", forged().undeclared_length(), (401, "mismatch")),
        ("a forged form with trailers", forged().trailer("x-end", "yes"), (401, "mismatch")),
        ("a changed form", genuine().body("Body=changed"), (401, "mismatch")),
        ("another path", Request { target: "/events".to_owned(), ..genuine() }, (401, "mismatch")),
        ("another query", Request { target: "/sms?a=b".to_owned(), ..genuine() }, (401, "mismatch")),
        ("no signature", genuine().without(SIGNATURE), (401, "missing_signature")),
        ("an empty signature", genuine().with(SIGNATURE, ""), (401, "missing_signature")),
        (
            "no signature, undeclared length",
            genuine().without(SIGNATURE).undeclared_length(),
            (401, "missing_signature"),
        ),
        ("two signatures", repeated.unwrap_or_else(genuine), (401, "repeated_signature")),
        ("no base64", genuine().with(SIGNATURE, "not base64"), (401, "malformed_signature")),
        (
            "a named key",
            genuine().header("x-twilio-webhooks-signature-settings", "key=k,algorithm=hmac-sha256"),
            (401, "unknown_key"),
        ),
        ("another body than hashed", json_with_another_body, (401, "body_hash_mismatch")),
        ("the body stripped off its hash", stripped, (401, "body_hash_mismatch")),
        ("JSON without a hash", post("application/json", EVENT), (401, "body_hash_missing")),
        (
            "JSON without a hash, undeclared length",
            post("application/json", EVENT).undeclared_length(),
            (401, "body_hash_missing"),
        ),
        ("text", post("text/plain", "a=b"), (401, "unsigned_body")),
        ("multipart", post("multipart/form-data; boundary=x", "--x--"), (401, "unsigned_body")),
        ("a GET with a body", twilio().get("/events?a=b").body("a=c"), (401, "unsigned_body")),
        (
            "a GET with a body of undeclared length",
            twilio()
                .get("/events?a=b")
                .body("a=c")
                .header("transfer-encoding", "chunked")
                .undeclared_length(),
            (401, "unsigned_body"),
        ),
        (
            "a form in another charset",
            genuine().with("content-type", format!("{FORM_TYPE}; charset=utf-16")),
            (401, "bad_content_type"),
        ),
        ("a compressed form", genuine().header("content-encoding", "gzip"), (401, "bad_content_type")),
        ("a broken escape", form("Body=%zz"), (401, "malformed_body")),
        ("a form that is not UTF-8", form("Body=%ff"), (401, "malformed_body")),
        ("another account", twilio().form("/sms", &[("AccountSid", "AC1")]), (401, "account_mismatch")),
        ("a parameter left out", twilio().form("/call", &MESSAGE), (401, "missing_param")),
        (
            "a parameter of another shape",
            twilio().form("/call", &[("CallSid", "CA")]),
            (401, "malformed_param"),
        ),
        ("another host", genuine().authority("elsewhere.example"), (403, "host_not_accepted")),
        ("a closed route", Request::get("/closed/door"), (403, "denied")),
        ("a path with two readings", Request::get("/public/..%2fsms"), (403, "ambiguous_path")),
        ("another method", Request { method: "PUT".to_owned(), ..genuine() }, (405, "method_not_allowed")),
        ("too long a form", twilio().form("/sms", &[("a", &long)]), (413, "body_too_large")),
        (
            "too long a form of undeclared length",
            twilio().form("/sms", &[("a", &long)]).undeclared_length(),
            (413, "body_too_large"),
        ),
        ("too many parameters", form(&sign::encode_form(&many)), (413, "too_many_params")),
        ("a forged websocket", stranger().websocket("/media"), (401, "mismatch")),
        ("a websocket without a signature", Request::websocket("/media"), (401, "missing_signature")),
    ]
}

#[tokio::test]
async fn refusals_of_every_kind_are_not_noticed_by_the_upstream() -> Result<()> {
    let mut probe = Probe::start(&strict_plugin()).await?;
    for protocol in Protocol::BOTH {
        for (what, mut request, outcome) in refusals() {
            if protocol == Protocol::Http2 {
                // HTTP/2 has no transfer codings.
                request = request.without("transfer-encoding");
            }
            probe.refuse(what, protocol, &request, outcome).await?;
        }
    }
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    probe.finish().await
}

#[tokio::test]
async fn half_a_forged_body_is_not_noticed_by_the_upstream() -> Result<()> {
    let mut probe = Probe::start(&strict_plugin()).await?;
    let forged = stranger().form("/sms", &MESSAGE);
    let (half, _) = forged.body.split_at(forged.body.len() / 2);

    for framing in
        [("content-length", forged.body.len().to_string()), ("transfer-encoding", "chunked".into())]
    {
        probe.envoy.wait_until_idle().await?;
        let mut connection = RawConnection::connect(probe.envoy.address()).await?;
        connection.write(raw::head(&forged.clone().header(framing.0, &framing.1))).await?;
        if framing.0 == "transfer-encoding" {
            connection.write(format!("{:x}\r\n", forged.body.len())).await?;
        }
        connection.write(half).await?;
        probe.envoy.wait_for_stat("http.ingress.downstream_rq_active", 1).await?;
        drop(connection);
        assert_eq!(probe.next_line().await?.field("flags"), "DC", "{framing:?}");
    }
    for length in [Some(u64::try_from(forged.body.len())?), None] {
        probe.envoy.wait_until_idle().await?;
        let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
        let (feed, pending) = client.start(&forged, length).await?;
        feed.data(half.to_vec());
        probe.envoy.wait_for_stat("http.ingress.downstream_rq_active", 1).await?;
        feed.abort();
        assert!(pending.response().await.is_err());
        assert_eq!(probe.next_line().await?.status(), 0, "{length:?}");
    }
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    probe.finish().await
}
