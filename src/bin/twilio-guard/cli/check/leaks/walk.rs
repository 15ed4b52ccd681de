//! The way through a document: every node once, with what is known of its surroundings.

use serde_json::Value;

use super::super::document::{field, member, text};
use super::super::find::is_our_filter;
use super::super::finding::{Finding, Location, Severity};
use super::data::{Row, Scene};
use super::facts::{self, Facts, children};
use super::report::{Report, Use};
use super::scene::Manager;
use super::{copies, debug, gateway, istio, logs, tracing, types};

/// Filters that run code or call a service of which nothing is known.
const OPAQUE_FILTERS: &[&str] = &[
    "filters.http.lua.v3.Lua",
    "filters.http.lua.v3.LuaPerRoute",
    "filters.http.wasm.v3.Wasm",
    "filters.http.golang.v3alpha.Config",
    "filters.http.dynamic_modules.v3.DynamicModuleFilter",
    "filters.http.ext_proc.v3.ExternalProcessor",
    "filters.http.ext_authz.v3.ExtAuthz",
];

const OPAQUE_FILTER: Row = Row {
    severity: Severity::Warning,
    code: "sink_not_known",
    problem: "may log or pass on requests as they were sent, which is not known",
    remedy: "make sure that its code, or the service that it calls, does not",
};

pub(super) struct Walk<'f> {
    pub(super) facts: &'f Facts,
    pub(super) report: Report,
}

impl Walk<'_> {
    /// A whole document.
    pub(super) fn document(&mut self, root: &Value, at: &Location) {
        let scene = self.facts.scene();
        self.node(root, at, &scene);
    }

    fn node(&mut self, node: &Value, at: &Location, scene: &Scene) {
        match node {
            Value::Array(_) => children(node, at).iter().for_each(|(item, at)| self.node(item, at, scene)),
            Value::Object(_) => self.object(node, at, scene),
            Value::String(text) => {
                let roots = super::embedded(text);
                roots.iter().for_each(|root| self.node(root, at, scene));
                if roots.is_empty() {
                    self.report.format(text, at, scene, Use::Copy);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, node: &Value, at: &Location, scene: &Scene) {
        debug::inspect(node, at, &mut self.report);
        if let (Some(kind), Some((spec, path))) = (text(node, "kind"), field(node, &at.path, "spec")) {
            self.rewriting_resource(kind, spec, &at.at(path.clone()));
            match kind {
                "Telemetry" => return istio::telemetry(spec, &at.at(path), self.facts, &mut self.report),
                "EnvoyProxy" => return self.envoy_proxy(spec, &at.at(path), scene),
                "WasmPlugin" | "TrafficExtension" | "EnvoyExtensionPolicy" => return,
                _ => {}
            }
        }
        if istio::is_mesh_config(node) {
            return istio::mesh(node, at, self.facts, &mut self.report);
        }
        let mut scene = *scene;
        if let Some(typed) = types::typed(node, "") {
            if is_our_filter(node) {
                return;
            }
            // Logs of other network filters are of connections and bytes.
            scene.is_elsewhere |= typed.name.starts_with("filters.network.") && !is_manager(typed.name);
            self.opaque(&typed, at);
        }
        if Manager::is(node) {
            return self.manager(node, at);
        }
        self.members(node, at, &scene);
    }

    /// EnvoyProxy: its telemetry, its log levels, and what it patches into the bootstrap.
    fn envoy_proxy(&mut self, spec: &Value, at: &Location, scene: &Scene) {
        gateway::proxy(spec, at, self.facts, &mut self.report);
        debug::inspect(spec, at, &mut self.report);
        if let Some((bootstrap, path)) = field(spec, &at.path, "bootstrap") {
            self.node(bootstrap, &at.at(path), scene);
        }
    }

    fn manager(&mut self, node: &Value, at: &Location) {
        self.report.is_about_sinks = true;
        let manager = Manager::read(node, at, &self.facts.routes);
        let logs =
            field(node, "", "access_log").is_some_and(|(logs, _)| logs.as_array() != Some(&Vec::new()));
        if (logs || field(node, "", "tracing").is_some()) && manager.has_filter != Some(true) {
            self.report.findings.push(filter_missing(manager.has_filter, at));
        }
        let before = self.report.findings.len();
        self.members(node, at, &manager.scene);
        let own = self.report.findings.get(before..).unwrap_or_default();
        let has = |code: &str| own.iter().any(|finding| finding.code == code);
        let is_printed = ["path_rewritten", "printed_before_filter", "trace_url"].into_iter().any(has);
        let depends_on_routes = has("path_fallback");
        if let Some(first) = manager.rewriting.first() {
            let routes = match manager.rewriting.len() {
                1 => format!("a route rewrites the path ({first})"),
                count => format!("{count} routes rewrite the path (the first: {first})"),
            };
            self.report.findings.push(unsuppressed(manager.router, &routes, is_printed));
        } else if manager.has_unknown_routes && depends_on_routes {
            self.report.findings.push(Finding::warning(
                "routes_not_known",
                manager.router,
                "the routes stand elsewhere: should one rewrite the path, the router replaces the redacted header by the raw path",
                "set suppress_envoy_headers: true on the router, or check the routes in the same run",
            ));
        }
    }

    /// Resources of a mesh that rewrite paths, where its routers do not suppress their headers.
    fn rewriting_resource(&mut self, kind: &str, spec: &Value, at: &Location) {
        if self.facts.mesh_suppresses() {
            return;
        }
        for path in facts::mesh_rewrites(kind, spec, &at.path) {
            self.report.findings.push(unsuppressed(at.at(path), "this rewrites the path", true));
        }
    }

    fn opaque(&mut self, typed: &types::Typed<'_>, at: &Location) {
        if OPAQUE_FILTERS.contains(&typed.name) {
            self.report.add(at.clone(), "the filter", OPAQUE_FILTER);
        }
        if matches!(typed.name, "filters.http.tap.v3.Tap" | "transport_sockets.tap.v3.Tap") {
            self.report.sink("tap", at.clone());
            self.report.findings.push(Finding::error(
                "tap",
                at.clone(),
                "records requests with path, headers and bodies as they were sent",
                "remove it",
            ));
        }
    }

    fn members(&mut self, node: &Value, at: &Location, scene: &Scene) {
        let Value::Object(members) = node else { return };
        let is_listener = field(node, "", "filter_chains").is_some();
        let is_manager =
            Manager::is(node) || types::of(node, String::new()).is_some_and(|t| is_manager(t.name));
        let mut elsewhere = *scene;
        elsewhere.is_elsewhere = true;
        for (key, value) in members {
            let at = at.at(member(&at.path, key));
            let report = &mut self.report;
            match snake_case(key).as_str() {
                // Connections, and requests of the admin interface.
                "access_log" if is_listener => logs::inspect_all(value, &at, &elsewhere, report),
                "admin" => self.node(value, &at, &elsewhere),
                "access_log" | "upstream_log" => logs::inspect_all(value, &at, scene, report),
                "tracing" if is_manager => {
                    let tags = tracing::envoy_tags(value, &at.path);
                    tracing::inspect(&tags, tracing::hides_path(value), &at, scene, report);
                    tracing::operations(value, &at, scene, report);
                }
                "tracing" => tracing::route_tags(value, &at, scene, report),
                "request_headers_to_add" => copies::request(value, &at, scene, report),
                "request_headers_to_remove" => copies::removed(value, &at, report),
                "mutations" => copies::mutations(value, &at, scene, report),
                "response_headers_to_add" | "local_reply_config" | "body_format" => {
                    report.formats(value, &at, scene, Use::Response);
                }
                "headers" => self.istio_headers(value, &at, scene),
                _ => self.node(value, &at, scene),
            }
        }
    }

    /// `headers` of a VirtualService.
    fn istio_headers(&mut self, value: &Value, at: &Location, scene: &Scene) {
        if let Some((request, path)) = field(value, &at.path, "request") {
            for name in ["set", "add"] {
                if let Some((map, path)) = field(request, &path, name) {
                    copies::request_map(map, &at.at(path), scene, &mut self.report);
                }
            }
            if let Some((names, path)) = field(request, &path, "remove") {
                copies::removed(names, &at.at(path), &mut self.report);
            }
        }
        if let Some((response, path)) = field(value, &at.path, "response") {
            self.report.formats(response, &at.at(path), scene, Use::Response);
        }
    }
}

fn is_manager(name: &str) -> bool {
    name == "filters.network.http_connection_manager.v3.HttpConnectionManager"
}

fn filter_missing(has_filter: Option<bool>, at: &Location) -> Finding {
    let remedy = "put the filter first in http_filters";
    match has_filter {
        Some(_) => Finding::error(
            "filter_missing",
            at.clone(),
            "logs or traces requests without the filter, so everything is printed as it was sent",
            remedy,
        ),
        None => Finding::warning(
            "filter_missing",
            at.clone(),
            "logs or traces requests, and whether one of its discovered filters is this one is not known",
            remedy,
        ),
    }
}

fn unsuppressed(at: Location, routes: &str, is_printed: bool) -> Finding {
    let (severity, effect) = if is_printed {
        (Severity::Error, "logs print the raw path")
    } else {
        (
            Severity::Warning,
            "the raw path goes upstream in x-envoy-original-path, where the next proxy may log it",
        )
    };
    let problem = format!("{routes}, and the router then replaces the redacted header: {effect}");
    let remedy = "set suppress_envoy_headers: true on the router (in Istio by an EnvoyFilter)";
    Finding { severity, ..Finding::error("rewrite_unsuppressed", at, &problem, remedy) }
}

/// The name of a protobuf field in its first spelling.
fn snake_case(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
