//! [`Admin`]: makes, describes, changes and deletes topics and their configs. Groups are in [`group`](crate::group).
//!
//! Every call names what it is about in its errors, and is tried again where that may help, for `default.api.timeout.ms`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_model::{NodeId, TopicId};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic};
use ottla_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse};
use ottla_wire::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ottla_wire::message::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use ottla_wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use ottla_wire::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::metadata::{ClusterView, Topic};
use crate::retry::{Tries, again};
use crate::{BrokerInfo, Client, ClientError, PartitionInfo};

/// The first version in which DeleteTopics names topics one by one.
const DELETE_BY_STATE: i16 = 6;

/// Administers a cluster. Cheap to clone.
///
/// ```no_run
/// use ottla_client::{Admin, Client, ClientConfig, ConfigResource, NewTopic};
/// # async fn example() -> Result<(), ottla_client::ClientError> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let admin = Admin::new(&client);
/// admin.create_topic(NewTopic::new("logs").partitions(3).config("retention.ms", "3600000")).await?;
/// let topic = admin.describe_topic("logs").await?;
/// assert_eq!(topic.partitions.len(), 3);
/// for config in admin.describe_configs(&ConfigResource::Topic("logs".into())).await? {
///     println!("{}={}", config.name, config.value.unwrap_or_default());
/// }
/// admin.delete_topic("logs").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) client: Client,
}

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    configs: BTreeMap<String, String>,
    validate_only: bool,
}

impl NewTopic {
    /// A topic with the broker's defaults (`num.partitions`, `default.replication.factor`).
    pub fn new(name: &str) -> NewTopic {
        NewTopic { name: name.to_owned(), partitions: -1, replication_factor: -1, configs: BTreeMap::new(), validate_only: false }
    }

    /// How many partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> NewTopic {
        self.partitions = partitions;
        self
    }

    /// How many replicas of each.
    #[must_use]
    pub fn replication_factor(mut self, replication_factor: i16) -> NewTopic {
        self.replication_factor = replication_factor;
        self
    }

    /// A config other than the broker's default.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> NewTopic {
        self.configs.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Only asks whether it could be made.
    #[must_use]
    pub fn validate_only(mut self) -> NewTopic {
        self.validate_only = true;
        self
    }
}

/// A topic that was made. Brokers older than Kafka 2.4 do not say how many partitions and replicas it got: -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; zero where the broker knows none.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; zero where the broker knows none.
    pub id: TopicId,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// By index.
    pub partitions: Vec<PartitionInfo>,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The broker to ask about the cluster's affairs.
    pub controller: Option<NodeId>,
    /// The brokers.
    pub brokers: Vec<BrokerInfo>,
}

/// Something with configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(NodeId),
    /// What holds for all brokers that do not say otherwise.
    BrokerDefaults,
}

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) | ConfigResource::BrokerDefaults => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name) => name.clone(),
            ConfigResource::Broker(id) => id.to_string(),
            ConfigResource::BrokerDefaults => String::new(),
        }
    }

    fn subject(&self) -> String {
        match self {
            ConfigResource::Topic(name) => format!("topic `{name}`"),
            ConfigResource::Broker(id) => format!("broker {id}"),
            ConfigResource::BrokerDefaults => "the brokers' defaults".to_owned(),
        }
    }
}

/// Where a config's value comes from; Kafka's `ConfigSource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    BrokerDefaults,
    /// From `server.properties` or the command line.
    BrokerStatic,
    /// Nobody set it.
    Default,
    /// Something else that a newer broker knows.
    Other(i8),
}

impl ConfigSource {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::Broker => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::BrokerDefaults => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::BrokerStatic => "STATIC_BROKER_CONFIG",
            ConfigSource::Default => "DEFAULT_CONFIG",
            ConfigSource::Other(_) => "UNKNOWN",
        }
    }

    fn from_wire(config: &DescribeConfigsResourceResult<'_>) -> ConfigSource {
        match config.config_source {
            1 => ConfigSource::Topic,
            2 => ConfigSource::Broker,
            3 => ConfigSource::BrokerDefaults,
            4 => ConfigSource::BrokerStatic,
            5 => ConfigSource::Default,
            // Version 0 says only this much.
            -1 if config.is_default => ConfigSource::Default,
            other => ConfigSource::Other(other),
        }
    }
}

/// A config's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// Its name.
    pub name: String,
    /// `None`: not set, or secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed this way.
    pub read_only: bool,
    /// Whether it is a secret.
    pub sensitive: bool,
}

/// A change of one config (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Gives it a value.
    Set(String, String),
    /// Takes its value away: the default holds again.
    Delete(String),
    /// Adds to a list.
    Append(String, String),
    /// Takes from a list.
    Subtract(String, String),
}

impl ConfigChange {
    fn to_wire(&self) -> AlterableConfig<'_> {
        let (name, config_operation, value) = match self {
            ConfigChange::Set(name, value) => (name, 0, Some(value.as_str())),
            ConfigChange::Delete(name) => (name, 1, None),
            ConfigChange::Append(name, value) => (name, 2, Some(value.as_str())),
            ConfigChange::Subtract(name, value) => (name, 3, Some(value.as_str())),
        };
        AlterableConfig { name, config_operation, value }
    }
}

impl Admin {
    /// An admin of `client`'s cluster.
    pub fn new(client: &Client) -> Admin {
        Admin { client: client.clone() }
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the broker's reason: it exists, its name or a config is not valid …
    pub async fn create_topic(&self, topic: NewTopic) -> Result<CreatedTopic, ClientError> {
        again!(Tries::brokers(&self.client), self.create_topic_once(&topic))
    }

    async fn create_topic_once(&self, topic: &NewTopic) -> Result<CreatedTopic, ClientError> {
        let connection = self.client.controller_connection().await?;
        let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: &topic.name,
                num_partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                assignments: Vec::new(),
                configs,
            }],
            timeout_ms: self.timeout_ms(),
            validate_only: topic.validate_only,
        };
        let answer = connection.call(&request).await?;
        let response: CreateTopicsResponse<'_> = answer.decode()?;
        let result = response.topics.first().ok_or_else(|| answer.malformed("no topic in it"))?;
        check(|| format!("topic `{}`", topic.name), result.error_code, result.error_message.as_deref())?;
        Ok(CreatedTopic {
            name: topic.name.clone(),
            id: TopicId(result.topic_id),
            partitions: result.num_partitions,
            replication_factor: result.replication_factor,
        })
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or [`ClientError::Refused`] with the broker's reason.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        again!(Tries::brokers(&self.client), async {
            let connection = self.client.controller_connection().await?;
            let version = connection.version::<DeleteTopicsRequest<'_>>(i16::MAX)?;
            let by_state = version >= DELETE_BY_STATE;
            let request = DeleteTopicsRequest {
                topics: if by_state { vec![DeleteTopicState { name: Some(name), ..Default::default() }] } else { Vec::new() },
                topic_names: if by_state { Vec::new() } else { vec![name] },
                timeout_ms: self.timeout_ms(),
            };
            let answer = connection.submit(&request, version).await?.answer().await?;
            let response: DeleteTopicsResponse<'_> = answer.decode()?;
            let result = response.responses.first().ok_or_else(|| answer.malformed("no topic in it"))?;
            check_topic(name, result.error_code, result.error_message.as_deref())
        })
    }

    /// Raises the number of a topic's partitions. Keys may go to other partitions from then on.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or [`ClientError::Refused`] with the broker's reason.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), ClientError> {
        again!(Tries::brokers(&self.client), async {
            let connection = self.client.controller_connection().await?;
            let request = CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic { name, count, assignments: None }],
                timeout_ms: self.timeout_ms(),
                validate_only: false,
            };
            let answer = connection.call(&request).await?;
            let response: CreatePartitionsResponse<'_> = answer.decode()?;
            let result = response.results.first().ok_or_else(|| answer.malformed("no topic in it"))?;
            check_topic(name, result.error_code, result.error_message.as_deref())
        })
    }

    /// All topics, in the order of their names, with their partitions.
    ///
    /// # Errors
    /// What kept a broker from answering.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, ClientError> {
        again!(Tries::brokers(&self.client), async {
            let mut topics = self.ask_for_topics(None).await?;
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        })
    }

    /// One topic.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or what kept a broker from answering.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, ClientError> {
        again!(Tries::brokers(&self.client), async {
            let topics = self.ask_for_topics(Some(name)).await?;
            topics.into_iter().find(|topic| topic.name == name).ok_or_else(|| ClientError::UnknownTopic { topic: name.to_owned() })
        })
    }

    async fn ask_for_topics(&self, only: Option<&str>) -> Result<Vec<TopicDescription>, ClientError> {
        let connection = self.client.any_connection().await?;
        let version = connection.version::<MetadataRequest<'_>>(i16::MAX)?;
        // Null means all; version 0 has no null, there an empty list does.
        let topics = match only {
            Some(name) => Some(vec![MetadataRequestTopic { name: Some(name), ..Default::default() }]),
            None if version == 0 => Some(Vec::new()),
            None => None,
        };
        let request = MetadataRequest { topics, allow_auto_topic_creation: version < 4, ..Default::default() };
        let answer = connection.submit(&request, version).await?.answer().await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        for topic in &response.topics {
            let name = topic.name.as_deref().unwrap_or_default();
            let code = crate::error::code(topic.error_code);
            // While a leader is missing the description is good all the same.
            if code != ErrorCode::LeaderNotAvailable {
                check_topic(name, topic.error_code, None)?;
            }
        }
        let names: Vec<Arc<str>> = response.topics.iter().filter_map(|topic| topic.name.as_deref().map(Arc::from)).collect();
        let mut view = ClusterView::default();
        view.extend(&response, &ClusterView::default(), &names, 0);
        let describe = |topic: &Arc<Topic>| TopicDescription {
            name: topic.name.to_string(),
            id: topic.id,
            internal: topic.internal,
            partitions: topic.partitions.clone(),
        };
        Ok(view.topics.values().map(describe).collect())
    }

    /// The configs of something, in the order of their names, secrets without values.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or [`ClientError::Refused`] with the broker's reason.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigValue>, ClientError> {
        let name = resource.name();
        again!(Tries::brokers(&self.client), async {
            let connection = match resource {
                // A broker knows its own.
                ConfigResource::Broker(id) => self.client.connection(*id, crate::client::Purpose::General).await?,
                _ => self.client.any_connection().await?,
            };
            let request = DescribeConfigsRequest {
                resources: vec![DescribeConfigsResource { resource_type: resource.kind(), resource_name: &name, configuration_keys: None }],
                ..Default::default()
            };
            let answer = connection.call(&request).await?;
            let response: DescribeConfigsResponse<'_> = answer.decode()?;
            let result = response.results.first().ok_or_else(|| answer.malformed("no resource in it"))?;
            check_resource(resource, result.error_code, result.error_message.as_deref())?;
            let mut values: Vec<ConfigValue> = result
                .configs
                .iter()
                .map(|config| ConfigValue {
                    name: config.name.to_string(),
                    value: config.value.as_ref().map(|value| value.to_string()),
                    source: ConfigSource::from_wire(config),
                    read_only: config.read_only,
                    sensitive: config.is_sensitive,
                })
                .collect();
            values.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(values)
        })
    }

    /// Changes configs of something, all of them or none. Those not named stay as they are.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or [`ClientError::Refused`] with the broker's reason.
    pub async fn incremental_alter_configs(&self, resource: &ConfigResource, changes: &[ConfigChange]) -> Result<(), ClientError> {
        let name = resource.name();
        again!(Tries::brokers(&self.client), async {
            let connection = match resource {
                ConfigResource::Broker(id) => self.client.connection(*id, crate::client::Purpose::General).await?,
                _ => self.client.controller_connection().await?,
            };
            let request = IncrementalAlterConfigsRequest {
                resources: vec![AlterConfigsResource {
                    resource_type: resource.kind(),
                    resource_name: &name,
                    configs: changes.iter().map(ConfigChange::to_wire).collect(),
                }],
                validate_only: false,
            };
            let answer = connection.call(&request).await?;
            let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
            let result = response.responses.first().ok_or_else(|| answer.malformed("no resource in it"))?;
            check_resource(resource, result.error_code, result.error_message.as_deref())
        })
    }

    /// The cluster's id, brokers and controller.
    ///
    /// # Errors
    /// What kept a broker from answering.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        again!(Tries::brokers(&self.client), async {
            let connection = self.client.any_connection().await?;
            let answer = connection.call(&DescribeClusterRequest::default()).await?;
            let response: DescribeClusterResponse<'_> = answer.decode()?;
            check(|| "the cluster".to_owned(), response.error_code, response.error_message.as_deref())?;
            let mut brokers: Vec<BrokerInfo> = response
                .brokers
                .iter()
                .map(|broker| BrokerInfo {
                    id: NodeId(broker.broker_id),
                    host: broker.host.to_string(),
                    port: broker.port,
                    rack: broker.rack.as_ref().map(|rack| rack.to_string()),
                })
                .collect();
            brokers.sort_by_key(|broker| broker.id);
            let controller = Some(NodeId(response.controller_id)).filter(|id| *id != NodeId::NONE);
            Ok(ClusterDescription { cluster_id: response.cluster_id.to_string(), controller, brokers })
        })
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.config().request_timeout_ms).unwrap_or(i32::MAX)
    }
}

fn check(subject: impl FnOnce() -> String, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match crate::error::code(error_code) {
        ErrorCode::None => Ok(()),
        code => {
            let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
            Err(ClientError::Refused { subject: subject(), code, message })
        }
    }
}

fn check_topic(name: &str, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    if crate::error::code(error_code) == ErrorCode::UnknownTopicOrPartition {
        return Err(ClientError::UnknownTopic { topic: name.to_owned() });
    }
    check(|| format!("topic `{name}`"), error_code, message)
}

fn check_resource(resource: &ConfigResource, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match resource {
        ConfigResource::Topic(name) => check_topic(name, error_code, message),
        _ => check(|| resource.subject(), error_code, message),
    }
}
