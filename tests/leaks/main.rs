//! The leak proof: markers in every field that may carry personal data, every path that a request can take, every
//! output that there is. With the filter no marker may be found; without it they must be, or the search proves
//! nothing.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod docs;
mod exceptions;
mod fields;
mod marker;
mod matrix;
mod proxy;
mod run;
mod search;
mod settings;
mod sinks;
mod traps;

use std::collections::BTreeSet;

use exceptions::{EXCEPTIONS, excepted};
use matrix::Matrix;
use proxy::Filter;
use run::{FORGED, Plan, Run};
use support::{Result, binary};

#[tokio::test]
async fn nothing_leaks() -> Result<()> {
    let without = Plan::everything(Filter::Absent).run().await?;
    let with = Plan::everything(Filter::Present).run().await?;
    let (control, proof) = (Matrix::of(&without)?, Matrix::of(&with)?);
    report(&binary::version(binary::find()?)?, &control, &proof);
    the_control_leaks(&without, &control);
    nothing_but_exceptions(&proof);
    // Else a sink that was told nothing would look clean.
    let untraced: Vec<_> = without.traced.difference(&with.traced).collect();
    assert!(untraced.is_empty(), "without a span: {untraced:?}");
    Ok(())
}

/// Every sink shows something, every case shows in the default log, and every field shows somewhere.
fn the_control_leaks(run: &Run, control: &Matrix) {
    for sink in sinks::ALL {
        assert!(control.count(sink) > 0, "{sink} cannot leak, so it proves nothing");
    }
    let shown = control.cases_in(sinks::DEFAULT_TEXT);
    let mute: Vec<_> =
        cases::all().into_iter().filter(|case| case.unread == shown.contains(case.name)).collect();
    assert!(mute.is_empty(), "{:?}", mute.iter().map(|case| case.name).collect::<Vec<_>>());
    let found: BTreeSet<_> = control.hits.iter().map(|(_, _, field)| *field).collect();
    let unread: BTreeSet<_> = cases::all().iter().filter(|case| case.unread).map(|case| case.name).collect();
    let read = run.markers.iter().filter(|marker| !unread.contains(marker.case.trim_end_matches(FORGED)));
    let planted: BTreeSet<_> = read.map(|marker| marker.field).collect();
    assert_eq!(planted.difference(&found).collect::<Vec<_>>(), Vec::<&&str>::new(), "never found");
}

/// No hit but those that are excepted by name, and each exception occurs.
fn nothing_but_exceptions(proof: &Matrix) {
    let leaks: Vec<_> = proof.hits.iter().filter(|hit| !is_excepted(hit)).collect();
    assert!(leaks.is_empty(), "{} leaks: {leaks:#?}", leaks.len());
    for exception in EXCEPTIONS {
        for sink in exception.sinks {
            let shown = proof.cases_in(sink);
            for case in exception.cases {
                assert!(shown.contains(case), "{sink} no longer shows {case}");
            }
        }
    }
}

fn is_excepted((sink, case, _): &(String, String, &str)) -> bool {
    excepted(sink, case.trim_end_matches(FORGED))
}

fn report(version: &str, control: &Matrix, proof: &Matrix) {
    let leaks = proof.hits.iter().filter(|hit| !is_excepted(hit)).count();
    println!(
        "Envoy {version}: {} paths x {} sinks x {} markers: {} hits without the filter; with it {leaks}, and {} in \
         {} named exceptions",
        proof.paths,
        sinks::ALL.len(),
        proof.markers,
        control.hits.len(),
        proof.hits.len() - leaks,
        EXCEPTIONS.iter().map(|exception| exception.cases.len() * exception.sinks.len()).sum::<usize>(),
    );
    println!("  {:<40} {:>9} {:>7}", "sink", "without", "with");
    for sink in sinks::ALL {
        println!("  {sink:<40} {:>9} {:>7}", control.count(sink), proof.count(sink));
    }
}
