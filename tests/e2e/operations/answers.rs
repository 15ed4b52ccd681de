//! What a refused caller learns: a status, a request id, and nothing about what was wrong.

use std::collections::BTreeMap;

use serde_json::json;

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::{Client, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::scenarios::message;
use crate::support::sign::SIGNATURE;
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

use super::refusals::{self, Refusal};

/// The request id in the body, which is otherwise constant.
fn request_id(response: &Response) -> uuid::Uuid {
    let text = response.text();
    let id = text.strip_prefix("Request refused. Request id: ").and_then(|rest| rest.strip_suffix('\n'));
    let id = id.unwrap_or_else(|| panic!("another body: {text:?}"));
    let uuid = uuid::Uuid::try_parse(id).expect("a UUID");
    assert_eq!(uuid.to_string(), id, "in its usual form");
    uuid
}

/// All of a response that a caller sees, without the time and the id.
fn seen(response: &Response) -> (u16, Vec<(String, String)>) {
    request_id(response);
    let headers = response.headers.iter().filter(|(name, _)| *name != "date" && *name != "allow");
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    (response.status, headers.collect())
}

#[tokio::test]
async fn every_reason_has_its_status_and_its_details_and_looks_like_every_other_of_that_status() -> Result<()>
{
    let guarded = Guarded::start(&refusals::configuration()).await?;
    // Until a body has followed a held head, known-bad requests are answered without waiting for theirs.
    guarded.send(Protocol::Http1, &message()).await?.assert("genuine", Verified);
    for protocol in Protocol::BOTH {
        // An answer that comes before the body was read closes an HTTP/1 connection, so it looks different there.
        let mut answers: BTreeMap<u16, (&str, _)> = BTreeMap::new();
        for Refusal { code, status, route, request, .. } in refusals::all() {
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(code, Refused(status, code));
            assert_eq!(exchange.line.field("reason"), code);
            assert_eq!(exchange.line.field("route"), route, "{code}");
            let response = exchange.response;
            let challenge = (status == 401).then_some("Twilio-Signature");
            assert_eq!(response.header("www-authenticate"), challenge, "{code}");
            assert_eq!(response.header("allow"), (status == 405).then_some("POST, GET"), "{code}");
            assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{code}");
            if code == "body_too_large" {
                continue;
            }
            let (first, look) = answers.entry(status).or_insert_with(|| (code, seen(&response)));
            assert_eq!(*look, seen(&response), "{code} and {first}, {protocol:?}");
        }
        let statuses: Vec<_> = answers.into_keys().collect();
        assert_eq!(statuses, [401, 403, 405, 408, 413, 503]);
    }
    // The one reason that takes time.
    for protocol in Protocol::BOTH {
        let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
        let request = refusals::slow();
        let lines = guarded.envoy.access_log().len();
        let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
        feed.data(request.body.slice(..5));
        let response = pending.response().await?;
        assert_eq!((response.status, response.header("www-authenticate")), (408, None));
        request_id(&response);
        let line = guarded.envoy.wait_for_access_log(lines + 1).await?.remove(lines);
        assert_eq!(line.details(), "twilio_guard_body_timeout");
    }
    assert_eq!(guarded.upstream.count(), 1);
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn the_status_of_each_class_can_be_set_and_a_route_has_the_last_word() -> Result<()> {
    let mut configuration = refusals::configuration();
    configuration["statuses"] = json!({
        "missing_signature": 400, "invalid_signature": 403, "denied": 404, "timeout": 504, "too_large": 400,
        "method": 501, "stale": 410, "replayed": 412,
    });
    configuration["routes"][1]["statuses"] = json!({"invalid_signature": 422});
    let guarded = Guarded::start(&configuration).await?;
    for Refusal { code, status, route, request, .. } in refusals::all() {
        let expected = match (code, status, route) {
            (
                "missing_signature"
                | "body_too_large"
                | "target_too_large"
                | "too_many_params"
                | "hash_budget_exceeded",
                ..,
            ) => 400,
            (_, 401, "events") => 422,
            (_, 401, _) => 403,
            (_, 403, _) => 404,
            (_, 405, _) => 501,
            (_, 408, _) => 410,
            ("cold_start", ..) => 503,
            _ => panic!("{code} has no class"),
        };
        let exchange = guarded.send(Protocol::Http1, &request).await?;
        exchange.assert(code, Refused(expected, code));
        // These belong to the statuses 401 and 405 alone.
        assert_eq!(exchange.response.header("www-authenticate"), None, "{code}");
        assert_eq!(exchange.response.header("allow"), None, "{code}");
    }
    let mut client = Client::connect(guarded.envoy.address(), Protocol::Http2).await?;
    let (_feed, pending) = client.start(&refusals::slow(), None).await?;
    assert_eq!(pending.response().await?.status, 504);
    assert_vm_alive(&guarded.envoy).await
}

/// Without the flag no body ever follows a held head.
#[tokio::test]
async fn the_status_of_an_undecidable_request_can_be_set() -> Result<()> {
    let mut configuration = refusals::configuration();
    configuration["statuses"] = json!({"undecidable": 500});
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &configuration).without_header_hold();
    let envoy = Envoy::start(&EnvoyConfig::new(upstream.address()).filter(filter)).await?;
    let guarded = Guarded { upstream, envoy };
    let exchange = guarded.send(Protocol::Http1, &message()).await?;
    exchange.assert("no flag", Refused(500, "allow_on_headers_stop_iteration_missing"));
    request_id(&exchange.response);
    let line = guarded.envoy.module_lines().remove(0);
    let advice = line["advice"][0].as_str().ok_or("no advice")?;
    assert!(advice.contains("allow_on_headers_stop_iteration: true"), "{advice}");
    assert_vm_alive(&guarded.envoy).await
}

/// The caller's UUID comes back so that both sides can find the request; any other text could carry data of its own.
#[tokio::test]
async fn the_request_id_is_the_clients_where_it_is_a_uuid_and_else_a_fresh_one() -> Result<()> {
    const UUID: &str = "6F9619FF-8B86-4D01-B42D-00CF4FC964FF";
    let guarded = Guarded::start(&plugin("none", routes())).await?;
    let forged = || message().without(SIGNATURE);
    for protocol in Protocol::BOTH {
        let lines = guarded.envoy.module_lines().len();
        let exchange = guarded.send(protocol, &forged().header("x-request-id", UUID)).await?;
        assert_eq!(request_id(&exchange.response), uuid::Uuid::try_parse(UUID)?);
        let line = &guarded.envoy.module_lines()[lines];
        assert_eq!(line["request_id"], UUID.to_lowercase(), "the operator finds it by the same id");

        let mut fresh = Vec::new();
        for id in [
            "planted-in-the-request-id",
            "{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}",
            "6f9619ff8b864d01b42d00cf4fc964ff",
            "urn:uuid:6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964fg",
            "+15005550006-+15005550006-0123456789",
            "",
        ] {
            let lines = guarded.envoy.module_lines().len();
            let exchange = guarded.send(protocol, &forged().header("x-request-id", id)).await?;
            let own = request_id(&exchange.response);
            assert_eq!(own.get_version_num(), 4, "{id}");
            assert!(id.is_empty() || !exchange.response.text().contains(id), "{id}");
            assert_eq!(guarded.envoy.module_lines()[lines]["request_id"], own.to_string());
            fresh.push(own);
        }
        let exchange = guarded.send(protocol, &forged()).await?;
        fresh.push(request_id(&exchange.response));
        let twice = forged().header("x-request-id", UUID).header("x-request-id", UUID);
        fresh.push(request_id(&guarded.send(protocol, &twice).await?.response));
        let distinct: std::collections::BTreeSet<_> = fresh.iter().collect();
        assert_eq!(distinct.len(), fresh.len());
    }
    let head = Request { method: "HEAD".to_owned(), ..Request::get("/sms") };
    let exchange = guarded.send(Protocol::Http1, &head).await?;
    exchange.assert("HEAD", Refused(405, "method_not_allowed"));
    assert!(exchange.response.body.is_empty());
    assert_vm_alive(&guarded.envoy).await
}
