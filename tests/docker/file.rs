//! The shipped file by itself: what it asks of a user, and what it does without being asked.

use crate::stack::{compose, engine_or_skip, official_envoy};
use crate::support::{Result, project_root};
use serde_json::Value;
use std::process::Command;

fn config(secrets: &std::path::Path) -> Result<Command> {
    let mut command = compose()?;
    for variable in ["ENVOY_IMAGE", "APPLICATION_IMAGE", "ENVOY_CONFIG", "TLS", "MODULE", "PUBLISH"] {
        command.env_remove(variable);
    }
    command.arg("config").env("SECRETS", secrets);
    Ok(command)
}

#[test]
fn the_file_asks_for_the_application_and_defaults_to_the_official_envoy() -> Result<()> {
    if engine_or_skip().is_none() {
        return Ok(());
    }
    let secrets = tempfile::NamedTempFile::new()?;
    let refused = config(secrets.path())?.output()?;
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && complaint.contains("set it to the image of your application"),
        "{complaint}"
    );

    let printed = config(secrets.path())?.env("APPLICATION_IMAGE", "registry.example/app:1").output()?;
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let file: Value = serde_saphyr::from_str(&String::from_utf8(printed.stdout)?)?;
    let envoy = &file["services"]["envoy"];
    assert_eq!(envoy["image"], official_envoy().as_str());
    let sources: Vec<_> =
        envoy["volumes"].as_array().into_iter().flatten().map(|volume| &volume["source"]).collect();
    let module = "target/wasm32-wasip1/release/twilio_guard.wasm";
    let paths = ["envoy/hardened.yaml", "envoy/docker/tls", module].map(|path| project_root().join(path));
    assert_eq!(sources, paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>());
    let ports: Vec<_> = envoy["ports"].as_array().into_iter().flatten().map(|port| &port["target"]).collect();
    assert_eq!((ports, &file["services"]["application"]["ports"]), (vec![&8443.into()], &Value::Null));
    Ok(())
}
