//! The store of one process: buckets in the proxy's shared data, which all its workers see.
//!
//! Bounded by construction: so many keys, so many entries in each, and no key for a request, because the host never frees a
//! key (envoy-facts 3). An entry lives in its home bucket; where that is half full, in the emptier one of two, and the home bucket
//! then says until when somebody must look in the other. The host has compare-and-swap for single keys only, so every pass is
//! made final by a swap of its home bucket: two workers that race with copies of one capture cannot both win it.

use super::bucket::{Bucket, ENTRY_LENGTH, HEADER_LENGTH, LAYOUT};
use super::{Claim, Entry, Fingerprint, Outcome, Repetition, Reservation, Ticket};

/// Entries in a bucket, which makes it about a kilobyte.
const SLOTS: usize = 32;

/// Of a bucket whose slots are all taken.
const MOST_BUCKET_BYTES: usize = HEADER_LENGTH + SLOTS * ENTRY_LENGTH;

/// How many entries a bucket is planned for; the rest is room for chance.
const PLANNED: usize = 27;

/// From so many entries on, a new one goes where there are fewer. Below, the other bucket need not be read.
const HALF: usize = SLOTS / 2;

/// How often a swap that another worker was faster with is tried again.
const TRIES: usize = 64;

/// The host's shared data.
pub trait SharedData {
    /// Reads a key.
    ///
    /// # Errors
    /// The host did not answer as it should.
    fn get(&self, key: &str) -> Result<Slot, StoreError>;

    /// Writes a key if it still is as it was read; `false` if it is not.
    ///
    /// # Errors
    /// The host did not answer as it should.
    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError>;
}

/// A key as it was read.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// The value; `None` where there is no such key.
    pub value: Option<Vec<u8>>,
    /// The host's number of this version of it.
    pub version: u32,
}

/// Why a store cannot say whether a request was there before. Such a request does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// There is no room, and nothing may be forgotten.
    Full,
    /// Other workers were faster, again and again.
    Contended,
    /// The host failed, or the value is none of ours.
    Unusable,
}

/// The size of a store. Part of its keys: another size begins empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    buckets: u32,
}

impl Geometry {
    /// For so many live entries.
    #[must_use]
    pub fn for_capacity(capacity: usize) -> Self {
        Self { buckets: u32::try_from(capacity.div_ceil(PLANNED)).unwrap_or(u32::MAX).max(2) }
    }

    /// The most bytes that the values can have.
    #[must_use]
    pub fn most_bytes(self) -> u64 {
        u64::from(self.buckets).saturating_mul(u64::try_from(MOST_BUCKET_BYTES).unwrap_or(u64::MAX))
    }

    /// The home bucket of a capture, and its other one.
    fn buckets_of(self, fingerprint: &Fingerprint) -> (u32, u32) {
        let [a, b, c, d, e, f, g, h, ..] = *fingerprint.as_bytes();
        let home = u32::from_le_bytes([a, b, c, d]) % self.buckets;
        let distance = 1 + u32::from_le_bytes([e, f, g, h]) % self.buckets.saturating_sub(1).max(1);
        (home, (home.wrapping_add(distance)) % self.buckets)
    }
}

/// What a reservation did to the store, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The answer.
    pub reservation: Reservation,
    /// Whether an entry was forgotten to make room, and how many seconds before its time.
    pub evicted: Option<u32>,
}

impl From<Reservation> for Reserved {
    fn from(reservation: Reservation) -> Self {
        Self { reservation, evicted: None }
    }
}

/// The store of one namespace.
#[derive(Debug, Clone)]
pub struct LocalStore {
    geometry: Geometry,
    prefix: String,
}

impl LocalStore {
    /// The store of a namespace. Whoever names the same namespace, size and VM id shares it.
    #[must_use]
    pub fn new(namespace: &str, geometry: Geometry) -> Self {
        let prefix = format!("twilio_guard/{LAYOUT}/{namespace}/{}x{SLOTS}/", geometry.buckets);
        Self { geometry, prefix }
    }

    /// Asks for a pass. `epoch` is a random number, times are seconds.
    ///
    /// # Errors
    /// The store cannot tell.
    pub fn reserve(
        &self,
        data: &impl SharedData,
        claim: &Claim,
        now: u32,
        epoch: u32,
    ) -> Result<Reserved, StoreError> {
        let (home_key, other_key) = self.keys(&claim.fingerprint);
        for _ in 0..TRIES {
            let mut home = Loaded::read(data, &home_key)?;
            if let Some(reservation) = home.reserve(data, claim, now, epoch)? {
                match reservation {
                    Tried::Done(reservation) => return Ok(reservation.into()),
                    Tried::Raced => continue,
                }
            }
            home.bucket.expire(now);
            if home.bucket.overflow_until <= now && home.bucket.entries.len() < HALF {
                match home.insert(data, claim, now, epoch)? {
                    Tried::Done(reserved) => return Ok(reserved),
                    Tried::Raced => continue,
                }
            }
            let mut other = Loaded::read(data, &other_key)?;
            if let Some(reservation) = other.reserve(data, claim, now, epoch)? {
                match reservation {
                    Tried::Done(Reservation::Granted(ticket, repetition)) => {
                        if !self.finish(data, home, other, &ticket, now)? {
                            continue;
                        }
                        return Ok(Reservation::Granted(ticket, repetition).into());
                    }
                    Tried::Done(reservation) => return Ok(reservation.into()),
                    Tried::Raced => continue,
                }
            }
            if !claim.is_recorded {
                return Ok(Reservation::Unrecorded.into());
            }
            other.bucket.expire(now);
            let count = |loaded: &Loaded<'_>| loaded.bucket.entries.len();
            let tried = if count(&home) < HALF || count(&home) <= count(&other) {
                home.insert(data, claim, now, epoch)?
            } else {
                self.overflow(data, home, other, claim, now, epoch)?
            };
            if let Tried::Done(reserved) = tried {
                return Ok(reserved);
            }
        }
        Err(StoreError::Contended)
    }

    /// Settles a pass.
    ///
    /// # Errors
    /// The store could not be told; the lease will end the pass.
    pub fn settle(
        &self,
        data: &impl SharedData,
        ticket: &Ticket,
        outcome: Outcome,
        now: u32,
    ) -> Result<(), StoreError> {
        let (home_key, other_key) = self.keys(&ticket.fingerprint);
        for _ in 0..TRIES {
            let mut loaded = Loaded::read(data, &home_key)?;
            if loaded.bucket.find(&ticket.fingerprint, now).is_none() && loaded.bucket.overflow_until > now {
                loaded = Loaded::read(data, &other_key)?;
            }
            // Else its window is over, or it was forgotten to make room.
            let is_here = loaded.settle(ticket, outcome, now);
            if !is_here || loaded.write(data)? {
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    /// The second from which this store remembers, which is now if it is new.
    ///
    /// # Errors
    /// The host failed.
    pub fn born(&self, data: &impl SharedData, now: u32) -> Result<u32, StoreError> {
        let key = format!("{}born", self.prefix);
        for _ in 0..TRIES {
            let slot = data.get(&key)?;
            if let Some(value) = &slot.value {
                let bytes = value.as_slice().try_into().map_err(|_| StoreError::Unusable)?;
                return Ok(u32::from_le_bytes(bytes));
            }
            if data.swap(&key, &slot, &now.to_le_bytes())? {
                return Ok(now);
            }
        }
        Err(StoreError::Contended)
    }

    fn keys(&self, fingerprint: &Fingerprint) -> (String, String) {
        let (home, other) = self.geometry.buckets_of(fingerprint);
        (format!("{}{home}", self.prefix), format!("{}{other}", self.prefix))
    }

    /// Puts a new entry into its other bucket.
    fn overflow(
        &self,
        data: &impl SharedData,
        home: Loaded<'_>,
        mut other: Loaded<'_>,
        claim: &Claim,
        now: u32,
        epoch: u32,
    ) -> Result<Tried<Reserved>, StoreError> {
        let (entry, ticket) = Entry::begin(claim, now, epoch);
        other.bucket.entries.push(entry);
        if !other.write(data)? || !self.finish(data, home, other, &ticket, now)? {
            return Ok(Tried::Raced);
        }
        Ok(Tried::Done(Reservation::Granted(ticket, Repetition::First).into()))
    }

    /// Makes a pass final that was granted in the other bucket: it is when the home bucket, unchanged since it was read, says that
    /// there is something in the other. `false` if not.
    fn finish(
        &self,
        data: &impl SharedData,
        mut home: Loaded<'_>,
        mut other: Loaded<'_>,
        ticket: &Ticket,
        now: u32,
    ) -> Result<bool, StoreError> {
        let entry = other.bucket.find(&ticket.fingerprint, now);
        let end = entry.map_or(now, |entry| entry.window_end);
        home.bucket.overflow_until = home.bucket.overflow_until.max(end);
        if home.write(data)? {
            return Ok(true);
        }
        // Somebody changed the home bucket meanwhile, perhaps with a copy of this capture: take the pass back and look again. The
        // entry stays if it holds the pass of another copy.
        for _ in 0..TRIES {
            let mut other = Loaded::read(data, other.key)?;
            if !other.settle(ticket, Outcome::Released, now) || other.write(data)? {
                return Ok(false);
            }
        }
        Err(StoreError::Contended)
    }
}

/// What a swap led to.
enum Tried<T> {
    Done(T),
    /// Another worker was faster.
    Raced,
}

/// A bucket with the version that was read.
struct Loaded<'k> {
    key: &'k str,
    slot: Slot,
    bucket: Bucket,
}

impl<'k> Loaded<'k> {
    fn read(data: &impl SharedData, key: &'k str) -> Result<Self, StoreError> {
        let slot = data.get(key)?;
        let bucket = match &slot.value {
            None => Bucket::default(),
            Some(value) => Bucket::decode(value).ok_or(StoreError::Unusable)?,
        };
        Ok(Self { key, slot, bucket })
    }

    fn write(&self, data: &impl SharedData) -> Result<bool, StoreError> {
        data.swap(self.key, &self.slot, &self.bucket.encode())
    }

    /// Asks the capture's own entry, if it is here.
    fn reserve(
        &mut self,
        data: &impl SharedData,
        claim: &Claim,
        now: u32,
        epoch: u32,
    ) -> Result<Option<Tried<Reservation>>, StoreError> {
        let Some(entry) = self.bucket.find(&claim.fingerprint, now) else { return Ok(None) };
        let before = *entry;
        let reservation = entry.reserve(claim, now, epoch);
        let is_written = before == *entry || self.write(data)?;
        Ok(Some(if is_written { Tried::Done(reservation) } else { Tried::Raced }))
    }

    /// Settles a pass of the capture's own entry; `false` if that is not here.
    fn settle(&mut self, ticket: &Ticket, outcome: Outcome, now: u32) -> bool {
        let Some(entry) = self.bucket.find(&ticket.fingerprint, now).copied() else { return false };
        self.bucket.entries.retain(|own| own.fingerprint != entry.fingerprint);
        self.bucket.entries.extend(entry.settle(ticket, outcome));
        true
    }

    /// Puts a new entry here, if need be in place of another.
    fn insert(
        &mut self,
        data: &impl SharedData,
        claim: &Claim,
        now: u32,
        epoch: u32,
    ) -> Result<Tried<Reserved>, StoreError> {
        if !claim.is_recorded {
            return Ok(Tried::Done(Reservation::Unrecorded.into()));
        }
        let mut evicted = None;
        if self.bucket.entries.len() >= SLOTS {
            if !claim.evicts {
                return Err(StoreError::Full);
            }
            evicted = self.bucket.evict().map(|end| end.saturating_sub(now));
        }
        let (entry, ticket) = Entry::begin(claim, now, epoch);
        self.bucket.entries.push(entry);
        let reservation = Reservation::Granted(ticket, Repetition::First);
        Ok(if self.write(data)? { Tried::Done(Reserved { reservation, evicted }) } else { Tried::Raced })
    }
}
