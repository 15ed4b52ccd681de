//! How a lenient application might read a path.
//!
//! No list of leniencies is complete. This one has those that common stacks show by default: repeated decoding; backslashes as slashes;
//! empty, dot and parameter segments; case, also of Unicode look-alikes that fold to ASCII; trailing blanks, dots and stream names
//! (Windows); a format suffix (`/sms.json` in Rails and Spring); a front controller before the path (`/index.php/sms`) and path
//! information after a script (`/sms.php/x`).

use crate::percent::{Plus, decode_into};

/// How often a path is decoded.
const DECODINGS: usize = 3;

/// The segments of a path under one lenient reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoosePath(Vec<String>);

impl LoosePath {
    /// The basic lenient reading of a raw path.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        let mut text = path.to_vec();
        for _ in 0..DECODINGS {
            let mut decoded = Vec::with_capacity(text.len());
            if decode_into(&text, Plus::Literal, &mut decoded).is_err() || decoded == text {
                break;
            }
            text = decoded;
        }
        let end = text.iter().position(|b| matches!(b, b'?' | b'#' | 0)).unwrap_or(text.len());
        let text = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
        let mut segments: Vec<String> = Vec::new();
        for segment in text.split(['/', '\\']) {
            let segment = segment.split([';', ':']).next().unwrap_or_default();
            match segment {
                ".." => {
                    segments.pop();
                }
                other => {
                    let folded = fold(other.trim_end_matches([' ', '.', '\t']));
                    if !folded.is_empty() {
                        segments.push(folded);
                    }
                }
            }
        }
        Self(segments)
    }

    /// This reading, and those without a format suffix and without a front controller.
    #[must_use]
    pub fn readings(self) -> Vec<Self> {
        let mut readings = vec![self.clone()];
        if let Some((last, before)) = self.0.split_last()
            && let Some((stem, _suffix)) = last.split_once('.')
            && !stem.is_empty()
        {
            readings.push(Self(before.iter().cloned().chain([stem.to_owned()]).collect()));
        }
        let behind_controllers: Vec<Self> = readings
            .iter()
            .filter_map(|reading| reading.0.split_first())
            .filter(|(first, rest)| first.contains('.') && !rest.is_empty())
            .map(|(_, rest)| Self(rest.to_vec()))
            .collect();
        readings.extend(behind_controllers);
        readings
    }
}

/// Case folding, with full-width forms and letters like the long s taken for the ASCII letters that they fold to.
fn fold(segment: &str) -> String {
    let narrow = segment.chars().map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => u32::from(c).checked_sub(0xfee0).and_then(char::from_u32).unwrap_or(c),
        other => other,
    });
    narrow.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A path pattern under the lenient reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoosePattern {
    /// This path; a script (a last segment with a dot) also takes paths below it.
    Exact(LoosePath),
    /// This path and every path below it.
    Prefix(LoosePath),
    /// A literal or, for `None`, any segment in each place.
    Template(Vec<Option<String>>),
}

impl LoosePattern {
    /// The pattern of a template's segments; an empty last one stands for a trailing slash and is dropped.
    #[must_use]
    pub fn template(segments: &[Option<Vec<u8>>]) -> Self {
        let mut segments: Vec<Option<String>> = segments
            .iter()
            .map(|segment| segment.as_ref().map(|text| fold(&String::from_utf8_lossy(text))))
            .collect();
        if segments.last().is_some_and(|last| last.as_deref() == Some("")) {
            segments.pop();
        }
        Self::Template(segments)
    }

    /// Whether this reading of a path is one of the pattern.
    #[must_use]
    pub fn matches(&self, path: &LoosePath) -> bool {
        match self {
            Self::Exact(own) => {
                let is_script = own.0.last().is_some_and(|last| last.contains('.'));
                own == path || (is_script && path.0.starts_with(&own.0))
            }
            Self::Prefix(own) => path.0.starts_with(&own.0),
            Self::Template(own) => {
                own.len() == path.0.len()
                    && own
                        .iter()
                        .zip(&path.0)
                        .all(|(own, segment)| own.as_ref().is_none_or(|own| own == segment))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(pattern: &LoosePattern, path: &str) -> bool {
        LoosePath::of(path.as_bytes()).readings().iter().any(|reading| pattern.matches(reading))
    }

    #[test]
    fn lenient_readings_find_the_path_behind_the_spelling() {
        let sms = LoosePattern::Exact(LoosePath::of(b"/sms"));
        for spelling in [
            "/sms",
            "/SMS",
            "/sms/",
            "//sms",
            "/x/..%2fsms",
            "/%73ms",
            "/%2573ms",
            "/x/..;/sms",
            "\\sms",
            "/sms;a=b",
            "/./sms",
            "/sms.json",
            "/sms.xml",
            "/index.php/sms",
            "/sms%3fx=1",
            "/sms%20",
            "/sms.",
            "/sms::$DATA",
            "/%C5%BFms",
            "/%EF%BD%93ms",
            "/sms%00",
            "/sms%00.png",
            "/app.cgi/sms.json",
        ] {
            assert!(reaches(&sms, spelling), "{spelling}");
        }
        for other in ["/", "/sm", "/smss", "/sms/x", "/a/sms", "/json.sms"] {
            assert!(!reaches(&sms, other), "{other}");
        }
    }

    #[test]
    fn a_script_takes_its_path_information() {
        let script = LoosePattern::Exact(LoosePath::of(b"/sms.php"));
        assert!(reaches(&script, "/sms.php/x") && reaches(&script, "/SMS.PHP"));
        assert!(!reaches(&script, "/sms2.php"));
    }

    #[test]
    fn kelvin_is_a_k() {
        assert!(reaches(&LoosePattern::Exact(LoosePath::of(b"/kick")), "/%E2%84%AAick"));
    }
}
