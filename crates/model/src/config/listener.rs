//! Listeners: the addresses a node opens, the ones it tells clients, and what is spoken on each.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::def::split_list;

/// The name of a listener, in upper case as Kafka keeps it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerName(Arc<str>);

impl ListenerName {
    /// A name; Kafka takes any case for the same.
    pub fn new(name: &str) -> ListenerName {
        ListenerName(name.trim().to_uppercase().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL within TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// `security_protocol` in Kafka's metadata records.
    pub const fn to_wire(self) -> i16 {
        match self {
            SecurityProtocol::Plaintext => 0,
            SecurityProtocol::Ssl => 1,
            SecurityProtocol::SaslPlaintext => 2,
            SecurityProtocol::SaslSsl => 3,
        }
    }

    fn from_name(name: &str) -> Option<SecurityProtocol> {
        const ALL: [SecurityProtocol; 4] =
            [SecurityProtocol::Plaintext, SecurityProtocol::Ssl, SecurityProtocol::SaslPlaintext, SecurityProtocol::SaslSsl];
        ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One element of `listeners` or `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, by which other configs speak of it.
    pub name: ListenerName,
    /// From `listener.security.protocol.map`.
    pub protocol: SecurityProtocol,
    /// A host name or an address (IPv6 without brackets). Empty: every address of the machine, when listening; the machine's
    /// own name, when advertised.
    pub host: String,
    /// 0: any free port.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// One element of `http.listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpListener {
    /// A host name or an address (IPv6 without brackets). Empty: every address of the machine.
    pub host: String,
    /// 0: any free port.
    pub port: u16,
}

/// What is wrong with listeners. Each names the config it was found in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// Not `NAME://host:port`.
    #[error("{config}: `{element}` is no listener; write NAME://host:port, e.g. PLAINTEXT://localhost:9092")]
    Malformed {
        /// The config.
        config: &'static str,
        /// The element.
        element: String,
    },
    /// A port that is no port.
    #[error("{config}: the port of `{element}` must be 0 to 65535")]
    Port {
        /// The config.
        config: &'static str,
        /// The element.
        element: String,
    },
    /// None at all.
    #[error("{config} names no listener; write at least one, e.g. PLAINTEXT://localhost:9092")]
    Empty {
        /// The config.
        config: &'static str,
    },
    /// Not `http://host:port`.
    #[error("http.listeners: `{element}` is no address to serve on; write http://host:port, e.g. http://127.0.0.1:9080")]
    Http {
        /// The element.
        element: String,
    },
    /// Two of one name.
    #[error("{config}: two listeners are named {name}; give each a name of its own")]
    DuplicateName {
        /// The config.
        config: &'static str,
        /// The name.
        name: ListenerName,
    },
    /// Two on one port.
    #[error("{config}: two listeners use port {port}; give each a port of its own (one on IPv4 and one on IPv6 may share)")]
    DuplicatePort {
        /// The config.
        config: &'static str,
        /// The port.
        port: u16,
    },
    /// A name with no security protocol.
    #[error("{config}: what is spoken on listener {name} is not said; add {name}:PLAINTEXT to listener.security.protocol.map")]
    NoProtocol {
        /// The config.
        config: &'static str,
        /// The name.
        name: ListenerName,
    },
    /// An element of the protocol map that cannot be read.
    #[error("listener.security.protocol.map: `{element}` is not NAME:PROTOCOL with one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")]
    ProtocolMap {
        /// The element.
        element: String,
    },
    /// A protocol this version does not speak.
    #[error("{config}: listener {name} speaks {protocol}, which this version of Ottla does not support; use a PLAINTEXT listener")]
    UnsupportedProtocol {
        /// The config.
        config: &'static str,
        /// The name.
        name: ListenerName,
        /// The protocol.
        protocol: SecurityProtocol,
    },
    /// An address no client could connect to.
    #[error("advertised.listeners: {listener} cannot be reached by clients; advertise a host name or an address of this machine, e.g. {name}://localhost:{port}", name = .listener.name, port = .listener.port)]
    Unroutable {
        /// The listener.
        listener: Listener,
    },
    /// Advertised, but not opened.
    #[error("advertised.listeners: {name} is not among listeners; add it there, or remove it here")]
    NotListening {
        /// The name.
        name: ListenerName,
    },
    /// Brokers speak to each other on a listener that is not told to them.
    #[error("inter.broker.listener.name={name} is not among the advertised listeners; add it to listeners, or name another")]
    InterBroker {
        /// The name.
        name: ListenerName,
    },
    /// The controller's listeners used for something else.
    #[error("controller.listener.names: {name} {what}")]
    Controller {
        /// The name.
        name: ListenerName,
        /// What is wrong, and what to do.
        what: &'static str,
    },
}

/// `listener.security.protocol.map`, with Kafka's addition: controller listeners are PLAINTEXT when the map is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProtocolMap(BTreeMap<ListenerName, SecurityProtocol>);

impl ProtocolMap {
    pub(super) fn parse(text: &str, is_default: bool, controller_names: &[ListenerName]) -> Result<ProtocolMap, ListenerError> {
        let mut map = BTreeMap::new();
        for element in split_list(text) {
            let parsed = element
                .rsplit_once(':')
                .and_then(|(name, protocol)| Some((ListenerName::new(name), SecurityProtocol::from_name(protocol.trim())?)));
            let Some((name, protocol)) = parsed.filter(|(name, _)| !name.as_str().is_empty()) else {
                return Err(ListenerError::ProtocolMap { element });
            };
            map.insert(name, protocol);
        }
        if is_default {
            for name in controller_names {
                map.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
            }
        }
        Ok(ProtocolMap(map))
    }

    pub(super) fn protocol(&self, name: &ListenerName) -> Option<SecurityProtocol> {
        self.0.get(name).copied()
    }
}

/// Reads a list of listeners. `distinct_ports`: as Kafka asks of `listeners`, but not of `advertised.listeners`.
pub(super) fn parse_listeners(
    config: &'static str,
    text: &str,
    protocols: &ProtocolMap,
    distinct_ports: bool,
) -> Result<Vec<Listener>, ListenerError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for element in split_list(text) {
        let listener = parse_listener(config, &element, protocols)?;
        if listeners.iter().any(|other| other.name == listener.name) {
            return Err(ListenerError::DuplicateName { config, name: listener.name });
        }
        let same_port = |other: &&Listener| other.port == listener.port && listener.port != 0;
        if distinct_ports && listeners.iter().filter(same_port).any(|other| !may_share_port(other, &listener)) {
            return Err(ListenerError::DuplicatePort { config, port: listener.port });
        }
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(ListenerError::Empty { config }) } else { Ok(listeners) }
}

/// KIP-797: one listener on IPv4 and one on IPv6 may use one port.
fn may_share_port(one: &Listener, other: &Listener) -> bool {
    match (one.host.parse::<IpAddr>(), other.host.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one.is_ipv4() != other.is_ipv4(),
        _ => false,
    }
}

fn parse_listener(config: &'static str, element: &str, protocols: &ProtocolMap) -> Result<Listener, ListenerError> {
    let malformed = || ListenerError::Malformed { config, element: element.to_owned() };
    let (name, address) = element.split_once("://").ok_or_else(malformed)?;
    let (host, port) = host_and_port(address).ok_or_else(malformed)?;
    if name.trim().is_empty() {
        return Err(malformed());
    }
    let name = ListenerName::new(name);
    let port = match port.parse::<i64>() {
        Ok(port) => u16::try_from(port).map_err(|_| ListenerError::Port { config, element: element.to_owned() })?,
        Err(_) => return Err(malformed()),
    };
    let protocol = protocols.protocol(&name).ok_or_else(|| ListenerError::NoProtocol { config, name: name.clone() })?;
    if protocol != SecurityProtocol::Plaintext {
        return Err(ListenerError::UnsupportedProtocol { config, name, protocol });
    }
    Ok(Listener { name, protocol, host: host.to_owned(), port })
}

/// Splits `host:port`, an IPv6 address in brackets; `None` for what is neither.
fn host_and_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(open) => open.strip_suffix(']')?,
        None => host,
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '%' | '.' | '_' | ':');
    (host.chars().all(legal) && !port.is_empty()).then_some((host, port))
}

/// Reads `http.listeners`.
pub(super) fn parse_http_listeners(elements: &[String]) -> Result<Vec<HttpListener>, ListenerError> {
    let parse = |element: &String| {
        let address = element.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http")).map(|(_, address)| address);
        let (host, port) = host_and_port(address?.trim_end_matches('/'))?;
        Some(HttpListener { host: host.to_owned(), port: port.parse().ok()? })
    };
    elements.iter().map(|element| parse(element).ok_or_else(|| ListenerError::Http { element: element.clone() })).collect()
}
