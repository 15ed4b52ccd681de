//! The way of a secret: from a vault or a Secret, through a container's environment, into the filter. A misspelt name on the
//! way keeps a new pod from serving; of one that runs, see [`crate::running`].

use serde_json::Value;

use crate::cluster::Cluster;
use crate::documents::{Folder, Values, text_at};
use crate::istiod::Istiod;
use crate::strict::sidecar;
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::{Envoy, Update};
use crate::support::upstream::Upstream;
use crate::support::{Error, Result, binary, module, since};
use crate::webhooks::{Sender, assert_weaker, send};

const FOLDER: &str = "envoy/istio";
const PROD: &str = "secret/clinic/prod/twilio";
const NONPROD: &str = "secret/clinic/nonprod/twilio";

/// Production and the rest get different tokens from different places, and the application in production works with its
/// own, also while it is being rotated.
#[tokio::test]
async fn operators_make_the_secret_apart_for_production_and_the_rest() -> Result<()> {
    let values = Values::own()?;
    for file in ["external-secrets.yaml", "vault.yaml"] {
        // The Secret may be there already, from trying things out.
        let files = ["secret.yaml", file, "workload.yaml", "wasmplugin-sidecar.yaml"];
        let resources = Folder::open(FOLDER, &files, &values)?;
        let prod = [("auth-token", "the old one"), ("auth-token-next", values.token.as_str())];
        let mut cluster = Cluster::new(&[(PROD, &prod), (NONPROD, &[("auth-token", "of a test account")])]);
        cluster.apply(&resources.0)?;
        cluster.create_module("clinic", "twilio-guard-0-1-0")?;

        let deployment = resources.one("Deployment")?;
        let containers = &deployment["spec"]["template"]["spec"]["containers"];
        let env = containers[1]["env"].as_array().ok_or("no env")?;
        let test = cluster.environment("clinic-nonprod", env)?;
        assert_eq!(test, [("TWILIO_AUTH_TOKEN".to_owned(), "of a test account".to_owned())], "{file}");
        let app =
            cluster.environment("clinic", containers[0]["env"].as_array().map_or(&[], Vec::as_slice))?;
        assert!(app.is_empty(), "the application needs no token");
        assert_apart(&resources)?;

        let proxy = sidecar(&resources, &cluster)?;
        let application = Upstream::start().await?;
        let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
        let envoy = Envoy::start(&config).await?;
        assert_weaker(envoy.address(), &application, &Sender::new(&values)).await?;
        let log = envoy.wait_for_access_log(1).await?;
        assert!(log[0].field("key").starts_with("next#"), "{}", log[0].0);
    }
    Ok(())
}

/// No resource of one environment names a role, path or store of the other.
fn assert_apart(resources: &Folder) -> Result<()> {
    for document in &resources.0 {
        let namespace = document.value.pointer("/metadata/namespace").and_then(Value::as_str);
        let spec = document.value["spec"].to_string();
        match namespace {
            Some("clinic-nonprod") => assert!(!spec.contains("prod") || spec.contains("nonprod"), "{spec}"),
            _ => assert!(!spec.contains("nonprod"), "{spec}"),
        }
    }
    let roles: Vec<_> = ["VaultAuth", "SecretStore"]
        .iter()
        .flat_map(|kind| resources.of_kind(kind))
        .map(|value| {
            let vault = value.pointer("/spec/provider/vault/auth/kubernetes");
            Ok(text_at(vault.unwrap_or(&value["spec"]["kubernetes"]), "/role")?.to_owned())
        })
        .collect::<Result<_>>()?;
    assert_eq!(roles, ["clinic-prod", "clinic-nonprod"]);
    Ok(())
}

/// The sidecar with one text of the files misspelt, as JSON has it.
async fn misspelt(text: &str, other: &str) -> Result<Envoy> {
    let files = ["secret.yaml", "workload.yaml", "wasmplugin-sidecar.yaml"];
    let resources = Folder::open(FOLDER, &files, &Values::own()?)?.replace(text, other)?;
    let mut cluster = Cluster::new(&[]);
    cluster.apply(&resources.0)?;
    let proxy = sidecar(&resources, &cluster)?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, ([127, 0, 0, 1], 9).into())?;
    Ok(Envoy::start(&config).await?)
}

#[tokio::test]
async fn a_misspelt_name_on_the_way_of_a_secret_serves_nothing() -> Result<()> {
    let absent = "accounts[0].auth_tokens[0].env: the environment variable is absent or empty";
    for (text, other, complaint) in [
        // In the Secret, and in the Deployment: the kubelet does not start the container.
        (r#""auth-token":"#, r#""token":"#, "CreateContainerConfigError: no auth-token in clinic/twilio"),
        (
            r#""key":"auth-token","#,
            r#""key":"token","#,
            "CreateContainerConfigError: no token in clinic/twilio",
        ),
        // The variable in the Deployment, in the plugin, and in its configuration: Envoy refuses the configuration.
        (r#""TWILIO_AUTH_TOKEN","valueFrom":{"#, r#""TWILIO_TOKEN","valueFrom":{"#, absent),
        (r#""TWILIO_AUTH_TOKEN","valueFrom":"HOST""#, r#""TWILIO_TOKEN","valueFrom":"HOST""#, absent),
        (r#""env":"TWILIO_AUTH_TOKEN","#, r#""env":"TWILIO_TOKEN","#, absent),
    ] {
        let error = misspelt(text, other).await.err().ok_or("it serves")?;
        assert!(error.to_string().contains(complaint), "{text}: {error}");
    }
    Ok(())
}

/// Why the examples name the variable of the next token from the beginning: in a running Envoy 1.36 (and 1.37) the filter does
/// not see a name that is added later, and refuses what the next token signs until the pod is restarted.
#[tokio::test]
async fn a_variable_that_is_added_later_is_seen_after_a_restart_at_the_latest() -> Result<()> {
    let values = Values::own()?;
    let folder = Folder::open(FOLDER, &["wasmplugin-sidecar.yaml"], &values)?;
    let config = &folder.0[0].value["spec"]["pluginConfig"];
    let filter = |names: &[&str]| {
        let module = module::path()?;
        Ok::<_, Error>(WasmFilter::new(module, config).without_header_hold().host_env_keys(names))
    };
    let names = ["TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT"];
    let next = Sender::new(&values);
    let is_seen = binary::minor()? >= since::NEW_VM_FOR_VARIABLES;
    let application = Upstream::start().await?;
    let envoy = EnvoyConfig::new(application.address())
        .dynamic_listeners()
        .env(names[0], "the old one")
        .env(names[1], &values.token)
        .filter(filter(&names[..1])?);
    let mut running = Envoy::start(&envoy).await?;
    assert_eq!(send(running.address(), &next.sms()).await?.status, 401);
    let update = Listener::new(INGRESS).filter(filter(&names)?).no_websockets();
    assert_eq!(running.update_listeners(std::slice::from_ref(&update)).await?, Update::Applied);
    let status = send(running.address(), &next.sms()).await?.status;
    assert_eq!(status, if is_seen { 200 } else { 401 });

    let restarted = Envoy::start(&envoy.ingress(|_| update)).await?;
    assert_eq!(send(restarted.address(), &next.sms()).await?.status, 200);
    Ok(())
}
