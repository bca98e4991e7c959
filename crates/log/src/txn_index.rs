//! `.txnindex`: the aborted transactions whose end lies in a segment (KIP-98), in Kafka's format: 34 bytes an entry.
//!
//! Consumers that read committed records only are told which records of a fetch to skip.

use ottla_model::{Offset, ProducerId};

/// Version of the entry's format.
const VERSION: i16 = 0;
/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 34;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The last stable offset when it was aborted.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    pub(crate) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut out = [0; ENTRY_LEN];
        out[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        for (to, value) in out[2..].chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&value.to_be_bytes());
        }
        out
    }

    /// The entries of a file; what follows one that is not of a known version is not trusted.
    pub(crate) fn decode_all(bytes: &[u8]) -> Vec<AbortedTxn> {
        let long = |entry: &[u8], at: usize| entry[at..at + 8].iter().fold(0i64, |v, b| (v << 8) | i64::from(*b));
        bytes
            .chunks_exact(ENTRY_LEN)
            .take_while(|e| e[..2] == VERSION.to_be_bytes())
            .map(|e| AbortedTxn {
                producer_id: ProducerId(long(e, 2)),
                first_offset: Offset(long(e, 10)),
                last_offset: Offset(long(e, 18)),
                last_stable_offset: Offset(long(e, 26)),
            })
            // A transaction has a record before its marker. Zeros, which a crash leaves where a file grew, are of the known version too.
            .take_while(|t| t.first_offset >= Offset::ZERO && t.last_offset > t.first_offset)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let txn =
            AbortedTxn { producer_id: ProducerId(9), first_offset: Offset(3), last_offset: Offset(1 << 40), last_stable_offset: Offset(2) };
        let mut bytes = txn.encode().to_vec();
        bytes.extend_from_slice(&txn.encode());
        bytes.extend_from_slice(&[0; ENTRY_LEN + 20]);
        assert_eq!(AbortedTxn::decode_all(&bytes), [txn, txn]);
        bytes[34] = 1;
        assert_eq!(AbortedTxn::decode_all(&bytes), [txn]);
    }
}
