//! Turns `data/twilio-params.csv` into the static tables of `src/redact/dictionary.rs`, and `data/event-ids.csv` into that
//! of `src/event.rs`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const SOURCE: &str = "data/twilio-params.csv";
const EVENTS: &str = "data/event-ids.csv";

/// Names that stand for themselves, stems that a number follows, stems that anything follows.
#[derive(Default)]
struct Tables {
    exact: BTreeMap<String, String>,
    numbered: BTreeMap<String, String>,
    prefixes: BTreeMap<String, String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={EVENTS}");
    write_dictionary()?;
    write_events()
}

fn write_dictionary() -> Result<(), Box<dyn Error>> {
    let mut tables = Tables::default();
    for (row, record) in csv::Reader::from_path(SOURCE)?.records().enumerate() {
        let record = record?;
        let (Some(name), Some(may_carry), Some(action)) = (record.get(0), record.get(2), record.get(3))
        else {
            return Err(format!("{SOURCE}: row {row} is too short").into());
        };
        let (table, stem) = match (name.strip_suffix("{N}"), name.strip_suffix('*')) {
            (Some(stem), _) => (&mut tables.numbered, stem),
            (None, Some(stem)) => (&mut tables.prefixes, stem),
            (None, None) => (&mut tables.exact, name),
        };
        let key = fold(stem);
        let action =
            action_of(action, may_carry).ok_or_else(|| format!("{SOURCE}: {name}: unknown action"))?;
        if key.is_empty() || table.insert(key, action.to_owned()).is_some() {
            return Err(format!("{SOURCE}: {name}: empty, or twice when folded").into());
        }
    }
    let out = Path::new(&env::var("OUT_DIR")?).join("dictionary.rs");
    let mut text = String::new();
    write_table(&mut text, "EXACT", tables.exact.iter())?;
    write_table(&mut text, "NUMBERED", tables.numbered.iter())?;
    // The longest stem is the most telling one.
    let mut prefixes: Vec<_> = tables.prefixes.iter().collect();
    prefixes.sort_by_key(|(stem, _)| std::cmp::Reverse(stem.len()));
    write_table(&mut text, "PREFIXES", prefixes.into_iter())?;
    fs::write(out, text)?;
    Ok(())
}

/// The form in which names are looked up (spec phi-redaction, section 4.3).
fn fold(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The action, with the class of its pseudonym (spec phi-redaction, section 2).
fn action_of(action: &str, may_carry: &str) -> Option<&'static str> {
    let is_address = may_carry.split("; ").any(|class| matches!(class, "phone" | "fax" | "email"));
    match action {
        "keep" => Some("Action::Keep"),
        "mask" => Some("Action::Mask"),
        "drop" => Some("Action::Drop"),
        "hash" if is_address => Some("Action::Hash(Class::Address)"),
        "hash" => Some("Action::Hash(Class::Id)"),
        _ => None,
    }
}

fn write_table<'a>(
    text: &mut String,
    name: &str,
    rows: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> std::fmt::Result {
    writeln!(text, "static {name}: [(&str, Action); {}] = [", rows.len())?;
    for (key, action) in rows {
        writeln!(text, "    ({key:?}, {action}),")?;
    }
    writeln!(text, "];")
}

/// One row for each event: what stands after each of its names.
fn write_events() -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for record in csv::Reader::from_path(EVENTS)?.records() {
        let record = record?;
        let params = record.get(1).unwrap_or_default().split(' ').map(|param| {
            let (name, shape) = param.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some(format!("({name:?}, {})", shape_of(name, shape)?))
        });
        let params: Option<Vec<String>> = params.collect();
        let params = params.ok_or_else(|| format!("{EVENTS}: {:?}: not NAME=SHAPE", record.get(0)))?;
        rows.push(format!("    &[{}],", params.join(", ")));
    }
    let text = format!("static EVENTS: [Event; {}] = [\n{}\n];\n", rows.len(), rows.join("\n"));
    fs::write(Path::new(&env::var("OUT_DIR")?).join("event_ids.rs"), text)?;
    Ok(())
}

/// A word for a shape, or the prefixes of a SID.
fn shape_of(name: &str, shape: &str) -> Option<String> {
    Some(match shape {
        "any" if name.ends_with("Sid") => "Shape::Sid(&[])".to_owned(),
        "any" => "Shape::Any".to_owned(),
        "digits" => "Shape::Digits".to_owned(),
        "word" => "Shape::Word".to_owned(),
        "hex" => "Shape::Hex".to_owned(),
        prefixes if prefixes.split('|').all(|prefix| prefix.len() == 2) => {
            format!("Shape::Sid(&{:?})", prefixes.split('|').collect::<Vec<_>>())
        }
        _ => return None,
    })
}
