//! A cluster in memory: an image, and the commands that change it.
#![allow(dead_code, clippy::unwrap_used)]

use ottla_cluster::controller::{
    Command, Context, Controller, ControllerError, CreateTopics, CreatedTopic, Format, NewTopic, RegisterBroker, Reply, TopicPlacement,
};
use ottla_cluster::features::SUPPORTED;
use ottla_cluster::metadata::{BrokerEndpoint, MetadataImage, MetadataPosition, MetadataRecord, SupportedLevels};
use ottla_model::config::{Overrides, ServerConfig};
use ottla_model::{ClusterId, DirectoryId, NodeId, PartitionId, Uuid};

pub fn cluster_id() -> ClusterId {
    ClusterId("5L6g3nShT-eMCtK--X86sw".to_owned())
}

pub struct Cluster {
    pub image: MetadataImage,
    pub log: Vec<Vec<MetadataRecord>>,
    server: ServerConfig,
}

impl Cluster {
    /// This many brokers, all ready, numbered from 1, each on a host of its own.
    pub fn of(brokers: i32) -> Cluster {
        Cluster::with(brokers, &[])
    }

    pub fn with(brokers: i32, server: &[(&str, &str)]) -> Cluster {
        let server: Vec<(String, String)> = server.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let server = ServerConfig::parse(None, &server).unwrap().0;
        let mut cluster = Cluster { image: MetadataImage::default(), log: Vec::new(), server };
        cluster.run(Command::Format(Format { cluster_id: cluster_id() })).unwrap();
        for id in 1..=brokers {
            cluster.run(ready_broker(id)).unwrap();
        }
        cluster
    }

    /// Runs a command as one entry of the log.
    pub fn run(&mut self, command: Command) -> Result<Reply, ControllerError> {
        self.run_together(std::slice::from_ref(&command)).remove(0)
    }

    /// Runs commands as one entry of the log.
    pub fn run_together(&mut self, commands: &[Command]) -> Vec<Result<Reply, ControllerError>> {
        let index = self.log.len() as u64;
        let mut seed = [0x5a; 16];
        seed[..8].copy_from_slice(&index.to_le_bytes());
        let mut controller = Controller::new(self.image.clone(), &self.server, &Context { seed, next_index: index });
        let replies = commands.iter().map(|command| controller.execute(command)).collect();
        let records = controller.into_records();
        self.image.apply_entry(MetadataPosition { term: 1, index }, &records).unwrap();
        self.image.check().unwrap();
        self.log.push(records);
        replies
    }

    pub fn create(&mut self, command: CreateTopics) -> Result<Vec<Result<CreatedTopic, ControllerError>>, ControllerError> {
        match self.run(Command::CreateTopics(command))? {
            Reply::TopicsCreated(created) => Ok(created),
            other => panic!("{other:?}"),
        }
    }
}

pub fn ready_broker(id: i32) -> Command {
    Command::RegisterBroker(RegisterBroker {
        broker_id: NodeId(id),
        cluster_id: cluster_id(),
        incarnation_id: Uuid::from_bytes([id as u8; 16]),
        end_points: vec![BrokerEndpoint { name: "PLAINTEXT".to_owned(), host: format!("host-{id}"), port: 9092, security_protocol: 0 }],
        features: SUPPORTED
            .iter()
            .map(|feature| (feature.name.to_owned(), SupportedLevels { min: feature.level_min, max: feature.level_max }))
            .collect(),
        rack: None,
        log_dirs: vec![DirectoryId(Uuid::from_bytes([id as u8 + 100; 16]))],
        ready: true,
    })
}

pub fn counts(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { name: name.to_owned(), placement: TopicPlacement::Counts { partitions, replication_factor }, configs: Overrides::new() }
}

pub fn manual(name: &str, assignments: Vec<(PartitionId, Vec<NodeId>)>) -> NewTopic {
    NewTopic { name: name.to_owned(), placement: TopicPlacement::Manual(assignments), configs: Overrides::new() }
}

pub fn create_one(cluster: &mut Cluster, topic: NewTopic) -> Result<CreatedTopic, ControllerError> {
    cluster.create(CreateTopics { topics: vec![topic], validate_only: false })?.remove(0)
}
