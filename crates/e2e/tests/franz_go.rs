//! franz-go against a node: its own tests, run from its module as it is, and a program that moves records in transactions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use ottla_e2e::Node;
use ottla_e2e::process::repository;
use ottla_e2e::transforms::{Programs, transforms_exactly_once};

const PACKAGE: &str = "github.com/twmb/franz-go/pkg/kgo";

/// Records that go through each chain of groups; franz-go's own default is for a cluster that does nothing else.
const RECORDS: &str = "5000";

/// Each test has its own time limits; this one ends those that wait for ever.
const TIME_MAX: &str = "300s";

/// What is built of the Go module here and of franz-go's tests. That may take minutes where nothing of them was built before, and
/// has no deadline.
struct Built {
    programs: PathBuf,
    tests: PathBuf,
    /// Where franz-go's package lies: some of its tests read its sources.
    package_dir: PathBuf,
}

fn built() -> &'static Built {
    static BUILT: LazyLock<Built> = LazyLock::new(|| {
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("franz-go");
        std::fs::create_dir_all(&into).expect("a folder can be made");
        let (programs, tests) = (into.join("clients"), into.join("kgo.test"));
        let path = |path: &Path| path.display().to_string();
        go(&["build", "-o", &path(&programs), "."]);
        go(&["test", "-c", "-o", &path(&tests), PACKAGE]);
        let package_dir = go(&["list", "-f", "{{.Dir}}", PACKAGE]);
        Built { programs, tests, package_dir: PathBuf::from(package_dir.trim()) }
    });
    &BUILT
}

fn go(arguments: &[&str]) -> String {
    let mut go = Command::new("go");
    go.args(arguments).current_dir(repository().join("tests/franz-go"));
    let done = go.output().expect("go can be started");
    assert!(done.status.success(), "go {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
#[ignore = "needs Go; `cargo xtask test` runs it"]
fn franz_gos_own_tests_pass() {
    let built = built();
    let node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
    let mut tests = Command::new(&built.tests);
    tests.args(["-test.v", "-test.timeout", TIME_MAX]).current_dir(&built.package_dir);
    let of_test = [("KGO_SEEDS", &*node.address()), ("KGO_TEST_RF", "1"), ("KGO_TEST_RECORDS", RECORDS)];
    tests.envs(of_test).envs([("KGO_TEST_MAX_TOPIC_PARTS", "7"), ("KGO_LOG_LEVEL", "none")]);
    // It ends by its own limit, which says where each goroutine stood.
    let done = tests.stdin(Stdio::null()).output().expect("the tests can be started");
    let said = String::from_utf8_lossy(&done.stdout);
    let failures: Vec<&str> = said.lines().filter(|line| line.contains("--- FAIL")).collect();
    assert!(done.status.success(), "{failures:?}\n{said}\n{}", String::from_utf8_lossy(&done.stderr));
    // Those that are skipped when the node does not say that it speaks what they test.
    for expected in
        ["TestTxnEtl", "TestGroupETL/cooperative-sticky", "TestGroupETL/sticky/848/static", "TestGroupSimple", "Test848RegexBrokerResolves"]
    {
        let passed = said.lines().any(|line| line.trim_start().starts_with(&format!("--- PASS: {expected} (")));
        assert!(passed, "{expected} is not among those that passed:\n{said}");
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(&built().programs);
    command.args(arguments);
    command
}

#[test]
#[ignore = "needs Go; `cargo xtask test` runs it"]
fn records_are_moved_exactly_once_though_the_program_and_the_node_die() {
    let transform = |arguments: &[&str]| program(&[&["transform"], arguments].concat());
    let read = |arguments: &[&str]| program(&[&["read"], arguments].concat());
    transforms_exactly_once(&Programs { transform: &transform, read: &read });
}
