//! Groups: who coordinates one, and the questions to its coordinator that are the same for administrators and members.
//!
//! Owns when another coordinator is looked for. Knows nothing of positions or records: those are the consumer's.

mod admin;
pub(crate) mod assignors;
mod classic;
mod coordinated;
pub(crate) mod membership;
pub(crate) mod offsets;

use ottla_model::NodeId;
use ottla_wire::error::ErrorCode;
use ottla_wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP};
use tokio::time::{Instant, sleep};

pub use admin::{GroupDescription, GroupKind, GroupListing, GroupMember, LastRebalance};
pub use offsets::CommittedOffset;

use crate::backoff::random_u32;
use crate::client::{Deadline, Purpose};
use crate::connection::Connection;
use crate::{BrokerInfo, Client, ClientError};

/// First version of FindCoordinator that asks for several keys at once.
const SEVERAL_KEYS: i16 = 4;

/// What errors about a group are about.
pub(crate) fn subject(group: &str) -> String {
    format!("group `{group}`")
}

/// The error of a code, if it is one.
pub(crate) fn check(group: &str, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match crate::error::code(error_code) {
        ErrorCode::None => Ok(()),
        code => {
            let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
            Err(ClientError::Refused { subject: subject(group), code, message })
        }
    }
}

/// Whether a question to a coordinator is worth another try: it is loading, or is another by now.
pub(crate) fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { code, .. } => code.retriable(),
        ClientError::Connect { .. } | ClientError::Unreachable { .. } => true,
        _ => false,
    }
}

/// Asks any broker once who coordinates a group.
pub(crate) async fn find_coordinator_once(client: &Client, group: &str) -> Result<BrokerInfo, ClientError> {
    let connection = client.any_connection().await?;
    let version = connection.version::<FindCoordinatorRequest<'_>>(i16::MAX)?;
    let several = version >= SEVERAL_KEYS;
    let request = FindCoordinatorRequest {
        key: if several { "" } else { group },
        key_type: KEY_TYPE_GROUP,
        coordinator_keys: if several { vec![group] } else { Vec::new() },
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: FindCoordinatorResponse<'_> = answer.decode()?;
    let (code, message, id, host, port) = if several {
        let found = response.coordinators.first().ok_or_else(|| answer.malformed("no coordinator in it"))?;
        (found.error_code, found.error_message.as_deref(), found.node_id, &found.host, found.port)
    } else {
        (response.error_code, response.error_message.as_deref(), response.node_id, &response.host, response.port)
    };
    check(group, code, message)?;
    Ok(BrokerInfo { id: NodeId(id), host: host.to_string(), port, rack: None })
}

/// What may be asked again after a connection was lost while the answer was out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Asked twice it comes to the same.
    Lost,
    /// The second time it could be refused for what it did the first time.
    Refused,
}

/// Who coordinates a group, and the connection to it that all share.
pub(crate) async fn coordinator(client: &Client, group: &str) -> Result<(Connection, BrokerInfo), ClientError> {
    let coordinator = find_coordinator_once(client, group).await?;
    Ok((client.connection(coordinator.id, Purpose::General).await?, coordinator))
}

/// Tries at asking a coordinator, until the deadline has passed.
pub(crate) struct Tries {
    repeat: Repeat,
    deadline: Deadline,
    failures: u32,
}

impl Tries {
    pub(crate) fn new(client: &Client, repeat: Repeat) -> Tries {
        Tries { repeat, deadline: client.api_deadline(), failures: 0 }
    }

    /// Waits for the next try, or says that there is none.
    pub(crate) async fn failed(&mut self, client: &Client, group: &str, error: ClientError) -> Result<(), ClientError> {
        let lost = matches!(error, ClientError::Disconnected { .. } | ClientError::RequestTimeout { .. });
        // A member's epoch may move on while its commit is on its way (KIP-848).
        let late = error.code() == Some(ErrorCode::StaleMemberEpoch);
        if !(passes(&error) || late || lost && self.repeat == Repeat::Lost) {
            return Err(error);
        }
        if Instant::now() >= self.deadline.at {
            return Err(self.deadline.passed(format!("no coordinator of {} answered", subject(group)), Some(error)));
        }
        tracing::debug!(group, %error, "the coordinator is asked again");
        self.failures += 1;
        client.request_refresh();
        sleep(client.backoff().after(self.failures, random_u32())).await;
        Ok(())
    }
}

/// Asks a group's coordinator until it answers; looks for another one where that may help.
pub(crate) async fn ask_coordinator<T>(
    client: &Client,
    group: &str,
    repeat: Repeat,
    attempt: impl AsyncFn(Connection, &BrokerInfo) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut tries = Tries::new(client, repeat);
    loop {
        let tried = async {
            let (connection, coordinator) = coordinator(client, group).await?;
            attempt(connection, &coordinator).await
        };
        match tried.await {
            Ok(value) => return Ok(value),
            Err(error) => tries.failed(client, group, error).await?,
        }
    }
}
