//! Typed requests one at a time, for tests that must know exactly what was asked and what was answered.

use std::io;

use ottla_wire::batch::{BatchBuilder, Batches, DecompressLimits};
use ottla_wire::compress::Compression;
use ottla_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse};
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::message::list_offsets::{
    LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::{Message, Reader, Records, Request, RequestHeader, ResponseHeader, Writer};

use crate::raw::Connection;

/// The last versions that name topics by their names.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 11;
const CREATE_TOPICS_VERSION: i16 = 7;

/// How long a node may take for one request, in the requests that say so.
const REQUEST_TIMEOUT_MS: i32 = 30_000;

/// Bytes of one fetch at most.
const FETCH_BYTES_MAX: i32 = 1 << 20;

/// A connection on which requests are answered one by one.
pub struct Caller {
    connection: Connection,
    correlation_id: i32,
}

/// The bytes of an answer, to be decoded where they lie.
pub struct Answer {
    body: Vec<u8>,
    version: i16,
}

/// What a node said of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// 0 when it was taken.
    pub error_code: i16,
    /// Offset of its first record.
    pub base_offset: i64,
}

/// One record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Its offset.
    pub offset: i64,
    /// Its key, if any.
    pub key: Option<Vec<u8>>,
    /// Its value, if any.
    pub value: Option<Vec<u8>>,
}

impl Caller {
    /// Calls over this connection.
    pub fn new(connection: Connection) -> Self {
        Caller { connection, correlation_id: 0 }
    }

    /// Sends a request without waiting for its answer.
    #[track_caller]
    pub fn send<'q, Q: Request<'q>>(&mut self, request: &Q, version: i16) {
        self.correlation_id += 1;
        let mut writer = Writer::new();
        let frame = writer.begin_frame();
        RequestHeader::new::<Q>(version, self.correlation_id, Some("e2e")).encode(&mut writer).expect("the header can be written");
        request.encode(&mut writer, version).expect("the request can be written");
        writer.end_frame(frame).expect("the frame is not too long");
        self.connection.send(&writer.into_parts().buf);
    }

    /// Sends a request and waits for its answer; an error when the node goes away.
    #[track_caller]
    pub fn try_call<'q, Q: Request<'q>>(&mut self, request: &Q, version: i16) -> io::Result<Answer> {
        self.send(request, version);
        let body = self.connection.receive()?;
        let mut reader = Reader::new(&body);
        let header = ResponseHeader::decode(&mut reader, Q::KEY, version).expect("the answer has a header");
        assert_eq!(header.correlation_id, self.correlation_id, "the answer is another request's");
        let body = reader.rest().to_vec();
        Ok(Answer { body, version })
    }

    /// The same, of a node that must answer.
    #[track_caller]
    pub fn call<'q, Q: Request<'q>>(&mut self, request: &Q, version: i16) -> Answer {
        self.try_call(request, version).unwrap_or_else(|error| panic!("{} is not answered: {error}", Q::NAME))
    }

    /// CreateTopics; gives the error code.
    #[track_caller]
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> i16 {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect();
        let topic = CreatableTopic { name, num_partitions: partitions, replication_factor: 1, configs, ..Default::default() };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: REQUEST_TIMEOUT_MS, ..Default::default() };
        let answer = self.call(&request, CREATE_TOPICS_VERSION);
        answer.decode::<CreateTopicsResponse<'_>>().topics[0].error_code
    }

    /// Produce of whole batches, as they are; an error when the node goes away before it answers.
    #[track_caller]
    pub fn try_produce(&mut self, topic: &str, partition: i32, batches: &[u8], acks: i16) -> io::Result<Produced> {
        let request = produce_request(topic, partition, batches, acks);
        let answer = self.try_call(&request, PRODUCE_VERSION)?;
        let response: ProduceResponse<'_> = answer.decode();
        let said = &response.responses[0].partition_responses[0];
        Ok(Produced { error_code: said.error_code, base_offset: said.base_offset })
    }

    /// The same, of a node that must answer.
    #[track_caller]
    pub fn produce(&mut self, topic: &str, partition: i32, batches: &[u8], acks: i16) -> Produced {
        self.try_produce(topic, partition, batches, acks).unwrap_or_else(|error| panic!("Produce is not answered: {error}"))
    }

    /// All records of a partition from `offset` up to the high watermark, each offset held to follow the one before.
    #[track_caller]
    pub fn consume_all(&mut self, topic: &str, partition: i32, offset: i64) -> Vec<Consumed> {
        let mut consumed = Vec::new();
        let mut next = offset;
        let end = self.end_offset(topic, partition);
        while next < end {
            let answer = self.call(&fetch_request(topic, partition, next), FETCH_VERSION);
            let response: FetchResponse<'_> = answer.decode();
            let said = &response.responses[0].partitions[0];
            assert_eq!(said.error_code, 0, "fetch of {topic}-{partition} at {next}");
            let Records::Borrowed(bytes) = said.records else { panic!("no records at {next}, below the end {end}") };
            let before = next;
            for batch in Batches::new(bytes) {
                let batch = batch.expect("a whole batch");
                batch.check_crc().expect("a sound batch");
                let records = batch.records(&DecompressLimits::default()).expect("records");
                for record in records.iter() {
                    let record = record.expect("a sound record");
                    // A batch is given whole, even when what was asked for begins inside of it.
                    if record.offset < next {
                        continue;
                    }
                    assert_eq!(record.offset, next, "an offset was skipped in {topic}-{partition}");
                    next += 1;
                    consumed.push(Consumed {
                        offset: record.offset,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                    });
                }
            }
            assert!(next > before, "nothing at {next}, below the end {end}");
        }
        consumed
    }

    /// The offset behind the last record. A node that has just started answers when the log is open.
    #[track_caller]
    pub fn end_offset(&mut self, topic: &str, partition: i32) -> i64 {
        let asked = ListOffsetsPartition { partition_index: partition, timestamp: LATEST_TIMESTAMP, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: topic, partitions: vec![asked] }];
        let answer = self.call(&ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }, LIST_OFFSETS_VERSION);
        let response: ListOffsetsResponse<'_> = answer.decode();
        let said = &response.topics[0].partitions[0];
        assert_eq!(said.error_code, 0, "the end of {topic}-{partition}");
        said.offset
    }
}

impl Answer {
    /// Reads it as a response; nothing may be left over.
    #[track_caller]
    pub fn decode<'r, R: Message<'r>>(&'r self) -> R {
        let mut reader = Reader::new(&self.body);
        let response = R::decode(&mut reader, self.version).expect("the answer can be read");
        reader.finish().expect("nothing follows the answer");
        response
    }
}

/// The time of records that no test gives another: 14 November 2023, 22:13:20 UTC.
pub const RECORDS_TIME_MS: i64 = 1_700_000_000_000;

/// A batch of records with these values, and no keys.
pub fn batch(values: &[&[u8]]) -> Vec<u8> {
    batch_at(RECORDS_TIME_MS, values)
}

/// The same, of records of that time.
pub fn batch_at(time_ms: i64, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    for value in values {
        builder.append(time_ms, None, Some(value), &[]).expect("a batch has room");
    }
    builder.build().expect("a batch can be built")
}

/// Produce of whole batches to one partition.
pub fn produce_request<'a>(topic: &'a str, partition: i32, batches: &'a [u8], acks: i16) -> ProduceRequest<'a> {
    let partition_data = vec![PartitionProduceData { index: partition, records: Some(batches) }];
    let topic_data = vec![TopicProduceData { name: topic, partition_data, ..Default::default() }];
    ProduceRequest { acks, timeout_ms: REQUEST_TIMEOUT_MS, topic_data, ..Default::default() }
}

/// Fetch of one partition from an offset on, without a wait.
pub fn fetch_request(topic: &str, partition: i32, fetch_offset: i64) -> FetchRequest<'_> {
    let partitions = vec![FetchPartition { partition, fetch_offset, partition_max_bytes: FETCH_BYTES_MAX, ..Default::default() }];
    let topics = vec![FetchTopic { topic, partitions, ..Default::default() }];
    FetchRequest { max_wait_ms: 0, min_bytes: 0, max_bytes: FETCH_BYTES_MAX, topics, ..Default::default() }
}
