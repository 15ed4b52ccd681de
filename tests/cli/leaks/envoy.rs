//! What stands around the logs of one Envoy.

use serde_json::{Value, json};

use super::{Case, filter, findings, guard, leaks, listener, log, logger, router, routes, summaries, typed};

const PATH: &str = "%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%";

fn loggers(bad: Value, fixed: &Value) -> (Value, Value) {
    (listener(json!({"access_log": [bad]})), listener(json!({"access_log": [fixed]})))
}

fn filters(filters: &[Value]) -> Value {
    listener(json!({"http_filters": filters}))
}

fn tracing(tracing: &Value) -> Value {
    listener(json!({"tracing": tracing}))
}

fn plugin(change: impl Fn(&mut Value)) -> Value {
    let mut guard = guard(&json!({}));
    change(&mut guard["typed_config"]["config"]);
    filters(&[guard, router(&json!({}))])
}

fn route(fields: &Value) -> Value {
    let mut route = json!({"match": {"prefix": "/"}, "route": {"cluster": "app"}});
    route.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    listener(json!({"route_config": routes(&json!([route]))}))
}

pub(super) fn cases() -> Vec<Case> {
    let lines = log(&json!(PATH));
    let otel =
        logger("open_telemetry.v3.OpenTelemetryAccessLogConfig", &json!({"body": {"string_value": PATH}}));
    let (als, otlp) =
        loggers(logger("grpc.v3.HttpGrpcAccessLogConfig", &json!({"common_config": {}})), &otel);
    let (tcp_als, _) = loggers(logger("grpc.v3.TcpGrpcAccessLogConfig", &json!({})), &otel);
    let (wasm_log, plain) = loggers(logger("wasm.v3.WasmAccessLog", &json!({"config": {}})), &lines);
    let from_file = json!({"log_format": {"text_format_source": {"filename": "/etc/format"}}});
    let (outside, _) = loggers(logger("stream.v3.StdoutAccessLog", &from_file), &lines);
    let tags = |own: Value| {
        let mut tags = json!([
            {"tag": "guid:x-client-trace-id", "literal": {"value": "-"}},
            {"tag": "downstream_cluster", "literal": {"value": "-"}},
        ]);
        tags.as_array_mut().unwrap().extend(own.as_array().unwrap().clone());
        tags
    };
    let url_tag = tags(json!([{"tag": "http.url", "value": PATH}]));
    let with_host = tags(json!([{"tag": "http.url", "value": format!("https://hooks.example.org{PATH}")}]));
    let safe_spans = json!({"max_path_tag_length": 0, "custom_tags": url_tag});
    let silent = json!({"redaction": {"rewrite_headers": "none"}});
    let with_router = |filter: Value| filters(&[filter, router(&json!({}))]);
    let fixed = || listener(json!({}));
    vec![
        Case { row: "gRPC ALS", bad: als, finds: &["error grpc_access_log"], fixed: otlp.clone() },
        Case { row: "gRPC ALS of TCP", bad: tcp_als, finds: &["warning sink_not_known"], fixed: otlp },
        Case {
            row: "wasm access logger",
            bad: wasm_log,
            finds: &["warning sink_not_known"],
            fixed: plain.clone(),
        },
        Case {
            row: "format in another file",
            bad: outside,
            finds: &["warning sink_not_known"],
            fixed: plain,
        },
        Case {
            row: "log at the start of a request",
            bad: listener(json!({
                "access_log_options": {"flush_access_log_on_new_request": true},
                "access_log": [log(&json!("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"))],
            })),
            finds: &["error printed_before_filter"],
            fixed: listener(json!({"access_log_options": {"flush_access_log_on_new_request": true}})),
        },
        Case {
            row: "upstream log of the router",
            bad: filters(&[
                guard(&json!({})),
                router(&json!({"upstream_log": [log(&json!("%REQ(:PATH)%"))]})),
            ]),
            finds: &["error raw_path"],
            fixed: filters(&[guard(&json!({})), router(&json!({"upstream_log": [log(&json!(PATH))]}))]),
        },
        Case {
            row: "http.url",
            bad: tracing(&json!({"custom_tags": tags(json!([]))})),
            finds: &["error trace_url"],
            fixed: tracing(&safe_spans),
        },
        Case {
            row: "http.url whose replacement may be absent",
            bad: tracing(&json!({"custom_tags": url_tag})),
            finds: &["warning trace_url_fallback"],
            fixed: tracing(&json!({"custom_tags": with_host})),
        },
        Case {
            row: "span tags of what clients send",
            bad: tracing(&json!({"max_path_tag_length": {"value": 0}})),
            finds: &["warning trace_client_tag"],
            fixed: tracing(&safe_spans),
        },
        Case {
            row: "tags of request headers",
            bad: tracing(&json!({"max_path_tag_length": 0, "custom_tags": tags(json!([
                {"tag": "a", "request_header": {"name": ":path"}},
                {"tag": "b", "request_header": {"name": "Cookie"}},
                {"tag": "c", "value": "%QUERY_PARAM(From)%"},
                {"tag": "d", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "x"}}},
                {"tag": "e", "request_header": {"name": "X-Patient"}},
            ]))})),
            finds: &[
                "error raw_path",
                "error credential",
                "error raw_query",
                "error raw_metadata",
                "error unlisted_header",
            ],
            fixed: tracing(&json!({"max_path_tag_length": 0, "custom_tags": tags(json!([
                {"tag": "a", "literal": {"value": "x"}},
                {"tag": "d", "metadata": {"kind": {"route": {}}, "metadata_key": {"key": "x"}}},
                {"tag": "e", "environment": {"name": "POD"}},
            ]))})),
        },
        Case {
            row: "tags of a route",
            bad: route(
                &json!({"tracing": {"custom_tags": [{"tag": "r", "request_header": {"name": "referer"}}]}}),
            ),
            finds: &["warning raw_referer"],
            fixed: route(&json!({"tracing": {"custom_tags": [{"tag": "r", "literal": {"value": "x"}}]}})),
        },
        Case {
            row: "span tags of headers that no one rewrites",
            bad: listener(
                json!({"tracing": safe_spans, "http_filters": [guard(&silent), router(&json!({}))]}),
            ),
            finds: &["error raw_user_agent", "error raw_request_id"],
            fixed: tracing(&safe_spans),
        },
        Case {
            row: "x-envoy-original-path that goes upstream",
            bad: route(&json!({"route": {"cluster": "app", "prefix_rewrite": "/b"}})),
            finds: &["warning rewrite_unsuppressed"],
            fixed: listener(json!({
                "http_filters": [guard(&json!({})), router(&json!({"suppress_envoy_headers": true}))],
                "route_config": routes(&json!([{"match": {"prefix": "/"}, "route": {"prefix_rewrite": "/b"}}])),
            })),
        },
        Case {
            row: "routes from elsewhere",
            bad: listener(json!({
                "route_config": null,
                "rds": {"route_config_name": "app"},
                "access_log": [log(&json!("%PATH%"))],
            })),
            finds: &["warning path_fallback", "warning routes_not_known"],
            fixed: listener(json!({"route_config": null, "rds": {"route_config_name": "app"}})),
        },
        Case {
            row: "no filter",
            bad: with_router(filter("cors.v3.Cors", &json!({}))),
            finds: &["error filter_missing"],
            fixed: fixed(),
        },
        Case {
            row: "an earlier filter answers",
            bad: filters(&[filter("rbac.v3.RBAC", &json!({})), guard(&json!({})), router(&json!({}))]),
            finds: &["error filter_not_first"],
            fixed: filters(&[guard(&json!({})), filter("rbac.v3.RBAC", &json!({})), router(&json!({}))]),
        },
        Case {
            row: "a dead VM lets requests pass",
            bad: plugin(|plugin| plugin["failure_policy"] = json!("FAIL_OPEN")),
            finds: &["error fail_open"],
            fixed: plugin(|plugin| plugin["failure_policy"] = json!("FAIL_RELOAD")),
        },
        Case {
            row: "a route without the filter",
            bad: route(&json!({"typed_per_filter_config": {"twilio-guard": {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true
            }}})),
            finds: &["error filter_disabled"],
            fixed: fixed(),
        },
        Case {
            row: "upgrades without the filter",
            bad: listener(
                json!({"upgrade_configs": [{"upgrade_type": "websocket", "filters": [router(&json!({}))]}]}),
            ),
            finds: &["error upgrade_filters"],
            fixed: listener(json!({"upgrade_configs": [{"upgrade_type": "websocket"}]})),
        },
        Case {
            row: "secrets in the config dump",
            bad: plugin(|plugin| {
                plugin["vm_config"]["environment_variables"] = json!({"key_values": {"TOKEN": "MARKER"}});
            }),
            finds: &["error inline_secret"],
            fixed: fixed(),
        },
        Case {
            row: "tap",
            bad: filters(&[guard(&json!({})), filter("tap.v3.Tap", &json!({})), router(&json!({}))]),
            finds: &["error tap"],
            fixed: fixed(),
        },
        Case {
            row: "filters that run code",
            bad: filters(&[guard(&json!({})), filter("lua.v3.Lua", &json!({})), router(&json!({}))]),
            finds: &["warning sink_not_known"],
            fixed: fixed(),
        },
        Case {
            row: "debug logging",
            bad: json!([listener(json!({})), {"containers": [{"args": ["-c", "envoy.yaml", "--component-log-level", "wasm:debug,http:debug"]}]}]),
            finds: &["error debug_log"],
            fixed: json!([listener(json!({})), {"containers": [{"args": ["-c", "envoy.yaml", "--component-log-level", "wasm:debug"]}]}]),
        },
        Case {
            row: "raw data in answers",
            bad: listener(json!({
                "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "no %REQ(:PATH)%"}}},
                "route_config": {"response_headers_to_add": [{"header": {"key": "x-p", "value": "%QUERY_PARAM(From)%"}}], "virtual_hosts": []},
            })),
            finds: &["error raw_response", "error raw_response"],
            fixed: listener(json!({
                "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}},
            })),
        },
        Case {
            row: "raw data in another header",
            bad: route(
                &json!({"request_headers_to_add": [{"header": {"key": "x-original-uri", "value": "%REQ(:PATH)%"}}]}),
            ),
            finds: &["warning raw_copy"],
            fixed: route(
                &json!({"request_headers_to_add": [{"header": {"key": "x-a", "value": "%REQ(:METHOD)%"}}]}),
            ),
        },
        Case {
            row: "redaction that is undone",
            bad: route(&json!({
                "request_headers_to_add": [{"header": {"key": "X-Envoy-Original-Path", "value": "%REQ(:PATH)%"}}],
                "request_headers_to_remove": ["x-envoy-original-path"],
            })),
            finds: &["error redaction_undone", "error redaction_undone"],
            fixed: route(&json!({"request_headers_to_remove": ["x-b"]})),
        },
        Case {
            row: "a file without logs",
            bad: json!({"services": ["a"]}),
            finds: &["error sinks_not_found"],
            fixed: fixed(),
        },
    ]
}

#[test]
fn every_way_to_rewrite_a_path_counts_and_no_other() {
    let rewrites = |route: &Value| {
        let listener = listener(json!({
            "access_log": [log(&json!("%PATH%"))],
            "route_config": routes(&json!([route])),
        }));
        findings(&leaks(&listener)).iter().any(|finding| finding["code"] == "path_rewritten")
    };
    for fields in [
        json!({"prefix_rewrite": "/"}),
        json!({"regexRewrite": {"pattern": {"regex": "a"}, "substitution": "b"}}),
        json!({"path_rewrite_policy": {"name": "t", "typed_config": {}}}),
        json!({"path_rewrite": "/x"}),
    ] {
        assert!(rewrites(&json!({"match": {"prefix": "/"}, "route": fields})), "{fields}");
    }
    for fields in [json!({"prefix_rewrite": "/"}), json!({"regex_rewrite": {"substitution": "b"}})] {
        assert!(rewrites(&json!({"match": {"prefix": "/"}, "redirect": fields})), "{fields}");
    }
    for route in [
        json!({"route": {"cluster": "a", "host_rewrite_literal": "b", "prefix_rewrite": ""}}),
        json!({"redirect": {"path_redirect": "/a", "host_redirect": "b", "https_redirect": true}}),
        json!({"direct_response": {"status": 200}}),
    ] {
        assert!(!rewrites(&route), "{route}");
    }
}

#[test]
fn routes_of_rds_are_found_in_the_same_run() {
    let manager = listener(json!({
        "route_config": null,
        "rds": {"route_config_name": "app"},
        "access_log": [log(&json!("%PATH%"))],
    }));
    let harmless = routes(&json!([{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]));
    let rewriting =
        routes(&json!([{"match": {"prefix": "/"}, "route": {"cluster": "app", "prefix_rewrite": "/"}}]));
    let found = |routes: Value| summaries(&findings(&leaks(&json!([manager, routes]))));
    assert_eq!(found(harmless), ["warning path_fallback"]);
    assert_eq!(found(rewriting), ["error path_rewritten", "error rewrite_unsuppressed"]);
}

#[test]
fn logs_of_connections_and_of_the_admin_interface_print_no_request() {
    let raw = log(&json!("%REQ(:PATH)%"));
    let mut listener = listener(json!({}));
    listener["access_log"] = json!([raw]);
    let tcp = json!({"name": "tcp", "typed_config": typed("filters.network.tcp_proxy.v3.TcpProxy", &json!({"access_log": [raw]}))});
    let document = json!({
        "admin": {"access_log": [raw]},
        "static_resources": {"listeners": [listener, {"filter_chains": [{"filters": [tcp]}]}]},
    });
    let ran = leaks(&document);
    assert_eq!(findings(&ran), Vec::<Value>::new());
    assert_eq!(ran.json()["files"][0]["sinks"].as_array().unwrap().len(), 4, "they are seen");
}

#[test]
fn a_discovered_filter_may_be_the_filter() {
    let discovered = |name: &str| json!({"name": name, "config_discovery": {"config_source": {"ads": {}}}});
    let found = |name: &str| {
        let filters = json!([discovered(name), router(&json!({}))]);
        summaries(&findings(&leaks(&listener(json!({"http_filters": filters})))))
    };
    assert_eq!(found("twilio-guard"), Vec::<String>::new());
    assert_eq!(found("extensions.istio.io/wasmplugin/clinic.hooks"), ["warning filter_missing"]);
}
