//! The replay store that replicas share, as it is configured.

use std::time::Duration;

use serde_json::{Value, json};
use twilio_guard::config::{OnError, Plan, Secret};
use twilio_guard::replay::Login;

use super::core_support::{ENVIRONMENT, parse_text, plan};
use super::{assert_refused, base, edit};

const VARIABLES: &[(&str, &str)] =
    &[("REDIS_USERNAME", "guard-of-janeroe"), ("REDIS_PASSWORD", "sesame-of-janeroe")];

/// The base with a shared store of these keys beside `cluster`.
fn configured(keys: &Value) -> Value {
    let mut redis = json!({"cluster": "store"});
    redis.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    edit(base(), &json!({"/replay": {"store": {"redis": redis}}}))
}

fn loaded(config: &Value) -> Plan {
    let variables = [ENVIRONMENT, VARIABLES].concat();
    parse_text(config.to_string().as_bytes(), &variables).unwrap_or_else(|error| panic!("{error}\n{config}"))
}

#[test]
fn a_cluster_is_all_that_has_to_be_said() {
    let loaded = loaded(&configured(&json!({})));
    let store = loaded.replay_store();
    let shared = store.shared.as_ref().expect("a shared store");
    assert_eq!((shared.cluster.as_str(), shared.timeout), ("store", Duration::from_millis(100)));
    assert_eq!((shared.on_error, store.capacity), (OnError::Deny, 131_072));
    assert!(
        plan(&base()).replay_store().shared.is_none(),
        "nobody is asked whom the configuration does not name"
    );
}

#[test]
fn the_own_store_stands_beside_it() {
    let config = edit(configured(&json!({})), &json!({"/replay/store/local": {"capacity": 4096}}));
    let plan = loaded(&config);
    assert_eq!(plan.replay_store().capacity, 4096);
    assert!(plan.replay_store().shared.is_some());
}

#[test]
fn each_key_is_taken_up_to_its_bounds() {
    let longest = ["c".repeat(120), "p".repeat(64)];
    for keys in [
        json!({"timeout": "1ms"}),
        json!({"timeout": "5s"}),
        json!({"cluster": longest[0]}),
        json!({"cluster": "outbound|6379||redis.db.svc.cluster.local"}),
        json!({"key_prefix": longest[1]}),
        json!({"key_prefix": "Clinic_1/twilio-guard:v.2|x"}),
        json!({"key_prefix": format!("{{{}}}", longest[1])}),
        json!({"database": 0}),
        json!({"database": 65_535}),
        json!({"on_error": "deny"}),
        json!({"on_error": "local"}),
        json!({"on_error": "allow"}),
        json!({"password": {"env": "REDIS_PASSWORD"}}),
        json!({"username": {"env": "REDIS_USERNAME"}, "password": {"env": "REDIS_PASSWORD"}}),
        json!({"username": {"env": "ABSENT", "optional": true}, "password": {"env": "ABSENT", "optional": true}}),
    ] {
        loaded(&configured(&keys));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_key() {
    let path = |key: &str| format!("replay.store.redis.{key}");
    let too_long = ["c".repeat(121), "p".repeat(65)];
    for (key, values) in [
        (
            "cluster",
            vec![json!(""), json!("a b"), json!("a\nb"), json!("café"), json!("{x}"), json!(too_long[0])],
        ),
        ("timeout", vec![json!("0ms"), json!("5001ms"), json!("6s"), json!("1h"), json!("fast"), json!(100)]),
        (
            "key_prefix",
            vec![
                json!(""),
                json!("a b"),
                json!("a*"),
                json!("{}"),
                json!("{tag"),
                json!("{tag}x"),
                json!("{a}{b}"),
                json!("é"),
                json!(too_long[1]),
            ],
        ),
        ("database", vec![json!(-1), json!(65_536), json!(1.5), json!("0"), json!("64KiB"), json!(null)]),
        ("on_error", vec![json!("open"), json!("Deny"), json!(true), json!(null)]),
        ("password", vec![json!("sesame"), json!({}), json!(null)]),
    ] {
        for value in values {
            let error = assert_refused(&configured(&json!({key: value})), &path(key));
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }
    for (keys, at) in [
        (json!({"password": {"env": "ABSENT"}}), "password.env"),
        (json!({"password": {"value": "sesame"}}), "password.value"),
        (json!({"username": {"env": "ABSENT"}}), "username.env"),
        (json!({"username": {"env": "TOKEN_A"}}), "password"),
        (
            json!({"username": {"env": "TOKEN_A"}, "password": {"env": "ABSENT", "optional": true}}),
            "password",
        ),
        (json!({"host": "redis.example.org"}), "host"),
        (json!({"url": "redis://:sesame@redis.example.org"}), "url"),
    ] {
        let error = assert_refused(&configured(&keys), &path(at));
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    assert_refused(&edit(base(), &json!({"/replay": {"store": {}}})), "replay.store");
    let of_a_route = edit(base(), &json!({"/routes/0/replay": {"store": {"redis": {"cluster": "store"}}}}));
    assert_refused(&of_a_route, "routes[0].replay.store");
}

#[test]
fn who_signs_in_is_shown_to_nobody() {
    let keys = json!({"username": {"env": "REDIS_USERNAME"}, "password": {"env": "REDIS_PASSWORD"}});
    let plan = loaded(&configured(&keys));
    let secret = |text: &str| Some(Secret::from(text.to_owned()));
    let login =
        Login { username: secret("guard-of-janeroe"), password: secret("sesame-of-janeroe"), database: 0 };
    for shown in [format!("{plan:?}"), format!("{:?}", plan.replay_store()), format!("{login:?}")] {
        assert!(!shown.contains("janeroe"), "{shown}");
    }
}
