//! The records of internal topics, and what consumers tell each other, in every version: the list is `ottla-wire`'s, so that a
//! new one is here by itself.
//!
//! An input is the place in that list (a byte) and the bytes of a record's key or value, its version in front.

use ottla_wire::{Data, Reader, Writer, data, for_each_data};

use super::messages::{MEMORY_FACTOR, MEMORY_SLACK_BYTES};
use crate::corpus::{Named, from_hex, golden};
use crate::memory::bounded;

struct Kind {
    name: &'static str,
    /// For the test that none is forgotten.
    #[cfg(test)]
    versions: std::ops::RangeInclusive<i16>,
    /// Whether they could be decoded.
    check: fn(&[u8]) -> bool,
}

macro_rules! check {
    ($data:ty) => {
        |bytes| {
            let bytes_max = bytes.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
            let name = <$data as Data>::NAME;
            let encoded = |data: &$data, version| {
                let mut writer = Writer::new();
                data.encode(&mut writer, version).unwrap_or_else(|e| panic!("{name} {version} decodes but does not encode: {e}"));
                writer.into_parts().buf
            };
            // What grows at its end may be of a version that is not known yet; what is known is read just so.
            let mut reader = Reader::new(bytes);
            let any = bounded(bytes_max, name, || <$data as Data>::decode_any(&mut reader));
            let mut reader = Reader::new(bytes);
            let Ok((version, value)) = bounded(bytes_max, name, || <$data as Data>::decode(&mut reader)) else {
                let newer = bytes.first_chunk().is_some_and(|first| i16::from_be_bytes(*first) > *<$data as Data>::VERSIONS.end());
                assert!(any.is_err() || newer, "{name}: {any:?}");
                return false;
            };
            let read = bytes.len() - reader.remaining();
            let once = encoded(&value, version);
            assert!(once.len() <= read, "{name} {version}: {read} bytes became {}", once.len());
            let mut reader = Reader::new(&once);
            let again = <$data as Data>::decode(&mut reader);
            let (again_version, again) = again.unwrap_or_else(|e| panic!("{name} {version} does not decode what it encoded: {e}"));
            assert_eq!((again_version, reader.remaining()), (version, 0), "{name}");
            assert_eq!(encoded(&again, version), once, "{name} {version}");
            assert!(any.is_ok_and(|any| any.0 == version && encoded(&any.1, version) == once), "{name} {version}");
            true
        }
    };
}

macro_rules! kinds {
    ($($module:ident::$data:ident;)*) => {
        &[$(Kind {
            name: <data::$module::$data as Data>::NAME,
            #[cfg(test)]
            versions: <data::$module::$data as Data>::VERSIONS,
            check: check!(data::$module::$data),
        }),*]
    };
}

const KINDS: &[Kind] = for_each_data!(kinds);

pub(super) fn data(input: &[u8]) {
    if let Some((kind, bytes)) = input.split_first() {
        (KINDS[usize::from(*kind) % KINDS.len()].check)(bytes);
    }
}

/// What Kafka's classes wrote.
pub(super) fn seeds() -> Vec<Named> {
    let mut seeds = Vec::new();
    for line in golden("data.txt").lines() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (name, version, case, hex) = (column(), column(), column(), column());
        if let Some(at) = KINDS.iter().position(|kind| kind.name == name) {
            let place = u8::try_from(at).unwrap_or_default();
            seeds.push((format!("{name}-{version}-{case}"), [&[place], &*from_hex(hex)].concat()));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_are_there_for_all_data_in_every_version_and_all_are_decoded() {
        let mut there = BTreeSet::new();
        for (name, input) in seeds() {
            let kind = &KINDS[usize::from(input[0])];
            assert!((kind.check)(&input[1..]), "{name}");
            there.insert((kind.name, i16::from_be_bytes([input[1], input[2]])));
        }
        let all = KINDS.iter().flat_map(|kind| kind.versions.clone().map(|version| (kind.name, version)));
        assert_eq!(all.filter(|one| !there.contains(one)).collect::<Vec<_>>(), []);
    }
}
