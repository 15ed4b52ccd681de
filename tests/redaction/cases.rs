use serde::Deserialize;
use twilio_guard::config::Secret;
use twilio_guard::redact::Policy;

#[derive(Deserialize)]
struct File {
    policy: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    title: String,
    input: String,
    expected: String,
    must_contain: Vec<String>,
    must_not_contain: Vec<String>,
    hash_key: Option<String>,
}

#[test]
fn every_case_is_redacted_exactly_as_documented() {
    let file: File =
        serde_json::from_str(include_str!("../vectors/redaction-cases.json")).expect("the cases are JSON");
    assert_eq!((file.policy.as_str(), file.cases.len()), ("phi-default-v1", 216));
    let mut wrong = Vec::new();
    for case in &file.cases {
        let policy = match &case.hash_key {
            Some(key) => Policy::default().with_hash_key(&Secret::from(key.clone())),
            None => Policy::default(),
        };
        let shown = policy.target(case.input.as_bytes());
        let shows = |text: &String| shown.to_lowercase().contains(&text.to_lowercase());
        let is_right = shown == case.expected
            && case.must_contain.iter().all(|text| shown.contains(text))
            && !case.must_not_contain.iter().any(shows);
        if !is_right {
            wrong.push(format!(
                "{} {}\n  expected {}\n  got      {shown}",
                case.id, case.title, case.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), file.cases.len(), wrong.join("\n"));
}
