//! Which signed texts identify one event, so that the same bytes never come twice but as a repetition.

/// What follows a name in the signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A SID with one of these prefixes; with none listed, any.
    Sid(&'static [&'static str]),
    /// A digit at least.
    Digits,
    /// A lower-case or upper-case letter at least.
    Word,
    /// Hexadecimal digits at least.
    Hex,
    /// Anything at all.
    Any,
}

/// The parameters of one kind of event, the most telling first.
type Event = &'static [(&'static str, Shape)];

include!(concat!(env!("OUT_DIR"), "/event_ids.rs"));

/// Whether a signed text has the parameters of an event that happens once: `data/event-ids.csv`.
///
/// The text is searched as it was signed, names and values glued together. How a receiver splits it makes no
/// difference then: a copy whose parameters were folded into their neighbours has the same signature (spec twilio-signature, section 5,
/// attack 2), and identifies the same event.
#[must_use]
pub fn identifies_event(text: &[u8]) -> bool {
    EVENTS.iter().any(|event| event.iter().all(|(name, shape)| has_param(text, name.as_bytes(), *shape)))
}

fn has_param(text: &[u8], name: &[u8], shape: Shape) -> bool {
    let Some((&first, others)) = name.split_first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b == first) {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.strip_prefix(others).is_some_and(|value| shape.begins(value)) {
            return true;
        }
    }
    false
}

impl Shape {
    /// Whether a value of this shape begins here. In a query `=` stands before it.
    fn begins(self, value: &[u8]) -> bool {
        let value = value.strip_prefix(b"=").unwrap_or(value);
        let first = |is: fn(&u8) -> bool| value.first().is_some_and(is);
        match self {
            Self::Sid(prefixes) => value.split_at_checked(2).is_some_and(|(prefix, rest)| {
                let digits = rest.iter().take(32).take_while(|b| b.is_ascii_hexdigit()).count();
                digits == 32
                    && prefix.iter().all(u8::is_ascii_uppercase)
                    && (prefixes.is_empty() || prefixes.iter().any(|own| own.as_bytes() == prefix))
            }),
            Self::Digits => first(u8::is_ascii_digit),
            Self::Word => first(u8::is_ascii_alphabetic),
            Self::Hex => value.iter().take(64).take_while(|b| b.is_ascii_hexdigit()).count() == 64,
            Self::Any => !value.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn events_are_found_in_forms_and_queries_and_however_they_are_folded() {
        for text in [
            format!("https://h/smsAccountSidAC{HEX}BodyhiMessageSidSM{HEX}To+1"),
            format!("https://h/sms?MessageSid=MM{HEX}&Body=hi"),
            format!("https://h/xCallSidCA{HEX}CallStatusringingSequenceNumber0Timestampx"),
            format!("https://h/x?a=b&bodySHA256={HEX}{HEX}"),
        ] {
            assert!(identifies_event(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn texts_that_may_legally_come_again_identify_none() {
        for text in [
            format!("https://h/voiceCallSidCA{HEX}CallStatusringingDigits9"),
            format!("https://h/smsMessageSidXX{HEX}"),
            "https://h/smsMessageSidSM0123".to_owned(),
            "wss://h/media".to_owned(),
            String::new(),
        ] {
            assert!(!identifies_event(text.as_bytes()), "{text}");
        }
    }
}
