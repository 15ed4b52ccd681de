//! What passes, what does not, and what the containers write and may do.

use crate::stack::{Container, Stack, engine_or_skip};
use crate::support::http::Request;
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::{Result, eventually, scenarios};
use serde_json::{Value, json};

/// Of the requests below: numbers, a city, a text, what a client says of a patient, and a secret.
const MARKERS: [&str; 6] =
    ["5005550006", "5005550009", "Springfield", "appointment", "patient-7731", scenarios::TOKEN];

#[tokio::test]
async fn containers_let_genuine_webhooks_through_and_nothing_else_and_write_no_phi() -> Result<()> {
    let Some(engine) = engine_or_skip() else { return Ok(()) };
    let stack = Stack::up(engine, 2).await?;
    let envoys = stack.envoys()?;
    let [first, second] = envoys.as_slice() else { panic!("{} Envoys", envoys.len()) };
    refused_requests_leave_no_byte_at_the_application(&stack, first).await?;
    what_one_envoy_delivered_the_other_refuses(&stack, [first, second]).await?;
    for envoy in &envoys {
        logs_are_redacted(&stack, envoy).await?;
        assert_eq!(privileges(envoy)?, json!(["101:101", true, ["ALL"], ["no-new-privileges:true"]]));
    }
    only_envoy_is_reached_from_outside(&stack)
}

async fn refused_requests_leave_no_byte_at_the_application(
    stack: &Stack,
    envoy: &Container<'_>,
) -> Result<()> {
    let mut received = Vec::new();
    let accepted = [scenarios::another_message(), scenarios::another_message(), scenarios::another_message()];
    let forged = accepted[0].clone().body("Body=forged");
    let refused = [
        (accepted[0].clone().without(SIGNATURE), 401, "twilio_guard_missing_signature"),
        (forged, 401, "twilio_guard_mismatch"),
        (Request::post("/elsewhere", "text/plain", "appointment"), 403, "twilio_guard_denied"),
    ];
    for (row, request) in accepted.iter().enumerate() {
        if row == 2 {
            for (request, status, details) in &refused {
                assert_eq!(envoy.send(request).await?.status, *status, "{details}");
                let line = envoy.access_log(details, |line| line["details"] == *details).await?;
                assert_eq!(line["status"], *status);
            }
            is_replayed(envoy, &accepted[0]).await?;
            let line =
                envoy.access_log("a replay", |line| line["details"] == "twilio_guard_replayed").await?;
            assert_eq!(line["status"], 409);
        }
        assert_eq!(envoy.send(request).await?.status, 200);
        received = stack.received(row + 1).await?;
        assert_eq!(received[row]["body"], String::from_utf8_lossy(&request.body).into_owned());
    }
    // The three are equally long: nothing came between the second and the third.
    let bytes: Vec<_> = received.iter().filter_map(|record| record["bytes"].as_u64()).collect();
    assert_eq!((bytes.len(), bytes[2] - bytes[1]), (3, bytes[1] - bytes[0]), "{bytes:?}");
    Ok(())
}

/// Redis, in a container of its own, is the memory of both.
async fn what_one_envoy_delivered_the_other_refuses(
    stack: &Stack,
    envoys: [&Container<'_>; 2],
) -> Result<()> {
    let received = stack.received(0).await?.len();
    for (round, [first, second]) in [envoys, [envoys[1], envoys[0]]].into_iter().enumerate() {
        let capture = scenarios::another_message();
        assert_eq!(first.send(&capture).await?.status, 200);
        is_replayed(second, &capture).await?;
        assert_eq!(first.send(&capture).await?.status, 409);
        assert_eq!(stack.received(received + round + 1).await?.len(), received + round + 1);
    }
    Ok(())
}

/// Waits until an Envoy takes a request for a replay. Until Redis was told what became of it, it is one under way.
async fn is_replayed(envoy: &Container<'_>, capture: &Request) -> Result<()> {
    eventually("a replay", async || {
        let status = envoy.send(capture).await.ok()?.status;
        assert!(matches!(status, 409 | 503), "{status}");
        (status == 409).then_some(())
    })
    .await
}

async fn logs_are_redacted(stack: &Stack, envoy: &Container<'_>) -> Result<()> {
    let target = format!(
        "/voice?CallSid=CA00000000000000000000000000000001&AccountSid={}&From=%2B15005550006&FromCity=Springfield",
        scenarios::ACCOUNT
    );
    let call = Twilio::new(scenarios::TOKEN).get(&target).header("user-agent", "patient-7731");
    assert_eq!(envoy.send(&call).await?.status, 200);
    assert_eq!(envoy.send(&call.without(SIGNATURE)).await?.status, 401);
    for status in [200, 401] {
        let line =
            envoy.access_log("a call", |line| line["method"] == "GET" && line["status"] == status).await?;
        let path = line["path"].as_str().ok_or("no path")?;
        assert!(
            path.starts_with("/voice?CallSid=CA0") && path.ends_with("&From=[REDACTED]&FromCity=[REDACTED]")
        );
        assert_eq!(line["user_agent"], "[REDACTED]");
    }
    // The demo's token is a part of its account's name.
    let logs = envoy.logs()?.replace(scenarios::ACCOUNT, "AC");
    for marker in MARKERS {
        assert!(!logs.contains(marker), "{marker} in:\n{logs}");
    }
    // The control: the application was told.
    let received = Value::from(stack.received(1).await?).to_string();
    for marker in ["5005550006", "5005550009", "Springfield", "appointment"] {
        assert!(received.contains(marker), "{marker}");
    }
    Ok(())
}

/// User, whether the file system is read-only, dropped capabilities, security options.
fn privileges(container: &Container<'_>) -> Result<Value> {
    let inspected = container.inspect()?;
    let host = &inspected["HostConfig"];
    Ok(json!([inspected["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]]))
}

fn only_envoy_is_reached_from_outside(stack: &Stack) -> Result<()> {
    for service in ["application", "redis"] {
        let inspected = stack.service(service)?.inspect()?;
        let settings = &inspected["NetworkSettings"];
        let published =
            settings["Ports"].as_object().is_some_and(|ports| ports.values().any(|port| !port.is_null()));
        assert!(!published, "{service}: {settings}");
        let networks: Vec<_> = settings["Networks"].as_object().into_iter().flatten().collect();
        let [(name, _)] = networks.as_slice() else { panic!("{service}: {networks:?}") };
        assert!(stack.is_internal(name)?, "{service} is in {name}, which leads outside");
    }
    Ok(())
}
