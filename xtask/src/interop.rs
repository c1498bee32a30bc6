//! `cargo xtask interop`: the server contract suite against the official Node server of the v2 dialect.
//!
//! The server's packages (`tests/interop/package.json`) are installed into `.interop/`, which git ignores; once
//! per version of that file. The server runs as one process with a SQLite file of its own on a free loopback
//! port, and ends with this command, however that ends. What it logs goes to `.interop/server.log`: the suite
//! also asks for what is wrong, and the server logs each of those.
//!
//! `sqlite3` is compiled from its package (python3, make, a C++ compiler), since a ready-made binary would come
//! from elsewhere than the registry.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::process::{self, Error, Result, cargo, root};

/// Arguments of `cargo xtask interop`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for the test binary, for example the name of one case.
    #[arg(last = true)]
    test: Vec<String>,
}

/// How long the server may take to start: it creates its tables, which takes less than a second.
const START: Duration = Duration::from_secs(60);

/// Installs the server where needed, starts it, runs the suite, ends it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = root().join(".interop");
    let modules = install(&folder)?;
    let database = folder.join(format!("server-{}.db", std::process::id()));
    let log = folder.join("server.log");
    let server = Server::start(&modules, &database, &log)?;
    let mut test = cargo(&["test", "-p", "sync-tests", "--features", "interop", "--test", "interop"]);
    test.env("SYNC_INTEROP_URL", format!("http://{}", server.address)).env("SYNC_INTEROP_DB", &database);
    test.env("NODE_PATH", &modules);
    if !arguments.test.is_empty() {
        test.arg("--").args(&arguments.test);
    }
    let result = process::run(&mut test);
    drop(server);
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut file = database.clone().into_os_string();
        file.push(suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("{} is left behind: {error}", file.to_string_lossy());
            }
            _ => {}
        }
    }
    result.map_err(|error| Error::new(format!("{error}; the server's log is {}", log.display())))
}

/// Makes sure that the packages are there; returns the folder of the modules.
fn install(folder: &Path) -> Result<PathBuf> {
    let wanted = root().join("tests/interop/package.json");
    let wanted = fs::read_to_string(&wanted).map_err(|error| file_error(&wanted, &error))?;
    let node = version_of("node")?;
    version_of("npm")?;
    let modules = folder.join("node_modules");
    // Native code is built for one version of Node, so the stamp names it.
    let stamp = folder.join("installed");
    let content = format!("{node}\n{wanted}");
    if modules.is_dir() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == content) {
        return Ok(modules);
    }

    fs::create_dir_all(folder).map_err(|error| file_error(folder, &error))?;
    let package = folder.join("package.json");
    fs::write(&package, &wanted).map_err(|error| file_error(&package, &error))?;
    let mut npm = Command::new(program("npm"));
    npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--omit=optional", "--omit=dev"])
        .current_dir(folder)
        .env("npm_config_build_from_source", "true");
    if let Some(headers) = node_prefix()? {
        npm.env("npm_config_nodedir", headers);
    }
    process::run(&mut npm).map_err(|error| {
        Error::new(format!(
            "{error}; the package sqlite3 is compiled: python3, make and a C++ compiler are needed"
        ))
    })?;
    fs::write(&stamp, content).map_err(|error| file_error(&stamp, &error))?;
    Ok(modules)
}

/// Where Node is installed, if its headers are there too; else they are downloaded while compiling.
fn node_prefix() -> Result<Option<PathBuf>> {
    if std::env::var_os("npm_config_nodedir").is_some() {
        return Ok(None);
    }
    let binary = process::read(Command::new("node").args(["-p", "process.execPath"]))?;
    let prefix = Path::new(binary.trim()).parent().and_then(Path::parent);
    Ok(prefix.filter(|prefix| prefix.join("include/node/node.h").is_file()).map(Path::to_path_buf))
}

fn version_of(name: &str) -> Result<String> {
    process::read(Command::new(program(name)).arg("--version"))
        .map_err(|error| Error::new(format!("{error}; the interop suite needs Node 18 or later and npm")))
}

/// npm is a script on Windows.
fn program(name: &str) -> &str {
    if cfg!(windows) && name == "npm" { "npm.cmd" } else { name }
}

fn file_error(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

/// The running server. Dropping it ends the process.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(modules: &Path, database: &Path, log: &Path) -> Result<Self> {
        let output = fs::File::create(log).map_err(|error| file_error(log, &error))?;
        let mut command = Command::new("node");
        command
            .arg("tests/interop/server.js")
            .current_dir(root())
            .env("NODE_PATH", modules)
            .env("NODE_NO_WARNINGS", "1")
            .env("SYNC_INTEROP_DB", database)
            // The server ends when its standard input does, so it ends with us even if we are killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output);
        process::announce(&command);
        let mut process = command.spawn().map_err(|error| process::not_started(&command, &error))?;
        let output = process.stdout.take();
        // From here on an error ends the process.
        let mut server = Self { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let started = output.map_or_else(|| Err(Error::new("its output is not readable")), announced_port);
        let started = started.and_then(|port| {
            server.address.set_port(port);
            server.answers()
        });
        match started {
            Ok(()) => Ok(server),
            Err(error) => Err(Error::new(format!("the Node server: {error}; its log is {}", log.display()))),
        }
    }

    /// One request, so that a server that listens but cannot serve is found here and not by every case.
    fn answers(&self) -> Result<()> {
        let failed = |error: std::io::Error| Error::new(format!("it does not answer: {error}"));
        let mut stream = TcpStream::connect_timeout(&self.address, START).map_err(failed)?;
        stream.set_read_timeout(Some(START)).map_err(failed)?;
        let request = "GET /tables/TodoItem HTTP/1.0\r\nZUMO-API-VERSION: 2.0.0\r\n\r\n";
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let status = answer.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            Ok(())
        } else {
            Err(Error::new(format!("it answers its own table with `{status}`")))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the line `listening <port>`; later output is passed on.
fn announced_port(output: impl Read + Send + 'static) -> Result<u16> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
            match port {
                // The receiver is gone only if it stopped waiting.
                Some(port) => drop(sender.send(port)),
                None => eprintln!("{line}"),
            }
        }
    });
    receiver.recv_timeout(START).map_err(|_| Error::new("it did not start"))
}
