//! One `ottla serve` process: its properties, folders, start, stop and sudden death.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::DEADLINE;
use crate::calls::Caller;
use crate::ports::Port;
use crate::process::{Finished, left, ottla, run, run_with_input, signal};
use crate::raw::Connection;

/// The pause between two tries to connect to a node that has not said anything new.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What a node is to be started with.
#[derive(Default)]
pub struct NodeBuilder {
    properties: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl NodeBuilder {
    /// Sets a property of its server.properties, over the harness's own.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Adds an argument behind `serve --config FILE`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Node {
        let mut node = self.unstarted();
        node.start_again();
        node
    }

    /// Its folders and properties, without a process.
    pub fn unstarted(self) -> Node {
        let home = TempDir::with_prefix("ottla-e2e-").expect("a folder for the node can be made");
        let (port, controller_port) = (Port::take(), Port::take());
        let (listener, controller) = (port.number(), controller_port.number());
        let data_dir = home.path().join("data");
        let mut properties = vec![
            ("process.roles".to_owned(), "broker,controller".to_owned()),
            ("node.id".into(), "1".into()),
            ("controller.quorum.voters".into(), format!("1@127.0.0.1:{controller}")),
            ("listeners".into(), format!("PLAINTEXT://127.0.0.1:{listener},CONTROLLER://127.0.0.1:{controller}")),
            ("advertised.listeners".into(), format!("PLAINTEXT://127.0.0.1:{listener}")),
            ("controller.listener.names".into(), "CONTROLLER".into()),
            ("listener.security.protocol.map".into(), "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".into()),
            ("log.dirs".into(), data_dir.display().to_string()),
        ];
        for (name, value) in self.properties {
            properties.retain(|(known, _)| *known != name);
            properties.push((name, value));
        }
        let text: String = properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(home.path().join("server.properties"), text).expect("the properties can be written");
        Node { home, port, _controller_port: controller_port, arguments: self.arguments, process: None, log: Vec::new() }
    }
}

/// A node on loopback ports of its own, with its data in a folder of its own. Killed, and its folder removed, on drop.
pub struct Node {
    home: TempDir,
    port: Port,
    _controller_port: Port,
    arguments: Vec<String>,
    process: Option<Process>,
    log: Vec<String>,
}

struct Process {
    child: Child,
    /// Lines of both outputs; its end is the end of the process.
    lines: mpsc::Receiver<String>,
}

impl Node {
    /// A node with nothing but its ports and folder configured.
    #[track_caller]
    pub fn start() -> Self {
        NodeBuilder::default().start()
    }

    /// To start one with more.
    pub fn with() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// `127.0.0.1:PORT`, as clients take it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Where it listens.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number()))
    }

    /// Its log dir.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Its properties file.
    pub fn properties_file(&self) -> PathBuf {
        self.home.path().join("server.properties")
    }

    /// The folder of a partition.
    pub fn partition_dir(&self, topic: &str, partition: u32) -> PathBuf {
        self.data_dir().join(format!("{topic}-{partition}"))
    }

    /// `ottla serve` as this node would be started, for tests of a start that fails.
    pub fn serve_command(&self) -> Command {
        serve_command(&self.properties_file(), &self.arguments, self.home.path())
    }

    /// Starts the process on the folders as they are, and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the node runs already");
        let process = Process::start(&mut self.serve_command());
        self.process = Some(process);
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let (address, deadline) = (self.socket_address(), Instant::now() + DEADLINE);
        loop {
            if Connection::open(address).is_ok_and(|mut connection| connection.answers_api_versions()) {
                return;
            }
            let process = self.process.as_mut().expect("it was just started");
            match process.lines.recv_timeout(CONNECT_PAUSE.min(left(deadline))) {
                Ok(line) => self.log.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    assert!(Instant::now() < deadline, "the node does not answer at {address}; it wrote:\n{}", self.log());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = process.child.wait();
                    panic!("the node ended with {status:?} before it answered; it wrote:\n{}", self.log());
                }
            }
        }
    }

    /// SIGTERM; waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.process_id(), "TERM");
        self.wait_for_end()
    }

    /// SIGKILL, which no process can prepare for; waits for the end.
    #[track_caller]
    pub fn kill(&mut self) {
        signal(self.process_id(), "KILL");
        self.wait_for_end();
    }

    #[track_caller]
    fn wait_for_end(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the node runs");
        let deadline = Instant::now() + DEADLINE;
        loop {
            match process.lines.recv_timeout(left(deadline)) {
                Ok(line) => self.log.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = process.child.kill();
                    panic!("the node did not end within {DEADLINE:?}; it wrote:\n{}", self.log());
                }
            }
        }
        process.child.wait().expect("the node can be waited for")
    }

    /// Its process id.
    #[track_caller]
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the node runs").child.id()
    }

    /// Memory that it holds now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most memory that it has held at any moment since its start, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// How many sockets it has open.
    pub fn open_sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.process_id())).expect("the node runs");
        let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
        open.filter_map(target).filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    fn memory_bytes(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("the node runs");
        let line = status.lines().find(|line| line.starts_with(what)).expect("Linux says what a process holds");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of kB");
        kib * 1024
    }

    /// All it has written so far, on both outputs, over all its starts.
    pub fn log(&mut self) -> String {
        if let Some(process) = &self.process {
            self.log.extend(process.lines.try_iter());
        }
        self.log.join("\n")
    }

    /// Waits until it has written a line that holds `expected`.
    #[track_caller]
    pub fn wait_for_log(&mut self, expected: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.log().contains(expected) {
            let process = self.process.as_ref().expect("the node runs");
            match process.lines.recv_timeout(left(deadline)) {
                Ok(line) => self.log.push(line),
                Err(why) => panic!("{why} before the node wrote `{expected}`; it wrote:\n{}", self.log()),
            }
        }
    }

    /// A raw connection to it.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.socket_address()).unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.address()))
    }

    /// Typed requests to it, over a connection of their own.
    #[track_caller]
    pub fn caller(&self) -> Caller {
        Caller::new(self.connect())
    }

    /// Fails the test unless it still answers a new connection.
    #[track_caller]
    pub fn assert_serves(&mut self) {
        let serves = Connection::open(self.socket_address()).is_ok_and(|mut connection| connection.answers_api_versions());
        assert!(serves, "the node no longer answers; it wrote:\n{}", self.log());
    }

    /// Runs a command of the native command line against it.
    #[track_caller]
    pub fn ottla(&self, arguments: &[&str]) -> Finished {
        run(&mut self.ottla_command(arguments))
    }

    /// The same with something to read.
    #[track_caller]
    pub fn ottla_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        run_with_input(&mut self.ottla_command(arguments), input)
    }

    /// The same, to be started by the test.
    pub fn ottla_command(&self, arguments: &[&str]) -> Command {
        let mut command = ottla(arguments);
        command.args(["--bootstrap-server", &self.address()]);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("-- the node wrote\n{}", self.log());
        }
        if let Some(process) = &mut self.process {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

impl Process {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the node: {error}"));
        let (sender, lines) = mpsc::channel();
        forward_lines(child.stdout.take(), sender.clone());
        forward_lines(child.stderr.take(), sender);
        Process { child, lines }
    }
}

fn forward_lines(output: Option<impl Read + Send + 'static>, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok);
        for line in lines {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

fn serve_command(properties: &Path, arguments: &[String], working_dir: &Path) -> Command {
    let mut command = ottla(&["serve", "--config"]);
    command.arg(properties).args(arguments).current_dir(working_dir);
    command
}
