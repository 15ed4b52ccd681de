//! Signed parameters that a rule requires, and the form each must have.
//!
//! Twilio's form scheme signs keys and values without separators, so `SequenceNumber=2&Timestamp=X` and
//! `SequenceNumber=2TimestampX` carry the same signature (spec twilio-signature, section 5, attack 2). Requiring
//! that both are there, and that a number is a number, closes that door where it matters.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::ConfigError;
use super::raw::RawParam;

/// The form of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParamShape {
    /// Anything that is not empty.
    Present,
    /// A Twilio SID: two capital letters and 32 hexadecimal digits.
    Sid,
    /// Decimal digits.
    Digits,
    /// An RFC 2822 date, or a time in seconds or milliseconds since 1970.
    Date,
    /// A status word: lower-case letters, digits, `-` and `_`.
    Word,
}

impl ParamShape {
    /// The form that Twilio documents for a parameter of this name; [`Present`](Self::Present) where it
    /// documents none.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "SequenceNumber" | "NumMedia" | "NumSegments" | "CallDuration" | "RecordingDuration"
            | "TimestampMs" => Self::Digits,
            "Timestamp" => Self::Date,
            "MessageStatus" | "SmsStatus" | "CallStatus" | "RecordingStatus" => Self::Word,
            _ if name.ends_with("Sid") => Self::Sid,
            _ => Self::Present,
        }
    }

    /// Whether a decoded value has this form.
    #[must_use]
    pub fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Present => !value.is_empty(),
            Self::Sid => {
                value.len() == 34
                    && value.iter().take(2).all(u8::is_ascii_uppercase)
                    && value.iter().skip(2).all(u8::is_ascii_hexdigit)
            }
            Self::Digits => (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit),
            Self::Date => is_epoch(value) || is_rfc2822(value),
            Self::Word => {
                (1..=40).contains(&value.len())
                    && value
                        .iter()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            }
        }
    }
}

fn is_epoch(value: &[u8]) -> bool {
    (10..=13).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

fn is_rfc2822(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| OffsetDateTime::parse(text, &Rfc2822).is_ok())
}

/// One parameter that must occur exactly once among the signed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredParam {
    /// The decoded, case-sensitive name.
    pub name: String,
    /// The form of its value.
    pub shape: ParamShape,
}

impl RequiredParam {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), shape: ParamShape::of(name) }
    }
}

/// Reads a `require_params` list. An empty list is allowed: it lifts what a profile requires.
pub(super) fn compile(raw: &[RawParam], path: &str) -> Result<Vec<RequiredParam>, ConfigError> {
    let mut params: Vec<RequiredParam> = Vec::with_capacity(raw.len());
    for (index, param) in raw.iter().enumerate() {
        let param = match param {
            RawParam::Name(name) => RequiredParam::named(name),
            RawParam::Shaped(shaped) => RequiredParam { name: shaped.name.clone(), shape: shaped.shape },
        };
        let path = format!("{path}[{index}]");
        if param.name.is_empty() {
            return Err(ConfigError::new(path, "the name is empty", "name the parameter"));
        }
        if params.iter().any(|other| other.name == param.name) {
            return Err(ConfigError::new(path, "the parameter is listed twice", "keep one of them"));
        }
        params.push(param);
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let sid = "CA0123456789abcdef0123456789abcdef";
        let cases: [(ParamShape, &[&str], &[&str]); 5] = [
            (ParamShape::Present, &["x", " "], &[""]),
            (
                ParamShape::Sid,
                &[sid],
                &["", "CA", "ca0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdefFromX"],
            ),
            (ParamShape::Digits, &["0", "2"], &["", "2TimestampX", "-1", "2 "]),
            (
                ParamShape::Date,
                &["Tue, 31 Mar 2020 15:11:21 +0000", "1700555010", "1700555010123"],
                &["", "yesterday", "170055501", "Tue, 31 Mar 2020 15:11:21 +0000x", "17005550101234"],
            ),
            (ParamShape::Word, &["in-progress", "no_answer"], &["", "Sent", "sentTo+1"]),
        ];
        for (shape, good, bad) in cases {
            for value in good {
                assert!(shape.fits(value.as_bytes()), "{shape:?} {value:?}");
            }
            for value in bad {
                assert!(!shape.fits(value.as_bytes()), "{shape:?} {value:?}");
            }
        }
    }
}
