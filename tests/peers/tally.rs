//! Verdicts counted, differences explained or not.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// A class of requests on which both sides may differ.
pub struct Class<C> {
    /// Its name in the exceptions file.
    pub name: &'static str,
    /// Whether a case belongs to it.
    pub holds: fn(&C) -> bool,
}

#[derive(Deserialize)]
struct Exception {
    accepts: Side,
    spec: String,
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Side {
    Ours,
    Python,
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Python => "python",
        }
    }
}

#[derive(Default)]
struct Counts {
    accepted: usize,
    refused: usize,
    different: usize,
}

/// The verdicts of a run.
pub struct Tally<C: 'static> {
    name: &'static str,
    classes: &'static [Class<C>],
    exceptions: BTreeMap<String, Exception>,
    kinds: BTreeMap<&'static str, Counts>,
    explained: BTreeMap<&'static str, usize>,
    unexplained: Vec<String>,
}

impl<C: Debug> Tally<C> {
    /// An empty tally whose classes are those of that section of the exceptions file.
    pub fn new(name: &'static str, classes: &'static [Class<C>]) -> Self {
        let mut file: BTreeMap<String, BTreeMap<String, Exception>> =
            serde_json::from_str(include_str!("exceptions.json")).expect("the exceptions file");
        let exceptions = file.remove(name).expect("a section of the exceptions file");
        let mut names: Vec<&str> = classes.iter().map(|class| class.name).collect();
        names.sort_unstable();
        assert!(
            exceptions.keys().eq(names.iter()),
            "the exceptions file names exactly the classes: {names:?}"
        );
        let (kinds, explained, unexplained) = Default::default();
        Self { name, classes, exceptions, kinds, explained, unexplained }
    }

    /// Counts one case. A verdict is `accepts` or anything else.
    pub fn record(&mut self, kind: &'static str, case: &C, ours: &str, theirs: &str) {
        let counts = self.kinds.entry(kind).or_default();
        let accepts = match (ours == "accepts", theirs == "accepts") {
            (true, true) => {
                counts.accepted += 1;
                return;
            }
            (false, false) => {
                counts.refused += 1;
                return;
            }
            (true, false) => Side::Ours,
            (false, true) => Side::Python,
        };
        counts.different += 1;
        let fits = |class: &&Class<C>| self.exceptions[class.name].accepts == accepts && (class.holds)(case);
        match self.classes.iter().find(fits) {
            Some(class) => *self.explained.entry(class.name).or_default() += 1,
            None => self.unexplained.push(format!("ours {ours}, python {theirs}: {case:?}")),
        }
    }

    /// Prints the tables, and fails on a difference without a class and on a class without a difference.
    pub fn finish(self, seed: u64, elapsed: Duration) {
        let Self { name, .. } = self;
        println!("\n{name:<26}{:>8}{:>10}{:>9}{:>8}", "cases", "accepted", "refused", "differ");
        let mut total = Counts::default();
        for (kind, Counts { accepted, refused, different }) in &self.kinds {
            let cases = accepted + refused + different;
            println!("  {kind:<24}{cases:>8}{accepted:>10}{refused:>9}{different:>8}");
            total.accepted += accepted;
            total.refused += refused;
            total.different += different;
        }
        println!("\n{:<34}{:>6}  accepted by  spec", "class of differences", "cases");
        let mut stale = Vec::new();
        for (class, exception) in &self.exceptions {
            let count = self.explained.get(class.as_str()).copied().unwrap_or_default();
            println!("  {class:<32}{count:>6}  {:<11}  {}", exception.accepts.as_str(), exception.spec);
            if count == 0 {
                stale.push(class);
            }
        }
        println!(
            "\n{name}: {} cases, {} accepted and {} refused by both, {} differences in {} classes, {} without a class; {:.1} s; seed {seed}",
            total.accepted + total.refused + total.different,
            total.accepted,
            total.refused,
            total.different,
            self.explained.len(),
            self.unexplained.len(),
            elapsed.as_secs_f64(),
        );
        self.unexplained.iter().take(10).for_each(|difference| println!("{difference}"));
        assert!(
            self.unexplained.is_empty(),
            "{} differences without a class (seed {seed})",
            self.unexplained.len()
        );
        assert!(stale.is_empty(), "classes that did not occur (seed {seed}): {stale:?}");
        assert!(
            total.accepted * 4 > total.refused,
            "too few requests are genuine to prove agreement on them"
        );
    }
}
