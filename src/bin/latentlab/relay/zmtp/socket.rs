//! Connections: who is there, what waits for them, and the tasks that read and write.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout, timeout_at};

#[cfg(unix)]
use super::ipc;
use super::wire::{self, Decoder, Item, refused};
use super::{Endpoint, Kind, Limits};

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = BufWriter<Box<dyn AsyncWrite + Send + Unpin>>;

/// Messages up to this size are held for every connection; a larger one takes one of the [`LARGE`] places from its header until the owner has it.
const SMALL: usize = 256 << 10;
const LARGE: usize = 4;

/// How many messages wait for the owner.
const INBOX: usize = 64;

/// What is written at once, so that a reader's progress is seen within a large frame. Also what may wait for a peer that wants commands or
/// heartbeats answered and does not read.
const CHUNK: usize = 256 << 10;

/// How long a peer that no longer reads is listened to.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many topics one client may subscribe to.
const SUBSCRIPTIONS: usize = 100;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message for the owner.
pub struct Held {
    pub frames: Vec<Bytes>,
    _place: Option<OwnedSemaphorePermit>,
}

/// A message for any number of peers; counted while it waits for one.
pub struct Outgoing {
    frames: Vec<Bytes>,
    command: bool,
    size: usize,
    held: Arc<AtomicUsize>,
}

impl Outgoing {
    pub fn message(frames: Vec<Bytes>, held: Arc<AtomicUsize>) -> Self {
        Self::new(frames, false, held)
    }

    fn new(frames: Vec<Bytes>, command: bool, held: Arc<AtomicUsize>) -> Self {
        let size = frames.iter().map(|frame| frame.len() + 64).sum::<usize>() + 64;
        held.fetch_add(size, Relaxed);
        Self { frames, command, size, held }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.held.fetch_sub(self.size, Relaxed);
    }
}

/// How far a connection has come: it is there, has introduced itself, has been of use.
const NEW: u8 = 0;
const KNOWN: u8 = 1;
const USEFUL: u8 = 2;

/// A connection, as others see it.
pub struct Link {
    standing: AtomicU8,
    identity: Mutex<Bytes>,
    topics: Mutex<Vec<Bytes>>,
    queue: UnboundedSender<Arc<Outgoing>>,
    /// Bytes that wait for it.
    waiting: AtomicUsize,
    written: AtomicU64,
    /// What was written when its progress was last asked for.
    mark: AtomicU64,
    close: Notify,
}

impl Link {
    pub fn new() -> (Arc<Self>, UnboundedReceiver<Arc<Outgoing>>) {
        let (queue, outbox) = mpsc::unbounded_channel();
        let link = Self {
            standing: AtomicU8::new(NEW),
            identity: Mutex::default(),
            topics: Mutex::default(),
            queue,
            waiting: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            close: Notify::new(),
        };
        (Arc::new(link), outbox)
    }

    /// The bytes written since this was last asked.
    pub fn progress(&self) -> u64 {
        let written = self.written.load(Relaxed);
        written - self.mark.swap(written, Relaxed)
    }

    /// A message larger than the queue may still go alone.
    fn has_room(&self, message: &Outgoing, queue: usize) -> bool {
        let waiting = self.waiting.load(Relaxed);
        waiting == 0 || waiting.saturating_add(message.size) <= queue
    }

    /// False if the connection has ended.
    fn push(&self, message: Arc<Outgoing>) -> bool {
        self.waiting.fetch_add(message.size, Relaxed);
        self.queue.send(message).is_ok()
    }

    fn wants(&self, topic: &[u8]) -> bool {
        lock(&self.topics).iter().any(|prefix| topic.starts_with(prefix))
    }
}

/// What the connections of a socket share.
pub struct Shared {
    kind: Kind,
    pub limits: Limits,
    peers: Mutex<HashMap<Bytes, Arc<Link>>>,
    /// How many identities have been made.
    made: AtomicU64,
    /// The bytes that wait for any peer, each message counted once.
    pub held: Arc<AtomicUsize>,
    /// Some of them have been sent.
    pub moved: Notify,
    large: Arc<Semaphore>,
}

impl Shared {
    pub fn new(kind: Kind, mut limits: Limits) -> Arc<Self> {
        if matches!(kind, Kind::Publisher | Kind::Heartbeat) {
            // Topics and pings.
            limits.message = limits.message.min(8 << 10);
        }
        Arc::new(Self {
            kind,
            limits,
            peers: Mutex::default(),
            made: AtomicU64::new(0),
            held: Arc::default(),
            moved: Notify::new(),
            large: Arc::new(Semaphore::new(LARGE)),
        })
    }

    /// A zero first, as no identity that a peer gives itself may have it.
    fn make_identity(&self) -> Bytes {
        let number = self.made.fetch_add(1, Relaxed).to_be_bytes();
        Bytes::from([&[0][..], &number].concat())
    }

    fn add(&self, link: &Arc<Link>, given: Bytes) {
        let own = self.kind == Kind::Router && given.first().is_some_and(|first| *first != 0);
        let identity = if own { given } else { self.make_identity() };
        let mut peers = lock(&self.peers);
        *lock(&link.identity) = identity.clone();
        if let Some(earlier) = peers.insert(identity, link.clone()) {
            let other = self.make_identity();
            *lock(&earlier.identity) = other.clone();
            peers.insert(other, earlier);
        }
        link.standing.store(KNOWN, Relaxed);
    }

    /// Nothing more is sent to it.
    fn forget(&self, link: &Arc<Link>) {
        let mut peers = lock(&self.peers);
        let identity = lock(&link.identity).clone();
        if peers.get(&identity).is_some_and(|there| Arc::ptr_eq(there, link)) {
            peers.remove(&identity);
        }
        self.moved.notify_waiters();
    }

    /// Closes the connection.
    pub fn remove(&self, link: &Arc<Link>) {
        self.forget(link);
        link.close.notify_one();
    }

    pub fn send_to(&self, identity: &Bytes, frames: Vec<Bytes>) {
        let link = lock(&self.peers).get(identity).cloned();
        if let Some(link) = link {
            link.standing.store(USEFUL, Relaxed);
            self.push_or_close(&link, Outgoing::message(frames, self.held.clone()), self.limits.queue);
        }
    }

    /// False if the connection ends here, or has ended.
    fn push_or_close(&self, link: &Arc<Link>, message: Outgoing, queue: usize) -> bool {
        let pushed = link.has_room(&message, queue) && link.push(Arc::new(message));
        if !pushed {
            self.remove(link);
        }
        pushed
    }

    /// The subscribers that the message must wait for.
    pub fn full(&self, topic: &[u8], message: &Outgoing) -> Vec<Arc<Link>> {
        // Subscribers to different topics may hold different messages.
        let all = self.held.load(Relaxed).saturating_sub(message.size) > 2 * self.limits.queue;
        let is_full = |link: &Arc<Link>| match all {
            true => link.waiting.load(Relaxed) > 0,
            false => link.wants(topic) && !link.has_room(message, self.limits.queue),
        };
        lock(&self.peers).values().filter(|link| is_full(link)).cloned().collect()
    }

    pub fn send_to_subscribers(&self, topic: &[u8], message: &Arc<Outgoing>) {
        for link in lock(&self.peers).values().filter(|link| link.wants(topic)) {
            link.push(message.clone());
        }
    }

    #[cfg(test)]
    pub fn idle(&self) -> bool {
        lock(&self.peers).is_empty() && self.held.load(Relaxed) == 0 && self.large.available_permits() == LARGE
    }

    pub async fn flush(&self, within: Duration) {
        let sent = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.held.load(Relaxed) == 0 {
                    break;
                }
                moved.await;
            }
        };
        let _ = timeout(within, sent).await;
    }

    /// Both sides introduce themselves; what the peer calls itself.
    async fn introduce(
        &self,
        reader: &mut Reader,
        writer: &mut Writer,
        decoder: &mut Decoder,
        identity: &[u8],
    ) -> io::Result<Bytes> {
        writer.write_all(&wire::GREETING).await?;
        writer.flush().await?;
        let mut greeting = [0; 64];
        let (start, rest) = greeting.split_first_chunk_mut::<{ wire::VERSION }>().ok_or_else(|| refused("greeting"))?;
        reader.read_exact(start).await?;
        wire::check_version(start)?;
        reader.read_exact(rest).await?;
        wire::check_mechanism(&greeting)?;
        write_frame(writer, true, false, &wire::ready(self.kind, identity)).await?;
        writer.flush().await?;
        let item = loop {
            match decoder.next()? {
                Some(item) => break item,
                None if reader.read_buf(&mut decoder.room()).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        };
        let Item::Command(ready) = item else { return Err(refused("a message before READY")) };
        let introduced = wire::check_ready(&ready, self.kind);
        match &introduced {
            Ok(_) => decoder.allow(self.limits.message, self.limits.frames),
            Err(why) => {
                write_frame(writer, true, false, &wire::error(&why.to_string())).await?;
                writer.flush().await?;
            }
        }
        introduced
    }

    /// Reads and writes until the connection ends.
    async fn converse(
        &self,
        link: &Arc<Link>,
        mut reader: Reader,
        mut writer: Writer,
        mut decoder: Decoder,
        mut outbox: UnboundedReceiver<Arc<Outgoing>>,
        inbox: mpsc::Sender<Held>,
    ) -> io::Result<()> {
        let write = async {
            let ended = self.write(link, &mut writer, &mut outbox).await;
            // A client that asks and goes at once no longer reads; what it has asked is still read here.
            self.forget(link);
            sleep(LAST_WORDS).await;
            ended
        };
        tokio::select! {
            ended = self.read(link, &mut reader, &mut decoder, &inbox) => ended,
            ended = write => ended,
            () = link.close.notified() => Ok(()),
        }
    }

    async fn read(
        &self,
        link: &Arc<Link>,
        reader: &mut Reader,
        decoder: &mut Decoder,
        inbox: &mpsc::Sender<Held>,
    ) -> io::Result<()> {
        let mut place = None;
        // When the message on its way began.
        let mut begun = None;
        loop {
            while let Some(item) = decoder.next()? {
                match item {
                    Item::Command(command) => self.heed(link, &command)?,
                    Item::Message(frames) => {
                        begun = None;
                        self.deliver(link, frames, place.take(), inbox).await?;
                    }
                }
            }
            if decoder.size() > SMALL && place.is_none() {
                place = self.large.clone().acquire_owned().await.ok();
            }
            let held = decoder.held();
            let mut room = decoder.room();
            let arrived = reader.read_buf(&mut room);
            let arrived = if held == 0 {
                begun = None;
                arrived.await?
            } else {
                let time = self.limits.patience + Duration::from_secs(held as u64 >> 20);
                let end = *begun.get_or_insert_with(Instant::now) + time;
                timeout_at(end.into(), arrived).await.map_err(|_| refused("a message that does not end"))??
            };
            if arrived == 0 {
                return Ok(());
            }
        }
    }

    async fn deliver(
        &self,
        link: &Arc<Link>,
        mut frames: Vec<Bytes>,
        place: Option<OwnedSemaphorePermit>,
        inbox: &mpsc::Sender<Held>,
    ) -> io::Result<()> {
        match self.kind {
            // Subscriptions of ZMTP 3.0.
            Kind::Publisher => match frames.first().and_then(|frame| frame.split_first()) {
                Some((1, topic)) => self.subscribe(link, topic)?,
                Some((0, topic)) => self.unsubscribe(link, topic),
                _ => {}
            },
            Kind::Heartbeat => {
                self.push_or_close(link, Outgoing::message(frames, self.held.clone()), CHUNK);
            }
            Kind::Router | Kind::Dealer | Kind::Subscriber => {
                if self.kind == Kind::Router {
                    frames.insert(0, lock(&link.identity).clone());
                }
                // An owner that no longer listens ends the connection.
                let held = Held { frames, _place: place };
                inbox.send(held).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
        }
        Ok(())
    }

    fn heed(&self, link: &Arc<Link>, command: &[u8]) -> io::Result<()> {
        let (name, rest) = wire::name(command)?;
        match name {
            // A lifetime of two bytes, then what is to be returned, up to 16 bytes. What else waits for the peer shows as well that we are here.
            b"PING" if link.waiting.load(Relaxed) < CHUNK => {
                let context = rest.get(2..).filter(|context| context.len() <= 16);
                let context = context.ok_or_else(|| refused("a broken PING"))?;
                let pong = Bytes::from([b"\x04PONG".as_slice(), context].concat());
                self.push_or_close(link, Outgoing::new(vec![pong], true, self.held.clone()), CHUNK);
            }
            b"SUBSCRIBE" if self.kind == Kind::Publisher => self.subscribe(link, rest)?,
            b"CANCEL" if self.kind == Kind::Publisher => self.unsubscribe(link, rest),
            b"ERROR" => return Err(refused("the peer reports an error")),
            _ => {}
        }
        Ok(())
    }

    fn subscribe(&self, link: &Arc<Link>, topic: &[u8]) -> io::Result<()> {
        let mut topics = lock(&link.topics);
        if topics.len() == SUBSCRIPTIONS {
            return Err(refused(format!("expected at most {SUBSCRIPTIONS} subscriptions")));
        }
        topics.push(Bytes::copy_from_slice(topic));
        link.standing.store(USEFUL, Relaxed);
        Ok(())
    }

    fn unsubscribe(&self, link: &Arc<Link>, topic: &[u8]) {
        let mut topics = lock(&link.topics);
        if let Some(at) = topics.iter().position(|there| there == topic) {
            topics.swap_remove(at);
        }
    }

    async fn write(
        &self,
        link: &Arc<Link>,
        writer: &mut Writer,
        outbox: &mut UnboundedReceiver<Arc<Outgoing>>,
    ) -> io::Result<()> {
        while let Some(message) = outbox.recv().await {
            // Counts until it is flushed.
            let unflushed = Outgoing::new(Vec::new(), true, self.held.clone());
            let mut next = Some(message);
            while let Some(message) = next {
                let last = message.frames.len().saturating_sub(1);
                for (place, frame) in message.frames.iter().enumerate() {
                    let (header, length) = wire::frame_header(message.command, place < last, frame.len());
                    writer.write_all(&header[..length]).await?;
                    for chunk in frame.chunks(CHUNK) {
                        writer.write_all(chunk).await?;
                        link.written.fetch_add(chunk.len() as u64, Relaxed);
                    }
                }
                link.waiting.fetch_sub(message.size, Relaxed);
                drop(message);
                self.moved.notify_waiters();
                next = outbox.try_recv().ok();
            }
            writer.flush().await?;
            drop(unflushed);
            self.moved.notify_waiters();
        }
        Ok(())
    }
}

async fn write_frame(writer: &mut Writer, command: bool, more: bool, frame: &[u8]) -> io::Result<()> {
    let (header, length) = wire::frame_header(command, more, frame.len());
    writer.write_all(&header[..length]).await?;
    writer.write_all(frame).await
}

/// A socket that others connect to; ends, with all its connections, when it is dropped.
pub struct Listening {
    pub shared: Arc<Shared>,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests listen at a port that the system chooses"))]
    pub endpoint: Endpoint,
    task: JoinHandle<()>,
    #[cfg(unix)]
    _file: Option<ipc::SocketFile>,
}

impl Listening {
    pub fn bind(endpoint: &Endpoint, kind: Kind, limits: Limits) -> io::Result<(Self, mpsc::Receiver<Held>)> {
        let shared = Shared::new(kind, limits);
        let (sender, inbox) = mpsc::channel(INBOX);
        let listening = match endpoint {
            Endpoint::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let endpoint = Endpoint::Tcp(listener.local_addr()?);
                let task = tokio::spawn(listen(Listener::Tcp(listener), shared.clone(), sender));
                Self {
                    shared,
                    endpoint,
                    task,
                    #[cfg(unix)]
                    _file: None,
                }
            }
            #[cfg(unix)]
            Endpoint::Ipc(path) => {
                let (listener, file) = ipc::bind(path)?;
                let task = tokio::spawn(listen(Listener::Ipc(listener), shared.clone(), sender));
                Self { shared, endpoint: endpoint.clone(), task, _file: Some(file) }
            }
            #[cfg(not(unix))]
            Endpoint::Ipc(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok((listening, inbox))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Listener {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Ipc(tokio::net::UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(listener) => Ok(tcp(listener.accept().await?.0)),
            #[cfg(unix)]
            Self::Ipc(listener) => Ok(halves(listener.accept().await?.0.into_split())),
        }
    }
}

fn tcp(stream: tokio::net::TcpStream) -> (Reader, Writer) {
    // It fails where the peer has gone already, which is soon seen.
    let _ = stream.set_nodelay(true);
    halves(stream.into_split())
}

pub fn halves(
    (reader, writer): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
) -> (Reader, Writer) {
    (Box::new(reader), BufWriter::with_capacity(16 << 10, Box::new(writer)))
}

/// Takes connections for ever, whatever becomes of them.
async fn listen(listener: Listener, shared: Arc<Shared>, inbox: mpsc::Sender<Held>) {
    let mut links: Vec<Arc<Link>> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if accepted.as_ref().is_err_and(|e| matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)) {
            continue;
        }
        while tasks.try_join_next().is_some() {}
        if links.len() >= shared.limits.connections {
            // The tasks hold those that are still there.
            links.retain(|link| Arc::strong_count(link) > 1);
        }
        // Another error means that this process, or the machine, has too many files open.
        if accepted.is_err() || tasks.len() >= shared.limits.connections {
            evict(&shared, &mut links);
            let _ = timeout(Duration::from_millis(100), tasks.join_next()).await;
        }
        match accepted {
            Ok(halves) => {
                let (link, outbox) = Link::new();
                links.push(link.clone());
                tasks.spawn(serve(shared.clone(), link, halves, outbox, inbox.clone()));
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Closes the connection whose end harms least.
fn evict(shared: &Shared, links: &mut Vec<Arc<Link>>) {
    let standing = |link: &Arc<Link>| link.standing.load(Relaxed);
    let oldest_new = links.iter().position(|link| standing(link) == NEW);
    let youngest = |wanted| links.iter().rposition(|link| standing(link) == wanted);
    if let Some(at) = oldest_new.or_else(|| youngest(KNOWN)).or_else(|| youngest(USEFUL)) {
        shared.remove(&links.remove(at));
    }
}

/// A connection from its beginning to its end.
pub async fn serve(
    shared: Arc<Shared>,
    link: Arc<Link>,
    (mut reader, mut writer): (Reader, Writer),
    outbox: UnboundedReceiver<Arc<Outgoing>>,
    inbox: mpsc::Sender<Held>,
) {
    let mut decoder = Decoder::new();
    let introduced = tokio::select! {
        introduced = timeout(
            shared.limits.handshake,
            shared.introduce(&mut reader, &mut writer, &mut decoder, &[]),
        ) => introduced,
        () = link.close.notified() => return,
    };
    if let Ok(Ok(identity)) = introduced {
        shared.add(&link, identity);
        let _ = shared.converse(&link, reader, writer, decoder, outbox, inbox).await;
        shared.remove(&link);
    }
}

/// A connection to a kernel; ends when it is dropped.
pub struct Client {
    pub shared: Arc<Shared>,
    link: Arc<Link>,
    task: JoinHandle<()>,
}

impl Client {
    pub async fn connect(
        endpoint: &Endpoint,
        kind: Kind,
        identity: &[u8],
        limits: Limits,
    ) -> io::Result<(Self, mpsc::Receiver<Held>)> {
        let shared = Shared::new(kind, limits);
        let mut decoder = Decoder::new();
        let introduced = async {
            let (mut reader, mut writer) = match endpoint {
                Endpoint::Tcp(address) => tcp(tokio::net::TcpStream::connect(address).await?),
                #[cfg(unix)]
                Endpoint::Ipc(path) => halves(tokio::net::UnixStream::connect(path).await?.into_split()),
                #[cfg(not(unix))]
                Endpoint::Ipc(_) => return Err(io::ErrorKind::Unsupported.into()),
            };
            shared.introduce(&mut reader, &mut writer, &mut decoder, identity).await?;
            if kind == Kind::Subscriber {
                write_frame(&mut writer, false, false, &[1]).await?;
                writer.flush().await?;
            }
            io::Result::Ok((reader, writer))
        };
        let (reader, writer) = timeout(limits.handshake, introduced).await??;
        let (link, outbox) = Link::new();
        let (sender, inbox) = mpsc::channel(INBOX);
        let task = tokio::spawn({
            let (shared, link) = (shared.clone(), link.clone());
            async move {
                let _ = shared.converse(&link, reader, writer, decoder, outbox, sender).await;
                shared.remove(&link);
            }
        });
        Ok((Self { shared, link, task }, inbox))
    }

    pub fn send(&self, frames: Vec<Bytes>) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let message = Outgoing::message(frames, self.shared.held.clone());
        match self.shared.push_or_close(&self.link, message, self.shared.limits.queue) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}
