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

/// Whether a signed text, given in pieces, has the parameters of an event that happens once: `data/event-ids.csv`.
///
/// The text is searched as it was signed, names and values glued together. How a receiver splits it makes no
/// difference then: a copy whose parameters were folded into their neighbours has the same signature (spec twilio-signature, section 5,
/// attack 2), and identifies the same event. No copy of the text is made.
pub(crate) fn identifies_event(text: &[&[u8]]) -> bool {
    EVENTS.iter().any(|event| event.iter().all(|(name, shape)| has_param(text, name.as_bytes(), *shape)))
}

fn has_param(text: &[&[u8]], name: &[u8], shape: Shape) -> bool {
    let Some((&first, others)) = name.split_first() else { return false };
    let mut pieces = text;
    while let Some((mut piece, rest)) = pieces.split_first().map(|(piece, rest)| (*piece, rest)) {
        while let Some(at) = piece.iter().position(|&b| b == first) {
            piece = piece.get(at + 1..).unwrap_or_default();
            let mut after = piece.iter().chain(rest.iter().copied().flatten()).copied();
            if others.iter().all(|&b| after.next() == Some(b)) && shape.begins(after) {
                return true;
            }
        }
        pieces = rest;
    }
    false
}

impl Shape {
    /// Whether a value of this shape begins here. In a query `=` stands before it.
    fn begins(self, value: impl Iterator<Item = u8>) -> bool {
        let mut value = value.peekable();
        value.next_if_eq(&b'=');
        match self {
            Self::Sid(prefixes) => {
                let prefix = [value.next(), value.next()];
                let is_known = |own: &&str| own.bytes().map(Some).eq(prefix);
                prefix.iter().flatten().filter(|b| b.is_ascii_uppercase()).count() == 2
                    && (prefixes.is_empty() || prefixes.iter().any(is_known))
                    && begins_with_hex(value, 32)
            }
            Self::Digits => value.next().is_some_and(|b| b.is_ascii_digit()),
            Self::Word => value.next().is_some_and(|b| b.is_ascii_alphabetic()),
            Self::Hex => begins_with_hex(value, 64),
            Self::Any => value.next().is_some(),
        }
    }
}

fn begins_with_hex(value: impl Iterator<Item = u8>, length: usize) -> bool {
    value.take(length).take_while(u8::is_ascii_hexdigit).count() == length
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
            assert!(identifies_event(&[text.as_bytes()]), "{text}");
            for at in 0..text.len() {
                let (left, right) = text.as_bytes().split_at(at);
                assert!(identifies_event(&[left, b"", right]), "{text} in two");
            }
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
            assert!(!identifies_event(&[text.as_bytes()]), "{text}");
        }
    }
}
