//! TLS towards Twilio: versions, suites, names, client certificates.

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::hello::{self, Answer};
use super::shipped::{GATEWAY, Hardened, Setup};
use crate::support::client::Protocol;
use crate::support::tls::{Identity, TlsClient};
use crate::support::{Result, eventually, scenarios};

const TLS: &str = "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config";

#[tokio::test]
async fn tls_1_2_and_1_3_are_accepted_for_both_protocols() -> Result<()> {
    const VERSIONS: [(&[&SupportedProtocolVersion], &str); 2] =
        [(&[&TLS12], "TLSv1.2"), (&[&TLS13], "TLSv1.3")];
    let hardened = Hardened::start().await?;
    let mut lines = 0;
    for (versions, name) in VERSIONS {
        for protocol in Protocol::BOTH {
            let client = TlsClient { versions, ..hardened.client() };
            let mut connection = client.connect(hardened.envoy.address(), protocol).await?;
            assert_eq!(
                connection.send(&scenarios::another_message()).await?.status,
                200,
                "{name}, {protocol:?}"
            );
            lines += 1;
            assert_eq!(hardened.json_log(lines).await?[lines - 1]["tls"], name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn tls_1_1_and_old_suites_are_refused_for_what_they_are() -> Result<()> {
    let hardened = Hardened::start().await?;
    let address = hardened.envoy.address();
    assert_eq!(hello::offer(address, hello::TLS_1_1, hello::CBC).await?, hello::PROTOCOL_VERSION);
    assert_eq!(hello::offer(address, hello::TLS_1_2, hello::CBC).await?, hello::HANDSHAKE_FAILURE);
    let modern = hello::offer(address, hello::TLS_1_2, hello::GCM).await?;
    assert_eq!(modern, Answer::ServerHello(hello::TLS_1_2));

    // The control: the same offers are good ones where the file does not forbid them.
    let params = format!("{TLS}/common_tls_context/tls_params");
    let lax = Setup::default()
        .change(format!("{params}/tls_minimum_protocol_version"), json!("TLSv1_0"))
        .change(format!("{params}/cipher_suites"), json!(["ECDHE-ECDSA-AES128-SHA"]));
    let hardened = Hardened::with(lax).await?;
    for version in [hello::TLS_1_1, hello::TLS_1_2] {
        let answer = hello::offer(hardened.envoy.address(), version, hello::CBC).await?;
        assert_eq!(answer, Answer::ServerHello(version));
    }
    Ok(())
}

#[tokio::test]
async fn the_mtls_block_demands_a_certificate_of_that_authority_and_name() -> Result<()> {
    let hardened = Hardened::with(Setup::blocks(&["mtls"])).await?;
    let clients = &hardened.authorities.clients;
    let (good, other_name) = (clients.issue(GATEWAY)?, clients.issue("else.internal.example.org")?);
    let foreign = hardened.authorities.foreign.issue(GATEWAY)?;

    let client = TlsClient { identity: Some(&good), ..hardened.client() };
    for protocol in Protocol::BOTH {
        let mut connection = client.connect(hardened.envoy.address(), protocol).await?;
        assert_eq!(connection.send(&scenarios::another_message()).await?.status, 200);
    }
    assert_eq!(refusal(&hardened, None).await?, "received fatal alert: CertificateRequired");
    assert_eq!(refusal(&hardened, Some(&foreign)).await?, "received fatal alert: UnknownCA");
    assert_eq!(refusal(&hardened, Some(&other_name)).await?, "received fatal alert: CertificateUnknown");
    for counter in ["ssl.fail_verify_no_cert", "ssl.fail_verify_error", "ssl.fail_verify_san"] {
        // The client may learn of it before it is counted.
        let failed = eventually(counter, async || {
            let stats = hardened.envoy.stats_matching("listener.").await.ok()?;
            stats.into_iter().find(|(name, count)| name.ends_with(counter) && *count > 0)
        });
        assert_eq!(failed.await?.1, 1, "{counter}");
    }
    assert_eq!(hardened.upstream.count(), 2);
    Ok(())
}

/// Why the server broke the connection off. Over TLS 1.3 a client learns it when it reads.
async fn refusal(hardened: &Hardened, identity: Option<&Identity>) -> Result<String> {
    let client = TlsClient { identity, ..hardened.client() };
    let mut stream = client.stream(hardened.envoy.address(), Protocol::Http1).await?;
    Ok(stream.read_u8().await.expect_err("the server speaks first").to_string())
}
