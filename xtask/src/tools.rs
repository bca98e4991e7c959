//! The tools that tests need beside Rust: found, or installed by the system's package manager.
//!
//! Never installs what is there, and never fetches a program by any way but a package manager or registry client.

use std::fs;
use std::path::PathBuf;

use crate::lab::is_root;
use crate::run;
use crate::summary::Summary;

/// The Kafka whose tools and clients the tests run. `tests/java/tools/pom.xml` names the same.
pub const KAFKA_VERSION: &str = "4.3.1";

/// Pinned, so that a new release of it cannot fail a build that has not changed.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// What caches of this project lie under; survives a `cargo clean` and a fresh clone.
fn cache_dir() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/ottla"))
}

/// A JDK of 17 or later, and Maven.
pub fn java() -> Result<(), String> {
    if java_works() {
        return Ok(());
    }
    // Distributions move on: where 17 is gone, their default JDK is newer and does as well.
    let attempts: [&[&str]; 2] = match package_manager()? {
        PackageManager::Apt => [&["openjdk-17-jdk-headless", "maven"], &["default-jdk-headless", "maven"]],
        PackageManager::Dnf => [&["java-17-openjdk-devel", "maven"], &["java-latest-openjdk-devel", "maven"]],
        PackageManager::Brew => [&["openjdk@17", "maven"], &["openjdk", "maven"]],
    };
    let mut failures = Vec::new();
    for packages in attempts {
        match install(packages) {
            Ok(()) if java_works() => return Ok(()),
            Ok(()) => failures.push(format!("{} installed, but `javac` is not 17 or later on the PATH", packages.join(" "))),
            Err(why) => failures.push(why),
        }
    }
    Err(format!("no JDK 17 with Maven could be had: {}", failures.join("; ")))
}

fn java_works() -> bool {
    let javac_major = run::captured(run::program("javac", &["-version"])).ok().and_then(|said| javac_major(&said));
    javac_major.is_some_and(|major| major >= 17)
        && run::succeeds(run::program("java", &["-version"]))
        && run::succeeds(run::program("mvn", &["-version"]))
}

/// `javac 17.0.15` gives 17; the old style `javac 1.8.0` gives 1, which is too old as well.
fn javac_major(said: &str) -> Option<u32> {
    let version = said.trim().strip_prefix("javac ")?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

/// The folder with the jars of Kafka's tools, fetched once from Maven's registry. Needs [`java`].
pub fn kafka_libs() -> Result<PathBuf, String> {
    let home = cache_dir()?.join(format!("kafka-{KAFKA_VERSION}"));
    let (libs, complete) = (home.join("libs"), home.join("complete"));
    if complete.exists() {
        return Ok(libs);
    }
    fs::create_dir_all(&libs).map_err(|error| format!("cannot make {}: {error}", libs.display()))?;
    println!("fetching Kafka {KAFKA_VERSION}'s tools into {}", libs.display());
    let output_directory = format!("-DoutputDirectory={}", libs.display());
    let arguments = ["-q", "-B", "-f", "tests/java/tools/pom.xml", "dependency:copy-dependencies", &output_directory];
    run::shown(run::program("mvn", &arguments))?;
    fs::write(&complete, KAFKA_VERSION).map_err(|error| format!("cannot write {}: {error}", complete.display()))?;
    Ok(libs)
}

/// Go, of any version that knows modules.
pub fn go() -> Result<(), String> {
    let works = || run::succeeds(run::program("go", &["version"]));
    if works() {
        return Ok(());
    }
    install(match package_manager()? {
        PackageManager::Apt => &["golang-go"],
        PackageManager::Dnf => &["golang"],
        PackageManager::Brew => &["go"],
    })?;
    if works() { Ok(()) } else { Err("Go was installed, but `go` is not on the PATH".into()) }
}

/// Why something that is built here cannot be had.
pub enum Lack {
    /// What builds it is not there, and could not be installed.
    Tool(String),
    /// It does not build.
    Build(String),
}

/// The program of tests/rdkafka. librdkafka comes with it as C, so it is built once, into the cache.
pub fn rdkafka_clients() -> Result<PathBuf, Lack> {
    c_compiler().map_err(Lack::Tool)?;
    let target_dir = cache_dir().map_err(Lack::Tool)?.join("rdkafka");
    let mut command = run::cargo(&["build", "--quiet", "--locked", "--manifest-path", "tests/rdkafka/Cargo.toml"]);
    command.env("CARGO_TARGET_DIR", &target_dir);
    run::shown(command).map_err(Lack::Build)?;
    Ok(target_dir.join("debug/ottla-rdkafka-clients"))
}

/// What builds librdkafka: compilers for C and C++, and make.
fn c_compiler() -> Result<(), String> {
    let works = || ["cc", "c++", "make"].iter().all(|name| run::succeeds(run::program(name, &["--version"])));
    if works() {
        return Ok(());
    }
    install(match package_manager()? {
        PackageManager::Apt => &["gcc", "g++", "make"],
        PackageManager::Dnf => &["gcc", "gcc-c++", "make"],
        PackageManager::Brew => &["gcc", "make"],
    })?;
    if works() { Ok(()) } else { Err("a C compiler was installed, but not all of `cc`, `c++` and `make` are on the PATH".into()) }
}

/// cargo-deny: the one on the PATH, else one built into the cache, which takes some minutes the first time.
pub fn cargo_deny() -> Result<PathBuf, String> {
    let on_path = PathBuf::from("cargo-deny");
    if run::succeeds(run::program(&on_path, &["--version"])) {
        return Ok(on_path);
    }
    let tools_dir = cache_dir()?.join("tools");
    let built = tools_dir.join("bin/cargo-deny");
    if !run::succeeds(run::program(&built, &["--version"])) {
        println!("building cargo-deny {CARGO_DENY_VERSION} into {}", tools_dir.display());
        let root = tools_dir.display().to_string();
        let mut command = run::cargo(&["install", "--quiet", "--locked", "--root", &root, "--version", CARGO_DENY_VERSION, "cargo-deny"]);
        // Its thousand objects are of no use to the project's own builds.
        command.env("CARGO_TARGET_DIR", tools_dir.join("target"));
        run::shown(command)?;
        let _ = fs::remove_dir_all(tools_dir.join("target"));
    }
    Ok(built)
}

/// `cargo xtask tools`: everything that `test` would install, without running a test.
pub fn prepare_all() -> bool {
    let mut summary = Summary::default();
    summary.stage("java", || java().into());
    summary.stage("kafka tools", || kafka_libs().map(|libs| println!("{}", libs.display())).into());
    summary.stage("go", || go().into());
    summary.stage("librdkafka", || {
        let built = rdkafka_clients().map_err(|(Lack::Tool(why) | Lack::Build(why))| why);
        built.map(|program| println!("{}", program.display())).into()
    });
    summary.stage("cargo-deny", || cargo_deny().map(|path| println!("{}", path.display())).into());
    summary.print()
}

#[derive(Clone, Copy)]
enum PackageManager {
    Apt,
    Dnf,
    Brew,
}

fn package_manager() -> Result<PackageManager, String> {
    let known = [("apt-get", PackageManager::Apt), ("dnf", PackageManager::Dnf), ("brew", PackageManager::Brew)];
    known
        .into_iter()
        .find(|(name, _)| run::succeeds(run::program(name, &["--version"])))
        .map(|(_, manager)| manager)
        .ok_or_else(|| "there is none of apt-get, dnf and brew to install it with".into())
}

fn install(packages: &[&str]) -> Result<(), String> {
    println!("installing {}", packages.join(" "));
    match package_manager()? {
        PackageManager::Apt => {
            // A machine that is new has no package lists, or old ones.
            as_root("apt-get", &["update", "-qq"])?;
            let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
            arguments.extend(packages);
            as_root("apt-get", &arguments)
        }
        PackageManager::Dnf => {
            let mut arguments = vec!["install", "-y", "-q"];
            arguments.extend(packages);
            as_root("dnf", &arguments)
        }
        PackageManager::Brew => {
            let mut arguments = vec!["install", "--quiet"];
            arguments.extend(packages);
            run::shown(run::program("brew", &arguments))
        }
    }
}

/// Runs it as root: directly when we are, else by a sudo that asks for no password (nobody may be there to type it).
fn as_root(name: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = if is_root() {
        run::program(name, arguments)
    } else {
        let mut words = vec!["-n", "env", "DEBIAN_FRONTEND=noninteractive", name];
        words.extend(arguments);
        run::program("sudo", &words)
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    run::shown(command)
}

#[cfg(test)]
mod tests {
    use super::javac_major;

    #[test]
    fn major_version_of_javac_is_read_in_all_its_spellings() {
        assert_eq!(javac_major("javac 17.0.15\n"), Some(17));
        assert_eq!(javac_major("javac 21"), Some(21));
        assert_eq!(javac_major("javac 26-ea"), Some(26));
        assert_eq!(javac_major("javac 1.8.0_402"), Some(1));
        assert_eq!(javac_major("command not found"), None);
    }
}
