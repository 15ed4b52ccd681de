//! Spans: the URL that Envoy puts into every one, and the tags that are configured.

use serde_json::Value;

use super::super::document::{bytes, field, list, member, text};
use super::super::finding::{Finding, Location, Severity};
use super::data::{self, Data, RawHeaders, Row, Scene};
use super::report::{Report, Use};
use super::{format, headers};

/// The span tag of the URL.
const URL_TAG: &str = "http.url";

/// A custom tag, in one form for every host.
pub(super) struct Tag<'v> {
    name: String,
    source: Source<'v>,
    path: String,
}

enum Source<'v> {
    Literal,
    Header { name: String, has_default: bool },
    Format(&'v str),
    Metadata,
}

/// The tags of `custom_tags` (a list) in Envoy.
pub(super) fn envoy_tags<'v>(node: &'v Value, path: &str) -> Vec<Tag<'v>> {
    let read = |(tag, path): (&'v Value, String)| {
        Some(Tag { name: text(tag, "tag")?.to_owned(), source: source(tag)?, path })
    };
    list(node, path, "custom_tags").into_iter().filter_map(read).collect()
}

/// The tags of `customTags` (a map) in Istio and Envoy Gateway.
pub(super) fn mapped_tags<'v>(node: &'v Value, path: &str) -> Vec<Tag<'v>> {
    let Some((Value::Object(tags), path)) = field(node, path, "custom_tags") else { return Vec::new() };
    let read = |(name, tag): (&String, &'v Value)| {
        Some(Tag { name: name.clone(), source: source(tag)?, path: member(&path, name) })
    };
    tags.iter().filter_map(read).collect()
}

fn source(tag: &Value) -> Option<Source<'_>> {
    for name in ["request_header", "header"] {
        if let Some((header, _)) = field(tag, "", name) {
            return Some(Source::Header {
                name: text(header, "name")?.to_ascii_lowercase(),
                has_default: text(header, "default_value").is_some_and(|value| !value.is_empty()),
            });
        }
    }
    if let Some((formatter, _)) = field(tag, "", "formatter") {
        return text(formatter, "value").map(Source::Format);
    }
    if let Some((metadata, _)) = field(tag, "", "metadata") {
        // Those of routes, clusters and hosts are written by the operator.
        let kind = field(metadata, "", "kind");
        let is_static = kind.is_some_and(|(kind, _)| field(kind, "", "request").is_none());
        return Some(if is_static { Source::Literal } else { Source::Metadata });
    }
    match text(tag, "value") {
        Some(format) => Some(Source::Format(format)),
        None => Some(Source::Literal),
    }
}

/// Whether Envoy is told to keep the path out of the URL.
pub(super) fn hides_path(tracing: &Value) -> bool {
    field(tracing, "", "max_path_tag_length")
        .is_some_and(|(length, _)| bytes(length).or_else(|| length.get("value").and_then(bytes)) == Some(0))
}

/// Whether tags replace the URL by something that is not raw.
pub(super) fn covers_url(tags: &[Tag<'_>]) -> bool {
    tags.iter().any(|tag| tag.name == URL_TAG)
}

/// Spans of a listener or mesh. `hides_path` as above.
pub(super) fn inspect(tags: &[Tag<'_>], hides_path: bool, at: &Location, scene: &Scene, report: &mut Report) {
    report.sink("tracing", at.clone());
    if scene.is_elsewhere {
        return;
    }
    tags.iter().for_each(|tag| self::tag(tag, at, scene, report));
    match tags.iter().find(|tag| tag.name == URL_TAG) {
        None if !hides_path => report.add(at.clone(), "the span tag http.url", RAW_URL),
        Some(tag) if !hides_path && tag.may_be_absent() => {
            report.add(at.at(tag.path.clone()), "the span tag http.url", ABSENT_TAG);
        }
        _ => {}
    }
    let is_replaced = |name: &str| tags.iter().any(|tag| tag.name == name);
    for (name, data, raw) in [
        ("user_agent", Data::UserAgent, scene.raw_headers),
        ("guid:x-request-id", Data::RequestId, scene.raw_request_id),
    ] {
        if raw == RawHeaders::Verified
            && !is_replaced(name)
            && let Some(row) = data::row(data, scene)
        {
            report.add(at.clone(), &format!("the span tag {name}"), Row { remedy: REPLACE_TAG, ..row });
        }
    }
    if let Some(name) = CLIENT_TAGS.iter().find(|name| !is_replaced(name)) {
        report.add(at.clone(), &format!("the span tag {name}"), CLIENT_TAG);
    }
}

/// Span tags of x-client-trace-id and x-envoy-downstream-service-cluster.
const CLIENT_TAGS: &[&str] = &["guid:x-client-trace-id", "downstream_cluster"];

const REPLACE_TAG: &str = "add a custom tag of this name with a literal value";

const CLIENT_TAG: Row = Row {
    severity: Severity::Warning,
    code: "trace_client_tag",
    problem: "shows whatever a client puts into the header that it is made of",
    remedy: "add custom tags guid:x-client-trace-id and downstream_cluster with a literal value",
};

/// A custom tag.
pub(super) fn tag(tag: &Tag<'_>, at: &Location, scene: &Scene, report: &mut Report) {
    let at = at.at(tag.path.clone());
    match &tag.source {
        Source::Literal => {}
        Source::Format(format) => report.format(format, &at, scene, Use::Log),
        Source::Header { name, .. } => {
            let is_allowed = report.allowed.contains(name);
            let data = headers::request(name);
            let row = data::row(data, scene).filter(|_| !(is_allowed && data == Data::UnlistedHeader));
            if let Some(row) = row {
                report.add(at, &format!("the request header {name}"), row);
            }
        }
        Source::Metadata => {
            if let Some(row) = data::row(Data::Metadata, scene) {
                report.add(at, "the tag", row);
            }
        }
    }
}

impl Tag<'_> {
    /// A tag that has no value does not replace the one that Envoy sets.
    fn may_be_absent(&self) -> bool {
        match &self.source {
            Source::Literal => false,
            Source::Header { has_default, .. } => !has_default,
            Source::Format(format) => !format::parse(format).has_text,
            Source::Metadata => true,
        }
    }
}

const RAW_URL: Row = Row {
    severity: Severity::Error,
    code: "trace_url",
    problem: "shows the path and query as they were sent (Envoy 1.40; before, on routes that rewrite the path)",
    remedy: "set max_path_tag_length: 0, and add a custom tag http.url with a host and %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%; in Istio and Envoy Gateway add it with a literal value, or with the request header x-envoy-original-path and a default value",
};

const ABSENT_TAG: Row = Row {
    severity: Severity::Warning,
    code: "trace_url_fallback",
    problem: "shows the path and query as they were sent where its replacement has no value, as while the VM is dead",
    remedy: "set max_path_tag_length: 0 as well, or put text such as the host in front; give a header a default value",
};

/// Tags of a route, which has no URL of its own.
pub(super) fn route_tags(tracing: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for tag in envoy_tags(tracing, &at.path) {
        self::tag(&tag, at, scene, report);
    }
}

/// A span name or another text of the tracing settings by a format.
pub(super) fn operations(tracing: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for name in ["operation", "upstream_operation"] {
        if let Some((format, path)) = field(tracing, &at.path, name) {
            report.formats(format, &at.at(path), scene, Use::Log);
        }
    }
}

/// Where providers are named and not defined.
pub(super) fn not_defined(at: Location) -> Finding {
    Finding::warning(
        "sink_not_known",
        at,
        "the provider is not defined in this file",
        "check the mesh configuration that defines it too (twilio-guard check --leaks FILE FILE)",
    )
}
