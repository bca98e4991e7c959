//! What stands before a request and before a response.

use crate::codec::{DecodeError, EncodeError, InField, Reader, Version, Writer};
use crate::{ApiKey, Request};

/// Header of a request: version 1, or version 2 (with tagged fields) where the request's version is flexible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API; not checked yet, see [`RequestHeader::api`].
    pub api_key: i16,
    /// Which version of it; not checked yet.
    pub api_version: i16,
    /// Comes back in the response header.
    pub correlation_id: i32,
    /// What the client calls itself: for logs and quotas.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// The header for a request of type `R`.
    pub fn new<'m, R: Request<'m>>(api_version: i16, correlation_id: i32, client_id: Option<&'a str>) -> RequestHeader<'a> {
        RequestHeader { api_key: R::KEY.as_i16(), api_version, correlation_id, client_id }
    }

    /// The API, if Kafka has one with this key.
    #[inline]
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_i16(self.api_key)
    }

    /// Reads a header. Of an unknown API only what all versions share is read: enough to say so in a log.
    #[inline]
    pub fn decode(r: &mut Reader<'a>) -> Result<RequestHeader<'a>, DecodeError> {
        let api_key = r.get_i16().in_field("RequestHeader.api_key")?;
        let api_version = r.get_i16().in_field("RequestHeader.api_version")?;
        let correlation_id = r.get_i32().in_field("RequestHeader.correlation_id")?;
        // The client id kept its 16-bit length in version 2, so that every broker can read it.
        let client_id = r.get_nullable_string(CLIENT_ID).in_field("RequestHeader.client_id")?;
        let header = RequestHeader { api_key, api_version, correlation_id, client_id };
        if header.is_flexible() {
            r.skip_tagged_fields().in_field("RequestHeader.tagged_fields")?;
        }
        Ok(header)
    }

    /// Writes the header.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.put_i16(self.api_key);
        w.put_i16(self.api_version);
        w.put_i32(self.correlation_id);
        match self.client_id {
            Some(client_id) => w.put_string(client_id, CLIENT_ID)?,
            None => w.put_null_string(CLIENT_ID),
        }
        if self.is_flexible() {
            w.put_uvarint(0);
        }
        Ok(())
    }

    #[inline]
    fn is_flexible(&self) -> bool {
        self.api().is_some_and(|api| api.is_flexible(self.api_version))
    }
}

const CLIENT_ID: Version = Version::new(1, false);

/// Header of a response: version 0, or version 1 (with tagged fields) where the response's version is flexible. That
/// of ApiVersions is always version 0: a client reads it before it can know what the broker speaks (KIP-511).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// As it came in the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of the answer to a request of this API and version.
    pub fn decode(r: &mut Reader<'_>, api: ApiKey, api_version: i16) -> Result<ResponseHeader, DecodeError> {
        let correlation_id = r.get_i32().in_field("ResponseHeader.correlation_id")?;
        if ResponseHeader::has_tagged_fields(api, api_version) {
            r.skip_tagged_fields().in_field("ResponseHeader.tagged_fields")?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes the header of the answer to a request of this API and version.
    #[inline]
    pub fn encode(&self, w: &mut Writer, api: ApiKey, api_version: i16) -> Result<(), EncodeError> {
        w.put_i32(self.correlation_id);
        if ResponseHeader::has_tagged_fields(api, api_version) {
            w.put_uvarint(0);
        }
        Ok(())
    }

    #[inline]
    fn has_tagged_fields(api: ApiKey, api_version: i16) -> bool {
        api.is_flexible(api_version) && api != ApiKey::ApiVersions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;

    fn request_header(api: ApiKey, api_version: i16) -> RequestHeader<'static> {
        RequestHeader { api_key: api.as_i16(), api_version, correlation_id: 7, client_id: Some("c") }
    }

    #[test]
    fn requests_of_flexible_versions_have_tagged_fields_in_their_header() {
        for api in ApiKey::ALL {
            let flexible = api.flexible_since();
            for api_version in [0, flexible.saturating_sub(1), flexible] {
                let header = request_header(*api, api_version);
                let mut w = Writer::new();
                header.encode(&mut w).unwrap();
                let bytes = w.into_parts().buf;
                let expected_len = 8 + 3 + usize::from(api.is_flexible(api_version));
                assert_eq!(bytes.len(), expected_len, "{api} {api_version}");
                let mut r = Reader::new(&bytes);
                assert_eq!(RequestHeader::decode(&mut r), Ok(header));
                r.finish().unwrap();
            }
        }
    }

    #[test]
    fn a_header_is_laid_out_as_kafkas() {
        let mut w = Writer::new();
        RequestHeader { client_id: None, ..request_header(ApiKey::Metadata, 12) }.encode(&mut w).unwrap();
        assert_eq!(w.into_parts().buf, [0, 3, 0, 12, 0, 0, 0, 7, 255, 255, 0]);
        let with_unknown_tag = [0, 3, 0, 12, 0, 0, 0, 7, 0, 1, b'c', 1, 5, 2, 9, 9, 42];
        let mut r = Reader::new(&with_unknown_tag);
        assert_eq!(RequestHeader::decode(&mut r), Ok(request_header(ApiKey::Metadata, 12)));
        assert_eq!(r.rest(), [42]);
    }

    #[test]
    fn the_header_of_an_unknown_api_is_read_as_far_as_all_agree() {
        let bytes = [0x7f, 0xff, 0, 3, 0, 0, 0, 7, 0, 1, b'c', 1, 2, 3];
        let mut r = Reader::new(&bytes);
        let header = RequestHeader::decode(&mut r).unwrap();
        assert_eq!((header.api(), header.api_key, header.api_version, header.client_id), (None, 0x7fff, 3, Some("c")));
        assert_eq!(r.remaining(), 3);
    }

    #[test]
    fn broken_headers_name_the_field() {
        for (bytes, message) in [
            (&[0][..], "RequestHeader.api_key: 2 bytes needed, 1 remain"),
            (&[0, 3, 0, 12, 0, 0], "RequestHeader.correlation_id: 4 bytes needed, 2 remain"),
            (&[0, 3, 0, 12, 0, 0, 0, 7, 0x7f, 0xff], "RequestHeader.client_id: 32767 bytes needed, 0 remain"),
            (&[0, 3, 0, 12, 0, 0, 0, 7, 255, 255], "RequestHeader.tagged_fields: 1 bytes needed, 0 remain"),
        ] {
            assert_eq!(RequestHeader::decode(&mut Reader::new(bytes)).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn responses_of_flexible_versions_have_tagged_fields_in_their_header_but_for_api_versions() {
        let header = ResponseHeader { correlation_id: 7 };
        for api in ApiKey::ALL {
            for api_version in [0, api.flexible_since()] {
                let mut w = Writer::new();
                header.encode(&mut w, *api, api_version).unwrap();
                let bytes = w.into_parts().buf;
                let tagged = api.is_flexible(api_version) && *api != ApiKey::ApiVersions;
                assert_eq!(bytes, if tagged { vec![0, 0, 0, 7, 0] } else { vec![0, 0, 0, 7] }, "{api} {api_version}");
                let mut r = Reader::new(&bytes);
                assert_eq!(ResponseHeader::decode(&mut r, *api, api_version), Ok(header));
                r.finish().unwrap();
            }
        }
        let cut = ResponseHeader::decode(&mut Reader::new(&[0, 0, 0]), ApiKey::Fetch, 4).unwrap_err();
        assert_eq!(cut.kind, DecodeErrorKind::UnexpectedEnd { needed: 4, remaining: 3 });
    }
}
