//! Who coordinates a group or a transactional id, and the connection to it that all share.
//!
//! Asks once and keeps nothing: when another one is looked for is the callers' to decide.

use std::fmt;

use ottla_model::NodeId;
use ottla_wire::error::ErrorCode;
use ottla_wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP, KEY_TYPE_TRANSACTION};

use crate::client::Purpose;
use crate::connection::Connection;
use crate::{BrokerInfo, Client, ClientError};

/// First version of FindCoordinator that asks for several keys at once.
const SEVERAL_KEYS: i16 = 4;

/// What has a coordinator. Shown as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key<'k> {
    Group(&'k str),
    Transaction(&'k str),
}

impl<'k> Key<'k> {
    fn kind(self) -> i8 {
        match self {
            Key::Group(_) => KEY_TYPE_GROUP,
            Key::Transaction(_) => KEY_TYPE_TRANSACTION,
        }
    }

    fn name(self) -> &'k str {
        match self {
            Key::Group(name) | Key::Transaction(name) => name,
        }
    }

    /// The error of a code, if it is one.
    pub(crate) fn check(self, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
        match crate::error::code(error_code) {
            ErrorCode::None => Ok(()),
            code => {
                let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
                Err(ClientError::Refused { subject: self.to_string(), code, message })
            }
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Group(name) => write!(f, "group `{name}`"),
            Key::Transaction(name) => write!(f, "transactional id `{name}`"),
        }
    }
}

/// Asks any broker once who coordinates something.
pub(crate) async fn find(client: &Client, key: Key<'_>) -> Result<BrokerInfo, ClientError> {
    let connection = client.any_connection().await?;
    let version = connection.version::<FindCoordinatorRequest<'_>>(i16::MAX)?;
    let several = version >= SEVERAL_KEYS;
    let request = FindCoordinatorRequest {
        key: if several { "" } else { key.name() },
        key_type: key.kind(),
        coordinator_keys: if several { vec![key.name()] } else { Vec::new() },
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: FindCoordinatorResponse<'_> = answer.decode()?;
    let (code, message, id, host, port) = if several {
        let found = response.coordinators.first().ok_or_else(|| answer.malformed("no coordinator in it"))?;
        (found.error_code, found.error_message.as_deref(), found.node_id, &found.host, found.port)
    } else {
        (response.error_code, response.error_message.as_deref(), response.node_id, &response.host, response.port)
    };
    key.check(code, message)?;
    Ok(BrokerInfo { id: NodeId(id), host: host.to_string(), port, rack: None })
}

/// Who coordinates something, and the connection to it.
pub(crate) async fn connect(client: &Client, key: Key<'_>) -> Result<(Connection, BrokerInfo), ClientError> {
    let coordinator = find(client, key).await?;
    Ok((client.connection(coordinator.id, Purpose::General).await?, coordinator))
}
