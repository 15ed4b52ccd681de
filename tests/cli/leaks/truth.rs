//! What the check says of a format, against what a real Envoy with the real filter prints by it: every error prints, and what
//! has no finding never does.

use serde_json::{Value, json};

use super::super::Run;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::raw::RawConnection;
use crate::support::upstream::Upstream;
use crate::support::{Result, binary, module};

/// Stands for personal data, wherever a client can put any.
const MARKER: &str = "MARKERjane";

const FORMATS: &[&str] = &[
    "%REQ(:PATH)%",
    "%REQ(:path):40%",
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "%REQ(X-ENVOY-ORIGINAL-PATH)%",
    "%REQ(:PATH?X-ENVOY-ORIGINAL-PATH)%",
    "%REQUEST_HEADER(:PATH)%",
    "%STREAM_INFO_REQ(:PATH)%",
    "%PATH%",
    "%PATH(WQ)%",
    "%PATH(WQ:PATH)%",
    "%PATH(WQ:ORIG)%",
    "%PATH(NQ)%",
    "%PATH(NQ:PATH)%",
    "%PATH(NQ:ORIG_OR_PATH)%",
    "%QUERY_PARAM(From)%",
    "%QUERY_PARAMS(ORIG)%",
    "%REQ(REFERER)%",
    "%REQ(USER-AGENT)%",
    "%REQ(X-REQUEST-ID)%",
    "%STREAM_ID%",
    "%REQ(COOKIE)%",
    "%REQ(AUTHORIZATION)%",
    "%REQ(X-TWILIO-SIGNATURE)%",
    "%REQ(X-ORIGINAL-URL)%",
    "%REQ(X-PATIENT)%",
    "%RESP(LOCATION)%",
    "%RESPONSE_HEADER(SET-COOKIE)%",
    "%RESP(X-PATIENT)%",
    "%DYNAMIC_METADATA(notes:who)%",
    "%METADATA(DYNAMIC:notes:who)%",
    "%CEL(request.path)%",
    "%CEL(request.headers['cookie'])%",
    "%TYPED_CEL(request.query)%",
    r#"%COALESCE({"operators": ["ROUTE_NAME", {"command": "REQ", "param": ":path"}]})%"#,
    "%%REQ(:PATH)%%",
    "%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
    "%FILTER_STATE(wasm.twilio_guard.user_agent:PLAIN)%",
    "%FILTER_STATE(wasm.twilio_guard.referer:PLAIN)%",
    "%FILTER_STATE(wasm.twilio_guard.request_id:PLAIN)%",
    "%FILTER_STATE(wasm.twilio_guard.verdict:PLAIN)%",
    "%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(CONTENT-TYPE)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%",
    "%RESPONSE_FLAGS% %LOCAL_REPLY_BODY% %ROUTE_NAME% %UPSTREAM_HOST% %UNIQUE_ID% %TRACE_ID% %GRPC_STATUS% %DURATION%",
    "%CEL(response.code)% %CEL(request.method)% %START_TIME(%s.%3f)% %DOWNSTREAM_REMOTE_ADDRESS% %CUSTOM_FLAGS%",
];

/// How formats begin that older versions do not know, and the first minor version that was seen to (1.38 was not run).
const NEWER: [(&str, u32); 4] =
    [("%REQUEST_HEADER(", 37), ("%RESPONSE_HEADER(", 37), ("%COALESCE(", 37), ("%QUERY_PARAMS(", 39)];

/// Whether an Envoy of this minor version knows a format.
fn is_known(format: &str, minor: u32) -> bool {
    NEWER.iter().all(|(newer, first)| !format.starts_with(newer) || minor >= *first)
}

/// A proxy in which all formats print into one line.
struct Proxy {
    config: EnvoyConfig,
    formats: Vec<&'static str>,
    _upstream: Upstream,
}

impl Proxy {
    async fn new(own: Value, manager: Value) -> Result<Self> {
        let minor = binary::minor()?;
        let formats = FORMATS.iter().copied().filter(|format| is_known(format, minor)).collect();
        Self::printing(formats, own, manager).await
    }

    async fn printing(formats: Vec<&'static str>, own: Value, manager: Value) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let mut config = json!({
            "public_url": "https://hooks.example.org",
            "accounts": [{"auth_tokens": [{"value": "token"}]}],
            "allow_inline_secrets": true,
            "mode": "observe",
            "default": "twilio",
        });
        config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let filter = WasmFilter::new(module::path()?, &config);
        let printed = formats.clone();
        let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(|listener| {
            listener.edit(move |edited| {
                edited.as_object_mut().unwrap().extend(manager.as_object().unwrap().clone());
                let line: serde_json::Map<String, Value> =
                    printed.iter().enumerate().map(|(index, format)| (name(index), json!(format))).collect();
                let format = &mut edited["access_log"][0]["typed_config"]["log_format"];
                *format = json!({"json_format": line});
                // The harness knows its lines by this.
                format["json_format"]["details="] = json!("x");
                let header = |key: &str| json!({"header": {"key": key, "value": format!("/{MARKER}")}});
                edited["route_config"]["response_headers_to_add"] =
                    json!(["location", "set-cookie", "x-patient"].map(header));
                let metadata = json!({"name": "notes", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
                    "metadata": [{"metadata_namespace": "notes", "value": {"who": MARKER}}],
                }});
                edited["http_filters"].as_array_mut().unwrap().insert(1, metadata);
            })
        });
        Ok(Self { config, formats, _upstream: upstream })
    }

    /// The severest finding of each format.
    fn judged(&self) -> Vec<Option<String>> {
        let bootstrap = self.config.bootstrap(std::path::Path::new("/tmp")).to_string();
        let ran = Run::new(&["check", "--leaks", "--json", "-"]).input(bootstrap.as_bytes()).go();
        let findings = super::findings(&ran);
        let of = |index: usize| {
            let end = format!(".json_format.{}", name(index));
            let own = findings.iter().filter(|finding| finding["path"].as_str().unwrap().ends_with(&end));
            // `error` comes before `warning`.
            own.map(|finding| finding["severity"].as_str().unwrap().to_owned()).min()
        };
        (0..self.formats.len()).map(of).collect()
    }

    /// Whether each format prints the marker for a request, of which there are so many lines.
    async fn prints(&self, host: &str, lines: usize) -> Result<Vec<bool>> {
        let envoy = Envoy::start(&self.config).await?;
        let request = format!(
            "GET /patients/{MARKER}?From={MARKER} HTTP/1.1\r\n{host}user-agent: {MARKER}\r\n\
             referer: https://portal.example.org/{MARKER}\r\nx-request-id: {MARKER}\r\ncookie: {MARKER}\r\n\
             authorization: Bearer {MARKER}\r\nx-twilio-signature: {MARKER}\r\nx-original-url: /{MARKER}\r\n\
             x-patient: {MARKER}\r\nx-envoy-original-path: /{MARKER}\r\nconnection: close\r\n\r\n"
        );
        let mut connection = RawConnection::connect(envoy.address()).await?;
        connection.write(request).await?;
        connection.until_closed().await?;
        let log = envoy.wait_for_access_log(lines).await?;
        let lines: Vec<Value> =
            log.iter().map(|line| serde_json::from_str(&line.0)).collect::<std::result::Result<_, _>>()?;
        let printed = |index: usize| lines.iter().any(|line| line[name(index)].to_string().contains(MARKER));
        Ok((0..self.formats.len()).map(printed).collect())
    }
}

fn name(index: usize) -> String {
    format!("f{index}")
}

const HOST: &str = "host: hooks.example.org\r\n";

fn rewriting(suppress: bool) -> Value {
    let router = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "suppress_envoy_headers": suppress,
    });
    json!({"router": router, "route": {"cluster": crate::support::config::UPSTREAM, "prefix_rewrite": "/new/"}})
}

/// A rewriting route is a change inside of what the harness makes.
async fn rewriting_proxy(suppress: bool) -> Result<Proxy> {
    let mut proxy = Proxy::new(json!({}), json!({})).await?;
    let change = rewriting(suppress);
    proxy.config = proxy.config.ingress(|listener| {
        listener.edit(move |edited| {
            edited["route_config"]["virtual_hosts"][0]["routes"][0]["route"] = change["route"].clone();
            let filters = edited["http_filters"].as_array_mut().unwrap();
            filters.last_mut().unwrap()["typed_config"] = change["router"].clone();
        })
    });
    Ok(proxy)
}

#[tokio::test]
async fn the_check_says_what_envoy_prints() -> Result<()> {
    let early = json!({"access_log_options": {"flush_access_log_on_new_request": true}});
    let edge = json!({"use_remote_address": true});
    for (what, proxy) in [
        ("every route verifies", Proxy::new(json!({}), json!({})).await?),
        ("routes that verify nothing", Proxy::new(json!({"default": "none"}), json!({})).await?),
        (
            "headers of every route",
            Proxy::new(json!({"default": "none", "redaction": {"rewrite_headers": "all"}}), json!({}))
                .await?,
        ),
        (
            "headers of no route",
            Proxy::new(json!({"redaction": {"rewrite_headers": "none"}}), json!({})).await?,
        ),
        ("Envoy makes the ids", Proxy::new(json!({"redaction": {"rewrite_headers": "none"}}), edge).await?),
        ("before the filter", Proxy::new(json!({}), early).await?),
        ("a rewriting route", rewriting_proxy(false).await?),
        ("a rewriting route, suppressed", rewriting_proxy(true).await?),
    ] {
        let judged = proxy.judged();
        let printed = proxy.prints(HOST, if what == "before the filter" { 2 } else { 1 }).await?;
        for ((format, judged), printed) in proxy.formats.iter().zip(&judged).zip(printed) {
            match judged.as_deref() {
                Some("error") => assert!(printed, "{what}: {format} prints nothing raw"),
                None => assert!(!printed, "{what}: {format} prints raw data"),
                // Warnings are of other requests than this one, but on routes that verify nothing.
                _ => assert!(!printed || what == "routes that verify nothing", "{what}: {format}"),
            }
        }
    }
    Ok(())
}

/// So that its absence above hides nothing.
#[tokio::test]
async fn an_envoy_that_does_not_know_a_format_does_not_start_with_it() -> Result<()> {
    let minor = binary::minor()?;
    for format in FORMATS.iter().copied().filter(|format| !is_known(format, minor)) {
        let proxy = Proxy::printing(vec![format], json!({}), json!({})).await?;
        let error = Envoy::start(&proxy.config).await.err().ok_or(format!("{format} is known"))?;
        assert!(error.log.contains("Not supported field in StreamInfo"), "{format}: {error}");
    }
    Ok(())
}

/// Without a Host Envoy answers before any filter runs. Formats that have a warning print, and no other.
#[tokio::test]
async fn warnings_are_of_requests_that_the_filter_never_sees() -> Result<()> {
    let proxy = Proxy::new(json!({}), json!({})).await?;
    let judged = proxy.judged();
    let printed = proxy.prints("", 1).await?;
    assert!(judged.iter().flatten().any(|severity| severity == "warning"));
    for ((format, judged), printed) in proxy.formats.iter().zip(&judged).zip(printed) {
        match judged.as_deref() {
            None => assert!(!printed, "{format} prints raw data"),
            Some("warning") => assert!(printed, "{format} prints nothing raw"),
            // Responses and notes of filters that did not run.
            _ => {}
        }
    }
    Ok(())
}
