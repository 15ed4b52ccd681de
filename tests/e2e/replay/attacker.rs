//! An attacker with one capture of each kind of traffic: however it is sent again, the application sees it as often as documented.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::captures::{Capture, KINDS, Kind, settings};
use super::scene::message;
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::client::{self, Client, Opened, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, module};

/// Passes of one capture, failed ones included: `max_deliveries + max_attempts - 1`. Some senders try for hours.
fn most_passes(kind: Kind) -> usize {
    if matches!(kind.profile, "event-streams" | "sendgrid-events" | "inbound-parse") { 100 } else { 6 }
}

const OTHER: &str = "other";

/// Two listeners with one namespace, two workers.
async fn start() -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &settings());
    let config = EnvoyConfig::new(upstream.address())
        .concurrency(2)
        .filter(filter.clone())
        .listener(Listener::new(OTHER).filter(filter));
    Ok(Guarded { upstream, envoy: Envoy::start(&config).await? })
}

/// Sends a copy each way: both listeners, both protocols. What came of it; 0 where the connection ended without an answer.
async fn everywhere(guarded: &Guarded, request: &Request) -> Result<Vec<u16>> {
    let mut statuses = Vec::new();
    for listener in [INGRESS, OTHER] {
        for protocol in Protocol::BOTH {
            statuses.push(one(guarded, listener, protocol, request).await?);
        }
    }
    Ok(statuses)
}

async fn one(guarded: &Guarded, listener: &str, protocol: Protocol, request: &Request) -> Result<u16> {
    send_to(guarded.envoy.listener(listener), protocol, request).await
}

async fn send_to(address: SocketAddr, protocol: Protocol, request: &Request) -> Result<u16> {
    let mut client = Client::connect(address, protocol).await?;
    if request.websocket {
        return Ok(match client.open(request).await? {
            Opened::Tunnel(..) => 101,
            Opened::Refused(response) => response.status,
        });
    }
    Ok(client.send(request).await.map_or(0, |response| response.status))
}

/// Eight copies at once, or four for each listener.
async fn burst(guarded: &Guarded, listeners: &[&str], request: &Request) -> Result<()> {
    let mut copies = JoinSet::new();
    for index in 0..8 {
        let address = guarded.envoy.listener(listeners[index % listeners.len()]);
        let request = request.clone();
        copies.spawn(async move { send_to(address, Protocol::BOTH[index / 4], &request).await });
    }
    while let Some(status) = copies.join_next().await {
        status??;
    }
    Ok(())
}

#[tokio::test]
async fn a_capture_is_delivered_once_however_it_is_sent_again() -> Result<()> {
    let guarded = start().await?;
    for kind in KINDS {
        let (Kind { route, .. }, seen) = (kind, guarded.upstream.count());
        let capture = Capture::new(kind, 1);
        burst(&guarded, &[INGRESS, OTHER], &capture.request).await?;
        if kind.bound.is_none() {
            for _ in 0..3 {
                everywhere(&guarded, &capture.request).await?;
            }
            let delivered = guarded.upstream.count() - seen;
            println!("{route}: {delivered} deliveries of {}, no bound by default", 8 + 3 * 4);
            assert_eq!(delivered, 20, "{route}: legal traffic repeats like this");
            continue;
        }
        let mut sent = 8;
        for (what, copy) in capture.equals() {
            let statuses = everywhere(&guarded, &copy).await?;
            assert_eq!(statuses, [409; 4], "{route}, {what}");
            sent += 4;
        }
        for (what, copy) in capture.relatives() {
            let statuses = everywhere(&guarded, &copy).await?;
            let are_refused = statuses.iter().all(|status| *status == 0 || *status >= 400);
            assert!(are_refused, "{route}, {what}: {statuses:?}");
            sent += 4;
        }
        let delivered = guarded.upstream.count() - seen;
        println!("{route}: {delivered} deliveries of {sent}, bound {}", kind.bound.unwrap_or_default());
        assert!(delivered <= kind.bound.unwrap_or_default(), "{route}: {delivered}");
        assert_eq!(delivered, 1, "{route}: the capture itself is legal");
    }
    assert_vm_alive(&guarded.envoy).await
}

/// A copy in another form that comes first is the delivery; the request as Twilio sent it is then its copy.
#[tokio::test]
async fn any_form_of_a_capture_spends_its_delivery() -> Result<()> {
    let guarded = start().await?;
    let mut number = 100;
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let forms = Capture::new(kind, number).equals().len();
        for form in 0..forms {
            number += 1;
            let (capture, seen) = (Capture::new(kind, number), guarded.upstream.count());
            let (what, copy) = capture.equals().swap_remove(form);
            let first = one(&guarded, INGRESS, Protocol::Http1, &copy).await?;
            assert!(matches!(first, 101 | 200), "{}, {what}: {first}", kind.route);
            let second = one(&guarded, OTHER, Protocol::Http2, &capture.request).await?;
            assert_eq!((second, guarded.upstream.count() - seen), (409, 1), "{}, {what}", kind.route);
        }
    }
    assert_vm_alive(&guarded.envoy).await
}

/// The attacker makes the application fail, or leaves as soon as the request went upstream.
#[tokio::test]
async fn failures_that_an_attacker_brings_about_are_bounded() -> Result<()> {
    let guarded = start().await?;
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let failures = [
            ("failing", Behaviour::Status(503)),
            ("reset", Behaviour::Reset),
            ("left", Behaviour::Hold(Gate::closed())),
        ];
        for (index, (what, failure)) in failures.into_iter().enumerate() {
            let (capture, seen) = (Capture::new(kind, 500 + index), guarded.upstream.count());
            let own = capture.request.target.split('?').next().unwrap_or_default();
            let paths = [own, &format!("{own}/elsewhere"), "/sendgrid-events/x", "/inbound-parse/x"];
            paths.into_iter().for_each(|path| guarded.upstream.script(path, failure.clone()));
            let (mut sent, most) = (0, most_passes(kind));
            for (form, copy) in capture.equals().into_iter().cycle() {
                if what != "left" {
                    sent += everywhere(&guarded, &copy).await?.len();
                } else if !copy.websocket {
                    leave(&guarded, &form, &copy).await?;
                    sent += 1;
                }
                if sent > most + 8 || (what == "left" && copy.websocket) {
                    break;
                }
            }
            paths.into_iter().for_each(|path| guarded.upstream.script(path, Behaviour::Status(200)));
            burst(&guarded, &[INGRESS, OTHER], &capture.request).await?;
            let passed = guarded.upstream.count() - seen;
            println!("{}, {what}: {passed} passes, bound {most}", kind.route);
            assert!(passed <= most, "{}, {what}: {passed}", kind.route);
        }
    }
    assert_vm_alive(&guarded.envoy).await
}

/// Sends a whole request, and leaves once it is upstream or refused.
async fn leave(guarded: &Guarded, what: &str, request: &Request) -> Result<()> {
    let (seen, lines) = (guarded.upstream.count(), guarded.envoy.access_log().len());
    let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
    let length = request.declare_length.then(|| u64::try_from(request.body.len()).expect("small"));
    let (feed, pending) = client.start(request, length).await?;
    feed.data(request.body.clone());
    drop(feed);
    let is_over = async || (guarded.upstream.count() > seen || pending.is_ready()).then_some(());
    crate::support::eventually(what, is_over).await?;
    drop((pending, client));
    guarded.envoy.wait_for_access_log(lines + 1).await?;
    Ok(())
}

/// Header names in another case, which HTTP/1.1 allows.
#[tokio::test]
async fn the_case_of_header_names_makes_no_other_request() -> Result<()> {
    let guarded = start().await?;
    for kind in KINDS.into_iter().filter(|kind| kind.bound.is_some()) {
        let (capture, seen) = (Capture::new(kind, 1), guarded.upstream.count());
        if capture.request.websocket {
            continue;
        }
        let bytes = raw::with_length(&capture.request);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let (head, body) = bytes.split_at(end);
        let head = String::from_utf8(head.to_vec())?;
        let cased = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_uppercase()),
            None => line.to_owned(),
        };
        let other: Vec<String> = head.split("\r\n").map(cased).collect();
        let mut statuses = Vec::new();
        for head in [head, other.join("\r\n")] {
            let mut connection = RawConnection::connect(guarded.envoy.address()).await?;
            connection.write([head.as_bytes(), body].concat()).await?;
            statuses.push(connection.response().await?.status);
        }
        assert_eq!(
            (statuses.as_slice(), guarded.upstream.count() - seen),
            (&[200, 409][..], 1),
            "{}",
            kind.route
        );
    }
    assert_vm_alive(&guarded.envoy).await
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
            one(&guarded, INGRESS, Protocol::Http1, &capture.request).await?;
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
    burst(&guarded, &[INGRESS], &capture.request).await?;
    for (_, copy) in capture.equals() {
        one(&guarded, INGRESS, Protocol::Http1, &copy).await?;
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
