//! A connection that sends bytes as given, for what no client would send.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::DEADLINE;

/// A plain connection; each read and write has a deadline.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Connection { stream })
    }

    /// Sends these bytes and nothing else. A peer that has closed already is no error here: the read will tell.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a frame: the length, then these bytes.
    pub fn send_frame(&mut self, body: &[u8]) {
        let mut frame = Vec::with_capacity(4 + body.len());
        frame.extend_from_slice(&i32::try_from(body.len()).expect("a frame fits its length").to_be_bytes());
        frame.extend_from_slice(body);
        self.send(&frame);
    }

    /// Sends these bytes over and over until the peer takes none for as long as `stalled`, or closes, or has taken
    /// `bytes_max`; gives how many it took.
    pub fn send_while_taken(&mut self, bytes: &[u8], stalled: Duration, bytes_max: usize) -> usize {
        let mut sent = 0;
        self.stream.set_write_timeout(Some(stalled)).expect("a timeout can be set");
        while sent < bytes_max
            && let Ok(taken) = self.stream.write(&bytes[sent % bytes.len()..])
        {
            sent += taken;
        }
        self.stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
        sent
    }

    /// The same connection once more, to read on one thread what another asks for.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Connection { stream: self.stream.try_clone()? })
    }

    /// Says that nothing more will come from here.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next frame's body; an error when the peer closes or the deadline passes.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        let mut body = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut body)?;
        if body.len() == length { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Whether the peer closes without sending anything more; false when it sends, or does nothing until the deadline.
    pub fn is_closed_by_peer(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends ApiVersions v0 with this correlation id.
    pub fn send_api_versions(&mut self, correlation_id: i32) {
        self.send_frame(&header(18, 0, correlation_id));
    }

    /// Whether ApiVersions v0 is answered, without an error.
    pub fn answers_api_versions(&mut self) -> bool {
        self.send_api_versions(7);
        self.receive().is_ok_and(|body| body.starts_with(&[0, 0, 0, 7, 0, 0]))
    }
}

/// A request header of version 1 without a client id.
pub fn header(api_key: i16, api_version: i16, correlation_id: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&api_key.to_be_bytes());
    bytes.extend_from_slice(&api_version.to_be_bytes());
    bytes.extend_from_slice(&correlation_id.to_be_bytes());
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    bytes
}
