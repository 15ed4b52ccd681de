//! Envoy's format strings: `%COMMAND(arguments):length%`, and `%%` for a percent sign.
//!
//! The grammar is that of Envoy's own parser, one regular expression:
//! `%((?:[A-Z]|[0-9]|_)+)(?:\((.*?)\))?(?::([0-9]+))?%`.

use serde_json::Value;

/// A command operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) name: String,
    /// What stands in the parentheses; empty without any.
    pub(super) arguments: String,
}

/// A parsed format.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) operators: Vec<Operator>,
    /// Whether there is text beside the operators, so that the result is never empty.
    pub(super) has_text: bool,
    /// Whether Envoy would take it. What can be read of one that it refuses is read all the same.
    pub(super) is_valid: bool,
}

/// Parses a format string.
pub(super) fn parse(text: &str) -> Format {
    let mut format = Format { operators: Vec::new(), has_text: false, is_valid: true };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        format.has_text |= !before.is_empty();
        if let Some(literal) = after.strip_prefix('%') {
            format.has_text = true;
            rest = literal;
        } else if let Some((operator, after)) = operator(after) {
            format.operators.push(operator);
            rest = after;
        } else {
            format.is_valid = false;
            rest = after;
        }
    }
    format.has_text |= !rest.is_empty();
    format
}

/// Reads an operator behind its first percent sign; with what follows its last one.
fn operator(text: &str) -> Option<(Operator, &str)> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let (name, rest) = text.split_at_checked(text.find(|c| !is_name(c))?)?;
    if name.is_empty() {
        return None;
    }
    let found = |arguments: &str, rest| {
        Some((Operator { name: name.to_owned(), arguments: arguments.to_owned() }, rest))
    };
    if let Some(rest) = end(rest) {
        return found("", rest);
    }
    // The first closing parenthesis that the operator can end with.
    let inner = rest.strip_prefix('(')?;
    inner.match_indices(')').find_map(|(index, _)| {
        let (arguments, rest) = inner.split_at_checked(index)?;
        end(rest.strip_prefix(')')?).and_then(|rest| found(arguments, rest))
    })
}

/// What follows `%` or `:length%`.
fn end(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('%') {
        return Some(rest);
    }
    let digits = text.strip_prefix(':')?;
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < digits.len()).then(|| rest.strip_prefix('%')).flatten()
}

impl Operator {
    /// The header names of `X?Y`, in lower case.
    pub(super) fn headers(&self) -> Vec<String> {
        self.arguments.split('?').map(|name| name.trim().to_ascii_lowercase()).collect()
    }

    /// The arguments that colons separate.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.split(':').nth(index).unwrap_or_default()
    }

    /// The operators inside `COALESCE`; `None` if they cannot be read.
    pub(super) fn alternatives(&self) -> Option<Vec<Self>> {
        let tree: Value = serde_json::from_str(&self.arguments).ok()?;
        let read = |entry: &Value| match entry {
            Value::String(name) => Some(Self { name: name.clone(), arguments: String::new() }),
            entry => Some(Self {
                name: entry.get("command")?.as_str()?.to_owned(),
                arguments: entry.get("param").and_then(Value::as_str).unwrap_or_default().to_owned(),
            }),
        };
        tree.get("operators")?.as_array()?.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).operators.into_iter().map(|operator| (operator.name, operator.arguments)).collect()
    }

    fn pair(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn operators_are_found_between_literals() {
        assert_eq!(
            read(
                "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%\" %REQ(A):12%%DURATION%"
            ),
            [
                pair("START_TIME", ""),
                pair("REQ", ":METHOD"),
                pair("REQ", "X-ENVOY-ORIGINAL-PATH?:PATH"),
                pair("REQ", "A"),
                pair("DURATION", "")
            ]
        );
    }

    #[test]
    fn arguments_end_at_the_parenthesis_that_ends_the_operator() {
        assert_eq!(read("%START_TIME(%s.%3f)%"), [pair("START_TIME", "%s.%3f")]);
        assert_eq!(read("%START_TIME(%Y (x))%"), [pair("START_TIME", "%Y (x)")]);
        assert_eq!(read("%CEL(f(request.path) + 'a')%"), [pair("CEL", "f(request.path) + 'a'")]);
    }

    #[test]
    fn a_doubled_percent_sign_is_a_literal() {
        assert_eq!(read("%%REQ(:PATH)%%"), []);
        assert!(parse("100%% of %%REQ(:PATH)%%").is_valid);
        assert_eq!(read("%%%REQ(:PATH)%%%"), [pair("REQ", ":PATH")]);
    }

    #[test]
    fn text_beside_operators_is_noticed() {
        for (text, has_text) in [
            ("%A%", false),
            ("%A%%B(c):1%", false),
            ("x%A%", true),
            ("%A%x", true),
            ("%A%%%%%B%", true),
            ("", false),
        ] {
            assert_eq!(parse(text).has_text, has_text, "{text}");
        }
    }

    #[test]
    fn what_envoy_refuses_is_invalid_and_read_on() {
        for text in ["100% x", "%REQ(:PATH)", "%req(:path)%", "%REQ(a)b%", "%REQ(a):%", "%", "%(a)%", "%é%"]
        {
            let format = parse(text);
            assert!(format.operators.is_empty() && !format.is_valid, "{text}: {format:?}");
        }
        let format = parse("100% %REQ(:PATH)%");
        assert!(!format.is_valid && format.operators.len() == 1, "{format:?}");
    }

    #[test]
    fn alternatives_are_read() {
        let format = parse(
            r#"%COALESCE({"operators": ["PATH", {"command": "REQ", "param": ":path", "max_length": 5}]}):9%"#,
        );
        let names = format.operators[0].alternatives().unwrap();
        assert_eq!((names[0].name.as_str(), names[1].arguments.as_str()), ("PATH", ":path"));
        assert_eq!(parse("%COALESCE(x)%").operators[0].alternatives(), None);
    }
}
