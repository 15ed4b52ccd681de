//! What is said about a verdict: to the caller, to the upstream, to the operator.
//!
//! Nothing here can carry request data. The caller learns a status and a request id; the operator learns codes and names
//! that come from the configuration.

use serde::Serialize;
use uuid::Uuid;

use super::{Disposition, ReplayMark};
use crate::config::{OnReplay, Rule};
use crate::reject::{Reject, StatusClass};
use crate::request::RequestHead;
use crate::signature::explain::Hint;
use crate::signature::{Refused, Verified};

/// The answer to a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `twilio_guard_<code>`, for `%RESPONSE_CODE_DETAILS%`.
    pub details: String,
    /// The constant text with the request id.
    pub body: String,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// The answer for a reason under a rule. Two requests refused with the same status differ in nothing but the id:
    /// the caller learns nothing about what was wrong.
    #[must_use]
    pub fn new(rule: &Rule, reject: Reject, allowed: Option<&[String]>, request_id: Uuid) -> Self {
        if is_acknowledged(rule, reject) {
            return Self::acknowledgement(reject);
        }
        let status = rule.statuses.of(reject.class());
        let mut headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        if status == 401 {
            // RFC 9110, section 15.5.2: a 401 names what would satisfy it.
            headers.push(("www-authenticate", "Twilio-Signature".to_owned()));
        }
        if let (StatusClass::Method, 405, Some(methods)) = (reject.class(), status, allowed) {
            // RFC 9110, section 15.5.6: a 405 lists what is allowed.
            headers.push(("allow", methods.join(", ")));
        }
        Self {
            status,
            details: format!("twilio_guard_{}", reject.code()),
            body: format!("Request refused. Request id: {request_id}\n"),
            headers,
        }
    }

    /// What contents a sender whose request was delivered before: a TwiML response that does nothing.
    fn acknowledgement(reject: Reject) -> Self {
        Self {
            status: 200,
            details: format!("twilio_guard_{}", reject.code()),
            body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>".to_owned(),
            headers: vec![("content-type", "text/xml; charset=utf-8".to_owned())],
        }
    }
}

/// The status with which a request is answered.
fn status_of(rule: &Rule, reject: Reject) -> u16 {
    if is_acknowledged(rule, reject) { 200 } else { rule.statuses.of(reject.class()) }
}

fn is_acknowledged(rule: &Rule, reject: Reject) -> bool {
    reject == Reject::Replayed && rule.replay.dedupe.on_replay == OnReplay::Acknowledge
}

/// The request id that a client sent, where it is a UUID; anything else could carry data of its own.
#[must_use]
pub fn client_request_id(head: &RequestHead<'_>) -> Option<Uuid> {
    let text = head.request_id.once().filter(|text| text.len() == 36)?;
    Uuid::try_parse_ascii(text).ok()
}

/// The value of the verified header.
#[must_use]
pub fn verified_header_value(rule: &Rule, verified: &Verified, mark: ReplayMark) -> String {
    let account = verified.account_sid().map(|sid| format!("account={sid}; ")).unwrap_or_default();
    let (label, _) = verified.key().parts();
    let (scheme, replay) = (verified.scheme().as_str(), mark.as_str());
    format!("scheme={scheme}; {account}key={label}; route={}; replay={replay}", rule.name)
}

/// A verdict in the words of metrics, filter state and log.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// `verified`, `unprotected`, `observed_reject` or `refused`.
    pub outcome: &'static str,
    /// The reason of a refusal.
    pub reason: Option<Reject>,
    /// The name of the rule.
    pub route: &'a str,
    /// The proof, where there is one.
    pub verified: Option<&'a Verified>,
    /// What the store says of it.
    pub replay: Option<ReplayMark>,
    refused: Option<&'a Refused>,
    status: Option<u16>,
}

impl<'a> Report<'a> {
    /// What is said of a request that goes upstream.
    #[must_use]
    pub fn of_disposition(rule: &'a Rule, disposition: &'a Disposition) -> Self {
        let route = rule.name.as_str();
        let (outcome, verified, refused) = match disposition {
            Disposition::Verified(verified, mark) => ("verified", Some((verified, *mark)), None),
            Disposition::Unprotected => ("unprotected", None, None),
            Disposition::ObservedReject(refused) => ("observed_reject", None, Some(refused)),
        };
        Self {
            outcome,
            reason: refused.map(|refused| refused.reject),
            route,
            verified: verified.map(|(verified, _)| verified),
            replay: verified.map(|(_, mark)| mark),
            refused,
            status: None,
        }
    }

    /// What is said of a request that is answered here.
    #[must_use]
    pub fn of_refusal(rule: &'a Rule, refused: &'a Refused) -> Self {
        Self {
            outcome: "refused",
            reason: Some(refused.reject),
            route: &rule.name,
            verified: None,
            replay: None,
            refused: Some(refused),
            status: Some(status_of(rule, refused.reject)),
        }
    }

    /// The code of the reason, or `none`.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        self.reason.map_or("none", Reject::code)
    }

    /// One JSON line for the operator about a refusal: ids, codes and configured names, no request data.
    #[must_use]
    pub fn log_line(&self, request_id: Uuid, dropped: u64, hints: &[Hint]) -> String {
        let tried = self.refused.and_then(|refused| refused.tried.as_ref());
        let line = LogLine {
            event: self.outcome,
            code: self.reason_code(),
            status: self.status,
            route: self.route,
            request_id,
            account: tried.and_then(|tried| tried.account.as_deref()),
            keys_tried: tried
                .map(|tried| tried.keys.iter().map(|key| key.as_str()).collect())
                .unwrap_or_default(),
            would_match: hints.iter().map(|hint| hint.code()).collect(),
            advice: hints.iter().map(|hint| hint.advice()).chain(self.reason.and_then(advice)).collect(),
            lines_dropped_before: dropped,
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn advice(reject: Reject) -> Option<&'static str> {
    match reject {
        Reject::HoldFlagMissing => Some(
            "set allow_on_headers_stop_iteration: true in the plugin config (an EnvoyFilter in Istio), or use hold: body",
        ),
        _ => None,
    }
}

#[derive(Serialize)]
struct LogLine<'a> {
    event: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    route: &'a str,
    #[serde(serialize_with = "as_text")]
    request_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys_tried: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would_match: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    advice: Vec<&'static str>,
    lines_dropped_before: u64,
}

fn as_text<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
