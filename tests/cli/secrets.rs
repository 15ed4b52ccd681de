//! Secrets come by environment or file, never as an argument, and never go anywhere.

use super::{PUBLIC_KEY, Ran, Run, file, files, run};

const MARKER: &str = "f00dMARKERf00dMARKERf00dMARKER12";
const URL: &str = "https://hooks.example.org/sms";

fn assert_silent(ran: &Ran, what: &str) {
    assert!(!ran.stdout.contains(MARKER) && !ran.stderr.contains(MARKER), "{what}: {ran:?}");
}

#[test]
fn a_secret_as_an_argument_is_refused_and_not_repeated() {
    let joined = format!("--token={MARKER}");
    let named = format!("--token-env={MARKER}");
    let refused: &[&[&str]] = &[
        &["--token", MARKER],
        &[&joined],
        &[&named],
        &["--auth-token", MARKER],
        &["--secret", MARKER],
        &["--token-env", MARKER],
        &["--token-env", "a b"],
        &["--token-file", MARKER],
        &["--sendgrid-key", MARKER],
        &["--algorithm", MARKER, "--shared-key", "k"],
        &["--json", MARKER],
        &[MARKER],
        &["-t", MARKER],
    ];
    for arguments in refused {
        for command in ["sign", "verify"] {
            let all = [&[command, "--url", URL], *arguments].concat();
            for json in [false, true] {
                let all = if json { [&all[..], &["--json"]].concat() } else { all.clone() };
                let ran = run(&all);
                assert_eq!(ran.code, 2, "{all:?}: {ran:?}");
                assert_silent(&ran, &format!("{all:?}"));
            }
        }
    }
    let ran = run(&["sign", "--url", URL, "--token", MARKER]);
    assert!(ran.failure().contains("--token-env NAME or --token-file FILE"), "{ran:?}");
    assert_silent(&run(&[MARKER]), "a command");
}

#[test]
fn no_output_has_the_secret_that_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(&folder, "token", MARKER);
    let vector = serde_json::json!({"vectors": [{
        "name": "v", "method": "POST", "url": URL, "headers": {"X-Twilio-Signature": MARKER}, "valid": true,
        "auth_tokens": [MARKER], "shared_keys": {"k": {"secret": MARKER, "algorithm": MARKER}},
    }]});
    let vectors = file(&folder, "vectors.json", vector.to_string());
    let request = file(&folder, "request.json", vector["vectors"][0].to_string());
    let broken = file(&folder, "broken.json", format!("{{\"auth_tokens\": \"{MARKER}\", \"{MARKER}\""));
    let inline = file(
        &folder,
        "inline.yaml",
        format!(
            "{{public_url: 'https://x:{MARKER}@h.example', default: twilio, allow_inline_secrets: {MARKER}, accounts: [{{sid: {MARKER}, auth_tokens: [{{value: {MARKER}}}]}}]}}"
        ),
    );
    let invalid = file(&folder, "invalid.yaml", format!("a: [{MARKER}\nb: '{MARKER}"));
    let commands: &[&[&str]] = &[
        &["sign", "--url", URL],
        &["sign", "--url", URL, "--param", "a=b", "--curl"],
        &["sign", "--url", URL, "--token-file", &token],
        &["sign", "--url", URL, "--shared-key", "k"],
        &["verify", "--url", URL, "--explain"],
        &["verify", "--url", URL, "--explain", "-H", "X-Twilio-Signature: aaaaaaaaaaaaaaaaaaaaaaaaaaa="],
        &["verify", "--url", URL, "--config", "envoy/quickstart.yaml"],
        &["verify", "--vectors", &vectors],
        &["verify", "--request", &request, "--explain"],
        &["verify", "--vectors", &broken],
        &["verify", "--request", &broken],
        &["verify", "--har", &broken],
        &["verify", "--url", URL, "--config", &inline],
        &["verify", "--url", URL, "--config", &invalid],
        &["check", "--env", "envoy/quickstart.yaml"],
        &["check", &inline],
        &["check", &invalid],
    ];
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let ran = Run::new(&[command, json].concat())
                .env("TWILIO_AUTH_TOKEN", MARKER)
                .env("SENDGRID_PUBLIC_KEY", PUBLIC_KEY)
                .go();
            assert_silent(&ran, &format!("{command:?}"));
        }
    }
}

#[test]
fn inline_secrets_that_are_found_are_not_shown() {
    for path in files("tests/cli/bad") {
        for json in [&[][..], &["--json"]] {
            let ran = run(&[&["check", path.to_str().unwrap()], json].concat());
            assert!(!ran.stdout.contains("MARKER") && !ran.stderr.contains("MARKER"), "{ran:?}");
        }
    }
}
