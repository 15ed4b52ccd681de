//! The harness itself, mostly against a plain Envoy without the module: what these tests show to pass through unharmed
//! is what the filter's tests may rely on.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

mod support;

use hyper::header::HeaderValue;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use support::client::{self, Client, Opened, Protocol};
use support::config::{EnvoyConfig, Listener, WasmFilter};
use support::envoy::{Envoy, Update};
use support::http::Request;
use support::quickstart::{self, Addresses};
use support::raw::{self, RawConnection};
use support::scenarios::{self, Expected};
use support::upstream::{Behaviour, Gate, Upstream};
use support::{Result, access_log, eventually, hostile, module, process, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn plain() -> Result<(Upstream, Envoy)> {
    let upstream = Upstream::start().await?;
    let envoy = Envoy::start(&EnvoyConfig::new(upstream.address())).await?;
    Ok((upstream, envoy))
}

#[tokio::test]
async fn requests_are_echoed_over_both_protocols_and_recorded() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    for (done, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let request =
            Request::post("/a?b=c&b=d", sign::FORM_TYPE, "x=1").header("x-twice", "1").header("x-twice", "2");
        let response = client::send(envoy.address(), protocol, &request).await?;
        assert_eq!(response.status, 200, "{protocol:?}");
        assert_eq!(response.json()?["body_length"], 3);
        let recorded = upstream.wait_for(done + 1).await?.remove(done);
        assert_eq!((recorded.method.as_str(), recorded.target.as_str()), ("POST", "/a?b=c&b=d"));
        assert_eq!(recorded.body, "x=1");
        let twice: Vec<_> = recorded.headers.get_all("x-twice").iter().collect();
        assert_eq!(twice, ["1", "2"]);
        let line = envoy.wait_for_access_log(done + 1).await?.remove(done);
        assert_eq!((line.status(), line.details(), line.field("verdict")), (200, "via_upstream", "-"));
    }
    assert!(envoy.stat("http.ingress.downstream_rq_2xx").await? >= 2);
    assert!(upstream.byte_count() > 100 && upstream.connections() >= 1);
    Ok(())
}

#[tokio::test]
async fn trailers_arrive_over_both_protocols() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    for (done, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let request = Request::post("/", "text/plain", "body").trailer("x-end", "yes");
        assert_eq!(client::send(envoy.address(), protocol, &request).await?.status, 200);
        let recorded = upstream.wait_for(done + 1).await?.remove(done);
        assert_eq!(recorded.trailers.get("x-end"), Some(&HeaderValue::from_static("yes")), "{protocol:?}");
    }
    Ok(())
}

#[tokio::test]
async fn websockets_echo_over_both_protocols() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    for (protocol, status) in [(Protocol::Http1, 101), (Protocol::Http2, 200)] {
        let response = client::send(envoy.address(), protocol, &Request::websocket("/media")).await?;
        assert_eq!((response.status, &response.body[..]), (status, client::PING), "{protocol:?}");
    }
    assert_eq!(upstream.requests().iter().filter(|request| request.method == "GET").count(), 2);

    let mut client = Client::connect(envoy.address(), Protocol::Http1).await?;
    let Opened::Tunnel(_, mut tunnel) = client.open(&Request::websocket("/media")).await? else {
        return Err("refused".into());
    };
    tunnel.write_all(b"held open").await?;
    let mut echo = [0; 9];
    tunnel.read_exact(&mut echo).await?;
    assert_eq!(&echo, b"held open");
    Ok(())
}

#[tokio::test]
async fn refused_upgrades_are_ordinary_responses() -> Result<()> {
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).ingress(Listener::no_websockets);
    let envoy = Envoy::start(&config).await?;
    for protocol in Protocol::BOTH {
        let response = client::send(envoy.address(), protocol, &Request::websocket("/media")).await?;
        assert_eq!(response.status, 403, "{protocol:?}");
    }
    assert_eq!(upstream.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn raw_http1_bytes_reach_the_upstream_in_any_cut() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    let request =
        Request::post("/", "text/plain", "0123456789").header("x-raw", b"caf\xe9").trailer("x-end", "yes");
    let mut connection = RawConnection::connect(envoy.address()).await?;
    connection.write_in_pieces(raw::chunked(&request, 1), 1).await?;
    let response = connection.response().await?;
    assert_eq!(response.status, 200);
    let recorded = upstream.wait_for(1).await?.remove(0);
    assert_eq!(recorded.body, "0123456789");
    assert_eq!(recorded.headers["x-raw"].as_bytes(), b"caf\xe9");
    assert_eq!(recorded.trailers["x-end"], "yes");
    Ok(())
}

#[tokio::test]
async fn interim_responses_can_be_awaited() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    let head =
        Request::post("/", "text/plain", "").header("content-length", "4").header("expect", "100-continue");
    let mut connection = RawConnection::connect(envoy.address()).await?;
    connection.write(raw::head(&head)).await?;
    assert!(connection.interim().await?.starts_with("HTTP/1.1 100"));
    connection.write("body").await?;
    assert_eq!(connection.response().await?.status, 200);
    assert_eq!(upstream.wait_for(1).await?.remove(0).body, "body");
    Ok(())
}

#[tokio::test]
async fn a_client_can_leave_in_the_middle_of_its_body() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    let mut connection = RawConnection::connect(envoy.address()).await?;
    connection.write(raw::head(&Request::new("POST", "/").header("content-length", "10"))).await?;
    connection.write("half").await?;
    drop(connection);
    assert_eq!(envoy.wait_for_access_log(1).await?[0].field("flags"), "DC");

    let mut client = Client::connect(envoy.address(), Protocol::Http2).await?;
    let (feed, pending) = client.start(&Request::new("POST", "/"), None).await?;
    feed.data("half");
    feed.abort();
    assert!(pending.response().await.is_err());
    envoy.wait_for_access_log(2).await?;
    assert!(upstream.requests().iter().all(|request| !request.complete));
    Ok(())
}

#[tokio::test]
async fn hostile_http2_fields_reach_the_upstream_as_they_are() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    let mut fields = hostile::fields("POST", b"/a?raw=\xff\xfe");
    fields.push(("x-raw", b"\x80\xff"));
    // Whatever the upstream makes of such a line, Envoy has passed the bytes on.
    let _ = hostile::send(envoy.address(), &fields, b"body").await?;
    let bytes = upstream.bytes();
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"POST /a?raw=\xff\xfe HTTP/1.1\r\n"));
    assert!(contains(b"x-raw: \x80\xff\r\n"));

    let long = vec![b'a'; 1000];
    let mut fields = hostile::fields("GET", b"/plain");
    fields.push(("x-long", &long));
    let response = hostile::send(envoy.address(), &fields, b"").await?;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()?["method"], "GET");
    Ok(())
}

#[tokio::test]
async fn the_upstream_follows_its_script() -> Result<()> {
    let (upstream, envoy) = plain().await?;
    let get = async |path: &str| client::send(envoy.address(), Protocol::Http1, &Request::get(path)).await;
    upstream.script("/busy", Behaviour::Status(503));
    upstream.script_next("/flaky", [Behaviour::Status(500), Behaviour::Reset]);
    assert_eq!(get("/busy?again=1").await?.status, 503);
    assert_eq!(get("/flaky").await?.status, 500);
    assert_eq!(get("/flaky").await?.status, 503);
    assert_eq!(envoy.wait_for_access_log(3).await?[2].field("flags"), "UC");
    assert_eq!(get("/flaky").await?.status, 200);

    let gate = Gate::closed();
    upstream.script("/slow", Behaviour::Hold(gate.clone()));
    let mut client = Client::connect(envoy.address(), Protocol::Http2).await?;
    let (feed, pending) = client.start(&Request::get("/slow"), Some(0)).await?;
    drop(feed);
    upstream.wait_for(5).await?;
    assert!(!pending.is_ready());
    gate.open();
    assert_eq!(pending.response().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn internal_redirects_and_connect_can_be_had() -> Result<()> {
    let upstream = Upstream::start().await?;
    let config =
        EnvoyConfig::new(upstream.address()).ingress(|ingress| ingress.internal_redirects().connect());
    let envoy = Envoy::start(&config).await?;
    upstream.script("/from", Behaviour::Redirect("http://hooks.example.org/to".to_owned()));
    let response = client::send(envoy.address(), Protocol::Http1, &Request::get("/from")).await?;
    assert_eq!(response.json()?["path"], "/to");

    let mut connection = RawConnection::connect(envoy.address()).await?;
    connection.write("CONNECT hooks.example.org:443 HTTP/1.1\r\nHost: hooks.example.org:443\r\n\r\n").await?;
    assert!(connection.interim().await?.starts_with("HTTP/1.1 200"));
    // Behind CONNECT, the bytes go to the upstream as they are.
    connection.write("GET /tunnelled HTTP/1.1\r\nHost: inner\r\n\r\n").await?;
    assert_eq!(connection.response().await?.json()?["path"], "/tunnelled");
    Ok(())
}

#[tokio::test]
async fn a_bad_configuration_is_reported_with_the_log() -> Result<()> {
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).edit(|bootstrap| bootstrap["no_such_field"] = json!(1));
    let error = Envoy::start(&config).await.err().ok_or("it started")?;
    assert!(error.exit.is_some_and(|exit| !exit.success()), "{error}");
    assert!(error.log.contains("no_such_field"), "{error}");

    let directory = tempfile::tempdir()?;
    let corrupt = directory.path().join("corrupt.wasm");
    std::fs::write(&corrupt, "not wasm")?;
    let config = EnvoyConfig::new(upstream.address()).filter(WasmFilter::raw(&corrupt, None));
    let error = Envoy::start(&config).await.err().ok_or("it started")?;
    assert!(error.log.contains("wasm"), "{error}");
    Ok(())
}

#[tokio::test]
async fn listeners_can_be_replaced_while_envoy_runs() -> Result<()> {
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).dynamic_listeners().concurrency(2);
    let mut envoy = Envoy::start(&config).await?;
    let get = async |envoy: &Envoy| client::send(envoy.address(), Protocol::Http1, &Request::get("/")).await;
    assert_eq!(get(&envoy).await?.status, 200);

    let second = Listener::new("second");
    assert_eq!(envoy.update_listeners(&[Listener::new("ingress"), second.clone()]).await?, Update::Applied);
    assert_eq!(
        client::send(envoy.listener("second"), Protocol::Http2, &Request::get("/")).await?.status,
        200
    );

    let refusing = Listener::new("ingress").edit(|manager| {
        manager["route_config"]["virtual_hosts"][0]["routes"][0] =
            json!({"match": {"prefix": "/"}, "direct_response": {"status": 418}});
    });
    assert_eq!(envoy.update_listeners(&[refusing, second]).await?, Update::Applied);
    assert_eq!(get(&envoy).await?.status, 418);

    let bad = Listener::new("ingress").edit(|manager| manager["stat_prefix"] = json!(""));
    assert_eq!(envoy.update_listeners(&[bad]).await?, Update::Rejected);
    assert_eq!(get(&envoy).await?.status, 418);

    assert_eq!(envoy.update_listeners(&[Listener::new("ingress")]).await?, Update::Applied);
    assert_eq!(get(&envoy).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn envoy_ends_with_its_value() -> Result<()> {
    let (_upstream, mut envoy) = plain().await?;
    assert!(envoy.is_running());
    let (admin, address) = (envoy.admin(), envoy.address());
    drop(envoy);
    for address in [admin, address] {
        eventually("a closed port", async || TcpStream::connect(address).await.err()).await?;
    }
    Ok(())
}

/// Runs itself a second time, as the owner that is killed.
#[tokio::test]
async fn envoy_ends_even_when_its_owner_is_killed() -> Result<()> {
    const FILE: &str = "HARNESS_OWNER_WRITES_TO";
    if let Some(file) = std::env::var_os(FILE) {
        let (_upstream, envoy) = plain().await?;
        std::fs::write(file, envoy.address().to_string())?;
        return std::future::pending().await;
    }
    let directory = tempfile::tempdir()?;
    let (mut owner, address) =
        process::owner("envoy_ends_even_when_its_owner_is_killed", FILE, directory.path()).await?;
    assert_eq!(client::send(address, Protocol::Http2, &Request::get("/")).await?.status, 200);
    owner.kill().await?;
    eventually("a closed port", async || TcpStream::connect(address).await.err()).await?;
    Ok(())
}

/// The control of the demo: with the filter taken out of the same file, no row that promises a refusal may hold.
#[tokio::test]
async fn the_demo_would_notice_a_missing_filter() -> Result<()> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let upstream = Upstream::start().await?;
    let addresses = Addresses { listener: free, admin: free, upstream: upstream.address() };
    let mut bootstrap = quickstart::bootstrap(addresses, Path::new("none.wasm"))?;
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    bootstrap.pointer_mut(filters).and_then(Value::as_array_mut).ok_or("no filters")?.remove(0);
    let envoy =
        Envoy::launch(tempfile::tempdir()?, &bootstrap, &EnvoyConfig::new(upstream.address())).await?;
    for (row, scenario) in scenarios::all().into_iter().enumerate() {
        scenario.prepare(&upstream);
        let received = upstream.count();
        let response = client::send(envoy.address(), Protocol::Http1, &scenario.request).await?;
        let line =
            eventually("the access log", async || access_log::lines(&envoy.stdout()).into_iter().nth(row))
                .await?;
        let holds = scenario.expected.holds(&response, line.details(), upstream.count() - received);
        let is_refusal = matches!(scenario.expected, Expected::Refused(..));
        assert_eq!(holds, !is_refusal, "{}: {}", scenario.name, line.0);
    }
    Ok(())
}

/// What the builder offers for the module: configured, misconfigured, twice in a chain, replaced while running.
#[tokio::test]
async fn the_module_runs_as_the_builder_says() -> Result<()> {
    let module = module::path()?;
    let settings = json!({
        "public_url": "https://hooks.example.org",
        "accounts": [{"sid": scenarios::ACCOUNT, "auth_tokens": [{"env": "TWILIO_AUTH_TOKEN", "label": "current"}]}],
        "default": "twilio",
        "replay": {"dedupe": {"eligible": "none"}},
    });
    let guard = WasmFilter::new(module, &settings);
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).env("TWILIO_AUTH_TOKEN", scenarios::TOKEN);

    let nothing = config.clone().filter(WasmFilter::raw(module, None));
    assert!(
        Envoy::start(&nothing).await.is_err_and(|error| error.exit.is_some() && error.log.contains("wasm"))
    );

    let twice = config.filter(guard.clone()).filter(guard.clone().named("second")).dynamic_listeners();
    let mut envoy = Envoy::start(&twice).await?;
    let genuine = scenarios::message();
    assert_eq!(client::send(envoy.address(), Protocol::Http1, &genuine).await?.status, 200);
    let bad = Listener::new("ingress").filter(WasmFilter::raw(module, Some("{".to_owned())));
    assert_eq!(envoy.update_listeners(&[bad]).await?, Update::Rejected);
    assert_eq!(client::send(envoy.address(), Protocol::Http2, &genuine).await?.status, 200);
    let once = Listener::new("ingress").filter(guard.named("third"));
    assert_eq!(envoy.update_listeners(&[once]).await?, Update::Applied);
    let forged = genuine.without(sign::SIGNATURE);
    assert_eq!(client::send(envoy.address(), Protocol::Http2, &forged).await?.status, 401);
    assert_eq!(upstream.count(), 2);
    Ok(())
}

#[test]
fn the_signer_agrees_with_twilios_published_example() {
    // The example of Twilio's security documentation, with its made-up token.
    let parameters = [
        ("Digits", "1234"),
        ("To", "+18005551212"),
        ("From", "+14158675309"),
        ("Caller", "+14158675309"),
        ("CallSid", "CA1234567890ABCDE"),
    ];
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    assert_eq!(sign::signature("12345", url, &parameters), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}
