//! What can be wrong with a config, each with what to do about it.

use super::listener::ListenerError;

/// A config that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A `\u` in the properties file without four hexadecimal digits.
    #[error(
        "line {line} of the properties has `\\u` without four hexadecimal digits after it; double the backslash if it is meant as such"
    )]
    MalformedEscape {
        /// Counted from 1.
        line: usize,
    },
    /// The value has not the type of its config.
    #[error("{name}={value}: the value is not of type {expected}; write one, or remove the line for the default")]
    IllTyped {
        /// The config.
        name: String,
        /// What was given.
        value: String,
        /// The type.
        expected: &'static str,
    },
    /// The value has the type, but is none of those allowed.
    #[error("{name}={value}: the value must be {allowed}")]
    NotAllowed {
        /// The config.
        name: String,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A config without which a node cannot start.
    #[error("{name} is missing: {remedy}")]
    Missing {
        /// The config.
        name: &'static str,
        /// What to write.
        remedy: &'static str,
    },
    /// No config has this name.
    #[error("unknown {scope} config `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// `topic` or `broker`.
        scope: &'static str,
        /// As given.
        name: String,
        /// A known name close to it.
        nearest: Option<&'static str>,
    },
    /// A setting that protects something, which this version cannot do. To ignore it would leave the door open.
    #[error(
        "{name}={value}: this version of Ottla does not support it, and will not run as if it were not there; remove the line, or wait for the version that has it"
    )]
    Unsupported {
        /// The config.
        name: String,
        /// What was given (`[hidden]` for secrets).
        value: String,
    },
    /// Something about listeners.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// One voter of `controller.quorum.voters` is not `id@host:port`, or two have one id.
    #[error("controller.quorum.voters={value}: {what}; write id@host:port for each voter, e.g. 1@localhost:9093")]
    Voters {
        /// The whole value.
        value: String,
        /// What is wrong.
        what: String,
    },
    /// Two settings that exclude each other.
    #[error("{first} and {second} do not go together: {remedy}")]
    Conflict {
        /// One setting, with its value.
        first: String,
        /// The other, with its value.
        second: String,
        /// What to do.
        remedy: &'static str,
    },
    /// IncrementalAlterConfigs on a broker config that is read at start only.
    #[error("{name} cannot be changed while the broker runs: set it in server.properties and restart")]
    ReadOnly {
        /// The config.
        name: String,
    },
    /// IncrementalAlterConfigs on the default of all brokers, for a config that is each broker's own.
    #[error("{name} is a setting of each broker by itself: name the broker instead of changing the default of all")]
    PerBrokerOnly {
        /// The config.
        name: String,
    },
    /// APPEND or SUBTRACT on what is no list.
    #[error("{name} is no list, so nothing can be appended to or subtracted from it: use SET")]
    NotAList {
        /// The config.
        name: String,
    },
    /// SET, APPEND or SUBTRACT without a value.
    #[error("{name} is given no value: use DELETE to return to the default")]
    NullValue {
        /// The config.
        name: String,
    },
    /// One name twice in the same request.
    #[error("{name} is named twice in one request")]
    Duplicate {
        /// The config.
        name: String,
    },
}

/// A config that is taken, but not as whoever wrote it may think.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigWarning {
    /// Not in the table. Fatal under `--strict`.
    #[error("unknown config `{name}` is ignored{}", did_you_mean(.nearest))]
    Unknown {
        /// As given.
        name: String,
        /// A known name close to it.
        nearest: Option<&'static str>,
    },
    /// Known, but what it governs is not built yet.
    #[error("{name}={value} is not heeded yet: this version of Ottla does not have what it governs")]
    NotYet {
        /// The config.
        name: String,
        /// What was given (`[hidden]` for secrets).
        value: String,
    },
    /// Known, but there is nothing here for it to tune.
    #[error("{name}={value} has no effect: it tunes a part of Kafka that Ottla does not have")]
    NoEffect {
        /// The config.
        name: String,
        /// What was given.
        value: String,
    },
    /// Given more than once in the file; the last counts, as in Kafka.
    #[error("{name} is set more than once; the last value counts")]
    Repeated {
        /// The config.
        name: String,
    },
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
