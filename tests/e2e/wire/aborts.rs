//! Clients that leave before their request is complete.

use serde_json::json;
use tokio::net::TcpStream;

use super::probe::Probe;
use super::{EVENT, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::SIGNATURE;
use crate::support::{Result, within};

/// How often each kind of client leaves.
const TIMES: usize = 8;

/// Requests that are held until their body is complete, whatever their verdict would be.
fn held() -> [Request; 4] {
    [
        twilio().form("/sms", &MESSAGE),
        stranger().form("/sms", &MESSAGE),
        twilio().json("/events", EVENT),
        // Known to be bad, and answered at the end of its small body.
        twilio().form("/sms", &MESSAGE).without(SIGNATURE),
    ]
}

#[tokio::test]
async fn clients_that_leave_over_http1_leave_nothing_behind() -> Result<()> {
    let mut probe = Probe::start(&plugin("none", routes())).await?;
    for request in held() {
        let head = raw::head(&request.clone().header("content-length", request.body.len().to_string()));
        for sent in [0, 1, request.body.len() - 1] {
            for _ in 0..TIMES {
                let mut connection = RawConnection::connect(probe.envoy.address()).await?;
                connection.write(&head).await?;
                connection.write(&request.body[..sent]).await?;
                drop(connection);
                assert_eq!(probe.next_line().await?.status(), 0);
            }
        }
        probe.nothing_arrived("clients that left");
    }
    assert_eq!((probe.upstream.connections(), probe.upstream.byte_count()), (0, 0));
    probe.finish().await
}

#[tokio::test]
async fn clients_that_leave_over_http2_leave_nothing_behind() -> Result<()> {
    let mut probe = Probe::start(&plugin("none", routes())).await?;
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    for request in held() {
        for sent in [0, 1, request.body.len() - 1] {
            for _ in 0..TIMES {
                let length = u64::try_from(request.body.len())?;
                let (feed, pending) = client.start(&request, Some(length)).await?;
                if sent > 0 {
                    feed.data(request.body.slice(..sent));
                }
                feed.abort();
                assert!(pending.response().await.is_err(), "a reset stream has no response");
                assert_eq!(probe.next_line().await?.status(), 0);
            }
        }
        // The whole connection goes, with a stream under way. A library would first end its streams in good order,
        // so the socket is taken away from it.
        probe.envoy.wait_until_idle().await?;
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let mut stream = TcpStream::connect(probe.envoy.address()).await?;
        let socket = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut stream).await });
        let mut leaving = Client::over(near, Protocol::Http2).await?;
        let (feed, _pending) = leaving.start(&request, Some(u64::try_from(request.body.len())?)).await?;
        feed.data(request.body.slice(..1));
        probe.envoy.wait_for_stat("http.ingress.downstream_rq_active", 1).await?;
        socket.abort();
        assert_eq!(probe.next_line().await?.status(), 0);
        probe.nothing_arrived("clients that left");
    }
    // The connection on which so many streams were reset still serves.
    let genuine = twilio().form("/sms", &MESSAGE);
    let response = client.send(&genuine).await?;
    probe.accepted("after resets", &response, &genuine.body).await?;
    probe.finish().await
}

/// The clock of `body_timeout` has forgotten those who left: once it has run past their deadlines, it has timed out
/// nobody but those who were still there, each of whom has a line that says so. On a slow machine that may be some of the clients
/// who were about to leave; most have left.
#[tokio::test]
async fn the_clock_forgets_clients_that_left() -> Result<()> {
    let mut settings = plugin("none", routes());
    let limits = json!({"body_timeout": "2s"});
    settings["routes"]
        .as_array_mut()
        .ok_or("no routes")?
        .push(json!({"name": "short", "match": {"path": "/short"}, "verify": "twilio", "limits": limits}));
    let mut probe = Probe::start(&settings).await?;
    probe.accept("a body", Protocol::Http1, &twilio().form("/sms", &MESSAGE)).await?;
    let endless = twilio().form("/short", &MESSAGE);
    for _ in 0..50 {
        let mut connection = RawConnection::connect(probe.envoy.address()).await?;
        let head = raw::head(&endless.clone().header("content-length", "100"));
        connection.write([&head[..], b"half"].concat()).await?;
        drop(connection);
    }
    let mut stayed = 1;
    for _ in 0..50 {
        let line = probe.next_line().await?;
        stayed += u64::from(line.details() == "twilio_guard_body_timeout");
    }
    assert!(stayed < 25, "{stayed} did not leave");
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    let (_feed, pending) = client.start(&endless, Some(100)).await?;
    let response = within("the timeout", pending.response()).await?;
    probe.refused("the one that stayed", &response, (408, "body_timeout")).await?;
    let timed_out: u64 = probe
        .envoy
        .stats_matching("wasmcustom.twilio_guard_requests.outcome=refused.reason=body_timeout")
        .await?
        .values()
        .sum();
    assert_eq!(timed_out, stayed);
    probe.finish().await
}
