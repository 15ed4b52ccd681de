//! `sign`: the signatures of an independent signer, in forms that `verify` takes back.

use serde_json::{Value, json};

use super::support::sign::{body_sha256, encode_form, signature};
use super::{Ran, Run, TOKEN, file, root, run};

const URL: &str = "https://hooks.example.org/sms?a=1";
const PARAMS: &[(&str, &str)] =
    &[("Body", "it's 100% + \u{fc} & \u{1f600}\n"), ("b", ""), ("A", "2"), ("A", "1"), ("A", "2")];

fn sign(arguments: &[&str], input: &str) -> Ran {
    Run::new(&[&["sign"], arguments].concat()).token().input(input.as_bytes()).go()
}

/// Both ways back: the request as JSON, and the curl command. Each must be accepted, and refused once it is altered.
fn round_trip(arguments: &[&str], input: &str, keys: &[&str]) {
    let verify = |source: &str, text: &str| {
        let mut command = vec!["verify", source, "-"];
        command.extend(keys);
        Run::new(&command).token().input(text.as_bytes()).go()
    };
    let request = sign(&[arguments, &["--json"]].concat(), input);
    request.ok();
    assert_eq!(verify("--request", &request.stdout).ok().lines().next(), Some("verified"), "{arguments:?}");
    let curl = sign(&[arguments, &["--curl"]].concat(), input);
    assert_eq!(verify("--curl", curl.ok()).ok().lines().next(), Some("verified"), "{}", curl.stdout);
    let mut altered = request.json();
    altered["body"] = json!(format!("{}x", altered["body"].as_str().unwrap_or_default()));
    assert_eq!(verify("--request", &altered.to_string()).bad().lines().next(), Some("refused"), "{altered}");
}

#[test]
fn signatures_are_those_of_the_independent_signer() {
    let params: Vec<String> = PARAMS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let params: Vec<&str> = params.iter().flat_map(|param| ["--param", param]).collect();
    let form = sign(&[&["--url", URL], &params[..]].concat(), "");
    assert_eq!(form.ok(), signature(TOKEN, URL, PARAMS));
    let encoded = sign(&["--url", URL, "--form", "-"], &encode_form(PARAMS));
    assert_eq!(encoded.ok(), signature(TOKEN, URL, PARAMS));

    let json = "{\"a\": 1}\r\n";
    let hashed = format!("{URL}&bodySHA256={}", body_sha256(json.as_bytes()));
    let signed = sign(&["--url", URL, "--body", "-"], json);
    assert_eq!(signed.ok(), signature(TOKEN, &hashed, &[]));
    assert_eq!(signed.stderr.trim_end(), format!("url: {hashed}"), "the URL is part of the answer");
    assert_eq!(sign(&["--url", &hashed, "--body", "-"], json).ok(), signature(TOKEN, &hashed, &[]));

    let get = sign(&["--method", "get", "--url", URL, "--param", "To=+1 5"], "");
    assert_eq!(get.ok(), signature(TOKEN, format!("{URL}&To=%2B1+5"), &[]));
    let websocket = sign(&["--websocket", "--url", "https://hooks.example.org/media"], "");
    assert_eq!(websocket.ok(), signature(TOKEN, "wss://hooks.example.org/media", &[]));
    let empty = sign(&["--url", "https://hooks.example.org#fragment"], "");
    assert_eq!(empty.ok(), signature(TOKEN, "https://hooks.example.org/", &[]));
}

#[test]
fn signatures_are_those_of_the_vectors() {
    let text = std::fs::read_to_string(root().join("tests/vectors/twilio-signatures.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let header = |name: &str| vector["headers"][name].as_str();
        let settings = header("X-Twilio-Webhooks-Signature-Settings");
        let is_plain = header("Content-Type") == Some("application/x-www-form-urlencoded")
            && vector["method"] == "POST"
            && header("X-Twilio-Signature").is_some()
            && vector["valid"] == true
            && (vector["category"] == "core" || vector["category"] == "sharedkey")
            && settings.is_none_or(|settings| settings.starts_with("key=") && !settings.contains(' '))
            && !vector["url"].as_str().unwrap().contains("bodySHA256")
            && vector["auth_tokens"].as_array().unwrap().len() <= 1
            // The port is the one thing that a signer may have left out.
            && !vector["name"].as_str().unwrap().starts_with("port-");
        let (Some(body), true) = (vector["body"].as_str(), is_plain) else { continue };
        let url = vector["url"].as_str().unwrap();
        let mut arguments = vec!["sign", "--url", url, "--form", "-"];
        let key = match settings {
            None => vector["auth_tokens"][0].as_str().unwrap(),
            Some(settings) => {
                let (id, algorithm) = settings.split_once(',').unwrap_or((settings, "algorithm=HMAC_SHA1"));
                let id = id.strip_prefix("key=").unwrap();
                let name = if algorithm.ends_with("256") { "hmac-sha256" } else { "hmac-sha1" };
                arguments.extend(["--shared-key", id, "--algorithm", name]);
                vector["shared_keys"][id]["secret"].as_str().unwrap()
            }
        };
        let ran = Run::new(&arguments).env("TWILIO_AUTH_TOKEN", key).input(body.as_bytes()).go();
        assert_eq!(Some(ran.ok()), header("X-Twilio-Signature"), "{}", vector["name"]);
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn what_is_signed_is_verified_for_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(&folder, "token", format!("{TOKEN}\n"));
    round_trip(&["--url", URL, "--param", "Body=it's \"quoted\" $HOME `x`\n", "--param", "b="], "", &[]);
    round_trip(&["--url", URL, "--form", "-"], "a=%F0%9F%98%80&a=+&b", &[]);
    round_trip(&["--url", URL, "--body", "-"], "{\"a\": \"'\"}\r\n", &[]);
    round_trip(&["--url", URL, "--body", "-", "--content-type", "text/plain"], "@not a file", &[]);
    round_trip(
        &["--method", "GET", "--url", "https://h.example/a[1]{2}/../x?q=%7e", "--param", "x=y"],
        "",
        &[],
    );
    round_trip(&["--websocket", "--url", "https://hooks.example.org:8443/media"], "", &[]);
    round_trip(&["--url", URL, "--token-file", &secret], "", &["--token-file", &secret]);
    for algorithm in ["hmac-sha1", "hmac-sha256"] {
        let key = ["--shared-key", "webhooks_1", "--algorithm", algorithm];
        round_trip(&[&["--url", URL, "--param", "a=b"], &key[..]].concat(), "", &key);
    }
}

#[test]
fn sendgrid_is_signed_with_a_private_key_in_any_usual_form() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

    let folder = tempfile::tempdir().unwrap();
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let der = key.public_key().to_public_key_der().unwrap();
    let public = file(&folder, "public", STANDARD.encode(der.as_bytes()));
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let private_der = STANDARD.encode(key.to_pkcs8_der().unwrap().as_bytes());
    for (name, text) in [("pem", pem.as_str()), ("der", private_der.as_str())] {
        let private = file(&folder, name, text);
        let arguments =
            ["--url", "https://hooks.example.org/mail", "--body", "-", "--sendgrid-key", &private];
        round_trip(&arguments, "[{\"a\": 1}]\r\n", &["--sendgrid-key", &public]);
        let fixed = [&arguments[..], &["--timestamp", "1700000000", "--json"]].concat();
        let json = sign(&fixed, "[]").json();
        assert_eq!(json["headers"]["X-Twilio-Email-Event-Webhook-Timestamp"], "1700000000");
        assert_eq!(json["url"], "https://hooks.example.org/mail", "SendGrid adds no hash");
        let unsaid = sign(&arguments, "[]");
        unsaid.ok();
        assert!(unsaid.stderr.starts_with("timestamp: "), "without it the signature is worth nothing");
        let bad = sign(&[&arguments[..], &["--timestamp", "17"]].concat(), "[]");
        assert!(bad.failure().contains("ten digits"));
    }
    let not_a_key = file(&folder, "not", "MARKER-1f3a");
    let ran = sign(&["--url", URL, "--body", "-", "--sendgrid-key", &not_a_key], "[]");
    assert!(ran.failure().contains("not a P-256 private key"));
}

#[test]
fn the_curl_command_is_one_that_a_shell_understands() {
    let arguments = ["--url", URL, "--param", "Body=it's", "--curl", "--to", "http://127.0.0.1:10000"];
    let curl = sign(&arguments, "");
    let words = shell_words::split(curl.ok()).unwrap();
    let signature = format!("X-Twilio-Signature: {}", signature(TOKEN, URL, &[("Body", "it's")]));
    let expected = [
        "curl",
        "-sS",
        "-i",
        "--globoff",
        "--path-as-is",
        "-X",
        "POST",
        "http://127.0.0.1:10000/sms?a=1",
        "-H",
        "Host: hooks.example.org",
        "-H",
        "Content-Type: application/x-www-form-urlencoded",
        "-H",
        &signature,
        "--data-raw",
        "Body=it%27s",
    ];
    assert_eq!(words, expected);
    let public = ["verify", "--curl", "-", "--public-url", "https://hooks.example.org"];
    Run::new(&public).token().input(curl.stdout.as_bytes()).go().ok();
    assert!(
        sign(&["--url", URL, "--curl", "--to", "http://127.0.0.1/x"], "")
            .failure()
            .contains("--to has a path")
    );
}

#[test]
fn a_binary_body_stays_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let body = file(&folder, "it's binary", [0, 0xff, b'\n']);
    let arguments =
        ["sign", "--url", URL, "--body", &body, "--content-type", "application/octet-stream", "--curl"];
    let curl = Run::new(&arguments).token().go();
    assert!(shell_words::split(curl.ok()).unwrap().contains(&format!("@{body}")), "{curl:?}");
    Run::new(&["verify", "--curl", "-"]).token().input(curl.stdout.as_bytes()).go().ok();
    let piped = ["sign", "--url", URL, "--body", "-", "--curl"];
    let ran = Run::new(&piped).token().input(&[0xff]).go();
    assert!(ran.failure().contains("give it as a file"));
}

#[test]
fn what_twilio_would_not_send_is_not_signed() {
    for (arguments, reason) in [
        (&["--url", "hooks.example.org/sms"][..], "not absolute"),
        (&["--url", "ftp://hooks.example.org/"], "scheme"),
        (&["--url", "https:///sms"], "no usable host"),
        (&["--url", "https://hooks.example.org/a b"], "percent-encoded"),
        (&["--url", URL, "--method", "GET", "--body", "-"], "nothing signs the body of a GET"),
        (&["--url", URL, "--websocket", "--method", "POST"], "a WebSocket handshake is a GET"),
        (&["--url", URL, "--param", "a"], "no equals sign"),
        (&["--url", "https://h.example/?bodySHA256=00", "--body", "-"], "not the hash of this body"),
        (&["--url", URL, "--shared-key", "a,b"], "not a key id"),
        (&["--url", URL, "--algorithm", "hmac-sha1"], "missing: --shared-key"),
        (&["--url", URL, "--param", "a=b", "--body", "-"], "exclude each other"),
    ] {
        let ran = sign(arguments, "");
        assert!(ran.failure().contains(reason), "{arguments:?}: {ran:?}");
    }
    assert!(run(&["sign", "--url", URL]).failure().contains("TWILIO_AUTH_TOKEN is not set"));
}
