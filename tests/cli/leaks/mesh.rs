//! Istio and Envoy Gateway.

use serde_json::{Value, json};

use super::{Case, findings, leaks, log, router, summaries};

const PATH: &str = "%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%";

fn operator(mesh: &Value) -> Value {
    json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": {"meshConfig": mesh}})
}

fn provider(provider: Value) -> Value {
    let mut entry = json!({"name": "logs"});
    entry.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
    operator(&json!({"extensionProviders": [entry]}))
}

fn telemetry(spec: &Value) -> Value {
    json!({"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "t"}, "spec": spec})
}

fn proxy(telemetry: &Value) -> Value {
    json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyProxy", "metadata": {"name": "p"},
        "spec": {"telemetry": telemetry}})
}

fn virtual_service(route: &Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v"},
        "spec": {"hosts": ["a"], "http": [route]}})
}

fn router_patch() -> Value {
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "f"}, "spec": {
        "configPatches": [{"applyTo": "HTTP_FILTER", "patch": {"operation": "MERGE",
            "value": router(&json!({"suppress_envoy_headers": true}))}}]
    }})
}

fn manager_patch(fields: Value) -> Value {
    let mut manager = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"});
    manager.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "f"}, "spec": {
        "configPatches": [{"applyTo": "NETWORK_FILTER", "patch": {"operation": "MERGE",
            "value": {"typed_config": manager}}}]
    }})
}

pub(super) fn cases() -> Vec<Case> {
    let own = operator(&json!({"accessLogFile": "/dev/stdout", "accessLogFormat": PATH}));
    let file = |format: &Value| {
        provider(json!({"envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": format}}))
    };
    let text = file(&json!({"text": PATH}));
    let tags = |url: Value| {
        let literal = json!({"literal": {"value": "-"}});
        let mut tags = json!({"guid:x-client-trace-id": literal, "downstream_cluster": literal});
        tags.as_object_mut().unwrap().extend(url.as_object().unwrap().clone());
        tags
    };
    let url_tag =
        tags(json!({"http.url": {"header": {"name": "x-envoy-original-path", "defaultValue": "-"}}}));
    let literal = tags(json!({"http.url": {"literal": {"value": "redacted"}}}));
    let spans = |tags: &Value| telemetry(&json!({"tracing": [{"customTags": tags}]}));
    let sinks = |sink: Value, format: &Value| {
        proxy(&json!({"accessLog": {"settings": [{"format": format, "sinks": [sink]}]}}))
    };
    let stdout = json!({"type": "File", "file": {"path": "/dev/stdout"}});
    let json_format = json!({"type": "JSON", "json": {"path": PATH}});
    vec![
        Case {
            row: "Istio's default format",
            bad: operator(&json!({"accessLogFile": "/dev/stdout"})),
            finds: &["warning path_fallback", "warning raw_user_agent", "warning raw_request_id"],
            fixed: own.clone(),
        },
        Case {
            row: "Istio's format",
            bad: operator(&json!({"accessLogFile": "/dev/stdout", "accessLogFormat": "%REQ(:PATH)%"})),
            finds: &["error raw_path"],
            fixed: own.clone(),
        },
        Case {
            row: "Istio's JSON format",
            bad: operator(
                &json!({"accessLogEncoding": "JSON", "accessLogFormat": r#"{"q": "%QUERY_PARAMS(ORIG)%"}"#}),
            ),
            finds: &["error raw_query"],
            fixed: own.clone(),
        },
        Case {
            row: "envoyFileAccessLog",
            bad: file(&json!({"text": "%REQ(REFERER)%"})),
            finds: &["error raw_referer"],
            fixed: text.clone(),
        },
        Case {
            row: "envoyFileAccessLog with labels",
            bad: file(&json!({"labels": {"path": "%REQ(:PATH)%"}})),
            finds: &["error raw_path"],
            fixed: file(&json!({"labels": {"path": PATH}})),
        },
        Case {
            row: "envoyOtelAls",
            bad: provider(
                json!({"envoyOtelAls": {"service": "a", "port": 1, "logFormat": {"labels": {"p": "%PATH(WQ:PATH)%"}}}}),
            ),
            finds: &["error raw_path"],
            fixed: provider(
                json!({"envoyOtelAls": {"service": "a", "port": 1, "logFormat": {"text": PATH}}}),
            ),
        },
        Case {
            row: "envoyHttpAls",
            bad: provider(json!({"envoyHttpAls": {"service": "a", "port": 1}})),
            finds: &["error grpc_access_log"],
            fixed: text.clone(),
        },
        Case {
            row: "envoyTcpAls",
            bad: provider(json!({"envoyTcpAls": {"service": "a", "port": 1}})),
            finds: &["warning sink_not_known"],
            fixed: text.clone(),
        },
        Case {
            row: "the old access log service",
            bad: operator(&json!({"enableEnvoyAccessLogService": true})),
            finds: &["error grpc_access_log"],
            fixed: own.clone(),
        },
        Case {
            row: "tracing of a mesh",
            bad: operator(&json!({"enableTracing": true})),
            finds: &["error trace_url", "warning trace_client_tag"],
            fixed: json!([operator(&json!({"enableTracing": true})), spans(&literal)]),
        },
        Case {
            row: "tracing by defaultConfig",
            bad: operator(
                &json!({"accessLogFormat": PATH, "defaultConfig": {"tracing": {"sampling": 10, "customTags": tags(json!({}))}}}),
            ),
            finds: &["error trace_url"],
            fixed: operator(
                &json!({"accessLogFormat": PATH, "defaultConfig": {"tracing": {"customTags": literal}}}),
            ),
        },
        Case {
            row: "Telemetry tracing",
            bad: telemetry(
                &json!({"tracing": [{"randomSamplingPercentage": 10, "customTags": tags(json!({}))}]}),
            ),
            finds: &["error trace_url"],
            fixed: spans(&literal),
        },
        Case {
            row: "Telemetry tracing with the header",
            bad: spans(&url_tag),
            finds: &["warning path_fallback"],
            fixed: telemetry(&json!({"tracing": [{"disableSpanReporting": true}]})),
        },
        Case {
            row: "a provider that is defined elsewhere",
            bad: telemetry(&json!({"accessLogging": [{"providers": [{"name": "logs"}]}]})),
            finds: &["warning sink_not_known"],
            fixed: json!([telemetry(&json!({"accessLogging": [{"providers": [{"name": "logs"}]}]})), text]),
        },
        Case {
            row: "the provider of the mesh",
            bad: telemetry(&json!({"accessLogging": [{"providers": [{"name": "envoy"}]}]})),
            finds: &["warning path_fallback", "warning raw_user_agent", "warning raw_request_id"],
            fixed: json!([
                telemetry(&json!({"accessLogging": [{"providers": [{"name": "envoy"}]}]})),
                own.clone()
            ]),
        },
        Case {
            row: "a VirtualService that rewrites",
            bad: json!([
                virtual_service(&json!({"rewrite": {"uri": "/"}})),
                operator(&json!({"accessLogFormat": "%PATH%"}))
            ]),
            finds: &["error rewrite_unsuppressed", "error path_rewritten"],
            fixed: json!([virtual_service(&json!({"rewrite": {"uri": "/"}})), router_patch(), own.clone()]),
        },
        Case {
            row: "headers of a VirtualService",
            bad: json!([
                virtual_service(&json!({"headers": {
                    "request": {"set": {"x-envoy-original-path": "%REQ(:PATH)%"}, "remove": ["X-Envoy-Original-Path"]},
                    "response": {"add": {"x-p": "%REQ(:PATH)%"}},
                }})),
                own
            ]),
            finds: &["error redaction_undone", "error redaction_undone", "error raw_response"],
            fixed: json!([virtual_service(&json!({"headers": {"request": {"set": {"x-a": "b"}}}})), own]),
        },
        Case {
            row: "an EnvoyFilter with a log",
            bad: manager_patch(json!({"access_log": [log(&json!("%REQ(:PATH)%"))], "tracing": {}})),
            finds: &["error raw_path", "error trace_url", "warning trace_client_tag"],
            fixed: manager_patch(json!({"access_log": [log(&json!(PATH))]})),
        },
        Case {
            row: "debug logging of a sidecar",
            bad: json!([own, {"kind": "Pod", "metadata": {"annotations": {"sidecar.istio.io/componentLogLevel": "http:debug"}}}]),
            finds: &["error debug_log"],
            fixed: json!([own, {"kind": "Pod", "metadata": {"annotations": {"sidecar.istio.io/componentLogLevel": "wasm:debug"}}}]),
        },
        Case {
            row: "Envoy Gateway's default format",
            bad: proxy(&json!({})),
            finds: &["warning path_fallback", "warning raw_user_agent", "warning raw_request_id"],
            fixed: sinks(stdout.clone(), &json_format),
        },
        Case {
            row: "Envoy Gateway's format",
            bad: sinks(stdout.clone(), &json!({"type": "JSON", "json": {"path": "%REQ(:PATH)%"}})),
            finds: &["error raw_path"],
            fixed: sinks(stdout.clone(), &json!({"type": "Text", "text": PATH})),
        },
        Case {
            row: "Envoy Gateway's ALS",
            bad: sinks(json!({"type": "ALS", "als": {"type": "HTTP"}}), &json_format),
            finds: &["error grpc_access_log"],
            fixed: sinks(json!({"type": "OpenTelemetry", "openTelemetry": {}}), &json_format),
        },
        Case {
            row: "Envoy Gateway's tracing",
            bad: proxy(
                &json!({"accessLog": {"disable": true}, "tracing": {"provider": {}, "customTags": tags(json!({}))}}),
            ),
            finds: &["error trace_url"],
            fixed: proxy(&json!({"accessLog": {"disable": true}, "tracing": {"customTags": literal}})),
        },
        Case {
            row: "Envoy Gateway's own log",
            bad: json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyProxy", "metadata": {"name": "p"},
                "spec": {"logging": {"level": {"default": "debug"}}, "telemetry": {"accessLog": {"disable": true}, "tracing": {"customTags": literal}}}}),
            finds: &["error debug_log"],
            fixed: sinks(stdout, &json_format),
        },
    ]
}

#[test]
fn envoy_gateway_suppresses_the_headers_of_its_router_unless_it_is_told_not_to() {
    let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
        "spec": {"rules": [{"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath"}}}]}]}});
    let log = proxy(
        &json!({"accessLog": {"settings": [{"format": {"type": "Text", "text": "%PATH%"}, "sinks": []}]}}),
    );
    let policy = json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "ClientTrafficPolicy",
        "metadata": {"name": "c"}, "spec": {"headers": {"enableEnvoyHeaders": true}}});
    let found = |document: Value| summaries(&findings(&leaks(&document)));
    assert_eq!(found(json!([route, log])), ["warning path_fallback"]);
    assert_eq!(found(json!([route, log, policy])), ["error rewrite_unsuppressed", "error path_rewritten"]);
}

#[test]
fn the_mesh_configuration_is_found_in_a_config_map() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"},
        "data": {"mesh": "accessLogFile: /dev/stdout\naccessLogFormat: '%REQ(:PATH)%'\n"}});
    let found = findings(&leaks(&map));
    assert_eq!(summaries(&found), ["error raw_path"]);
    assert_eq!(found[0]["path"], "data.mesh.accessLogFormat");
}
