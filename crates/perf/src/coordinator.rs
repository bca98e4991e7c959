//! Who coordinates which group or transaction. Asks until there is an answer: the first question makes the internal topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_wire::message::find_coordinator::FindCoordinatorRequest;

use crate::connection::version;
use crate::{Bootstrap, Control, PerfError};

/// How long the internal topic may take until it is made and led.
pub(crate) const COORDINATOR_WAIT: Duration = Duration::from_secs(30);
/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(20);
/// Keys in one question.
const KEYS_MAX: usize = 1_000;

/// The address of each key's coordinator, in the order of the keys.
pub(crate) fn coordinators(
    bootstrap: &Bootstrap,
    key_type: i8,
    keys: &[String],
    wait: Duration,
    control: &Control,
) -> Result<Vec<Arc<str>>, PerfError> {
    let started = Instant::now();
    loop {
        match coordinators_now(bootstrap, key_type, keys) {
            Err(error) if error.is_transient() && started.elapsed() < wait && control.pause(TRY_PAUSE) => {}
            result => return result,
        }
    }
}

/// The same by one look.
pub(crate) fn coordinators_now(bootstrap: &Bootstrap, key_type: i8, keys: &[String]) -> Result<Vec<Arc<str>>, PerfError> {
    let mut connection = bootstrap.connect()?;
    let mut found: Vec<Arc<str>> = Vec::with_capacity(keys.len());
    for part in keys.chunks(KEYS_MAX) {
        let coordinator_keys = part.iter().map(String::as_str).collect();
        let request = FindCoordinatorRequest { key: "", key_type, coordinator_keys };
        let response = connection.call(&request, version::FIND_COORDINATOR)?;
        // Brokers need not answer in the order of the keys.
        let by_key: std::collections::HashMap<&str, _> = response.coordinators.iter().map(|one| (&*one.key, one)).collect();
        let mut missing = None;
        for key in part {
            let Some(one) = by_key.get(key.as_str()) else {
                missing = Some(key);
                break;
            };
            if one.error_code != 0 {
                let said = one.error_message.as_deref().map(str::to_owned);
                return Err(PerfError::Refused { subject: format!("coordinator of `{key}`"), code: one.error_code, said });
            }
            let address = format!("{}:{}", one.host, one.port);
            // One address, held once, however many keys it has.
            let known = found.iter().rev().take(KEYS_MAX).find(|known| ***known == *address).cloned();
            found.push(known.unwrap_or_else(|| Arc::from(address)));
        }
        if let Some(key) = missing {
            let key = key.clone();
            return Err(connection.unanswered("FindCoordinator", format!("`{key}`")));
        }
    }
    Ok(found)
}

/// A refusal, where the code is one.
pub(crate) fn refused(code: i16, subject: impl FnOnce() -> String) -> Result<(), PerfError> {
    match code {
        0 => Ok(()),
        code => Err(PerfError::Refused { subject: subject(), code, said: None }),
    }
}
