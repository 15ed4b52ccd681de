//! Every path that a request can take.

pub mod bytes;
mod filter;
mod proxy;
pub mod requests;

use crate::marker::Planter;
use crate::support::client::Protocol;
use crate::support::http::Request;

/// Writes a request; the text is its path.
type Writer = fn(&mut Planter, &str) -> Request;

/// One case.
pub struct Case {
    /// Its name, which the documentation uses too.
    pub name: &'static str,
    /// Through which listener the first time, and the second time.
    pub listeners: [&'static str; 2],
    /// What is sent.
    writer: Writer,
    path: &'static str,
    /// How it is sent.
    pub by: By,
    /// What the filter makes of it: the status that the client is answered, 0 where it is not answered.
    pub status: u16,
    /// What `%RESPONSE_CODE_DETAILS%` then says.
    pub details: &'static str,
    /// How many lines it makes in each access log.
    pub lines: usize,
    /// Whether not even the control can leak: Envoy's log has no header of this request.
    pub unread: bool,
}

/// How a request is sent.
#[derive(Clone, Copy)]
pub enum By {
    /// By an ordinary client.
    Client(Protocol),
    /// As bytes over HTTP/1.1.
    Bytes(fn(&Request) -> Vec<u8>),
    /// As raw fields over HTTP/2: each character of the request is one byte.
    RawFields,
    /// By a client that leaves when half of the body is sent.
    LeavesInBody(Protocol),
    /// By a client that sends half of the body and waits.
    WaitsInBody,
    /// By a client that leaves when the application has the request.
    LeavesBeforeAnswer(Protocol),
    /// By an ordinary client, while the listener is replaced.
    DuringUpdate,
}

const H1: By = By::Client(Protocol::Http1);
const H2: By = By::Client(Protocol::Http2);

/// The cases, in the order in which they run.
pub fn all() -> Vec<Case> {
    filter::cases().into_iter().chain(proxy::cases()).collect()
}

/// The cases of these names.
pub fn named(names: &[&str]) -> Vec<Case> {
    let cases: Vec<_> =
        all().into_iter().chain(uncovered()).filter(|case| names.contains(&case.name)).collect();
    assert_eq!(cases.len(), names.len(), "{names:?}");
    cases
}

/// What the filter leaves as it is, and docs/redaction.md says so.
fn uncovered() -> Vec<Case> {
    vec![case("host and forwarded addresses", requests::host_and_addresses, "/elsewhere", H1, 200)]
}

fn case(name: &'static str, writer: Writer, path: &'static str, by: By, status: u16) -> Case {
    let details = match status {
        101 => "downstream_remote_disconnect",
        200 => "via_upstream",
        401 => "twilio_guard_mismatch",
        _ => "",
    };
    Case { name, listeners: ["main"; 2], writer, path, by, status, details, lines: 1, unread: false }
}

impl Case {
    /// What is sent.
    pub fn request(&self, plant: &mut Planter) -> Request {
        (self.writer)(plant, self.path)
    }

    const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    const fn at(mut self, listener: &'static str) -> Self {
        self.listeners = [listener; 2];
        self
    }

    const fn lines(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    const fn unread(mut self) -> Self {
        self.unread = true;
        self
    }
}
