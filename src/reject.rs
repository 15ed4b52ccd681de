//! Why a request is refused: the closed set of reasons and the status class each belongs to.

use std::fmt;

macro_rules! rejects {
    ($($(#[doc = $doc:literal])+ $variant:ident => $code:literal, $class:ident;)+) => {
        /// The one reason for which a request is refused.
        ///
        /// Each reason has one stable snake_case [`code`](Reject::code), used alike in metrics, logs,
        /// `%RESPONSE_CODE_DETAILS%` (as `twilio_guard_<code>`) and tests. No reason carries request data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reject { $($(#[doc = $doc])+ $variant,)+ }

        impl Reject {
            /// Every reason, for code that must define something once for each (metrics, documentation).
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable snake_case name of this reason.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The class that decides the HTTP status of the answer.
            #[must_use]
            pub const fn class(self) -> StatusClass {
                match self { $(Self::$variant => StatusClass::$class),+ }
            }
        }
    };
}

rejects! {
    /// The rule that governs this request says `deny`.
    Denied => "denied", Denied;
    /// The path can be read in two ways, and one of them leads to a stricter rule (DESIGN section 3).
    AmbiguousPath => "ambiguous_path", Denied;
    /// The request names a host outside `accept_hosts`.
    HostNotAccepted => "host_not_accepted", Denied;
    /// `public_url` is taken from forwarded headers, and the peer or those headers cannot be trusted.
    UntrustedPeer => "untrusted_peer", Denied;
    /// The method is not signed, and the rule does not list it.
    MethodNotAllowed => "method_not_allowed", Method;
    /// There is no `X-Twilio-Signature` header.
    MissingSignature => "missing_signature", MissingSignature;
    /// The signature header occurs more than once.
    RepeatedSignature => "repeated_signature", InvalidSignature;
    /// The signature header is not the canonical length and alphabet of a base64 MAC.
    MalformedSignature => "malformed_signature", InvalidSignature;
    /// The rule has no auth token, and the request names no shared key.
    NoKey => "no_key", InvalidSignature;
    /// The signature settings header is repeated or does not name one key.
    MalformedSettings => "malformed_settings", InvalidSignature;
    /// The signature settings header names a key that is not configured for this rule.
    UnknownKey => "unknown_key", InvalidSignature;
    /// The signature settings header names another algorithm than the one configured for its key.
    AlgorithmMismatch => "algorithm_mismatch", InvalidSignature;
    /// There is no timestamp header, or not exactly one of ten digits.
    MalformedTimestamp => "malformed_timestamp", InvalidSignature;
    /// No key of the account produces this signature for this URL and these parameters.
    Mismatch => "mismatch", InvalidSignature;
    /// A JSON body came without `bodySHA256`: nothing signs it.
    BodyHashMissing => "body_hash_missing", InvalidSignature;
    /// The body is not the one whose SHA-256 the signed URL names.
    BodyHashMismatch => "body_hash_mismatch", InvalidSignature;
    /// There is a body that no rule of the scheme covers.
    UnsignedBody => "unsigned_body", InvalidSignature;
    /// A form body is declared twice, encoded, or in a charset other than UTF-8.
    BadContentType => "bad_content_type", InvalidSignature;
    /// A form body has a broken percent escape or is not UTF-8.
    MalformedBody => "malformed_body", InvalidSignature;
    /// A signed parameter that the rule requires is absent or repeated.
    MissingParam => "missing_param", InvalidSignature;
    /// A signed parameter that the rule requires does not have its form.
    MalformedParam => "malformed_param", InvalidSignature;
    /// The signed `AccountSid` is not one of the configured accounts.
    UnknownAccount => "unknown_account", InvalidSignature;
    /// The signed `AccountSid` values disagree with each other or with the account bound to the rule.
    AccountMismatch => "account_mismatch", InvalidSignature;
    /// The rule accepts several accounts and nothing signed says which one this is.
    AccountMissing => "account_missing", InvalidSignature;
    /// The signed or narrowing time is older than `max_age`.
    Stale => "stale", Stale;
    /// The signed or narrowing time is further ahead than `max_skew`.
    FromFuture => "from_future", Stale;
    /// The rule demands a signed time, and there is none.
    TimeMissing => "time_missing", Stale;
    /// A time that the rule looks at is repeated or cannot be read.
    MalformedTime => "malformed_time", Stale;
    /// The rule demands a minted URL, and this one was not.
    MintMissing => "mint_missing", InvalidSignature;
    /// The minted part of the URL is not one that a configured key made.
    MintInvalid => "mint_invalid", InvalidSignature;
    /// The minted URL has ended.
    MintExpired => "mint_expired", Stale;
    /// Copies of this request were delivered as often as they may be.
    Replayed => "replayed", Replayed;
    /// Copies of this request have failed as often as they may.
    AttemptsExhausted => "attempts_exhausted", Replayed;
    /// As many copies of this request as may pass are under way.
    InFlight => "in_flight", InFlight;
    /// The store is younger than the window, and nothing signed shows this request to be younger than the store.
    ColdStart => "cold_start", Undecidable;
    /// The store has no room, and nothing in it may be forgotten.
    StoreFull => "store_full", Undecidable;
    /// The store did not answer, or not in time.
    StoreUnusable => "store_unusable", Undecidable;
    /// The body is over `max_body`, or a form over `max_form`.
    BodyTooLarge => "body_too_large", TooLarge;
    /// The request target is over `max_target`.
    TargetTooLarge => "target_too_large", TooLarge;
    /// There are more than `max_params` parameters.
    TooManyParams => "too_many_params", TooLarge;
    /// Trying every key and URL spelling would take more than `max_candidates` signatures.
    TooManyCandidates => "too_many_candidates", TooLarge;
    /// Trying every key and URL spelling would hash more than `max_hashed_bytes`.
    HashBudgetExceeded => "hash_budget_exceeded", TooLarge;
    /// The body did not end within `body_timeout`.
    BodyTimeout => "body_timeout", Timeout;
    /// The host never delivered a body while the head was held: the plugin configuration lacks
    /// `allow_on_headers_stop_iteration: true`.
    HoldFlagMissing => "allow_on_headers_stop_iteration_missing", Undecidable;
    /// So many requests wait for their bodies on this worker that no further one can be held.
    Overloaded => "overloaded", Undecidable;
    /// The host answered a call with an unexpected status, so nothing could be decided.
    HostError => "host_error", Undecidable;
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A group of reasons that share one configurable HTTP status (`statuses` in the configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// No signature was sent.
    MissingSignature,
    /// A signature was sent and does not make this request acceptable.
    InvalidSignature,
    /// The request is refused whatever it is signed with.
    Denied,
    /// The method is not allowed.
    Method,
    /// A limit of size or count was passed.
    TooLarge,
    /// The request took too long to arrive.
    Timeout,
    /// The request is too old, or not yet due.
    Stale,
    /// Copies of the request have passed as often as they may.
    Replayed,
    /// A copy of the request is under way.
    InFlight,
    /// No verdict could be reached; the sender may try again.
    Undecidable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_snake_case() {
        let codes: HashSet<_> = Reject::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reject::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }
}
