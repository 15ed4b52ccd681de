//! Lines in, lines out, in constant memory.

use std::io::{self, BufRead, Write};

use twilio_guard::redact::REDACTED;

/// The longest line that is read. Of a longer one nothing is shown.
pub(super) const LONGEST: usize = 1 << 20;

/// Rewrites every line. What was read is written before more is waited for, so that `tail -f` shows lines as they come.
pub(super) fn rewrite(
    mut input: impl BufRead,
    mut output: impl Write,
    shown: impl Fn(&[u8]) -> String,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            if !line.is_empty() || is_too_long {
                end(&mut output, &mut line, &mut is_too_long, &shown)?;
            }
            return output.flush();
        }
        let length = chunk.len();
        let mut pieces = chunk.split(|&b| b == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            if line.len().saturating_add(piece.len()) > LONGEST {
                is_too_long = true;
                line.clear();
            }
            if !is_too_long {
                line.extend_from_slice(piece);
            }
            if pieces.peek().is_some() {
                end(&mut output, &mut line, &mut is_too_long, &shown)?;
            }
        }
        input.consume(length);
        output.flush()?;
    }
}

fn end(
    output: &mut impl Write,
    line: &mut Vec<u8>,
    is_too_long: &mut bool,
    shown: &impl Fn(&[u8]) -> String,
) -> io::Result<()> {
    if *is_too_long {
        output.write_all(REDACTED.as_bytes())?;
    } else {
        output.write_all(shown(line.strip_suffix(b"\r").unwrap_or(line)).as_bytes())?;
    }
    line.clear();
    *is_too_long = false;
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(input: &[u8], chunk: usize) -> String {
        let mut out = Vec::new();
        let reader = io::BufReader::with_capacity(chunk, input);
        rewrite(reader, &mut out, |line| format!("<{}>", String::from_utf8_lossy(line))).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_do_not_depend_on_how_they_are_read() {
        for chunk in 1..8 {
            assert_eq!(rewritten(b"a\n\nbcd\r\ne", chunk), "<a>\n<>\n<bcd>\n<e>\n", "{chunk}");
            assert_eq!(rewritten(b"", chunk), "");
            assert_eq!(rewritten(b"\n", chunk), "<>\n");
        }
    }

    #[test]
    fn nothing_is_shown_of_a_line_that_is_too_long() {
        let mut input = vec![b'x'; LONGEST + 1];
        input.extend_from_slice(b"\ny\n");
        assert_eq!(rewritten(&input, 4096), "[REDACTED]\n<y>\n");
        let mut input = vec![b'x'; LONGEST];
        input.push(b'\n');
        assert_eq!(rewritten(&input, 4096).len(), LONGEST + 3);
    }
}
