//! Configs of topics and brokers are changed.

use std::borrow::Cow;

use ottla_model::config::{ConfigChange, ConfigError, Overrides, ServerConfig, alter_broker, alter_topic};

use super::ControllerError;
use super::command::{AlterConfigs, ConfigResourceAlteration};
use super::draft::Draft;
use super::topics::{Each, count_each};
use crate::metadata::{ConfigResource, MetadataRecord};

pub(super) fn alter(draft: &mut Draft<'_>, command: &AlterConfigs) -> Each<()> {
    let times = count_each(command.resources.iter().map(|asked| &asked.resource));
    let results = command.resources.iter().map(|asked| {
        if times.get(&asked.resource).is_some_and(|times| *times > 1) {
            return Err(ControllerError::NamedTwice { what: describe(&asked.resource) });
        }
        alter_one(draft, asked)
    });
    Ok(results.collect())
}

fn alter_one(draft: &mut Draft<'_>, asked: &ConfigResourceAlteration) -> Result<(), ControllerError> {
    let overrides = draft.image.config(&asked.resource);
    let server = server_with(draft, &asked.resource)?;
    let changes: Result<Vec<ConfigChange>, ConfigError> = match &asked.resource {
        ConfigResource::Topic(name) if draft.image.topic(name.as_str()).is_none() => {
            return Err(ControllerError::UnknownTopic { name: name.to_string() });
        }
        ConfigResource::Broker(id) if draft.image.broker(*id).is_none() => {
            return Err(ControllerError::UnknownBroker { broker_id: *id });
        }
        ConfigResource::Topic(_) => alter_topic(&server, &overrides, &asked.alterations),
        ConfigResource::Broker(_) => alter_broker(&server, false, &overrides, &asked.alterations),
        ConfigResource::DefaultBroker => alter_broker(&server, true, &overrides, &asked.alterations),
    };
    for ConfigChange { name, value } in changes? {
        draft.emit(MetadataRecord::Config { resource: asked.resource.clone(), name, value })?;
    }
    Ok(())
}

/// The configuration on which a resource's configs are checked, with the changes of this very command so far.
fn server_with<'a>(draft: &Draft<'a>, resource: &ConfigResource) -> Result<Cow<'a, ServerConfig>, ControllerError> {
    let for_all = draft.image.default_broker_config();
    let own = match resource {
        ConfigResource::Broker(_) => draft.image.config(resource),
        ConfigResource::Topic(_) | ConfigResource::DefaultBroker => Default::default(),
    };
    let base: &Overrides = &for_all;
    if base.is_empty() && own.is_empty() {
        return Ok(draft.server.clone());
    }
    Ok(Cow::Owned(draft.server.with_dynamic(base, &own)?))
}

fn describe(resource: &ConfigResource) -> String {
    match resource {
        ConfigResource::Topic(name) => format!("topic {name}"),
        ConfigResource::Broker(id) => format!("broker {id}"),
        ConfigResource::DefaultBroker => "the default of all brokers".to_owned(),
    }
}
