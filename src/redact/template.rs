//! Segments that a route's `path_template` names as variable.

use super::decode::decode;
use crate::config::PathTemplate;
use crate::percent::Plus;

/// The positions, among the segments of a raw path, that any template names as variable.
///
/// Templates are compared as leniently as an application might: case, empty segments, dots, parameters and further
/// escapes make no difference. Which route would take the request does not matter either; a path is masked if it looks like one of
/// a template's.
pub(super) fn variables(templates: &[PathTemplate], path: &[u8]) -> Vec<usize> {
    if templates.is_empty() {
        return Vec::new();
    }
    let segments: Vec<(usize, Vec<u8>)> = path
        .split(|&b| b == b'/')
        .enumerate()
        .map(|(index, raw)| (index, literal(raw)))
        .filter(|(_, text)| !matches!(text.as_slice(), b"" | b"."))
        .collect();
    let mut found = Vec::new();
    for template in templates {
        let parts = || template.iter().filter(|part| part.as_deref() != Some(b""));
        let fits = parts().count() == segments.len()
            && parts()
                .zip(&segments)
                .all(|(part, (_, text))| part.as_ref().is_none_or(|part| part.eq_ignore_ascii_case(text)));
        if fits {
            let variables = parts().zip(&segments).filter(|(part, _)| part.is_none());
            found.extend(variables.map(|(_, (index, _))| *index));
        }
    }
    found
}

/// A raw segment without its parameters, decoded.
fn literal(raw: &[u8]) -> Vec<u8> {
    decode(raw.split(|&b| b == b';').next().unwrap_or_default(), Plus::Literal).into_owned()
}
