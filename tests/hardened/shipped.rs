//! The file, the certificates it names, and what stands before and behind it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, address, own_port, replace};
use crate::support::envoy::Envoy;
pub use crate::support::hardened::{APPLICATION, Authorities, HOST};
use crate::support::http::{Request, Response};
use crate::support::tls::TlsClient;
use crate::support::upstream::Upstream;
use crate::support::{Result, binary, eventually, module, project_root, scenarios, since};

/// The optional blocks.
pub const BLOCKS: [&str; 4] = ["mtls", "text", "default", "tracing"];

/// The HTTP connection manager.
pub const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/1/typed_config";

/// The name that a client's certificate has to have with the block `mtls`.
pub const GATEWAY: &str = "gateway.internal.example.org";

/// The name that the collector's certificate has to have with the block `tracing`.
pub const COLLECTOR: &str = "otel.internal.example.org";

/// How the lines begin that are to be removed for Envoy 1.36, as the file says. The second is of the block `tracing`.
const SINCE_1_37: [&str; 2] = ["allow_paths: ", "- {tag: http.url, value: "];

/// How Envoy reaches the collector, in the block `tracing`.
const EXPORT: &str = "/tracing/provider/typed_config/http_service/http_uri";

/// What the file's time limits towards the application and the collector become.
const PATIENCE: &str = "20s";

/// What a test asks of the file.
#[derive(Default)]
pub struct Setup {
    /// The optional blocks that are turned on.
    pub blocks: &'static [&'static str],
    /// Values that are replaced, by JSON pointer.
    pub changes: Vec<(String, Value)>,
    /// Whether Envoy 1.36 is given what it does not know, too.
    pub as_it_stands: bool,
    /// The key of pseudonyms.
    pub hash_key: Option<&'static str>,
}

impl Setup {
    /// Turns optional blocks on.
    pub fn blocks(blocks: &'static [&'static str]) -> Self {
        Self { blocks, ..Self::default() }
    }

    /// Replaces a value.
    pub fn change(mut self, pointer: impl Into<String>, value: Value) -> Self {
        self.changes.push((pointer.into(), value));
        self
    }
}

/// A running Envoy with the file, and the application behind it.
pub struct Hardened {
    pub authorities: Authorities,
    pub upstream: Upstream,
    /// Where spans go, if anywhere.
    pub collector: Option<Upstream>,
    pub envoy: Envoy,
    _files: TempDir,
}

impl Hardened {
    /// The file as it stands, before an application with the right certificate.
    pub async fn start() -> Result<Self> {
        Self::with(Setup::default()).await
    }

    /// The same with a set-up.
    pub async fn with(setup: Setup) -> Result<Self> {
        let authorities = Authorities::new()?;
        let upstream = Upstream::start_tls(&authorities.internal.issue(APPLICATION)?).await?;
        Self::before(upstream, authorities, setup).await
    }

    /// The same before a given application.
    pub async fn before(upstream: Upstream, authorities: Authorities, setup: Setup) -> Result<Self> {
        let files = tempfile::tempdir()?;
        authorities.write(files.path())?;
        let collector = match setup.blocks.contains(&"tracing") {
            true => Some(Upstream::start_tls(&authorities.internal.issue(COLLECTOR)?).await?),
            false => None,
        };
        let clusters = [Some(&upstream), collector.as_ref()].map(|cluster| cluster.map(Upstream::address));
        let bootstrap = bootstrap(&setup, &files, clusters)?;
        let mut config = EnvoyConfig::new(upstream.address()).envs(scenarios::environment()).concurrency(2);
        config.environment.extend(setup.hash_key.map(|key| ("PHI_HASH_KEY".to_owned(), key.to_owned())));
        let envoy = Envoy::launch(tempfile::tempdir()?, &bootstrap, &config).await?;
        Ok(Self { authorities, upstream, collector, envoy, _files: files })
    }

    /// A client that trusts the listener's certificate.
    pub fn client(&self) -> TlsClient<'_> {
        TlsClient::new(HOST, &self.authorities.public)
    }

    /// Sends one request over a connection of its own.
    pub async fn send(&self, protocol: Protocol, request: &Request) -> Result<Response> {
        self.client().connect(self.envoy.address(), protocol).await?.send(request).await
    }

    /// Waits for the n-th line of the JSON log and returns all that are there.
    pub async fn json_log(&self, lines: usize) -> Result<Vec<Value>> {
        eventually(&format!("{lines} lines of JSON"), async || {
            let text = self.envoy.stdout();
            let parsed: Vec<_> =
                text.split_inclusive('\n').filter_map(|line| serde_json::from_str(line).ok()).collect();
            (parsed.len() >= lines).then_some(parsed)
        })
        .await
    }
}

/// The file's text with these optional blocks turned on.
pub fn text(blocks: &[&str]) -> Result<String> {
    let mut text = std::fs::read_to_string(project_root().join("envoy/hardened.yaml"))?;
    for block in blocks {
        // As the file says: sed -i 's/#mtls //'
        let tag = format!("#{block} ");
        assert!(text.contains(&tag), "there is no block {block}");
        text = text.replace(&tag, "");
    }
    Ok(text)
}

fn bootstrap(setup: &Setup, files: &TempDir, clusters: [Option<SocketAddr>; 2]) -> Result<Value> {
    let folder = files.path().to_str().ok_or("the folder's path is not UTF-8")?;
    let module = module::path()?.to_str().ok_or("the module's path is not UTF-8")?;
    let mut text = text(setup.blocks)?;
    if binary::minor()? < since::HARDENED_FILE && !setup.as_it_stands {
        let (kept, removed): (Vec<_>, Vec<_>) = text
            .lines()
            .partition(|line| !SINCE_1_37.iter().any(|start| line.trim_start().starts_with(start)));
        let expected = if setup.blocks.contains(&"tracing") { 2 } else { 1 };
        assert_eq!(removed.len(), expected, "{removed:?}");
        text = kept.join("\n");
    }
    let text = text.replace("/etc/envoy/tls", folder).replace("/etc/envoy/twilio_guard.wasm", module);
    let mut bootstrap: Value = serde_saphyr::from_str(&text)?;
    let free = address(([127, 0, 0, 1], 0).into());
    replace(&mut bootstrap, "/admin/address", free.clone())?;
    replace(&mut bootstrap, "/static_resources/listeners/0/address", free)?;
    own_port(&mut bootstrap);
    for (cluster, endpoint) in clusters.into_iter().enumerate() {
        let Some(endpoint) = endpoint else { continue };
        let place = format!(
            "/static_resources/clusters/{cluster}/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address"
        );
        replace(&mut bootstrap, &place, address(endpoint))?;
    }
    // A slow machine may take longer over its handshakes than an application should.
    for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
        cluster["connect_timeout"] = PATIENCE.into();
    }
    if setup.blocks.contains(&"tracing") {
        replace(&mut bootstrap, &format!("{MANAGER}{EXPORT}/timeout"), PATIENCE.into())?;
    }
    for (pointer, value) in &setup.changes {
        replace(&mut bootstrap, pointer, value.clone())?;
    }
    Ok(bootstrap)
}

/// A bucket that is empty after so many, and stays so.
pub fn bucket(tokens: u32) -> Value {
    json!({"max_tokens": tokens, "tokens_per_fill": 1, "fill_interval": "3600s"})
}
