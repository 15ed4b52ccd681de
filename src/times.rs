//! Times as senders write them.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::config::TimeFormat;

/// The seconds since 1970 of a time as it is written; fractions are cut.
#[must_use]
pub(crate) fn read_time(format: TimeFormat, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = |length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = || text.parse().ok().filter(|_| is_number(10));
    let millis = || text.parse::<u64>().ok().filter(|_| is_number(13)).map(|millis| millis / 1000);
    let since_epoch = |date: OffsetDateTime| u64::try_from(date.unix_timestamp()).ok();
    let rfc2822 = || OffsetDateTime::parse(text, &Rfc2822).ok().and_then(since_epoch);
    let rfc3339 = || OffsetDateTime::parse(text, &Rfc3339).ok().and_then(since_epoch);
    match format {
        TimeFormat::Auto => seconds().or_else(millis).or_else(rfc2822).or_else(rfc3339),
        TimeFormat::Epoch => seconds(),
        TimeFormat::EpochMs => millis(),
        TimeFormat::Rfc2822 => rfc2822(),
        TimeFormat::Rfc3339 => rfc3339(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_format_that_senders_use() {
        for (format, text) in [
            (TimeFormat::Auto, "1732269600"),
            (TimeFormat::Auto, "1732269600123"),
            (TimeFormat::Auto, "Fri, 22 Nov 2024 10:00:00 +0000"),
            (TimeFormat::Auto, "Fri, 22 Nov 2024 05:00:00 -0500"),
            (TimeFormat::Auto, "2024-11-22T10:00:00.999Z"),
            (TimeFormat::Epoch, "1732269600"),
            (TimeFormat::EpochMs, "1732269600999"),
            (TimeFormat::Rfc2822, "Fri, 22 Nov 2024 10:00:00 GMT"),
            (TimeFormat::Rfc3339, "2024-11-22T11:00:00+01:00"),
        ] {
            assert_eq!(read_time(format, text.as_bytes()), Some(1_732_269_600), "{text}");
        }
        for (format, text) in [
            (TimeFormat::Epoch, "1732269600123"),
            (TimeFormat::EpochMs, "1732269600"),
            (TimeFormat::Rfc2822, "1732269600"),
            (TimeFormat::Auto, ""),
            (TimeFormat::Auto, "173226960"),
            (TimeFormat::Auto, "+1732269600"),
            (TimeFormat::Auto, "yesterday"),
            (TimeFormat::Auto, "1932-11-22T10:00:00Z"),
        ] {
            assert_eq!(read_time(format, text.as_bytes()), None, "{text}");
        }
    }
}
