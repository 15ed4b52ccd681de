//! Limits of one request and the statuses of its refusal: values, defaults, ranges.

use std::time::Duration;

use super::ConfigError;
use super::raw::{RawLimits, RawStatuses};
use super::units::{DurationText, Size};
use crate::reject::StatusClass;

/// The largest body limit that can be configured: wasm memory never shrinks, and every worker has its own.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// Limits of size, count and time for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of any body.
    pub max_body: usize,
    /// Bytes of a form body.
    pub max_form: usize,
    /// Bytes of the request target (path and query), which is kept while a form is awaited.
    pub max_target: usize,
    /// Parameters in form and query together.
    pub max_params: usize,
    /// Signatures computed for one request.
    pub max_candidates: usize,
    /// Bytes fed to all signatures computed for one request. (A JSON body is hashed once more, within `max_body`.)
    pub max_hashed_bytes: usize,
    /// From the head to the end of the body.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 1_000_000,
            max_form: 65_536,
            max_target: 32_768,
            max_params: 1000,
            max_candidates: 32,
            max_hashed_bytes: 1_000_000,
            body_timeout: Duration::from_secs(15),
        }
    }
}

/// The HTTP status of each class of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// No signature was sent.
    pub missing_signature: u16,
    /// The signature does not make the request acceptable.
    pub invalid_signature: u16,
    /// Refused whatever it is signed with.
    pub denied: u16,
    /// The body did not arrive in time.
    pub timeout: u16,
    /// The request is too old, or not yet due.
    pub stale: u16,
    /// Copies of the request have passed as often as they may.
    pub replayed: u16,
    /// A copy of the request is under way.
    pub in_flight: u16,
    /// A limit was passed.
    pub too_large: u16,
    /// The method is not allowed.
    pub method: u16,
    /// No verdict could be reached.
    pub undecidable: u16,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            missing_signature: 401,
            invalid_signature: 401,
            denied: 403,
            timeout: 408,
            stale: 408,
            replayed: 409,
            in_flight: 503,
            too_large: 413,
            method: 405,
            undecidable: 503,
        }
    }
}

impl Statuses {
    /// The status of a class.
    #[must_use]
    pub const fn of(&self, class: StatusClass) -> u16 {
        match class {
            StatusClass::MissingSignature => self.missing_signature,
            StatusClass::InvalidSignature => self.invalid_signature,
            StatusClass::Denied => self.denied,
            StatusClass::Method => self.method,
            StatusClass::TooLarge => self.too_large,
            StatusClass::Timeout => self.timeout,
            StatusClass::Stale => self.stale,
            StatusClass::Replayed => self.replayed,
            StatusClass::InFlight => self.in_flight,
            StatusClass::Undecidable => self.undecidable,
        }
    }
}

/// Resolves the limits of one level over those of the level above.
pub(super) fn compile_limits(
    raw: Option<&RawLimits>,
    base: Limits,
    path: &str,
) -> Result<Limits, ConfigError> {
    let Some(raw) = raw else { return Ok(base) };
    let size = |key: &str, own: Option<Size>, base: usize, most: usize| match own {
        None => Ok(base),
        Some(Size(own)) if (1..=most).contains(&own) => Ok(own),
        Some(_) => Err(ConfigError::new(
            format!("{path}.{key}"),
            "out of range",
            format!("give a number from 1 to {most}"),
        )),
    };
    let body_timeout = match raw.body_timeout {
        None => base.body_timeout,
        Some(DurationText(own)) if (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&own) => {
            own
        }
        Some(_) => {
            return Err(ConfigError::new(
                format!("{path}.body_timeout"),
                "out of range",
                "give a time from 100ms to 10m",
            ));
        }
    };
    Ok(Limits {
        max_body: size("max_body", raw.max_body, base.max_body, LARGEST_BODY)?,
        max_form: size("max_form", raw.max_form, base.max_form, LARGEST_BODY)?,
        max_target: size("max_target", raw.max_target, base.max_target, 1024 * 1024)?,
        max_params: size("max_params", raw.max_params, base.max_params, 100_000)?,
        max_candidates: size("max_candidates", raw.max_candidates, base.max_candidates, 1_000)?,
        max_hashed_bytes: size(
            "max_hashed_bytes",
            raw.max_hashed_bytes,
            base.max_hashed_bytes,
            LARGEST_BODY * 16,
        )?,
        body_timeout,
    })
}

/// Resolves the statuses of one level over those of the level above.
pub(super) fn compile_statuses(
    raw: Option<&RawStatuses>,
    base: Statuses,
    path: &str,
) -> Result<Statuses, ConfigError> {
    let Some(raw) = raw else { return Ok(base) };
    let status = |key: &str, own: Option<u16>, base: u16| match own {
        None => Ok(base),
        Some(own) if (400..=599).contains(&own) => Ok(own),
        Some(_) => Err(ConfigError::new(
            format!("{path}.{key}"),
            "not the status of an error",
            "give a number from 400 to 599",
        )),
    };
    Ok(Statuses {
        missing_signature: status("missing_signature", raw.missing_signature, base.missing_signature)?,
        invalid_signature: status("invalid_signature", raw.invalid_signature, base.invalid_signature)?,
        denied: status("denied", raw.denied, base.denied)?,
        timeout: status("timeout", raw.timeout, base.timeout)?,
        stale: status("stale", raw.stale, base.stale)?,
        replayed: status("replayed", raw.replayed, base.replayed)?,
        in_flight: status("in_flight", raw.in_flight, base.in_flight)?,
        too_large: status("too_large", raw.too_large, base.too_large)?,
        method: status("method", raw.method, base.method)?,
        undecidable: status("undecidable", raw.undecidable, base.undecidable)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let limits = Limits::default();
        assert_eq!((limits.max_body, limits.max_form, limits.max_params), (1_000_000, 65_536, 1000));
        assert_eq!((limits.max_candidates, limits.max_hashed_bytes), (32, 1_000_000));
        assert_eq!(limits.body_timeout, Duration::from_secs(15));
        let statuses = Statuses::default();
        assert_eq!(statuses.of(StatusClass::MissingSignature), 401);
        assert_eq!(statuses.of(StatusClass::Denied), 403);
        assert_eq!(statuses.of(StatusClass::Undecidable), 503);
    }
}
