//! What becomes of a pass, and what the next copy then gets.

use serde_json::json;

use super::replaying;
use crate::guarded::{Guarded, assert_vm_alive};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::Twilio;

#[tokio::test]
async fn a_copy_of_a_delivered_message_is_refused() -> Result<()> {
    for protocol in Protocol::BOTH {
        let guarded = Guarded::start(&replaying(json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
        ])))
        .await?;
        let message = Twilio::new(TOKEN).form("/sms", &MESSAGE);
        let first = guarded.send(protocol, &message).await?;
        println!(
            "{:?} {} {:?}",
            first.response.status,
            first.line.0,
            first.received_header("x-twilio-guard")
        );
        let second = guarded.send(protocol, &message).await?;
        println!("{:?} {}", second.response.status, second.line.0);
        assert_eq!((first.response.status, second.response.status), (200, 409));
        assert!(second.received.is_empty());
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}
