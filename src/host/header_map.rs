//! Header maps in the form in which they cross the border to the host.

/// A header map as the host serializes it: the number of pairs, the sizes of each name and value, then names and values,
/// each with a terminating zero byte; numbers are 32-bit little endian.
pub(super) struct HeaderMap(Vec<u8>);

impl HeaderMap {
    /// A map as it came from the host.
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The pairs, as raw bytes; `None` if the serialization is not what it should be.
    pub(super) fn pairs(&self) -> Option<Vec<(&[u8], &[u8])>> {
        let (count, mut rest) = number(&self.0)?;
        let sizes_length = count.checked_mul(8)?;
        let (sizes, mut data) = rest.split_at_checked(sizes_length)?;
        rest = sizes;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (name_size, after_name) = number(rest)?;
            let (value_size, after_value) = number(after_name)?;
            rest = after_value;
            let name;
            let value;
            (name, data) = terminated(data, name_size)?;
            (value, data) = terminated(data, value_size)?;
            pairs.push((name, value));
        }
        Some(pairs)
    }
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn terminated(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.strip_prefix(b"\0")?))
}

/// The same form, of headers for the host; `None` where one is too long for it.
pub(super) fn serialize(pairs: &[(&'static str, String)]) -> Option<Vec<u8>> {
    let mut bytes = u32::try_from(pairs.len()).ok()?.to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend(u32::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
    }
    for (name, value) in pairs {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    Some(bytes)
}
