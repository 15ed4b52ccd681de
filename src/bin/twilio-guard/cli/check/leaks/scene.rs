//! What surrounds a sink: the filter's own configuration, the router and its routes.

use serde_json::Value;

use super::super::document::{field, is_true, list, member, text};
use super::super::find::is_our_filter;
use super::super::finding::Location;
use super::super::place::{self, Buffer};
use super::data::{RawHeaders, Scene};
use super::routes::{self, Routes};
use super::types;

/// The scene of a sink of which no surroundings are known.
pub(super) fn unknown(rewritten: bool, raw_headers: RawHeaders) -> Scene {
    Scene { rewritten, before_filter: false, raw_headers, raw_request_id: raw_headers, is_elsewhere: false }
}

/// An HTTP connection manager.
pub(super) struct Manager {
    pub(super) scene: Scene,
    /// Whether the filter is in the chain; `None` if it may be under a name that says nothing (ECDS).
    pub(super) has_filter: Option<bool>,
    /// Where `suppress_envoy_headers` belongs.
    pub(super) router: Location,
    /// Routes that rewrite the path while the router does not suppress its headers.
    pub(super) rewriting: Vec<String>,
    /// The routes come from elsewhere, and the router does not suppress its headers.
    pub(super) has_unknown_routes: bool,
}

impl Manager {
    /// Whether a node is a connection manager with a filter chain.
    pub(super) fn is(node: &Value) -> bool {
        !list(node, "", "http_filters").is_empty()
    }

    pub(super) fn read(node: &Value, at: &Location, elsewhere: &Routes) -> Self {
        let filters = list(node, &at.path, "http_filters");
        let ours = filters.iter().find(|(filter, _)| is_our_filter(filter));
        let is_unnamed = |filter: &Value| field(filter, "", "config_discovery").is_some();
        let has_filter = match ours {
            Some(_) => Some(true),
            None if filters.iter().any(|(filter, _)| is_unnamed(filter)) => None,
            None => Some(false),
        };
        let router = filters.iter().find(|(filter, _)| types::is_router(filter));
        let suppresses = router.is_some_and(|(filter, _)| {
            types::typed(filter, "").is_some_and(|typed| is_true(typed.value, "suppress_envoy_headers"))
        });
        let named = routes::discovered(node);
        let mut rewriting = routes::rewriting(node, &at.path);
        let mut has_unknown_routes = false;
        if let Some(name) = named {
            match elsewhere.named(name) {
                Some(found) => rewriting.extend(found.iter().cloned()),
                None => has_unknown_routes = true,
            }
        }
        if suppresses {
            rewriting.clear();
            has_unknown_routes = false;
        }
        let raw_headers = raw_headers(ours.map(|(filter, _)| *filter));
        let makes_ids = is_true(node, "use_remote_address") && !is_true(node, "preserve_external_request_id");
        let scene = Scene {
            rewritten: !rewriting.is_empty(),
            before_filter: flushes_early(node),
            raw_headers,
            raw_request_id: if makes_ids { RawHeaders::Unhandled } else { raw_headers },
            is_elsewhere: false,
        };
        let router = router.map_or_else(|| member(&at.path, "http_filters"), |(_, path)| path.clone());
        Self { scene, has_filter, router: at.at(router), rewriting, has_unknown_routes }
    }
}

/// `flush_access_log_on_new_request`, where it stands now and where it stood.
fn flushes_early(manager: &Value) -> bool {
    let name = "flush_access_log_on_new_request";
    is_true(manager, name)
        || field(manager, "", "access_log_options").is_some_and(|(options, _)| is_true(options, name))
}

/// Which requests keep their own headers under the configuration of a filter in a chain.
fn raw_headers(filter: Option<&Value>) -> RawHeaders {
    let at = Location { document: None, path: String::new() };
    let plugin = filter.and_then(|filter| super::super::find::wasm_plugin(filter, ""));
    let place = plugin.and_then(|(plugin, _)| {
        place::envoy(filter.and_then(|filter| text(filter, "name")), plugin, &at, Buffer::Unknown)
    });
    of_configuration(place.and_then(|place| place.config.tree()).as_ref())
}

/// Which requests keep their own headers under a configuration; one that cannot be read has the default, and may have
/// routes that verify nothing.
pub(super) fn of_configuration(config: Option<&Value>) -> RawHeaders {
    let Some(config) = config.filter(|config| config.is_object()) else { return RawHeaders::Unverified };
    let word = |node: &Value| {
        let word = node.get("redaction").and_then(|redaction| redaction.get("rewrite_headers"));
        word.and_then(Value::as_str).map(str::to_owned)
    };
    let top = word(config).unwrap_or_else(|| "protected".to_owned());
    let judge = |own: Option<String>, verify: Option<&Value>| {
        let verifies = verify.and_then(Value::as_str) != Some("none");
        match (own.as_deref().unwrap_or(&top), verifies) {
            ("all", _) | ("protected", true) => RawHeaders::Unhandled,
            (_, false) => RawHeaders::Unverified,
            (_, true) => RawHeaders::Verified,
        }
    };
    let routes = list(config, "", "routes").into_iter();
    let routes = routes.map(|(route, _)| judge(word(route), route.get("verify")));
    routes.chain([judge(None, config.get("default"))]).max().unwrap_or(RawHeaders::Unverified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_least_protected_rule_counts() {
        for (config, expected) in [
            (json!({"default": "twilio"}), RawHeaders::Unhandled),
            (json!({"default": "none"}), RawHeaders::Unverified),
            (json!({"default": "none", "redaction": {"rewrite_headers": "all"}}), RawHeaders::Unhandled),
            (json!({"default": "twilio", "redaction": {"rewrite_headers": "none"}}), RawHeaders::Verified),
            (
                json!({"default": "twilio", "routes": [{"verify": "none"}, {"verify": "twilio"}]}),
                RawHeaders::Unverified,
            ),
            (
                json!({"default": "deny", "redaction": {"rewrite_headers": "all"},
                    "routes": [{"verify": "sendgrid", "redaction": {"rewrite_headers": "none"}}]}),
                RawHeaders::Verified,
            ),
        ] {
            assert_eq!(of_configuration(Some(&config)), expected, "{config}");
        }
        assert_eq!(of_configuration(None), RawHeaders::Unverified);
    }
}
