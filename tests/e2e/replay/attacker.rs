//! An attacker with one capture of each kind of traffic: however it is sent again, the application sees it as often as documented.

use serde_json::{Value, json};

use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::client::{self, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{Result, module};
use crate::windows::attacker::{self, Failure};
use crate::windows::captures::{Capture, KINDS, Kind, settings};
use crate::windows::messages::message;
use crate::windows::site::{Site, send_to};

/// Two listeners with one namespace, two workers.
async fn start() -> Result<Site> {
    Site::of_one_proxy(&settings()).await
}

/// Passes of one capture, failed ones included: `max_deliveries + max_attempts - 1`. Some senders try for hours.
fn most_passes(kind: Kind) -> usize {
    if matches!(kind.profile, "event-streams" | "sendgrid-events" | "inbound-parse") { 100 } else { 6 }
}

#[tokio::test]
async fn a_capture_is_delivered_once_however_it_is_sent_again() -> Result<()> {
    attacker::send_again_in_every_way(&start().await?).await
}

#[tokio::test]
async fn any_form_of_a_capture_spends_its_delivery() -> Result<()> {
    attacker::send_another_form_first(&start().await?).await
}

#[tokio::test]
async fn failures_that_an_attacker_brings_about_are_bounded() -> Result<()> {
    let site = start().await?;
    for failure in Failure::ALL {
        attacker::make_it_fail(&site, failure, most_passes).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_case_of_header_names_makes_no_other_request() -> Result<()> {
    attacker::change_the_case_of_header_names(&start().await?).await
}

/// Old captures, and captures whose time was folded away.
#[tokio::test]
async fn where_a_time_is_signed_an_old_capture_is_worth_nothing() -> Result<()> {
    let mut settings = settings();
    let sources = json!([{"param": "SentAt"}, {"header": "x-request-timestamp"}]);
    settings["routes"].as_array_mut().expect("routes").push(json!({
        "name": "timed", "match": {"path_prefix": "/timed"}, "verify": "twilio",
        "replay": {"freshness": {"sources": sources, "max_age": "60s", "max_skew": "30s"}},
    }));
    let guarded = Guarded::start(&settings).await?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let twilio = crate::support::sign::Twilio::new(crate::support::scenarios::TOKEN);
    let signed_at = |time: i64| twilio.form("/timed", &[("A", "b"), ("SentAt", &time.to_string())]);
    let refusal = |code| crate::guarded::Outcome::Refused(408, code);
    let header = |request: Request, time: i64| request.header("x-request-timestamp", time.to_string());
    guarded.expect("old", &signed_at(now - 120), refusal("stale")).await?;
    guarded.expect("from the future", &signed_at(now + 3_600), refusal("from_future")).await?;
    guarded.expect("old, made young", &header(signed_at(now - 120), now), refusal("stale")).await?;
    guarded.expect("young, made old", &header(signed_at(now), now - 120), refusal("stale")).await?;
    guarded.expect("young", &header(signed_at(now), now), crate::guarded::Outcome::Verified).await?;

    for kind in KINDS.into_iter().filter(|kind| matches!(kind.profile, "call-status" | "taskrouter")) {
        let capture = Capture::new(kind, 7);
        let seen = guarded.upstream.count();
        let cut = capture.relatives().into_iter().filter(|(what, _)| what.contains("Timestamp"));
        for (what, copy) in cut {
            let status = client::send(guarded.envoy.address(), Protocol::Http1, &copy)
                .await
                .map_or(0, |own| own.status);
            assert!(status == 0 || status >= 400, "{}, {what}: {status}", kind.route);
        }
        assert_eq!(guarded.upstream.count(), seen, "{}: nothing came without its time", kind.route);
    }
    assert_vm_alive(&guarded.envoy).await
}

/// Where Envoy follows the application's redirects itself, nobody tells the filter what the application said: that is an attempt.
#[tokio::test]
async fn a_redirect_that_the_proxy_follows_is_bounded_too() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &settings());
    let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(|own| own.internal_redirects());
    let guarded = Guarded { upstream, envoy: Envoy::start(&config).await? };
    for (number, location) in ["/open", "/messaging/elsewhere"].into_iter().enumerate() {
        let capture = Capture::new(KINDS[0], number);
        let path = capture.request.target.clone();
        guarded.upstream.script(&path, Behaviour::Redirect(format!("http://hooks.example.org{location}")));
        for _ in 0..10 {
            send_to(guarded.envoy.address(), Protocol::Http1, &capture.request).await?;
        }
        let passed = guarded.upstream.requests().iter().filter(|request| request.target == path).count();
        println!("redirected to {location}: {passed} passes, bound {}", most_passes(KINDS[0]));
        assert!((1..=most_passes(KINDS[0])).contains(&passed), "{location}: {passed}");
    }
    assert_vm_alive(&guarded.envoy).await
}

/// Where the head cannot be held, the application sees the heads of copies, and the body of one.
#[tokio::test]
async fn without_held_heads_one_copy_has_a_body() -> Result<()> {
    let mut settings = settings();
    settings["routes"][0]["hold"] = "body".into();
    let guarded = Guarded::start(&settings).await?;
    let capture = Capture::new(KINDS[0], 1);
    attacker::burst(&[guarded.envoy.address()], &capture.request).await?;
    for (_, copy) in capture.equals() {
        send_to(guarded.envoy.address(), Protocol::Http1, &copy).await?;
    }
    let requests = guarded.upstream.requests();
    let complete = requests.iter().filter(|request| request.complete).count();
    println!("hold: body: {complete} complete requests of {} heads, bound 1", requests.len());
    assert_eq!(complete, 1);
    assert_vm_alive(&guarded.envoy).await
}

/// Headers that nothing signs make Envoy's router send one request several times, where it believes that the client is internal.
#[tokio::test]
async fn no_header_makes_the_proxy_itself_repeat_a_request() -> Result<()> {
    let upstream = Upstream::start().await?;
    let routes =
        json!([{"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"}]);
    let mut settings = plugin("none", routes);
    settings["replay"] = json!({});
    let trusting = |manager: &mut Value| {
        let range = json!([{"address_prefix": "10.0.0.0", "prefix_len": 8}]);
        manager["internal_address_config"] = json!({"cidr_ranges": range});
    };
    let filter = WasmFilter::new(module::path()?, &settings);
    let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(|own| own.edit(trusting));
    let guarded = Guarded { upstream, envoy: Envoy::start(&config).await? };
    let repeated = |request: Request| {
        request
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-envoy-retry-on", "retriable-status-codes")
            .header("x-envoy-retriable-status-codes", "200")
            .header("x-envoy-max-retries", "5")
            .header("x-envoy-upstream-rq-per-try-timeout-ms", "5000")
            .header("x-envoy-hedge-on-per-try-timeout", "true")
    };
    // The control: what no rule protects is repeated.
    let open = guarded.send(Protocol::Http1, &repeated(Request::get("/open"))).await?;
    assert_eq!(open.received.len(), 6, "{}", open.line.0);
    for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let copy = repeated(message("/sms", number));
        let first = guarded.send(protocol, &copy).await?;
        assert_eq!((first.response.status, first.received.len()), (200, 1), "{}", first.line.0);
        let second = guarded.send(protocol, &copy).await?;
        assert_eq!((second.response.status, second.received.len()), (409, 0));
    }
    assert_vm_alive(&guarded.envoy).await
}
