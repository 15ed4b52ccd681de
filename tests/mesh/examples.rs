//! Every example is accounted for: what checks it, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::documents::{Folder, Values, identity, names, selects, text};
use crate::support::{Result, project_root};

/// Where the examples are.
pub const FOLDERS: [&str; 2] = ["envoy/istio", "envoy/envoy-gateway"];

/// The kinds, and where what they say comes into effect in these tests. The kinds of Kubernetes itself, of the Gateway API, of the
/// operators for secrets and Istio's for security and routing are checked against no schema here.
const KINDS: &[(&str, &str)] = &[
    ("AuthorizationPolicy", "examples: names the proxies that verify, and the workload"),
    ("BackendTLSPolicy", "envoy_gateway: TLS to the application"),
    ("ClientTrafficPolicy", "envoy_gateway: buffer and paths of the listener"),
    ("ConfigMap", "portable: the environment of the waypoint"),
    ("Deployment", "cluster: environment and volumes of the sidecar, labels"),
    ("EnvoyExtensionPolicy", "envoy_gateway: the filter"),
    ("EnvoyFilter", "envoy_filter: the filter"),
    ("EnvoyPatchPolicy", "patches: the flag of the filter"),
    ("EnvoyProxy", "envoy_gateway: environment and access log"),
    ("ExternalSecret", "cluster: the Secret"),
    ("Gateway", "istiod and envoy_gateway: hosts, listeners, references"),
    ("GatewayClass", "envoy_gateway: its name"),
    ("HTTPRoute", "envoy_gateway: the routes"),
    ("NetworkPolicy", "gateway: who reaches the application"),
    ("PeerAuthentication", "examples: names the workload"),
    ("Secret", "cluster: the token"),
    ("SecretStore", "cluster: the path of the vault"),
    ("Service", "istiod: the destination of routes"),
    ("ServiceAccount", "cluster: is referred to"),
    ("Telemetry", "istiod: access log and span tags"),
    ("TrafficExtension", "istiod: the filter"),
    ("VaultAuth", "cluster: is referred to"),
    ("VaultStaticSecret", "cluster: the Secret"),
    ("VirtualService", "istiod: the routes of the gateway"),
    ("WasmPlugin", "istiod: the filter"),
];

/// The files without a kind: values of Helm charts.
const VALUES: [&str; 2] = ["gateway-values.yaml", "mesh-config.yaml"];

#[test]
fn every_document_is_of_a_kind_that_is_executed() -> Result<()> {
    let known: BTreeMap<_, _> = KINDS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for folder in FOLDERS {
        for name in names(folder)? {
            for document in Folder::open(folder, &[&name], &Values::own()?)?.0 {
                match document.value["kind"].as_str() {
                    Some(kind) => {
                        assert!(known.contains_key(kind), "{name}: {kind}");
                        seen.insert(kind.to_owned());
                    }
                    None => assert!(VALUES.contains(&name.as_str()), "{name} has no kind"),
                }
            }
        }
    }
    assert_eq!(seen.len(), known.len(), "a kind without an example");
    Ok(())
}

/// "Change three values, and be right": each file marks at most three, and says at its top what to change.
#[test]
fn each_file_says_what_to_change_and_marks_at_most_three_values() -> Result<()> {
    for folder in FOLDERS {
        for name in names(folder)? {
            let text = text(&format!("{folder}/{name}"))?;
            let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
            assert!(head.contains("Change: "), "{name}");
            let marks = text.matches("# change (").count();
            assert!(marks <= 3, "{name}: {marks}");
            let verifies = ["strict", "wasmplugin", "trafficextension", "portable"]
                .iter()
                .any(|kind| name.starts_with(kind));
            let is_marked = text.contains("# change (1 of 3)") && text.contains("# change (2 of 3)");
            assert!(is_marked || !verifies, "{name}");
            let is_weaker = text.contains("hold: body");
            assert_eq!(is_weaker, text.starts_with("# WEAKER THAN "), "{name} says its weaker promise first");
        }
    }
    Ok(())
}

/// Whatever the filter is configured in has the same configuration, but for what its file is about.
#[test]
fn all_places_have_the_same_configuration() -> Result<()> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for name in names(folder)? {
            for document in Folder::open(folder, &[&name], &Values::own()?)?.0 {
                let places = [
                    "/spec/pluginConfig",
                    "/spec/wasm/pluginConfig",
                    "/spec/wasm/0/config",
                    "/spec/configPatches/0/patch/value/typed_config/config/configuration/value",
                ];
                for mut config in places.iter().filter_map(|place| document.value.pointer(place).cloned()) {
                    for key in ["hold", "replay"] {
                        config.as_object_mut().ok_or("no object")?.remove(key);
                    }
                    found.push((name.clone(), config));
                }
            }
        }
    }
    assert!(found.len() >= 10, "{} found", found.len());
    for (name, config) in &found {
        assert_eq!(config, &found[0].1, "{name}");
    }
    Ok(())
}

/// authorization.yaml admits the account under which the proxy runs that verifies, to the workload of workload.yaml. What Istio makes of it is not
/// simulated.
#[test]
fn the_authorization_names_the_proxy_that_verifies_and_no_other() -> Result<()> {
    let folder = "envoy/istio";
    let files = ["authorization.yaml", "workload.yaml", "waypoint.yaml", "gateway-values.yaml"];
    let resources = Folder::open(folder, &files, &Values::own()?)?;
    let labels = &resources.one("Deployment")?["spec"]["template"]["metadata"]["labels"];
    for kind in ["AuthorizationPolicy", "PeerAuthentication"] {
        let resource = resources.one(kind)?;
        assert!(selects(&resource["spec"]["selector"]["matchLabels"], labels)?);
        assert_eq!(identity(resource)?.0, identity(resources.one("Deployment")?)?.0);
    }
    let peers = &resources.one("PeerAuthentication")?["spec"]["mtls"]["mode"];
    assert_eq!(peers, "STRICT", "without a certificate there is no principal");
    let spec = &resources.one("AuthorizationPolicy")?["spec"];
    assert_eq!(spec["action"], "ALLOW");
    let rule = serde_json::json!([{"from": [{"source": {"principals": ["cluster.local/ns/clinic/sa/hooks-gateway"]}}]}]);
    assert_eq!(spec["rules"], rule);
    // The chart's account has the name of the release, a waypoint's that of its Gateway.
    assert!(text(&format!("{folder}/gateway-values.yaml"))?.contains("helm install hooks-gateway "));
    let waypoint = identity(resources.one("Gateway")?)?.1;
    assert!(
        text(&format!("{folder}/authorization.yaml"))?.contains(&format!("for a waypoint, sa/{waypoint}\n"))
    );
    Ok(())
}

fn check(arguments: &[&str], folder: &str, files: &[String]) -> Result<()> {
    let paths = files.iter().map(|name| format!("{folder}/{name}"));
    let output = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
        .current_dir(project_root())
        .arg("check")
        .args(arguments)
        .args(paths)
        .output()?;
    assert!(output.status.success(), "{files:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// What the project's own check says of every file that configures the filter, with those that it is given together with.
#[test]
fn the_check_finds_nothing() -> Result<()> {
    for folder in FOLDERS {
        for name in names(folder)? {
            if text(&format!("{folder}/{name}"))?.contains("public_url:") {
                let gateway = (folder == "envoy/envoy-gateway").then(|| "gateway.yaml".to_owned());
                let files: Vec<_> = [name].into_iter().chain(gateway).collect();
                check(&["--deny-warnings"], folder, &files)?;
            }
        }
    }
    Ok(())
}

#[test]
fn no_sink_leaks() -> Result<()> {
    let strict = ["strict-sidecar.yaml", "strict-gateway.yaml", "telemetry.yaml", "mesh-config.yaml"];
    let istio = strict.map(str::to_owned);
    // Files that configure the filter say nothing of logs: a warning each.
    check(&["--leaks"], "envoy/istio", &istio)?;
    check(&["--leaks", "--deny-warnings"], "envoy/istio", &istio[2..])?;
    check(&["--leaks", "--deny-warnings"], "envoy/envoy-gateway", &["gateway.yaml".to_owned()])
}
