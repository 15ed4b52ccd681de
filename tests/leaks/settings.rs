//! What docs/redaction.md asks for, and what each part of it is good for: left out, it leaks as the documentation says
//! and nowhere else.

use std::collections::BTreeSet;

use crate::docs;
use crate::matrix::Matrix;
use crate::proxy::{Change, Filter};
use crate::run::Plan;
use crate::sinks::{
    DEFAULT_JSON, DEFAULT_TEXT, ENVOY_LOG, ISTIO_TEXT, JUDGED_ONLY, RESPONSE_HEADERS, SPANS, UPSTREAM_LOG,
};
use crate::support::{Result, binary, since};

const NOWHERE: &[&str] = &[];
/// Every sink that prints a default format.
const ALL_DEFAULTS: &[&str] = &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, JUDGED_ONLY, UPSTREAM_LOG];

/// Where each case then leaks.
type Leaks<'a> = &'a [(&'static str, &'a [&'a str])];

async fn left_out(change: Change, leaks: Leaks<'_>) -> Result<()> {
    let names: Vec<_> = leaks.iter().map(|(case, _)| *case).collect();
    let cases = crate::cases::named(&names);
    let plan = Plan { filter: Filter::Present, change, operators: Vec::new(), cases };
    let matrix = Matrix::of(&plan.run().await?)?;
    for (case, sinks) in leaks {
        let expected: BTreeSet<_> = sinks.iter().copied().collect();
        assert_eq!(matrix.sinks_of(case), expected, "{change:?}: {case}");
    }
    Ok(())
}

#[tokio::test]
async fn suppress_envoy_headers_closes_rewriting_routes() -> Result<()> {
    // On 1.36 the span's tag of ours reads the header, too.
    let spans: &[&str] = if binary::minor()? < since::HARDENED_FILE { &[SPANS] } else { NOWHERE };
    let sent = [ALL_DEFAULTS, spans].concat();
    let never_sent = [&[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, JUDGED_ONLY], spans].concat();
    let leaks: Leaks<'_> = &[
        ("signed GET", NOWHERE),
        ("prefix_rewrite", &sent),
        ("regex_rewrite", &sent),
        ("rewrite, no healthy upstream", &never_sent),
    ];
    left_out(Change::NoSuppression, leaks).await
}

#[tokio::test]
async fn span_tags_close_what_the_filter_does_not_see_and_grpc() -> Result<()> {
    let leaks: Leaks<'_> = &[
        ("signed GET", NOWHERE),
        ("tampered form", NOWHERE),
        ("prefix_rewrite", NOWHERE),
        ("gRPC", &[SPANS]),
        ("the VM is dead", &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, SPANS]),
        ("an earlier filter answers", &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, SPANS]),
    ];
    left_out(Change::NoSpanTags, leaks).await
}

#[tokio::test]
async fn headers_that_tracing_believes_have_to_be_removed() -> Result<()> {
    left_out(Change::NoHeaderRemoval, &[("signed GET", &[SPANS])]).await
}

#[tokio::test]
async fn the_default_of_rewrite_headers_leaves_unprotected_routes() -> Result<()> {
    let leaks: Leaks<'_> = &[
        ("signed GET", NOWHERE),
        ("tampered GET", NOWHERE),
        ("verify: deny", NOWHERE),
        ("no route of the filter", ALL_DEFAULTS),
        ("verify: none", ALL_DEFAULTS),
    ];
    left_out(Change::RewriteProtected, leaks).await
}

#[tokio::test]
async fn a_line_on_arrival_is_written_before_the_filter_runs() -> Result<()> {
    let leaks: Leaks<'_> = &[("signed GET", &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON])];
    left_out(Change::LogOnArrival, leaks).await
}

#[tokio::test]
async fn the_debug_log_shows_requests() -> Result<()> {
    left_out(Change::DebugLog, &[("signed GET", &[ENVOY_LOG])]).await
}

#[tokio::test]
async fn host_and_forwarded_addresses_are_shown() -> Result<()> {
    let shown = &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, JUDGED_ONLY, UPSTREAM_LOG, SPANS];
    left_out(Change::None, &[("host and forwarded addresses", shown)]).await
}

/// Each row of the documentation's table of format operators: raw or redacted.
#[tokio::test]
async fn format_operators_show_what_the_documentation_says() -> Result<()> {
    let rows = docs::table("### Format operators")?;
    let mut operators = Vec::new();
    for row in &rows {
        let shows_raw = row[1].starts_with("raw");
        assert!(shows_raw || row[1].starts_with("redacted"), "neither raw nor redacted: {row:?}");
        operators.extend(row[0].split(", ").map(|name| (name.trim_matches('`').to_owned(), shows_raw)));
    }
    assert!(operators.len() > 10, "{operators:?}");
    let cases = ["template variable", "redirect route", "host and forwarded addresses"];
    let plan = Plan {
        filter: Filter::Present,
        change: Change::None,
        operators: operators.iter().map(|(name, _)| name.clone()).collect(),
        cases: crate::cases::named(&cases),
    };
    let matrix = Matrix::of(&plan.run().await?)?;
    for (name, shows_raw) in &operators {
        assert_eq!(matrix.count(name) > 0, *shows_raw, "{name}");
    }
    assert!(matrix.count(RESPONSE_HEADERS) > 0, "the redirect's location");
    Ok(())
}
