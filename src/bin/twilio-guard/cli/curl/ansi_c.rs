//! `$'...'` quoting, which browsers use in "copy as cURL" and POSIX shells did not know before 2024.

use super::super::outcome::Failure;

/// Rewrites every `$'...'` of a command as plain single quotes. Everything else is left as it is.
pub(super) fn to_plain_quotes(command: &str) -> Result<String, Failure> {
    let mut plain = String::with_capacity(command.len());
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                plain.push(c);
                plain.extend(rest.next());
            }
            '\'' => {
                plain.push(c);
                copy_until(&mut rest, &mut plain, '\'', false);
            }
            '"' => {
                plain.push(c);
                copy_until(&mut rest, &mut plain, '"', true);
            }
            '$' if rest.peek() == Some(&'\'') => {
                rest.next();
                let text = decode(&mut rest)?;
                plain.push('\'');
                plain.push_str(&text.replace('\'', "'\\''"));
                plain.push('\'');
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn copy_until(rest: &mut Chars<'_>, plain: &mut String, end: char, has_escapes: bool) {
    while let Some(c) = rest.next() {
        plain.push(c);
        if c == end {
            return;
        }
        if has_escapes && c == '\\' {
            plain.extend(rest.next());
        }
    }
}

/// Decodes up to the closing quote.
fn decode(rest: &mut Chars<'_>) -> Result<String, Failure> {
    let bad = || Failure::new("a $'...' text in the curl command is not understood", "use plain quotes");
    let mut bytes = Vec::new();
    loop {
        let c = rest.next().ok_or_else(bad)?;
        if c == '\'' {
            return String::from_utf8(bytes).map_err(|_| bad());
        }
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escaped = rest.next().ok_or_else(bad)?;
        let plain = match escaped {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\x07',
            'b' => '\x08',
            'e' | 'E' => '\x1b',
            'f' => '\x0c',
            'v' => '\x0b',
            '\\' | '\'' | '"' | '?' => escaped,
            'x' => {
                bytes.push(u8::try_from(number(rest, 16, 2).ok_or_else(bad)?).map_err(|_| bad())?);
                continue;
            }
            'u' => char::from_u32(number(rest, 16, 4).ok_or_else(bad)?).ok_or_else(bad)?,
            'U' => char::from_u32(number(rest, 16, 8).ok_or_else(bad)?).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        bytes.extend(plain.encode_utf8(&mut [0; 4]).bytes());
    }
}

fn number(rest: &mut Chars<'_>, radix: u32, most: usize) -> Option<u32> {
    let mut digits = String::new();
    while digits.len() < most && rest.peek().is_some_and(|c| c.is_digit(radix)) {
        digits.extend(rest.next());
    }
    u32::from_str_radix(&digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dollar_quotes_change() {
        for (command, plain) in [
            (r"curl $'a\nb'", "curl 'a\nb'"),
            (r"curl $'it\'s \u0021 \xc3\xa9'", r"curl 'it'\''s ! é'"),
            (r"curl '$' \$'x'", r"curl '$' \$'x'"),
            (r#"curl "$'x'" 'a$'"#, r#"curl "$'x'" 'a$'"#),
        ] {
            assert_eq!(to_plain_quotes(command).unwrap(), plain);
        }
        assert!(to_plain_quotes(r"curl $'open").is_err() && to_plain_quotes(r"curl $'\q'").is_err());
    }
}
