//! Unique markers, shaped like what the policy has to hide.
//!
//! A marker belongs to one field of one case, so a hit names both. Nothing is random: each run plants the same.

use sha2::{Digest, Sha256};

/// One planted marker.
#[derive(Clone, Debug)]
pub struct Marker {
    /// The field that it was planted in.
    pub field: &'static str,
    /// What is searched for: the part of the value that occurs nowhere else.
    pub needle: String,
    /// The case that planted it.
    pub case: String,
}

/// Plants the markers of one case.
#[derive(Debug)]
pub struct Planter {
    case: String,
    markers: Vec<Marker>,
}

/// The length of a word. No English word, header name or hash is twelve consonants in a row.
const WORD: usize = 12;

const CONSONANTS: &[u8] = b"bcdfghjklmnpqrstvwxz";

impl Planter {
    /// For a case; its markers depend on the case's name and the field's alone.
    pub fn new(case: &str) -> Self {
        Self { case: case.to_owned(), markers: Vec::new() }
    }

    /// A word that nothing but its field tells from a harmless one: a surname, a street, a medication.
    pub fn word(&mut self, field: &'static str) -> String {
        let seed = self.seed(field);
        let word = seed.iter().take(WORD).map(|byte| char::from(CONSONANTS[usize::from(*byte) % 20]));
        self.plant(field, word.collect())
    }

    /// A telephone number without its plus sign: thirteen digits.
    pub fn phone(&mut self, field: &'static str) -> String {
        let number = format!("4915{}", self.digits(field, 9));
        self.plant(field, number)
    }

    /// A medical record number: twelve digits, so that no time stamp has them by chance.
    pub fn record_number(&mut self, field: &'static str) -> String {
        let number = self.digits(field, 12);
        self.plant(field, number)
    }

    /// A secret that is part of the request, such as its signature.
    pub fn secret(&mut self, field: &'static str, secret: &str) {
        self.plant(field, secret.to_owned());
    }

    /// What was planted.
    pub fn finish(self) -> Vec<Marker> {
        self.markers
    }

    fn plant(&mut self, field: &'static str, needle: String) -> String {
        self.markers.push(Marker { field, needle: needle.clone(), case: self.case.clone() });
        needle
    }

    fn digits(&self, field: &str, count: usize) -> String {
        self.seed(field).iter().take(count).map(|byte| char::from(b'0' + byte % 10)).collect()
    }

    fn seed(&self, field: &str) -> Vec<u8> {
        Sha256::digest(format!("{}\n{field}", self.case)).to_vec()
    }
}

/// Every byte as a percent escape, so often.
pub fn escaped(text: &str, rounds: usize) -> String {
    let once: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    (1..rounds).fold(once, |text, _| text.replace('%', "%25"))
}
