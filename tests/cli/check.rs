//! `check`: every finding has an example that has it, and good examples have none.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Run, TOKEN, file, files, root, run};

/// What a bad example says of itself: lines `# finds: error code [#document] [path] [config path]`.
fn expected(text: &str, name: &str) -> Vec<String> {
    // JSON has no comments.
    match name {
        "unknown-key.json" => return vec!["error configuration_invalid publicurl".to_owned()],
        "twice.json" => return vec!["error configuration_invalid default".to_owned()],
        _ => {}
    }
    text.lines().filter_map(|line| line.strip_prefix("# finds: ")).map(str::to_owned).collect()
}

fn found(finding: &Value) -> String {
    let document = finding["document"].as_u64().map(|document| format!("#{document}")).unwrap_or_default();
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    assert!(!text("problem").is_empty() && !text("remedy").is_empty(), "{finding}");
    let parts = [text("severity"), text("code"), document, text("path"), text("config_path")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_bad_example_has_exactly_its_findings() {
    let mut codes = BTreeSet::new();
    for path in files("tests/cli/bad") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = expected(&std::fs::read_to_string(&path).unwrap(), name);
        assert!(!expected.is_empty(), "{name} says what it finds");
        let ran = run(&["check", "--json", path.to_str().unwrap()]);
        let findings = ran.json()["files"][0]["findings"].as_array().unwrap().clone();
        let found: Vec<String> = findings.iter().map(found).collect();
        assert_eq!(found, expected, "{name}");
        let has_error = expected.iter().any(|line| line.starts_with("error"));
        assert_eq!(ran.code, i32::from(has_error), "{name}");
        assert_eq!(run(&["check", "--deny-warnings", path.to_str().unwrap()]).code, 1, "{name}");
        for finding in &findings {
            codes.insert(finding["code"].as_str().unwrap().to_owned());
        }
        let text = run(&["check", path.to_str().unwrap()]);
        assert_eq!(
            text.stdout.lines().filter(|line| line.contains("]: ")).count(),
            expected.len(),
            "{text:?}"
        );
    }
    let docs = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let documented: BTreeSet<String> = docs
        .split("### Leaks")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(_, rest)| rest.starts_with("error") || rest.starts_with("warning"))
        .map(|(code, _)| code.to_owned())
        .collect();
    assert_eq!(codes, documented, "docs/cli.md lists the codes that there are examples of");
}

#[test]
fn good_examples_have_no_findings() {
    for path in files("tests/cli/good") {
        let path = path.to_str().unwrap();
        let ran = run(&["check", "--deny-warnings", path]);
        assert!(ran.ok().ends_with("0 errors, 0 warnings"), "{ran:?}");
    }
}

#[test]
fn the_examples_that_are_shipped_have_no_findings() {
    for file in ["envoy/quickstart.yaml", "envoy/replay-redis.yaml"] {
        let ran = run(&["check", "--deny-warnings", file]);
        assert!(ran.ok().ends_with("1 configuration, 0 errors, 0 warnings"), "{ran:?}");
    }
    let ran = run(&["check", "--leaks", "--deny-warnings", "envoy/replay-redis.yaml"]);
    assert!(ran.ok().ends_with("1 sink, 0 errors, 0 warnings"), "{ran:?}");
}

#[test]
fn every_configuration_of_a_file_is_found() {
    let json = run(&["check", "--json", "tests/cli/good/istio.yaml"]).json();
    let found: Vec<(u64, &str, &str)> = json["files"][0]["configurations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| {
            (
                place["document"].as_u64().unwrap(),
                place["kind"].as_str().unwrap(),
                place["path"].as_str().unwrap(),
            )
        })
        .collect();
    let expected =
        [(1, "wasm_plugin", "spec.pluginConfig"), (2, "traffic_extension", "spec.wasm.pluginConfig")];
    assert_eq!(found, expected);
    let json = run(&["check", "--json", "tests/cli/good/upgrade.yaml"]).json();
    assert_eq!(json["files"][0]["configurations"].as_array().unwrap().len(), 2);
}

#[test]
fn several_files_and_standard_input_are_checked() {
    let good = std::fs::read(root().join("tests/cli/good/alone.yaml")).unwrap();
    let ran = Run::new(&["check", "-", "envoy/quickstart.yaml", "tests/cli/bad/fail-open-flag.yaml"])
        .input(&good)
        .go();
    let text = ran.bad();
    assert!(text.contains("-: 1 configuration, 0 errors"), "{text}");
    assert!(text.contains("envoy/quickstart.yaml: 1 configuration, 0 errors"), "{text}");
    assert!(text.contains("fail-open-flag.yaml: error[fail_open]: "), "{text}");
}

/// The flag and the buffer come from policies that stand in other files than the filter.
#[test]
fn policies_of_envoy_gateway_are_judged_together_with_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let examples = std::fs::read_to_string(root().join("tests/cli/good/gateway.yaml")).unwrap();
    let (filter, buffer) = examples.split_once("\n---\n").unwrap();
    let filter = file(&folder, "filter.yaml", filter.replace("hold: body", "hold: headers"));
    let patch = |value: &str| {
        let operation = format!("{{op: add, path: a/allow_on_headers_stop_iteration, value: {value}}}");
        format!("kind: EnvoyPatchPolicy\nspec: {{jsonPatches: [{{operation: {operation}}}]}}\n")
    };
    let sets = file(&folder, "sets.yaml", patch("true"));
    let unsets = file(&folder, "unsets.yaml", patch("false"));
    let buffer = file(&folder, "buffer.yaml", buffer);
    run(&["check", "--deny-warnings", &filter, &sets, &buffer]).ok();
    assert!(run(&["check", &filter, &sets]).ok().contains("warning[buffer_limit]"));
    assert!(run(&["check", &filter, &buffer]).bad().contains("error[hold_unavailable]"));
    assert!(run(&["check", &filter, &unsets]).bad().contains("error[hold_unavailable]"));
    assert!(run(&["check", &sets, &buffer]).bad().contains("error[filter_not_found]"));
}

#[test]
fn env_takes_the_secrets_of_the_environment() {
    let file = "tests/cli/good/configmap.yaml";
    let absent = run(&["check", "--env", file]);
    assert!(
        absent.bad().contains("accounts[0].auth_tokens[0].env: the environment variable is absent or empty")
    );
    Run::new(&["check", "--env", file]).env("TOKEN", TOKEN).go().ok();
    let blank = Run::new(&["check", "--env", file]).env("TOKEN", "abc\n").go();
    assert!(blank.bad().contains("begins or ends with white space"), "{blank:?}");
}

#[test]
fn what_cannot_be_read_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let broken = file(&folder, "broken.yaml", "a: [1\nb: 2\n");
    assert!(run(&["check", &broken]).failure().contains("not valid YAML at line"));
    let template = file(&folder, "template.yaml", "a: {{ .Values.x }}\nb: {{- end }}\n");
    assert!(run(&["check", &template]).failure().contains("render templates first"));
    let binary = file(&folder, "binary", [0xff, 0xfe]);
    assert!(run(&["check", &binary]).failure().contains("not UTF-8"));
    assert!(run(&["check", "absent.yaml"]).failure().contains("absent.yaml cannot be read"));
    assert!(run(&["check", "-", "-"]).failure().contains("standard input is named twice"));
    assert!(run(&["check"]).failure().contains("<FILE>"));
}
