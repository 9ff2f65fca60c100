//! One connection: the handshake, then what is read from it and written to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::time::{sleep, timeout_at};

use super::peers::{ACTIVE, Outgoing, Peer, Peers, Received, lock};
use super::transport::{Reader, Writer};
use super::wire::{self, Decoder, Item, SocketType, refused};

/// Messages up to this size are buffered for every connection; a larger one needs one of the permits for large
/// messages, from its header until it is taken out of the inbox.
const SMALL: usize = 256 << 10;

/// What is written at once, so that progress is seen within a large frame. Also the queue for answers to commands and
/// heartbeats, of a peer that sends them and does not read.
const CHUNK: usize = 256 << 10;

/// How long the connection is still read after writing has failed.
const GRACE: Duration = Duration::from_secs(1);

/// The topics that one client may subscribe to.
const SUBSCRIPTIONS: usize = 100;

async fn write_frame(writer: &mut Writer, command: bool, frame: &[u8]) -> io::Result<()> {
    writer.write_all(&wire::frame_header(command, false, frame.len())).await?;
    writer.write_all(frame).await?;
    writer.flush().await
}

/// A connection after the handshake.
pub struct Connection {
    reader: Reader,
    writer: Writer,
    decoder: Decoder,
    /// What the peer announces.
    pub identity: Bytes,
}

impl Peers {
    /// Exchanges greetings and READY commands. A subscriber subscribes to all topics.
    pub async fn handshake(
        &self,
        (mut reader, mut writer): (Reader, Writer),
        identity: &[u8],
    ) -> io::Result<Connection> {
        let mut decoder = Decoder::new();
        writer.write_all(&wire::GREETING).await?;
        writer.flush().await?;
        let mut greeting = [0; 64];
        let (start, rest) = greeting.split_first_chunk_mut::<{ wire::VERSION }>().ok_or_else(|| refused("greeting"))?;
        reader.read_exact(start).await?;
        wire::check_version(start)?;
        reader.read_exact(rest).await?;
        wire::check_mechanism(&greeting)?;
        write_frame(&mut writer, true, &wire::ready(self.socket, identity)).await?;
        let item = loop {
            match decoder.next()? {
                Some(item) => break item,
                None if reader.read_buf(&mut decoder.space()).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        };
        let Item::Command(ready) = item else { return Err(refused("a message before READY")) };
        let identity = match wire::check_ready(&ready, self.socket) {
            Ok(identity) => identity,
            Err(reason) => {
                write_frame(&mut writer, true, &wire::error(&reason.to_string())).await?;
                return Err(reason);
            }
        };
        decoder.allow(self.limits.message, self.limits.frames);
        if self.socket == SocketType::Subscriber {
            write_frame(&mut writer, false, &[1]).await?;
        }
        Ok(Connection { reader, writer, decoder, identity })
    }

    /// Reads and writes until the connection ends.
    pub async fn traffic(
        &self,
        peer: &Arc<Peer>,
        Connection { mut reader, mut writer, mut decoder, .. }: Connection,
        mut outbox: UnboundedReceiver<Arc<Outgoing>>,
        inbox: Sender<Received>,
    ) {
        let write = async {
            let ended = self.write(peer, &mut writer, &mut outbox).await;
            // A client that sends a request and closes at once cannot be written to, but its request is still read.
            self.remove(peer);
            sleep(GRACE).await;
            ended
        };
        // However the connection ends, it is closed in the same way.
        let _ = tokio::select! {
            ended = self.read(peer, &mut reader, &mut decoder, &inbox) => ended,
            ended = write => ended,
            () = peer.close.notified() => Ok(()),
        };
        self.close(peer);
    }

    async fn read(
        &self,
        peer: &Arc<Peer>,
        reader: &mut Reader,
        decoder: &mut Decoder,
        inbox: &Sender<Received>,
    ) -> io::Result<()> {
        let mut permit = None;
        // When the message that is arriving began.
        let mut begun = None;
        loop {
            while let Some(item) = decoder.next()? {
                match item {
                    Item::Command(command) => self.handle_command(peer, &command)?,
                    Item::Message(frames) => {
                        begun = None;
                        self.handle_message(peer, frames, permit.take(), inbox).await?;
                    }
                }
            }
            if decoder.size() > SMALL && permit.is_none() {
                permit = self.large.clone().acquire_owned().await.ok();
            }
            let held = decoder.held();
            let mut space = decoder.space();
            let arrived = reader.read_buf(&mut space);
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

    async fn handle_message(
        &self,
        peer: &Arc<Peer>,
        mut frames: Vec<Bytes>,
        permit: Option<OwnedSemaphorePermit>,
        inbox: &Sender<Received>,
    ) -> io::Result<()> {
        match self.socket {
            // ZMTP 3.0 subscribes by messages, 3.1 by commands.
            SocketType::Publisher => match frames.first().and_then(|frame| frame.split_first()) {
                Some((1, topic)) => self.subscribe(peer, topic)?,
                Some((0, topic)) => self.unsubscribe(peer, topic),
                _ => {}
            },
            SocketType::Heartbeat => drop(self.push_or_close(peer, self.outgoing(frames), CHUNK)),
            SocketType::Router | SocketType::Dealer | SocketType::Subscriber => {
                if self.socket == SocketType::Router {
                    frames.insert(0, lock(&peer.identity).clone());
                }
                // A dropped inbox ends the connection.
                let received = Received { frames, _permit: permit };
                inbox.send(received).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
        }
        Ok(())
    }

    fn handle_command(&self, peer: &Arc<Peer>, command: &[u8]) -> io::Result<()> {
        let (name, body) = wire::name(command)?;
        match name {
            // A time to live in two bytes, then up to 16 bytes to send back. If much is queued for the peer, that
            // will show as well as a PONG that this side is alive.
            b"PING" if peer.queued.load(Relaxed) < CHUNK => {
                let context = body.get(2..).filter(|context| context.len() <= 16);
                let context = context.ok_or_else(|| refused("a malformed PING"))?;
                let mut pong = self.outgoing(vec![Bytes::from([b"\x04PONG".as_slice(), context].concat())]);
                pong.command = true;
                self.push_or_close(peer, pong, CHUNK);
            }
            b"SUBSCRIBE" if self.socket == SocketType::Publisher => self.subscribe(peer, body)?,
            b"CANCEL" if self.socket == SocketType::Publisher => self.unsubscribe(peer, body),
            b"ERROR" => return Err(refused("the peer reports an error")),
            _ => {}
        }
        Ok(())
    }

    fn subscribe(&self, peer: &Arc<Peer>, topic: &[u8]) -> io::Result<()> {
        let mut topics = lock(&peer.topics);
        if topics.len() == SUBSCRIPTIONS {
            return Err(refused(format!("expected at most {SUBSCRIPTIONS} subscriptions")));
        }
        topics.push(Bytes::copy_from_slice(topic));
        peer.stage.store(ACTIVE, Relaxed);
        Ok(())
    }

    fn unsubscribe(&self, peer: &Arc<Peer>, topic: &[u8]) {
        let mut topics = lock(&peer.topics);
        if let Some(at) = topics.iter().position(|there| there == topic) {
            topics.swap_remove(at);
        }
    }

    async fn write(
        &self,
        peer: &Arc<Peer>,
        writer: &mut Writer,
        outbox: &mut UnboundedReceiver<Arc<Outgoing>>,
    ) -> io::Result<()> {
        while let Some(message) = outbox.recv().await {
            // Counts as queued until the writer is flushed.
            let unflushed = self.outgoing(Vec::new());
            let mut next = Some(message);
            while let Some(message) = next {
                let last = message.frames.len().saturating_sub(1);
                for (place, frame) in message.frames.iter().enumerate() {
                    writer.write_all(&wire::frame_header(message.command, place < last, frame.len())).await?;
                    for chunk in frame.chunks(CHUNK) {
                        writer.write_all(chunk).await?;
                        peer.written.fetch_add(chunk.len() as u64, Relaxed);
                    }
                }
                peer.queued.fetch_sub(message.size, Relaxed);
                drop(message);
                self.sent.notify_waiters();
                next = outbox.try_recv().ok();
            }
            writer.flush().await?;
            drop(unflushed);
            self.sent.notify_waiters();
        }
        Ok(())
    }
}
