//! `docs/public-url.md`: each block does what its section says, and each symptom is what the filter says without it.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::cluster::Container;
use crate::documents::{Folder, Values, text_at};
use crate::envoy_gateway::transport_socket;
use crate::istiod::{Istiod, Place, Proxy};
use crate::support::access_log::LogLine;
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, Listener, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::tls::{Authority, TlsClient};
use crate::support::upstream::Upstream;
use crate::support::{Result, module, pages};
use crate::webhooks::{Sender, send};

const PAGE: &str = "docs/public-url.md";

/// The values of the page.
fn values() -> Values {
    Values {
        host: "hooks.example.org".to_owned(),
        account: "AC0123456789abcdef0123456789abcdef".to_owned(),
        digest: String::new(),
        token: "00112233445566778899aabbccddeeff".to_owned(),
    }
}

fn sender(public_url: &str) -> Sender {
    Sender::at(&values(), public_url)
}

/// The configuration of the examples, with these keys on top.
fn overlaid(keys: &Value) -> Result<Value> {
    let folder = Folder::open("envoy/istio", &["strict-gateway.yaml"], &values())?;
    let place = "/spec/configPatches/0/patch/value/typed_config/config/configuration/value";
    let mut config = folder.0[0].value.pointer(place).ok_or("no configuration")?.clone();
    for (name, value) in keys.as_object().ok_or("no keys")? {
        config[name] = value.clone();
    }
    Ok(config)
}

/// The configuration of a section.
fn recipe(section: &str) -> Result<Value> {
    overlaid(&pages::block(PAGE, &format!("filter: {section}"))?)
}

fn mesh(section: &str) -> Result<Value> {
    Ok(pages::block(PAGE, &format!("mesh: {section}"))?["meshConfig"].clone())
}

/// A proxy of Istio with the filter first, before an application.
struct Site {
    envoy: Envoy,
    application: Upstream,
    /// How many requests were sent; each has a line in the access log.
    sent: Cell<usize>,
}

impl Site {
    async fn start(place: Place, mesh: Value, config: &Value) -> Result<Self> {
        let application = Upstream::start().await?;
        let envoy = proxy(place, mesh, Some(config), Folder(Vec::new()), application.address()).await?;
        Ok(Self::of(envoy, application))
    }

    fn of(envoy: Envoy, application: Upstream) -> Self {
        Self { envoy, application, sent: Cell::new(0) }
    }

    async fn send(&self, request: &Request) -> Result<Response> {
        self.sent.set(self.sent.get() + 1);
        send(self.envoy.address(), request).await
    }

    /// The one passes, the other is refused for this reason.
    async fn assert(&self, genuine: &Request, forged: &Request, reason: &str) -> Result<()> {
        let before = self.application.count();
        let response = self.send(genuine).await?;
        assert!(response.accepted(), "{}: {} {}", genuine.target, response.status, response.text());
        self.application.wait_for(before + 1).await?;
        assert!(!self.send(forged).await?.accepted(), "{}", forged.target);
        let log = self.envoy.wait_for_access_log(self.sent.get()).await?;
        let line = log.last().ok_or("no line")?;
        assert_eq!(line.field("reason"), reason, "{}", line.0);
        assert_eq!(self.application.count(), before + 1);
        Ok(())
    }
}

async fn proxy(
    place: Place,
    mesh: Value,
    config: Option<&Value>,
    resources: Folder,
    upstream: std::net::SocketAddr,
) -> Result<Envoy> {
    let proxy = Proxy { place, ..gateway() };
    let mut envoy = Istiod::new(resources, mesh).configure(&proxy, upstream)?;
    if let Some(config) = config {
        envoy =
            envoy.filter(WasmFilter::new(module::path()?, config)).env("TWILIO_AUTH_TOKEN", &values().token);
    }
    Ok(Envoy::start(&envoy).await?)
}

fn gateway() -> Proxy {
    Proxy {
        place: Place::Gateway,
        namespace: "clinic".to_owned(),
        labels: json!({"istio": "hooks-gateway"}),
        container: Container::default(),
        port: 443,
    }
}

/// The virtual service of the examples, or another spec of one, beside what it refers to.
fn routed(spec: Option<Value>) -> Result<Folder> {
    let folder = Folder::open("envoy/istio", &["workload.yaml", "gateway.yaml"], &values())?;
    Ok(folder.edit(|value| {
        if let (true, Some(spec)) = (value["kind"] == "VirtualService", &spec) {
            value["spec"] = spec.clone();
        }
    }))
}

#[tokio::test]
async fn tls_ends_at_a_load_balancer() -> Result<()> {
    let section = "TLS ends at a load balancer";
    let (genuine, wrong) = (sender("https://hooks.example.org"), sender("http://hooks.example.org"));
    let values = pages::block(PAGE, &format!("gateway values: {section}"))?;
    let own: Value = serde_saphyr::from_str(text_at(&values, "/podAnnotations/proxy.istio.io~1config")?)?;
    // The annotation is laid over the mesh's `defaultConfig`.
    let annotated = json!({"defaultConfig": own});
    for (mesh, kept) in [(Value::Null, "http"), (annotated, "https")] {
        let application = Upstream::start().await?;
        let envoy =
            proxy(Place::Gateway, mesh, Some(&recipe(section)?), routed(None)?, application.address())
                .await?;
        let site = Site::of(envoy, application);
        // What the load balancer makes of them.
        let behind = |request: Request| {
            request.header("x-forwarded-proto", "https").header("x-forwarded-for", "203.0.113.7")
        };
        site.assert(&behind(genuine.sms()), &behind(wrong.sms()), "mismatch").await?;
        let seen = &site.application.requests()[0].headers["x-forwarded-proto"];
        assert_eq!(seen, kept, "what the application gets");
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_rewrites_in_front_of_a_sidecar() -> Result<()> {
    let section = "a gateway rewrites in front of a sidecar";
    let site = Site::start(Place::SidecarInbound, Value::Null, &recipe(section)?).await?;
    let service = pages::block(PAGE, &format!("VirtualService: {section}"))?;
    let gateway =
        proxy(Place::Gateway, Value::Null, None, routed(Some(service))?, site.envoy.address()).await?;
    let mut genuine = sender("https://hooks.example.org");
    genuine.prefix = "/twilio".to_owned();
    for request in genuine.genuine() {
        let response = send(gateway.address(), &request).await?;
        assert!(response.accepted(), "{}: {}", request.target, response.status);
    }
    let received = site.application.wait_for(4).await?;
    assert_eq!(received[0].target, "/sms");
    assert_eq!(received[0].headers["host"], "hooks.clinic.svc.cluster.local");
    // The gateway tells the original path, and the sidecar passes on a redacted one.
    assert!(received.iter().all(|request| {
        let header =
            request.headers.get("x-envoy-original-path").map(|value| value.to_str().unwrap_or_default());
        header.is_some_and(|path| !path.contains("jane-roe") && !path.contains("15005550006"))
    }));

    // Signed for the rewritten URL.
    let mut request = sender("https://hooks.example.org").sms();
    request.target = "/twilio/sms".to_owned();
    assert_eq!(send(gateway.address(), &request).await?.status, 401);
    assert_eq!(site.application.count(), 4);
    Ok(())
}

#[tokio::test]
async fn a_port_of_its_own() -> Result<()> {
    let site = Site::start(Place::SidecarInbound, Value::Null, &recipe("a port of its own")?).await?;
    let arrives = |request: Request| request.authority("hooks.example.org:8443");
    let [with, without, other] =
        ["https://hooks.example.org:8443", "https://hooks.example.org", "https://hooks.example.org:9443"]
            .map(|url| arrives(sender(url).sms()));
    site.assert(&with, &other, "mismatch").await?;
    site.assert(&without, &other, "mismatch").await
}

#[tokio::test]
async fn path_normalisation() -> Result<()> {
    let config = overlaid(&json!({}))?;
    let genuine = sender("https://hooks.example.org");
    // An escape that needs none, as it was signed.
    let escaped = || genuine.status_at("/calls/%6Aane-roe/status");
    let forged = Request { target: "/calls/%6Bane-roe/status".to_owned(), ..escaped() };
    let off = Site::start(Place::SidecarInbound, mesh("path normalisation")?, &config).await?;
    off.assert(&escaped(), &forged, "mismatch").await?;
    assert!(off.application.requests()[0].target.contains("%6A"));

    // The symptom: by default the same request is refused.
    let on = Site::start(Place::SidecarInbound, Value::Null, &config).await?;
    on.assert(&genuine.call_status(), &escaped(), "mismatch").await
}

#[tokio::test]
async fn a_tunnel() -> Result<()> {
    let site = Site::start(Place::SidecarInbound, Value::Null, &recipe("a tunnel")?).await?;
    let (genuine, wrong) = (sender("https://example.ngrok.app"), sender("http://localhost:10000"));
    for host in ["example.ngrok.app", "localhost:10000"] {
        let arrives = |request: Request| request.authority(host);
        site.assert(&arrives(genuine.sms()), &arrives(wrong.sms()), "mismatch").await?;
    }
    site.assert(&genuine.sms(), &genuine.sms().authority("other.ngrok.app"), "host_not_accepted").await
}

#[tokio::test]
async fn several_hostnames() -> Result<()> {
    let site = Site::start(Place::SidecarInbound, Value::Null, &recipe("several hostnames")?).await?;
    let (one, other) = (sender("https://hooks.example.org"), sender("https://hooks-eu.example.org"));
    site.assert(&one.sms(), &other.sms().authority("hooks.example.org"), "mismatch").await?;
    site.assert(&other.sms(), &one.sms().authority("hooks-eu.example.org"), "mismatch").await
}

#[tokio::test]
async fn a_gateway_that_also_serves_others() -> Result<()> {
    let section = "a gateway that also serves others";
    let site = Site::start(Place::SidecarInbound, Value::Null, &recipe(section)?).await?;
    let genuine = sender("https://hooks.example.org");
    site.assert(&genuine.sms(), &genuine.tampered(), "mismatch").await?;
    let elsewhere = Request { target: "/elsewhere".to_owned(), ..genuine.sms() };
    site.assert(&genuine.call(), &elsewhere, "denied").await?;
    // Others pass without a signature, however their paths are spelled; here none does.
    let ambiguous = Request { target: "/a;b".to_owned(), ..genuine.sms() };
    for target in ["/sms?From=1", "/a;b", "//sms", "/a%2Fb"] {
        let other = Request::get(target).authority("shop.example.org");
        site.assert(&other, &ambiguous, "denied").await?;
    }
    Ok(())
}

/// In the filter chain of the one host, the filter meets no request of others.
#[tokio::test]
async fn a_gateway_that_also_serves_others_in_filter_chains_of_their_own() -> Result<()> {
    let block = pages::block(PAGE, "EnvoyFilter: a gateway that also serves others")?;
    let files = ["workload.yaml", "gateway.yaml", "strict-gateway.yaml"];
    let resources = Folder::open("envoy/istio", &files, &values())?.edit(|value| {
        if value["kind"] == "EnvoyFilter" {
            let patch = &mut value["spec"]["configPatches"][0];
            patch["match"]["listener"] = block["listener"].clone();
            let module = module::path().expect("the module");
            *patch.pointer_mut(CODE).expect("the code") = json!({"local": {"filename": module}});
        }
        if value["kind"] == "VirtualService" {
            value["spec"]["hosts"] = json!(["hooks.example.org", SHOP]);
        }
    });
    let authority = Authority::new("public")?;
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let servers = [HOOKS, SHOP].iter().zip(&folders).map(|(host, folder)| {
        Ok(((*host).to_owned(), transport_socket(&authority.issue(host)?, folder.path())?))
    });
    let application = Upstream::start().await?;
    let proxy = gateway();
    let istiod = Istiod::new(resources, Value::Null).servers(servers.collect::<Result<_>>()?);
    let config = istiod.configure(&proxy, application.address())?.env("TWILIO_AUTH_TOKEN", &values().token);
    let envoy = Envoy::start(&config).await?;
    let send = async |host: &'static str, request: Request| {
        let client = TlsClient::new(host, &authority);
        client.connect(envoy.address(), Protocol::Http1).await?.send(&request).await
    };
    let genuine = sender("https://hooks.example.org");
    assert!(send(HOOKS, genuine.sms()).await?.accepted());
    assert_eq!(send(HOOKS, genuine.tampered()).await?.status, 401);
    assert_eq!(application.count(), 1);
    for target in ["/sms", "/a;b", "//a"] {
        assert!(send(SHOP, Request::get(target).authority(SHOP)).await?.accepted(), "{target}");
    }
    Ok(())
}

const HOOKS: &str = "hooks.example.org";
const SHOP: &str = "shop.example.org";

/// Where a patch of an EnvoyFilter says where the module comes from.
const CODE: &str = "/patch/value/typed_config/config/vm_config/code";

/// What the filter says where it is configured as somebody would who has not read the section.
#[tokio::test]
async fn the_symptoms_are_what_the_filter_says() -> Result<()> {
    let genuine = sender("https://hooks.example.org");
    let ngrok = || sender("https://example.ngrok.app").sms().authority("localhost");
    let mut rewritten = sender("https://hooks.example.org");
    rewritten.prefix = "/twilio".to_owned();
    let rewritten = Request { target: "/sms".to_owned(), ..rewritten.sms() };
    let plain = json!({});
    let cases = [
        ("tls", json!({"public_url": "http://hooks.example.org"}), genuine.sms(), Some(r#"["scheme"]"#)),
        ("rewrite", plain.clone(), rewritten.clone(), None),
        (
            "reverse",
            json!({"public_url": "https://hooks.example.org/twilio"}),
            genuine.sms(),
            Some(r#"["prefix_dropped"]"#),
        ),
        ("port", plain.clone(), sender("https://hooks.example.org:8443").sms(), Some(r#"["port"]"#)),
        (
            "tunnel",
            json!({"public_url": "http://localhost"}),
            ngrok().header("x-forwarded-host", "example.ngrok.app"),
            Some(r#"["scheme","forwarded_host"]"#),
        ),
        (
            "hosts",
            json!({"accept_hosts": ["hooks.example.org", "hooks-eu.example.org"]}),
            sender("https://hooks-eu.example.org").sms(),
            Some(r#"["request_host"]"#),
        ),
    ];
    let application = Upstream::start().await?;
    let mut config = EnvoyConfig::new(application.address()).env("TWILIO_AUTH_TOKEN", &values().token);
    config.listeners.clear();
    for (name, keys, ..) in &cases {
        let mut plugin = overlaid(keys)?;
        plugin["explain"] = true.into();
        config.listeners.push(Listener::new(name).filter(WasmFilter::new(module::path()?, &plugin)));
    }
    let envoy = Envoy::start(&config).await?;
    for (position, (name, _, request, hint)) in cases.iter().enumerate() {
        assert_eq!(send(envoy.listener(name), request).await?.status, 401, "{name}");
        let log = envoy.wait_for_access_log(position + 1).await?;
        assert_eq!(log.last().map(LogLine::details), Some("twilio_guard_mismatch"), "{name}");
        let said = explained(&envoy.log(), position);
        assert_eq!(said.as_deref(), hint.or(Some("[]")), "{name}");
    }
    for (name, request) in
        [("rewrite", rewritten.authority("hooks.clinic.svc.cluster.local")), ("rewrite", ngrok())]
    {
        assert_eq!(send(envoy.listener(name), &request).await?.status, 403);
    }
    let log = envoy.wait_for_access_log(cases.len() + 2).await?;
    assert!(log.iter().rev().take(2).all(|line| line.details() == "twilio_guard_host_not_accepted"));
    Ok(())
}

/// What the n-th refusal says would have matched.
fn explained(log: &str, number: usize) -> Option<String> {
    let line = log.lines().filter(|line| line.contains(r#""event":"refused""#)).nth(number)?;
    let Some((_, rest)) = line.split_once(r#""would_match":"#) else { return Some("[]".to_owned()) };
    rest.split_once(']').map(|(hints, _)| format!("{hints}]"))
}
