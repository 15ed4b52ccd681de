//! `verify`: the verdict of the filter, whatever form the request comes in.

use serde_json::{Value, json};

use super::support::sign::signature;
use super::{Ran, Run, TOKEN, file, root, run};

const URL: &str = "https://hooks.example.org/sms";

fn verify(arguments: &[&str], input: &str) -> Ran {
    Run::new(&[&["verify"], arguments].concat()).token().input(input.as_bytes()).go()
}

fn signed(url: &str, params: &[(&str, &str)]) -> String {
    format!("X-Twilio-Signature: {}", signature(TOKEN, url, params))
}

#[test]
fn all_vectors_get_their_verdict() {
    for (file, count) in [("twilio-signatures", 259), ("sendgrid-signatures", 59)] {
        let path = format!("tests/vectors/{file}.json");
        let json = run(&["verify", "--vectors", &path, "--json"]).json();
        assert_eq!((json["vectors"].as_u64(), json["disagree"].as_u64()), (Some(count), Some(0)), "{json}");
        let summary =
            format!("{count} vectors, 0 disagree, {} optional ones differ", json["optional_differ"]);
        assert_eq!(run(&["verify", "--vectors", &path]).ok().lines().last(), Some(summary.as_str()));
    }
}

#[test]
fn a_vector_that_disagrees_is_named() {
    let text = std::fs::read_to_string(root().join("tests/vectors/twilio-signatures.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut wrong = vectors["vectors"][0].clone();
    wrong["valid"] = json!(false);
    let mut optional = wrong.clone();
    (optional["optional"], optional["name"]) = (json!(true), json!("may-differ"));
    let folder = tempfile::tempdir().unwrap();
    let both = file(&folder, "both.json", json!({"vectors": [wrong, optional]}).to_string());
    let ran = run(&["verify", "--vectors", &both]);
    assert_eq!(
        ran.bad(),
        "basic-sms: disagrees: expected refused, got verified\n\
         may-differ: differs, as it may: expected refused, got verified\n\
         2 vectors, 1 disagree, 1 optional ones differ"
    );
    let json = run(&["verify", "--vectors", &both, "--json"]).json();
    assert_eq!(json["disagreements"][0]["name"], "basic-sms");
    let harmless = file(&folder, "optional.json", json!({"vectors": [optional]}).to_string());
    run(&["verify", "--vectors", &harmless]).ok();
    let empty = file(&folder, "empty.json", "{\"vectors\": []}");
    assert!(run(&["verify", "--vectors", &empty]).failure().contains("has no vectors"));
    let config = "tests/cli/good/alone.yaml";
    assert!(run(&["verify", "--vectors", config]).failure().contains("not a vector file"));
}

#[test]
fn a_request_from_flags() {
    let header = signed(URL, &[("a", "b c")]);
    let arguments = ["--url", URL, "--param", "a=b c", "-H", &header];
    let ran = verify(&arguments, "");
    assert_eq!(ran.ok(), "verified\nscheme: twilio\nkey: token0#ff25\nroute: default");
    let typed = [
        "--url",
        URL,
        "--body",
        "-",
        "-H",
        &header,
        "--header",
        "content-type: application/x-www-form-urlencoded",
    ];
    verify(&typed, "a=b+c").ok();
    let get = signed("https://hooks.example.org/sms?a=b", &[]);
    verify(&["--url", "https://hooks.example.org/sms?a=b", "-H", &get], "").ok();
    let json = verify(&[&arguments[..], &["--json", "--param", "x=y"]].concat(), "").json();
    assert_eq!((json["verdict"].as_str(), json["reason"].as_str()), (Some("refused"), Some("mismatch")));
    assert_eq!(json["keys_tried"], json!(["token0#ff25"]));
    let unsigned = verify(&["--url", URL, "--param", "a=b"], "");
    assert_eq!(unsigned.bad(), "refused\nreason: missing_signature\nroute: default");
}

#[test]
fn a_refusal_is_explained() {
    let header = signed("http://hooks.example.org/sms", &[("a", "b")]);
    let arguments = ["--url", URL, "--param", "a=b", "-H", &header, "--explain"];
    let ran = verify(&arguments, "");
    assert!(ran.bad().contains("\nhint: scheme: it matches with the other of http and https"), "{ran:?}");
    let json = verify(&[&arguments[..], &["--json"]].concat(), "").json();
    assert_eq!(json["hints"][0]["code"], "scheme");
    let hopeless = signed("https://elsewhere.example/", &[]);
    let ran = verify(&["--url", URL, "--param", "a=b", "-H", &hopeless, "--explain"], "");
    assert!(ran.bad().ends_with("hint: none: nothing that was tried would have matched"), "{ran:?}");
    let verified = signed(URL, &[]);
    assert!(!verify(&["--url", URL, "-H", &verified, "--explain"], "").ok().contains("hint"));
}

#[test]
fn a_pasted_curl_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(&folder, "data", "a=b\r\n");
    let line = signed(URL, &[("a", "b")]);
    let spaced = signed(URL, &[("Body", "it's\n! é")]);
    let json = "{\"a\": 1}";
    let hashed = format!("{URL}?bodySHA256={}", super::support::sign::body_sha256(json.as_bytes()));
    let json_line = signed(&hashed, &[]);
    let get = signed("https://hooks.example.org/sms?x=1&a=b", &[]);
    for command in [
        format!("curl '{URL}' -H '{line}' -d a=b"),
        format!("$ curl -sSkXPOST {URL} \\\n  -H \"{line}\" \\\n  --data-raw 'a=b' --compressed"),
        format!("/usr/bin/curl --url {URL} -H'{line}' -d @{data} -A agent -o /dev/null"),
        format!("curl {URL} -H '{line}' --data-urlencode a=b"),
        format!("curl {URL} -H '{spaced}' --data-raw $'Body=it\\'s%0A\\u0021+\\xc3\\xa9'"),
        format!("curl {URL} -H '{spaced}' --data-urlencode $'Body=it\\'s\\n! é'"),
        format!("curl '{hashed}' -H '{json_line}' --json '{json}'"),
        format!("curl -G '{URL}?x=1' -H '{get}' -d a=b"),
        format!("curl https://127.0.0.1/sms -H 'Host: hooks.example.org' -H '{line}' -d a=b"),
    ] {
        let ran = verify(&["--curl", "-"], &command);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
    }
    for (command, reason) in [
        ("wget x".to_owned(), "not a curl command"),
        (format!("curl {URL} -d 'a=b"), "open quote"),
        (format!("curl {URL} -F a=b"), "multipart"),
        (format!("curl {URL} --upload-file x"), "--upload-file of the curl command"),
        (format!("curl {URL} -H"), "has no value"),
        ("curl -d a=b".to_owned(), "no URL"),
        (format!("curl {URL} -d @absent"), "absent cannot be read"),
    ] {
        let ran = verify(&["--curl", "-"], &command);
        assert!(ran.failure().contains(reason), "{command}: {ran:?}");
    }
}

#[test]
fn an_entry_of_an_http_archive() {
    let request = |signature: Option<String>, post: Value| {
        let mut headers = vec![json!({"name": ":authority", "value": "hooks.example.org"})];
        headers.push(json!({"name": "content-type", "value": "application/x-www-form-urlencoded"}));
        headers.push(json!({"name": "content-length", "value": "999"}));
        headers.extend(signature.map(|value| json!({"name": "x-twilio-signature", "value": value})));
        json!({"request": {"method": "POST", "url": URL, "headers": headers, "postData": post}})
    };
    let text = json!({"mimeType": "x", "text": "a=b"});
    let other = request(None, text.clone());
    let valid = Some(signature(TOKEN, URL, &[("a", "b")]));
    let har = |entries: &[&Value]| json!({"log": {"version": "1.2", "entries": entries}}).to_string();
    for post in [
        text,
        json!({"mimeType": "x", "text": "YT1i", "encoding": "base64"}),
        json!({"mimeType": "x", "text": "", "params": [{"name": "a", "value": "b"}]}),
    ] {
        let signed = request(valid.clone(), post);
        verify(&["--har", "-"], &har(&[&other, &signed])).ok();
        verify(&["--har", "-", "--entry", "1"], &har(&[&other, &signed, &signed])).ok();
        assert_eq!(verify(&["--har", "-", "--entry", "0"], &har(&[&other, &signed])).code, 1);
        let several = verify(&["--har", "-"], &har(&[&signed, &signed]));
        assert!(several.failure().contains("--entry N"), "{several:?}");
    }
    assert!(verify(&["--har", "-", "--entry", "5"], &har(&[&other])).failure().contains("1 entries"));
    assert!(verify(&["--har", "-"], "{}").failure().contains("not an HTTP archive"));
    assert!(verify(&["--request", "-"], "{\"url\": 5}").failure().contains("not a request as JSON"));
}

#[test]
fn a_configuration_judges_as_the_filter_does() {
    let sid = "AC0123456789abcdef0123456789abcdef";
    let message = "SM0123456789abcdef0123456789abcdef";
    let params = [("AccountSid", sid), ("MessageSid", message)];
    let header = signed(URL, &params);
    let (account, message) = (format!("AccountSid={sid}"), format!("MessageSid={message}"));
    let config = ["--config", "envoy/quickstart.yaml"];
    // The request as it arrives behind a proxy: another scheme and port.
    let inside = "http://hooks.example.org:8080/sms";
    let request = ["--url", inside, "--param", &account, "--param", &message, "-H", &header];
    let ran = verify(&[&config[..], &request].concat(), "");
    assert_eq!(ran.ok(), format!("verified\nscheme: twilio\naccount: {sid}\nkey: current#ff25\nroute: sms"));
    let elsewhere =
        verify(&[&config[..], &["--url", "https://elsewhere.example/sms", "-H", &header]].concat(), "");
    assert!(elsewhere.bad().contains("host_not_accepted"), "{elsewhere:?}");
    let other = ["--url", "https://hooks.example.org/other"];
    let denied = verify(&[&config[..], &other].concat(), "");
    assert_eq!(denied.bad(), "refused\nreason: denied\nroute: default");
    let open = json!({"public_url": "https://hooks.example.org", "default": "none", "routes": [{
        "name": "sms", "match": {"path": "/sms"}, "verify": "deny",
    }]});
    let open = verify(&[&["--config", "-"][..], &other].concat(), &open.to_string());
    assert_eq!(open.bad(), "unprotected\nroute: default");
    let absent = Run::new(&[&["verify"], &config[..], &request].concat()).go();
    assert!(absent.failure().contains("the environment variable is absent or empty"), "{absent:?}");
}

#[test]
fn one_of_several_configurations_is_chosen() {
    let header = signed(URL, &[]);
    let request = ["verify", "--url", URL, "-H", &header, "--config", "tests/cli/good/istio.yaml"];
    let environment =
        |arguments: &[&str]| Run::new(&[&request[..], arguments].concat()).env("TOKEN", TOKEN).go();
    assert!(environment(&[]).failure().contains("2 configurations"));
    environment(&["--place", "#2 spec.wasm.pluginConfig"]).ok();
    assert!(environment(&["--place", "spec"]).failure().contains("no such configuration"));
}

#[test]
fn observed_refusals_and_trusted_peers_are_bad_and_good_news() {
    let folder = tempfile::tempdir().unwrap();
    let observing = file(
        &folder,
        "observe.yaml",
        "{public_url: 'https://hooks.example.org', default: twilio, mode: observe, hold: body, accounts: [{auth_tokens: [{env: TWILIO_AUTH_TOKEN}]}]}",
    );
    let ran = verify(&["--config", &observing, "--url", URL, "--param", "a=b"], "");
    assert_eq!(ran.bad().lines().next(), Some("observed_reject"));
    let header = signed(URL, &[("a", "b")]);
    verify(&["--config", &observing, "--url", URL, "--param", "a=b", "-H", &header], "").ok();
    let forwarded = file(
        &folder,
        "forwarded.yaml",
        "{public_url: {from: forwarded, trusted_peers: [10.0.0.0/8]}, accept_hosts: [hooks.example.org], default: twilio, accounts: [{auth_tokens: [{env: TWILIO_AUTH_TOKEN}]}]}",
    );
    let request = [
        "--config",
        &forwarded,
        "--url",
        "http://hooks.example.org/sms",
        "--param",
        "a=b",
        "-H",
        &header,
        "-H",
        "X-Forwarded-Proto: https",
    ];
    assert!(verify(&request, "").bad().contains("untrusted_peer"));
    verify(&[&request[..], &["--peer", "10.1.2.3:4567"]].concat(), "").ok();
}
