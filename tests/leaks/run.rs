//! Sends cases through a proxy and keeps all that it writes.

mod exchange;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cases::{self, Case, requests::LOCATION};
use crate::fields;
use crate::marker::{Marker, Planter};
use crate::proxy::{Change, Filter, HASH_KEY, Proxy, TOKEN};
use crate::sinks::{self, Outputs};
use crate::support::client::{self, Protocol};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::upstream::{Behaviour, Gate, Port, Upstream};
use crate::support::{Result, eventually};

/// What a run is to be.
pub struct Plan {
    /// Whether the filter is there.
    pub filter: Filter,
    /// What is other than advised.
    pub change: Change,
    /// Format operators, each of which gets a log of its own.
    pub operators: Vec<String>,
    /// What is sent: each case as it is, and then with a forged `x-envoy-original-path`.
    pub cases: Vec<Case>,
}

/// What a run left behind.
pub struct Run {
    /// Every planted marker.
    pub markers: Vec<Marker>,
    /// What each sink was given.
    pub outputs: Outputs,
    /// The cases that have a span.
    pub traced: BTreeSet<String>,
}

/// The pseudo-case that the process's own secrets belong to.
pub const PROCESS: &str = "the process";

/// What the request is called whose span is the last.
const LAST: &str = "the last";

/// What the name of a case ends with in which the client sends the header that Envoy would print.
pub const FORGED: &str = " (forged x-envoy-original-path)";

impl Plan {
    /// Every case, and all as advised.
    pub fn everything(filter: Filter) -> Self {
        Self { filter, change: Change::None, operators: Vec::new(), cases: cases::all() }
    }

    /// Sends everything.
    pub async fn run(self) -> Result<Run> {
        let (upstream, collector) = (Upstream::start().await?, Upstream::start().await?);
        collector.otherwise(Behaviour::Status(202));
        upstream.otherwise(match self.filter {
            Filter::Present => Behaviour::Answer(200, Vec::new(), "ok".into()),
            Filter::Absent => Behaviour::Mirror,
        });
        let (directory, closed) = (tempfile::tempdir()?, Port::reserve()?);
        let listeners: BTreeSet<_> = self.cases.iter().flat_map(|case| case.listeners).collect();
        let proxy = Proxy {
            filter: self.filter,
            change: self.change,
            operators: self.operators,
            listeners: listeners.into_iter().collect(),
            directory: directory.path().to_owned(),
            upstream: upstream.address(),
            collector: collector.address(),
            closed: closed.address(),
        };
        let envoy = Envoy::start(&proxy.config()?).await?;
        let mut runner = Runner {
            proxy,
            envoy,
            upstream,
            outputs: Outputs::new(),
            markers: secrets(),
            lines: 0,
            generation: 1,
        };
        runner.set_up().await?;
        let surprises = runner.send_all(&self.cases).await;
        if !surprises.is_empty() {
            let (filter, change) = (self.filter, self.change);
            return Err(format!("{filter:?}, {change:?}:\n{}", surprises.join("\n")).into());
        }
        let traced = runner.finish(&collector).await?;
        Ok(Run { markers: runner.markers, outputs: runner.outputs, traced })
    }
}

/// What must not be told of the process itself.
fn secrets() -> Vec<Marker> {
    let mut plant = Planter::new(PROCESS);
    plant.secret("auth token", TOKEN);
    plant.secret("key of pseudonyms", HASH_KEY);
    plant.finish()
}

struct Runner {
    proxy: Proxy,
    envoy: Envoy,
    upstream: Upstream,
    outputs: Outputs,
    markers: Vec<Marker>,
    lines: usize,
    generation: usize,
}

impl Runner {
    async fn set_up(&self) -> Result<()> {
        let talkative = self.proxy.filter == Filter::Absent || self.proxy.change == Change::DebugLog;
        let level = if talkative { "http=debug" } else { "level=info" };
        let post = Request::new("POST", &format!("/logging?{level}"));
        let response = client::send(self.envoy.admin(), Protocol::Http1, &post).await?;
        if response.status != 200 {
            return Err(response.text().into());
        }
        self.upstream.script("/reset", Behaviour::Reset);
        self.upstream.script("/slow", Behaviour::Hold(Gate::closed()));
        Ok(())
    }

    /// Sends every case twice, and tells what did not end as it should.
    async fn send_all(&mut self, cases: &[Case]) -> Vec<String> {
        let mut surprises = Vec::new();
        for forged in [false, true] {
            for case in cases {
                let name = if forged { format!("{}{FORGED}", case.name) } else { case.name.to_owned() };
                let mut plant = Planter::new(&name);
                let mut request = case.request(&mut plant).header("x-case", &name);
                if forged {
                    request = fields::forged(&mut plant, request);
                }
                self.markers.extend(plant.finish());
                let sent = self.send(case, &request, forged).await;
                surprises.extend(sent.err().map(|error| format!("{name}: {error}")));
            }
        }
        surprises
    }

    async fn send(&mut self, case: &Case, request: &Request, forged: bool) -> Result<()> {
        if let Some((_, location)) = request.headers.iter().find(|(name, _)| name == LOCATION) {
            self.upstream.script("/redirected", Behaviour::Redirect(location.to_str()?.to_owned()));
        }
        if case.name == "retry" {
            self.upstream.script_next("/retry", [Behaviour::Reset]);
        }
        let on_arrival = usize::from(self.proxy.change == Change::LogOnArrival);
        self.lines += case.lines * (1 + on_arrival);
        let response = self.exchange(case, request, case.listeners[usize::from(forged)]).await?;
        let status = response.as_ref().map_or(0, |response| response.status);
        let (directory, operators) = (&self.proxy.directory, &self.proxy.operators);
        if let Some(response) = &response {
            sinks::record(&mut self.outputs, response);
        }
        let written = async || {
            sinks::log_lines(directory, operators).iter().all(|lines| *lines >= self.lines).then_some(())
        };
        eventually("a line in every access log", written).await?;
        let lines = sinks::log_lines(directory, operators);
        if lines.iter().any(|lines| *lines != self.lines) {
            return Err(format!("the access logs have {lines:?} lines, not {}", self.lines).into());
        }
        // The control takes other ways.
        let log = sinks::read_log(directory, sinks::STATE_TEXT);
        let log = String::from_utf8_lossy(&log).into_owned();
        let line = log.lines().last().unwrap_or_default();
        let is_expected = status == case.status && line.contains(case.details);
        if self.proxy.filter == Filter::Present && !is_expected {
            return Err(
                format!("answered {status} instead of {} {}: {line}", case.status, case.details).into()
            );
        }
        Ok(())
    }

    /// Reads the sinks that are read once, at the end.
    async fn finish(&mut self, collector: &Upstream) -> Result<BTreeSet<String>> {
        if self.proxy.filter == Filter::Absent {
            self.leak_into_stats().await?;
        }
        // Envoy has one worker, which finishes spans one after the other: this one is the last.
        let last = Request::get("/").header("x-case", LAST);
        client::send(self.envoy.listener(self.proxy.listeners[0]), Protocol::Http1, &last).await?;
        eventually("all spans at the collector", async || {
            let stats = self.envoy.stats_matching("tracing.zipkin.").await.ok()?;
            let sent = stats.get("tracing.zipkin.spans_sent").copied()?;
            let reports = collector.requests().into_iter().filter(|report| report.complete);
            let reports: Vec<Value> =
                reports.map(|report| serde_json::from_slice(&report.body).unwrap_or_default()).collect();
            let spans: Vec<_> = reports.iter().flat_map(|report| report.as_array()).flatten().collect();
            let is_last = |span: &&&Value| span["tags"]["case"] == LAST;
            (u64::try_from(spans.len()).ok()? == sent && spans.iter().any(|span| is_last(&span)))
                .then_some(())
        })
        .await?;
        let (mut spans, mut traced) = (Vec::new(), BTreeSet::new());
        for report in collector.requests() {
            spans.extend_from_slice(&report.body);
            let report: Value = serde_json::from_slice(&report.body)?;
            let cases = report.as_array().into_iter().flatten().map(|span| span["tags"]["case"].as_str());
            traced.extend(cases.flatten().map(str::to_owned));
        }
        let (directory, operators) = (&self.proxy.directory, &self.proxy.operators);
        for name in sinks::logs(operators).chain([sinks::UPSTREAM_LOG]) {
            self.outputs.insert(name.to_owned(), sinks::read_log(directory, name));
        }
        self.outputs.insert(sinks::SPANS.to_owned(), spans);
        let log = self.envoy.log() + &self.envoy.stdout();
        self.outputs.insert(sinks::ENVOY_LOG.to_owned(), log.into_bytes());
        for (name, target) in [
            (sinks::STATS, "/stats"),
            (sinks::PROMETHEUS, "/stats/prometheus"),
            (sinks::CONFIG_DUMP, "/config_dump?include_eds"),
        ] {
            let response = self.envoy.admin_get(target).await?;
            self.outputs.insert(name.to_owned(), response.body.to_vec());
        }
        Ok(traced)
    }

    /// Control: a request whose path becomes the name of a statistic.
    async fn leak_into_stats(&mut self) -> Result<()> {
        let mut plant = Planter::new(PROCESS);
        let path = format!("/{}/{}", plant.word("gRPC service"), plant.word("gRPC method"));
        let answer = Behaviour::Answer(200, vec![("grpc-status".to_owned(), "0".to_owned())], "".into());
        self.upstream.script(&path, answer);
        let request = Request::post(&path, "application/grpc", "");
        client::send(self.envoy.listener("path_in_stats"), Protocol::Http2, &request).await?;
        self.markers.extend(plant.finish());
        Ok(())
    }
}
