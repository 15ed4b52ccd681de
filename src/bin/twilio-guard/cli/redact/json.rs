//! Log lines in JSON: every value by the name of its field, in the order in which they came.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use twilio_guard::redact::{Policy, REDACTED};

use super::field;
use super::keys::{self, Kind};

/// Deeper than any logger nests.
const DEEPEST: usize = 32;

/// A JSON object as it may be seen; `None` if it is none.
pub(super) fn object(policy: &Policy, text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Writer { policy, out: &mut out, kind: Kind::Any, name: "", depth: 0 };
    (&mut deserializer).deserialize_map(value).ok()?;
    deserializer.end().ok()?;
    Some(out)
}

/// Writes one value.
struct Writer<'a> {
    policy: &'a Policy,
    out: &'a mut String,
    kind: Kind,
    name: &'a str,
    depth: usize,
}

impl Writer<'_> {
    fn string(self, text: &str) {
        quote(self.out, &field::shown(self.policy, self.kind, Some(self.name), text));
    }

    fn number(self, text: &str) {
        if matches!(self.kind, Kind::Number | Kind::Time) {
            return self.out.push_str(text);
        }
        let shown = field::shown(self.policy, self.kind, Some(self.name), text);
        if shown == text { self.out.push_str(text) } else { quote(self.out, &shown) }
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEEPEST { Ok(self.depth.saturating_add(1)) } else { Err(E::custom("too deep")) }
    }
}

fn quote(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"[REDACTED]\""),
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.number(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.number(&value.to_string());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let text = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("no number"))?.to_string();
        self.number(&text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.string(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        self.out.push('[');
        let mut is_first = true;
        loop {
            let start = self.out.len();
            if !is_first {
                self.out.push(',');
            }
            let item =
                Writer { policy: self.policy, out: &mut *self.out, kind: self.kind, name: self.name, depth };
            if items.next_element_seed(item)?.is_none() {
                self.out.truncate(start);
                break;
            }
            is_first = false;
        }
        self.out.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        self.out.push('{');
        let mut is_first = true;
        while let Some(name) = entries.next_key::<String>()? {
            if !is_first {
                self.out.push(',');
            }
            is_first = false;
            quote(self.out, if keys::is_name(&name) { &name } else { REDACTED });
            self.out.push(':');
            let kind = keys::kind(&name);
            let value = Writer { policy: self.policy, out: &mut *self.out, kind, name: &name, depth };
            entries.next_value_seed(value)?;
        }
        self.out.push('}');
        Ok(())
    }
}
