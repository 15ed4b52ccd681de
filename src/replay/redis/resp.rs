//! The little of RESP, the Redis serialization protocol, that two scripts need: commands out, and in status lines, integers and
//! pairs of them.
//!
//! Anything else is no answer. Text of an error is never kept: a server may quote there what it was sent.

use super::SharedError;

/// The most bytes of a reply. Ours have 20 to 30; an error line is the longest that comes.
const MOST_REPLY_BYTES: usize = 16 * 1024;

/// Appends a command.
pub(super) fn write_command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    out.extend(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend(b"\r\n");
    }
}

/// Replies to be read in order.
pub(super) struct Replies<'a>(&'a [u8]);

impl<'a> Replies<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, SharedError> {
        if bytes.len() > MOST_REPLY_BYTES { Err(SharedError::Malformed) } else { Ok(Self(bytes)) }
    }

    /// Reads `+OK`.
    pub(super) fn ok(&mut self) -> Result<(), SharedError> {
        if self.line()? == b"+OK" { Ok(()) } else { Err(SharedError::Malformed) }
    }

    /// Reads an integer that is not negative.
    pub(super) fn integer(&mut self) -> Result<u32, SharedError> {
        let digits = self.line()?.strip_prefix(b":").ok_or(SharedError::Malformed)?;
        let is_canonical =
            digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || !digits.starts_with(b"0"));
        let text = std::str::from_utf8(digits).ok().filter(|_| is_canonical);
        text.and_then(|text| text.parse().ok()).ok_or(SharedError::Malformed)
    }

    /// Reads an array of two integers.
    pub(super) fn pair(&mut self) -> Result<(u32, u32), SharedError> {
        if self.line()? != b"*2" {
            return Err(SharedError::Malformed);
        }
        Ok((self.integer()?, self.integer()?))
    }

    /// Nothing may be left.
    pub(super) const fn end(self) -> Result<(), SharedError> {
        if self.0.is_empty() { Ok(()) } else { Err(SharedError::Malformed) }
    }

    /// Reads up to the next CR LF. A line that says an error is one.
    fn line(&mut self) -> Result<&'a [u8], SharedError> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n").ok_or(SharedError::Malformed)?;
        let (line, rest) = self.0.split_at_checked(end).ok_or(SharedError::Malformed)?;
        self.0 = rest.get(2..).unwrap_or_default();
        match line.strip_prefix(b"-") {
            Some(error) => Err(error_of_line(error)),
            None => Ok(line),
        }
    }
}

/// What an error line means.
fn error_of_line(line: &[u8]) -> SharedError {
    let position = |part: &[u8]| line.windows(part.len()).position(|own| own == part);
    // Before Redis 7, what goes wrong in a script stands behind words about the script.
    let quoted = || position(b": -").and_then(|at| line.get(at.saturating_add(3)..));
    match known_error(line).or_else(|| quoted().and_then(known_error)) {
        Some(error) => error,
        // A right that the user lacks in a script: until Redis 7.0, and since.
        None if position(b"can't run this command").is_some() => SharedError::Denied,
        None if position(b"ACL failure in script").is_some() => SharedError::Denied,
        None => SharedError::Refused,
    }
}

/// What an error means by its first word (Redis), or by all of it (Envoy's `redis_proxy`).
fn known_error(line: &[u8]) -> Option<SharedError> {
    match line.split(|byte| *byte == b' ').next().unwrap_or_default() {
        b"OOM" => Some(SharedError::Full),
        b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"DENIED" => Some(SharedError::Denied),
        b"LOADING" | b"BUSY" | b"READONLY" | b"MASTERDOWN" | b"CLUSTERDOWN" | b"TRYAGAIN" | b"MOVED"
        | b"ASK" | b"MISCONF" | b"NOREPLICAS" => Some(SharedError::Unready),
        _ if line == b"ERR max number of clients reached" => Some(SharedError::Unready),
        _ if matches!(line, b"upstream failure" | b"no upstream host") => Some(SharedError::Unavailable),
        _ => None,
    }
}
