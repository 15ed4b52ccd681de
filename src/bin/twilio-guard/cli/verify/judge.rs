//! The filter's own state machine, run over one request.

use twilio_guard::config::{Plan, Rule};
use twilio_guard::guard::{Disposition, Step, Transaction};
use twilio_guard::reject::Reject;
use twilio_guard::request::RequestHead;
use twilio_guard::signature::{Refused, Verified};

use super::super::message::Message;

/// What became of a request, in the words of logs and metrics.
#[derive(Debug)]
pub(super) struct Verdict {
    /// `verified`, `unprotected`, `observed_reject` or `refused`.
    pub(super) outcome: &'static str,
    pub(super) reason: Option<Reject>,
    pub(super) scheme: Option<&'static str>,
    pub(super) account: Option<String>,
    pub(super) key: Option<String>,
    pub(super) keys_tried: Vec<String>,
    pub(super) route: String,
}

impl Verdict {
    pub(super) fn is_verified(&self) -> bool {
        self.outcome == "verified"
    }

    fn new(outcome: &'static str, rule: &Rule) -> Self {
        Self {
            outcome,
            reason: None,
            scheme: None,
            account: None,
            key: None,
            keys_tried: Vec::new(),
            route: rule.name.clone(),
        }
    }

    fn verified(rule: &Rule, verified: &Verified) -> Self {
        Self {
            scheme: Some(verified.scheme().as_str()),
            account: verified.account_sid().map(str::to_owned),
            key: Some(verified.key().as_str().to_owned()),
            ..Self::new("verified", rule)
        }
    }

    fn refused(outcome: &'static str, rule: &Rule, refused: &Refused) -> Self {
        let tried = refused.tried.as_ref();
        let keys = tried.map(|tried| tried.keys.iter().map(|key| key.as_str().to_owned()).collect());
        Self {
            reason: Some(refused.reject),
            account: tried.and_then(|tried| tried.account.as_deref().map(str::to_owned)),
            keys_tried: keys.unwrap_or_default(),
            ..Self::new(outcome, rule)
        }
    }
}

/// Judges a request; `on_refusal` sees a refused one.
pub(super) fn judge(
    plan: &Plan,
    message: &Message,
    peer: Option<&str>,
    on_refusal: impl FnOnce(&Rule, &RequestHead<'_>, &Refused),
) -> Verdict {
    let pairs = pairs(message);
    let pairs = pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let mut head = RequestHead::read(pairs, message.body.is_empty(), |_| false);
    head.peer = peer.map(str::as_bytes);
    let (mut transaction, mut step) = Transaction::begin(plan, &head);
    if matches!(step, Step::Hold | Step::HoldBody) {
        step = transaction.body(message.body.len(), true, |_| Some(message.body.clone()));
    }
    let rule = transaction.rule();
    match step {
        // Time and number are not judged here: a request on file is old, and nobody counts it.
        Step::Admit(verified) | Step::Forward(Disposition::Verified(verified, _)) => {
            Verdict::verified(rule, &verified)
        }
        Step::Forward(Disposition::ObservedReject(refused)) => {
            on_refusal(rule, &head, &refused);
            Verdict::refused("observed_reject", rule, &refused)
        }
        Step::Refuse(refused) => {
            on_refusal(rule, &head, &refused);
            Verdict::refused("refused", rule, &refused)
        }
        // The body of an unprotected request passes; a decision is never left open at the end of the body, and no store is asked
        // before a request is admitted.
        Step::Forward(Disposition::Unprotected) | Step::Pass | Step::Hold | Step::HoldBody | Step::Ask(_) => {
            Verdict::new("unprotected", rule)
        }
    }
}

/// The header map as the proxy would show it.
fn pairs(message: &Message) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scheme = if message.url.scheme.to_ascii_lowercase().ends_with('s') { "https" } else { "http" };
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = [
        (":method", message.method.as_str()),
        (":scheme", scheme),
        (":authority", &message.url.authority),
        (":path", &message.url.target),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    // A recording's framing is not that of the body as it is given here.
    let is_framing = |name: &str| matches!(name, "host" | "content-length" | "transfer-encoding");
    for (name, value) in &message.headers {
        let name = name.to_ascii_lowercase();
        if !is_framing(&name) && !name.starts_with(':') {
            pairs.push((name.into(), value.clone().into()));
        }
    }
    if !message.body.is_empty() {
        pairs.push((b"content-length".to_vec(), message.body.len().to_string().into()));
    }
    pairs
}
