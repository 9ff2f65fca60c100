//! A socket that connects to a kernel.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::listen::INBOX;
use super::peers::{Limits, Peer, Peers, Received};
use super::transport::{self, Endpoint};
use super::wire::SocketType;

/// Ends when it is dropped.
pub struct Client {
    peers: Arc<Peers>,
    kernel: Arc<Peer>,
    task: JoinHandle<()>,
}

impl Client {
    pub async fn connect(
        endpoint: &Endpoint,
        socket: SocketType,
        identity: &[u8],
        limits: Limits,
    ) -> io::Result<(Self, Receiver<Received>)> {
        let peers = Peers::new(socket, limits);
        let connection = async { peers.handshake(transport::connect(endpoint).await?, identity).await };
        let connection = timeout(limits.handshake, connection).await??;
        let (kernel, outbox) = Peer::new();
        let (sender, received) = mpsc::channel(INBOX);
        let task = tokio::spawn({
            let (peers, kernel) = (peers.clone(), kernel.clone());
            async move { peers.traffic(&kernel, connection, outbox, sender).await }
        });
        Ok((Self { peers, kernel, task }, received))
    }

    pub fn send(&self, frames: Vec<Bytes>) -> io::Result<()> {
        let is_sent = frames.is_empty()
            || self.peers.push_or_close(&self.kernel, self.peers.outgoing(frames), self.peers.limits.queue);
        if is_sent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}
