//! `redact`: targets by the conformance cases and by configurations, and lines as a stream.

mod log_lines;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;
use twilio_guard::redact::Policy;

use super::{PUBLIC_KEY, Ran, Run, file, root, run};

const HASH_KEY: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct Case {
    id: String,
    input: String,
    expected: String,
    must_not_contain: Vec<String>,
    hash_key: Option<String>,
}

fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    let text = std::fs::read_to_string(root().join("tests/vectors/redaction-cases.json")).unwrap();
    serde_json::from_str::<File>(&text).unwrap().cases
}

fn redact(options: &[&str], input: &str) -> String {
    let ran = Run::new(&[&["redact"], options].concat()).input(input.as_bytes()).go();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{input}");
    ran.stdout
}

fn failure(run: &Run<'_>) -> String {
    run.go().failure().to_owned()
}

#[test]
fn every_vector_agrees() {
    let path = "tests/vectors/redaction-cases.json";
    assert_eq!(run(&["redact", "--vectors", path]).ok(), "216 vectors, 0 disagree");
    let json = run(&["redact", "--vectors", path, "--json"]).json();
    assert_eq!((&json["vectors"], &json["disagreements"]), (&json!(216), &json!([])));
    let folder = tempfile::tempdir().unwrap();
    let wrong = json!({"cases": [{"id": "R1", "input": "/sms?Body=Jane", "expected": "/sms?Body=Jane"}]});
    let wrong = file(&folder, "wrong.json", wrong.to_string());
    let ran = run(&["redact", "--vectors", &wrong]);
    assert_eq!(ran.bad(), "R1: differs\n1 vectors, 1 disagree");
    assert!(!ran.stdout.contains("Jane"));
}

#[test]
fn every_target_is_a_line() {
    let plain: Vec<Case> = cases().into_iter().filter(|case| case.hash_key.is_none()).collect();
    assert!(plain.len() > 200);
    let input: String = plain.iter().map(|case| format!("{}\n", case.input)).collect();
    let expected: String = plain.iter().map(|case| format!("{}\n", case.expected)).collect();
    assert_eq!(redact(&[], &input), expected);
    assert_eq!(redact(&[], &input.replace('\n', "\r\n")), expected);
    assert_eq!(redact(&[], "/a\n\n/b?c=d"), "/a\n\n/b?c=[REDACTED]\n", "the last line needs no end");
    assert_eq!(redact(&[], ""), "");
}

#[test]
fn pseudonyms_need_a_key_of_some_length() {
    let policy = Policy::default().with_hash_key(&HASH_KEY.to_owned().into());
    let target = "/sms?From=%2B14155550100";
    let keyed = ["redact", "--hash-key-env", "KEY"];
    let ran = Run::new(&keyed).env("KEY", HASH_KEY).input(target.as_bytes()).go();
    assert_eq!(ran.ok(), policy.target(target.as_bytes()));
    assert!(ran.ok().contains("From=[h:"), "{ran:?}");
    assert!(failure(&Run::new(&keyed).env("KEY", "short")).contains("shorter than 32 bytes"));
    assert!(failure(&Run::new(&keyed)).contains("is not set"));
    let marker = "f00dMARKER f00dMARKER";
    let ran = Run::new(&["redact", "--hash-key-env", marker]).go();
    assert!(!ran.failure().contains("MARKER"), "{ran:?}");
}

#[test]
fn a_configuration_says_how_to_redact() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(
        &folder,
        "config.yaml",
        "public_url: https://hooks.example.org
accounts: [{auth_tokens: [{env: NOT_SET}]}]
default: none
redaction: {allow_params: [tenant], hash_key: {env: KEY, optional: true}}
routes:
- {name: survey, match: {path: /survey}, verify: twilio, redaction: {allow_params: [answer]}}
",
    );
    let target = b"/survey?tenant=north&answer=seven&From=%2B14155550100";
    let with = |options: &[&str], key: Option<&str>| -> Ran {
        let run = Run::new(&[&["redact", "--config", &config], options].concat()).input(target);
        match key {
            Some(key) => run.env("KEY", key).go(),
            None => run.go(),
        }
    };
    assert_eq!(with(&[], None).ok(), "/survey?tenant=north&answer=[REDACTED]&From=[REDACTED]");
    assert_eq!(
        with(&["--route", "survey"], None).ok(),
        "/survey?tenant=[REDACTED]&answer=seven&From=[REDACTED]"
    );
    assert!(with(&[], Some(HASH_KEY)).ok().contains("From=[h:"));
    assert!(with(&[], Some("short")).failure().contains("shorter than 32 bytes"));
    assert!(with(&["--route", "other"], None).failure().contains("no such route"));
    assert!(with(&["--place", "x"], None).failure().contains("no such configuration"));
    let quickstart =
        Run::new(&["redact", "--config", "envoy/quickstart.yaml"]).env("SENDGRID_PUBLIC_KEY", PUBLIC_KEY);
    assert_eq!(quickstart.input(b"/sms?Body=Jane").go().ok(), "/sms");
}

#[test]
fn a_line_that_is_too_long_shows_nothing() {
    let input = format!("/a?b={}\n/c\n", "x".repeat(2 << 20));
    assert_eq!(redact(&[], &input), "[REDACTED]\n/c\n");
    assert_eq!(redact(&["--log-line"], &input), "[REDACTED]\n[REDACTED]\n");
}

#[test]
fn bytes_of_any_kind_are_lines() {
    let ran = Run::new(&["redact"]).input(b"/a\xff/b?c=\xfe\n\x00\n/d").go();
    assert_eq!(ran.ok(), "/[REDACTED]/b?c=[REDACTED]\n[REDACTED]\n/d");
    let ran = Run::new(&["redact", "--log-line"]).input(b"\"GET /a?Body=\xff HTTP/1.1\" 200 \xff\n").go();
    assert_eq!(ran.ok(), "\"GET /a HTTP/1.1\" 200 [REDACTED]");
}

#[test]
fn random_lines_are_lines_and_printable() {
    let mut random = fastrand::Rng::with_seed(4);
    let pieces = [
        "GET ",
        "/",
        "a",
        "\"",
        " HTTP/1.1",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "=",
        "?",
        "&",
        "%",
        "\\",
        " ",
        "-",
        "1",
        "é",
        "\u{0}",
    ];
    let mut input = Vec::new();
    for _ in 0..4000 {
        for _ in 0..random.usize(..24) {
            match random.usize(..pieces.len() + 1) {
                index if index < pieces.len() => input.extend_from_slice(pieces[index].as_bytes()),
                _ => input.push(random.u8(b'\n' + 1..)),
            }
        }
        input.push(b'\n');
    }
    for options in [&["redact"][..], &["redact", "--log-line"]] {
        let ran = Run::new(options).input(&input).go();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 4000);
        assert!(ran.stdout.bytes().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\n')));
    }
}

#[test]
fn lines_are_shown_as_they_come_and_a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
        .arg("redact")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"/sms?Body=Jane\n").unwrap();
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "/sms\n", "while standard input stays open");
    drop(stdout);
    // The tool goes once it cannot write; what is left of its input goes nowhere.
    let lines = "/a\n".repeat(1 << 16);
    while stdin.write_all(lines.as_bytes()).is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn it_writes_lines_and_no_json() {
    let ran = run(&["redact", "--json"]);
    assert_eq!(ran.code, 2);
    assert!(ran.json()["error"]["problem"].as_str().unwrap().contains("not JSON"));
}
