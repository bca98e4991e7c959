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
