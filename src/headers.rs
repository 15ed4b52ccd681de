//! Request headers (and trailers) that must not reach the upstream.

/// Headers by which frameworks let a request claim another URL or method than the one that was signed.
const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
    "x-waws-unencoded-url",
];

/// Headers by which a request tells the proxy's router how often, and for how long at a time, it is to be sent to the upstream. Nothing
/// signs them, and one signed request would be delivered as often as they say: `x-envoy-retry-on: retriable-status-codes` with
/// `x-envoy-retriable-status-codes: 200`.
const ROUTER_CONTROLS: &[&str] = &[
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
];

/// Whether a header tells the proxy's router how to send the request. The proxy knows it under this one spelling.
#[must_use]
pub fn is_router_control(name: &[u8]) -> bool {
    name.starts_with(b"x-envoy-") && ROUTER_CONTROLS.iter().any(|known| known.as_bytes() == name)
}

/// Whether a header must be removed: an unsigned override of URL or method, or any spelling of the verified header.
///
/// Servers that hand headers to applications as variables map every character that is no letter or digit to one
/// (RFC 3875, section 4.1.18), so `x_twilio_guard` would arrive as `x-twilio-guard` does.
#[must_use]
pub fn is_unwanted(name: &[u8], verified_header: &str) -> bool {
    let is_x = matches!(name, [b'x' | b'X', second, ..] if !second.is_ascii_alphanumeric());
    is_x && (reads_as(name, verified_header) || is_override(name))
}

/// Whether a header lets a request claim another URL or method than the one that was signed.
#[must_use]
pub fn is_override(name: &[u8]) -> bool {
    OVERRIDES.iter().any(|known| reads_as(name, known))
}

fn reads_as(name: &[u8], known: &str) -> bool {
    let plain = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' };
    name.len() == known.len() && name.iter().zip(known.bytes()).all(|(&own, known)| plain(own) == known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_verified_header_is_unwanted() {
        for name in ["x-twilio-guard", "x_twilio_guard", "X-Twilio_Guard", "x.twilio.guard", "x-twilio_guard"]
        {
            assert!(is_unwanted(name.as_bytes(), "x-twilio-guard"), "{name}");
        }
    }

    #[test]
    fn overrides_are_unwanted_and_twilio_headers_are_not() {
        for name in ["x-original-url", "x_original_url", "X-HTTP-Method-Override"] {
            assert!(is_unwanted(name.as_bytes(), "x-twilio-guard"), "{name}");
        }
        for name in ["x-twilio-signature", "x-request-id", "x-forwarded-for", "host", ":path", "x", ""] {
            assert!(!is_unwanted(name.as_bytes(), "x-twilio-guard"), "{name}");
        }
    }
}
