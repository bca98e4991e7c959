//! Every request and response in every version: the list is `ottla-wire`'s, so that a new one is here by itself.
//!
//! An input is the key of an API, a version (a byte each) and the message without its header.

use std::ops::RangeInclusive;

use ottla_wire::{Message, Reader, Request, Writer, for_each_api, message};

use crate::corpus::{Named, from_hex, golden};
use crate::memory::bounded;

/// What decoding may hold: see [`Reader`].
pub(super) const MEMORY_FACTOR: usize = 8;
pub(super) const MEMORY_SLACK_BYTES: usize = 64 << 10;

struct Api {
    name: &'static str,
    key: i16,
    versions: RangeInclusive<i16>,
    request: fn(&[u8], i16),
    response: fn(&[u8], i16),
}

macro_rules! check {
    ($message:ty) => {
        |bytes, version| {
            let mut reader = Reader::new(bytes);
            let bytes_max = bytes.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
            let name = stringify!($message);
            let Ok(message) = bounded(bytes_max, name, || <$message as Message>::decode(&mut reader, version)) else { return };
            let read = bytes.len() - reader.remaining();

            // Values may have several forms on the wire; the one that is written is the shortest, and stable.
            let mut writer = Writer::new();
            message.encode(&mut writer, version).unwrap_or_else(|e| panic!("{name} {version} decodes but does not encode: {e}"));
            let once = writer.into_parts().buf;
            assert!(once.len() <= read, "{name} {version}: {read} bytes became {}", once.len());
            let mut reader = Reader::new(&once);
            let again = <$message as Message>::decode(&mut reader, version);
            let again = again.unwrap_or_else(|e| panic!("{name} {version} does not decode what it encoded: {e}"));
            assert_eq!(reader.remaining(), 0, "{name} {version}");
            let mut writer = Writer::new();
            again.encode(&mut writer, version).unwrap_or_else(|e| panic!("{name} {version}: {e}"));
            assert_eq!(writer.into_parts().buf, once, "{name} {version}");

            ottla_wire::Wire::error_codes(&message, &mut |code| assert_ne!(code, 0, "{name} {version}: 0 is no error"));
        }
    };
}

macro_rules! apis {
    ($($module:ident::$request:ident;)*) => {
        &[$(Api {
            name: <message::$module::$request as Request>::NAME,
            key: <message::$module::$request as Message>::KEY.as_i16(),
            versions: <message::$module::$request as Message>::VERSIONS,
            request: check!(message::$module::$request),
            response: check!(<message::$module::$request as Request>::Response<'_>),
        }),*]
    };
}

const APIS: &[Api] = for_each_api!(apis);

pub(super) fn request(input: &[u8]) {
    if let Some((api, version, body)) = chosen(input) {
        (api.request)(body, version);
    }
}

pub(super) fn response(input: &[u8]) {
    if let Some((api, version, body)) = chosen(input) {
        (api.response)(body, version);
    }
}

/// Any two bytes choose: a mutator that hits a number that means nothing has lost its time.
fn chosen(input: &[u8]) -> Option<(&'static Api, i16, &[u8])> {
    let [key, version, body @ ..] = input else { return None };
    let (key, version) = (i16::from(*key), i16::from(*version));
    let api = APIS.iter().find(|api| api.key == key).unwrap_or(&APIS[key as usize % APIS.len()]);
    let (first, count) = (*api.versions.start(), api.versions.end() - api.versions.start() + 1);
    let version = if api.versions.contains(&version) { version } else { first + version % count };
    Some((api, version, body))
}

pub(super) fn request_seeds() -> Vec<Named> {
    seeds("Request")
}

pub(super) fn response_seeds() -> Vec<Named> {
    seeds("Response")
}

/// What Kafka's classes wrote: each message in each version, several times over.
fn seeds(kind: &str) -> Vec<Named> {
    let mut seeds = Vec::new();
    for file in [golden("messages.txt"), golden("messages-dropped.txt")] {
        for line in file.lines() {
            let mut columns = line.split('\t');
            let mut column = || columns.next().unwrap_or_default();
            let (name, version, case, hex) = (column(), column(), column(), column());
            let api = APIS.iter().find(|api| name.strip_suffix(kind) == Some(api.name));
            if let (Some(api), Ok(version)) = (api, version.parse::<u8>()) {
                let head = [u8::try_from(api.key).unwrap_or_default(), version];
                seeds.push((format!("{name}-{version}-{case}"), [&head[..], &from_hex(hex)].concat()));
            }
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_are_there_for_every_message_in_every_version() {
        for kind in [request_seeds(), response_seeds()] {
            let there: BTreeSet<(i16, i16)> =
                kind.iter().filter_map(|(_, bytes)| chosen(bytes)).map(|(api, version, _)| (api.key, version)).collect();
            let all = APIS.iter().flat_map(|api| api.versions.clone().map(|version| (api.key, version)));
            assert_eq!(all.filter(|one| !there.contains(one)).collect::<Vec<_>>(), []);
        }
    }
}
