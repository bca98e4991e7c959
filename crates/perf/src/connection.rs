//! A blocking connection that speaks the protocol in fixed versions. Never negotiates, never repeats, never reconnects:
//! a client that is clever hides what the broker does.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use ottla_wire::message::fetch::FetchRequest;
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{Message, Reader, Request, RequestHeader, ResponseHeader, Writer};

use crate::PerfError;

/// The versions that are spoken: the newest that name topics by their names and that Kafka has known since 2.7.
pub(crate) mod version {
    pub(crate) const PRODUCE: i16 = 9;
    pub(crate) const FETCH: i16 = 12;
    pub(crate) const LIST_OFFSETS: i16 = 6;
    pub(crate) const METADATA: i16 = 9;
    pub(crate) const API_VERSIONS: i16 = 0;
    pub(crate) const CREATE_TOPICS: i16 = 5;
    pub(crate) const INIT_PRODUCER_ID: i16 = 4;
    pub(crate) const FIND_COORDINATOR: i16 = 4;
    pub(crate) const OFFSET_COMMIT: i16 = 8;
    pub(crate) const OFFSET_FETCH: i16 = 8;
    pub(crate) const JOIN_GROUP: i16 = 7;
    pub(crate) const SYNC_GROUP: i16 = 5;
    pub(crate) const HEARTBEAT: i16 = 4;
    pub(crate) const LEAVE_GROUP: i16 = 4;
    pub(crate) const ADD_PARTITIONS_TO_TXN: i16 = 3;
    pub(crate) const END_TXN: i16 = 3;
    /// From here on a batch adds its partition to the transaction (KIP-890).
    pub(crate) const PRODUCE_TRANSACTIONAL: i16 = 12;
    /// From here on the end of a transaction gives a new epoch (KIP-890).
    pub(crate) const END_TXN_NEW_EPOCH: i16 = 5;
    /// Kafka 4.0.
    pub(crate) const CONSUMER_GROUP_HEARTBEAT: i16 = 0;
}

/// What this client calls itself.
pub(crate) const CLIENT_ID: &str = "ottla-perf";
/// How long a connection may take to open.
const CONNECT_MS_MAX: u64 = 5_000;
/// How long an answer may take, unless the caller says otherwise: longer than any stall that is to be measured.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How long a broker may take for a request that says so.
pub(crate) const REQUEST_TIMEOUT_MS: i32 = 30_000;
/// The largest answer that is taken: a fetch of 100 MiB, which is the most that Kafka allows, and what stands around it.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Read ahead: many small answers come by one system call.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// An open connection to one broker.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    address: Arc<str>,
    /// The last answer.
    body: Vec<u8>,
    correlation_id: i32,
}

impl Connection {
    /// Connects to the first address of `host:port` that answers.
    pub(crate) fn open(address: &Arc<str>) -> Result<Connection, PerfError> {
        Connection::open_waiting(address, ANSWER_WAIT)
    }

    /// The same, for answers that may take no longer than this.
    pub(crate) fn open_waiting(address: &Arc<str>, answer_wait: Duration) -> Result<Connection, PerfError> {
        let failed = |cause| PerfError::Connect { address: address.to_string(), cause };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for one in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&one, Duration::from_millis(CONNECT_MS_MAX)) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    stream.set_read_timeout(Some(answer_wait)).map_err(failed)?;
                    // A broker that takes nothing is as silent as one that answers nothing.
                    stream.set_write_timeout(Some(answer_wait)).map_err(failed)?;
                    let stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
                    return Ok(Connection { stream, address: address.clone(), body: Vec::new(), correlation_id: 0 });
                }
                Err(cause) => last = cause,
            }
        }
        Err(failed(last))
    }

    /// The broker it is connected to.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The same connection once more, for one thread to write and another to read. Nothing may have been read ahead.
    pub(crate) fn try_clone(&self) -> Result<Connection, PerfError> {
        let stream = self.stream.get_ref().try_clone().map_err(|cause| self.failed("using it twice", cause))?;
        let stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
        Ok(Connection { stream, address: self.address.clone(), body: Vec::new(), correlation_id: self.correlation_id })
    }

    /// The bare socket, to be held.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), PerfError> {
        self.stream.get_mut().write_all(frame).map_err(|cause| self.failed("sending a request", cause))
    }

    /// Waits for the next answer.
    pub(crate) fn receive(&mut self) -> Result<(), PerfError> {
        receive(&mut self.stream, &mut self.body).map_err(|cause| self.failed("waiting for an answer", cause))
    }

    /// Whose the last answer is.
    pub(crate) fn correlation_id(&self) -> Option<i32> {
        self.body.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// The last answer, as one to a request of type `Q`.
    pub(crate) fn answer<'r, 'q, Q: Request<'q>>(&'r self, version: i16) -> Result<Q::Response<'r>, PerfError> {
        let malformed = |cause| PerfError::Malformed { address: self.address.to_string(), api: Q::NAME, cause };
        let mut reader = Reader::new(&self.body);
        ResponseHeader::decode(&mut reader, Q::KEY, version).map_err(malformed)?;
        Q::Response::decode(&mut reader, version).map_err(malformed)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call<'r, 'q, Q: Request<'q>>(&'r mut self, request: &Q, version: i16) -> Result<Q::Response<'r>, PerfError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = frame(request, version, self.correlation_id)?;
        self.send(&frame)?;
        self.receive()?;
        self.answer::<Q>(version)
    }

    /// What an answer should have had and has not.
    pub(crate) fn unanswered(&self, api: &'static str, subject: impl Into<String>) -> PerfError {
        PerfError::Unanswered { address: self.address.to_string(), api, subject: subject.into() }
    }

    fn failed(&self, doing: &'static str, cause: io::Error) -> PerfError {
        PerfError::Connection { address: self.address.to_string(), doing, cause }
    }
}

fn receive(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length);
    let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("it announced {length} bytes, more than the {ANSWER_BYTES_MAX} that are taken"))
    })?;
    body.resize(length, 0);
    stream.read_exact(body)
}

/// A request with its header and length: what goes over the wire.
pub(crate) fn frame<'q, Q: Request<'q>>(request: &Q, version: i16, correlation_id: i32) -> Result<Vec<u8>, PerfError> {
    let failed = |cause| PerfError::Encode { api: Q::NAME, cause };
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    RequestHeader::new::<Q>(version, correlation_id, Some(CLIENT_ID)).encode(&mut writer).map_err(failed)?;
    request.encode(&mut writer, version).map_err(failed)?;
    writer.end_frame(mark).map_err(failed)?;
    Ok(writer.into_parts().buf)
}

/// Produce of one batch to each of these partitions.
pub(crate) fn produce_frame(topic: &str, partitions: &[i32], batch: &[u8], acks: i16) -> Result<Vec<u8>, PerfError> {
    let partition_data = partitions.iter().map(|index| PartitionProduceData { index: *index, records: Some(batch) }).collect();
    let topic_data = vec![TopicProduceData { name: topic, partition_data, ..Default::default() }];
    frame(&ProduceRequest { acks, timeout_ms: REQUEST_TIMEOUT_MS, topic_data, ..Default::default() }, version::PRODUCE, 0)
}

/// Fails unless every partition of a Produce answer was taken; gives the first one's base offset.
pub(crate) fn produced(connection: &Connection) -> Result<i64, PerfError> {
    let response = connection.answer::<ProduceRequest<'_>>(version::PRODUCE)?;
    let mut base_offset = None;
    for topic in &response.responses {
        for partition in &topic.partition_responses {
            if partition.error_code != 0 {
                return Err(PerfError::Refused {
                    subject: format!("produce to {}-{}", topic.name, partition.index),
                    code: partition.error_code,
                    said: partition.error_message.as_deref().map(str::to_owned),
                });
            }
            base_offset = base_offset.or(Some(partition.base_offset));
        }
    }
    base_offset.ok_or_else(|| connection.unanswered("Produce", "any partition"))
}

/// A Fetch outside of any session: a broker that keeps one would be asked for less.
pub(crate) fn fetch_request<'t>(topic: &'t str, from: impl Iterator<Item = (i32, i64)>, bytes_max: i32, wait_ms: i32) -> FetchRequest<'t> {
    use ottla_wire::message::fetch::{FetchPartition, FetchTopic};
    let partitions = from
        .map(|(partition, fetch_offset)| FetchPartition { partition, fetch_offset, partition_max_bytes: bytes_max, ..Default::default() })
        .collect();
    let topics = vec![FetchTopic { topic, partitions, ..Default::default() }];
    FetchRequest { max_wait_ms: wait_ms, min_bytes: 1, max_bytes: bytes_max, topics, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::frame::split_frame;

    #[test]
    fn a_produce_frame_holds_the_batch_once_for_each_partition() {
        let batch = crate::batch::single(b"value").unwrap();
        let bytes = produce_frame("t", &[3, 5], &batch, -1).unwrap();
        let (body, rest) = split_frame(&bytes, usize::MAX).unwrap().unwrap();
        assert!(rest.is_empty());
        let mut reader = Reader::new(body);
        let header = RequestHeader::decode(&mut reader).unwrap();
        assert_eq!((header.api_key, header.api_version, header.client_id), (0, version::PRODUCE, Some(CLIENT_ID)));
        let request = ProduceRequest::decode(&mut reader, version::PRODUCE).unwrap();
        reader.finish().unwrap();
        assert_eq!(request.acks, -1);
        let sent: Vec<_> = request.topic_data[0].partition_data.iter().map(|data| (data.index, data.records)).collect();
        assert_eq!(sent, [(3, Some(&batch[..])), (5, Some(&batch[..]))]);
    }

    #[test]
    fn an_answer_longer_than_any_is_refused_before_there_is_room_for_it() {
        let mut body = Vec::new();
        let error = receive(&mut &[0x7f, 0xff, 0xff, 0xff, 0][..], &mut body).unwrap_err();
        assert!(error.to_string().contains("2147483647"), "{error}");
        assert_eq!(body.capacity(), 0);
    }
}
