//! `envoy/istio/redis.yaml`: two replicas of the gateway, or of the workload, share one replay window.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::documents::{Folder, Values};
use crate::istiod::{Istiod, Proxy};
use crate::strict::{cluster, gateway, sidecar};
use crate::support::envoy::Envoy;
use crate::support::redis::{Redis, Setup, has_tls};
use crate::support::tls::Authority;
use crate::support::upstream::Upstream;
use crate::support::{Result, eventually};
use crate::webhooks::{Sender, send};

const CONFIGURATION: &str = "/spec/configPatches/0/patch/value/typed_config/config/configuration/value";

/// What the file's Redis is called, and what its ACL user may do (docs/replay-redis.md).
const HOST: &str = "redis.clinic.example";
const USER: &str = "twilio-guard";
const RIGHTS: &str = "~twilio-guard:1:* -@all +eval +time +hmget +hset +expire +del";

#[tokio::test]
async fn two_replicas_of_the_gateway_share_a_window() -> Result<()> {
    share_a_window(&["gateway.yaml", "gateway-values.yaml", "strict-gateway.yaml"], gateway, |_| {}).await
}

/// As the head of the file says.
#[tokio::test]
async fn two_replicas_of_the_workload_share_a_window() -> Result<()> {
    let for_a_sidecar = |value: &mut Value| {
        if value["metadata"]["name"] == "twilio-guard-redis" {
            value["spec"]["workloadSelector"] = json!({"labels": {"app": "hooks"}});
            for patch in value["spec"]["configPatches"].as_array_mut().expect("patches") {
                patch["match"]["context"] = "SIDECAR_INBOUND".into();
            }
        }
    };
    share_a_window(&["strict-sidecar.yaml"], sidecar, for_a_sidecar).await
}

async fn share_a_window(
    place: &[&str],
    proxy: impl Fn(&Folder, &Cluster) -> Result<Proxy>,
    change: impl Fn(&mut Value),
) -> Result<()> {
    if !has_tls("mesh: redis.yaml")? {
        return Ok(());
    }
    let (values, authority) = (Values::own()?, Authority::new("redis")?);
    let identity = authority.issue(HOST)?;
    let tls = Some((identity.certificate_pem.clone(), identity.key_pem(), authority.pem()));
    let redis = Redis::with(Setup { tls, ..Setup::default() }).await?;
    let password = format!("{}_REDIS", values.token);
    let user = format!("acl setuser {USER} on >{password} {RIGHTS}");
    assert_eq!(redis.cli(&user.split(' ').collect::<Vec<_>>())?, "OK");

    let application = Upstream::start().await?;
    let sender = Sender::new(&values);
    let mut replicas = Vec::new();
    let folders = [TempDir::new()?, TempDir::new()?];
    for folder in &folders {
        let socket = folder.path().join("redis.sock").to_string_lossy().into_owned();
        let trusted = redis.directory().join("ca.crt").to_string_lossy().into_owned();
        let files = [&["secret.yaml", "redis-secret.yaml", "redis.yaml", "workload.yaml"], place].concat();
        let resources = Folder::open("envoy/istio", &files, &values)?.edit(|value| {
            change(value);
            // What the head of redis.yaml says to add.
            if let Some(configuration) = value.pointer_mut(CONFIGURATION) {
                configuration["replay"] =
                    json!({"namespace": "gateway", "store": {"redis": {"cluster": "twilio_guard_store", "timeout": "5s"}}});
            }
            // The addresses and files of this machine, which may be slow.
            let text = value
                .to_string()
                .replace("/etc/istio/proxy/twilio-guard-redis.sock", &socket)
                .replace("/etc/ssl/certs/ca-certificates.crt", &trusted)
                .replace(r#""op_timeout":"0.1s""#, r#""op_timeout":"5s""#)
                .replace(r#""connect_timeout":"0.1s""#, r#""connect_timeout":"5s""#)
                .replace(r#""connect_timeout":"0.5s""#, r#""connect_timeout":"5s""#)
                .replace(
                    &json!({"address": HOST, "port_value": 6379}).to_string(),
                    &json!({"address": "127.0.0.1", "port_value": redis.address().port()}).to_string(),
                );
            *value = serde_json::from_str(&text).expect("JSON");
        });
        let volumes = cluster(&resources)?;
        let proxy = proxy(&resources, &volumes)?;
        let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
        replicas.push(Envoy::start(&config.edit(|bootstrap| {
            // Istio's bootstrap has it.
            bootstrap["bootstrap_extensions"] = json!([{
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"},
            }]);
        })).await?);
    }
    for (first, second) in [(0, 1), (1, 0)] {
        let message = sender.sms();
        assert_eq!(send(replicas[first].address(), &message).await?.status, 200);
        eventually("Redis to know", async || {
            let [key] = redis.keys().ok()?.try_into().ok()?;
            (redis.cli(&["hget", &key, "deliveries"]).ok()? == "1").then_some(())
        })
        .await?;
        for replica in [second, first] {
            assert_eq!(send(replicas[replica].address(), &message).await?.status, 409);
        }
        redis.cli(&["flushall"])?;
    }
    assert_eq!(application.count(), 2);
    Ok(())
}
