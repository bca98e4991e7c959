//! A broker without sockets for tests: real controller, real partitions on a disk in memory; requests go in as bytes and answers come
//! out as bytes, through the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_cluster::controller::{Command, RegisterBroker};
use ottla_cluster::features::SUPPORTED;
use ottla_cluster::metadata::{BrokerEndpoint, SupportedLevels};
use ottla_cluster::transaction::Owner;
use ottla_log::MemDisk;
use ottla_log::log_dir::make_dir;
use ottla_model::config::ServerConfig;
use ottla_model::{BrokerEpoch, ClusterId, DirectoryId, ManualClock, TimestampMs, TopicPartition, Uuid};
use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::{ApiKey, Message, Reader, Request, ResponseHeader, Writer};
use tempfile::TempDir;

use crate::api::{self, Answer, CloseReason, ConnectionId, ListenerInfo, ListenerKind, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::controller::{ControllerConfig, ControllerHandle};
use crate::coordinator::Ask;
use crate::metadata_publisher::MetadataPublisher;
use crate::partition::{LogDirSpec, PartitionManager};
use crate::threads::NetworkThreads;

pub(crate) const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";
/// What the clock shows at first: later than any retention counts from.
pub(crate) const START: TimestampMs = TimestampMs(1_800_000_000_000);

/// Answers whether partitions take part in a transaction.
pub(crate) type ScriptedCoordinator = Box<dyn Fn(&str, Owner, BTreeSet<TopicPartition>, Ask) -> api::Asking + Send + Sync>;

pub(crate) struct TestBroker {
    pub context: Arc<BrokerContext>,
    pub disk: MemDisk,
    pub clock: Arc<ManualClock>,
    publisher: Option<MetadataPublisher>,
    metadata_dir: Option<TempDir>,
    overrides: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The whole frame less its length.
    Answer(Vec<u8>),
    Nothing,
    Closed(CloseReason),
}

impl TestBroker {
    pub async fn start() -> TestBroker {
        TestBroker::with(&[]).await
    }

    /// With these broker configs.
    pub async fn with(overrides: &[(&str, &str)]) -> TestBroker {
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TestBroker::open(tempfile::tempdir().unwrap(), MemDisk::new(), overrides, None).await
    }

    /// `permits`: only so many of the logs that are there are opened.
    async fn open(metadata_dir: TempDir, disk: MemDisk, overrides: Vec<(String, String)>, permits: Option<usize>) -> TestBroker {
        let mut all = vec![("log.dirs".to_owned(), "/d0,/d1".to_owned())];
        all.extend(overrides.iter().cloned());
        let config = Arc::new(ServerConfig::parse(None, &all).unwrap().0);
        let cluster_id = ClusterId(CLUSTER.to_owned());
        let controller = ControllerHandle::start(ControllerConfig {
            node_id: config.node_id,
            log_dir: metadata_dir.path().to_owned(),
            directory_id: DirectoryId(Uuid::from_bytes([7; 16])),
            cluster_id: cluster_id.clone(),
            may_format: true,
            server: Arc::clone(&config),
        })
        .await
        .unwrap();
        let dirs: Vec<LogDirSpec> = config
            .log_dirs
            .iter()
            .map(|path| {
                make_dir(&disk, path).unwrap();
                // The same whichever others are there.
                let last = path.as_os_str().as_encoded_bytes().last().copied().unwrap();
                LogDirSpec { path: path.clone(), id: DirectoryId(Uuid::from_bytes([last; 16])) }
            })
            .collect();
        let clock = Arc::new(ManualClock::new(START));
        let threads = NetworkThreads::default();
        let partitions =
            PartitionManager::new(config.node_id, dirs.clone(), || Arc::new(disk.clone()), Arc::clone(&clock) as _, &threads).unwrap();
        partitions.opening.permit(permits);
        let (context, publisher) =
            BrokerContext::start(Arc::clone(&config), controller, Arc::new(partitions), Arc::clone(&clock) as _, 1, threads).unwrap();
        let features = SUPPORTED.iter().map(|f| (f.name.to_owned(), SupportedLevels { min: f.level_min, max: f.level_max }));
        let register = Command::RegisterBroker(RegisterBroker {
            broker_id: config.node_id,
            cluster_id,
            incarnation_id: Uuid::from_bytes([9; 16]),
            end_points: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: "broker.example".to_owned(),
                port: 9092,
                security_protocol: 0,
            }],
            features: features.collect::<BTreeMap<_, _>>(),
            rack: Some("rack-a".to_owned()),
            log_dirs: dirs.iter().map(|d| d.id).collect(),
            ready: true,
        });
        context.command(register, deadline_after(60_000)).await.unwrap();
        if permits.is_none() {
            context.partitions.all_opened().await;
        }
        TestBroker { context, disk, clock, publisher: Some(publisher), metadata_dir: Some(metadata_dir), overrides }
    }

    /// Stops it; `cleanly` closes the logs, otherwise they are left as a killed process leaves them.
    pub async fn restart(self, cleanly: bool) -> TestBroker {
        self.context.transactions.stop().await;
        self.context.groups.stop().await;
        if cleanly {
            let partitions = Arc::clone(&self.context.partitions);
            tokio::task::spawn_blocking(move || partitions.close(BrokerEpoch(5))).await.unwrap();
        }
        let disk = if cleanly { self.disk.clone() } else { self.disk.kill() };
        self.restart_on(disk).await
    }

    /// The same; of the logs that are there only `permits` are opened, until `partitions.opening` permits more.
    pub async fn restart_opening(self, cleanly: bool, permits: usize) -> TestBroker {
        self.context.transactions.stop().await;
        self.context.groups.stop().await;
        if cleanly {
            let partitions = Arc::clone(&self.context.partitions);
            tokio::task::spawn_blocking(move || partitions.close(BrokerEpoch(5))).await.unwrap();
        }
        let disk = if cleanly { self.disk.clone() } else { self.disk.kill() };
        self.start_again(disk, Some(permits)).await
    }

    /// Stops it without a word to its logs, and starts it on what is left of its disk.
    pub async fn restart_on(self, disk: MemDisk) -> TestBroker {
        self.start_again(disk, None).await
    }

    async fn start_again(mut self, disk: MemDisk, permits: Option<usize>) -> TestBroker {
        self.context.transactions.stop().await;
        self.context.groups.stop().await;
        self.publisher.take().unwrap().stop().await;
        self.context.controller.shutdown().await;
        let TestBroker { context, metadata_dir, overrides, .. } = self;
        drop(context);
        TestBroker::open(metadata_dir.unwrap(), disk, overrides, permits).await
    }

    /// Stops it, and starts it with another `log.dirs`.
    pub async fn restart_with_dirs(mut self, dirs: &str) -> TestBroker {
        self.overrides.push(("log.dirs".to_owned(), dirs.to_owned()));
        self.restart(true).await
    }

    /// Starts a request, as the connection does; gives its answer or what it waits for.
    pub fn begin(&self, key: ApiKey, version: i16, client_id: Option<&str>, body: &[u8]) -> (Answer, Writer) {
        let listener = ListenerInfo { name: "PLAINTEXT".to_owned(), kind: ListenerKind::Broker };
        let cx = RequestContext {
            version,
            correlation_id: 7,
            client_id,
            peer: "127.0.0.1:50000".parse().unwrap(),
            listener: &listener,
            connection: ConnectionId(1),
        };
        let mut out = Writer::new();
        let api = api::lookup(key.as_i16(), ListenerKind::Broker).expect("the API is in the registry");
        let answer =
            api::dispatch(&self.context, api, &cx, Reader::new(body), Reply::new(&mut out, &self.context.metrics, key, version, 7));
        (answer, out)
    }

    /// One request as bytes, to its end.
    pub async fn call_bytes(&self, key: ApiKey, version: i16, client_id: Option<&str>, body: &[u8]) -> Outcome {
        let (answer, out) = self.begin(key, version, client_id, body);
        end(answer, out).await
    }

    /// One request; its answer is still to be decoded.
    pub async fn call<'q, Q: Request<'q>>(&self, version: i16, request: &Q) -> Outcome {
        self.call_bytes(Q::KEY, version, Some("test"), &encoded(request, version)).await
    }

    /// The topic, made with these configs.
    pub async fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> ottla_model::TopicId {
        use ottla_cluster::controller::{CreateTopics, NewTopic, Reply, TopicPlacement};
        let topic = NewTopic {
            name: name.to_owned(),
            placement: TopicPlacement::Counts { partitions, replication_factor: 1 },
            configs: configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let command = Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false });
        match self.context.command(command, deadline_after(60_000)).await.unwrap() {
            Reply::TopicsCreated(mut created) => created.remove(0).unwrap().id,
            other => panic!("{other:?}"),
        }
    }

    /// A partition of this broker.
    pub fn partition(&self, topic: &str, partition: i32) -> Arc<crate::partition::Partition> {
        self.context.partition(topic, ottla_model::PartitionId(partition)).unwrap()
    }
}

pub(crate) async fn end(answer: Answer, out: Writer) -> Outcome {
    let framed = match answer {
        Answer::Sent => out,
        Answer::Nothing => return Outcome::Nothing,
        Answer::Close(reason) => return Outcome::Closed(reason),
        Answer::Later(pending) | Answer::Held(pending) => match pending.await.0 {
            Ok(framed) if framed.is_empty() => return Outcome::Nothing,
            Ok(framed) => framed,
            Err(reason) => return Outcome::Closed(reason),
        },
    };
    let encoded = framed.into_parts();
    assert!(encoded.files.is_empty(), "the disk in memory has no file ranges");
    let length = u32::from_be_bytes(encoded.buf[..4].try_into().unwrap()) as usize;
    assert_eq!(encoded.buf.len(), 4 + length, "the frame's length is that of the frame");
    Outcome::Answer(encoded.buf[4..].to_vec())
}

/// A fetch of one partition from this offset on, up to 1 MiB.
pub(crate) fn fetch_of(topic: &str, partition: i32, fetch_offset: i64, max_wait_ms: i32) -> FetchRequest<'_> {
    let partitions = vec![FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() }];
    let topics = vec![FetchTopic { topic, partitions, ..Default::default() }];
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() }
}

/// A request's body.
pub(crate) fn encoded<'q, Q: Request<'q>>(request: &Q, version: i16) -> Vec<u8> {
    let mut body = Writer::new();
    request.encode(&mut body, version).unwrap();
    body.into_parts().buf
}

impl Outcome {
    /// The answer, read as that of an API and version.
    pub fn decode<'r, R: Message<'r>>(&'r self, version: i16) -> R {
        let Outcome::Answer(bytes) = self else { panic!("no answer: {self:?}") };
        let mut reader = Reader::new(bytes);
        assert_eq!(ResponseHeader::decode(&mut reader, R::KEY, version).unwrap().correlation_id, 7);
        let response = R::decode(&mut reader, version).unwrap();
        assert_eq!(reader.remaining(), 0, "nothing follows the answer");
        response
    }
}

/// One batch with these values.
pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    batch_of(values, Compression::None, None)
}

/// One batch with these values, from a producer with id, epoch and sequence.
pub(crate) fn batch_of(values: &[&str], compression: Compression, producer: Option<(i64, i16, i32)>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression, 1 << 20);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(id, epoch, sequence);
    }
    for value in values {
        builder.append(START.0, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}

/// The values in some batches, with their offsets.
pub(crate) fn values(records: &[u8]) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for view in ottla_wire::batch::Batches::new(records) {
        let records = view.unwrap().records(&Default::default()).unwrap();
        for record in records.iter() {
            let record = record.unwrap();
            all.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
    all
}
