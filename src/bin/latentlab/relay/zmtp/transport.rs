//! TCP and Unix sockets, as readers and writers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use super::ipc;
#[cfg(unix)]
pub use super::ipc::SocketFile;

/// Windows has no socket files.
#[cfg(not(unix))]
pub enum SocketFile {}

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = BufWriter<Box<dyn AsyncWrite + Send + Unpin>>;

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// A socket file, on Unix.
    Ipc(PathBuf),
}

pub enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Ipc(UnixListener),
}

impl Listener {
    /// The listener, its address (with the port that port 0 became), and the socket file to remove at the end.
    pub fn bind(endpoint: &Endpoint) -> io::Result<(Self, Endpoint, Option<SocketFile>)> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let endpoint = Endpoint::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(TcpListener::from_std(listener)?), endpoint, None))
            }
            #[cfg(unix)]
            Endpoint::Ipc(path) => {
                let (listener, file) = ipc::bind(path)?;
                Ok((Self::Ipc(listener), endpoint.clone(), Some(file)))
            }
            #[cfg(not(unix))]
            Endpoint::Ipc(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(listener) => Ok(tcp(listener.accept().await?.0)),
            #[cfg(unix)]
            Self::Ipc(listener) => Ok(halves(listener.accept().await?.0.into_split())),
        }
    }
}

pub async fn connect(endpoint: &Endpoint) -> io::Result<(Reader, Writer)> {
    match endpoint {
        Endpoint::Tcp(address) => Ok(tcp(TcpStream::connect(address).await?)),
        #[cfg(unix)]
        Endpoint::Ipc(path) => Ok(halves(UnixStream::connect(path).await?.into_split())),
        #[cfg(not(unix))]
        Endpoint::Ipc(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn tcp(stream: TcpStream) -> (Reader, Writer) {
    // Fails only if the peer has closed already, which the reader will notice.
    let _ = stream.set_nodelay(true);
    halves(stream.into_split())
}

pub fn halves(
    (reader, writer): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
) -> (Reader, Writer) {
    (Box::new(reader), BufWriter::with_capacity(16 << 10, Box::new(writer)))
}
