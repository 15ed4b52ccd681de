//! `redact --log-line`: nothing may be left that names a person, and as much as possible of what does not.

use serde_json::{Value, json};

use super::{cases, redact};

/// One log line.
fn line(text: &str) -> String {
    let shown = redact(&["--log-line"], &format!("{text}\n"));
    shown.strip_suffix('\n').expect("one line").to_owned()
}

#[test]
fn lines_of_known_proxies_keep_what_names_nobody() {
    let id = "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2";
    let sid = "SMd36c0364e3842955b2c8f86da3bd8ad6";
    for (raw, shown) in [
        // Envoy's default.
        (
            format!(r#"[2026-04-15T20:17:00.310Z] "POST /sms?From=%2B14155550100&MessageSid={sid} HTTP/2" 204 - 154 12345678 226 100 "54.172.60.1" "TwilioProxy/1.1" "{id}" "hooks.example.org" "10.0.2.1:80""#),
            format!(r#"[2026-04-15T20:17:00.310Z] "POST /sms?From=[REDACTED]&MessageSid={sid} HTTP/2" 204 - 154 12345678 226 100 "54.172.60.0" "TwilioProxy/1.1" "{id}" "hooks.example.org" "10.0.2.1:80""#),
        ),
        // Istio's.
        (
            format!(r#"[2026-04-15T20:17:00.310Z] "GET /a HTTP/1.1" 503 UF,URX upstream_reset_before_response_started{{connection_failure}} - "TLS_error" 0 1540000 226 - "54.172.60.1,10.0.0.9" "Mozilla/5.0 (Jane)" "{id}" "app" "10.0.2.1:80" outbound|80||app.ns.svc.cluster.local 10.0.0.1:4000 10.0.0.2:80 203.0.113.9:4433 outbound_.80_._.app.ns.svc.cluster.local default"#),
            format!(r#"[2026-04-15T20:17:00.310Z] "GET /a HTTP/1.1" 503 UF,URX upstream_reset_before_response_started{{connection_failure}} - "[REDACTED]" 0 1540000 226 - "54.172.60.0,10.0.0.9" "[REDACTED]" "{id}" "app" "10.0.2.1:80" outbound|80||app.ns.svc.cluster.local 10.0.0.1:4000 10.0.0.2:80 203.0.113.0:4433 outbound_.80_._.app.ns.svc.cluster.local default"#),
        ),
        // Combined.
        (
            r#"203.0.113.77 - jane_roe [10/Oct/2026:13:55:36 -0700] "GET /patients/jane HTTP/1.0" 200 23261234 "https://portal.example.org/p/42?n=jane" "SendGrid Event API""#.to_owned(),
            r#"203.0.113.0 - [REDACTED] [10/Oct/2026:13:55:36 -0700] "GET /patients/[REDACTED] HTTP/1.0" 200 23261234 "https://portal.example.org" "SendGrid Event API""#.to_owned(),
        ),
        // Ours, and fields without quotes.
        (
            format!("time=2026-04-15T20:17:00.310Z method=POST status=200 details=via_upstream route=sms key=current#4d15 id={id} path=/sms?Body=Jane caller=Jane"),
            format!("time=2026-04-15T20:17:00.310Z method=POST status=200 details=via_upstream route=sms key=current#4d15 id={id} path=/sms caller=[REDACTED]"),
        ),
        ("POST /sms?Body=Jane HTTP/1.1 503 via_upstream Jane".to_owned(), "POST /sms HTTP/1.1 503 via_upstream [REDACTED]".to_owned()),
        // An unescaped quote of a client shifts the fields, and shows none.
        (
            format!(r#"[2026-04-15T20:17:00.310Z] "POST /a HTTP/2" 204 - 1 2 3 4 "54.172.60.1" "x" Jane_Roe 4155550100 "y" "{id}" "a.example.org" "10.0.2.1:80""#),
            format!(r#"[2026-04-15T20:17:00.310Z] "POST /a HTTP/2" 204 - 1 2 3 4 "54.172.60.0" "[REDACTED]" [REDACTED] [REDACTED] "[REDACTED]" "{id}" "[REDACTED]" "10.0.2.1:80""#),
        ),
        // What no proxy writes.
        ("Jane Roe called 4155550100".to_owned(), "[REDACTED]".to_owned()),
        (r#"GET "unclosed"#.to_owned(), "[REDACTED]".to_owned()),
        (String::new(), String::new()),
    ] {
        assert_eq!(line(&raw), shown);
        assert_eq!(line(&shown), shown, "redacting twice changes nothing");
    }
}

#[test]
fn json_lines_keep_their_shape() {
    for (raw, shown) in [
        (
            r#"{"b":1,"path":"/sms?Body=Jane","a":{"url":"https://a.example:8443/sms?From=1","x":["Jane",true,null]},"b":"Jane"}"#,
            r#"{"b":"[REDACTED]","path":"/sms","a":{"url":"https://a.example:8443/sms?From=[REDACTED]","x":["[REDACTED]",true,null]},"b":"[REDACTED]"}"#,
        ),
        (
            r#"{"status":200,"bytes_sent":12345678,"duration":0.25,"phone":14155550100,"zip":94107,"NumMedia":0,"MessageStatus":"sent","code":14155550100}"#,
            r#"{"status":200,"bytes_sent":12345678,"duration":0.25,"phone":"[REDACTED]","zip":"[REDACTED]","NumMedia":0,"MessageStatus":"sent","code":"[REDACTED]"}"#,
        ),
        (
            r#"{"referer":"https://p.example/x?y=z","user_agent":"curl/8","x-request-id":"Jane","cookie":"0","upstream_host":"203.0.113.7:80","downstream_remote_address":"203.0.113.7:8012"}"#,
            r#"{"referer":"https://p.example","user_agent":"[REDACTED]","x-request-id":"[REDACTED]","cookie":"[REDACTED]","upstream_host":"203.0.113.7:80","downstream_remote_address":"203.0.113.0:8012"}"#,
        ),
        // As container runtimes wrap a line.
        (
            r#"2026-04-15T20:17:00.310Z stdout F {"method":"GET","+14155550100":"x"}"#,
            r#"2026-04-15T20:17:00.310Z stdout F {"method":"GET","[REDACTED]":"[REDACTED]"}"#,
        ),
        (
            r#"{"log":"{\"path\":\"/sms?Body=Jane\"}\n","stream":"stdout"}"#,
            r#"{"log":"{\"path\":\"/sms\"}","stream":"stdout"}"#,
        ),
        (r#"{"log":"\"GET /sms?Body=Jane HTTP/1.1\" 200 -"}"#, r#"{"log":"\"GET /sms HTTP/1.1\" 200 -"}"#),
        (r#"{"path":"/sms?Body=Jane""#, "[REDACTED]"),
        (r#"["/sms?Body=Jane"]"#, "[REDACTED]"),
    ] {
        assert_eq!(line(raw), shown);
        let is_json = serde_json::from_str::<Value>(raw).is_ok_and(|raw| raw.is_object());
        assert!(!is_json || serde_json::from_str::<Value>(&line(raw)).is_ok(), "{raw}");
    }
}

/// A target in every place of every kind of line.
fn lines_with(target: &str) -> Vec<String> {
    let quoted = serde_json::to_string(target).unwrap();
    let time = "2026-04-15T20:17:00.310Z";
    vec![
        format!(
            r#"[{time}] "POST {target} HTTP/2" 204 - 1 2 3 4 "54.172.60.1" "{target}" "{target}" "h" "10.0.2.1:80""#
        ),
        format!(
            r#"10.0.0.1 - - [10/Oct/2026:13:55:36 -0700] "GET {target} HTTP/1.1" 200 5 "https://portal.test{target}" "{target}""#
        ),
        format!(
            r#"{{"path":{quoted},"other":{quoted},"log":{quoted},"referer":{quoted},"n":{{"a":[{quoted}]}}}}"#
        ),
        format!("status=200 path={target} other={target} url=https://portal.test{target} {target}"),
        format!("GET {target} HTTP/1.1 200 {target}"),
    ]
}

#[test]
fn no_marker_of_any_vector_is_left_in_any_line() {
    let cases = cases();
    let input: Vec<String> = cases.iter().flat_map(|case| lines_with(&case.input)).collect();
    let shown = redact(&["--log-line"], &(input.join("\n") + "\n"));
    let again = redact(&["--log-line"], &shown);
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), input.len());
    let count = |text: &str, marker: &str| text.to_lowercase().matches(&marker.to_lowercase()).count();
    // Some markers, such as `=2`, are in the lines themselves.
    let without = lines_with("/");
    // Redacting twice reveals no more.
    let again: Vec<&str> = again.lines().collect();
    let passes = shown.chunks(without.len()).zip(again.chunks(without.len()));
    let mut readable = 0;
    for (case, (first, second)) in cases.iter().zip(passes) {
        for (line, without) in first.iter().zip(&without).chain(second.iter().zip(&without)) {
            for marker in &case.must_not_contain {
                assert!(count(line, marker) <= count(without, marker), "{} {marker}: {line}", case.id);
            }
            readable += usize::from(*line != "[REDACTED]");
        }
    }
    assert!(readable > input.len() * 2 * 9 / 10, "{readable} lines are understood");
}

/// Each would take minutes if a part of a line were read again for every other.
#[test]
fn long_lines_of_any_form_are_read_in_one_pass() {
    let length = 1 << 16;
    let of = |piece: &str| piece.repeat(length / piece.len());
    for long in [
        "a ", "\"a", "\"a\" ", "[", "[a]", "=", "a=b ", "a=", "{", "{\"a\":", "/", "%25", ",", "1,",
        "GET / ", "\\\"", "é",
    ] {
        let input =
            format!("\"GET / HTTP/1.1\" 200 {}\n{}\n{{\"log\":\"{}\"}}\n", of(long), of(long), of("a "));
        let shown = redact(&["--log-line"], &input);
        assert_eq!(shown.lines().count(), 3, "{long}");
    }
    let mut nested = "x".to_owned();
    for _ in 0..16 {
        nested = json!({"log": nested}).to_string();
    }
    assert!(!line(&nested).contains('x'));
}
