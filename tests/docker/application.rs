//! The application of the container test: the harness's upstream as a program. Each request that has arrived is one line
//! of JSON, with how many connections and bytes have arrived by then. Before them it says that it listens.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is all that the test sees of it"
)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use std::time::Duration;
use support::Result;
use support::tls::Identity;
use support::upstream::Upstream;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, certificate, key] = arguments.as_slice() else {
        return Err("usage: application ADDRESS CERTIFICATE KEY".into());
    };
    let (certificate, key) = (std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
    let identity = Identity::from_pem(&certificate, &key)?;
    let upstream = Upstream::start_tls_at(address.parse()?, &identity).await?;
    println!("listening");
    let mut printed = 0;
    loop {
        for request in upstream.requests().iter().skip(printed).take_while(|request| request.complete) {
            printed += 1;
            let record = json!({
                "connections": upstream.connections(),
                "bytes": upstream.byte_count(),
                "method": request.method,
                "target": request.target,
                "body": String::from_utf8_lossy(&request.body),
            });
            println!("{record}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
