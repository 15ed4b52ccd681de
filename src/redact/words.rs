//! The words of path segments: those that name a step of a flow, and those after which people are named
//! (spec phi-redaction, section 5).

use super::Policy;

/// After one of these nothing is an identifier of what came before. Sorted.
const ROUTE_WORDS: &[&str] = &[
    "action",
    "actions",
    "api",
    "call",
    "callback",
    "callbacks",
    "calls",
    "chat",
    "conference",
    "conferences",
    "conversation",
    "conversations",
    "create",
    "debugger",
    "delete",
    "dial",
    "event",
    "events",
    "fallback",
    "fax-in",
    "flex",
    "gather",
    "handler",
    "handlers",
    "health",
    "healthz",
    "hook",
    "hooks",
    "inbound",
    "incoming",
    "json",
    "list",
    "media",
    "message",
    "messages",
    "messaging",
    "mms",
    "new",
    "outbound",
    "outgoing",
    "pay",
    "proxy",
    "queue",
    "queues",
    "rcs",
    "ready",
    "record-complete",
    "recording",
    "recordings",
    "refer",
    "room",
    "rooms",
    "search",
    "sendgrid",
    "sms",
    "status",
    "statuscallback",
    "stream",
    "streams",
    "studio",
    "sync",
    "taskrouter",
    "transcript",
    "transcription",
    "transcriptions",
    "transcripts",
    "twilio",
    "twiml",
    "update",
    "verify",
    "video",
    "voice",
    "webhook",
    "webhooks",
    "whatsapp",
    "xml",
];

/// After one of these a person is named, until a route word. Sorted.
const NOUNS: &[&str] = &[
    "account",
    "accounts",
    "address",
    "addresses",
    "appointment",
    "appointments",
    "beneficiaries",
    "beneficiary",
    "birthdate",
    "caller",
    "callers",
    "case",
    "cases",
    "chart",
    "charts",
    "claim",
    "claims",
    "client",
    "clients",
    "contact",
    "contacts",
    "customer",
    "customers",
    "dea",
    "device",
    "devices",
    "diagnoses",
    "diagnosis",
    "dob",
    "email",
    "emails",
    "encounter",
    "encounters",
    "fax",
    "firstname",
    "identities",
    "identity",
    "ip",
    "lastname",
    "location",
    "locations",
    "mbi",
    "member",
    "members",
    "mobile",
    "mrn",
    "name",
    "names",
    "npi",
    "patient",
    "patients",
    "people",
    "person",
    "persons",
    "phone",
    "phones",
    "plate",
    "policies",
    "policy",
    "postal",
    "prescription",
    "prescriptions",
    "record",
    "records",
    "rx",
    "ssn",
    "subscriber",
    "subscribers",
    "tel",
    "user",
    "users",
    "vehicle",
    "vehicles",
    "vin",
    "visit",
    "visits",
    "zip",
];

/// Whether a lower-case segment without extension is a step of a flow.
pub(super) fn is_route_word(policy: &Policy, stem: &str) -> bool {
    ROUTE_WORDS.binary_search(&stem).is_ok() || policy.has_route_word(stem)
}

/// Whether people are named after this lower-case word.
pub(super) fn is_noun(policy: &Policy, word: &str) -> bool {
    NOUNS.binary_search(&word).is_ok() || policy.has_noun(word)
}

/// The words of a segment, in lower case: the matches of `[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+`.
pub(super) fn words(stem: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = stem.as_bytes();
    while !rest.is_empty() {
        let length = word_length(rest);
        let (word, after) = rest.split_at_checked(length.max(1)).unwrap_or((rest, &[]));
        if length > 0 {
            words.push(String::from_utf8_lossy(word).to_ascii_lowercase());
        }
        rest = after;
    }
    words
}

/// The length of the word at the beginning of a text; 0 where none begins.
fn word_length(text: &[u8]) -> usize {
    let run = |skip: usize, of: fn(&u8) -> bool| text.iter().skip(skip).take_while(|b| of(b)).count();
    let upper = run(0, u8::is_ascii_uppercase);
    match upper {
        0 => run(0, u8::is_ascii_lowercase).max(run(0, u8::is_ascii_digit)),
        1 => 1 + run(1, u8::is_ascii_lowercase),
        // The last capital belongs to the word that follows it.
        _ if run(upper, u8::is_ascii_lowercase) > 0 => upper - 1,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(ROUTE_WORDS.is_sorted() && NOUNS.is_sorted());
    }

    #[test]
    fn segments_are_split_into_words() {
        for (segment, expected) in [
            ("patientLookup", &["patient", "lookup"][..]),
            ("by-phone", &["by", "phone"]),
            ("HTTPServer2", &["http", "server", "2"]),
            ("MRN", &["mrn"]),
            ("A-bC", &["a", "b", "c"]),
            ("_.~", &[]),
        ] {
            assert_eq!(words(segment), expected, "{segment}");
        }
    }
}
