//! The requests of the cases: genuine and tampered webhooks, full of markers. Each is for the path that it is given.

use crate::cases::bytes::latin1;
use crate::fields;
use crate::marker::{Planter, escaped};
use crate::proxy::TOKEN;
use crate::support::http::Request;
use crate::support::sign::{self, SIGNATURE, Twilio};

/// Where the application is to redirect a request.
pub const LOCATION: &str = "x-location";

fn twilio() -> Twilio {
    Twilio::new(TOKEN)
}

fn stranger() -> Twilio {
    Twilio::new("another token")
}

/// Adds what every request carries; the signature itself is a secret too.
fn complete(plant: &mut Planter, request: Request) -> Request {
    if let Some((_, signature)) = request.headers.iter().find(|(name, _)| name == SIGNATURE) {
        plant.secret("signature", signature.to_str().expect("base64"));
    }
    fields::headers(plant, request)
}

fn with_query(plant: &mut Planter, path: &str) -> String {
    format!("{path}?{}", fields::query(plant))
}

/// Nobody's GET.
pub fn unsigned(plant: &mut Planter, path: &str) -> Request {
    let target = with_query(plant, path);
    complete(plant, Request::get(&target))
}

/// A genuine GET.
pub fn get(plant: &mut Planter, path: &str) -> Request {
    get_from(plant, path, &twilio())
}

/// A GET that another account signed.
pub fn tampered_get(plant: &mut Planter, path: &str) -> Request {
    get_from(plant, path, &stranger())
}

fn get_from(plant: &mut Planter, path: &str, sender: &Twilio) -> Request {
    let target = with_query(plant, path);
    complete(plant, sender.get(&target))
}

/// A genuine form.
pub fn form(plant: &mut Planter, path: &str) -> Request {
    form_from(plant, path, &twilio())
}

/// A form that another account signed.
pub fn tampered_form(plant: &mut Planter, path: &str) -> Request {
    form_from(plant, path, &stranger())
}

fn form_from(plant: &mut Planter, path: &str, sender: &Twilio) -> Request {
    let target = with_query(plant, path);
    let parameters = fields::form(plant);
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    complete(plant, sender.form(&target, &parameters))
}

/// A genuine form, and trailers.
pub fn trailers(plant: &mut Planter, path: &str) -> Request {
    form(plant, path).trailer("x-patient", plant.word("trailer"))
}

/// A form that is longer than a small proxy holds.
pub fn long_form(plant: &mut Planter, path: &str) -> Request {
    form_of(plant, path, 5_000)
}

/// A form that is longer than the filter reads.
pub fn oversize_form(plant: &mut Planter, path: &str) -> Request {
    form_of(plant, path, 70_000)
}

fn form_of(plant: &mut Planter, path: &str, length: usize) -> Request {
    let target = with_query(plant, path);
    let name = format!("Jane {}", plant.word("form: long"));
    let padding = "a".repeat(length);
    complete(plant, twilio().form(&target, &[("Name", &name), ("Padding", &padding)]))
}

/// A genuine JSON event.
pub fn json(plant: &mut Planter, path: &str) -> Request {
    let target = with_query(plant, path);
    let body = fields::json(plant);
    let request = twilio().json(&target, &body);
    if let Some((_, hash)) = request.target.rsplit_once("bodySHA256=") {
        plant.secret("query: bodySHA256", hash);
    }
    complete(plant, request)
}

/// A JSON event whose body was swapped.
pub fn tampered_json(plant: &mut Planter, path: &str) -> Request {
    let body = format!("[{{\"name\": \"Jane {}\"}}]", plant.word("JSON: swapped"));
    json(plant, path).body(body)
}

/// A genuine handshake.
pub fn websocket(plant: &mut Planter, path: &str) -> Request {
    let target = with_query(plant, path);
    complete(plant, twilio().websocket(&target))
}

/// A handshake that another account signed.
pub fn tampered_websocket(plant: &mut Planter, path: &str) -> Request {
    let target = with_query(plant, path);
    complete(plant, stranger().websocket(&target))
}

/// A genuine GET of a path of which the filter's route names one segment as a variable.
pub fn template(plant: &mut Planter, path: &str) -> Request {
    let path = path.replace("{}", &plant.word("path: template variable"));
    get(plant, &path)
}

/// Segments in the places in which applications keep people.
pub fn segments(plant: &mut Planter, path: &str) -> Request {
    let path = format!("{path}{}", fields::segments(plant));
    unsigned(plant, &path)
}

/// A path that has two readings, and personal data in each of its spellings.
pub fn ambiguous(plant: &mut Planter, path: &str) -> Request {
    let twice = escaped(&plant.word("path: double-encoded word"), 2);
    let segment = format!("Jane%2f{}", plant.word("path: after an escaped slash"));
    unsigned(plant, &format!("{path}patients/{twice}/../{segment}//sms"))
}

/// A path with matrix parameters.
pub fn matrix(plant: &mut Planter, path: &str) -> Request {
    let (value, name) = (plant.word("path: matrix parameter"), plant.word("path: matrix name"));
    unsigned(plant, &format!("{path};patient={value};Jane%20{name}"))
}

/// Bytes that are no UTF-8 beside and between markers; each character stands for one byte.
pub fn raw_bytes(plant: &mut Planter, path: &str) -> Request {
    raw_bytes_from(plant, path, &twilio())
}

/// The same from another account.
pub fn tampered_raw_bytes(plant: &mut Planter, path: &str) -> Request {
    raw_bytes_from(plant, path, &stranger())
}

fn raw_bytes_from(plant: &mut Planter, path: &str, sender: &Twilio) -> Request {
    let query = [
        format!("From=\u{ff}+{}", plant.phone("raw bytes: number")),
        format!("SmsStatus=\u{e9}{}", plant.word("raw bytes: word under a kept name")),
        format!("B\u{f6}dy={}", plant.word("raw bytes: in the name")),
        format!("\u{80}{}", plant.word("raw bytes: no name")),
        fields::query(plant),
    ];
    let target = format!("{path}?{}", query.join("&"));
    let signature = sign::signature(&sender.token, latin1(&sender.url(&target)), &[]);
    let mut request = complete(plant, Request::get(&target).header(SIGNATURE, signature));
    for name in ["user-agent", "referer", "x-request-id"] {
        let value = request.headers.iter().find(|(header, _)| header == name).expect("a header").1.clone();
        request = request.with(name, [value.as_bytes(), b"\xff\x80"].concat());
    }
    request
}

/// A target that is longer than what is written: it has to be cut between parameters.
pub fn long_target(plant: &mut Planter, path: &str) -> Request {
    let mut query = fields::query(plant);
    let fields: [&'static str; 3] = ["query: before the cut", "query: at the cut", "query: after the cut"];
    for (field, length) in fields.into_iter().zip([8_100, 8_180, 9_000]) {
        let padding = length - query.len() - "&Name=".len() - "&Pad=".len();
        query = format!("{query}&Pad={}&Name={}", "a".repeat(padding), plant.word(field));
    }
    let path = format!("{path}/{}Jane%20{}", "a".repeat(2_020), plant.word("path: at the cut"));
    complete(plant, Request::get(&format!("{path}?{query}")))
}

/// A target that is longer than the filter judges.
pub fn oversize_target(plant: &mut Planter, path: &str) -> Request {
    let target = format!("{}&Padding={}", with_query(plant, path), "a".repeat(33_000));
    complete(plant, twilio().get(&target))
}

/// A gRPC request, of which Envoy writes further span tags.
pub fn grpc(plant: &mut Planter, path: &str) -> Request {
    let path = format!("{path}{}", plant.word("path: gRPC method"));
    let request = unsigned(plant, &path).header("content-type", "application/grpc");
    request.header("grpc-timeout", plant.word("grpc-timeout"))
}

/// Another method, on an open path.
pub fn options(plant: &mut Planter, path: &str) -> Request {
    Request { method: "OPTIONS".to_owned(), ..unsigned(plant, path) }
}

/// Another method, signed.
pub fn put(plant: &mut Planter, path: &str) -> Request {
    Request { method: "PUT".to_owned(), ..get(plant, path) }
}

/// Headers that the formats print, twice.
pub fn repeated_headers(plant: &mut Planter, path: &str) -> Request {
    let request = tampered_get(plant, path);
    let (agent, id) = (plant.word("second user-agent"), plant.word("second x-request-id"));
    request
        .header("user-agent", format!("TwilioProxy/1.1 {agent}"))
        .header("x-request-id", format!("7d3e2f10-1c2b-4a5d-8e9f-001122334455{id}"))
        .header("referer", format!("https://{}.example/", plant.word("second referer")))
}

/// A request for a host that is not the filter's.
pub fn another_host(plant: &mut Planter, path: &str) -> Request {
    get(plant, path).authority("elsewhere.example")
}

/// What the application redirects inside Envoy, to where a header says.
pub fn internal_redirect(plant: &mut Planter, path: &str) -> Request {
    let query = format!("Body=Jane+{}", plant.word("internal redirect"));
    unsigned(plant, path).header(LOCATION, format!("http://hooks.example.org/elsewhere?{query}"))
}

/// A target that no client should send.
pub fn fragment(plant: &mut Planter, path: &str) -> Request {
    let target = format!("{}#name={}", with_query(plant, path), plant.word("fragment"));
    complete(plant, twilio().get(&target))
}

/// A path that does not begin with a slash.
pub fn no_slash(plant: &mut Planter, path: &str) -> Request {
    let path = format!("{path}Jane%20{}", plant.word("path: without a slash"));
    unsigned(plant, &path)
}

/// A path that Envoy redirects to its unescaped form.
pub fn escaped_slash(plant: &mut Planter, path: &str) -> Request {
    let path = format!("{path}%2fJane%20{}", plant.word("path: after an escaped slash"));
    unsigned(plant, &path)
}

/// What the filter in front of ours answers.
pub fn denied_earlier(plant: &mut Planter, path: &str) -> Request {
    get(plant, path).header("x-deny", "yes")
}

/// More header bytes than Envoy accepts.
pub fn oversize_header(plant: &mut Planter, path: &str) -> Request {
    let value = format!("Jane {} {}", plant.word("oversize header"), "a".repeat(70_000));
    get(plant, path).header("x-oversize", value)
}

/// CONNECT, which has no path.
pub fn connect(plant: &mut Planter, path: &str) -> Request {
    complete(plant, Request::new("CONNECT", path))
}

/// The headers that describe the connection, and that the filter does not touch.
pub fn host_and_addresses(plant: &mut Planter, path: &str) -> Request {
    let host = format!("{}.example", plant.word("host"));
    let addresses = format!("192.0.2.1, {}", plant.word("x-forwarded-for"));
    Request::get(path).authority(&host).header("x-forwarded-for", addresses)
}
