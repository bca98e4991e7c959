//! A broker of one partition-log per topic partition, over loopback, that misbehaves as it is told.
//!
//! Keeps Kafka's rules where the client leans on them: answers in order, sequences checked and duplicates known.

mod groups;
pub mod transactions;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use ottla_client::ErrorCode;
use ottla_model::{Sequence, Uuid};
use ottla_wire::batch::{BatchView, EndTxnMarker, TxnResult, control_batch, set_base_offset};
use ottla_wire::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey};
use ottla_wire::message::fetch::{AbortedTransaction, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_wire::message::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::message::produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use ottla_wire::{ApiKey, Message, Reader, Records, RequestHeader, ResponseHeader, Writer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to one request of the kind that is scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is done and answered.
    Handle,
    /// It is refused, undone.
    Refuse(ErrorCode),
    /// The connection ends before it is looked at.
    DisconnectBefore,
    /// It is done, and the connection ends before the answer.
    DisconnectAfter,
    /// Neither done nor answered, and nothing after it on this connection is.
    Silence,
    /// Bytes that are no frame of ours.
    Garbage,
}

#[derive(Default)]
pub struct Log {
    pub batches: Vec<(i64, Vec<u8>)>,
    pub start_offset: i64,
    pub end_offset: i64,
    producers: HashMap<i64, Producer>,
    /// First offsets of open transactions, by producer.
    pub open: BTreeMap<i64, i64>,
    /// `(producer id, first offset)`.
    pub aborted: Vec<(i64, i64)>,
}

#[derive(Default)]
struct Producer {
    epoch: i16,
    next_sequence: i32,
    recent: VecDeque<(i32, i64)>,
}

impl Log {
    fn append(&mut self, bytes: &[u8]) -> (ErrorCode, i64) {
        let batch = BatchView::new(bytes).expect("one whole batch");
        batch.check_crc().expect("sound");
        if batch.has_producer_id() {
            let producer = self.producers.entry(batch.producer_id()).or_default();
            if batch.producer_epoch() > producer.epoch {
                *producer = Producer { epoch: batch.producer_epoch(), ..Producer::default() };
            }
            if batch.producer_epoch() < producer.epoch {
                return (ErrorCode::InvalidProducerEpoch, -1);
            }
            if let Some((_, offset)) = producer.recent.iter().find(|(sequence, _)| *sequence == batch.base_sequence()) {
                return (ErrorCode::None, *offset);
            }
            if batch.base_sequence() != producer.next_sequence {
                return (ErrorCode::OutOfOrderSequenceNumber, -1);
            }
            producer.next_sequence = Sequence(producer.next_sequence).plus(batch.record_count()).0;
            producer.recent.push_back((batch.base_sequence(), self.end_offset));
            if producer.recent.len() > 5 {
                producer.recent.pop_front();
            }
        }
        let offset = self.end_offset;
        if batch.is_transactional() {
            self.open.entry(batch.producer_id()).or_insert(offset);
        }
        self.end_offset += i64::from(batch.record_count());
        let mut bytes = bytes.to_vec();
        set_base_offset(&mut bytes, offset).expect("a batch");
        self.batches.push((offset, bytes));
        (ErrorCode::None, offset)
    }

    /// A transaction of a producer ends here, if it has one.
    pub fn mark(&mut self, producer_id: i64, epoch: i16, result: TxnResult) {
        let Some(first_offset) = self.open.remove(&producer_id) else { return };
        if result == TxnResult::Abort {
            self.aborted.push((producer_id, first_offset));
        }
        let producer = self.producers.entry(producer_id).or_default();
        if epoch > producer.epoch {
            *producer = Producer { epoch, ..Producer::default() };
        }
        let mut bytes = control_batch(EndTxnMarker { result, coordinator_epoch: 0 }, 0, producer_id, epoch).expect("a marker");
        set_base_offset(&mut bytes, self.end_offset).expect("a batch");
        self.batches.push((self.end_offset, bytes));
        self.end_offset += 1;
    }

    /// All transactions before are decided.
    fn last_stable_offset(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end_offset)
    }

    /// The values of all records, by offset.
    pub fn values(&self) -> Vec<String> {
        let limits = ottla_wire::batch::DecompressLimits::default();
        let mut values = Vec::new();
        for (_, bytes) in self.batches.iter().filter(|(_, bytes)| !BatchView::new(bytes).expect("a batch").is_control()) {
            let records = BatchView::new(bytes).expect("a batch").records(&limits).expect("sound");
            values.extend(
                records.iter().map(|record| String::from_utf8(record.expect("sound").value.expect("a value").to_vec()).expect("text")),
            );
        }
        values
    }

    fn read(&self, offset: i64, end: i64) -> Vec<u8> {
        self.batches
            .iter()
            .filter(|(base, _)| *base < end)
            .filter(|(base, bytes)| base + i64::from(BatchView::new(bytes).expect("a batch").record_count()) > offset)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect()
    }
}

#[derive(Default)]
pub struct State {
    /// Partitions by topic.
    pub topics: BTreeMap<String, i32>,
    pub logs: BTreeMap<(String, i32), Log>,
    pub produce: VecDeque<Step>,
    pub fetch: VecDeque<Step>,
    /// Errors that the next metadata answers give for their topics.
    pub metadata_errors: VecDeque<ErrorCode>,
    /// Versions of ApiVersions above this are answered as an old broker does.
    pub api_versions_max: Option<i16>,
    /// What was asked, in order.
    pub seen: Vec<(ApiKey, i16)>,
    pub group: groups::Group,
    pub transactions: transactions::Transactions,
    /// What happens to the next requests of other APIs.
    pub steps: HashMap<i16, VecDeque<Step>>,
    connections: u32,
}

impl State {
    pub fn count(&self, api: ApiKey) -> usize {
        self.seen.iter().filter(|(seen, _)| *seen == api).count()
    }
}

#[derive(Clone)]
pub struct ScriptedBroker {
    pub address: String,
    pub state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl ScriptedBroker {
    pub async fn start(topics: &[(&str, i32)]) -> ScriptedBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let topics = topics.iter().map(|(name, partitions)| ((*name).to_owned(), *partitions)).collect();
        let state = Arc::new(Mutex::new(State { topics, ..State::default() }));
        let broker = ScriptedBroker { address, state, changed: Arc::default() };
        let serving = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.state.lock().connections += 1;
                let serving = serving.clone();
                tokio::spawn(async move { drop(serving.serve(stream).await) });
            }
        });
        broker
    }

    pub fn script_produce(&self, steps: &[Step]) {
        self.state.lock().produce.extend(steps);
    }

    pub fn script_fetch(&self, steps: &[Step]) {
        self.state.lock().fetch.extend(steps);
    }

    pub fn values(&self, topic: &str, partition: i32) -> Vec<String> {
        self.state.lock().logs.get(&(topic.to_owned(), partition)).map(Log::values).unwrap_or_default()
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let len = stream.read_u32().await?;
            let mut frame = vec![0; len as usize];
            stream.read_exact(&mut frame).await?;
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).expect("a header");
            let api = header.api().expect("a known API");
            self.state.lock().seen.push((api, header.api_version));
            let step = {
                let mut state = self.state.lock();
                match api {
                    ApiKey::Produce => state.produce.pop_front(),
                    ApiKey::Fetch => state.fetch.pop_front(),
                    api => state.steps.get_mut(&api.as_i16()).and_then(VecDeque::pop_front),
                }
                .unwrap_or(Step::Handle)
            };
            let body = match step {
                Step::DisconnectBefore => return Ok(()),
                Step::Silence => std::future::pending().await,
                Step::Garbage => {
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                    continue;
                }
                step => self.handle(api, header.api_version, &mut reader, step).await,
            };
            if step == Step::DisconnectAfter {
                return Ok(());
            }
            let Some((version, body)) = body else { continue };
            let mut writer = Writer::new();
            let mark = writer.begin_frame();
            ResponseHeader { correlation_id: header.correlation_id }
                .encode(&mut writer, api, version)
                .expect("an answer that can be written");
            let mut bytes = {
                writer.end_frame(mark).expect("short");
                writer.into_parts().buf
            };
            bytes.extend_from_slice(&body);
            let len = (bytes.len() - 4) as u32;
            bytes[..4].copy_from_slice(&len.to_be_bytes());
            stream.write_all(&bytes).await?;
        }
    }

    /// The answer's version and body; none for acks=0.
    async fn handle(&self, api: ApiKey, version: i16, reader: &mut Reader<'_>, step: Step) -> Option<(i16, Vec<u8>)> {
        let refusal = match step {
            Step::Refuse(code) => Some(code),
            _ => None,
        };
        match api {
            ApiKey::ApiVersions => Some(self.api_versions(version)),
            ApiKey::Metadata => Some((version, encode(&self.metadata(&decode::<MetadataRequest<'_>>(reader, version)), version))),
            ApiKey::InitProducerId => {
                let request: InitProducerIdRequest<'_> = decode(reader, version);
                let response = match request.transactional_id {
                    None => InitProducerIdResponse { producer_id: 7, producer_epoch: 0, ..Default::default() },
                    Some(_) => self.state.lock().init_transactions(&request),
                };
                Some((version, encode(&response, version)))
            }
            ApiKey::Produce => {
                let request: ProduceRequest<'_> = decode(reader, version);
                let response = self.produce(&request, version, refusal);
                self.changed.notify_waiters();
                (request.acks != 0).then(|| (version, encode(&response, version)))
            }
            ApiKey::Fetch => {
                let request: FetchRequest<'_> = decode(reader, version);
                Some((version, self.fetch(&request, version, refusal).await))
            }
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest<'_> = decode(reader, version);
                Some((version, encode(&self.list_offsets(&request), version)))
            }
            ApiKey::FindCoordinator => {
                let (host, port) = self.address.rsplit_once(':').expect("host and port");
                let request = decode(reader, version);
                Some((version, encode(&self.state.lock().group.find(&request, host, port.parse().expect("a port")), version)))
            }
            ApiKey::AddPartitionsToTxn => Some((version, encode(&self.state.lock().add_partitions(&decode(reader, version)), version))),
            ApiKey::AddOffsetsToTxn => Some((version, encode(&self.state.lock().add_group(&decode(reader, version)), version))),
            ApiKey::EndTxn => {
                let response = self.state.lock().end_transaction(&decode(reader, version), version);
                self.changed.notify_waiters();
                Some((version, encode(&response, version)))
            }
            ApiKey::TxnOffsetCommit => {
                Some((version, encode(&self.state.lock().commit_in_transaction(&decode(reader, version), version), version)))
            }
            ApiKey::ListTransactions => Some((version, encode(&self.state.lock().list_transactions(&decode(reader, version)), version))),
            ApiKey::DescribeTransactions => {
                Some((version, encode(&self.state.lock().describe_transactions(&decode(reader, version)), version)))
            }
            ApiKey::DescribeProducers => Some((version, encode(&self.state.lock().describe_producers(&decode(reader, version)), version))),
            ApiKey::WriteTxnMarkers => Some((version, encode(&self.state.lock().write_markers(&decode(reader, version)), version))),
            ApiKey::JoinGroup => Some((version, encode(&self.state.lock().group.join(&decode(reader, version)), version))),
            ApiKey::SyncGroup => Some((version, encode(&self.state.lock().group.sync(&decode(reader, version)), version))),
            ApiKey::Heartbeat => Some((version, encode(&self.state.lock().group.beat(&decode(reader, version)), version))),
            ApiKey::LeaveGroup => Some((version, encode(&self.state.lock().group.leave(&decode(reader, version)), version))),
            ApiKey::OffsetCommit => Some((version, encode(&self.state.lock().group.commit(&decode(reader, version)), version))),
            ApiKey::OffsetFetch => Some((version, encode(&self.state.lock().group.fetch(&decode(reader, version)), version))),
            ApiKey::ConsumerGroupHeartbeat => {
                Some((version, encode(&self.state.lock().group.consumer_beat(&decode(reader, version)), version)))
            }
            other => panic!("the script knows nothing of {other:?}"),
        }
    }

    fn api_versions(&self, version: i16) -> (i16, Vec<u8>) {
        let (max, transaction_version, init_max) = {
            let state = self.state.lock();
            (state.api_versions_max, state.transactions.version, state.transactions.init_producer_id_max.unwrap_or(4))
        };
        let range = |api: ApiKey, min_version, max_version| ApiVersion { api_key: api.as_i16(), min_version, max_version };
        let api_keys = vec![
            range(ApiKey::Produce, 3, 12),
            range(ApiKey::Fetch, 4, 12),
            range(ApiKey::ListOffsets, 1, 7),
            range(ApiKey::Metadata, 0, 12),
            range(ApiKey::InitProducerId, 0, init_max),
            range(ApiKey::AddPartitionsToTxn, 0, 5),
            range(ApiKey::AddOffsetsToTxn, 0, 4),
            range(ApiKey::EndTxn, 0, 5),
            range(ApiKey::TxnOffsetCommit, 0, 5),
            range(ApiKey::ListTransactions, 0, 2),
            range(ApiKey::DescribeTransactions, 0, 0),
            range(ApiKey::DescribeProducers, 0, 0),
            range(ApiKey::WriteTxnMarkers, 1, 2),
            range(ApiKey::FindCoordinator, 4, 6),
            range(ApiKey::JoinGroup, 4, 9),
            range(ApiKey::SyncGroup, 3, 5),
            range(ApiKey::Heartbeat, 3, 4),
            range(ApiKey::LeaveGroup, 3, 5),
            range(ApiKey::OffsetCommit, 2, 9),
            range(ApiKey::OffsetFetch, 8, 9),
            range(ApiKey::ConsumerGroupHeartbeat, 0, 1),
            range(ApiKey::ApiVersions, 0, max.unwrap_or(*<ApiVersionsRequest<'_> as Message<'_>>::VERSIONS.end())),
        ];
        let unsupported = max.is_some_and(|max| version > max);
        let error_code = if unsupported { ErrorCode::UnsupportedVersion.as_i16() } else { 0 };
        let feature = FinalizedFeatureKey {
            name: "transaction.version".into(),
            max_version_level: transaction_version,
            min_version_level: transaction_version,
        };
        let response = ApiVersionsResponse {
            error_code,
            api_keys,
            finalized_features_epoch: 1,
            finalized_features: vec![feature],
            ..Default::default()
        };
        let version = if unsupported { 0 } else { version };
        (version, encode(&response, version))
    }

    fn metadata(&self, request: &MetadataRequest<'_>) -> MetadataResponse<'static> {
        let mut state = self.state.lock();
        let (host, port) = self.address.rsplit_once(':').expect("host and port");
        let asked: Vec<String> = request.topics.iter().flatten().filter_map(|topic| topic.name.map(str::to_owned)).collect();
        let error = if asked.is_empty() { None } else { state.metadata_errors.pop_front() };
        let topics = asked
            .into_iter()
            .map(|name| {
                let partitions = state.topics.get(&name).copied();
                let code = error.unwrap_or(if partitions.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition });
                let partitions = (0..partitions.filter(|_| code == ErrorCode::None).unwrap_or(0))
                    .map(|partition_index| MetadataResponsePartition {
                        partition_index,
                        leader_id: 1,
                        leader_epoch: 0,
                        replica_nodes: vec![1],
                        isr_nodes: vec![1],
                        ..Default::default()
                    })
                    .collect();
                MetadataResponseTopic {
                    error_code: code.as_i16(),
                    topic_id: Uuid::from_bytes([name.len() as u8 + 1; 16]),
                    name: Some(name.into()),
                    partitions,
                    ..Default::default()
                }
            })
            .collect();
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: host.to_owned().into(),
                port: port.parse().expect("a port"),
                ..Default::default()
            }],
            cluster_id: Some("scripted".into()),
            controller_id: 1,
            topics,
            ..Default::default()
        }
    }

    fn produce(&self, request: &ProduceRequest<'_>, version: i16, refusal: Option<ErrorCode>) -> ProduceResponse<'static> {
        let mut state = self.state.lock();
        let responses = request
            .topic_data
            .iter()
            .map(|topic| TopicProduceResponse {
                name: topic.name.to_owned().into(),
                partition_responses: topic
                    .partition_data
                    .iter()
                    .map(|partition| {
                        let bytes = partition.records.expect("records");
                        let refusal = refusal.or_else(|| state.transactions.refuses(version, topic.name, partition.index, bytes));
                        let log = state.logs.entry((topic.name.to_owned(), partition.index)).or_default();
                        let (code, base_offset) = refusal.map_or_else(|| log.append(bytes), |code| (code, -1));
                        PartitionProduceResponse { index: partition.index, error_code: code.as_i16(), base_offset, ..Default::default() }
                    })
                    .collect(),
                ..Default::default()
            })
            .collect();
        ProduceResponse { responses, ..Default::default() }
    }

    /// Waits for data as long as the request allows.
    async fn fetch(&self, request: &FetchRequest<'_>, version: i16, refusal: Option<ErrorCode>) -> Vec<u8> {
        let wait = std::time::Duration::from_millis(request.max_wait_ms as u64);
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let (body, empty) = self.fetch_now(request, version, refusal);
            if !empty || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return body;
            }
        }
    }

    fn fetch_now(&self, request: &FetchRequest<'_>, version: i16, refusal: Option<ErrorCode>) -> (Vec<u8>, bool) {
        let mut state = self.state.lock();
        let mut read = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let log = state.logs.entry((topic.topic.to_owned(), partition.partition)).or_default();
                let end = if request.isolation_level == 1 { log.last_stable_offset() } else { log.end_offset };
                let in_range = (log.start_offset..=log.end_offset).contains(&partition.fetch_offset);
                let code = refusal.unwrap_or(if in_range { ErrorCode::None } else { ErrorCode::OffsetOutOfRange });
                let bytes = if code == ErrorCode::None { log.read(partition.fetch_offset, end) } else { Vec::new() };
                let aborted = log
                    .aborted
                    .iter()
                    .map(|(producer_id, first_offset)| AbortedTransaction { producer_id: *producer_id, first_offset: *first_offset });
                let aborted: Option<Vec<AbortedTransaction>> = (request.isolation_level == 1).then(|| aborted.collect());
                read.push((topic.topic, partition.partition, code, log.end_offset, bytes, aborted));
            }
        }
        let empty = read.iter().all(|(_, _, code, _, bytes, _)| *code == ErrorCode::None && bytes.is_empty());
        let responses = read
            .iter()
            .map(|(topic, partition, code, end_offset, bytes, aborted)| FetchableTopicResponse {
                topic: (*topic).into(),
                partitions: vec![PartitionData {
                    partition_index: *partition,
                    error_code: code.as_i16(),
                    high_watermark: *end_offset,
                    aborted_transactions: aborted.clone(),
                    records: Records::Borrowed(bytes),
                    ..Default::default()
                }],
                ..Default::default()
            })
            .collect();
        (encode(&FetchResponse { responses, ..Default::default() }, version), empty)
    }

    fn list_offsets(&self, request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
        let mut state = self.state.lock();
        let topics = request
            .topics
            .iter()
            .map(|topic| ListOffsetsTopicResponse {
                name: topic.name.to_owned().into(),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| {
                        let log = state.logs.entry((topic.name.to_owned(), partition.partition_index)).or_default();
                        let found = match partition.timestamp {
                            EARLIEST_TIMESTAMP => Some((log.start_offset, -1)),
                            LATEST_TIMESTAMP if request.isolation_level == 1 => Some((log.last_stable_offset(), -1)),
                            LATEST_TIMESTAMP => Some((log.end_offset, -1)),
                            at => log.batches.iter().find_map(|(offset, bytes)| {
                                let timestamp = BatchView::new(bytes).expect("a batch").max_timestamp();
                                (timestamp >= at).then_some((*offset, timestamp))
                            }),
                        };
                        let (offset, timestamp) = found.unwrap_or((-1, -1));
                        ListOffsetsPartitionResponse { partition_index: partition.partition_index, offset, timestamp, ..Default::default() }
                    })
                    .collect(),
            })
            .collect();
        ListOffsetsResponse { topics, ..Default::default() }
    }
}

fn decode<'a, M: Message<'a>>(reader: &mut Reader<'a>, version: i16) -> M {
    M::decode(reader, version).expect("a request that can be read")
}

fn encode<'a>(message: &impl Message<'a>, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("an answer that can be written");
    writer.into_parts().buf
}
