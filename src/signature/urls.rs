//! The beginning of the signed URL, from the configuration or, where it says so, from the request.

use crate::config::{PublicUrl, TwilioRule, UrlBases};
use crate::reject::Reject;
use crate::request::{RequestHead, comparable_host};

/// Checks the host that a request names, and reads the URL bases where the request gives them.
///
/// `None` means that the bases are those of the configuration.
pub(super) fn check_host(rule: &TwilioRule, head: &RequestHead<'_>) -> Result<Option<UrlBases>, Reject> {
    let (scheme, authority) = match &rule.public_url {
        PublicUrl::Fixed(_) => (None, head.authority),
        PublicUrl::FromRequest => (Some(head.scheme), head.authority),
        PublicUrl::FromForwarded(_) => {
            let (scheme, authority) = forwarded(rule, head).ok_or(Reject::UntrustedPeer)?;
            (Some(scheme), authority)
        }
    };
    let host = comparable_host(authority).ok_or(Reject::HostNotAccepted)?;
    if !rule.hosts.accepts(&host) {
        return Err(Reject::HostNotAccepted);
    }
    let Some(scheme) = scheme else { return Ok(None) };
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Reject::HostNotAccepted);
    UrlBases::new(text(scheme)?, text(authority)?, "").map(Some).ok_or(Reject::HostNotAccepted)
}

/// Scheme and authority as a trusted peer forwards them. Each header must be single and plain: a list means that
/// a hop before the trusted one had a say.
fn forwarded<'a>(rule: &TwilioRule, head: &RequestHead<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if !rule.public_url.trusts(head.peer?) {
        return None;
    }
    let scheme = head.forwarded_proto.once().filter(|scheme| matches!(*scheme, b"http" | b"https"))?;
    let authority =
        if head.forwarded_host.is_present() { head.forwarded_host.once()? } else { head.authority };
    (!authority.contains(&b',')).then_some((scheme, authority))
}
