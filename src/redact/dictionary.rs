//! What is known of parameter names: `data/twilio-params.csv`, as static tables made at build time.

/// What becomes of a value (spec phi-redaction, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Written if it passes the guard, else masked.
    Keep,
    /// `[REDACTED]`.
    Mask,
    /// Name and value are left out.
    Drop,
    /// A keyed pseudonym; without a key, masked.
    Hash(Class),
}

/// What a pseudonym stands for. One person's number has the same pseudonym under each name of class `Address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A phone or fax number or an e-mail address, in any of its spellings.
    Address,
    /// Anything else.
    Id,
}

include!(concat!(env!("OUT_DIR"), "/dictionary.rs"));

/// How many digits may follow the stem of a numbered name.
const LONGEST_NUMBER: usize = 3;

/// Finds the action for a folded name; `None` for a name that is not known.
pub(super) fn find(key: &str) -> Option<Action> {
    let in_table = |table: &[(&str, Action)], key: &str| {
        let at = table.binary_search_by_key(&key, |(own, _)| own).ok()?;
        table.get(at).map(|(_, action)| *action)
    };
    let numbered = || {
        let mut stem = key;
        (0..LONGEST_NUMBER).find_map(|_| {
            stem = stem.strip_suffix(|last: char| last.is_ascii_digit())?;
            in_table(&NUMBERED, stem)
        })
    };
    let prefixed = || PREFIXES.iter().find(|(stem, _)| key.starts_with(stem)).map(|(_, action)| *action);
    in_table(&EXACT, key).or_else(numbered).or_else(prefixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_exactly_then_by_number_then_by_prefix() {
        assert_eq!(find("body"), Some(Action::Drop));
        assert_eq!(find("from"), Some(Action::Hash(Class::Address)));
        assert_eq!(find("usersid"), Some(Action::Hash(Class::Id)));
        assert_eq!(find("mediaurl12"), Some(Action::Mask));
        assert_eq!(find("mediaurl1234"), None);
        assert_eq!(find("sipheaderxpatient"), Some(Action::Mask));
        assert_eq!(find("favouritecolour"), None);
    }

    #[test]
    fn no_prefix_is_kept() {
        assert!(PREFIXES.iter().all(|(_, action)| *action != Action::Keep));
    }
}
