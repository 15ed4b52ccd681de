//! One captured request for each kind of traffic, and what an attacker who has no key can make of it.

use p256::ecdsa::Signature;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::messages::sid;
use super::replaying;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, TOKEN};
use crate::support::sendgrid::{self, Sendgrid};
use crate::support::sign::{SETTINGS, SIGNATURE, Twilio, encode_form};

/// A kind of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The route, and its path.
    pub route: &'static str,
    pub profile: &'static str,
    /// Whether the route is set to count everything.
    pub counts_all: bool,
    /// How many deliveries the documentation promises at most; `None` where it promises nothing.
    pub bound: Option<usize>,
}

/// Every profile, and those that do not count by default once more, counted.
pub const KINDS: [Kind; 13] = [
    kind("messaging", "messaging"),
    kind("message-status", "message-status"),
    Kind { bound: None, ..kind("voice", "voice") },
    Kind { counts_all: true, ..kind("voice-counted", "voice") },
    kind("call-status", "call-status"),
    kind("recording", "recording"),
    kind("event-streams", "event-streams"),
    kind("taskrouter", "taskrouter"),
    kind("sendgrid-events", "sendgrid-events"),
    kind("inbound-parse", "inbound-parse"),
    kind("generic", "generic"),
    Kind { bound: None, ..kind("media-stream", "media-stream") },
    Kind { counts_all: true, ..kind("media-counted", "media-stream") },
];

const fn kind(route: &'static str, profile: &'static str) -> Kind {
    Kind { route, profile, counts_all: false, bound: Some(1) }
}

/// A plugin with a route for each kind.
pub fn settings() -> Value {
    let routes = KINDS.map(|Kind { route, profile, counts_all, .. }| {
        let is_mail = matches!(profile, "sendgrid-events" | "inbound-parse");
        let mut own = json!({
            "name": route, "match": {"path_prefix": format!("/{route}")}, "profile": profile,
            "verify": if is_mail { "sendgrid" } else { "twilio" },
        });
        if counts_all {
            own["replay"] = json!({"dedupe": {"eligible": "always"}});
        }
        own
    });
    let mut settings = replaying(json!(routes));
    settings["sendgrid_keys"] = json!([{"value": Sendgrid::genuine().public_key(), "label": "events"}]);
    settings
}

/// A request that was captured just now.
pub struct Capture {
    pub request: Request,
    /// The parameters of a form, in the order of their names.
    params: Vec<(String, String)>,
    sendgrid: Option<Signature>,
}

impl Capture {
    /// A capture of its own for each number. Its path begins with that of the route.
    pub fn new(kind: Kind, number: usize) -> Self {
        let target = format!("/{}/{number}", kind.route);
        let (call, message) = (sid("CA", number), sid("SM", number));
        let now = OffsetDateTime::now_utc();
        let timestamp = now.format(&Rfc2822).expect("a year of four digits");
        let twilio = Twilio::new(TOKEN);
        let form = |own: &[(&str, &str)]| {
            let mut params = vec![("AccountSid", ACCOUNT)];
            params.extend(own);
            params.sort_unstable();
            let request = twilio.form(&target, &params);
            let params =
                params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Self { request, params, sendgrid: None }
        };
        let other = |request| Self { request, params: Vec::new(), sendgrid: None };
        match kind.profile {
            "messaging" | "generic" => {
                form(&[("MessageSid", &message), ("From", "+15005550006"), ("Body", "It is 3 pm & so on")])
            }
            "message-status" => form(&[("MessageSid", &message), ("MessageStatus", "delivered")]),
            "voice" => form(&[("CallSid", &call), ("CallStatus", "in-progress"), ("Digits", "9")]),
            "call-status" => form(&[
                ("CallSid", &call),
                ("CallStatus", "completed"),
                ("SequenceNumber", "2"),
                ("Timestamp", &timestamp),
            ]),
            "recording" => form(&[("RecordingSid", &sid("RE", number)), ("RecordingStatus", "completed")]),
            "taskrouter" => form(&[
                ("WorkspaceSid", &sid("WS", number)),
                ("EventType", "task.created"),
                ("ResourceSid", &sid("WT", number)),
                ("Timestamp", &now.unix_timestamp().to_string()),
            ]),
            "event-streams" => {
                let time = now.format(&Rfc3339).expect("a year of four digits");
                let event = json!([{"specversion": "1.0", "id": number.to_string(), "time": time}]);
                other(twilio.json(&target, &event.to_string()))
            }
            "media-stream" => other(twilio.websocket(&target)),
            mail => {
                let (time, body) =
                    (now.unix_timestamp().to_string(), format!("[{{\"sg_event_id\":\"{target}\"}}]\r\n"));
                let signature = Sendgrid::genuine().sign(&time, body.as_bytes());
                let content_type = match mail {
                    "inbound-parse" => "multipart/form-data; boundary=x",
                    _ => "application/json",
                };
                let request = Request::post(&target, content_type, body)
                    .header(sendgrid::SIGNATURE, sendgrid::encode(&signature))
                    .header(sendgrid::TIMESTAMP, time);
                Self { request, params: Vec::new(), sendgrid: Some(signature) }
            }
        }
    }

    /// Other requests that are the same capture, and have to be counted with it.
    pub fn equals(&self) -> Vec<(String, Request)> {
        let request = || self.request.clone();
        let mut all = vec![
            ("the same bytes".to_owned(), request()),
            (
                "another idempotency token".to_owned(),
                request().header("i-twilio-idempotency-token", "another"),
            ),
            (
                "added headers".to_owned(),
                request().header("x-forwarded-for", "10.0.0.1").header("cookie", "a=b"),
            ),
            ("another request id".to_owned(), request().header("x-request-id", "another")),
            ("another user agent".to_owned(), request().with("user-agent", "TwilioProxy/9")),
            ("the host in capitals, with a port".to_owned(), request().authority("HOOKS.Example.org:443")),
            ("a claim to be verified".to_owned(), request().header("x-twilio-guard", "replay=first")),
        ];
        if !self.request.websocket {
            all.push(("of undeclared length".to_owned(), request().undeclared_length()));
            all.push(("with trailers".to_owned(), request().trailer("x-end", "yes")));
        }
        if !self.params.is_empty() {
            all.extend(self.forms().into_iter().map(|(what, form)| (what, request().body(form))));
            let charset = "Application/X-WWW-Form-Urlencoded; charset=\"UTF-8\"";
            all.push(("another spelling of the type".to_owned(), request().with("content-type", charset)));
        }
        if let Some(signature) = &self.sendgrid {
            let (r, s) = signature.split_scalars();
            let twin = Signature::from_scalars(r, -s).expect("a signature");
            let header = sendgrid::SIGNATURE;
            all.push((
                "the twin of the signature".to_owned(),
                request().with(header, sendgrid::encode(&twin)),
            ));
            let elsewhere = Request { target: format!("{}/elsewhere?a=b", self.request.target), ..request() };
            all.push(("another path that takes it".to_owned(), elsewhere));
            let other =
                if self.request.target.starts_with("/inbound") { "sendgrid-events" } else { "inbound-parse" };
            all.push(("another route".to_owned(), Request { target: format!("/{other}/x"), ..request() }));
        }
        all
    }

    /// Bodies with the same decoded pairs.
    fn forms(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, &str)> =
            self.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reversed: Vec<_> = pairs.iter().rev().copied().collect();
        let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let escaped: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        vec![
            ("in another order".to_owned(), encode_form(&reversed)),
            ("each twice".to_owned(), format!("{0}&{0}", encode_form(&pairs))),
            ("every byte escaped".to_owned(), escaped.join("&")),
            ("empty pairs".to_owned(), format!("&&{}&", encode_form(&pairs))),
        ]
    }

    /// Other requests that carry the same signature, of which none may be delivered once the capture was: the same signed text
    /// cut in another way, other encodings, other methods.
    pub fn relatives(&self) -> Vec<(String, Request)> {
        let request = || self.request.clone();
        let mut all = Vec::new();
        for (index, pair) in self.params.windows(2).enumerate() {
            let [(name, value), (next, after)] = pair else { continue };
            let mut folded = self.params.clone();
            folded[index] = (name.clone(), format!("{value}{next}{after}"));
            folded.remove(index + 1);
            all.push((format!("{next} folded into {name}"), folded));
            let mut moved = self.params.clone();
            let (short, last) = name.split_at(name.len() - 1);
            moved[index] = (short.to_owned(), format!("{last}{value}"));
            all.push((format!("{name} cut short"), moved));
            let mut moved = self.params.clone();
            if let Some((first, rest)) = value.split_at_checked(1) {
                moved[index] = (format!("{name}{first}"), rest.to_owned());
                all.push((format!("{name} made longer"), moved));
            }
        }
        let mut all: Vec<_> = all
            .into_iter()
            .map(|(what, params)| {
                let pairs: Vec<_> =
                    params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                (what, request().body(encode_form(&pairs)))
            })
            .collect();
        all.extend(self.moved_into_the_path());
        let methods = ["GET", "POST", "PUT", "HEAD", "PATCH"].into_iter();
        for method in methods.filter(|method| *method != self.request.method) {
            let other = Request { method: method.to_owned(), websocket: false, ..request() };
            all.push((format!("{method} without a body"), other.clone().body("")));
            all.push((method.to_owned(), other));
        }
        for name in [SIGNATURE, sendgrid::SIGNATURE] {
            let value = self.request.headers.iter().find(|(own, _)| own == name);
            let Some(value) = value.and_then(|(_, value)| value.to_str().ok()) else { continue };
            let urlsafe = value.replace('+', "-").replace('/', "_");
            let encodings = [
                value.trim_end_matches('=').to_owned(),
                format!("{value}="),
                format!("{value}, {value}"),
                other_last_digit(value),
                format!("{}==", value.trim_end_matches('=')),
                value.to_ascii_lowercase(),
            ];
            all.extend(encodings.map(|text| (format!("signature {text}"), request().with(name, text))));
            if urlsafe != value {
                all.push(("signature in base64url".to_owned(), request().with(name, urlsafe)));
            }
            all.push(("signature twice".to_owned(), request().header(name, value)));
            all.push((
                "a SharedKey named".to_owned(),
                request().header(SETTINGS, "key=k,algorithm=HMAC_SHA256"),
            ));
        }
        if let Some(signature) = &self.sendgrid {
            let der = signature.to_der();
            let long = long_form(der.as_bytes());
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, long);
            all.push(("DER with a long length".to_owned(), request().with(sendgrid::SIGNATURE, text)));
        }
        let path = Request { target: format!("{}/", self.request.target), ..request() };
        all.push(("another path".to_owned(), path));
        all.push((
            "a query".to_owned(),
            Request { target: format!("{}?", self.request.target), ..request() },
        ));
        all
    }
}

impl Capture {
    /// The first parameters as a part of the path: the signed text is the URL with the parameters behind it.
    fn moved_into_the_path(&self) -> Vec<(String, Request)> {
        let mut target = self.request.target.clone();
        let mut all = Vec::new();
        for (index, (name, value)) in self.params.iter().enumerate() {
            if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                break;
            }
            target.extend([name.as_str(), value.as_str()]);
            let rest = self.params.get(index + 1..).unwrap_or_default();
            let rest: Vec<_> = rest.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let request = Request { target: target.clone(), ..self.request.clone() };
            all.push((format!("up to {name} in the path"), request.clone().body(encode_form(&rest))));
            if rest.is_empty() {
                let get = Request { method: "GET".to_owned(), ..request.clone() };
                all.push(("all in the path of a GET".to_owned(), get.body("").without("content-type")));
            }
        }
        all
    }
}

/// Base64 of the same bytes with other unused bits, where there are any.
fn other_last_digit(text: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let (start, last) = digits.split_at(digits.len() - 1);
    let value = DIGITS.find(last).expect("a digit");
    let next = DIGITS.get(value ^ 1..).and_then(|rest| rest.get(..1)).expect("a digit");
    let padding = text.strip_prefix(digits).unwrap_or_default();
    format!("{start}{next}{padding}")
}

/// The same DER sequence with its length in two bytes.
fn long_form(der: &[u8]) -> Vec<u8> {
    let mut bytes = vec![der[0], 0x81, der[1]];
    bytes.extend(&der[2..]);
    bytes
}
