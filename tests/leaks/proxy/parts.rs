//! Pieces of the proxy's configuration.

use serde_json::{Value, json};

use crate::support::config::UPSTREAM;
use crate::support::scenarios::ACCOUNT;

/// The filter's configuration.
pub fn plugin(listener: &str, generation: usize) -> Value {
    let mut plugin = json!({
        "public_url": "https://hooks.example.org",
        "accounts": [{"sid": ACCOUNT, "auth_tokens": [{"env": "TWILIO_AUTH_TOKEN", "label": "current"}]}],
        "default": if listener == "default_deny" { "deny" } else { "none" },
        "mode": if listener == "observe" { "observe" } else { "enforce" },
        "explain": true,
        "redaction": {"hash_key": {"env": "PHI_HASH_KEY"}},
        "routes": [
            {"name": format!("sms{generation}"), "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "events", "match": {"path": "/events"}, "verify": "twilio"},
            {"name": "media", "match": {"path": "/media"}, "verify": "twilio"},
            {"name": "call-status", "match": {"path_template": "/calls/{call}/status"}, "verify": "twilio"},
            {"name": "rewritten", "match": {"path": "/old/sms"}, "verify": "twilio"},
            {"name": "open", "match": {"path_prefix": "/open"}, "verify": "none"},
            {"name": "shut", "match": {"path_prefix": "/shut"}, "verify": "deny"},
        ],
    });
    match listener {
        "hold_body" => plugin["hold"] = "body".into(),
        "impatient" => plugin["limits"] = json!({"body_timeout": "100ms"}),
        _ => {}
    }
    plugin
}

/// Routes by which Envoy answers, changes or loses a request.
pub fn routes() -> Vec<Value> {
    let to = |path: &str, extra: Value| {
        let mut route = json!({"cluster": UPSTREAM});
        for (key, value) in extra.as_object().into_iter().flatten() {
            route[key] = value.clone();
        }
        json!({"match": {"prefix": path}, "route": route})
    };
    let number = json!({"pattern": {"regex": "^/number/(.*)$"}, "substitution": "/n/\\1"});
    let direct = json!({"status": 200, "body": {"inline_string": "ok"}});
    vec![
        to("/old/", json!({"prefix_rewrite": "/new/"})),
        to("/number/", json!({"regex_rewrite": number})),
        to("/lost/", json!({"cluster": "unhealthy", "prefix_rewrite": "/new/"})),
        to("/unhealthy", json!({"cluster": "unhealthy"})),
        to("/unreachable", json!({"cluster": "unreachable"})),
        to("/full", json!({"cluster": "full"})),
        to("/retry", json!({"retry_policy": {"retry_on": "reset", "num_retries": 2}})),
        to("/slow", json!({"timeout": "0.1s"})),
        json!({"match": {"prefix": "/nowhere"}, "route": {"cluster_header": "x-no-such-header"}}),
        json!({"match": {"prefix": "/moved"}, "redirect": {"https_redirect": true}}),
        json!({"match": {"prefix": "/direct"}, "direct_response": direct}),
    ]
}

/// Places a filter first.
pub fn prepend(manager: &mut Value, filter: Value) {
    if let Some(filters) = manager["http_filters"].as_array_mut() {
        filters.insert(0, filter);
    }
}

/// A filter that answers some requests itself.
pub fn denying_filter() -> Value {
    let code = "function envoy_on_request(handle)\n\
                if handle:headers():get('x-deny') then handle:respond({[':status'] = '403'}, 'denied') end\nend";
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    })
}

/// A filter that names statistics after paths.
pub fn stats_of_methods() -> Value {
    json!({
        "name": "envoy.filters.http.grpc_stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            "stats_for_all_methods": true,
        },
    })
}

/// A filter that sets what ours sets, but raw.
pub fn raw_filter_state() -> Value {
    let values = [
        ("path", "%REQ(:PATH)%"),
        ("user_agent", "%REQ(USER-AGENT)%"),
        ("referer", "%REQ(REFERER)%"),
        ("request_id", "%REQ(X-REQUEST-ID)%"),
        ("verdict", "verified"),
    ];
    let values = values.map(|(name, format)| {
        json!({
            "object_key": format!("wasm.twilio_guard.{name}"),
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {"inline_string": format}},
        })
    });
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": values,
        },
    })
}

/// By default no request whose id is not a UUID has a span.
pub fn trace_everything() -> Value {
    json!({"typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        "use_request_id_for_trace_sampling": false,
        "pack_trace_reason": false,
    }})
}
