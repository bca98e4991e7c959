//! Frames as a connection gives them, with the headers in them.

use ottla_wire::frame::{FRAME_PREFIX_LEN, frame_len, split_frame};
use ottla_wire::{ApiKey, Reader, RequestHeader, ResponseHeader, Writer};

use crate::corpus::{Named, from_hex, golden};
use crate::memory::bounded;

/// `socket.request.max.bytes` of the connection.
const FRAME_BYTES_MAX: usize = 4096;

pub(super) fn frame(input: &[u8]) {
    let mut rest = input;
    loop {
        match split_frame(rest, FRAME_BYTES_MAX) {
            Ok(Some((body, after))) => {
                assert_eq!(FRAME_PREFIX_LEN + body.len() + after.len(), rest.len());
                assert!(body.len() <= FRAME_BYTES_MAX);
                // Nothing but borrowed texts is in a header.
                bounded(0, "headers", || (request_header(body).is_some(), response_headers(body)));
                round_trip(body);
                rest = after;
            }
            Ok(None) => {
                let announced = frame_len(rest, FRAME_BYTES_MAX);
                assert!(matches!(announced, Ok(None)) || matches!(announced, Ok(Some(length)) if length > rest.len() - FRAME_PREFIX_LEN));
                return;
            }
            Err(_) => return,
        }
    }
}

fn request_header(body: &[u8]) -> Option<RequestHeader<'_>> {
    RequestHeader::decode(&mut Reader::new(body)).ok()
}

fn response_headers(body: &[u8]) -> usize {
    let decodes = |api: &&ApiKey| ResponseHeader::decode(&mut Reader::new(body), **api, i16::MAX).is_ok();
    ApiKey::ALL.iter().filter(decodes).count()
}

fn round_trip(body: &[u8]) {
    let Some(header) = request_header(body) else { return };
    let mut writer = Writer::new();
    header.encode(&mut writer).unwrap_or_else(|e| panic!("{header:?} was read but cannot be written: {e}"));
    let encoded = writer.into_parts().buf;
    assert_eq!(request_header(&encoded), Some(header));
}

pub(super) fn seeds() -> Vec<Named> {
    let framed = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
    let mut seeds = Vec::new();
    for line in golden("headers.txt").lines() {
        // key, name, version, correlation id, client id, header of the request, of the response
        let columns: Vec<&str> = line.split(' ').collect();
        if let [_, name, version, _, _, request, response] = columns[..] {
            let body = |hex| [&from_hex(hex)[..], &[0; 8]].concat();
            seeds.push((format!("{name}-{version}"), [framed(&body(request)), framed(&body(response))].concat()));
        }
    }
    seeds
}
