//! `mint`, and the snippets of the documentation beside it.

use std::process::Command;

use twilio_guard::config::{MintKey, Secret};
use twilio_guard::reject::Reject;
use twilio_guard::replay::check_minted;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const URLS: [&str; 4] = [
    "https://hooks.example.org/calls/CA1/status",
    "https://hooks.example.org/calls/CA1/status?step=2&name=a%20b",
    "https://hooks.example.org:8443/prefix/sms#rc=2&rt=5000",
    "wss://hooks.example.org/media",
];

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// That a URL minted after `began` is the given one with a minted part that the filter takes now and not in an hour.
fn assert_minted(url: &str, minted: &str, began: u64) {
    let (before, overrides) = url.split_once('#').unwrap_or((url, ""));
    let (requested, own_overrides) = minted.split_once('#').unwrap_or((minted, ""));
    assert!(requested.starts_with(before) && overrides == own_overrides, "{minted}");
    let now = now();
    let keys = [MintKey::new("m1", &Secret::from(KEY.to_owned())).expect("a key")];
    let check = |now| check_minted(requested.as_bytes(), &keys, now);
    let end = check(now).expect("genuine").expect("minted");
    assert!((began + 600..=now + 600).contains(&end), "{end} between {began} and {now}");
    assert_eq!(check(now + 3600), Err(Reject::MintExpired));
}

fn tool(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twilio-guard"));
    command.env_clear().env("MINT_KEY", KEY).env("SHORT", "short").args(arguments).output().expect("it runs")
}

#[test]
fn a_minted_url_is_one_that_the_filter_takes() {
    for url in URLS {
        let began = now();
        let output = tool(&["mint", url, "--ttl", "10m"]);
        assert!(output.status.success(), "{output:?}");
        assert_minted(url, String::from_utf8(output.stdout).expect("text").trim_end(), began);
        let output = tool(&["--json", "mint", url, "--ttl", "600s"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_minted(url, json["url"].as_str().expect("a URL"), began);
        assert_eq!(json["key_id"], "m1");
    }
}

#[test]
fn what_cannot_be_minted_is_said_without_the_key() {
    for arguments in [
        &["mint", "/calls", "--ttl", "10m"][..],
        &["mint", "https://h.example", "--ttl", "10m"],
        &["mint", "https://h.example/a", "--ttl", "10"],
        &["mint", "https://h.example/a", "--ttl", "0s"],
        &["mint", "https://h.example/a"],
        &["mint", "https://h.example/a", "--ttl", "10m", "--key-env", "NOT_SET"],
        &["mint", "https://h.example/a", "--ttl", "10m", "--key-env", "SHORT"],
        &["mint", "https://h.example/a", "--ttl", "10m", "--key-id", "A B"],
        &["mint", "https://h.example/a?tg_exp=1&tg_key=m1&tg_mac=x", "--ttl", "10m"],
    ] {
        let output = tool(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains(KEY), "{arguments:?}");
    }
}

#[test]
fn the_python_snippet_mints_what_the_filter_takes() {
    let script = "import sys; sys.path.insert(0, 'docs/snippets'); sys.dont_write_bytecode = True\n\
                  from mint import mint\nprint(mint(sys.argv[1], 'm1', sys.argv[2], 600))";
    for url in URLS {
        let began = now();
        let output = Command::new("python3").args(["-c", script, url, KEY]).output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_minted(url, String::from_utf8(output.stdout).expect("text").trim_end(), began);
    }
}

/// Node is no prerequisite of this project: where there is none, one line says so.
#[test]
fn the_node_snippet_mints_what_the_filter_takes() {
    let script = "import { mint } from './docs/snippets/mint.mjs';\n\
                  console.log(mint(process.argv[1], 'm1', process.argv[2], 600));";
    for url in URLS {
        let began = now();
        let run = Command::new("node").args(["--input-type=module", "-e", script, url, KEY]).output();
        let Ok(output) = run else {
            println!("SKIP: there is no node here");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_minted(url, String::from_utf8(output.stdout).expect("text").trim_end(), began);
    }
}
