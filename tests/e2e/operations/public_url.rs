//! The signed URL taken from the request, or from what a trusted peer forwards.

use serde_json::{Value, json};

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::config::{EnvoyConfig, Listener, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::raw::RawConnection;
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::Twilio;
use crate::support::upstream::Upstream;
use crate::support::{Result, module, raw};

fn sender(public_url: &str) -> Twilio {
    Twilio { token: TOKEN.to_owned(), public_url: public_url.to_owned() }
}

fn forwarded_from(networks: &[&str]) -> Value {
    let mut plugin = plugin("none", routes());
    plugin["public_url"] = json!({"from": "forwarded", "trusted_peers": networks});
    plugin["accept_hosts"] = json!(["hooks.example.org", "other.example"]);
    plugin
}

/// A guard that trusts peers in these networks, behind a listener that is changed so.
async fn start(networks: &[&str], change: impl FnOnce(Listener) -> Listener) -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &forwarded_from(networks));
    let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(change);
    Ok(Guarded { envoy: Envoy::start(&config).await?, upstream })
}

/// The ways in which a connection manager learns whose request it is: a name, its settings, and whether it keeps the
/// `x-forwarded-proto` that it is sent. An edge without trusted hops writes its own.
fn client_addresses() -> [(&'static str, Value, bool); 5] {
    let xff = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig";
    let custom =
        "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig";
    let detection =
        |config| json!({"original_ip_detection_extensions": [{"name": "it", "typed_config": config}]});
    let networks = json!({"cidrs": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]});
    [
        ("a hop inside", json!({"use_remote_address": false}), true),
        ("the edge", json!({"use_remote_address": true, "xff_num_trusted_hops": 0}), false),
        ("the edge behind a hop", json!({"use_remote_address": true, "xff_num_trusted_hops": 1}), true),
        ("trusted networks", detection(json!({"@type": xff, "xff_trusted_cidrs": networks})), true),
        (
            "a header",
            detection(json!({
                "@type": custom,
                "header_name": "x-real-ip",
                "allow_extension_to_set_address_as_trusted": true,
            })),
            true,
        ),
    ]
}

/// A guard that is told its direct peers, behind a connection manager with these settings.
async fn start_with(networks: &[&str], settings: Value) -> Result<Guarded> {
    let merge = move |manager: &mut Value| {
        let settings = settings.as_object().expect("settings");
        manager.as_object_mut().expect("a manager").extend(settings.clone());
    };
    start(networks, |listener| listener.direct_peer().edit(merge)).await
}

#[tokio::test]
async fn a_url_from_the_request_is_its_own_scheme_and_host() -> Result<()> {
    let mut plugin = plugin("none", routes());
    plugin["public_url"] = json!({"from": "request"});
    plugin["accept_hosts"] = json!(["one.example", "two.example"]);
    let guarded = Guarded::start(&plugin).await?;
    for url in ["http://one.example", "http://two.example", "http://one.example:8080"] {
        guarded.expect(url, &sender(url).form("/sms?a=b", &MESSAGE), Verified).await?;
        guarded.expect(url, &sender(url).json("/events", "{}"), Verified).await?;
        guarded.expect(url, &sender(url).websocket("/media"), Verified).await?;
    }
    for (name, request, code) in [
        ("another scheme", sender("https://one.example").form("/sms", &MESSAGE), "mismatch"),
        (
            "signed for another host",
            sender("http://two.example").form("/sms", &MESSAGE).authority("one.example"),
            "mismatch",
        ),
        (
            "a claimed host",
            sender("http://two.example")
                .form("/sms", &MESSAGE)
                .authority("one.example")
                .header("x-forwarded-host", "two.example"),
            "mismatch",
        ),
    ] {
        guarded.expect(name, &request, Refused(401, code)).await?;
    }
    let elsewhere = sender("http://elsewhere.example").form("/sms", &MESSAGE);
    guarded.expect("elsewhere", &elsewhere, Refused(403, "host_not_accepted")).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_url_from_a_trusted_peer_is_what_it_forwards() -> Result<()> {
    let guarded = start(&["10.0.0.0/8", "127.0.0.0/8"], Listener::direct_peer).await?;
    let https = message().header("x-forwarded-proto", "https");
    let inner = |host: &str| https.clone().authority("app.internal").header("x-forwarded-host", host);
    let other = sender("https://other.example").form("/sms", &MESSAGE);
    for (name, request, expected) in [
        ("the scheme", https.clone(), Verified),
        ("the host", inner("hooks.example.org"), Verified),
        ("the host, with its port", inner("hooks.example.org:443"), Verified),
        ("another accepted host", other.clone().header("x-forwarded-proto", "https"), Verified),
        ("http", sender("http://hooks.example.org").form("/sms", &MESSAGE), Verified),
        ("http for https", message(), Refused(401, "mismatch")),
        ("signed for another host", inner("other.example"), Refused(401, "mismatch")),
        ("a host that is not accepted", inner("elsewhere.example"), Refused(403, "host_not_accepted")),
        ("the inner host", https.clone().authority("app.internal"), Refused(403, "host_not_accepted")),
        // A list says that a hop before the trusted one had a say.
        ("two hosts", inner("hooks.example.org, elsewhere.example"), Refused(403, "untrusted_peer")),
        (
            "two host headers",
            inner("hooks.example.org").header("x-forwarded-host", "hooks.example.org"),
            Refused(403, "untrusted_peer"),
        ),
        ("two schemes", message().header("x-forwarded-proto", "https,http"), Refused(403, "untrusted_peer")),
    ] {
        guarded.expect(name, &request, expected).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_cannot_forward() -> Result<()> {
    let guarded = start(&["10.0.0.0/8", "::1/128"], Listener::direct_peer).await?;
    let refused = Refused(403, "untrusted_peer");
    guarded.expect("scheme", &message().header("x-forwarded-proto", "https"), refused).await?;
    let http = sender("http://hooks.example.org").form("/sms", &MESSAGE);
    guarded.expect("nothing forwarded", &http, refused).await?;
    assert_vm_alive(&guarded.envoy).await
}

/// Which address Envoy takes for the client's is a matter of headers; who the peer is, the connection says.
#[tokio::test]
async fn a_peer_cannot_claim_a_trusted_address() -> Result<()> {
    for (name, settings, keeps_scheme) in client_addresses() {
        let guarded = start_with(&["10.0.0.0/8"], settings).await?;
        // Signed for the scheme that the filter sees: nothing but the peer is wrong.
        let scheme = if keeps_scheme { "https" } else { "http" };
        let genuine = || sender(&format!("{scheme}://hooks.example.org")).form("/sms", &MESSAGE);
        for claim in ["10.0.0.9", "10.0.0.9, 10.0.0.9", "10.0.0.9, 127.0.0.1"] {
            let request = genuine()
                .header("x-forwarded-proto", scheme)
                .header("x-forwarded-for", claim)
                .header("x-real-ip", "10.0.0.9")
                .header("x-envoy-external-address", "10.0.0.9")
                .header("forwarded", "for=10.0.0.9");
            guarded.expect(&format!("{name}, {claim}"), &request, Refused(403, "untrusted_peer")).await?;
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

/// A proxy in front that names its client stays the peer.
#[tokio::test]
async fn a_trusted_peer_that_names_its_client_stays_trusted() -> Result<()> {
    for (name, settings, keeps_scheme) in client_addresses() {
        let guarded = start_with(&["127.0.0.0/8"], settings).await?;
        let https = if keeps_scheme { Verified } else { Refused(401, "mismatch") };
        let http = sender("http://hooks.example.org").form("/sms", &MESSAGE);
        for (scheme, request, expected) in [("https", message(), https), ("http", http, Verified)] {
            let request = request
                .header("x-forwarded-proto", scheme)
                .header("x-forwarded-for", "198.51.100.7")
                .header("x-real-ip", "198.51.100.7");
            guarded.expect(&format!("{name}, {scheme}"), &request, expected).await?;
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

/// What the PROXY protocol says is the client's address; the peer is who says it.
#[tokio::test]
async fn a_proxy_protocol_header_does_not_change_the_peer() -> Result<()> {
    for (network, claim, status) in [
        ("10.0.0.0/8", "10.0.0.9", 403),
        ("127.0.0.0/8", "198.51.100.7", 200),
        ("127.0.0.0/8", "10.0.0.9", 200),
    ] {
        let upstream = Upstream::start().await?;
        let filter = WasmFilter::new(module::path()?, &forwarded_from(&[network]));
        let proxy_protocol =
            "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
        let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(Listener::direct_peer).edit(
            move |bootstrap| {
                bootstrap["static_resources"]["listeners"][0]["listener_filters"] = json!([{
                    "name": "envoy.filters.listener.proxy_protocol",
                    "typed_config": {"@type": proxy_protocol},
                }]);
            },
        );
        let envoy = Envoy::start(&config).await?;
        let request = message().header("x-forwarded-proto", "https");
        let mut connection = RawConnection::connect(envoy.address()).await?;
        connection.write(format!("PROXY TCP4 {claim} 192.0.2.1 4000 443\r\n")).await?;
        connection.write(raw::with_length(&request)).await?;
        let what = format!("{claim} from {network}");
        assert_eq!(connection.response().await?.status, status, "{what}");
        let code = if status == 403 { "twilio_guard_untrusted_peer" } else { "via_upstream" };
        assert_eq!(envoy.wait_for_access_log(1).await?.remove(0).details(), code, "{what}");
        assert_eq!(upstream.count(), usize::from(status == 200), "{what}");
        assert_vm_alive(&envoy).await?;
    }
    Ok(())
}

/// Where the listener does not tell, nobody is trusted: what Envoy takes for the client's address may be a claim.
#[tokio::test]
async fn a_peer_that_the_listener_does_not_tell_is_not_trusted() -> Result<()> {
    let guarded = start(&["127.0.0.0/8", "10.0.0.0/8", "::/0"], |listener| listener).await?;
    let https = message().header("x-forwarded-proto", "https");
    let claimed = https.clone().header("x-forwarded-for", "10.0.0.9");
    let spelled = https.clone().header("twilio_guard.direct_peer", "127.0.0.1");
    for (name, request) in [("genuine", https), ("claimed", claimed), ("spelled", spelled)] {
        guarded.expect(name, &request, Refused(403, "untrusted_peer")).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}
