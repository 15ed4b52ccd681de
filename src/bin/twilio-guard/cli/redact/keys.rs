//! What the fields of access logs hold, by their names.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not known: shown only where its shape says that it names nobody.
    Any,
    /// A word of the proxy that stands by itself in a line.
    Bare,
    /// A log line, as container runtimes wrap it.
    Line,
    /// A request target, a URL or a request line.
    Target,
    /// A query alone.
    Query,
    Referer,
    UserAgent,
    RequestId,
    /// An id of a trace or span.
    Trace,
    Time,
    /// A status code.
    Status,
    /// A count or a duration.
    Number,
    /// A word of the proxy: a flag, the name of a route.
    Word,
    Host,
    /// An address of the proxy or of what is behind it.
    Own,
    /// An address of a client.
    Peer,
    /// A credential.
    Secret,
}

/// Field names of Envoy, Istio, Envoy Gateway, nginx and OpenTelemetry: lower-case letters and digits alone.
const NAMES: &[(Kind, &str)] = &[
    (Kind::Line, "log message msg textpayload"),
    (
        Kind::Target,
        "path uri url request requestline requestpath requesturi requesturl httprequest target httptarget httppath
        httpurl httproute urlpath urlfull originalpath originalurl originaluri rewriteurl location xenvoyoriginpath
        xenvoyoriginalpath xoriginalurl xoriginaluri xrewriteurl",
    ),
    (Kind::Query, "query querystring queryparams args urlquery"),
    (Kind::Referer, "referer referrer httpreferer httpreferrer"),
    (Kind::UserAgent, "useragent httpuseragent useragentoriginal agent ua"),
    (Kind::RequestId, "requestid xrequestid reqid id streamid uniqueid correlationid"),
    (Kind::Trace, "traceid spanid parentid traceparent xb3traceid xb3spanid xb3parentspanid b3"),
    (Kind::Time, "time timestamp ts date datetime starttime endtime emittime timelocal timeiso8601 start"),
    (Kind::Status, "status statuscode responsecode response code httpstatus httpstatuscode httpresponsestatuscode grpcstatusnumber"),
    (
        Kind::Number,
        "bytes bytesin bytesout bodybytessent duration durationms requesttime responsetime upstreamresponsetime
        xenvoyupstreamservicetime upstreamservicetime latency latencyms requestsize responsesize size connectionid
        connection pid port attempts upstreamrequestattemptcount xenvoyattemptcount",
    ),
    (
        Kind::Word,
        "method httpmethod requestmethod httprequestmethod verb protocol proto httpversion serverprotocol scheme
        flags responseflags details responsecodedetails connectionterminationdetails upstreamtransportfailurereason
        route routename cluster upstreamcluster upstreamclusterraw virtualcluster verdict reason account key replay
        level severity stream logger namespace pod podname container node nodename accesslogtype grpcstatus",
    ),
    (Kind::Host, "authority host httphost vhost servername sni requestedservername serveraddress"),
    (
        Kind::Own,
        "upstream upstreamhost upstreamaddr upstreamaddress upstreamlocaladdress upstreamremoteaddress
        downstreamlocaladdress downstreamdirectlocaladdress localaddress localaddr serveraddr",
    ),
    (
        Kind::Peer,
        "xforwardedfor forwarded xrealip realip remote remoteaddr remoteaddress remoteip client clientip clientaddr
        clientaddress peer peeraddress downstreamremoteaddress downstreamdirectremoteaddress downstreamip",
    ),
    (
        Kind::Secret,
        "authorization proxyauthorization cookie setcookie xtwiliosignature xtwilioemaileventwebhooksignature
        xtwilioemaileventwebhooktimestamp password token secret apikey",
    ),
];

static KINDS: LazyLock<HashMap<&str, Kind>> = LazyLock::new(|| {
    NAMES.iter().flat_map(|(kind, names)| names.split_whitespace().map(|name| (name, *kind))).collect()
});

/// What the field with this name holds.
pub(super) fn kind(name: &str) -> Kind {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match KINDS.get(name.as_str()) {
        Some(kind) => *kind,
        None if ["bytes", "bytesreceived", "bytessent", "duration", "latency"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            Kind::Number
        }
        None => Kind::Any,
    }
}

/// Whether the name of a field may be written: names are chosen by operators, but some loggers write parameters as fields.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'@' | b'/');
    (1..=64).contains(&name.len())
        && name.bytes().all(is_part)
        && name.bytes().filter(u8::is_ascii_digit).count() <= 4
}

/// Whether the name in front of an equals sign is that of a field of the line, not of a parameter of a URL.
pub(super) fn is_field_name(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(is_part) && is_name(name)
}
