//! Requests that ask to leave HTTP. Behind an accepted handshake no byte is signed, so the handshake decides.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::Probe;
use super::{exchange, impatient, statuses, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::client::{self, Client, Opened, Protocol};
use crate::support::config::{Listener, WasmFilter};
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::SIGNATURE;
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, module, within};

async fn probe() -> Result<Probe> {
    Probe::start(&plugin("none", routes())).await
}

#[tokio::test]
async fn a_verified_websocket_carries_bytes_both_ways() -> Result<()> {
    let mut probe = probe().await?;
    for (protocol, status) in [(Protocol::Http1, 101), (Protocol::Http2, 200)] {
        let mut client = Client::connect(probe.envoy.address(), protocol).await?;
        let Opened::Tunnel(opened, mut tunnel) = client.open(&twilio().websocket("/media?a=b")).await? else {
            return Err(format!("{protocol:?}: refused").into());
        };
        assert_eq!(opened, status, "{protocol:?}");
        for round in 0..3 {
            let sent = vec![b'0' + round; 100_000];
            let mut echo = vec![0; sent.len()];
            let (mut reader, mut writer) = tokio::io::split(&mut tunnel);
            within("the echo", async {
                tokio::try_join!(writer.write_all(&sent), reader.read_exact(&mut echo))?;
                Ok(())
            })
            .await?;
            assert!(echo == sent, "{protocol:?}, round {round}");
        }
        drop(tunnel);
        drop(client);
        assert_eq!(probe.next_line().await?.field("verdict"), "verified", "{protocol:?}");
        let recorded = probe.arrived("the handshake").await?;
        assert_eq!((recorded.method.as_str(), recorded.target.as_str()), ("GET", "/media?a=b"));
        assert!(recorded.headers.contains_key("x-twilio-guard"));
    }
    probe.finish().await
}

#[tokio::test]
async fn a_forged_websocket_is_refused_by_its_head() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in Protocol::BOTH {
        for (what, request, outcome) in [
            ("another token", stranger().websocket("/media"), (401, "mismatch")),
            ("no signature", Request::websocket("/media"), (401, "missing_signature")),
            (
                "another path",
                Request { target: "/sms".to_owned(), ..twilio().websocket("/media") },
                (401, "mismatch"),
            ),
            ("signed as https", twilio().url_only(Request::websocket("/media")), (401, "mismatch")),
            (
                "another host",
                twilio().websocket("/media").authority("elsewhere.example"),
                (403, "host_not_accepted"),
            ),
        ] {
            probe.refuse(what, protocol, &request, outcome).await?;
        }
    }
    // A websocket's signature is no GET's.
    let get = Request { websocket: false, ..twilio().websocket("/media") };
    for protocol in Protocol::BOTH {
        probe.refuse("without its upgrade", protocol, &get, (401, "mismatch")).await?;
    }
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    probe.finish().await
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_another_method_is_refused() -> Result<()> {
    let mut probe = probe().await?;
    let handshake = || twilio().websocket("/media");
    let refused = [
        (
            "content-length",
            raw::head(&handshake().header("content-length", "3")),
            b"abc".to_vec(),
            "unsigned_body",
        ),
        (
            "an unsent body",
            raw::head(&handshake().header("content-length", "3")),
            Vec::new(),
            "unsigned_body",
        ),
    ];
    for (what, head, body, code) in refused {
        let response = exchange(probe.envoy.address(), [head, body].concat()).await?;
        probe.refused(what, &response, (401, code)).await?;
    }
    for method in ["POST", "PUT", "HEAD"] {
        let other = Request { method: method.to_owned(), ..handshake() };
        let mut connection = RawConnection::connect(probe.envoy.address()).await?;
        connection.write(raw::head(&other)).await?;
        let response = connection.response_to(method).await?;
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(probe.next_line().await?.details(), "twilio_guard_method_not_allowed", "{method}");
        probe.nothing_arrived(method);
    }
    let form = twilio().form("/sms", &MESSAGE).header("connection", "Upgrade").header("upgrade", "websocket");
    let response = exchange(probe.envoy.address(), raw::with_length(&form)).await?;
    probe.refused("a form that upgrades", &response, (405, "method_not_allowed")).await?;
    // An empty body is none: this one is opened.
    let empty = handshake().header("content-length", "0");
    assert_eq!(exchange(probe.envoy.address(), raw::head(&empty)).await?.status, 101);
    assert_eq!(probe.next_line().await?.field("verdict"), "verified");
    probe.arrived("content-length: 0").await?;
    probe.finish().await
}

/// Envoy takes `Transfer-Encoding` off an upgrade before any filter runs, and reads what follows as tunnel. So the chunks
/// are no body, and the upstream must not be told of one.
#[tokio::test]
async fn a_transfer_coding_of_an_upgrade_is_gone_before_the_upstream_could_believe_it() -> Result<()> {
    let mut probe = probe().await?;
    let chunks = b"3\r\nabc\r\n0\r\n\r\n";
    let coded = |request: Request| raw::head(&request.header("transfer-encoding", "chunked"));
    let forged = [&coded(stranger().websocket("/media"))[..], chunks].concat();
    let response = exchange(probe.envoy.address(), forged).await?;
    probe.refused("forged", &response, (401, "mismatch")).await?;

    let genuine = [&coded(twilio().websocket("/media"))[..], chunks].concat();
    let response = exchange(probe.envoy.address(), genuine).await?;
    assert_eq!(response.status, 101);
    assert_eq!(probe.next_line().await?.field("verdict"), "verified");
    let recorded = probe.arrived("transfer-encoding").await?;
    assert!(!recorded.headers.contains_key("transfer-encoding"), "{recorded:?}");
    assert!(!recorded.headers.contains_key("content-length"), "{recorded:?}");
    probe.finish().await
}

#[tokio::test]
async fn an_extended_connect_with_a_body_or_another_protocol_is_refused() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let mut probe = Probe::with(filter, impatient).await?;
    let handshake = twilio().websocket("/media");
    let (_, signature) =
        handshake.headers.iter().find(|(name, _)| name == SIGNATURE).cloned().ok_or("no signature")?;
    let connect = |protocol: &'static [u8]| {
        let mut fields = hostile::fields("CONNECT", b"/media");
        fields.insert(1, (":protocol", protocol));
        fields.push((SIGNATURE, signature.as_bytes()));
        fields
    };
    let mut with_length = connect(b"websocket");
    with_length.push(("content-length", b"3"));
    let response = hostile::send(probe.envoy.address(), &with_length, b"abc").await?;
    probe.refused("content-length", &response, (401, "unsigned_body")).await?;

    for protocol in
        [&b"connect-udp"[..], b"connect-ip", b"h2c", b"web\xffsocket", b"websocket,websocket", b""]
    {
        let response = hostile::send(probe.envoy.address(), &connect(protocol), b"abc").await;
        assert!(!response.is_ok_and(|response| response.accepted()), "{protocol:?}");
        probe.next_line().await?;
        probe.nothing_arrived(&String::from_utf8_lossy(protocol));
    }
    probe.finish().await
}

#[tokio::test]
async fn connect_to_a_verifying_plugin_is_refused() -> Result<()> {
    for default in ["twilio", "none"] {
        let filter = WasmFilter::new(module::path()?, &plugin(default, routes()));
        let mut probe = Probe::with(filter, |config| config.ingress(Listener::connect)).await?;
        let head = "CONNECT hooks.example.org:443 HTTP/1.1\r\nHost: hooks.example.org:443\r\n\r\n";
        let response =
            exchange(probe.envoy.address(), format!("{head}GET /sms HTTP/1.1\r\nHost: a\r\n\r\n")).await?;
        assert!([403, 405].contains(&response.status), "{default}: {}", response.status);
        let line = probe.turned_away(default).await?;
        assert!(line.details().starts_with("twilio_guard_"), "{default}: {}", line.0);

        let fields = [(":method", &b"CONNECT"[..]), (":authority", b"hooks.example.org:443")];
        let response = hostile::send(probe.envoy.address(), &fields, b"GET /sms HTTP/1.1\r\n\r\n").await?;
        assert!([403, 405].contains(&response.status), "{default}: {}", response.status);
        let line = probe.turned_away(default).await?;
        assert!(line.details().starts_with("twilio_guard_"), "{default}: {}", line.0);
        assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
        probe.finish().await?;
    }
    Ok(())
}

/// To Envoy, `Upgrade` without `Connection: Upgrade` and `Upgrade: h2c` are no upgrades: it takes those headers out, and
/// what is left is judged as the GET or POST that it is.
#[tokio::test]
async fn what_is_no_upgrade_to_envoy_is_judged_as_an_ordinary_request() -> Result<()> {
    let mut probe = probe().await?;
    let lonely = |request: Request| request.header("upgrade", "websocket");
    let h2c = |request: Request| {
        request
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", "h2c")
            .header("http2-settings", "AAMAAABkAAQAAP__")
    };
    let get = || twilio().get("/media");
    let as_websocket = Request { websocket: false, ..twilio().websocket("/media") };
    for (what, request) in [("alone", lonely(as_websocket.clone())), ("h2c", h2c(as_websocket))] {
        let response = exchange(probe.envoy.address(), raw::head(&request)).await?;
        probe.refused(what, &response, (401, "mismatch")).await?;
    }
    for (what, request) in [("alone", lonely(get())), ("h2c", h2c(get()))] {
        let response = exchange(probe.envoy.address(), raw::head(&request)).await?;
        let recorded = probe.accepted(what, &response, b"").await?;
        assert!(!recorded.headers.contains_key("upgrade"), "{what}: {recorded:?}");
    }
    let form = twilio().form("/sms", &MESSAGE);
    for (what, request) in [("alone", lonely(form.clone())), ("h2c", h2c(form.clone()))] {
        let response = exchange(probe.envoy.address(), raw::with_length(&request)).await?;
        probe.accepted(what, &response, &form.body).await?;
        let forged = request.with(SIGNATURE, "A".repeat(27) + "=");
        let response = exchange(probe.envoy.address(), raw::with_length(&forged)).await?;
        probe.refused(what, &response, (401, "mismatch")).await?;
    }
    probe.finish().await
}

#[tokio::test]
async fn other_upgrades_are_refused() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in ["h2c, websocket", "websocket, h2c", "TLS/1.0", "connect-udp", "x"] {
        let request = Request { websocket: false, ..twilio().websocket("/media") };
        let request = request.header("connection", "Upgrade").header("upgrade", protocol);
        let response = exchange(probe.envoy.address(), raw::head(&request)).await?;
        assert!((400..500).contains(&response.status), "{protocol}: {}", response.status);
        probe.turned_away(protocol).await?;
    }
    let twice = twilio().websocket("/media").header("upgrade", "websocket");
    let response = exchange(probe.envoy.address(), raw::head(&twice)).await?;
    assert!((400..500).contains(&response.status), "{}", response.status);
    probe.turned_away("two upgrades").await?;
    probe.finish().await
}

/// What a client sends behind its handshake before it was answered.
const EARLY: &[u8] = b"POST /early HTTP/1.1\r\nHost: hooks.example.org\r\nContent-Length: 5\r\n\r\nearly";

#[tokio::test]
async fn data_behind_a_refused_handshake_reaches_nobody() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let mut probe = Probe::with(filter, impatient).await?;
    for handshake in [
        stranger().websocket("/media"),
        twilio().websocket("/media").header("content-length", EARLY.len().to_string()),
        Request { method: "POST".to_owned(), ..twilio().websocket("/media") },
    ] {
        let mut connection = RawConnection::connect(probe.envoy.address()).await?;
        connection.write([&raw::head(&handshake)[..], EARLY].concat()).await?;
        let answer = connection.until_closed().await?;
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
        let line = probe.turned_away("early data").await?;
        assert!(line.details().starts_with("twilio_guard_"), "{}", line.0);
    }
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    let (feed, pending) = client.start(&stranger().websocket("/media"), None).await?;
    feed.data(EARLY);
    let response = pending.response().await?;
    probe.refused("early data", &response, (401, "mismatch")).await?;
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    probe.finish().await
}

/// A genuine handshake can be captured and sent again with other bytes behind it. To an application that does not
/// upgrade, those bytes would be a request that nobody verified; Envoy keeps them back until it has upgraded.
#[tokio::test]
async fn data_behind_a_verified_handshake_is_no_request_to_an_upstream_that_does_not_upgrade() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let mut probe = Probe::with(filter, impatient).await?;
    let gate = Gate::closed();
    probe.upstream.script("/media", Behaviour::Hold(gate.clone()));

    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    connection.write([&raw::head(&twilio().websocket("/media"))[..], EARLY].concat()).await?;
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    let (feed, pending) = client.start(&twilio().websocket("/media"), None).await?;
    feed.data(EARLY);
    probe.upstream.wait_for(2).await?;
    gate.open();
    assert_eq!(statuses(connection).await?, ["200"]);
    // What the client makes of an answer without a tunnel is its own affair.
    let _ = pending.response().await;
    drop((feed, client));
    probe.next_line().await?;
    probe.next_line().await?;

    let targets: Vec<_> = probe.upstream.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/media", "/media"]);
    let bytes = probe.upstream.bytes();
    assert!(!bytes.windows(5).any(|window| window == b"early"), "{}", String::from_utf8_lossy(&bytes));
    probe.settle();
    probe.finish().await
}

#[tokio::test]
async fn a_websocket_refused_by_the_upstream_is_an_ordinary_response() -> Result<()> {
    let mut probe = probe().await?;
    probe.upstream.script("/media", Behaviour::Status(404));
    for protocol in Protocol::BOTH {
        let response = client::send(probe.envoy.address(), protocol, &twilio().websocket("/media")).await?;
        assert_eq!(response.status, 404, "{protocol:?}");
        assert_eq!(probe.next_line().await?.field("verdict"), "verified");
        probe.arrived("the handshake").await?;
    }
    probe.finish().await
}
