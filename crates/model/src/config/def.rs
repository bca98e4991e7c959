//! What the table says of one config, and the check of a value against it.

use super::ConfigError;

/// Where a config can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `server.properties`, `--override`, and for some also the BROKER resource of IncrementalAlterConfigs.
    Broker,
    /// The TOPIC resource of CreateTopics and IncrementalAlterConfigs.
    Topic,
}

/// The type of a config's value, as DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// 16-bit integer.
    Short,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// 64-bit floating point.
    Double,
    /// Any text.
    Text,
    /// Comma-separated texts.
    List,
    /// The name of a Java class.
    Class,
    /// A secret; never printed.
    Password,
}

impl Kind {
    /// `ConfigType` in DescribeConfigs responses.
    pub const fn to_wire(self) -> i8 {
        match self {
            Kind::Bool => 1,
            Kind::Text => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    /// The word for people: in `docs/configuration.md` and in errors.
    pub const fn describe(self) -> &'static str {
        match self {
            Kind::Bool => "boolean",
            Kind::Short => "16-bit integer",
            Kind::Int => "integer",
            Kind::Long => "64-bit integer",
            Kind::Double => "number",
            Kind::Text => "text",
            Kind::List => "list",
            Kind::Class => "class",
            Kind::Password => "password",
        }
    }
}

/// What a value must satisfy beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// Nothing.
    Any,
    /// An integer of at least this.
    Min(i64),
    /// An integer within both bounds, inclusive.
    Range(i64, i64),
    /// An integer within the first two, inclusive, or the third (`compression.gzip.level`: 1 to 9, or -1).
    RangeOr(i64, i64, i64),
    /// A floating-point number of at least this.
    MinDouble(f64),
    /// A floating-point number within both bounds, inclusive.
    RangeDouble(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in upper or lower case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of none but these.
    EachOf(&'static [&'static str]),
    /// A text that is not empty, or a list that has an element.
    NonEmpty,
    /// `*`, or a list of `partition:broker` (KIP-73).
    ThrottledReplicas,
}

impl Valid {
    /// The allowed values for people; empty for [`Valid::Any`].
    pub fn describe(&self) -> String {
        match self {
            Valid::Any => String::new(),
            Valid::Min(min) => format!("at least {min}"),
            Valid::Range(min, max) => format!("{min} to {max}"),
            Valid::RangeOr(min, max, or) => format!("{min} to {max}, or {or}"),
            Valid::MinDouble(min) => format!("at least {min}"),
            Valid::RangeDouble(min, max) => format!("{min} to {max}"),
            Valid::OneOf(all) | Valid::OneOfAnyCase(all) => format!("one of {}", all.join(", ")),
            Valid::EachOf(all) => format!("a list of {}", all.join(", ")),
            Valid::NonEmpty => "not empty".to_owned(),
            Valid::ThrottledReplicas => "`*`, or a list of partition:broker".to_owned(),
        }
    }

    fn allows(&self, value: &Value) -> bool {
        match (self, value) {
            (Valid::Any, _) => true,
            (Valid::Min(min), Value::Int(v)) => v >= min,
            (Valid::Range(min, max), Value::Int(v)) => (min..=max).contains(&v),
            (Valid::RangeOr(min, max, or), Value::Int(v)) => v == or || (min..=max).contains(&v),
            (Valid::MinDouble(min), Value::Double(v)) => v >= min,
            (Valid::RangeDouble(min, max), Value::Double(v)) => (min..=max).contains(&v),
            (Valid::OneOf(all), Value::Text(v)) => all.contains(&v.as_str()),
            (Valid::OneOfAnyCase(all), Value::Text(v)) => all.iter().any(|a| a.eq_ignore_ascii_case(v)),
            (Valid::EachOf(all), Value::List(items)) => items.iter().all(|i| all.contains(&i.as_str())),
            (Valid::NonEmpty, Value::Text(v)) => !v.is_empty(),
            (Valid::NonEmpty, Value::List(items)) => !items.is_empty(),
            (Valid::ThrottledReplicas, Value::List(items)) => throttled_replicas(items),
            // A rule of another type than the value's: the table's own test refuses such a row.
            _ => false,
        }
    }
}

/// KIP-73: empty, `*` (older tools write `none` for empty), or `partition:broker` pairs.
fn throttled_replicas(items: &[String]) -> bool {
    let pair = |item: &String| {
        item.split_once(':').is_some_and(|(partition, broker)| partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok())
    };
    matches!(items, [one] if one == "*" || one == "none") || items.iter().all(pair)
}

/// How much a config matters to most users, as Kafka's documentation ranks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Importance {
    /// Look at it before production.
    High,
    /// Now and then.
    Medium,
    /// Hardly ever.
    Low,
}

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// At the next start; IncrementalAlterConfigs refuses it.
    ReadOnly,
    /// At once, for one broker at a time.
    PerBroker,
    /// At once, for one broker or as the default of all.
    ClusterWide,
}

/// What Ottla does with a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Support {
    /// It does what it says.
    Works,
    /// Its function is not built yet: accepted, and warned of when set to another value than the default.
    NotYet,
    /// It tunes a part that Kafka has and Ottla has not (thread pools, purgatory timers): accepted, and told when set.
    NoEffect,
    /// To ignore it would leave open what it was to protect: refused when set to another value than the default.
    Refused,
}

/// One config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigDef {
    /// Kafka's name, e.g. `log.retention.ms`.
    pub name: &'static str,
    /// Where it can be set.
    pub scope: Scope,
    /// Type of the value.
    pub kind: Kind,
    /// What else must hold for a value.
    pub valid: Valid,
    /// The default as text; `None`: no value.
    pub default: Option<&'static str>,
    /// Rank in Kafka's documentation.
    pub importance: Importance,
    /// When a change takes effect. For topic configs always at once.
    pub update: Update,
    /// Whether Ottla heeds it.
    pub support: Support,
    /// Hidden in Kafka's documentation and descriptions: for its own tests.
    pub internal: bool,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

impl ConfigDef {
    /// Whether its value is never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Reads a value, and checks it against type and bounds.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let shown = || if self.is_sensitive() { "[hidden]".to_owned() } else { text.to_owned() };
        let value = self.read(trimmed).ok_or_else(|| ConfigError::IllTyped {
            name: self.name.to_owned(),
            value: shown(),
            expected: self.kind.describe(),
        })?;
        if self.valid.allows(&value) {
            return Ok(value);
        }
        Err(ConfigError::NotAllowed { name: self.name.to_owned(), value: shown(), allowed: self.valid.describe() })
    }

    fn read(&self, text: &str) -> Option<Value> {
        Some(match self.kind {
            Kind::Bool if text.eq_ignore_ascii_case("true") => Value::Bool(true),
            Kind::Bool if text.eq_ignore_ascii_case("false") => Value::Bool(false),
            Kind::Bool => return None,
            Kind::Short => Value::Int(i64::from(text.parse::<i16>().ok()?)),
            Kind::Int => Value::Int(i64::from(text.parse::<i32>().ok()?)),
            Kind::Long => Value::Int(text.parse().ok()?),
            Kind::Double => Value::Double(text.parse().ok()?),
            Kind::Text | Kind::Class | Kind::Password => Value::Text(text.to_owned()),
            Kind::List => Value::List(split_list(text)),
        })
    }

    /// Whether two texts mean the same value (`true` and `TRUE`, `a,b` and `a, b`).
    pub fn same_value(&self, one: &str, other: &str) -> bool {
        match (self.read(one.trim()), self.read(other.trim())) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
    }
}

/// A value that has its config's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Short`], [`Kind::Int`] and [`Kind::Long`].
    Int(i64),
    /// Of [`Kind::Double`].
    Double(f64),
    /// Of [`Kind::Text`], [`Kind::Class`] and [`Kind::Password`].
    Text(String),
    /// Of [`Kind::List`].
    List(Vec<String>),
}

/// Splits a list as Kafka does: at commas, blanks around an element do not count, an empty text is an empty list.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() { Vec::new() } else { text.split(',').map(|item| item.trim().to_owned()).collect() }
}

/// Declares the rows of one part of the table.
///
/// ```text
/// configs! { NETWORK: Broker =
///     /// What it does.
///     "socket.request.max.bytes": Int, Min(1), "104857600", High, ReadOnly, Works;
/// }
/// ```
/// `null` for no default, `internal` at the end for what Kafka hides.
macro_rules! configs {
    ($table:ident: $scope:ident = $($(#[doc = $doc:literal])+ $name:literal: $kind:ident, $valid:expr, $default:tt, $importance:ident, $update:ident, $support:ident $(, $internal:ident)?;)*) => {
        pub(in crate::config) const $table: &[$crate::config::ConfigDef] = {
            #[allow(unused_imports)]
            use $crate::config::{Importance::*, Kind::*, Support::*, Update::*, Valid::*};
            &[$($crate::config::ConfigDef {
                name: $name,
                scope: $crate::config::Scope::$scope,
                kind: $kind,
                valid: $valid,
                default: configs!(@default $default),
                importance: $importance,
                update: $update,
                support: $support,
                internal: configs!(@internal $($internal)?),
                doc: concat!($($doc),+).trim_ascii(),
            }),*]
        };
    };
    (@default null) => { None };
    (@default $text:literal) => { Some($text) };
    (@internal) => { false };
    (@internal internal) => { true };
}
pub(super) use configs;
