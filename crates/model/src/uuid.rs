//! Kafka's `Uuid`: 16 bytes, printed as 22 characters of URL-safe base64 without padding.

use std::fmt;
use std::str::FromStr;

/// 128 bits. Random ones are drawn by whoever owns a random source; this crate only holds and prints them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

/// The text is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a UUID: expected 22 characters of URL-safe base64, e.g. `5L6g3nShT-eMCtK--X86sw`")]
pub struct ParseUuidError(String);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// All zero bits.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// From 16 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// A version-4 UUID from 16 random bytes (the version and variant bits are set here).
    pub const fn from_random_bytes(mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid(bytes)
    }

    /// The 16 bytes, as on the wire.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Whether all bits are zero.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = u128::from_be_bytes(self.0);
        let mut out = [0u8; 22];
        for (i, c) in out.iter_mut().enumerate() {
            // 21 groups of six bits, then the last two bits padded with four zeros.
            let six = if i < 21 { (v >> (122 - 6 * i)) & 63 } else { (v << 4) & 63 };
            *c = ALPHABET[six as usize];
        }
        f.write_str(std::str::from_utf8(&out).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(s: &str) -> Result<Uuid, ParseUuidError> {
        let bad = || ParseUuidError(s.to_owned());
        if s.len() != 22 {
            return Err(bad());
        }
        let mut v = 0u128;
        for (i, c) in s.bytes().enumerate() {
            let six = ALPHABET.iter().position(|a| *a == c).ok_or_else(bad)? as u128;
            if i < 21 {
                v |= six << (122 - 6 * i);
            } else {
                v |= six >> 4;
            }
        }
        Ok(Uuid(v.to_be_bytes()))
    }
}

/// As text where a person may read it (JSON), as its 16 bytes where nobody does: the metadata log holds many.
impl serde::Serialize for Uuid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_bytes(&self.0) }
    }
}

impl<'de> serde::Deserialize<'de> for Uuid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        if from.is_human_readable() { from.deserialize_str(UuidVisitor) } else { from.deserialize_bytes(UuidVisitor) }
    }
}

struct UuidVisitor;

impl serde::de::Visitor<'_> for UuidVisitor {
    type Value = Uuid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID: 16 bytes, or 22 characters of URL-safe base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
        bytes.try_into().map(Uuid).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_kafka_does() {
        let text = "5L6g3nShT-eMCtK--X86sw";
        let id: Uuid = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        // Kafka's Uuid.ONE_UUID
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(Uuid::from_bytes(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert!("not a uuid".parse::<Uuid>().is_err());
    }
}
