//! `Debug` shows nothing of a request: it ends up in panics, assertions and logs that nobody meant to write.

use serde_json::json;
use twilio_guard::guard::{LogView, Step, Transaction};
use twilio_guard::path::CanonicalPath;
use twilio_guard::request::{Occurs, RequestHead};
use twilio_guard::route;

use crate::core_support::{FORM, HOST, SID_A, URL, plan};

/// Whether a `Debug` text holds a marker, spelled as text or as the numbers of its bytes.
fn shows(debug: &str, marker: &str) -> bool {
    let numbers: Vec<String> = marker.bytes().map(|b| b.to_string()).collect();
    debug.contains(marker) || debug.contains(&numbers.join(", "))
}

#[test]
fn nothing_of_a_request_is_shown_by_debug() {
    let plan = plan(&json!({
        "public_url": URL,
        "default": "twilio",
        "explain": true,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A"}]}],
    }));
    let marker = "janeroe";
    let target = format!("/patients/{marker}?From={marker}");
    let signature = "amFuZXJvZWphbmVyb2VqYW5lcm8=";
    let value = Occurs::Once(marker.as_bytes());
    let head = RequestHead {
        method: b"POST",
        scheme: b"https",
        authority: HOST.as_bytes(),
        target: target.as_bytes(),
        content_type: Occurs::Once(FORM.as_bytes()),
        content_length: Occurs::Once(b"100"),
        signature: Occurs::Once(signature.as_bytes()),
        user_agent: value,
        referer: value,
        request_id: value,
        ..RequestHead::default()
    };
    let selection = route::select(&plan, &head);
    let view = LogView::of(selection.rule, &head, || None);
    let (transaction, step) = Transaction::begin(&plan, &head);
    assert!(matches!(step, Step::Hold) && transaction.waits_for().is_some(), "{step:?}");
    for debug in [
        format!("{head:?}"),
        format!("{:?}", head.signature),
        format!("{:?}", CanonicalPath::of(head.path())),
        format!("{view:?}"),
        format!("{transaction:?}"),
        format!("{step:?}"),
    ] {
        assert!(!shows(&debug, marker) && !shows(&debug, signature), "{debug}");
    }
}
