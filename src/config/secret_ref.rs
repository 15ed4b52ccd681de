//! References to secrets: by environment variable or, where that is allowed, inline.

use super::raw::RawSecret;
use super::{ConfigError, Environment, Secret};

/// Reads one secret. `None` for an optional variable that is absent or empty.
pub(super) fn read_secret(
    raw: &RawSecret,
    path: &str,
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<Option<Secret>, ConfigError> {
    let (secret, key) = match (&raw.env, &raw.value) {
        (Some(name), None) => {
            let value = environment.variable(name).filter(|value| !value.reveal().is_empty());
            match value {
                Some(value) => (value, "env"),
                None if raw.optional => return Ok(None),
                None => {
                    return Err(ConfigError::new(
                        format!("{path}.env"),
                        "the environment variable is absent or empty",
                        "set it where the proxy starts and list it in the plugin's environment_variables.host_env_keys (Istio: vmConfig.env with valueFrom HOST)",
                    ));
                }
            }
        }
        (None, Some(_)) if !allow_inline => {
            return Err(ConfigError::new(
                format!("{path}.value"),
                "inline secrets are visible in config dumps",
                "use {\"env\": NAME}, or set allow_inline_secrets to true for a test",
            ));
        }
        (None, Some(value)) if value.reveal().is_empty() => {
            return Err(ConfigError::new(format!("{path}.value"), "the secret is empty", "give a secret"));
        }
        (None, Some(value)) => (value.clone(), "value"),
        (Some(_), Some(_)) => {
            return Err(ConfigError::new(path, "both env and value are given", "keep env"));
        }
        (None, None) => {
            return Err(ConfigError::new(path, "no secret is named", "add {\"env\": NAME}"));
        }
    };
    if secret.reveal().trim() != secret.reveal() {
        return Err(ConfigError::new(
            format!("{path}.{key}"),
            "the secret begins or ends with white space",
            "remove it (a line break at the end of a mounted or encoded secret is the usual cause)",
        ));
    }
    Ok(Some(secret))
}
