//! A broker for this crate's tests: logs in memory, answers in order, and misbehaviour as it is told.
//!
//! Knows what the commands of this crate ask for and nothing else; what real brokers do is tested from outside.

use std::collections::{BTreeMap, HashMap};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ottla_wire::batch::{BatchBuilder, BatchView, DecompressLimits, set_base_offset};
use ottla_wire::compress::Compression;
use ottla_wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::message::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::list_offsets::{
    EARLIEST_TIMESTAMP, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_wire::message::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::message::produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use ottla_wire::{ApiKey, ErrorCode, Message, Reader, Records, Request, RequestHeader, ResponseHeader, Writer};
use parking_lot::{Condvar, Mutex};

use crate::{Bootstrap, Control};

mod coordinators;

/// How long a test waits for what should come at once.
const DEADLINE: Duration = Duration::from_secs(60);

/// A broker of one topic, `t`.
pub(crate) struct Scripted {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    logs: Vec<Log>,
    refuse_produce: HashMap<i32, ErrorCode>,
    refuse_fetch: HashMap<i32, ErrorCode>,
    refused: u64,
    disconnect_after_produce: u32,
    stall_produce: Option<Duration>,
    swallow_produce: bool,
    producers: i64,
    /// Of each group: how often it committed, and its offsets.
    groups: BTreeMap<String, (u64, HashMap<i32, i64>)>,
    refuse_commits: Option<ErrorCode>,
    /// So many questions for offsets find a coordinator that loads.
    loads: u32,
    partitions_added: u64,
    ends: u64,
    refuse_ends: Option<(u32, ErrorCode)>,
}

#[derive(Default)]
struct Log {
    batches: Vec<Vec<u8>>,
    end: i64,
    /// Of each producer: its epoch, the last sequence, and where that went.
    sequences: HashMap<i64, (i16, i32, i64)>,
}

impl Log {
    fn append(&mut self, batch: &[u8]) -> i64 {
        let view = BatchView::new(batch).expect("one whole batch");
        view.check_crc().expect("a sound batch");
        if view.has_producer_id() {
            if let Some((epoch, last, offset)) = self.sequences.get(&view.producer_id())
                && (*epoch, *last) == (view.producer_epoch(), view.base_sequence())
            {
                return *offset;
            }
            self.sequences.insert(view.producer_id(), (view.producer_epoch(), view.base_sequence(), self.end));
        }
        let mut batch = batch.to_vec();
        set_base_offset(&mut batch, self.end).expect("a batch");
        self.end += i64::from(view.record_count());
        let base = self.end - i64::from(view.record_count());
        self.batches.push(batch);
        base
    }

    /// Gives the batches new offsets, as they stand.
    fn renumber(&mut self) {
        self.end = 0;
        for batch in &mut self.batches {
            set_base_offset(batch, self.end).expect("a batch");
            self.end = BatchView::new(batch).expect("a batch").last_offset() + 1;
        }
    }
}

impl Scripted {
    pub(crate) fn start(partitions: usize) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = State { logs: (0..partitions).map(|_| Log::default()).collect(), ..State::default() };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, port, &state));
            }
        });
        Scripted { port, state }
    }

    pub(crate) fn bootstrap(&self) -> Bootstrap {
        format!("127.0.0.1:{}", self.port).parse().expect("an address")
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.0.lock())
    }

    pub(crate) fn append(&self, partition: usize, values: &[&[u8]]) {
        let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
        for value in values {
            builder.append(1, None, Some(value), &[]).expect("room");
        }
        let batch = builder.build().expect("a batch");
        self.with(|state| state.logs[partition].append(&batch));
    }

    pub(crate) fn records_by_partition(&self) -> Vec<i64> {
        self.with(|state| state.logs.iter().map(|log| log.end).collect())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.with(|state| state.logs.iter().flat_map(|log| &log.batches).map(|batch| batch.len() as u64).sum())
    }

    pub(crate) fn refuse_produce_to(&self, partition: i32, code: ErrorCode) {
        self.with(|state| state.refuse_produce.insert(partition, code));
    }

    pub(crate) fn refuse_fetch_of(&self, partition: i32, code: ErrorCode) {
        self.with(|state| state.refuse_fetch.insert(partition, code));
    }

    pub(crate) fn wait_until_refused(&self) {
        self.wait_while(|state| state.refused == 0);
    }

    /// Waits until every partition has so many records.
    pub(crate) fn wait_until_written(&self, records: i64) {
        self.wait_while(|state| state.logs.iter().any(|log| log.end < records));
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) {
        let mut state = self.state.0.lock();
        let result = self.state.1.wait_while_for(&mut state, |state| condition(state), DEADLINE);
        assert!(!result.timed_out(), "what was waited for has not come");
    }

    /// The next so many batches are taken, and their connections lost.
    pub(crate) fn disconnect_after_produce(&self, times: u32) {
        self.with(|state| state.disconnect_after_produce = times);
    }

    pub(crate) fn stall_produce_once(&self, time: Duration) {
        self.with(|state| state.stall_produce = Some(time));
    }

    /// Batches are acknowledged and dropped.
    pub(crate) fn swallow_produce(&self) {
        self.with(|state| state.swallow_produce = true);
    }

    /// Flips a bit in a batch.
    pub(crate) fn damage(&self, partition: usize, batch: usize) {
        self.with(|state| *state.logs[partition].batches[batch].last_mut().expect("a byte") ^= 1);
    }

    /// Takes a batch out; the offsets of the others stay.
    pub(crate) fn remove(&self, partition: usize, batch: usize) {
        self.with(|state| drop(state.logs[partition].batches.remove(batch)));
    }

    /// Cuts off all batches from this one on.
    pub(crate) fn truncate(&self, partition: usize, batch: usize) {
        self.with(|state| {
            state.logs[partition].batches.truncate(batch);
            state.logs[partition].renumber();
        });
    }

    /// Lets two batches of the same size change places.
    pub(crate) fn swap(&self, partition: usize, a: usize, b: usize) {
        self.with(|state| {
            state.logs[partition].batches.swap(a, b);
            state.logs[partition].renumber();
        });
    }

    /// Appends a batch of one partition to another.
    pub(crate) fn copy(&self, from: usize, batch: usize, to: usize) {
        self.with(|state| {
            let batch = state.logs[from].batches[batch].clone();
            state.logs[to].append(&batch);
        });
    }

    /// Changes the value of a batch's only record; its CRC is right.
    pub(crate) fn rewrite(&self, partition: usize, batch: usize, change: impl FnOnce(&mut Vec<u8>)) {
        self.with(|state| {
            let log = &mut state.logs[partition];
            let view = BatchView::new(&log.batches[batch]).expect("a batch");
            let records = view.records(&DecompressLimits::default()).expect("records");
            let mut value = records.iter().next().expect("one").expect("sound").value.expect("a value").to_vec();
            change(&mut value);
            let mut builder = BatchBuilder::new(Compression::None, usize::MAX).base_offset(view.base_offset());
            builder.append(1, None, Some(&value), &[]).expect("room");
            log.batches[batch] = builder.build().expect("a batch");
        });
    }
}

fn serve(mut stream: TcpStream, port: u16, state: &(Mutex<State>, Condvar)) {
    use std::io::{Read, Write};
    stream.set_nodelay(true).expect("a socket");
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut body).expect("a whole frame");
        let mut reader = Reader::new(&body);
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let stall = state.0.lock().stall_produce.take_if(|_| header.api() == Some(ApiKey::Produce));
        if let Some(stall) = stall {
            // Asleep in the way of everything behind it, as a broker that stalls is.
            Control::new().pause(stall);
        }
        let answer = {
            let mut state_now = state.0.lock();
            let answer = match header.api().expect("a known API") {
                ApiKey::ApiVersions => answer::<ApiVersionsRequest<'_>>(&header, &mut reader, |_| Some(ApiVersionsResponse::default())),
                ApiKey::Metadata => answer::<MetadataRequest<'_>>(&header, &mut reader, |_| Some(state_now.metadata(port))),
                ApiKey::Produce => answer::<ProduceRequest<'_>>(&header, &mut reader, |request| state_now.produce(&request)),
                ApiKey::Fetch => fetch(&header, &mut reader, &mut state_now),
                ApiKey::ListOffsets => answer::<ListOffsetsRequest<'_>>(&header, &mut reader, |request| Some(state_now.offsets(&request))),
                ApiKey::InitProducerId => {
                    state_now.producers += 1;
                    let producer_id = state_now.producers;
                    let response = InitProducerIdResponse { producer_id, ..Default::default() };
                    answer::<InitProducerIdRequest<'_>>(&header, &mut reader, |_| Some(response))
                }
                other => coordinators::answer(other, &header, &mut reader, &mut state_now, port),
            };
            state.1.notify_all();
            if header.api() == Some(ApiKey::Produce) && answer.is_some() && state_now.disconnect_after_produce > 0 {
                state_now.disconnect_after_produce -= 1;
                return;
            }
            answer
        };
        if let Some(answer) = answer
            && stream.write_all(&answer).is_err()
        {
            return;
        }
    }
}

/// The frame that answers a request; `None` where it is not to be answered.
fn answer<'a, Q: Request<'a>>(
    header: &RequestHeader<'_>,
    reader: &mut Reader<'a>,
    respond: impl FnOnce(Q) -> Option<Q::Response<'a>>,
) -> Option<Vec<u8>> {
    let request = Q::decode(reader, header.api_version).expect("a request");
    reader.finish().expect("nothing behind it");
    Some(frame(header, Q::KEY, &respond(request)?))
}

fn frame<'m>(header: &RequestHeader<'_>, api: ApiKey, response: &impl Message<'m>) -> Vec<u8> {
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    let correlation_id = header.correlation_id;
    ResponseHeader { correlation_id }.encode(&mut writer, api, header.api_version).expect("room");
    response.encode(&mut writer, header.api_version).expect("an answer");
    writer.end_frame(mark).expect("not too long");
    writer.into_parts().buf
}

fn fetch(header: &RequestHeader<'_>, reader: &mut Reader<'_>, state: &mut State) -> Option<Vec<u8>> {
    let request = FetchRequest::decode(reader, header.api_version).expect("a request");
    let mut bytes_left = request.max_bytes as usize;
    let mut data = Vec::new();
    for asked in request.topics.iter().flat_map(|topic| &topic.partitions) {
        let log = &state.logs[asked.partition as usize];
        let error_code = state.refuse_fetch.get(&asked.partition).map_or(0, |code| code.as_i16());
        let mut bytes = Vec::new();
        for batch in &log.batches {
            let view = BatchView::new(batch).expect("a batch");
            if view.last_offset() >= asked.fetch_offset && error_code == 0 && (bytes.is_empty() || bytes.len() + batch.len() <= bytes_left)
            {
                bytes.extend_from_slice(batch);
            } else if view.last_offset() >= asked.fetch_offset {
                break;
            }
        }
        bytes_left = bytes_left.saturating_sub(bytes.len());
        data.push((asked.partition, error_code, log.end, bytes));
    }
    let partitions = data
        .iter()
        .map(|(partition_index, error_code, end, bytes)| PartitionData {
            partition_index: *partition_index,
            error_code: *error_code,
            high_watermark: *end,
            records: Records::Borrowed(bytes),
            ..Default::default()
        })
        .collect();
    let responses = vec![FetchableTopicResponse { topic: "t".into(), partitions, ..Default::default() }];
    Some(frame(header, ApiKey::Fetch, &FetchResponse { responses, ..Default::default() }))
}

impl State {
    fn metadata(&self, port: u16) -> MetadataResponse<'static> {
        let partition = |index| MetadataResponsePartition { partition_index: index as i32, leader_id: 1, ..Default::default() };
        let partitions = (0..self.logs.len()).map(partition).collect();
        MetadataResponse {
            brokers: vec![MetadataResponseBroker { node_id: 1, host: "127.0.0.1".into(), port: port.into(), ..Default::default() }],
            topics: vec![MetadataResponseTopic { name: Some("t".into()), partitions, ..Default::default() }],
            ..Default::default()
        }
    }

    fn produce(&mut self, request: &ProduceRequest<'_>) -> Option<ProduceResponse<'static>> {
        let mut partition_responses = Vec::new();
        for data in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
            let code = self.refuse_produce.get(&data.index).copied();
            self.refused += u64::from(code.is_some());
            let base_offset = match code {
                Some(_) => -1,
                None if self.swallow_produce => self.logs[data.index as usize].end,
                None => self.logs[data.index as usize].append(data.records.expect("a batch")),
            };
            let error_code = code.map_or(0, ErrorCode::as_i16);
            partition_responses.push(PartitionProduceResponse { index: data.index, error_code, base_offset, ..Default::default() });
        }
        let responses = vec![TopicProduceResponse { name: "t".into(), partition_responses, ..Default::default() }];
        (request.acks != 0).then(|| ProduceResponse { responses, ..Default::default() })
    }

    fn offsets(&self, request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
        let answer = |asked: &ottla_wire::message::list_offsets::ListOffsetsPartition| ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: if asked.timestamp == EARLIEST_TIMESTAMP { 0 } else { self.logs[asked.partition_index as usize].end },
            ..Default::default()
        };
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions).map(answer).collect();
        ListOffsetsResponse { topics: vec![ListOffsetsTopicResponse { name: "t".into(), partitions }], ..Default::default() }
    }
}
