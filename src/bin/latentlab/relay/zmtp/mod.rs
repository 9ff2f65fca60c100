//! ZeroMQ's sockets as Jupyter needs them (ZMTP 3.1, RFC 37, without security), so that no client can make the relay hold, wait or end.
//!
//! Jupyter signs messages, not connections: whoever can connect can send. So everything is bounded before a message is looked at: the bytes that are held,
//! the frames of a message, the time that a greeting and a message may take, the number of connections, and what waits for a peer that does not read.

#[cfg(unix)]
mod ipc;
mod socket;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use self::socket::{Client, Held, Listening, Outgoing};

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// A socket file, on Unix.
    Ipc(PathBuf),
}

/// What a peer may do. A socket holds at most four large messages that its owner has not yet taken, and 256 KiB for each connection and for each of
/// 64 that wait: 282 MiB by default. Five sockets stay below the 256 files that macOS lets a process open.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of one message.
    pub message: usize,
    /// The frames of one message.
    pub frames: usize,
    /// The connections at one time. One more takes the place of the oldest that has not yet introduced itself, or else of the youngest that has
    /// not been of use, so that a flood ends nobody's work.
    pub connections: usize,
    /// The time from the connection to the end of its introduction.
    pub handshake: Duration,
    /// The time that a message may take from its first byte to its last, beside a second for each MiB.
    pub patience: Duration,
    /// The bytes that may wait for a peer.
    pub queue: usize,
    /// A reader with a full queue must take [`PROGRESS`] bytes in this time.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 << 20,
            frames: 1024,
            connections: 40,
            handshake: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            queue: 256 << 20,
            stall: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// For what the kernel says, which is our own child.
    pub fn kernel() -> Self {
        Self { message: 1 << 30, ..Self::default() }
    }
}

/// What a reader must take, in the time that [`Limits`] gives, to count as one.
const PROGRESS: u64 = 1 << 20;

/// The kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Router,
    Publisher,
    Heartbeat,
    Dealer,
    Subscriber,
}

impl Kind {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Router => b"ROUTER",
            Self::Publisher => b"PUB",
            Self::Heartbeat => b"REP",
            Self::Dealer => b"DEALER",
            Self::Subscriber => b"SUB",
        }
    }

    /// Who may be at the other end.
    fn peers(self) -> &'static [&'static [u8]] {
        match self {
            Self::Router => &[b"REQ", b"DEALER", b"ROUTER"],
            Self::Publisher => &[b"SUB", b"XSUB"],
            Self::Heartbeat => &[b"REQ", b"DEALER"],
            Self::Dealer => &[b"REP", b"DEALER", b"ROUTER"],
            Self::Subscriber => &[b"PUB", b"XPUB"],
        }
    }
}

/// Listens for clients that ask. A client is known by the identity that it gives, or by one made here. The latest client of an identity has it: its
/// messages are answered to it. An earlier one that is still there goes on under an identity made here.
pub struct Router;

impl Router {
    /// To be called within a runtime, as everything here. Listens until both halves are dropped.
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<(RouterSender, RouterReceiver)> {
        let (listening, inbox) = Listening::bind(endpoint, Kind::Router, limits)?;
        let listening = Arc::new(listening);
        Ok((RouterSender(listening.clone()), RouterReceiver { inbox, _listening: listening }))
    }
}

pub struct RouterSender(Arc<Listening>);

impl RouterSender {
    /// Sends what follows the first frame to the client of this identity. Never waits: for a client that has gone it does nothing, and a client that
    /// has let its queue fill is disconnected.
    pub fn send(&self, mut frames: Vec<Bytes>) {
        if frames.len() > 1 {
            let identity = frames.remove(0);
            self.0.shared.send_to(&identity, frames);
        }
    }

    /// Waits until all is sent, but no longer than this.
    pub async fn flush(&self, within: Duration) {
        self.0.shared.flush(within).await;
    }

    /// Where it listens, with the port that port 0 became.
    #[cfg(test)]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }
}

pub struct RouterReceiver {
    inbox: mpsc::Receiver<Held>,
    _listening: Arc<Listening>,
}

impl RouterReceiver {
    /// The next message, from any client: its identity, then its frames.
    pub async fn recv(&mut self) -> Option<Vec<Bytes>> {
        Some(self.inbox.recv().await?.frames)
    }
}

/// Tells all who have subscribed.
pub struct Publisher(Listening);

impl Publisher {
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<Self> {
        Ok(Self(Listening::bind(endpoint, Kind::Publisher, limits)?.0))
    }

    /// Sends to everybody who has subscribed to a beginning of the first frame. Waits while a reader's queue is full; one that then takes less than
    /// [`PROGRESS`] in the time that [`Limits`] gives is disconnected. If the future is dropped, nobody has got the message.
    pub async fn publish(&self, frames: Vec<Bytes>) {
        let shared = &self.0.shared;
        let Some(topic) = frames.first().cloned() else { return };
        let message = Arc::new(Outgoing::message(frames, shared.held.clone()));
        let mut end = None;
        loop {
            let moved = shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let full = shared.full(&topic, &message);
            if full.is_empty() {
                return shared.send_to_subscribers(&topic, &message);
            }
            let end_of_window = *end.get_or_insert_with(|| {
                // From here on.
                for link in &full {
                    link.progress();
                }
                Instant::now() + shared.limits.stall
            });
            if tokio::time::timeout_at(end_of_window.into(), moved).await.is_err() {
                full.iter().filter(|link| link.progress() < PROGRESS).for_each(|link| shared.remove(link));
                end = None;
            }
        }
    }

    /// Waits until all is sent, but no longer than this.
    pub async fn flush(&self, within: Duration) {
        self.0.shared.flush(within).await;
    }

    /// Where it listens, with the port that port 0 became.
    #[cfg(test)]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }
}

/// Returns whatever it is sent, to any number of clients, until it is dropped.
pub struct Heartbeat(#[cfg_attr(not(test), expect(dead_code, reason = "it answers as long as it lives"))] Listening);

impl Heartbeat {
    /// Where it listens, with the port that port 0 became.
    #[cfg(test)]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }
}

/// Answers heartbeats.
pub fn heartbeat(endpoint: &Endpoint, limits: Limits) -> io::Result<Heartbeat> {
    Ok(Heartbeat(Listening::bind(endpoint, Kind::Heartbeat, limits)?.0))
}

/// Asks a kernel.
pub struct Dealer;

impl Dealer {
    /// Returns when the kernel has introduced itself. The connection lives until both halves are dropped.
    pub async fn connect(
        endpoint: &Endpoint,
        identity: Option<Bytes>,
        limits: Limits,
    ) -> io::Result<(DealerSender, DealerReceiver)> {
        let (client, inbox) = Client::connect(endpoint, Kind::Dealer, &identity.unwrap_or_default(), limits).await?;
        let client = Arc::new(client);
        Ok((DealerSender(client.clone()), DealerReceiver { inbox, _client: client }))
    }
}

pub struct DealerSender(Arc<Client>);

impl DealerSender {
    /// Never waits. An error if the connection has ended, or ends here because the kernel has let its queue fill.
    pub fn send(&self, frames: Vec<Bytes>) -> io::Result<()> {
        self.0.send(frames)
    }
}

pub struct DealerReceiver {
    inbox: mpsc::Receiver<Held>,
    _client: Arc<Client>,
}

impl DealerReceiver {
    /// The next message; `None` when the connection has ended.
    pub async fn recv(&mut self) -> Option<Vec<Bytes>> {
        Some(self.inbox.recv().await?.frames)
    }
}

/// Hears all that a kernel tells everybody.
pub struct Subscriber {
    inbox: mpsc::Receiver<Held>,
    _client: Client,
}

impl Subscriber {
    /// Returns when the subscription is sent; the kernel heeds it a moment later.
    pub async fn connect(endpoint: &Endpoint, limits: Limits) -> io::Result<Self> {
        let (client, inbox) = Client::connect(endpoint, Kind::Subscriber, &[], limits).await?;
        Ok(Self { inbox, _client: client })
    }

    /// The next message; `None` when the connection has ended.
    pub async fn recv(&mut self) -> Option<Vec<Bytes>> {
        Some(self.inbox.recv().await?.frames)
    }
}
