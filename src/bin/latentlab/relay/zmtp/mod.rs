//! ZeroMQ sockets as Jupyter needs them (ZMTP 3.1, RFC 37, without security), hardened against hostile clients.
//!
//! Jupyter signs messages, not connections: whoever can connect can send. So everything is bounded before a message is
//! verified: memory, the frames of a message, the time for a handshake and for a message, the number of connections,
//! and the queue of a peer that does not read.
//!
//! [`wire`] encodes and decodes, [`transport`] opens TCP and Unix sockets, [`peers`] keeps the connections and their
//! queues, [`traffic`] reads and writes one connection, [`listen`] and [`client`] start them.

mod client;
#[cfg(unix)]
mod ipc;
mod listen;
mod peers;
mod traffic;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::client::Client;
use self::listen::Listening;
use self::peers::Received;
use self::wire::SocketType;

#[cfg(unix)]
pub use self::ipc::bind as bind_file;
pub use self::peers::Limits;
pub use self::transport::Endpoint;

/// Receives the messages of a socket, and keeps it open. All sockets here need a Tokio runtime.
pub struct Inbox {
    received: mpsc::Receiver<Received>,
    _socket: Arc<dyn Send + Sync>,
}

impl Inbox {
    /// The next message; of a router, the identity of the client comes first. `None` when the connection has ended.
    pub async fn recv(&mut self) -> Option<Vec<Bytes>> {
        Some(self.received.recv().await?.frames)
    }
}

/// Accepts clients and answers them.
///
/// A client is known by the identity it announces, or by a generated one. If two clients announce the same, the later
/// one gets the answers, and the earlier one continues under a generated identity.
pub struct Router(Arc<Listening>);

impl Router {
    /// Listens until the router and its inbox are dropped.
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<(Self, Inbox)> {
        let (listening, received) = Listening::bind(endpoint, SocketType::Router, limits)?;
        let listening = Arc::new(listening);
        Ok((Self(listening.clone()), Inbox { received, _socket: listening }))
    }

    /// Sends all frames but the first to the client whose identity the first is. Never waits: if the client has gone,
    /// nothing happens, and if its queue is full, it is disconnected.
    pub fn send(&self, mut frames: Vec<Bytes>) {
        if frames.len() > 1 {
            let identity = frames.remove(0);
            self.0.peers.send_to(&identity, frames);
        }
    }

    /// Waits until everything is sent, but no longer than this.
    pub async fn flush(&self, within: Duration) {
        self.0.peers.flush(within).await;
    }
}

/// Sends to all subscribers.
pub struct Publisher(Listening);

impl Publisher {
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<Self> {
        Ok(Self(Listening::bind(endpoint, SocketType::Publisher, limits)?.0))
    }

    /// Sends to every peer that has subscribed to a prefix of the first frame. While a subscriber's queue is full, this
    /// waits; a subscriber that reads too slowly for [`Limits::stall`] is disconnected. If the future is dropped, the
    /// message has gone to nobody.
    pub async fn publish(&self, frames: Vec<Bytes>) {
        let peers = &self.0.peers;
        let Some(topic) = frames.first().cloned() else { return };
        let message = Arc::new(peers.outgoing(frames));
        loop {
            let full = peers.full(&topic, &message);
            if full.is_empty() {
                return peers.send_to_subscribers(&topic, &message);
            }
            for peer in full {
                peer.progress();
            }
            let drained = peers.until(|| peers.full(&topic, &message).is_empty());
            if timeout(peers.limits.stall, drained).await.is_err() {
                peers.full(&topic, &message).iter().filter(|peer| peer.is_stalled()).for_each(|peer| peers.close(peer));
            }
        }
    }

    /// Waits until everything is sent, but no longer than this.
    pub async fn flush(&self, within: Duration) {
        self.0.peers.flush(within).await;
    }
}

/// Echoes what clients send, until it is dropped.
pub struct Heartbeat(#[cfg_attr(not(test), expect(dead_code, reason = "it echoes as long as it lives"))] Listening);

impl Heartbeat {
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<Self> {
        Ok(Self(Listening::bind(endpoint, SocketType::Heartbeat, limits)?.0))
    }
}

/// Sends requests to a kernel.
pub struct Dealer(Arc<Client>);

impl Dealer {
    /// Returns after the handshake. The connection lives until the dealer and its inbox are dropped.
    pub async fn connect(endpoint: &Endpoint, identity: Option<Bytes>, limits: Limits) -> io::Result<(Self, Inbox)> {
        let identity = identity.unwrap_or_default();
        let (client, received) = Client::connect(endpoint, SocketType::Dealer, &identity, limits).await?;
        let client = Arc::new(client);
        Ok((Self(client.clone()), Inbox { received, _socket: client }))
    }

    /// Never waits. An error if the connection has ended, or ends here because the kernel's queue is full.
    pub fn send(&self, frames: Vec<Bytes>) -> io::Result<()> {
        self.0.send(frames)
    }
}

/// Receives what a kernel publishes. Returns when the subscription is sent; it takes effect a moment later.
pub async fn subscribe(endpoint: &Endpoint, limits: Limits) -> io::Result<Inbox> {
    let (client, received) = Client::connect(endpoint, SocketType::Subscriber, &[], limits).await?;
    Ok(Inbox { received, _socket: Arc::new(client) })
}
