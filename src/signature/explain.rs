//! What would have matched: the answer to "why is my genuine webhook refused?".
//!
//! After a refusal, a bounded set of texts that a differently configured or less strict verifier would have hashed is tried with
//! the configured keys. A match names the one setting or hop that is wrong. It is for the operator's log only: nothing is accepted
//! for it, the caller never sees it, and no expected signature is ever computed into a text that could be printed.
//!
//! The set follows the causes of Twilio's error 57012 by how often they are reported (spec twilio-signature, section 8).

mod texts;

use super::budget::Budget;
use crate::config::{Key, Limits, Plan, TwilioRule};
use crate::reject::Reject;
use crate::request::RequestHead;
use texts::{Text, Texts};

/// The most signatures that one explanation computes.
pub const MAX_SIGNATURES: usize = 400;

/// The most bytes that one explanation hashes.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

macro_rules! hints {
    ($($(#[doc = $doc:literal])+ $variant:ident => $code:literal, $advice:literal;)+) => {
        /// The one difference that makes a refused signature fit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Hint { $($(#[doc = $doc])+ $variant,)+ }

        impl Hint {
            /// Every hint.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable snake_case name of this hint.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),+ }
            }
        }
    };
}

hints! {
    /// The other scheme of http and https.
    Scheme => "scheme", "it matches with the other of http and https: set the scheme of public_url as entered at Twilio";
    /// The port that the request names, or none.
    Port => "port", "it matches with the port that the request names: set the port of public_url as entered at Twilio";
    /// The host that the request names.
    RequestHost => "request_host", "it matches with the host that the request names: set the host of public_url, or give its route one";
    /// Another host of the configuration.
    ListedHost => "listed_host", "it matches with another host of accept_hosts: give the route for it a public_url of its own";
    /// The host that a proxy in front forwards.
    ForwardedHost => "forwarded_host", "it matches with the host of x-forwarded-host: set it as the host of public_url";
    /// Without the path prefix of the public URL.
    PrefixDropped => "prefix_dropped", "it matches without the path prefix of public_url: remove the prefix";
    /// With the path prefix that a proxy in front forwards.
    PrefixForwarded => "prefix_forwarded", "it matches with the prefix of x-forwarded-prefix: add it to public_url";
    /// With the trailing slash of the path toggled.
    TrailingSlash => "trailing_slash", "it matches with the trailing slash toggled: enter the URL at Twilio as it arrives here";
    /// Without the query.
    QueryDropped => "query_dropped", "it matches without the query: something in front appends it, or the sender does not sign it";
    /// With the query sorted by name.
    QuerySorted => "query_sorted", "it matches with the query sorted: a proxy reorders it, or enter the URL at Twilio with sorted keys";
    /// With the query spelled in another way.
    QueryReencoded => "query_reencoded", "it matches with the query re-encoded: a proxy in front rewrites escapes; pass the target through unchanged";
    /// With another configured auth token.
    OtherKey => "other_key", "it matches with the token of another account of this configuration: bind the route to that account, or correct the AccountSid";
    /// Without any parameter.
    ParamsIgnored => "params_ignored", "it matches the URL alone: the body was added or replaced on the way, or the sender does not sign it";
    /// With blanks around values removed.
    ParamsTrimmed => "params_trimmed", "it matches with trimmed values: something in front of the filter adds or removes blanks";
    /// Without parameters whose value is empty.
    ParamsEmptyDropped => "params_empty_dropped", "it matches without empty parameters: something in front of the filter adds them";
    /// With the first value of each repeated parameter.
    ParamsFirstOnly => "params_first_only", "it matches with the first value of repeated parameters: something added further values";
    /// With the members of a JSON body taken as parameters.
    JsonAsForm => "json_as_form", "it matches with the JSON members taken as form parameters: something converted a form to JSON on the way";
    /// With the query's parameters appended as well.
    QueryAppended => "query_appended", "it matches with the query's parameters appended: the sender signs a GET like a form";
    /// With http in place of ws, or the reverse.
    WebsocketScheme => "websocket_scheme", "it matches with the other of ws(s) and http(s): the upgrade headers were added or removed on the way";
    /// With a SharedKey, though the request names none.
    SharedKeyUnnamed => "shared_key_unnamed", "it matches a shared key: a proxy in front removes x-twilio-webhooks-signature-settings";
    /// With an auth token, though the request names a SharedKey.
    TokenInstead => "token_instead", "it matches an auth token: the request names a shared key that did not sign it";
}

/// What has to be kept of a request to explain its refusal. It holds request data and prints none of it.
pub struct Evidence {
    method: Vec<u8>,
    authority: Vec<u8>,
    target: Vec<u8>,
    is_upgrade: bool,
    names_shared_key: bool,
    is_json: bool,
    signature: Vec<u8>,
    forwarded_host: Option<Vec<u8>>,
    forwarded_prefix: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Evidence(..)")
    }
}

impl Evidence {
    /// Keeps what a head says. `None` where there is no single signature to explain.
    #[must_use]
    pub fn of(head: &RequestHead<'_>) -> Option<Self> {
        let signature = head.signature.once()?.trim_ascii().to_vec();
        let content_type = head.content_type.once().unwrap_or_default().to_ascii_lowercase();
        Some(Self {
            method: head.method.to_vec(),
            authority: head.authority.to_vec(),
            target: head.target.to_vec(),
            is_upgrade: head.is_upgrade(),
            names_shared_key: head.signature_settings.is_present(),
            is_json: content_type
                .split(|&b| b == b';')
                .next()
                .is_some_and(|kind| kind.trim_ascii().ends_with(b"json")),
            signature,
            forwarded_host: head.forwarded_host.once().map(<[u8]>::to_vec),
            forwarded_prefix: head.forwarded_prefix.once().map(<[u8]>::to_vec),
            body: Vec::new(),
        })
    }

    /// About how many bytes are kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.target.len().saturating_add(self.authority.len()).saturating_add(self.signature.len())
    }

    /// Adds the body, where it was read.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// Finds the smallest set of differences (one or two) that makes the signature fit, within [`MAX_SIGNATURES`] and
    /// [`MAX_BYTES`]; empty where none does.
    #[must_use]
    pub fn explain(&self, plan: &Plan, rule: &TwilioRule, reject: Reject) -> Vec<Hint> {
        let limits =
            Limits { max_candidates: MAX_SIGNATURES, max_hashed_bytes: MAX_BYTES, ..Limits::default() };
        let search = Search { signature: &self.signature, budget: Budget::new(&limits) };
        search.run(plan, rule, self, reject).unwrap_or_default()
    }
}

struct Search<'a> {
    signature: &'a [u8],
    budget: Budget,
}

impl Search<'_> {
    /// The differences in the order of how often they are the cause; `None` where nothing fits or the budget is spent.
    fn run(
        mut self,
        plan: &Plan,
        rule: &TwilioRule,
        evidence: &Evidence,
        reject: Reject,
    ) -> Option<Vec<Hint>> {
        let texts = Texts::new(evidence, rule)?;
        let tokens: Vec<&Key> = rule.accounts.iter().flat_map(|account| &account.keys).collect();
        let shared: Vec<&Key> = rule.shared_keys.iter().map(|shared| &shared.key).collect();
        let (own, others, cross) = if evidence.names_shared_key {
            (&shared, &tokens, Hint::TokenInstead)
        } else {
            (&tokens, &shared, Hint::SharedKeyUnnamed)
        };
        let plain = texts.plain();
        let elsewhere: Vec<&Key> = plan.accounts().iter().flat_map(|account| &account.keys).collect();
        // A body that nothing signs is refused before any key is tried: then the plain text is the URL alone.
        let untried = if reject == Reject::Mismatch { Hint::OtherKey } else { Hint::ParamsIgnored };
        let by_key = [(untried, own), (cross, others), (Hint::OtherKey, &elsewhere)];
        for (hints, text) in texts.other_urls() {
            if self.fits(own, &text)? {
                return Some(hints);
            }
        }
        for (hint, keys) in by_key {
            for text in &plain {
                if self.fits(keys, text)? {
                    return Some(vec![hint]);
                }
            }
        }
        for (hint, text) in texts.other_params() {
            if self.fits(own, &text)? {
                return Some(vec![hint]);
            }
        }
        None
    }

    /// Whether a key signs this text; `None` when the budget is spent.
    fn fits(&mut self, keys: &[&Key], text: &Text) -> Option<bool> {
        let length = text.url.len().saturating_add(text.params.len());
        for key in keys {
            self.budget.pay_signature(length).ok()?;
            let mut mac = key.mac();
            mac.update(&text.url);
            mac.update(&text.params);
            if mac.finish().matches(self.signature) {
                return Some(true);
            }
        }
        Some(false)
    }
}
