//! The peers that are connected to a socket, and the messages that wait to be sent to each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::wire::SocketType;

/// What a peer may do. A socket holds at most [`LARGE_MESSAGES`] large messages that have not been received yet, and
/// 256 KiB for each connection and for each of 64 messages in the inbox: 282 MiB by default. The five sockets together
/// stay below the 256 files that macOS lets a process open.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of a message.
    pub message: usize,
    /// The frames of a message.
    pub frames: usize,
    /// The connections at one time. If another one comes, the oldest without a handshake is closed, or else the
    /// youngest that has not been active: a flood of connections ends nobody's work.
    pub connections: usize,
    /// The time for connecting and the handshake.
    pub handshake: Duration,
    /// The time from a message's first byte to its last, plus a second for each MiB.
    pub patience: Duration,
    /// The bytes that may be queued for a peer.
    pub queue: usize,
    /// A subscriber whose queue is full must read [`PROGRESS`] bytes in this time.
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
    /// For messages of the kernel, which is our own child process.
    pub fn kernel() -> Self {
        Self { message: 1 << 30, ..Self::default() }
    }
}

const PROGRESS: u64 = 1 << 20;

/// How many messages above the size that is buffered for every connection may be received at one time.
const LARGE_MESSAGES: usize = 4;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message in the inbox; a large one blocks other large ones until it is taken out.
pub struct Received {
    pub frames: Vec<Bytes>,
    pub _permit: Option<OwnedSemaphorePermit>,
}

/// A message to any number of peers; its size counts while any of them has it queued.
pub struct Outgoing {
    pub frames: Vec<Bytes>,
    pub command: bool,
    pub size: usize,
    queued: Arc<AtomicUsize>,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.size, Relaxed);
    }
}

/// How far a peer has come: connected, handshake done, has subscribed or been answered.
pub const CONNECTED: u8 = 0;
pub const KNOWN: u8 = 1;
pub const ACTIVE: u8 = 2;

/// A peer, as the other tasks see it.
pub struct Peer {
    pub stage: AtomicU8,
    pub identity: Mutex<Bytes>,
    pub topics: Mutex<Vec<Bytes>>,
    queue: UnboundedSender<Arc<Outgoing>>,
    /// The bytes in its queue.
    pub queued: AtomicUsize,
    pub written: AtomicU64,
    /// `written` when its progress was last asked for.
    mark: AtomicU64,
    pub close: Notify,
}

impl Peer {
    pub fn new() -> (Arc<Self>, UnboundedReceiver<Arc<Outgoing>>) {
        let (queue, outbox) = mpsc::unbounded_channel();
        let peer = Self {
            stage: AtomicU8::new(CONNECTED),
            identity: Mutex::default(),
            topics: Mutex::default(),
            queue,
            queued: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            close: Notify::new(),
        };
        (Arc::new(peer), outbox)
    }

    /// The bytes written since the last call.
    pub fn progress(&self) -> u64 {
        let written = self.written.load(Relaxed);
        written - self.mark.swap(written, Relaxed)
    }

    pub fn is_stalled(&self) -> bool {
        self.progress() < PROGRESS
    }

    /// A message larger than the whole queue is accepted when nothing else is queued.
    fn has_space(&self, message: &Outgoing, queue: usize) -> bool {
        let queued = self.queued.load(Relaxed);
        queued == 0 || queued.saturating_add(message.size) <= queue
    }

    /// False if the connection has ended.
    fn push(&self, message: Arc<Outgoing>) -> bool {
        self.queued.fetch_add(message.size, Relaxed);
        self.queue.send(message).is_ok()
    }

    fn is_subscribed(&self, topic: &[u8]) -> bool {
        lock(&self.topics).iter().any(|prefix| topic.starts_with(prefix))
    }
}

/// The peers of one socket.
pub struct Peers {
    pub socket: SocketType,
    pub limits: Limits,
    by_identity: Mutex<HashMap<Bytes, Arc<Peer>>>,
    /// The number of identities generated.
    generated: AtomicU64,
    /// The bytes in all queues, each message counted once.
    queued: Arc<AtomicUsize>,
    /// Notified when messages have left a queue.
    pub sent: Notify,
    pub large: Arc<Semaphore>,
}

impl Peers {
    pub fn new(socket: SocketType, mut limits: Limits) -> Arc<Self> {
        if matches!(socket, SocketType::Publisher | SocketType::Heartbeat) {
            // They receive only topics and pings.
            limits.message = limits.message.min(8 << 10);
        }
        Arc::new(Self {
            socket,
            limits,
            by_identity: Mutex::default(),
            generated: AtomicU64::new(0),
            queued: Arc::default(),
            sent: Notify::new(),
            large: Arc::new(Semaphore::new(LARGE_MESSAGES)),
        })
    }

    pub fn outgoing(&self, frames: Vec<Bytes>) -> Outgoing {
        let size = frames.iter().map(|frame| frame.len() + 64).sum::<usize>() + 64;
        self.queued.fetch_add(size, Relaxed);
        Outgoing { frames, command: false, size, queued: self.queued.clone() }
    }

    /// Starts with a zero byte, which no identity that a peer announces may have.
    fn generate_identity(&self) -> Bytes {
        let number = self.generated.fetch_add(1, Relaxed).to_be_bytes();
        Bytes::from([&[0][..], &number].concat())
    }

    pub fn add(&self, peer: &Arc<Peer>, announced: &Bytes) {
        let is_valid = self.socket == SocketType::Router && announced.first().is_some_and(|first| *first != 0);
        let identity = if is_valid { announced.clone() } else { self.generate_identity() };
        let mut peers = lock(&self.by_identity);
        *lock(&peer.identity) = identity.clone();
        if let Some(earlier) = peers.insert(identity, peer.clone()) {
            let other = self.generate_identity();
            *lock(&earlier.identity) = other.clone();
            peers.insert(other, earlier);
        }
        peer.stage.store(KNOWN, Relaxed);
    }

    /// Nothing more is sent to it.
    pub fn remove(&self, peer: &Arc<Peer>) {
        let mut peers = lock(&self.by_identity);
        let identity = lock(&peer.identity).clone();
        if peers.get(&identity).is_some_and(|there| Arc::ptr_eq(there, peer)) {
            peers.remove(&identity);
        }
        self.sent.notify_waiters();
    }

    /// Removes it and closes its connection.
    pub fn close(&self, peer: &Arc<Peer>) {
        self.remove(peer);
        peer.close.notify_one();
    }

    pub fn send_to(&self, identity: &Bytes, frames: Vec<Bytes>) {
        let peer = lock(&self.by_identity).get(identity).cloned();
        if let Some(peer) = peer {
            peer.stage.store(ACTIVE, Relaxed);
            self.push_or_close(&peer, self.outgoing(frames), self.limits.queue);
        }
    }

    /// False if the connection has ended, or is closed here because its queue is full.
    pub fn push_or_close(&self, peer: &Arc<Peer>, message: Outgoing, queue: usize) -> bool {
        let pushed = peer.has_space(&message, queue) && peer.push(Arc::new(message));
        if !pushed {
            self.close(peer);
        }
        pushed
    }

    /// The subscribers that have no space for the message.
    pub fn full(&self, topic: &[u8], message: &Outgoing) -> Vec<Arc<Peer>> {
        // Subscribers to different topics may have different messages queued, which add up.
        let too_much = self.queued.load(Relaxed).saturating_sub(message.size) > 2 * self.limits.queue;
        let is_full = |peer: &Arc<Peer>| match too_much {
            true => peer.queued.load(Relaxed) > 0,
            false => peer.is_subscribed(topic) && !peer.has_space(message, self.limits.queue),
        };
        lock(&self.by_identity).values().filter(|peer| is_full(peer)).cloned().collect()
    }

    pub fn send_to_subscribers(&self, topic: &[u8], message: &Arc<Outgoing>) {
        for peer in lock(&self.by_identity).values().filter(|peer| peer.is_subscribed(topic)) {
            peer.push(message.clone());
        }
    }

    /// Waits for a condition that may become true when messages are sent or a peer leaves.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let sent = self.sent.notified();
            tokio::pin!(sent);
            // Registered before the condition is tested, so that no change is missed in between.
            sent.as_mut().enable();
            if condition() {
                return;
            }
            sent.await;
        }
    }

    pub async fn flush(&self, within: Duration) {
        let _ = timeout(within, self.until(|| self.queued.load(Relaxed) == 0)).await;
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        let permits = self.large.available_permits();
        lock(&self.by_identity).is_empty() && self.queued.load(Relaxed) == 0 && permits == LARGE_MESSAGES
    }
}
