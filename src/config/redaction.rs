//! What may be seen of requests in access logs and traces: the operator's part of the policy.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit};
use serde::Deserialize;
use sha2::Sha256;

use super::raw::RawRedaction;
use super::secret_ref::read_secret;
use super::{ConfigError, Environment, Secret};

/// In bytes: the key of pseudonyms must not be guessed (spec phi-redaction, section 2).
const SHORTEST_KEY: usize = 32;

/// A route's `path_template`: its segments, where a variable is `None`.
pub type PathTemplate = Vec<Option<Vec<u8>>>;

/// What becomes of a SID that names an event or a part of the account, but for the account's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SidAction {
    /// It is written: it is needed to find the event, and of use only to those who may use the account's API.
    #[default]
    Keep,
    /// It becomes a keyed pseudonym, or is masked where there is no key.
    Hash,
    /// It is masked.
    Mask,
}

/// Whose user-agent, x-request-id and referer are replaced where they could carry data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RewriteHeaders {
    /// Those of requests that a rule verifies.
    #[default]
    Protected,
    /// Those of every request.
    All,
    /// Nobody's.
    None,
}

/// The policy `phi-default-v1` (spec phi-redaction) with what the configuration adds to it.
#[derive(Clone, Default)]
pub struct RedactionPolicy {
    allow: Arc<[String]>,
    drop: Arc<[String]>,
    route_words: Arc<[String]>,
    nouns: Arc<[String]>,
    sid_action: SidAction,
    hash_key: Option<Hmac<Sha256>>,
    rewrite_headers: RewriteHeaders,
    templates: Arc<[PathTemplate]>,
}

impl fmt::Debug for RedactionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactionPolicy")
            .field("sid_action", &self.sid_action)
            .field("rewrite_headers", &self.rewrite_headers)
            .field("has_hash_key", &self.hash_key.is_some())
            .finish_non_exhaustive()
    }
}

impl RedactionPolicy {
    /// The policy of one level: its own keys, and for the others those of the level above.
    pub(super) fn compile(
        raw: Option<&RawRedaction>,
        above: &Self,
        path: &str,
        allow_inline: bool,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        let Some(raw) = raw else { return Ok(above.clone()) };
        let list = |own: &Option<Vec<String>>, above: &Arc<[String]>, key: &str, form: Form| match own {
            None => Ok(Arc::clone(above)),
            Some(own) => compile_list(own, &format!("{path}.{key}"), form),
        };
        let allow = list(&raw.allow_params, &above.allow, "allow_params", PARAM)?;
        let drop = list(&raw.drop_params, &above.drop, "drop_params", PARAM)?;
        if allow.iter().any(|name| has(&drop, name)) {
            return Err(ConfigError::new(
                format!("{path}.drop_params"),
                "a parameter is both allowed and dropped",
                "remove it from one of the lists",
            ));
        }
        let hash_key = match &raw.hash_key {
            None => above.hash_key.clone(),
            Some(raw) => {
                let path = format!("{path}.hash_key");
                let secret = read_secret(raw, &path, allow_inline, environment)?;
                secret.map(|secret| compile_key(secret.reveal(), &path)).transpose()?
            }
        };
        Ok(Self {
            allow,
            drop,
            route_words: list(&raw.route_words, &above.route_words, "route_words", ROUTE_WORD)?,
            nouns: list(&raw.sensitive_nouns, &above.nouns, "sensitive_nouns", NOUN)?,
            sid_action: raw.sid_action.unwrap_or(above.sid_action),
            hash_key,
            rewrite_headers: raw.rewrite_headers.unwrap_or(above.rewrite_headers),
            templates: Arc::clone(&above.templates),
        })
    }

    /// Masks, too, what these templates name as variable.
    pub(super) fn set_templates(&mut self, templates: &Arc<[PathTemplate]>) {
        self.templates = Arc::clone(templates);
    }

    /// The same policy with this key of pseudonyms. Its length is not checked here, as the conformance cases have
    /// short ones; a configuration's key is refused below 32 bytes.
    #[must_use]
    pub fn with_hash_key(self, key: &Secret) -> Self {
        // HMAC takes a key of any length.
        Self { hash_key: Hmac::new_from_slice(key.reveal().as_bytes()).ok(), ..self }
    }

    /// Whether the operator allows values of this folded name.
    pub(crate) fn allows(&self, key: &str) -> bool {
        has(&self.allow, key)
    }

    /// Whether the operator drops this folded name.
    pub(crate) fn drops(&self, key: &str) -> bool {
        has(&self.drop, key)
    }

    /// Whether the operator calls this a step of a flow.
    pub(crate) fn has_route_word(&self, stem: &str) -> bool {
        has(&self.route_words, stem)
    }

    /// Whether the operator calls this a word after which people are named.
    pub(crate) fn has_noun(&self, word: &str) -> bool {
        has(&self.nouns, word)
    }

    /// What becomes of SIDs.
    #[must_use]
    pub const fn sid_action(&self) -> SidAction {
        self.sid_action
    }

    /// Whose headers are replaced.
    #[must_use]
    pub const fn rewrite_headers(&self) -> RewriteHeaders {
        self.rewrite_headers
    }

    /// The key of pseudonyms.
    pub(crate) const fn hash_key(&self) -> Option<&Hmac<Sha256>> {
        self.hash_key.as_ref()
    }

    /// Paths whose variable segments are masked.
    pub(crate) fn templates(&self) -> &[PathTemplate] {
        &self.templates
    }
}

/// Whether a sorted list has this entry.
fn has(list: &[String], entry: &str) -> bool {
    list.binary_search_by(|own| own.as_str().cmp(entry)).is_ok()
}

/// The form in which names of parameters are compared (spec phi-redaction, section 4.3).
pub(crate) fn fold_name(name: &[u8]) -> String {
    let mut folded = String::with_capacity(name.len());
    folded.extend(
        name.iter().filter(|b| b.is_ascii_alphanumeric()).map(|b| char::from(b.to_ascii_lowercase())),
    );
    folded
}

fn compile_key(secret: &str, path: &str) -> Result<Hmac<Sha256>, ConfigError> {
    let key = Hmac::new_from_slice(secret.as_bytes()).ok().filter(|_| secret.len() >= SHORTEST_KEY);
    key.ok_or_else(|| {
        ConfigError::new(
            path,
            format!("shorter than {SHORTEST_KEY} bytes"),
            "make one with: openssl rand -hex 32",
        )
    })
}

/// What an entry of a list has to be, and the form in which it is compared.
#[derive(Clone, Copy)]
struct Form {
    is_one: fn(&str) -> bool,
    says: &'static str,
    compared: fn(&str) -> String,
}

const PARAM: Form = Form {
    is_one: |name| {
        let is_name_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= 64
            && name.bytes().all(is_name_char)
    },
    says: "use the name of a parameter: a letter, then letters, digits, _ . and -",
    compared: |name| fold_name(name.as_bytes()),
};

const ROUTE_WORD: Form = Form {
    is_one: |word| {
        let is_word_char =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'~' | b'-');
        (1..=64).contains(&word.len()) && word.bytes().all(is_word_char)
    },
    says: "use one lower-case path segment without extension: a-z, 0-9, _ ~ and -",
    compared: str::to_owned,
};

const NOUN: Form = Form {
    is_one: |word| (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()),
    says: "use one lower-case word: a-z",
    compared: str::to_owned,
};

/// The list in the form in which it is compared, sorted.
fn compile_list(list: &[String], path: &str, form: Form) -> Result<Arc<[String]>, ConfigError> {
    let one = |(index, text): (usize, &String)| {
        if (form.is_one)(text) {
            return Ok((form.compared)(text));
        }
        Err(ConfigError::new(format!("{path}[{index}]"), "not of the form that can occur", form.says))
    };
    let mut compiled = list.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    compiled.sort_unstable();
    compiled.dedup();
    Ok(compiled.into())
}
