//! Segments that a route's `path_template` names as variable.

use std::borrow::Cow;

use super::decode::decode;
use crate::config::PathTemplate;
use crate::percent::Plus;

/// The positions, among the segments of a raw path, that any template names as variable.
///
/// Templates are compared as leniently as an application might: case, empty segments, dot segments, parameters, a format suffix and
/// further escapes make no difference. Which route would take the request does not matter either; a path is masked if it
/// looks like one of a template's.
pub(super) fn variables(templates: &[PathTemplate], path: &[u8]) -> Vec<usize> {
    let Some(most) = templates.iter().map(Vec::len).max() else { return Vec::new() };
    let mut segments: Vec<(usize, Cow<'_, [u8]>)> = Vec::with_capacity(most);
    // Somewhat more than any template has says enough: a path can be long.
    for (index, raw) in path.split(|&b| b == b'/').enumerate().take(most.saturating_mul(2).saturating_add(32))
    {
        match literal(raw) {
            text if matches!(&*text, b"" | b".") => {}
            text if *text == *b".." => drop(segments.pop()),
            text => segments.push((index, text)),
        }
    }
    let mut found = Vec::new();
    for template in templates {
        let parts = || template.iter().filter(|part| part.as_deref() != Some(b""));
        let fits = parts().count() == segments.len()
            && parts()
                .zip(&segments)
                .all(|(part, (_, text))| part.as_ref().is_none_or(|part| is_spelling_of(part, text)));
        if fits {
            let variables = parts().zip(&segments).filter(|(part, _)| part.is_none());
            found.extend(variables.map(|(_, (index, _))| *index));
        }
    }
    found
}

/// Whether an application might take a segment for this one of a template.
fn is_spelling_of(part: &[u8], segment: &[u8]) -> bool {
    let without_suffix = segment.rsplitn(2, |&b| b == b'.').nth(1);
    [Some(segment), without_suffix].into_iter().flatten().any(|own| part.eq_ignore_ascii_case(own))
}

/// A raw segment without its parameters, decoded.
fn literal(raw: &[u8]) -> Cow<'_, [u8]> {
    decode(raw.split(|&b| b == b';').next().unwrap_or_default(), Plus::Literal)
}
