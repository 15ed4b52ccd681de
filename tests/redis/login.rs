//! Who the filter is to Redis, and who Redis is to the filter.

use serde_json::{Value, json};

use crate::scene::{OnError, RETRIED, Scene, Way, replica, store};
use crate::support::redis::{Edition, Setup, has_tls};
use crate::support::replay_redis::{MANAGER, Replica};
use crate::support::scenes::{add_routes, under};
use crate::support::tls::Authority;
use crate::support::{Result, eventually};

const PASSWORD: &str = "zvqkBnmtxWrhplQd";

/// All that an ACL user has to be allowed.
const RIGHTS: [&str; 9] =
    ["~twilio-guard:*", "resetchannels", "-@all", "+eval", "+time", "+hmget", "+hset", "+expire", "+del"];

const REDIS_OPTIONS: &str =
    "/static_resources/clusters/3/typed_extension_protocol_options/envoy.filters.network.redis_proxy";

/// Lets the filter sign in itself, with what the environment says.
fn by_plugin(replica: Replica, user: Option<&str>, password: &str) -> Replica {
    let named = user.is_some();
    let replica = replica.env("REDIS_OWN_PASSWORD", password).env("REDIS_OWN_USER", user.unwrap_or_default());
    replica
        .plugin(move |plugin| {
            store(plugin)["password"] = json!({"env": "REDIS_OWN_PASSWORD"});
            if named {
                store(plugin)["username"] = json!({"env": "REDIS_OWN_USER"});
            }
        })
        .edit(|bootstrap| {
            let keys = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/\
                        typed_config/config/vm_config/environment_variables/host_env_keys";
            let keys = bootstrap.pointer_mut(keys).and_then(Value::as_array_mut).expect("the file has it");
            keys.extend(["REDIS_OWN_PASSWORD", "REDIS_OWN_USER"].map(Value::from));
        })
}

/// Lets `redis_proxy` sign in as this ACL user.
fn by_proxy(replica: Replica, user: &'static str, password: &str) -> Replica {
    replica.env("REDIS_PASSWORD", password).edit(move |bootstrap| {
        bootstrap.pointer_mut(REDIS_OPTIONS).expect("the file has it")["auth_username"] =
            json!({"inline_string": user});
    })
}

/// A copy of a delivered message is refused by the other replica.
async fn works(scene: &mut Scene, what: &str) -> Result<()> {
    let message = scene.message("/sms");
    scene.send_and_settle(0, &message).await?.assert_pass(what, "first");
    scene.refused(what, 1, &message, 409, "replayed").await?;
    scene.plant(PASSWORD);
    scene.assert_sound(what).await
}

#[tokio::test]
async fn redis_proxy_signs_in_with_the_password_of_the_environment() -> Result<()> {
    let guarded = Setup::default().with(&["--requirepass", PASSWORD]);
    let mut scene =
        Scene::with(guarded.clone(), 2, |it| it.patient().env("REDIS_PASSWORD", PASSWORD)).await?;
    works(&mut scene, "the password").await?;
    for wrong in ["", "not the password"] {
        let mut scene =
            Scene::with(guarded.clone(), 1, |it| it.patient().env("REDIS_PASSWORD", wrong)).await?;
        scene.fails(wrong, 0, OnError::Deny, "store_unusable", &["denied", "unavailable"]).await?;
        scene.assert_sound(wrong).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_filter_signs_in_with_what_its_configuration_names() -> Result<()> {
    let guarded = Setup::default().with(&["--requirepass", PASSWORD]);
    let direct = |it| replica(it, OnError::Deny, Way::Direct);
    let in_database =
        |it| by_plugin(direct(it), None, PASSWORD).plugin(|plugin| store(plugin)["database"] = 3.into());
    let mut scene = Scene::with(guarded.clone(), 2, in_database).await?;
    works(&mut scene, "a password and a database").await?;
    let keys = |database| scene.redis.cli(&["-a", PASSWORD, "-n", database, "dbsize"]);
    assert_eq!((keys("0")?, keys("3")?), ("0".to_owned(), "1".to_owned()));
    let as_default = |it| by_plugin(direct(it), Some("default"), PASSWORD);
    works(&mut Scene::with(guarded.clone(), 2, as_default).await?, "a name and a password").await?;
    for (user, wrong) in [(None, "not the password"), (Some("nobody"), PASSWORD)] {
        let mut scene = Scene::with(guarded.clone(), 1, |it| by_plugin(direct(it), user, wrong)).await?;
        scene.fails(wrong, 0, OnError::Deny, "store_unusable", &["denied"]).await?;
        scene.plant(PASSWORD);
        scene.assert_sound(wrong).await?;
    }
    Ok(())
}

fn set_user(scene: &Scene, rights: &[&str]) -> Result<()> {
    let password = format!(">{PASSWORD}");
    let user = ["acl", "setuser", "twilio-guard", "reset", "on", &password];
    let answer = scene.redis.cli(&[&user[..], rights].concat())?;
    assert_eq!(answer, "OK", "{rights:?}");
    Ok(())
}

/// These rights suffice, and none of them can be left out.
#[tokio::test]
async fn an_acl_user_needs_few_rights() -> Result<()> {
    let named = |it: Replica| by_proxy(it.patient(), "twilio-guard", PASSWORD);
    let mut scene = Scene::start(2, named).await?;
    set_user(&scene, &RIGHTS)?;
    works(&mut scene, "through redis_proxy").await?;
    assert!(scene.redis.cli(&["client", "list"])?.contains("user=twilio-guard"));

    let direct = |it| {
        let replica = by_plugin(replica(it, OnError::Deny, Way::Direct), Some("twilio-guard"), PASSWORD);
        replica.edit(|bootstrap| {
            add_routes(bootstrap.pointer_mut(MANAGER).expect("the file has it"), "application");
        })
    };
    let mut scene = Scene::start(2, direct).await?;
    set_user(&scene, &RIGHTS)?;
    works(&mut scene, "without it").await?;
    // A question, or a settlement.
    let denied = async |scene: &Scene| {
        Result::Ok(scene.answers(0, &["denied"]).await? + scene.replicas[0].stat(RETRIED).await?)
    };
    assert_eq!(denied(&scene).await?, 0);
    for left_out in RIGHTS.iter().filter(|right| right.starts_with(['+', '~'])) {
        let rights: Vec<_> = RIGHTS.into_iter().filter(|right| right != left_out).collect();
        set_user(&scene, &rights)?;
        let before = denied(&scene).await?;
        // Nobody answers it, so that its pass is given back: only that deletes.
        scene.send(0, &under(&scene.message("/sms"), "answered")).await?;
        eventually(left_out, async || (denied(&scene).await.ok()? > before).then_some(())).await?;
        set_user(&scene, &RIGHTS)?;
        scene.recovers(left_out, 0).await?;
    }
    scene.assert_sound("an ACL user").await
}

/// Lets the cluster speak TLS as the comment in the shipped file has it.
fn over_tls(replica: Replica, authority: &str) -> Replica {
    let socket = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "redis.example.org",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": {
                    "trusted_ca": {"inline_string": authority},
                    "match_typed_subject_alt_names":
                        [{"san_type": "DNS", "matcher": {"exact": "redis.example.org"}}],
                },
            },
        },
    });
    replica.edit(move |bootstrap| {
        bootstrap["static_resources"]["clusters"][3]["transport_socket"] = socket.clone();
    })
}

#[tokio::test]
async fn over_tls_redis_has_to_be_who_it_should() -> Result<()> {
    if !has_tls("over_tls_redis_has_to_be_who_it_should")? {
        return Ok(());
    }
    let (authority, stranger) = (Authority::new("Redis CA")?, Authority::new("Redis CA")?);
    for way in Way::BOTH {
        for (what, name, issuer) in [
            ("as it should", "redis.example.org", &authority),
            ("another name", "elsewhere.example.org", &authority),
            ("another authority", "redis.example.org", &stranger),
        ] {
            let identity = issuer.issue(name)?;
            let tls = Some((identity.certificate_pem.clone(), identity.key_pem(), issuer.pem()));
            let setup = Setup { tls, ..Setup::default() };
            let trusted = authority.pem();
            let count = if what == "as it should" { 2 } else { 1 };
            let change = |it| over_tls(replica(it, OnError::Deny, way), &trusted);
            let mut scene = Scene::with(setup, count, change).await?;
            let what = format!("{what}, {way:?}");
            let calls = |scene: &Scene| -> Result<bool> {
                Ok(scene.redis.cli(&["info", "commandstats"])?.contains("cmdstat_eval"))
            };
            if count == 2 {
                works(&mut scene, &what).await?;
                assert!(calls(&scene)?, "{what}");
            } else {
                scene.fails(&what, 0, OnError::Deny, "store_unusable", &["unavailable", "reset"]).await?;
                assert!(!calls(&scene)?, "{what}");
                scene.assert_sound(&what).await?;
            }
        }
    }
    Ok(())
}

/// Redis 6.2 quotes the errors of commands inside scripts in its own words.
#[tokio::test]
async fn redis_6_will_do() -> Result<()> {
    for way in Way::BOTH {
        let six = Setup { edition: Edition::Six, ..Setup::default() };
        let mut scene = Scene::with(six, 2, |it| replica(it, OnError::Deny, way)).await?;
        works(&mut scene, "Redis 6").await?;
        scene.redis.cli(&["config", "set", "maxmemory", "1"])?;
        scene.fails("full", 0, OnError::Deny, "store_full", &["full"]).await?;
        scene.redis.cli(&["config", "set", "maxmemory", "0"])?;
        scene.recovers("full", 0).await?;
        scene.assert_sound("Redis 6").await?;
    }
    Ok(())
}
