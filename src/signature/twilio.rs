//! Twilio's own scheme: a MAC over the URL and, for forms, the sorted parameters. The key is an account's auth token
//! (HMAC-SHA1), or the SharedKey that the request names.
//!
//! Spec twilio-signature, section 4. A verdict falls in two stages. At the head: everything that needs no body, which
//! includes the MAC of all requests whose signed text is the URL alone. At the end of the body: the form's MAC, or
//! the hash that the signed URL names.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::budget::Budget;
use super::form::Form;
use super::signer::Signer;
use super::{BodyRule, Refused, Signed, Tried, Verified, query, settings, urls};
use crate::config::{Account, Algorithm, Key, Limits, PublicUrl, SharedKey, TwilioRule, UrlBases};
use crate::event::identifies_event;
use crate::reject::Reject;
use crate::request::{Occurs, RequestHead};
use crate::times::read_time;

/// The head of a request that carries one well-formed signature and can still turn out to be genuine.
pub(super) struct SignedHead {
    rule: Arc<TwilioRule>,
    limits: Limits,
    signature: Vec<u8>,
    shared_key: Option<Arc<SharedKey>>,
    target: Vec<u8>,
    is_upgrade: bool,
    is_complete: bool,
    derived_urls: Option<UrlBases>,
    body: BodyRule,
    body_limit: usize,
}

/// What the head alone decides.
pub(super) enum Judged {
    Verified(Verified),
    Awaits(AwaitsBody),
}

/// A request whose head is in order.
pub(super) struct AwaitsBody {
    rest: Rest,
    limit: usize,
}

impl fmt::Debug for AwaitsBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitsBody").field("limit", &self.limit).finish_non_exhaustive()
    }
}

enum Rest {
    /// Verified if no byte of a body comes.
    Nothing(Verified, Reject),
    /// Verified if the body has the signed hash.
    Hash { verified: Verified, expected: Vec<u8>, unless_empty: bool },
    /// The form's parameters are part of the signed text.
    Form(Box<SignedHead>),
}

impl SignedHead {
    /// Reads what the head commits to, and refuses what no body could make acceptable.
    ///
    /// # Errors
    /// The first reason found, cheapest checks first.
    pub(super) fn read(
        rule: &Arc<TwilioRule>,
        limits: &Limits,
        head: &RequestHead<'_>,
    ) -> Result<Self, Reject> {
        if !rule.methods.iter().any(|method| method.as_bytes() == head.method) {
            return Err(Reject::MethodNotAllowed);
        }
        if head.target.len() > limits.max_target {
            return Err(Reject::TargetTooLarge);
        }
        let derived_urls = urls::check_host(rule, head)?;
        let shared_key = settings::named_key(rule, head.signature_settings)?;
        let algorithm = shared_key.as_ref().map_or(Algorithm::HmacSha1, |key| key.algorithm);
        let signature = signature_text(head.signature, algorithm)?;
        let body = BodyRule::of(head)?;
        let body_limit = match body {
            BodyRule::Empty(_) => 0,
            BodyRule::Hash { .. } => limits.max_body,
            BodyRule::Form => limits.max_form.min(limits.max_body),
        };
        if !matches!(body, BodyRule::Empty(_)) && !head.end_of_stream && head.declares_more_than(body_limit) {
            return Err(Reject::BodyTooLarge);
        }
        if query::pairs(head.query()).take(limits.max_params.saturating_add(1)).count() > limits.max_params {
            return Err(Reject::TooManyParams);
        }
        Ok(Self {
            rule: Arc::clone(rule),
            limits: *limits,
            signature,
            shared_key,
            target: head.target.to_vec(),
            is_upgrade: head.is_upgrade(),
            is_complete: head.end_of_stream || head.is_upgrade(),
            derived_urls,
            body,
            body_limit,
        })
    }

    /// Decides all that the head can decide.
    ///
    /// # Errors
    /// The signature is not one of the account's, or a signed parameter is not as required.
    pub(super) fn judge(self) -> Result<Judged, Refused> {
        let limit = self.body_limit;
        if self.body == BodyRule::Form && !self.is_complete {
            return Ok(Judged::Awaits(AwaitsBody { rest: Rest::Form(Box::new(self)), limit }));
        }
        let verified = self.verify(None)?;
        let rest = match self.body {
            BodyRule::Hash { expected, unless_empty } => Rest::Hash { verified, expected, unless_empty },
            BodyRule::Empty(reason) if !self.is_complete => Rest::Nothing(verified, reason),
            BodyRule::Empty(_) | BodyRule::Form => return Ok(Judged::Verified(verified)),
        };
        let awaits = AwaitsBody { rest, limit };
        if self.is_complete {
            return awaits.judge(&[]).map(Judged::Verified);
        }
        Ok(Judged::Awaits(awaits))
    }

    /// Finds the key that signed, among those of the account that the signed parameters name.
    fn verify(&self, form: Option<&Form>) -> Result<Verified, Refused> {
        let rule = &*self.rule;
        let mut budget = Budget::new(&self.limits);
        let signer = self.signer(form)?;
        let refuse = |reject| Refused { reject, tried: Some(signer.tried()) };
        let bases = match (&self.derived_urls, &rule.public_url) {
            (Some(derived), _) => derived,
            (None, PublicUrl::Fixed(bases)) => bases,
            (None, PublicUrl::FromRequest | PublicUrl::FromForwarded(_)) => {
                return Err(refuse(Reject::HostNotAccepted));
            }
        };
        let bases = bases.for_request(self.is_upgrade);
        let mut found = self.signing_key(signer.keys(), bases, form, &mut budget).map_err(refuse)?;
        let other_order = if found.is_none() { form.and_then(Form::in_utf16_order) } else { None };
        if let Some(other_order) = &other_order {
            found = self.signing_key(signer.keys(), bases, Some(other_order), &mut budget).map_err(refuse)?;
        }
        let (key, base) = found.ok_or_else(|| refuse(Reject::Mismatch))?;
        self.check_required(form).map_err(refuse)?;
        Ok(Verified {
            scheme: signer.scheme(),
            account: signer.account().cloned(),
            key: Arc::clone(key.name()),
            signed: self.signed(base, other_order.as_ref().or(form)),
        })
    }

    /// What was signed, now that a key is found that signed it.
    fn signed(&self, base: &str, form: Option<&Form>) -> Signed {
        let params = form.iter().flat_map(|form| form.signed_pieces());
        let text: Vec<&[u8]> = [base.as_bytes(), &self.target].into_iter().chain(params).collect();
        let is_event = identifies_event(&text);
        let url = [base.as_bytes(), &self.target].concat();
        let times = self.rule.time_params.iter().filter_map(|source| {
            match self.signed_values(source.name.as_bytes(), form).as_slice() {
                [] => None,
                [value] => Some(read_time(source.format, value)),
                _ => Some(None),
            }
        });
        // Equal to the MAC that was computed, byte for byte: it was compared with it.
        let computed = self.signature.clone();
        Signed { computed, is_event, url, times: times.collect() }
    }

    /// The distinct values of a signed parameter: in the form where there is one, else in the query.
    fn signed_values(&self, name: &[u8], form: Option<&Form>) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> = match form {
            Some(form) => form.values(name).map(<[u8]>::to_vec).collect(),
            None => query::pairs(self.query())
                .filter(|(own, _)| own.as_ref() == name)
                .map(|(_, value)| value.into_owned())
                .collect(),
        };
        values.dedup();
        values
    }

    /// The first key under which one of the URL spellings has the request's signature.
    fn signing_key<'k>(
        &self,
        keys: &'k [Key],
        bases: &'k [String],
        form: Option<&Form>,
        budget: &mut Budget,
    ) -> Result<Option<(&'k Key, &'k str)>, Reject> {
        let form_length = form.map_or(0, Form::signed_length);
        for key in keys {
            for base in bases {
                let length = base.len().saturating_add(self.target.len()).saturating_add(form_length);
                budget.pay_signature(length)?;
                let mut mac = key.mac();
                mac.update(base.as_bytes());
                mac.update(&self.target);
                for piece in form.iter().flat_map(|form| form.signed_pieces()) {
                    mac.update(piece);
                }
                if mac.finish().matches(&self.signature) {
                    return Ok(Some((key, base)));
                }
            }
        }
        Ok(None)
    }

    /// Whose key has to have signed. The signed `AccountSid` is a hint until that key matches, a proof afterwards.
    fn signer(&self, form: Option<&Form>) -> Result<Signer<'_>, Refused> {
        if let Some(shared) = &self.shared_key {
            if let Some(account) = shared.account.as_deref()
                && self.named_account(form)?.is_some_and(|named| named != account.as_bytes())
            {
                return Err(Reject::AccountMismatch.into());
            }
            return Ok(Signer::Shared(shared));
        }
        let account = match self.rule.accounts.as_slice() {
            [] => return Err(Reject::NoKey.into()),
            [only] if only.sid.is_none() => only,
            accounts => {
                let named = self.named_account(form)?;
                let is_named =
                    |account: &&Arc<Account>| account.sid.as_deref().map(str::as_bytes) == named.as_deref();
                match (accounts, &named) {
                    ([only], None) => only,
                    ([only], Some(_)) if is_named(&only) => only,
                    ([_], Some(_)) => return Err(Reject::AccountMismatch.into()),
                    (_, None) => return Err(Reject::AccountMissing.into()),
                    (_, Some(_)) => accounts.iter().find(is_named).ok_or(Reject::UnknownAccount)?,
                }
            }
        };
        Ok(Signer::Account(account))
    }

    /// The account that the signed parameters name, in query and form alike.
    ///
    /// A name that some applications read as `AccountSid` though it is another contradicts: it could name an account to
    /// them that the signature is not bound to.
    fn named_account(&self, form: Option<&Form>) -> Result<Option<Vec<u8>>, Reject> {
        let mut named: Option<Cow<'_, [u8]>> = None;
        let mut add = |name: &[u8], value: Cow<'_, [u8]>| match &named {
            _ if name != ACCOUNT_SID => {
                if reads_as_account_sid(name) {
                    Err(Reject::AccountMismatch)
                } else {
                    Ok(())
                }
            }
            Some(other) if *other != value => Err(Reject::AccountMismatch),
            Some(_) => Ok(()),
            None => {
                named = Some(Cow::Owned(value.into_owned()));
                Ok(())
            }
        };
        for (name, value) in query::pairs(self.query()) {
            add(&name, value.clone())?;
            // Some parsers split a query at semicolons as well.
            for part in value.split(|&b| b == b';').skip(1) {
                add(part.split(|&b| b == b'=').next().unwrap_or_default(), Cow::Borrowed(b"?"))?;
            }
        }
        for (name, value) in form.into_iter().flat_map(Form::pairs) {
            add(name, Cow::Borrowed(value))?;
        }
        Ok(named.map(Cow::into_owned))
    }

    /// Signed parameters that the rule requires: in the form where there is one, else in the query.
    fn check_required(&self, form: Option<&Form>) -> Result<(), Reject> {
        for required in &self.rule.require_params {
            let values = self.signed_values(required.name.as_bytes(), form);
            match values.as_slice() {
                [value] if required.shape.fits(value) => {}
                [_] => return Err(Reject::MalformedParam),
                _ => return Err(Reject::MissingParam),
            }
        }
        Ok(())
    }

    fn query(&self) -> &[u8] {
        RequestHead { target: &self.target, ..RequestHead::default() }.query()
    }
}

impl AwaitsBody {
    /// The bytes of the request that are kept until the body is there.
    pub(super) fn weight(&self) -> usize {
        match &self.rest {
            Rest::Form(head) => head.target.len(),
            Rest::Hash { verified, .. } | Rest::Nothing(verified, _) => verified.signed.url.len(),
        }
    }

    /// Whether a body of (so far) this many bytes can still be accepted.
    ///
    /// # Errors
    /// It is over the limit, or there must be no body at all.
    pub(super) fn check_length(&self, length: usize) -> Result<(), Reject> {
        match &self.rest {
            Rest::Nothing(_, reason) if length > 0 => Err(*reason),
            Rest::Nothing(..) => Ok(()),
            Rest::Hash { .. } | Rest::Form(_) if length > self.limit => Err(Reject::BodyTooLarge),
            Rest::Hash { .. } | Rest::Form(_) => Ok(()),
        }
    }

    /// The verdict over the whole body.
    ///
    /// # Errors
    /// The body is not the one that is signed.
    pub(super) fn judge(self, body: &[u8]) -> Result<Verified, Refused> {
        self.check_length(body.len())?;
        match self.rest {
            Rest::Nothing(verified, _) => Ok(verified),
            Rest::Hash { verified, unless_empty: true, .. } if body.is_empty() => Ok(verified),
            Rest::Hash { verified, expected, .. } => {
                if BodyRule::hash_matches(&expected, body) {
                    Ok(verified)
                } else {
                    let tried = Tried { account: verified.account, keys: vec![verified.key] };
                    Err(Refused { reject: Reject::BodyHashMismatch, tried: Some(tried) })
                }
            }
            Rest::Form(head) => {
                let in_query = query::pairs(head.query()).count();
                let form = Form::parse(body, head.limits.max_params.saturating_sub(in_query))?;
                head.verify(Some(&form))
            }
        }
    }
}

const ACCOUNT_SID: &[u8] = b"AccountSid";

/// Whether a lenient application could take a name for `AccountSid`: without regard to case, blanks, brackets and other
/// punctuation, and to what follows a NUL (PHP, Rack, qs and ASP.NET each do one of these).
fn reads_as_account_sid(name: &[u8]) -> bool {
    let before_nul = name.split(|&b| b == 0).next().unwrap_or_default();
    let letters = before_nul.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    letters.eq(b"accountsid".iter().copied())
}

/// Exactly one header whose trimmed value looks like the base64 text of a MAC (section 4, step 1).
fn signature_text(header: Occurs<'_>, algorithm: Algorithm) -> Result<Vec<u8>, Reject> {
    let value = match header {
        Occurs::Absent => return Err(Reject::MissingSignature),
        Occurs::Repeated => return Err(Reject::RepeatedSignature),
        Occurs::Once(value) => value.trim_ascii(),
    };
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    match value.split_last() {
        None => Err(Reject::MissingSignature),
        Some((b'=', digits))
            if value.len() == algorithm.signature_length() && digits.iter().all(is_base64) =>
        {
            Ok(value.to_vec())
        }
        Some(_) => Err(Reject::MalformedSignature),
    }
}
