//! Accounts and the keys that sign for them.

use std::sync::Arc;

use super::keys::is_label;
use super::raw::RawAccount;
use super::secret_ref::read_secret;
use super::{Algorithm, ConfigError, Environment, Key, Secret};

/// An account and its tokens, in the order in which they are tried. There is always at least one token.
#[derive(Debug)]
pub struct Account {
    /// `AC` and 32 hexadecimal digits. Absent only where it is the only account.
    pub sid: Option<Arc<str>>,
    /// The tokens that may sign for this account.
    pub keys: Vec<Key>,
}

/// Reads the account list. The first token of the first account is tried first.
pub(super) fn compile(
    raw: &[RawAccount],
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<Vec<Arc<Account>>, ConfigError> {
    let mut accounts: Vec<Arc<Account>> = Vec::with_capacity(raw.len());
    let mut known_tokens: Vec<Secret> = Vec::new();
    for (index, account) in raw.iter().enumerate() {
        let path = format!("accounts[{index}]");
        match &account.sid {
            Some(sid) if !is_account_sid(sid) => {
                return Err(ConfigError::new(
                    format!("{path}.sid"),
                    "not an account SID",
                    "give AC and 32 hexadecimal digits",
                ));
            }
            Some(sid) if accounts.iter().any(|other| other.sid.as_deref() == Some(sid)) => {
                return Err(ConfigError::new(
                    format!("{path}.sid"),
                    "the account is listed twice",
                    "merge the two entries",
                ));
            }
            None if raw.len() > 1 => {
                return Err(ConfigError::new(
                    format!("{path}.sid"),
                    "with several accounts each token must be bound to its account",
                    "add the sid",
                ));
            }
            _ => {}
        }
        let tokens = compile_tokens(account, &path, allow_inline, environment)?;
        if tokens.iter().any(|(_, token)| known_tokens.contains(token)) {
            return Err(ConfigError::new(
                format!("{path}.auth_tokens"),
                "a token of another account is used again",
                "give every account its own token: whoever holds a token can sign for its account",
            ));
        }
        let keys =
            tokens.iter().filter_map(|(label, token)| Key::new(label, Algorithm::HmacSha1, token)).collect();
        accounts.push(Arc::new(Account { sid: account.sid.as_deref().map(Arc::from), keys }));
        known_tokens.extend(tokens.into_iter().map(|(_, token)| token));
    }
    Ok(accounts)
}

fn compile_tokens(
    account: &RawAccount,
    path: &str,
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<Vec<(String, Secret)>, ConfigError> {
    let mut tokens: Vec<(String, Secret)> = Vec::new();
    for (index, raw) in account.auth_tokens.iter().enumerate() {
        let path = format!("{path}.auth_tokens[{index}]");
        let label = raw.label.clone().unwrap_or_else(|| format!("token{index}"));
        if !is_label(&label, 32) {
            return Err(ConfigError::new(
                format!("{path}.label"),
                "not a label",
                "use 1 to 32 of a-z, 0-9, - and _",
            ));
        }
        if tokens.iter().any(|(other, _)| *other == label) {
            return Err(ConfigError::new(
                format!("{path}.label"),
                "the label is used twice",
                "give each token of an account its own",
            ));
        }
        if let Some(token) = read_secret(raw, &path, allow_inline, environment)? {
            tokens.push((label, token));
        }
    }
    if tokens.is_empty() {
        return Err(ConfigError::new(
            format!("{path}.auth_tokens"),
            "no token is available",
            "give at least one token whose environment variable is set",
        ));
    }
    Ok(tokens)
}

/// `AC` and 32 hexadecimal digits.
pub(super) fn is_account_sid(text: &str) -> bool {
    text.strip_prefix("AC")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_sids() {
        assert!(is_account_sid("AC0123456789abcdef0123456789abcdef"));
        for bad in
            ["", "AC", "AC0123", "ac0123456789abcdef0123456789abcdef", "SK0123456789abcdef0123456789abcdef"]
        {
            assert!(!is_account_sid(bad), "{bad}");
        }
    }
}
