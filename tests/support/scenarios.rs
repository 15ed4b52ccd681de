//! What the demo shows and the end-to-end test proves: one row per kind of webhook, accepted or refused, against
//! `envoy/quickstart.yaml`.

use super::http::{Request, Response};
use super::sendgrid::Sendgrid;
use super::sign::{FORM_TYPE, SETTINGS, SIGNATURE, Twilio, encode_form, now, rfc3339, signature_sha256};
use super::upstream::{Behaviour, Upstream};
use std::sync::atomic::{AtomicU64, Ordering};

/// The token of the demo: made up, like the account.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The account that `envoy/quickstart.yaml` accepts.
pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// The SharedKey of the demo, whose id `envoy/quickstart.yaml` names: made up as well.
const SHARED_KEY: &str = "fedcba9876543210fedcba9876543210";

/// The variables that `envoy/quickstart.yaml` hands to the filter.
pub fn environment() -> [(&'static str, String); 3] {
    [
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ("TWILIO_SHARED_KEY", SHARED_KEY.to_owned()),
        ("SENDGRID_PUBLIC_KEY", Sendgrid::genuine().public_key()),
    ]
}

/// One row.
pub struct Scenario {
    /// What is sent, in a few words.
    pub name: &'static str,
    /// The request.
    pub request: Request,
    /// What has to become of it.
    pub expected: Expected,
}

impl Scenario {
    /// Makes the application fail where the row is about that.
    pub fn prepare(&self, upstream: &Upstream) {
        if let Expected::Failed(status) = self.expected {
            let path = self.request.target.split('?').next().unwrap_or_default();
            upstream.script_next(path, [Behaviour::Status(status)]);
        }
    }
}

/// The promised outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The upstream got it, once, and its answer came back.
    Accepted,
    /// The upstream got it, once, and failed with this status.
    Failed(u16),
    /// The client was answered this status for this reason, and the upstream saw nothing.
    Refused(u16, &'static str),
}

impl Expected {
    /// Whether the outcome is as promised: the response, Envoy's `%RESPONSE_CODE_DETAILS%`, and how many requests
    /// reached the upstream meanwhile.
    pub fn holds(self, response: &Response, details: &str, reached_upstream: usize) -> bool {
        match self {
            Self::Accepted => response.accepted() && reached_upstream == 1,
            Self::Failed(status) => response.status == status && reached_upstream == 1,
            Self::Refused(status, code) => {
                response.status == status
                    && details.strip_prefix("twilio_guard_") == Some(code)
                    && reached_upstream == 0
            }
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted => formatter.write_str("accepted"),
            Self::Failed(status) => write!(formatter, "{status} of the app"),
            Self::Refused(status, code) => write!(formatter, "{status} {code}"),
        }
    }
}

/// The parameters of an inbound message.
pub const MESSAGE: [(&str, &str); 7] = [
    ("MessageSid", "SM00000000000000000000000000000001"),
    ("AccountSid", ACCOUNT),
    ("From", "+15005550006"),
    ("To", "+15005550009"),
    ("NumMedia", "0"),
    ("NumSegments", "1"),
    ("Body", "Is my appointment still at 3 pm?"),
];

/// A batch of one event of that many seconds ago.
pub fn event(status: &str, age: u64) -> String {
    let time = rfc3339(now() - age);
    format!(
        r#"[{{"specversion":"1.0","type":"com.twilio.messaging.message.{status}","id":"EZ1","time":"{time}","data":{{}}}}]"#
    )
}

const SENDGRID_EVENTS: &str = "[{\"email\":\"someone@example.com\",\"event\":\"delivered\"}]\r\n";

/// The genuine message of the demo; its `curl` line sends the same.
pub fn message() -> Request {
    Twilio::new(TOKEN).form("/sms", &MESSAGE)
}

/// The parameters of another message than [`MESSAGE`], and another one each time.
pub fn another_message() -> Request {
    static NUMBER: AtomicU64 = AtomicU64::new(2);
    let sid = format!("SM{:032x}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut parameters = MESSAGE;
    parameters[0].1 = &sid;
    Twilio::new(TOKEN).form("/sms", &parameters)
}

/// Every row, in the order of the table, which is also the order in which they hold.
pub fn all() -> Vec<Scenario> {
    let twilio = Twilio::new(TOKEN);
    let call =
        format!("/voice?CallSid=CA00000000000000000000000000000001&AccountSid={ACCOUNT}&CallStatus=ringing");
    let long = "a".repeat(70_000);
    let mut oversize = MESSAGE.to_vec();
    oversize.push(("Padding", &long));
    let sendgrid = Sendgrid::genuine().events("/sendgrid/events", SENDGRID_EVENTS);
    let bounced = SENDGRID_EVENTS.replace("delivered", "bounced");
    let retried = another_message();

    let accepted = [
        ("signed SMS, form POST", message()),
        ("signed event, JSON with bodySHA256", twilio.json("/events", &event("delivered", 0))),
        ("signed call, GET with query", twilio.get(&call)),
        ("signed media stream, WebSocket", twilio.websocket("/media")),
        ("second media stream to the same URL", twilio.websocket("/media")),
        ("SMS signed with a SharedKey", by_shared_key()),
        ("signed SendGrid events", sendgrid.clone()),
    ];
    let refused = [
        (EXPLAINED, misconfigured(), 401, "mismatch"),
        ("one parameter changed", tampered(), 401, "mismatch"),
        ("signed with another token", Twilio::new("not the token").form("/sms", &MESSAGE), 401, "mismatch"),
        ("no signature", message().without(SIGNATURE), 401, "missing_signature"),
        (
            "JSON swapped under a URL-only signature",
            twilio.url_only(Request::post("/events", "application/json", event("failed", 0))),
            401,
            "body_hash_missing",
        ),
        ("SendGrid body changed", sendgrid.body(bounced), 401, "mismatch"),
        ("wrong host", message().authority("elsewhere.example"), 403, "host_not_accepted"),
        ("oversize body", twilio.form("/sms", &oversize), 413, "body_too_large"),
        ("the first SMS once more", message(), 409, "replayed"),
        ("an event of two days ago", twilio.json("/events", &event("sent", 48 * 3600)), 408, "stale"),
    ];
    let accepted = accepted.map(|(name, request)| (name, request, Expected::Accepted));
    let retry = [
        ("an SMS that the app fails on", retried.clone(), Expected::Failed(503)),
        ("its retry, byte for byte", retried, Expected::Accepted),
    ];
    let refused =
        refused.map(|(name, request, status, code)| (name, request, Expected::Refused(status, code)));
    let rows = accepted.into_iter().chain(retry).chain(refused);
    rows.map(|(name, request, expected)| Scenario { name, request, expected }).collect()
}

/// The row whose log line names the fix.
pub const EXPLAINED: &str = "signed for http, not https";

/// The genuine message from somebody who entered `http` at Twilio.
fn misconfigured() -> Request {
    let twilio = Twilio { public_url: "http://hooks.example.org".to_owned(), ..Twilio::new(TOKEN) };
    twilio.form("/sms", &MESSAGE)
}

/// The genuine message, signed with HMAC-SHA256 and the SharedKey that it names.
fn by_shared_key() -> Request {
    let signature = signature_sha256(SHARED_KEY, Twilio::new(TOKEN).url("/sms"), &MESSAGE);
    Request::post("/sms", FORM_TYPE, encode_form(&MESSAGE))
        .header(SIGNATURE, signature)
        .header(SETTINGS, "key=webhooks_sharedkey_example,algorithm=HMAC_SHA256")
}

/// The part of Envoy's log that explains a refusal: the filter's first line that says what would have matched.
pub fn explanation(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("\"would_match\":"))?;
    line.find("twilio-guard {").and_then(|start| line.get(start..))
}

/// A genuine message whose text was changed on the way.
fn tampered() -> Request {
    let request = message();
    let body = String::from_utf8_lossy(&request.body).replace("3+pm", "4+pm");
    request.body(body)
}
