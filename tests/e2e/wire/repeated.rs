//! Headers that occur more than once, are joined to a list, or say what is not so.

use super::probe::Probe;
use super::{EVENT, exchange, impatient, statuses, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::client::{self, Protocol};
use crate::support::config::WasmFilter;
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::{FORM_TYPE, SIGNATURE};
use crate::support::{Result, module};

async fn probe() -> Result<Probe> {
    Probe::start(&plugin("none", routes())).await
}

fn signature_of(request: &Request) -> Vec<u8> {
    request
        .headers
        .iter()
        .find(|(name, _)| name == SIGNATURE)
        .map(|(_, value)| value.as_bytes().to_vec())
        .expect("a signed request")
}

#[tokio::test]
async fn a_second_signature_is_refused_wherever_it_stands() -> Result<()> {
    let mut probe = probe().await?;
    for genuine in [twilio().form("/sms", &MESSAGE), twilio().json("/events", EVENT), twilio().get("/events")]
    {
        let own = signature_of(&genuine);
        let other = signature_of(&stranger().form("/sms", &MESSAGE));
        let unsigned = genuine.clone().without(SIGNATURE);
        for protocol in Protocol::BOTH {
            for (what, first, second) in
                [("the same", &own, &own), ("genuine first", &own, &other), ("genuine last", &other, &own)]
            {
                let twice = unsigned.clone().header(SIGNATURE, first).header(SIGNATURE, second);
                probe.refuse(what, protocol, &twice, (401, "repeated_signature")).await?;
                for comma in [&b","[..], b", "] {
                    let list = unsigned.clone().header(SIGNATURE, [first, comma, second].concat());
                    probe.refuse(what, protocol, &list, (401, "malformed_signature")).await?;
                }
            }
            let beside_nothing = unsigned.clone().header(SIGNATURE, "").header(SIGNATURE, &own);
            probe
                .refuse("beside an empty one", protocol, &beside_nothing, (401, "repeated_signature"))
                .await?;
            let other_case = unsigned.clone().header("X-TWILIO-SIGNATURE", &own);
            probe.accept("in another case", protocol, &other_case).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn a_second_content_type_is_refused() -> Result<()> {
    let mut probe = probe().await?;
    let bare = |request: Request| request.without("content-type");
    for protocol in Protocol::BOTH {
        for (types, code) in [
            ([FORM_TYPE, FORM_TYPE], "bad_content_type"),
            ([FORM_TYPE, "application/json"], "bad_content_type"),
            // Joined by Envoy into one value, which is no form.
            (["application/json", FORM_TYPE], "unsigned_body"),
            (["text/plain", FORM_TYPE], "unsigned_body"),
        ] {
            let form = bare(twilio().form("/sms", &MESSAGE));
            let twice = form.clone().header("content-type", types[0]).header("content-type", types[1]);
            let response = client::send(probe.envoy.address(), protocol, &twice).await?;
            let line = probe.turned_away(&format!("{types:?}")).await?;
            assert_eq!(response.status, 401, "{types:?}");
            assert!(
                [code, "bad_content_type"]
                    .iter()
                    .any(|code| line.details() == format!("twilio_guard_{code}")),
                "{types:?}, {protocol:?}: {}",
                line.0
            );
            let list = form.header("content-type", types.join(", "));
            probe.refuse(&format!("{types:?}"), protocol, &list, (401, code)).await?;
        }
        let parameters = bare(twilio().form("/sms", &MESSAGE))
            .header("content-type", "Application/X-WWW-Form-URLEncoded; Charset=\"UTF-8\"");
        probe.accept("parameters", protocol, &parameters).await?;
        // The hash of a JSON body does not depend on its type.
        let json =
            bare(twilio().json("/events", EVENT)).header("content-type", "a/b").header("content-type", "c");
        probe.accept("a hashed body of two types", protocol, &json).await?;
    }
    probe.finish().await
}

#[tokio::test]
async fn a_named_key_is_never_replaced_by_a_token() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in Protocol::BOTH {
        for (settings, code) in [
            ("", "malformed_settings"),
            ("key=k,algorithm=HMAC_SHA256", "unknown_key"),
            ("\u{ff}", "malformed_settings"),
        ] {
            let request =
                twilio().form("/sms", &MESSAGE).header("x-twilio-webhooks-signature-settings", settings);
            probe.refuse("settings", protocol, &request, (401, code)).await?;
        }
    }
    probe.finish().await
}

/// HTTP/1.1 lengths that are not those of the body. What is verified is what goes upstream; what follows it on the
/// connection is another request to Envoy, and must be one to the upstream as well.
#[tokio::test]
async fn a_length_that_lies_over_http1_carries_nothing_past_the_verdict() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let mut probe = Probe::with(filter, impatient).await?;
    let genuine = twilio().form("/sms", &MESSAGE);
    let with_lengths = |lengths: &[&str]| {
        let request =
            lengths.iter().fold(genuine.clone(), |request, length| request.header("content-length", length));
        [&raw::head(&request)[..], &genuine.body].concat()
    };
    let true_length = genuine.body.len().to_string();

    // Shorter than the body: judged without its rest, which is garbage to Envoy.
    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    connection.write([with_lengths(&["10"]), b"\r\n\r\n".to_vec()].concat()).await?;
    assert_eq!(statuses(connection).await?, ["401", "400"]);
    assert_eq!(probe.turned_away("shorter").await?.details(), "twilio_guard_mismatch");
    probe.turned_away("the rest").await?;
    // An unsigned tail behind a genuine request is garbage likewise.
    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    connection.write([with_lengths(&[&true_length]), b"&Body=more\r\n\r\n".to_vec()].concat()).await?;
    assert_eq!(statuses(connection).await?, ["200", "400"]);
    assert_eq!(probe.next_line().await?.field("verdict"), "verified");
    assert_eq!(probe.arrived("the genuine part").await?.body, genuine.body);
    probe.turned_away("the tail").await?;

    for lengths in [
        vec![true_length.as_str(), "10"],
        vec!["10", true_length.as_str()],
        vec!["10, 10"],
        vec!["-1"],
        vec!["+10"],
        vec!["0x10"],
        vec!["99999999999999999999999999"],
        vec![""],
    ] {
        let response = exchange(probe.envoy.address(), with_lengths(&lengths)).await?;
        assert_eq!(response.status, 400, "{lengths:?}");
        probe.turned_away(&format!("{lengths:?}")).await?;
    }
    probe.finish().await
}

#[tokio::test]
async fn a_length_that_lies_over_http2_is_never_accepted() -> Result<()> {
    let mut probe = probe().await?;
    for genuine in [twilio().form("/sms", &MESSAGE), twilio().json("/events", EVENT)] {
        let target = genuine.target.clone();
        let signature = signature_of(&genuine);
        let content_type = genuine.headers.iter().find(|(name, _)| name == "content-type");
        let (_, content_type) = content_type.ok_or("no content type")?;
        let off_by_one = [genuine.body.len() - 1, genuine.body.len() + 1];
        for length in off_by_one.into_iter().chain([0, 10, 100_000]) {
            let length = length.to_string();
            let mut fields = hostile::fields("POST", target.as_bytes());
            fields.extend([
                ("content-type", content_type.as_bytes()),
                (SIGNATURE, &signature[..]),
                ("content-length", length.as_bytes()),
            ]);
            // Envoy resets the stream where the filter has not answered before.
            let response = hostile::send(probe.envoy.address(), &fields, &genuine.body).await;
            assert!(response.is_err() || response.is_ok_and(|response| response.status >= 400), "{length}");
            probe.next_line().await?;
            probe.nothing_arrived(&length);
        }
    }
    probe.finish().await
}
