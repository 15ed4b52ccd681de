//! Accounts and their tokens.

use serde_json::json;

use super::core_support::{ENVIRONMENT, SID_A, SID_B, parse, parse_text};
use super::{assert_edit_refused, base, edited, refusal, without};

const TOKEN: &str = "accounts[0].auth_tokens[0]";

#[test]
fn a_variable_that_is_absent_or_empty_is_refused() {
    let text = base().to_string();
    for variables in [&[][..], &[("TOKEN_A", "")], &[("token_a", "x")]] {
        let error = refusal(text.as_bytes(), variables);
        assert_eq!(error.path(), format!("{TOKEN}.env"));
        assert!(error.remedy().contains("host_env_keys"), "{error}");
    }
}

#[test]
fn an_optional_variable_may_be_absent_or_empty_while_another_token_is_there() {
    let config =
        edited(&json!({"/accounts/0/auth_tokens/-": {"env": "NEXT", "label": "next", "optional": true}}));
    let text = config.to_string();
    for (variables, keys) in [
        (&[("TOKEN_A", "a")][..], 1),
        (&[("TOKEN_A", "a"), ("NEXT", "")], 1),
        (&[("TOKEN_A", "a"), ("NEXT", "b")], 2),
    ] {
        let plan = parse_text(text.as_bytes(), variables).expect("in order");
        let twilio_guard::config::Protection::Twilio(twilio) = &plan.routes()[0].1.protection else {
            panic!()
        };
        assert_eq!(twilio.accounts[0].keys.len(), keys);
    }
}

#[test]
fn an_account_without_any_token_is_refused() {
    for tokens in [
        json!([]),
        json!([{"env": "ABSENT", "optional": true}]),
        json!([{"env": "ABSENT", "optional": true}, {"env": "GONE", "optional": true}]),
    ] {
        assert_edit_refused("accounts[0].auth_tokens", &json!({"/accounts/0/auth_tokens": tokens}));
    }
}

#[test]
fn white_space_around_a_secret_is_refused() {
    let text = base().to_string();
    for value in [" x", "x ", "x\n", "x\r\n", "\tx", " ", "\n", "\u{a0}x"] {
        assert_eq!(
            refusal(text.as_bytes(), &[("TOKEN_A", value)]).path(),
            format!("{TOKEN}.env"),
            "{value:?}"
        );
        let inline = edited(&json!({
            "/allow_inline_secrets": true, "/accounts/0/auth_tokens/0": {"value": value},
        }));
        assert_eq!(refusal(inline.to_string().as_bytes(), ENVIRONMENT).path(), format!("{TOKEN}.value"));
    }
    parse_text(text.as_bytes(), &[("TOKEN_A", "x y")]).expect("white space inside is part of the secret");
}

#[test]
fn secrets_are_named_in_exactly_one_way() {
    for (path, token) in [
        (format!("{TOKEN}.value"), json!({"value": "token"})),
        (TOKEN.to_owned(), json!({"env": "TOKEN_A", "value": "token"})),
        (TOKEN.to_owned(), json!({})),
        (TOKEN.to_owned(), json!({"label": "current", "optional": true})),
    ] {
        assert_edit_refused(&path, &json!({"/accounts/0/auth_tokens/0": token}));
    }
    for (path, token) in [
        (format!("{TOKEN}.value"), json!({"value": ""})),
        (format!("{TOKEN}.value"), json!({"value": "", "optional": true})),
        (TOKEN.to_owned(), json!({"env": "TOKEN_A", "value": "token"})),
    ] {
        assert_edit_refused(
            &path,
            &json!({"/allow_inline_secrets": true, "/accounts/0/auth_tokens/0": token}),
        );
    }
    let inline = json!({"/allow_inline_secrets": true, "/accounts/0/auth_tokens/0": {"value": "token"}});
    parse(&edited(&inline)).expect("inline secrets are allowed where the configuration says so");
}

#[test]
fn labels_are_distinct_and_of_a_harmless_alphabet() {
    let long = "x".repeat(33);
    for label in ["", "Current", "with space", "ümlaut", "a.b", "a#b", "a\nb", long.as_str()] {
        assert_edit_refused(&format!("{TOKEN}.label"), &json!({"/accounts/0/auth_tokens/0/label": label}));
    }
    for second in [
        json!({"env": "TOKEN_B", "label": "current"}),
        json!({"env": "TOKEN_B", "label": "current", "optional": true}),
    ] {
        assert_edit_refused(
            "accounts[0].auth_tokens[1].label",
            &json!({"/accounts/0/auth_tokens/-": second}),
        );
    }
    // A label that is left out is `token<index>`.
    let tokens = json!([{"env": "TOKEN_A", "label": "token1"}, {"env": "TOKEN_B"}]);
    assert_edit_refused("accounts[0].auth_tokens[1].label", &json!({"/accounts/0/auth_tokens": tokens}));
    let longest = "x".repeat(32);
    parse(&edited(&json!({"/accounts/0/auth_tokens/0/label": longest}))).expect("32 characters fit");
}

#[test]
fn account_sids_are_checked_and_distinct() {
    let other = json!({"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B"}]});
    for sid in ["", "AC", "ac0123456789abcdef0123456789abcdef", "SK0123456789abcdef0123456789abcdef"] {
        assert_edit_refused("accounts[0].sid", &json!({"/accounts/0/sid": sid}));
    }
    for sid in [format!("{SID_A}0"), format!(" {SID_A}"), SID_A.replace('0', "g")] {
        assert_edit_refused("accounts[0].sid", &json!({"/accounts/0/sid": sid}));
    }
    assert_edit_refused(
        "accounts[1].sid",
        &json!({"/accounts/-": {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_B"}]}}),
    );
    assert_edit_refused("accounts[1].sid", &json!({"/accounts/-": {"auth_tokens": [{"env": "TOKEN_B"}]}}));
    let unbound = without(edited(&json!({"/accounts/-": other})), "/accounts/0/sid");
    super::assert_refused(&unbound, "accounts[0].sid");
    parse(&without(base(), "/accounts/0/sid")).expect("the only account needs no sid");
    parse(&edited(&json!({"/accounts/-": other}))).expect("two accounts");
}

#[test]
fn a_token_signs_for_one_account_only() {
    let shared =
        json!({"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B"}, {"env": "TOKEN_A", "label": "again"}]});
    assert_edit_refused("accounts[1].auth_tokens", &json!({"/accounts/-": shared}));
    let config = edited(&json!({"/accounts/-": {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B"}]}}));
    let error = refusal(config.to_string().as_bytes(), &[("TOKEN_A", "same"), ("TOKEN_B", "same")]);
    assert_eq!(error.path(), "accounts[1].auth_tokens");
}

#[test]
fn a_verifying_rule_needs_accounts() {
    assert_edit_refused("accounts", &json!({"/accounts": []}));
    let none = without(base(), "/accounts");
    super::assert_refused(&none, "accounts");
    super::assert_refused(&super::edit(without(none, "/routes"), &json!({"/default": "twilio"})), "accounts");
    let open = json!({"public_url": super::URL, "default": "none"});
    parse(&open).expect("a configuration that verifies nothing needs no account");
    super::assert_refused(&super::edit(open, &json!({"/accounts": []})), "accounts");
}

#[test]
fn the_accounts_of_a_route_are_configured_ones() {
    for (path, own) in [
        ("routes[0].accounts", json!([])),
        ("routes[0].accounts[0]", json!([SID_B])),
        ("routes[0].accounts[1]", json!([SID_A, SID_A])),
        ("routes[0].accounts[0]", json!([SID_A.to_ascii_lowercase()])),
    ] {
        assert_edit_refused(path, &json!({"/routes/0/accounts": own}));
    }
}
