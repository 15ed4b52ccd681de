//! Which marker was found where.

use std::collections::BTreeSet;

use crate::run::{FORGED, PROCESS, Run};
use crate::search::Finder;
use crate::support::Result;

/// What was found in one run.
pub struct Matrix {
    /// Sink, case, field.
    pub hits: BTreeSet<(String, String, &'static str)>,
    /// How many requests were sent: every case twice.
    pub paths: usize,
    /// How many markers there were.
    pub markers: usize,
}

impl Matrix {
    /// Searches everything that a run left behind.
    pub fn of(run: &Run) -> Result<Self> {
        let finder = Finder::new(&run.markers)?;
        let mut hits = BTreeSet::new();
        for (sink, output) in &run.outputs {
            for index in finder.find(output) {
                let marker = &run.markers[index];
                hits.insert((sink.clone(), marker.case.clone(), marker.field));
            }
        }
        let cases: BTreeSet<_> = run.markers.iter().map(|marker| &marker.case).collect();
        let paths = cases.iter().filter(|case| case.as_str() != PROCESS).count();
        Ok(Self { hits, paths, markers: run.markers.len() })
    }

    /// The cases of which a sink shows something; those with a forged header count as the case itself.
    pub fn cases_in(&self, sink: &str) -> BTreeSet<&str> {
        self.hits.iter().filter(|hit| hit.0 == sink).map(|hit| hit.1.trim_end_matches(FORGED)).collect()
    }

    /// The sinks that show something of a case.
    pub fn sinks_of(&self, case: &str) -> BTreeSet<&str> {
        let of_case = self.hits.iter().filter(|hit| hit.1.trim_end_matches(FORGED) == case);
        of_case.map(|hit| hit.0.as_str()).collect()
    }

    /// The number of hits in a sink.
    pub fn count(&self, sink: &str) -> usize {
        self.hits.iter().filter(|hit| hit.0 == sink).count()
    }
}
