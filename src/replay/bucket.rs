//! A bucket of the local store: a header and a few entries of fixed size, in the bytes of one shared-data value.

use super::{Entry, Fingerprint};

/// Raised when the layout changes; it is part of the key, so a new layout begins with an empty store.
pub(super) const LAYOUT: u8 = 1;

/// Of one entry, in bytes.
pub(super) const ENTRY_LENGTH: usize = 36;

/// Of the header, in bytes: two letters, the layout, a zero, and `overflow_until`.
pub(super) const HEADER_LENGTH: usize = 8;

/// A decoded bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Until when, in seconds since 1970, an entry that belongs here may be in its other bucket.
    pub(super) overflow_until: u32,
    pub(super) entries: Vec<Entry>,
}

impl Bucket {
    /// Reads a value; `None` if this layout never wrote it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LENGTH>()?;
        let [b't', b'g', LAYOUT, 0, overflow_until @ ..] = *header else { return None };
        let (entries, rest) = rest.as_chunks::<ENTRY_LENGTH>();
        if !rest.is_empty() {
            return None;
        }
        let entries: Option<Vec<Entry>> = entries.iter().map(decode_entry).collect();
        Some(Self { overflow_until: u32::from_le_bytes(overflow_until), entries: entries? })
    }

    /// The bytes of the value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![b't', b'g', LAYOUT, 0];
        bytes.extend(self.overflow_until.to_le_bytes());
        self.entries.iter().for_each(|entry| encode_entry(entry, &mut bytes));
        bytes
    }

    /// The live entry of a capture.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, now: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.fingerprint == *fingerprint && entry.is_live(now))
    }

    /// Drops what is over.
    pub(super) fn expire(&mut self, now: u32) {
        self.entries.retain(|entry| entry.is_live(now));
    }

    /// Drops the entry that was begun first, one that is under way last; returns when its window would have ended. By its beginning
    /// and not by its end: else traffic with a window of days would push out what has one of minutes.
    pub(super) fn evict(&mut self) -> Option<u32> {
        let oldest = |(_, entry): &(usize, &Entry)| (entry.in_flight > 0, entry.begun);
        let (index, _) = self.entries.iter().enumerate().min_by_key(oldest)?;
        Some(self.entries.swap_remove(index).window_end)
    }
}

fn decode_entry(bytes: &[u8; ENTRY_LENGTH]) -> Option<Entry> {
    let (fingerprint, rest) = bytes.split_first_chunk()?;
    let ([window_end, lease_end, epoch, begun, [in_flight, attempts, deliveries, _]], []) = rest.as_chunks()
    else {
        return None;
    };
    Some(Entry {
        fingerprint: Fingerprint::from_bytes(*fingerprint),
        begun: u32::from_le_bytes(*begun),
        window_end: u32::from_le_bytes(*window_end),
        lease_end: u32::from_le_bytes(*lease_end),
        epoch: u32::from_le_bytes(*epoch),
        in_flight: *in_flight,
        attempts: *attempts,
        deliveries: *deliveries,
    })
}

fn encode_entry(entry: &Entry, bytes: &mut Vec<u8>) {
    bytes.extend(entry.fingerprint.as_bytes());
    for number in [entry.window_end, entry.lease_end, entry.epoch, entry.begun] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([entry.in_flight, entry.attempts, entry.deliveries, 0]);
}
