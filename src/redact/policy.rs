//! The policy `phi-default-v1` with what the operator added to it.

use super::dictionary::{self, Action, Class};
use super::pseudonym::pseudonym;
use super::shapes;
use super::{Policy, REDACTED};
use crate::config::SidAction;

impl Policy {
    /// The action for a folded name: the operator's word first.
    pub(super) fn action(&self, key: &str) -> Option<Action> {
        if self.drops(key) {
            return Some(Action::Drop);
        }
        if self.allows(key) {
            return Some(Action::Keep);
        }
        dictionary::find(key)
    }

    /// Writes a keyed pseudonym, or masks where there is no key.
    pub(super) fn write_pseudonym(&self, class: Class, value: &[u8], out: &mut String) {
        match self.hash_key() {
            Some(key) => out.push_str(&pseudonym(key, class, value)),
            None => out.push_str(REDACTED),
        }
    }

    /// Writes a SID as `sid_action` says. An account is the customer, not a patient, and is always kept.
    pub(super) fn write_sid(&self, sid: &[u8], out: &mut String) {
        match (self.sid_action(), std::str::from_utf8(sid)) {
            (_, Ok(text)) if text.starts_with("AC") && shapes::is_sid(sid) => out.push_str(text),
            (SidAction::Keep, Ok(text)) => out.push_str(text),
            (SidAction::Hash, _) => self.write_pseudonym(Class::Id, sid, out),
            (SidAction::Keep | SidAction::Mask, _) => out.push_str(REDACTED),
        }
    }
}
