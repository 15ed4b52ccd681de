//! Durations (`300s`, `5m`, `250ms`, `1h`) and sizes (`65536`, `64KiB`, `1MiB`).

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration written as digits and one of `ms`, `s`, `m`, `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationText(pub(super) Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).ok_or_else(|| {
            de::Error::custom(
                "not a duration; write digits and a unit, such as \"300s\", \"5m\" or \"250ms\"",
            )
        })
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(digits.checked_mul(millis)?))
}

/// A number of bytes: an integer, or a string of digits with `KiB` or `MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "not a size; write a whole number of bytes, or a string such as \"64KiB\" or \"1MiB\""
)]
enum SizeForm {
    Bytes(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match SizeForm::deserialize(deserializer)? {
            SizeForm::Bytes(bytes) => Some(bytes),
            SizeForm::Text(text) => parse_size(&text),
        };
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).map(Self).ok_or_else(|| {
            de::Error::custom("not a size; write a whole number of bytes, or a string such as \"64KiB\"")
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = split_unit(text)?;
    let bytes = match unit {
        "" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    digits.checked_mul(bytes)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(unit_at)?;
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("300s", 300_000), ("5m", 300_000), ("250ms", 250), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in
            ["", "s", "5", "5 s", "-5s", "1.5s", "5d", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1_048_576)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "KiB", "64kb", "64 KiB", "-1", "18446744073709551615KiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
