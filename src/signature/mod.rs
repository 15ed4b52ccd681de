//! Verification: bytes and keys in, [`Verified`] or [`Refused`] out.
//!
//! The types form a ladder that cannot be skipped: a request head becomes a [`HeadVerdict`], what awaits its body
//! becomes a verdict over it, and only this module can make a [`Verified`].

mod body;
mod budget;
pub mod explain;
mod form;
mod query;
mod sendgrid;
mod settings;
mod signer;
mod twilio;
mod urls;

pub use body::BodyRule;
use std::fmt;
use std::sync::Arc;

use crate::config::{KeyName, Limits, SendgridRule, TwilioRule};
use crate::reject::Reject;
use crate::request::RequestHead;

/// What the head alone decides.
#[derive(Debug)]
pub enum HeadVerdict {
    /// The whole request is verified.
    Verified(Verified),
    /// The head is in order; the body decides.
    Awaits(AwaitsBody),
}

/// A request whose head is in order. What it says of the body still has to come true.
#[derive(Debug)]
pub struct AwaitsBody(Awaited);

#[derive(Debug)]
enum Awaited {
    Twilio(twilio::AwaitsBody),
    Sendgrid(sendgrid::AwaitsBody),
}

/// Judges the head of a request under a rule for Twilio's own scheme.
///
/// # Errors
/// What no body could make acceptable.
pub fn judge_twilio(
    rule: &Arc<TwilioRule>,
    limits: &Limits,
    head: &RequestHead<'_>,
) -> Result<HeadVerdict, Refused> {
    Ok(match twilio::SignedHead::read(rule, limits, head)?.judge()? {
        twilio::Judged::Verified(verified) => HeadVerdict::Verified(verified),
        twilio::Judged::Awaits(awaits) => HeadVerdict::Awaits(AwaitsBody(Awaited::Twilio(awaits))),
    })
}

/// Judges the head of a request under a rule for SendGrid.
///
/// # Errors
/// What no body could make acceptable.
pub fn judge_sendgrid(
    rule: &Arc<SendgridRule>,
    limits: &Limits,
    head: &RequestHead<'_>,
) -> Result<HeadVerdict, Refused> {
    let awaits = sendgrid::AwaitsBody::read(rule, limits, head)?;
    if head.end_of_stream {
        return awaits.judge(&[]).map(HeadVerdict::Verified);
    }
    Ok(HeadVerdict::Awaits(AwaitsBody(Awaited::Sendgrid(awaits))))
}

impl AwaitsBody {
    /// Whether a body of (so far) this many bytes can still be accepted.
    ///
    /// # Errors
    /// It is over the limit, or there must be no body at all.
    pub fn check_length(&self, length: usize) -> Result<(), Reject> {
        match &self.0 {
            Awaited::Twilio(awaits) => awaits.check_length(length),
            Awaited::Sendgrid(awaits) => awaits.check_length(length),
        }
    }

    /// About how many bytes are kept until the body is there.
    #[must_use]
    pub fn weight(&self) -> usize {
        match &self.0 {
            Awaited::Twilio(awaits) => awaits.weight(),
            Awaited::Sendgrid(_) => 0,
        }
    }

    /// The verdict over the whole body.
    ///
    /// # Errors
    /// The body is not the one that is signed.
    pub fn judge(self, body: &[u8]) -> Result<Verified, Refused> {
        match self.0 {
            Awaited::Twilio(awaits) => awaits.judge(body),
            Awaited::Sendgrid(awaits) => awaits.judge(body),
        }
    }
}

/// How a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// With an account's auth token.
    Twilio,
    /// With a SharedKey that the request names.
    SharedKey,
    /// With a SendGrid key.
    Sendgrid,
}

impl Scheme {
    /// The name of the scheme in the verified header, filter state and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::SharedKey => "sharedkey",
            Self::Sendgrid => "sendgrid",
        }
    }
}

/// Proof that a request's URL and body are signed by a configured key.
#[derive(Debug, Clone)]
pub struct Verified {
    scheme: Scheme,
    account: Option<Arc<str>>,
    key: Arc<KeyName>,
    signed: Signed,
}

/// What was signed, as far as replay windows look at it. It never prints: with the key's MAC it is a valid request.
#[derive(Clone, Default)]
pub struct Signed {
    /// What the scheme computed: the same for every copy of a request.
    pub(crate) computed: Vec<u8>,
    /// Whether what is signed identifies an event that happens once.
    pub(crate) is_event: bool,
    /// The signed URL; empty where the scheme signs none.
    pub(crate) url: Vec<u8>,
    /// The times among the signed parameters, in seconds since 1970; `None` for one that cannot be read.
    pub(crate) times: Vec<Option<u64>>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(..)")
    }
}

impl Verified {
    /// What was signed.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// How the request was signed.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The SID of the account that the key belongs to, where the configuration names it.
    #[must_use]
    pub fn account_sid(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> &KeyName {
        &self.key
    }
}

/// A refusal, with what the request was held against, where it came that far.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Why.
    pub reject: Reject,
    /// The account and the keys that were tried.
    pub tried: Option<Tried>,
}

/// Whose keys a request was held against.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The account's SID, where the configuration names it.
    pub account: Option<Arc<str>>,
    /// The names of the keys.
    pub keys: Vec<Arc<KeyName>>,
}

impl Refused {
    /// The refusal of a request whose signature is genuine.
    #[must_use]
    pub fn of(reject: Reject, verified: &Verified) -> Self {
        let keys = vec![Arc::clone(&verified.key)];
        Self { reject, tried: Some(Tried { account: verified.account.clone(), keys }) }
    }
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self { reject, tried: None }
    }
}
