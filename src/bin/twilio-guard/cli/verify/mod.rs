//! `verify`: what the filter would say to a request.

mod explain;
mod judge;
mod keys;
mod request;
mod vectors;

use serde_json::json;
use twilio_guard::signature::explain::Hint;

use super::args::VerifyArgs;
use super::outcome::{Failure, Outcome};
use judge::Verdict;

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs) -> Result<Outcome, Failure> {
    if let Some(path) = &args.vectors {
        return vectors::run(path);
    }
    let request::Given { message, keys } = request::read(args)?;
    let plan = keys::plan(args, &message, keys.as_ref())?;
    let peer = args.peer.as_deref();
    let mut hints = Vec::new();
    let verdict = judge::judge(&plan, &message, peer, |rule, head, refused| {
        if args.explain {
            hints = explain::hints(&plan, rule, head, &message.body, refused);
        }
    });
    Ok(answer(args, &verdict, &hints))
}

fn answer(args: &VerifyArgs, verdict: &Verdict, hints: &[Hint]) -> Outcome {
    let mut text = verdict.outcome.to_owned();
    let mut detail = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            text.push_str(&format!("\n{name}: {value}"));
        }
    };
    detail("reason", verdict.reason.map(twilio_guard::reject::Reject::code));
    detail("scheme", verdict.scheme);
    detail("account", verdict.account.as_deref());
    detail("key", verdict.key.as_deref());
    detail("route", Some(&verdict.route));
    if !verdict.keys_tried.is_empty() {
        detail("keys tried", Some(&verdict.keys_tried.join(", ")));
    }
    if args.explain && verdict.reason.is_some() {
        for hint in hints {
            detail("hint", Some(&format!("{}: {}", hint.code(), hint.advice())));
        }
        if hints.is_empty() {
            detail("hint", Some("none: nothing that was tried would have matched"));
        }
    }
    let mut json = json!({
        "verdict": verdict.outcome,
        "reason": verdict.reason.map(twilio_guard::reject::Reject::code),
        "scheme": verdict.scheme,
        "account": verdict.account,
        "key": verdict.key,
        "route": verdict.route,
        "keys_tried": verdict.keys_tried,
    });
    if let Some(object) = json.as_object_mut()
        && args.explain
    {
        let hint = |hint: &Hint| json!({"code": hint.code(), "advice": hint.advice()});
        object.insert("hints".to_owned(), hints.iter().map(hint).collect());
    }
    Outcome { ok: verdict.is_verified(), text, note: None, json }
}
