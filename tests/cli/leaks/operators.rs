//! What formats print.

use serde_json::{Value, json};

use super::{Case, findings, guard, leaks_with, listener, log, logger, router, routes, summaries};

/// A listener with one access logger.
pub(super) fn with(format: &str) -> Value {
    listener(json!({"access_log": [log(&json!(format))]}))
}

const PATH: &str = "%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%";
const USER_AGENT: &str = "%FILTER_STATE(wasm.twilio_guard.user_agent:PLAIN)%";
const REFERER: &str = "%FILTER_STATE(wasm.twilio_guard.referer:PLAIN)%";

pub(super) fn cases() -> Vec<Case> {
    let format = |row, bad: &str, finds, fixed: &str| Case { row, bad: with(bad), finds, fixed: with(fixed) };
    let rewrite = json!([{"match": {"prefix": "/a"}, "route": {"cluster": "app", "prefix_rewrite": "/b"}}]);
    let rewriting = |format: &str, suppress: bool| {
        listener(json!({
            "access_log": [log(&json!(format))],
            "route_config": routes(&rewrite),
            "http_filters": [guard(&json!({})), router(&json!({"suppress_envoy_headers": suppress}))],
        }))
    };
    let headers = |format: &str, mode: &str| {
        listener(json!({
            "access_log": [log(&json!(format))],
            "http_filters": [guard(&json!({"redaction": {"rewrite_headers": mode}})), router(&json!({}))],
        }))
    };
    vec![
        format("default format", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", &["warning path_fallback"], PATH),
        Case {
            row: "default format on a rewriting route",
            bad: rewriting("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", false),
            finds: &["error path_rewritten", "error rewrite_unsuppressed"],
            fixed: rewriting(PATH, true),
        },
        format("REQ(:PATH)", "%REQ(:PATH)%", &["error raw_path"], PATH),
        format("REQ(:PATH) with a length", "%REQ(:path):8%", &["error raw_path"], PATH),
        format(
            "REQ with an alternative",
            "%REQ(:PATH?X-ENVOY-ORIGINAL-PATH)%",
            &["error raw_path", "warning path_fallback"],
            PATH,
        ),
        format("REQUEST_HEADER", "%REQUEST_HEADER(:PATH)%", &["error raw_path"], PATH),
        format("STREAM_INFO_REQ", "%STREAM_INFO_REQ(:PATH)%", &["error raw_path"], PATH),
        format("PATH(WQ:PATH)", "%PATH(WQ:PATH)%", &["error raw_path"], PATH),
        format(
            "PATH and PATH(WQ)",
            "%PATH% %PATH(WQ)%",
            &["warning path_fallback", "warning path_fallback"],
            PATH,
        ),
        Case {
            row: "PATH() on a rewriting route",
            bad: rewriting("%PATH(WQ)%", false),
            finds: &["error path_rewritten", "error rewrite_unsuppressed"],
            fixed: rewriting(PATH, true),
        },
        format("PATH(NQ:PATH)", "%PATH(NQ:PATH)%", &["error raw_path_segments"], PATH),
        Case {
            row: "PATH(NQ) on a rewriting route",
            bad: rewriting("%PATH(NQ)%", false),
            finds: &["error path_rewritten", "error rewrite_unsuppressed"],
            fixed: rewriting(PATH, true),
        },
        format("REQ_WITHOUT_QUERY", "%REQ_WITHOUT_QUERY(:PATH)%", &["error raw_path_segments"], PATH),
        format("QUERY_PARAM", "%QUERY_PARAM(From)%", &["error raw_query"], PATH),
        format("QUERY_PARAMS", "%QUERY_PARAMS(ORIG)%", &["error raw_query"], PATH),
        Case {
            row: "REQ(REFERER) that no one rewrites",
            bad: headers("%REQ(REFERER)%", "none"),
            finds: &["error raw_referer"],
            fixed: headers(REFERER, "none"),
        },
        Case {
            row: "REQ(REFERER) on routes that verify nothing",
            bad: listener(json!({
                "access_log": [log(&json!("%REQ(REFERER)%"))],
                "http_filters": [guard(&json!({"default": "none"})), router(&json!({}))],
            })),
            finds: &["error raw_referer"],
            fixed: with(REFERER),
        },
        Case {
            row: "REQ(USER-AGENT) that no one rewrites",
            bad: headers("%REQ(USER-AGENT)%", "none"),
            finds: &["error raw_user_agent"],
            fixed: headers(USER_AGENT, "none"),
        },
        Case {
            row: "REQ(X-REQUEST-ID) that no one rewrites",
            bad: headers("%REQ(X-REQUEST-ID)% %STREAM_ID%", "none"),
            finds: &["error raw_request_id", "error raw_request_id"],
            fixed: headers("%FILTER_STATE(wasm.twilio_guard.request_id:PLAIN)%", "none"),
        },
        format(
            "headers that are rewritten",
            "%REQ(USER-AGENT)% %REQ(REFERER)%",
            &["warning raw_user_agent", "warning raw_referer"],
            USER_AGENT,
        ),
        format(
            "credentials",
            "%REQ(COOKIE)% %REQ(Authorization)% %RESP(set-cookie)%",
            &["error credential"; 3],
            PATH,
        ),
        format(
            "signatures",
            "%REQ(X-TWILIO-SIGNATURE)% %REQ(X-Twilio-Email-Event-Webhook-Signature)%",
            &["error signature"; 2],
            "%FILTER_STATE(wasm.twilio_guard.verdict:PLAIN)%",
        ),
        format(
            "headers that repeat the URL",
            "%REQ(X-FORWARDED-URI)% %REQ(X-ORIGINAL-URL)%",
            &["error raw_url_header", "warning raw_url_header"],
            PATH,
        ),
        format(
            "headers that are not known",
            "%REQ(X-Patient)% %RESP(X-Patient)% %TRAILER(grpc-message)%",
            &["error unlisted_header"; 3],
            "%REQ(CONTENT-TYPE)% %RESP(content-type)% %TRAILER(grpc-status)%",
        ),
        format("RESP(LOCATION) of redirects", "%RESP(LOCATION)%", &["error raw_location"], PATH),
        format(
            "DYNAMIC_METADATA",
            "%DYNAMIC_METADATA(envoy.lua:x)% %METADATA(DYNAMIC:a:b)%",
            &["error raw_metadata"; 2],
            "%METADATA(ROUTE:a:b)%",
        ),
        format(
            "filter state of others",
            "%FILTER_STATE(wasm.other:PLAIN)%",
            &["warning sink_not_known"],
            PATH,
        ),
        format("CEL", "%CEL(request.path)%", &["error raw_expression"], "%CEL(response.code)%"),
        format(
            "COALESCE",
            r#"%COALESCE({"operators": [{"command": "REQ", "param": ":path"}]})%"#,
            &["error raw_path"],
            PATH,
        ),
        format("operators of the future", "%ALL_OF_IT%", &["warning operator_not_known"], PATH),
        format(
            "secrets",
            "%ENVIRONMENT(TWILIO_AUTH_TOKEN)%",
            &["error printed_secret"],
            "%ENVIRONMENT(POD_NAME)%",
        ),
        format("a format that Envoy refuses", "100% sure", &["warning format_invalid"], "100%% sure"),
    ]
}

#[test]
fn formats_are_found_wherever_loggers_have_them() {
    let raw = "%REQ(:PATH)%";
    let source = json!({"text_format_source": {"inline_string": raw}});
    for (kind, fields) in [
        ("file.v3.FileAccessLog", json!({"path": "/dev/stdout", "log_format": {"text_format": raw}})),
        (
            "file.v3.FileAccessLog",
            json!({"path": "/dev/stdout", "logFormat": {"textFormatSource": {"inlineString": raw}}}),
        ),
        ("file.v3.FileAccessLog", json!({"path": "/dev/stdout", "format": raw})),
        ("file.v3.FileAccessLog", json!({"path": "/dev/stdout", "json_format": {"a": raw}})),
        ("file.v3.FileAccessLog", json!({"path": "/dev/stdout", "typed_json_format": {"a": raw}})),
        ("stream.v3.StderrAccessLog", json!({"log_format": {"json_format": {"a": {"b": [{"c": raw}]}}}})),
        ("open_telemetry.v3.OpenTelemetryAccessLogConfig", json!({"body": {"string_value": raw}})),
        (
            "open_telemetry.v3.OpenTelemetryAccessLogConfig",
            json!({"attributes": {"values": [{"key": "url", "value": {"string_value": raw}}]}}),
        ),
        ("fluentd.v3.FluentdAccessLogConfig", json!({"record": {"a": raw}})),
        (
            "stats.v3.Config",
            json!({"counters": [{"stat": {"name": "a", "tags": [{"name": "t", "value_format": raw}]}}]}),
        ),
        ("stream.v3.StdoutAccessLog", json!({"log_format": source})),
    ] {
        let ran = leaks_with(&listener(json!({"access_log": [logger(kind, &fields)]})), &[]);
        let found = findings(&ran);
        assert_eq!(summaries(&found), ["error raw_path"], "{kind} {fields}");
        assert!(found[0]["path"].as_str().unwrap().contains("access_log[0].typed_config."), "{found:?}");
    }
}

#[test]
fn a_log_without_a_format_prints_envoys_default() {
    for (config, expected) in [
        (json!({}), &["warning path_fallback"][..]),
        (
            json!({"default": "none"}),
            &["warning path_fallback", "warning raw_user_agent", "warning raw_request_id"],
        ),
        (
            json!({"redaction": {"rewrite_headers": "none"}}),
            &["warning path_fallback", "error raw_user_agent", "error raw_request_id"],
        ),
        (json!({"default": "none", "redaction": {"rewrite_headers": "all"}}), &["warning path_fallback"]),
    ] {
        let listener = listener(json!({
            "access_log": [logger("file.v3.FileAccessLog", &json!({"path": "/dev/stdout"}))],
            "http_filters": [guard(&config), router(&json!({}))],
        }));
        assert_eq!(summaries(&findings(&leaks_with(&listener, &[]))), expected, "{config}");
    }
}

#[test]
fn a_header_can_be_vouched_for() {
    let format = with("%REQ(X-Tenant)% %RESP(X-Tenant)% %REQ(COOKIE)%");
    let found = findings(&leaks_with(&format, &["--allow-header", "x-tenant", "--allow-header", "cookie"]));
    assert_eq!(summaries(&found), ["error credential"], "credentials cannot");
}

#[test]
fn values_of_a_format_are_not_repeated() {
    let ran = leaks_with(&with("password=hunter2 %REQ(:PATH)% %CEL(request.path == 'hunter2')%"), &[]);
    assert_eq!(ran.code, 1);
    assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
}
