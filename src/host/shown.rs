//! What the proxy's logs and traces, and filters behind this one, get to see: filter state and headers.

use super::abi::{self, HostError, Map};
use super::header_map::HeaderMap;
use crate::config::Plan;
use crate::guard::{LogView, Report};
use crate::request::RequestHead;
use crate::route;

/// Shows what may be seen of a request: `wasm.twilio_guard.{path,user_agent,referer,request_id}`, and the headers that the
/// default formats print.
///
/// Each is tried, whatever became of the others: the log may print any of them.
pub(super) fn show_view(view: &LogView) -> Result<(), HostError> {
    let headers = view.headers.iter().map(|(name, value)| match value {
        Some(value) => abi::replace_request_header(name, value.as_bytes()),
        None => Map::Headers.remove(name.as_bytes()),
    });
    headers.fold(show_state(view), Result::and)
}

/// Shows what may be seen of a request that was answered before it came to this filter. Headers can no longer be
/// changed then (envoy-facts 1.2); where there are none, there is nothing to see either.
pub(super) fn show_unjudged(plan: &Plan) {
    let headers = Map::Headers.fields();
    let Some(pairs) = headers.as_ref().ok().and_then(HeaderMap::pairs) else { return };
    let head = RequestHead::read(pairs, true, |_| false);
    let rule = route::select(plan, &head).rule;
    // The log is written whatever becomes of this.
    let _ = show_state(&LogView::of(rule, &head, || None));
    let _ = abi::set_filter_state("twilio_guard.verdict", "unjudged");
}

fn show_state(view: &LogView) -> Result<(), HostError> {
    let values = [
        ("path", &view.path),
        ("user_agent", &view.user_agent),
        ("referer", &view.referer),
        ("request_id", &view.shown_request_id),
    ];
    let values = values.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
    let states = values.map(|(name, value)| abi::set_filter_state(&format!("twilio_guard.{name}"), value));
    states.fold(Ok(()), Result::and)
}

/// Shows the verdict: `wasm.twilio_guard.{verdict,route,reason,scheme,key,account,replay}`.
pub(super) fn show_report(report: &Report<'_>) -> Result<(), HostError> {
    abi::set_filter_state("twilio_guard.verdict", report.outcome)?;
    abi::set_filter_state("twilio_guard.route", report.route)?;
    if report.reason.is_some() {
        abi::set_filter_state("twilio_guard.reason", report.reason_code())?;
    }
    if let Some(mark) = report.replay {
        abi::set_filter_state("twilio_guard.replay", mark.as_str())?;
    }
    if let Some(verified) = report.verified {
        abi::set_filter_state("twilio_guard.scheme", verified.scheme().as_str())?;
        abi::set_filter_state("twilio_guard.key", verified.key().as_str())?;
        if let Some(sid) = verified.account_sid() {
            abi::set_filter_state("twilio_guard.account", sid)?;
        }
    }
    Ok(())
}
