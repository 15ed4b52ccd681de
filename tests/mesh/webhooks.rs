//! Webhooks of the account that the examples are changed for, and what has to become of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::documents::Values;
use crate::support::client::{self, Client, Protocol};
use crate::support::http::{Request, Response};
use crate::support::sign::{SIGNATURE, Twilio, now, rfc2822};
use crate::support::upstream::Upstream;
use crate::support::{Result, eventually};

/// A phone number and a text that no log may show.
pub const PHONE: &str = "+15005550006";
pub const TEXT: &str = "Is my appointment still at 3 pm?";

/// Twilio, for one account and one public URL.
pub struct Sender {
    twilio: Twilio,
    account: String,
    /// What stands between the host and the path of the application, as in `/hooks`.
    pub prefix: String,
}

impl Sender {
    /// The genuine one.
    pub fn new(values: &Values) -> Self {
        Self::at(values, &format!("https://{}", values.host))
    }

    /// One that was given another URL.
    pub fn at(values: &Values, public_url: &str) -> Self {
        let twilio = Twilio { token: values.token.clone(), public_url: public_url.to_owned() };
        Self { twilio, account: values.account.clone(), prefix: String::new() }
    }

    /// A message; another one each time.
    pub fn sms(&self) -> Request {
        self.message(TEXT)
    }

    /// A message of 40 KB.
    pub fn long_sms(&self) -> Request {
        self.message(&TEXT.repeat(1300))
    }

    /// A message of 2 MB.
    pub fn huge_sms(&self) -> Request {
        self.message(&TEXT.repeat(65_000))
    }

    fn message(&self, text: &str) -> Request {
        let sid = sid("SM");
        let parameters = [
            ("MessageSid", sid.as_str()),
            ("AccountSid", &self.account),
            ("From", PHONE),
            ("To", "+15005550009"),
            ("NumMedia", "0"),
            ("NumSegments", "1"),
            ("Body", text),
        ];
        self.twilio.form(&format!("{}/sms", self.prefix), &parameters)
    }

    /// A message as JSON, whose body has this length; another one each time.
    pub fn json(&self, length: usize) -> Request {
        let target = format!("{}/sms?MessageSid={}&AccountSid={}", self.prefix, sid("SM"), self.account);
        self.twilio.json(&target, &format!("\"{}\"", "a".repeat(length.saturating_sub(2))))
    }

    /// A call, as a GET with its parameters in the query.
    pub fn call(&self) -> Request {
        let (sid, phone) = (sid("CA"), PHONE.replace('+', "%2B"));
        self.twilio.get(&format!(
            "{}/voice?CallSid={sid}&AccountSid={}&CallStatus=ringing&From={phone}",
            self.prefix, self.account
        ))
    }

    /// The status of a call, under a path that has a name in it.
    pub fn call_status(&self) -> Request {
        self.status_at("/calls/jane-roe/status")
    }

    /// The status of a call at another path.
    pub fn status_at(&self, path: &str) -> Request {
        let (sid, time) = (sid("CA"), rfc2822(now()));
        let parameters = [
            ("CallSid", sid.as_str()),
            ("AccountSid", &self.account),
            ("CallStatus", "completed"),
            ("SequenceNumber", "1"),
            ("Timestamp", &time),
        ];
        self.twilio.form(&format!("{}{path}", self.prefix), &parameters)
    }

    /// A media stream.
    pub fn media(&self) -> Request {
        self.twilio.websocket(&format!("{}/media", self.prefix))
    }

    /// Every kind of genuine webhook.
    pub fn genuine(&self) -> [Request; 4] {
        [self.sms(), self.call(), self.call_status(), self.media()]
    }

    /// A message that was changed on the way.
    pub fn tampered(&self) -> Request {
        let request = self.sms();
        let body = String::from_utf8_lossy(&request.body).replace("3+pm", "4+pm");
        request.body(body)
    }

    /// A call that was changed on the way.
    pub fn tampered_call(&self) -> Request {
        let mut request = self.call();
        request.target = request.target.replace("ringing", "busy");
        request
    }

    /// A message of somebody who has another token.
    fn foreign(&self) -> Request {
        let twilio = Twilio { token: "somebody else's".to_owned(), ..self.twilio.clone() };
        Self { twilio, account: self.account.clone(), prefix: self.prefix.clone() }.sms()
    }

    /// Every kind of forged webhook that has a body, and one to a path that no route names; with the status.
    pub fn forged(&self) -> [(Request, u16); 4] {
        let elsewhere = Request { target: format!("{}/elsewhere", self.prefix), ..self.sms() };
        [
            (self.tampered(), 401),
            (self.foreign(), 401),
            (self.sms().without(SIGNATURE), 401),
            (elsewhere, 403),
        ]
    }
}

fn sid(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:032x}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Sends a request over a connection of its own.
pub async fn send(address: SocketAddr, request: &Request) -> Result<Response> {
    client::send(address, Protocol::Http1, request).await
}

/// Genuine webhooks arrive with the verified header; of forged ones no byte does.
pub async fn assert_strict(address: SocketAddr, upstream: &Upstream, sender: &Sender) -> Result<()> {
    assert_strict_by(async |request: &Request| send(address, request).await, upstream, sender).await
}

/// The same by a client of the test's own.
pub async fn assert_strict_by(
    send: impl AsyncFn(&Request) -> Result<Response>,
    upstream: &Upstream,
    sender: &Sender,
) -> Result<()> {
    for request in sender.genuine() {
        let before = upstream.count();
        let response = send(&request).await?;
        assert!(response.accepted(), "{}: {} {}", request.target, response.status, response.text());
        let received = upstream.wait_for(before + 1).await?.remove(before);
        assert_eq!(received.body, if request.websocket { Default::default() } else { request.body });
        let header = received.headers.get("x-twilio-guard").ok_or("no verified header")?;
        assert!(header.to_str()?.starts_with("scheme=twilio; "), "{header:?}");
    }
    let before = upstream.byte_count();
    let forged = sender.forged().into_iter().chain([(sender.tampered_call(), 401)]);
    for (request, status) in forged {
        assert_eq!(send(&request).await?.status, status, "{}", request.target);
    }
    assert_eq!(upstream.byte_count(), before, "bytes of a forged request arrived");
    Ok(())
}

/// What `hold: body` promises: genuine webhooks arrive, without the verified header. Of forged ones the head arrives, the body
/// does not; those without a body do not arrive at all.
pub async fn assert_weaker(address: SocketAddr, upstream: &Upstream, sender: &Sender) -> Result<()> {
    for request in sender.genuine() {
        let before = upstream.count();
        let response = send(address, &request).await?;
        assert!(response.accepted(), "{}: {} {}", request.target, response.status, response.text());
        let received = upstream.wait_for(before + 1).await?.remove(before);
        assert!(!received.headers.contains_key("x-twilio-guard"));
    }
    let requests = upstream.count();
    let mut client = Client::connect(address, Protocol::Http1).await?;
    let request = sender.tampered();
    let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
    eventually("the head of the forged request", async || (upstream.count() > requests).then_some(()))
        .await?;
    feed.data(request.body.clone());
    drop(feed);
    assert_eq!(pending.response().await?.status, 401);
    let received = upstream.requests().remove(requests);
    assert!(received.body.is_empty() && !received.complete);
    let seen = String::from_utf8_lossy(&upstream.bytes()).into_owned();
    assert!(!seen.contains("4+pm"), "the body of a forged request arrived");

    let before = upstream.byte_count();
    assert_eq!(send(address, &sender.tampered_call()).await?.status, 401);
    assert_eq!(upstream.byte_count(), before, "a forged request without a body arrived");
    Ok(())
}
