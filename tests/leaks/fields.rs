//! Where personal data stands in a request, and a marker for each place.
//!
//! The values are of the kinds that the policy promises to hide. A bare lower-case word under a kept name or as a
//! path segment of its own is not among them: the policy names it as a residual risk.

use crate::marker::{Planter, escaped};
use crate::support::http::Request;

/// The query of a webhook whose every parameter carries personal data, as Twilio, an application or somebody who
/// wants to get around a redactor would write it.
pub fn query(plant: &mut Planter) -> String {
    let pairs = [
        format!("From=%2B{}", plant.phone("query: From")),
        format!("Body=Jane+{}%2C+chest+pain", plant.word("query: Body")),
        format!("ToCity={}+Falls", plant.word("query: ToCity")),
        format!("PatientName={}", plant.word("query: unknown name")),
        format!("SmsStatus=%2B{}", plant.phone("query: number under a kept name")),
        format!("CallStatus=jane.{}%40example.com", plant.word("query: e-mail under a kept name")),
        format!("Direction=Jane%20{}", plant.word("query: name under a kept name")),
        format!("NumMedia={}", plant.record_number("query: record number under a kept name")),
        format!("SipHeader_X-Patient={}", plant.word("query: SIP header")),
        format!("Caller=%252B{}", plant.phone("query: double-encoded number")),
        format!("CalledCity={}", escaped(&plant.word("query: double-encoded word"), 2)),
        format!("MessageStatus={}", escaped(&plant.phone("query: escaped digits under a kept name"), 1)),
        format!("EventType={}", escaped(&plant.phone("query: four times encoded"), 4)),
        format!("bOdY={}", plant.word("query: mixed-case name")),
        format!("B%6Fdy={}", plant.word("query: escaped name")),
        format!("jane.{}%40example.com=1", plant.word("query: name of a parameter")),
        format!("mrn{}=", plant.record_number("query: number as a parameter's name")),
        format!("Jane+{}", plant.word("query: no name")),
        format!("user%5Bname%5D={}", plant.word("query: nested name")),
        format!("Payload=%7B%22name%22%3A%22{}%22%7D", plant.word("query: JSON")),
        format!("MediaUrl0=https%3A%2F%2Fportal.example%2F{}", plant.word("query: URL")),
        format!("SmsMessageSid=Jane%26Name%3D{}", plant.word("query: pair inside a value")),
        format!("a=1;Name={}", plant.word("query: after a semicolon")),
        format!("b=1?Name={}", plant.word("query: after a second question mark")),
        format!("Body={}", plant.word("query: repeated name")),
    ];
    pairs.join("&")
}

/// Path segments in which an application keeps people, and which no template names.
pub fn segments(plant: &mut Planter) -> String {
    [
        format!("patients/{}", plant.word("path: after patients")),
        format!("visits/{}", plant.record_number("path: record number")),
        format!("Jane%20{}", plant.word("path: name")),
        format!("jane.{}@example.com", plant.word("path: e-mail")),
        format!("name={}", plant.word("path: pair")),
    ]
    .join("/")
}

/// Headers in which clients, proxies and attackers send personal data.
pub fn headers(plant: &mut Planter, request: Request) -> Request {
    let credentials = format!("jane.{}:secret", plant.word("authorization"));
    let credentials = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, credentials);
    let path = |plant: &mut Planter, field| format!("/patients/{}?name=Jane", plant.word(field));
    request
        .header(
            "referer",
            format!("https://portal.example/{}", path(plant, "referer").trim_start_matches('/')),
        )
        .header("user-agent", format!("PatientApp/1.0 (Jane {}'s phone)", plant.word("user-agent")))
        .header("x-request-id", format!("jane-{}", plant.word("x-request-id")))
        .header("cookie", format!("patient={}", plant.word("cookie")))
        .header("authorization", format!("Basic {credentials}"))
        .header("x-original-url", path(plant, "x-original-url"))
        .header("x-rewrite-url", path(plant, "x-rewrite-url"))
        .header("x-client-trace-id", plant.word("x-client-trace-id"))
        .header("x-envoy-decorator-operation", plant.word("x-envoy-decorator-operation"))
        .header("x-envoy-downstream-service-cluster", plant.word("x-envoy-downstream-service-cluster"))
        .header("x-patient", plant.word("another header"))
}

/// The header that Envoy prints in place of the path, as a client sends it who knows that.
pub fn forged(plant: &mut Planter, request: Request) -> Request {
    let forged = format!("/patients/{}?Body=Jane", plant.word("x-envoy-original-path"));
    request.header("x-envoy-original-path", forged)
}

/// The parameters of a form.
pub fn form(plant: &mut Planter) -> Vec<(&'static str, String)> {
    vec![
        ("From", format!("+{}", plant.phone("form: From"))),
        ("Body", format!("Jane {}, chest pain", plant.word("form: Body"))),
        ("PatientName", plant.word("form: unknown name")),
        ("SipHeader_X-Patient", plant.word("form: SIP header")),
    ]
}

/// A JSON event.
pub fn json(plant: &mut Planter) -> String {
    let (name, phone) = (plant.word("JSON: name"), plant.phone("JSON: phone"));
    serde_json::json!([{"type": "message", "data": {"name": format!("Jane {name}"), "from": format!("+{phone}")}}])
        .to_string()
}
