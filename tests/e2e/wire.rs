//! Every shape in which a request can arrive, over HTTP/1.1 and HTTP/2.

mod aborts;
mod bytes;
mod caps;
mod demo;
mod expect;
mod framing;
mod pace;
mod pipelining;
mod probe;
mod repeated;
mod smuggling;
mod unreached;
mod upgrades;

use serde_json::json;
use std::net::SocketAddr;

use crate::support::Result;
use crate::support::config::EnvoyConfig;
use crate::support::http::Response;
use crate::support::raw::RawConnection;
use crate::support::scenarios::TOKEN;
use crate::support::sign::Twilio;

/// A JSON webhook's body.
const EVENT: &str = r#"[{"specversion":"1.0","type":"com.twilio.messaging.message.delivered","data":{}}]"#;

/// The genuine sender.
fn twilio() -> Twilio {
    Twilio::new(TOKEN)
}

/// A sender with another token.
fn stranger() -> Twilio {
    Twilio::new("a token that nobody has")
}

/// Writes HTTP/1.1 bytes on a connection of their own, and reads the response.
async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<Response> {
    let mut connection = RawConnection::connect(address).await?;
    connection.write(bytes).await?;
    connection.response().await
}

/// The statuses of all responses that an HTTP/1.1 connection still brings, until the proxy closes it.
async fn statuses(connection: RawConnection) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(&connection.until_closed().await?).into_owned();
    Ok(text.split("HTTP/1.1 ").skip(1).map(|response| response.chars().take(3).collect()).collect())
}

/// Where Envoy closes connections on most requests of a test: it waits for the client to close first, by default for
/// a second each.
fn impatient(config: EnvoyConfig) -> EnvoyConfig {
    config.ingress(|ingress| ingress.edit(|manager| manager["delayed_close_timeout"] = json!("0.05s")))
}
