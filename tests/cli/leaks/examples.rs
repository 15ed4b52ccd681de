//! The examples that are shipped, and the forms in which findings are printed.

use serde_json::json;

use super::super::{file, files, root, run};
use super::{findings, summaries};

/// What the shipped examples may print: the cases that the host makes impossible.
const ALLOWED: &[&str] =
    &["path_fallback", "raw_user_agent", "raw_request_id", "raw_referer", "sink_not_known"];

#[test]
fn the_examples_that_are_shipped_have_no_leaks() {
    let mut checked = 0;
    for path in
        files("envoy").iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
    {
        let ran = run(&["check", "--leaks", "--json", path.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}: {ran:?}", path.display());
        for finding in findings(&ran) {
            assert!(ALLOWED.contains(&finding["code"].as_str().unwrap()), "{}: {finding}", path.display());
        }
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn findings_and_sinks_are_printed_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = file(&folder, "mesh.yaml", "meshConfig:\n  accessLogFormat: '%REQ(:PATH)%'\n");
    let ran = run(&["check", "--leaks", &mesh]);
    let lines: Vec<&str> =
        ran.bad().lines().map(|line| line.strip_prefix(&format!("{mesh}: ")).unwrap()).collect();
    assert_eq!(
        lines,
        [
            "error[raw_path]: meshConfig.accessLogFormat: %REQ(:PATH)% prints the path and query as they were sent; use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
            "sink (access_log) at meshConfig.accessLogFormat",
            "1 sink, 1 error, 0 warnings",
        ]
    );
    let json = run(&["check", "--leaks", "--json", &mesh]).json();
    assert_eq!(
        json["files"][0]["sinks"],
        json!([{"kind": "access_log", "document": null, "path": "meshConfig.accessLogFormat"}])
    );
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = file(&folder, "mesh.yaml", "meshConfig: {accessLogFile: /dev/stdout}\n");
    assert!(run(&["check", "--leaks", &mesh]).ok().contains("0 errors, 3 warnings"));
    assert_eq!(run(&["check", "--leaks", "--deny-warnings", &mesh]).code, 1);
}

#[test]
fn files_are_judged_together() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = "meshConfig: {extensionProviders: [{name: logs, envoyFileAccessLog: {logFormat: {text: '%PATH%'}}}]}\n";
    let mesh = file(&folder, "mesh.yaml", mesh);
    let telemetry = "kind: Telemetry\nspec: {accessLogging: [{providers: [{name: logs}]}]}\n";
    let telemetry = file(&folder, "telemetry.yaml", telemetry);
    let service =
        file(&folder, "service.yaml", "kind: VirtualService\nspec: {http: [{rewrite: {uri: /}}]}\n");
    let ran = run(&["check", "--leaks", "--json", &mesh, &telemetry]);
    let json = ran.json();
    assert_eq!(json["files"][1]["findings"], json!([]), "{ran:?}");
    assert_eq!(summaries(json["files"][0]["findings"].as_array().unwrap()), ["warning path_fallback"]);
    let json = run(&["check", "--leaks", "--json", &mesh, &service]).json();
    assert_eq!(summaries(json["files"][0]["findings"].as_array().unwrap()), ["error path_rewritten"]);
}

#[test]
fn every_bad_example_of_the_other_check_can_be_read() {
    for path in files("tests/cli/bad").iter().chain(&files("tests/cli/good")) {
        let ran = run(&["check", "--leaks", "--json", path.to_str().unwrap()]);
        assert!(ran.code < 2, "{}: {ran:?}", path.display());
        assert!(!ran.stdout.contains("MARKER"), "{}", path.display());
    }
    assert!(root().join("tests/cli/good").exists());
}
