//! One broker, Ottla or Kafka, configured alike: in Kafka's own names, on loopback, with nothing beyond its defaults but
//! where it listens and where its data lies.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::interrupt;
use super::process::{Running, last_lines};

/// Between two tries to reach a node that starts.
const TRY_PAUSE: Duration = Duration::from_millis(5);
/// How long a node may take to start, with a disk full of partitions and on a machine that does other things.
const START_WAIT: Duration = Duration::from_secs(240);
/// How long it may take to stop when it is asked to.
const STOP_WAIT: Duration = Duration::from_secs(120);

/// Which broker, and where it is.
#[derive(Clone)]
pub enum System {
    /// The binary.
    Ottla(PathBuf),
    /// The folder with Kafka's jars.
    Kafka(PathBuf),
}

impl System {
    /// As tables have it.
    pub fn name(&self) -> &'static str {
        match self {
            System::Ottla(_) => "Ottla",
            System::Kafka(_) => "Kafka",
        }
    }

    fn serve(&self, properties: &Path) -> Command {
        match self {
            System::Ottla(binary) => {
                let mut command = Command::new(binary);
                command.args(["serve", "--config"]).arg(properties);
                command
            }
            System::Kafka(libs) => {
                let mut command = java(libs);
                // What kafka-server-start.sh and kafka-run-class.sh give it.
                command.args(["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]);
                command.args(["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]);
                command.arg("kafka.Kafka").arg(properties);
                command
            }
        }
    }
}

/// Java with Kafka's jars, its log kept to warnings.
fn java(libs: &Path) -> Command {
    let mut command = Command::new("java");
    command.env("CLASSPATH", format!("{}/*", libs.display())).arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command
}

/// A port that was free a moment ago, below those that the kernel gives to outgoing connections. While a node is down, one of a client that tries to
/// reach it could be given the node's own port, and be connected to itself.
pub fn free_port() -> Result<u16, String> {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    // Each process starts elsewhere, so that they rarely try the same.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(37);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| format!("no port is free in {FIRST}..{}", FIRST + COUNT))
}

/// A node: its folder, its properties, and its process while it has one. Killed on drop.
pub struct Node {
    system: System,
    address: SocketAddr,
    properties: PathBuf,
    log: PathBuf,
    process: Option<Running>,
    started: Instant,
    first_answer: Duration,
}

impl Node {
    /// Writes its properties into `folder`, with its data in `data`; formats that, where the broker wants it.
    pub fn make(system: &System, folder: &Path, data: &Path) -> Result<Node, String> {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let properties = folder.join("server.properties");
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n",
            data.display()
        );
        fs::write(&properties, text).map_err(|error| format!("cannot write {}: {error}", properties.display()))?;
        let log = folder.join("log.txt");
        if let System::Kafka(libs) = system {
            let mut command = java(libs);
            // Any id does; with a fixed one a data folder can be told from another's.
            command.args(["kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw", "-c"]).arg(&properties);
            Running::start(command, &log, &log)?.finish(START_WAIT)?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Node { system: system.clone(), address, properties, log, process: None, started: Instant::now(), first_answer: Duration::ZERO })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Starts its process, without waiting for anything.
    pub fn start(&mut self) -> Result<(), String> {
        self.process = None;
        self.started = Instant::now();
        self.process = Some(Running::start(self.system.serve(&self.properties), &self.log, &self.log)?);
        Ok(())
    }

    /// Waits until it answers ApiVersions; gives how long that took from [`Self::start`] on.
    pub fn wait_until_it_answers(&mut self) -> Result<Duration, String> {
        let process = self.running()?;
        while self.started.elapsed() < START_WAIT {
            if answers(self.address) {
                self.first_answer = self.started.elapsed();
                return Ok(self.first_answer);
            }
            if let Some(how) = process.ended() {
                interrupt::check()?;
                let (name, log) = (self.system.name(), self.log.display());
                return Err(format!("{name} ended with {how} before it answered; {log} ends with:\n{}", last_lines(&self.log)));
            }
            interrupt::pause(TRY_PAUSE)?;
        }
        Err(format!("{} did not answer within {} s; see {}", self.system.name(), START_WAIT.as_secs(), self.log.display()))
    }

    /// How long its last start took until it answered.
    pub fn first_answer(&self) -> Duration {
        self.first_answer
    }

    /// Removes its folder, with its data. It must have stopped.
    pub fn remove(&self) -> Result<(), String> {
        let folder = self.properties.parent().unwrap_or(&self.properties);
        fs::remove_dir_all(folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))
    }

    /// How long ago it was started.
    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) -> Result<(), String> {
        self.running()?.signal(signal);
        Ok(())
    }

    /// SIGKILL, and waits for the end. An error where it had ended by itself before: nothing but this may end it.
    pub fn kill(&mut self) -> Result<(), String> {
        let process = self.running()?;
        if let Some(how) = process.ended() {
            interrupt::check()?;
            return Err(format!("{} had ended by itself, with {how}; see {}", self.system.name(), self.log.display()));
        }
        process.kill()?;
        self.process = None;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<(), String> {
        self.signal(libc::SIGTERM)?;
        self.running()?.wait(STOP_WAIT)?;
        self.process = None;
        interrupt::check()
    }

    /// Its process id.
    pub fn process_id(&self) -> Result<u32, String> {
        Ok(self.running()?.id())
    }

    /// Memory that it holds now, in MiB.
    pub fn resident_mib(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.process_id()?);
        let status = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("{path} has no VmRSS"))
    }

    /// Processor time that it has used since it was started, in seconds.
    pub fn processor_seconds(&self) -> Result<f64, String> {
        // `USER_HZ`: what the kernel counts in for user space, on every architecture that Rust runs on.
        const TICKS_PER_S: f64 = 100.0;
        let path = format!("/proc/{}/stat", self.process_id()?);
        let stat = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        // The command's name stands in parentheses and may hold anything. Behind it, utime is the 12th field and stime the 13th.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok((user + system) / TICKS_PER_S),
            _ => Err(format!("{path} is not laid out as Linux lays it out")),
        }
    }

    fn running(&self) -> Result<&Running, String> {
        self.process.as_ref().ok_or_else(|| format!("{} is not running", self.system.name()))
    }
}

/// Whether it answers ApiVersions version 0, which every broker knows.
fn answers(address: SocketAddr) -> bool {
    const WAIT: Duration = Duration::from_secs(1);
    // Length 10, key 18, version 0, correlation id 1, no client id.
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let call = || -> std::io::Result<[u8; 10]> {
        let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.write_all(&REQUEST)?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    // Behind the length stand the correlation id and the error code.
    call().is_ok_and(|answer| answer[4..] == [0, 0, 0, 1, 0, 0])
}
