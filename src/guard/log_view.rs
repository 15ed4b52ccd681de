//! What the proxy's access logs and traces may see of a request (DESIGN section 5).

use uuid::Uuid;

use crate::config::{Protection, RewriteHeaders, Rule};
use crate::redact::{REDACTED, origin_of, shown_request_id, shown_user_agent};
use crate::request::{Occurs, RequestHead};

/// What may be seen of a request, and what becomes of the headers that would show more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogView {
    /// The redacted target; `None` where the request has none (CONNECT).
    pub path: Option<String>,
    /// The user agent; `None` where there is none.
    pub user_agent: Option<String>,
    /// The origin of the referer; `None` where there is none, or no origin that may be seen.
    pub referer: Option<String>,
    /// What the headers become that the proxy's own formats print; `None` removes one.
    pub headers: Vec<(&'static str, Option<String>)>,
    /// The request id that replaces the client's, where that one may not be seen.
    pub request_id: Option<Uuid>,
    /// The request id that may be seen: the client's, the proxy's, or the new one.
    pub shown_request_id: Option<String>,
}

/// The header that Envoy's and Istio's default formats print in place of `:path`.
const ORIGINAL_PATH: &str = "x-envoy-original-path";

impl LogView {
    /// What may be seen of a request under its rule. `new_request_id` is asked for an id where the client's may not be seen; it
    /// has none where the header can no longer be changed.
    #[must_use]
    pub fn of(rule: &Rule, head: &RequestHead<'_>, new_request_id: impl FnOnce() -> Option<Uuid>) -> Self {
        let path = (!head.target.is_empty()).then(|| rule.redaction.target(head.target));
        let user_agent = shown_user_agent(head.user_agent);
        let referer = origin_of(head.referer);
        let mut headers = vec![(ORIGINAL_PATH, path.clone())];
        let mut request_id = None;
        let own_request_id = shown_request_id(head.request_id);
        if rewrites_headers(rule) {
            if head.user_agent.is_present() && user_agent.is_none() {
                headers.push(("user-agent", Some(REDACTED.to_owned())));
            }
            if head.referer.is_present() {
                headers.push(("referer", referer.clone()));
            }
            if head.request_id.is_present() && own_request_id.is_none() {
                request_id = new_request_id();
                headers.extend(request_id.map(|id| ("x-request-id", Some(id.to_string()))));
            }
        }
        let user_agent = match (user_agent, head.user_agent) {
            (Some(own), _) => Some(own.to_owned()),
            (None, Occurs::Absent) => None,
            (None, _) => Some(REDACTED.to_owned()),
        };
        let shown_request_id =
            own_request_id.map(str::to_owned).or_else(|| request_id.map(|id| id.to_string()));
        Self { path, user_agent, referer, headers, request_id, shown_request_id }
    }

    /// What may be seen of a request that could not be read: nothing.
    #[must_use]
    pub fn unreadable() -> Self {
        let path = Some(REDACTED.to_owned());
        Self { headers: vec![(ORIGINAL_PATH, path.clone())], path, ..Self::default() }
    }
}

fn rewrites_headers(rule: &Rule) -> bool {
    match rule.redaction.rewrite_headers() {
        RewriteHeaders::All => true,
        RewriteHeaders::Protected => !matches!(rule.protection, Protection::None),
        RewriteHeaders::None => false,
    }
}
