//! A kernel that is started ahead: when a client restarts its kernel, or starts another, that one takes a third of a
//! second instead of several.
//!
//! The spare is a relay with its kernel, in a slot of its own, that waits for a connection file. A kernel that Jupyter
//! starts hands its own to the spare, and stays as the process that Jupyter watches: when one of the two ends, so does
//! the other. A relay that Jupyter's server has started starts the next spare once its clients are quiet.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::connection::Connection;
use super::zmtp::bind_file;
use super::{Jupyter, Started, in_runtime};
use crate::project::{Outcome, make_private_folder, open_lock};
use crate::whole::hex;

/// `0`: kernels have no spare.
pub const SETTING: &str = "LATENTLAB_SPARE_KERNEL";
/// Jupyter's server names the notebook in it, which a spare cannot know: no kernel that may have a spare sees it.
pub const SESSION: &str = "JPY_SESSION_NAME";

/// How long a kernel waits for a spare that is still starting.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answers of a spare, and the last byte of one that has been shut down.
const YES: u8 = b'y';
const ENDED: u8 = b'e';

/// The largest request: a connection file has less than a kilobyte.
const MOST_BYTES: u64 = 64 << 10;

/// What a process asks a spare.
#[derive(Deserialize, Serialize)]
struct Request {
    key: String,
    /// To serve it, if the key is the spare's own; without one, only whether it is.
    connection: Option<Connection>,
}

/// The spare kernel of a project. There is at most one.
pub struct Spare {
    folder: PathBuf,
    /// A digest of what the kernel would be that this process starts; that kernel may take only an equal one.
    key: String,
    /// Held by the process of the spare, until a kernel takes it.
    lock: Option<File>,
}

impl Spare {
    /// The spare of a kernel with this build of the library. None for a kernel that no server of Jupyter has started,
    /// as in `latentlab run`: that one will not be restarted.
    pub fn of(build: &Path, stamp: &str) -> Option<Self> {
        if !Self::is_wanted() || std::env::var_os(SESSION).is_none() || std::env::var_os("JPY_PARENT_PID").is_none() {
            return None;
        }
        let tool = fs::metadata(std::env::current_exe().ok()?).ok()?;
        let mut sum = Sha256::new();
        let mut add = |part: &[u8]| {
            sum.update(part.len().to_le_bytes());
            sum.update(part);
        };
        add(stamp.as_bytes());
        add(format!("{} {:?}", tool.len(), tool.modified()).as_bytes());
        add(std::env::current_dir().ok()?.as_os_str().as_bytes());
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os().filter(|(name, _)| name != SESSION).collect();
        for (name, value) in &variables {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        Some(Self { folder: build.join("spare"), key: hex(&sum.finalize()), lock: None })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Asks the spare, if there is one. The connection to it, if it says yes.
    fn ask(&self, connection: Option<&Connection>) -> Option<Blocking> {
        let mut spare = Blocking::connect(self.socket()).ok()?;
        spare.set_read_timeout(Some(PATIENCE)).ok()?;
        let connection = connection.cloned();
        let request = serde_json::to_string(&Request { key: self.key.clone(), connection }).ok()?;
        writeln!(spare, "{request}").ok()?;
        let mut answer = [0];
        spare.read_exact(&mut answer).ok()?;
        (answer == [YES]).then_some(spare)
    }

    /// Has the spare serve Jupyter's connection file, until it ends. `None` if there is no spare, or no suitable one,
    /// which ends then.
    pub fn take(&self, connection: &Connection) -> Option<Outcome<()>> {
        let mut spare = self.ask(Some(connection))?;
        let mut last = Vec::new();
        let ended = spare.set_read_timeout(None).and_then(|()| spare.read_to_end(&mut last));
        Some(match ended {
            Ok(_) if last == [ENDED] => Ok(()),
            // The other process has told why on the standard error.
            _ => Err("The kernel ended.".to_owned()),
        })
    }

    /// Starts the process of the spare, which outlives this one.
    pub fn start(&self) -> io::Result<()> {
        // When it ends, Tokio collects its exit code.
        tokio::process::Command::from(command()?).spawn().map(drop)
    }

    /// Whether kernels have a spare.
    pub fn is_wanted() -> bool {
        std::env::var_os(SETTING).is_none_or(|setting| setting != "0")
    }

    /// Starts the process of the first spare, which builds the library if that is not up to date, for the server that
    /// this process becomes by `server`, with notebooks in `folder`: it gets what the server gives its kernels. A
    /// process in between, which ends at once, is its parent, because the server would not collect its exit code.
    pub fn start_for(server: &Command, folder: &Path) -> io::Result<()> {
        let mut command = command()?;
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("JPY_PARENT_PID", std::process::id().to_string()).env(SESSION, "").current_dir(folder);
        command.args(["--build", "--leave"]).stdout(Stdio::inherit()).status().map(drop)
    }

    /// Starts the process of the first spare in place of this one, which ends. It tells what it builds.
    pub fn leave() -> Outcome<()> {
        let started = command().and_then(|mut command| command.arg("--build").stdout(Stdio::inherit()).spawn());
        started.map(drop).map_err(|error| format!("The spare kernel could not be started ({error})."))
    }

    /// Makes this process that of the spare. False if there is an equal one already; another one ends.
    pub fn reserve(&mut self) -> Outcome<bool> {
        make_private_folder(&self.folder)?;
        let lock = open_lock(&self.folder.join("lock"))?;
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if self.ask(None).is_some() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.lock = Some(lock);
        Ok(true)
    }

    /// Starts a kernel, and serves a connection file when a process hands one over.
    pub fn run(&mut self, command: Command, slot: &Path) -> Outcome<()> {
        let done = in_runtime(async {
            let socket = self.socket();
            // Such as a path that is too long for a socket: then each kernel starts as without a spare.
            let (listener, file) = bind_file(&socket)
                .inspect_err(|error| eprintln!("No spare kernel can be started: {}: {error}", socket.display()))?;
            let start = async {
                let mut started = Started::new(command, slot).await?;
                started.warm_up().await?;
                Ok(started)
            };
            let ((client, connection), mut started) = tokio::try_join!(self.wait(&listener), start)?;
            started.check()?;
            let (mut reader, mut writer) = client.into_split();
            writer.write_all(&[YES]).await?;
            drop((listener, file));
            self.lock = None;
            let jupyter = Jupyter::listen(&connection).await?;
            // The process that Jupyter watches sends nothing more.
            let gone = async move { drop(reader.read_u8().await) };
            started.serve(jupyter, Some(&*self), gone).await?;
            // Fails if the other process is gone.
            let _ = writer.write_all(&[ENDED]).await;
            Ok(())
        });
        // Nobody misses a spare that has failed.
        if self.lock.is_some() { Ok(()) } else { done }
    }

    /// Waits for a connection file, and for the process that hands it over. An error if the spare is of no more use.
    async fn wait(&self, listener: &UnixListener) -> io::Result<(UnixStream, Connection)> {
        loop {
            let (mut client, _) = listener.accept().await?;
            // The folder keeps other users out; this holds if its mode is changed.
            if client.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let mut line = String::new();
            let mut reader = BufReader::new((&mut client).take(MOST_BYTES));
            let Ok(Ok(_)) = timeout(Duration::from_secs(1), reader.read_line(&mut line)).await else { continue };
            let Ok(request) = serde_json::from_str::<Request>(&line) else { continue };
            if request.key != self.key {
                return Err(io::Error::other("a kernel with other settings has replaced this spare one"));
            }
            match request.connection {
                Some(connection) => return Ok((client, connection)),
                None => drop(client.write_all(&[YES]).await),
            }
        }
    }
}

/// The process of a spare.
fn command() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["kernel", "--spare"]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    fn spare(folder: &Path, key: &str) -> Spare {
        Spare { folder: folder.to_owned(), key: key.to_owned(), lock: None }
    }

    fn connection() -> Connection {
        serde_json::from_value(serde_json::json!({
            "transport": "tcp", "ip": "127.0.0.1", "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4,
            "hb_port": 5, "key": "secret"
        }))
        .unwrap()
    }

    /// What the spare waits for, and what the other process does meanwhile.
    fn together<T: Send>(folder: &Path, other: impl FnOnce() -> T + Send) -> (io::Result<Connection>, T) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::scope(|scope| {
            let _guard = runtime.enter();
            let (listener, _file) = bind_file(&folder.join("socket")).unwrap();
            let other = scope.spawn(other);
            let waited = runtime.block_on(async {
                let (mut client, connection) = spare(folder, "ours").wait(&listener).await?;
                client.write_all(&[YES]).await?;
                Ok(connection)
            });
            drop(listener);
            (waited, other.join().unwrap())
        })
    }

    #[test]
    fn an_equal_kernel_takes_the_spare_and_an_inquiry_leaves_it() {
        let folder = Folder::new("spare");
        let (taken, asked) = together(&folder.0, || {
            // Not a request; closed at once; an inquiry.
            Blocking::connect(folder.0.join("socket")).unwrap().write_all(b"no request\n").unwrap();
            drop(Blocking::connect(folder.0.join("socket")).unwrap());
            let ours = spare(&folder.0, "ours");
            (ours.ask(None).is_some(), ours.ask(Some(&connection())).is_some())
        });
        assert_eq!(asked, (true, true));
        assert_eq!((taken.as_ref().unwrap().shell_port, &*taken.unwrap().key), (1, "secret"));
    }

    #[test]
    fn a_kernel_with_another_library_or_environment_ends_the_spare() {
        for request in [None, Some(connection())] {
            let folder = Folder::new("spare");
            let (waited, asked) = together(&folder.0, || spare(&folder.0, "theirs").ask(request.as_ref()).is_some());
            assert!(waited.is_err_and(|error| error.to_string().contains("replaced")));
            assert!(!asked);
        }
    }

    #[test]
    fn where_no_socket_can_be_no_kernel_is_started() {
        let folder = Folder::new("spare");
        let (deep, started) = (folder.0.join("x".repeat(120)), folder.0.join("started"));
        fs::create_dir(&deep).unwrap();
        let mut command = Command::new("touch");
        command.arg(&started);
        let done = spare(&deep, "ours").run(command, &folder.0);
        assert!(done.as_ref().is_err_and(|problem| problem.contains("path")), "{done:?}");
        assert!(!started.exists());
    }

    #[test]
    fn there_is_one_spare() {
        let folder = Folder::new("spare");
        let mut first = spare(&folder.0.join("private"), "ours");
        assert!(first.reserve().unwrap());
        let lock = open_lock(&first.folder.join("lock")).unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        lock.try_lock().unwrap();
    }
}
