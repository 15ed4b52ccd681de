//! No spelling of a path reaches a weaker rule: random configurations, random spellings, and the model of
//! [`path_model`](super::path_model) as the judge.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::core_support::cases;
use super::core_support::{HOST, Outcome, Request, SID_A, SID_B, TOKEN_A, TOKEN_B, parse};
use super::path_model::{Demand, Kind, OTHER_HOST, Offer, Rule, Rules};

const METHODS: &[&str] = &["GET", "POST", "PUT"];

fn demand() -> impl Strategy<Value = Demand> {
    let accounts = select(vec![[true, true], [true, false], [false, true]]);
    prop_oneof![
        3 => Just(Demand::Nothing),
        1 => Just(Demand::Deny),
        3 => (accounts, any::<bool>()).prop_map(|(accounts, parameter)| Demand::Twilio { accounts, parameter }),
    ]
}

fn pattern(kind: Kind) -> impl Strategy<Value = String> {
    let words: Vec<&str> = match kind {
        Kind::Template => vec!["a", "B", "sms", "{x}", "{y}"],
        Kind::Exact | Kind::Prefix => vec!["a", "b", "B", "sms", "Sms"],
    };
    (vec(select(words), 0..4), prop::bool::weighted(0.2)).prop_map(|(segments, has_slash)| {
        let slash = if has_slash && !segments.is_empty() { "/" } else { "" };
        format!("/{}{slash}", segments.join("/"))
    })
}

fn rule(may_observe: bool) -> impl Strategy<Value = Rule> {
    let kind = select(vec![Kind::Exact, Kind::Prefix, Kind::Template]);
    let hosts =
        prop::option::weighted(0.2, select(vec![vec![HOST], vec![OTHER_HOST], vec![HOST, OTHER_HOST]]));
    let methods = prop::option::weighted(0.2, prop::sample::subsequence(METHODS, 1..3));
    let observes = prop::bool::weighted(if may_observe { 0.3 } else { 0.0 });
    kind.prop_flat_map(move |kind| {
        (Just(kind), pattern(kind), hosts.clone(), methods.clone(), demand(), observes)
    })
    .prop_map(|(kind, pattern, hosts, methods, demand, is_observing)| Rule {
        kind,
        pattern,
        hosts,
        methods,
        demand,
        is_observing,
    })
}

/// Rules that load: a route that is refused (hidden, say) is left out.
fn rules(may_observe: bool) -> impl Strategy<Value = Rules> {
    let default = select(vec![
        Demand::Nothing,
        Demand::Nothing,
        Demand::Deny,
        Demand::Twilio { accounts: [true, true], parameter: false },
    ]);
    (vec(rule(may_observe), 1..5), default).prop_map(|(routes, demand)| {
        let default = Rule {
            kind: Kind::Prefix,
            pattern: "/".to_owned(),
            hosts: None,
            methods: None,
            demand,
            is_observing: false,
        };
        let mut kept = Rules(vec![default]);
        for route in routes {
            let mut more = kept.clone();
            more.0.insert(kept.0.len() - 1, route);
            if parse(&more.to_json()).is_ok() {
                kept = more;
            }
        }
        kept
    })
}

/// Changes to the spelling of a path; each takes a number that says where.
fn change(path: &mut Vec<u8>, change: u8, at: usize, word: &'static str) {
    let slashes: Vec<usize> = (0..path.len()).filter(|&at| path[at] == b'/').collect();
    let byte = at % path.len().max(1);
    let slash = slashes.get(at % slashes.len().max(1)).copied().unwrap_or_default();
    let insert = |path: &mut Vec<u8>, at: usize, text: &str| drop(path.splice(at..at, text.bytes()));
    match change {
        0 if !path.is_empty() => {
            let escape = if at.is_multiple_of(2) {
                format!("%{:02x}", path[byte])
            } else {
                format!("%{:02X}", path[byte])
            };
            path.splice(byte..=byte, escape.into_bytes());
        }
        1 if !slashes.is_empty() => {
            let spelling = ["%2f", "%2F", "%5c", "\\", "%252f", "//", "/./", "/%2e/", "/;/"][at % 9];
            path.splice(slash..=slash, spelling.bytes());
        }
        2 => insert(
            path,
            slash,
            ["/x/..", "/x/%2e%2e", "/x/..;", "/x/..%2f", "/.", "/%2e", "/;a=b", "/x%5c.."][at % 8],
        ),
        3 => insert(path, byte, [";x", "%3bx", "%00", "%253b", "\\", "%"][at % 6]),
        4 => *path = String::from_utf8_lossy(path).replace('%', "%25").into_bytes(),
        5 if !path.is_empty() => path[byte] ^= if path[byte].is_ascii_alphabetic() { 0x20 } else { 0 },
        6 => path.push(b'/'),
        7 if path.len() > 1 => drop(path.pop()),
        8 => {
            insert(path, 0, &format!("/{word}{}", ["/..", "/%2e%2e", "/..%2f..", "\\..", "/x/../.."][at % 5]))
        }
        9 => path.extend(["%3f", "%23", "%3fx", "%23/../b", "/..", "/../b", "%2f..%2fb"][at % 7].bytes()),
        10 => path.extend(format!("/{word}").bytes()),
        _ => {}
    }
}

/// A path that is somehow about one of the rules.
fn path(rules: &Rules) -> impl Strategy<Value = Vec<u8>> + use<> {
    let patterns: Vec<String> = rules.0.iter().map(|rule| rule.pattern.clone()).collect();
    let word = || select(vec!["a", "b", "B", "sms", "x"]);
    let change_at = (0..12_u8, any::<u16>(), word());
    (select(patterns), word(), vec(change_at, 0..5)).prop_map(|(pattern, word, changes)| {
        let mut path = pattern.replace("{x}", word).replace("{y}", word).into_bytes();
        for (own, at, word) in changes {
            change(&mut path, own, usize::from(at), word);
        }
        path
    })
}

#[derive(Debug, Clone)]
struct Case {
    rules: Rules,
    path: String,
    host: (&'static str, &'static str),
    method: &'static str,
    offer: Offer,
}

fn case(may_observe: bool) -> impl Strategy<Value = Case> {
    let host = select(vec![
        (HOST, HOST),
        (HOST, "HOOKS.Example.org.:8443"),
        (OTHER_HOST, OTHER_HOST),
        ("third.example.org", "third.example.org"),
    ]);
    let offer = (0..2_usize, any::<bool>(), any::<bool>())
        .prop_map(|(account, has_parameter, is_signed)| Offer { account, has_parameter, is_signed });
    let rest = (host, select(METHODS), offer);
    rules(may_observe).prop_flat_map(|rules| (path(&rules), Just(rules))).prop_flat_map(
        move |(path, rules)| {
            let path = String::from_utf8_lossy(&path).into_owned();
            rest.clone().prop_map(move |(host, method, offer)| Case {
                rules: rules.clone(),
                path: path.clone(),
                host,
                method,
                offer,
            })
        },
    )
}

/// The request of a case: everything it offers is in its query, and so in its signed URL.
fn request(case: &Case) -> Request {
    let (sid, token) = [(SID_A, TOKEN_A), (SID_B, TOKEN_B)][case.offer.account];
    let extra = if case.offer.has_parameter { "&Extra=1" } else { "" };
    let mut request = Request::new(case.method, format!("{}?AccountSid={sid}{extra}", case.path));
    request.authority = case.host.1.into();
    if case.offer.is_signed { request.sign_url(token.as_bytes()) } else { request }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let plan = parse(&case.rules.to_json()).expect("it loaded before");
    let outcome = request(case).send(&plan);
    if matches!(outcome, Outcome::Refused(_)) {
        return Ok(());
    }
    // A literal `?` ends the path for everybody.
    let path = case.path.split('?').next().unwrap_or_default();
    let stopped = case.rules.stopped_by(case.host.0, case.method, path.as_bytes(), case.offer);
    if let Some((reading, rule)) = stopped {
        let reading = String::from_utf8_lossy(&reading).into_owned();
        prop_assert!(
            false,
            "{outcome:?}, and read as {reading:?} it belongs to rule {rule}: {:#}",
            case.rules.to_json()["routes"]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn no_spelling_reaches_a_weaker_rule(case in case(false)) {
        check(&case)?;
    }

    #[test]
    fn no_spelling_reaches_a_rule_that_only_observes(case in case(true)) {
        check(&case)?;
    }
}
