//! The addresses of both sides: Jupyter's connection file, and the connection file of the kernel.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::zmtp::Endpoint;
use crate::project::{Outcome, cannot};
use crate::whole::hex;

/// The only signature scheme that Jupyter uses.
const SCHEME: &str = "hmac-sha256";

/// A connection file, as Jupyter writes it and evcxr reads it.
#[derive(Clone, Deserialize, Serialize)]
pub struct Connection {
    transport: String,
    ip: String,
    pub shell_port: u16,
    pub iopub_port: u16,
    pub stdin_port: u16,
    pub control_port: u16,
    pub hb_port: u16,
    pub key: String,
    #[serde(default = "default_scheme")]
    pub signature_scheme: String,
}

fn default_scheme() -> String {
    SCHEME.to_owned()
}

impl Connection {
    pub fn read(file: &Path) -> Outcome<Self> {
        let text = std::fs::read(file).map_err(cannot("read", file))?;
        let connection: Self = serde_json::from_slice(&text)
            .map_err(|error| format!("{}: not a connection file ({error})", file.display()))?;
        if connection.signature_scheme != SCHEME {
            let scheme = connection.signature_scheme;
            return Err(format!("{}: expected messages signed by {SCHEME}, got {scheme:?}", file.display()));
        }
        Ok(connection)
    }

    fn with_new_key(transport: &str, ip: &str, ports: [u16; 5]) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let [shell_port, iopub_port, stdin_port, control_port, hb_port] = ports;
        Ok(Self {
            transport: transport.to_owned(),
            ip: ip.to_owned(),
            shell_port,
            iopub_port,
            stdin_port,
            control_port,
            hb_port,
            key: hex(&key),
            signature_scheme: default_scheme(),
        })
    }

    pub fn endpoint(&self, port: u16) -> io::Result<Endpoint> {
        let ip = if self.ip == "localhost" { "127.0.0.1" } else { &self.ip };
        match (self.transport.as_str(), ip.parse()) {
            ("tcp", Ok(ip)) => Ok(Endpoint::Tcp(SocketAddr::new(ip, port))),
            ("ipc", _) => Ok(Endpoint::Ipc(format!("{ip}-{port}").into())),
            _ => Err(io::Error::other(format!(
                "the connection file names an invalid address: {}://{}",
                self.transport, self.ip
            ))),
        }
    }
}

/// The connection from the relay to the kernel, with its own key.
///
/// Its sockets are files in a folder that no other user may enter: evcxr allocates the size that a header claims before
/// it checks the signature, so only the relay may connect. On Windows, where evcxr's ZeroMQ has no socket files, they
/// are TCP sockets on loopback.
pub struct KernelConnection {
    pub connection: Connection,
    /// Removed, with the socket files, when this is dropped; open connections stay.
    #[cfg(unix)]
    _folder: tempfile::TempDir,
}

impl KernelConnection {
    /// Creates the folder of the socket files in `slot`, unless that path is too long for the address of a socket.
    #[cfg(unix)]
    pub fn new(slot: &Path) -> io::Result<Self> {
        use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
        /// macOS allows 104 bytes for an address, Linux 108: this leaves enough for the names below the slot.
        const LONGEST: usize = 80;
        const SOCKETS: &str = "sockets";
        let temporary = std::env::temp_dir();
        let is_short = |folder: &Path| folder.as_os_str().as_bytes().len() <= LONGEST;
        let runtime = crate::user::runtime().filter(|folder| is_short(folder)).unwrap_or(temporary);
        let parent = if is_short(slot) { slot } else { &runtime };
        if parent == slot {
            // A kernel that was killed at its start has left its own.
            let left = std::fs::read_dir(slot)?.flatten();
            let left = left.filter(|entry| entry.file_name().as_bytes().starts_with(SOCKETS.as_bytes()));
            left.for_each(|entry| drop(std::fs::remove_dir_all(entry.path())));
        }
        let private = std::fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(SOCKETS).permissions(private).tempdir_in(parent)?;
        let prefix = folder.path().join("s");
        let prefix = prefix.to_str().ok_or_else(|| io::Error::other(format!("{}: not Unicode", prefix.display())))?;
        Ok(Self { connection: Connection::with_new_key("ipc", prefix, [1, 2, 3, 4, 5])?, _folder: folder })
    }

    #[cfg(not(unix))]
    pub fn new(_: &Path) -> io::Result<Self> {
        use std::net::{Ipv4Addr, TcpListener};
        let local = Ipv4Addr::LOCALHOST;
        // All at the same time, so that the five ports differ.
        let listeners: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind((local, 0))).collect::<io::Result<_>>()?;
        let mut ports = [0; 5];
        for (port, listener) in ports.iter_mut().zip(&listeners) {
            *port = listener.local_addr()?.port();
        }
        Ok(Self { connection: Connection::with_new_key("tcp", &local.to_string(), ports)? })
    }

    /// The address of the socket that evcxr opens for this port.
    pub fn endpoint(&self, port: u16) -> io::Result<Endpoint> {
        if cfg!(unix) {
            return Ok(Endpoint::Ipc(format!("{}:{port}", self.connection.ip).into()));
        }
        self.connection.endpoint(port)
    }
}
