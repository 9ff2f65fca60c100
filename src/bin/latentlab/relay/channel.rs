//! The relay's end of the channel from the cell process: the library's `channel.rs` is the other end.

use std::fs::File;
use std::io::{self, BufReader, IoSliceMut, Read, Write};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::protocol;
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::stream::{Event, Piece, Stream};

/// The socket through which each cell process of a kernel sends the file descriptors of its channel.
pub struct Handover {
    socket: UnixDatagram,
}

impl Handover {
    /// Also the socket that the kernel inherits, to be dropped after the kernel has started.
    pub fn new(command: &mut Command) -> io::Result<(Self, OwnedFd)> {
        let (socket, inherited) = UnixDatagram::pair()?;
        let inherited = inherited.into_std()?;
        inherited.set_nonblocking(false)?;
        let inherited = inheritable(inherited.into())?;
        command.env(protocol::VARIABLE, inherited.as_raw_fd().to_string());
        Ok((Self { socket }, inherited))
    }

    /// The channel of the next cell process.
    pub async fn next(&self) -> Channel {
        loop {
            if self.socket.readable().await.is_err() {
                return std::future::pending().await;
            }
            if let Ok(channel) = self.socket.try_io(Interest::READABLE, || self.receive()) {
                return channel;
            }
        }
    }

    /// The channel of a cell process that has already sent it.
    pub fn try_next(&self) -> Option<Channel> {
        self.receive().ok()
    }

    fn receive(&self) -> io::Result<Channel> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let mut process = [0; 4];
        recvmsg(&self.socket, &mut [IoSliceMut::new(&mut process)], &mut attached, RecvFlags::CMSG_CLOEXEC)?;
        let mut ends = attached.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(ends) => ends.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let (Some(socket), Some(out), Some(err)) = (ends.next(), ends.next(), ends.next()) else {
            return Err(io::Error::other("the cell process has sent fewer than three file descriptors"));
        };
        Channel::open(socket.into(), [("stdout", out.into()), ("stderr", err.into())])
    }
}

/// Child processes started from now on inherit the file descriptor.
fn inheritable(end: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&end, FdFlags::empty())?;
    Ok(end)
}

/// The channel of one cell process. A thread reads it without waiting for Jupyter's clients: a thread of the cell that
/// prints holds the lock of the standard output, and all others that print would wait with it.
pub struct Channel {
    socket: UnixStream,
    events: UnboundedReceiver<Event>,
    waiting: Arc<AtomicUsize>,
}

/// The bytes of text that may wait to be passed on.
const WAITING: usize = 256 << 20;

impl Channel {
    fn open(socket: UnixStream, printed: [(&'static str, File); 2]) -> io::Result<Self> {
        let (sender, events) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let from_cells = socket.try_clone()?;
        let mut reader = Reader { streams: Default::default(), omitted: 0, sender, waiting: waiting.clone() };
        std::thread::Builder::new().name("cells".into()).spawn(move || {
            reader.read(BufReader::with_capacity(1 << 18, from_cells));
            // A process that was killed has left this in its pipes.
            for (stream, mut pipe) in printed {
                reader.print(stream, &rest_of(&mut pipe).unwrap_or_default());
            }
            reader.finish();
            reader.send(Event::Closed);
        })?;
        Ok(Self { socket, events, waiting })
    }

    /// Sends a request to the process; nothing happens if it has died.
    pub fn ask(&mut self, request: u8) {
        let _ = self.socket.write_all(&[request]);
    }

    /// Sends what a user has done with a widget.
    pub fn tell(&mut self, what: &Value) {
        let text = what.to_string();
        let length = u32::try_from(text.len()).unwrap_or_default();
        let frame = [&protocol::header(protocol::WIDGET, length), &text.as_bytes()[..length as usize]].concat();
        let _ = self.socket.write_all(&frame);
    }

    /// The next event; [`Event::Closed`] is the last. If the future is dropped, nothing is lost.
    pub async fn next(&mut self) -> Event {
        let event = self.events.recv().await.unwrap_or(Event::Closed);
        if let Event::Printed(_, Piece::Text(text)) = &event {
            self.waiting.fetch_sub(text.len(), Ordering::Relaxed);
        }
        event
    }
}

struct Reader {
    streams: [Stream; 2],
    omitted: usize,
    sender: UnboundedSender<Event>,
    waiting: Arc<AtomicUsize>,
}

impl Reader {
    /// Reads until the process ends.
    fn read(&mut self, mut from_cells: impl Read) {
        let mut header = [0; 5];
        while from_cells.read_exact(&mut header).is_ok() {
            let [kind, length @ ..] = header;
            let length = u64::from(u32::from_le_bytes(length));
            // Memory grows with what has arrived, not with the length in the header.
            let mut content = Vec::new();
            let _ = from_cells.by_ref().take(length).read_to_end(&mut content);
            let is_whole = content.len() as u64 == length;
            match kind {
                protocol::STDOUT => self.print("stdout", &content),
                protocol::STDERR => self.print("stderr", &content),
                protocol::MESSAGE if is_whole => {
                    if let Ok(message) = serde_json::from_slice(&content) {
                        self.send_omitted();
                        self.send(Event::Message(message));
                    }
                }
                protocol::SYNCED => {
                    self.finish();
                    self.send(Event::Synced);
                }
                _ => {}
            }
        }
    }

    fn print(&mut self, stream: &'static str, bytes: &[u8]) {
        for piece in self.streams[usize::from(stream == "stderr")].add(bytes) {
            match &piece {
                Piece::Text(text) if self.waiting.load(Ordering::Relaxed) + text.len() > WAITING => {
                    self.omitted += text.len();
                    continue;
                }
                Piece::Text(text) => drop(self.waiting.fetch_add(text.len(), Ordering::Relaxed)),
                Piece::Block { .. } => {}
            }
            self.send_omitted();
            self.send(Event::Printed(stream, piece));
        }
    }

    /// At the end of a cell, an incomplete character or block is text.
    fn finish(&mut self) {
        for (stream, name) in [(0, "stdout"), (1, "stderr")] {
            if let Some(text) = self.streams[stream].finish() {
                self.waiting.fetch_add(text.len(), Ordering::Relaxed);
                self.send(Event::Printed(name, Piece::Text(text)));
            }
        }
        self.send_omitted();
    }

    fn send_omitted(&mut self) {
        if self.omitted > 0 {
            let omitted = mem::take(&mut self.omitted);
            self.send(Event::Omitted(omitted));
        }
    }

    /// Fails only when the relay ends.
    fn send(&self, event: Event) {
        let _ = self.sender.send(event);
    }
}

/// What a pipe holds now: other processes that have it open may print for ever.
fn rest_of(pipe: &mut File) -> io::Result<Vec<u8>> {
    let count = ioctl_fionread(pipe.as_fd())?;
    let mut bytes = Vec::new();
    pipe.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The kernel's connection file: a pipe, so that the key is in no file.
pub struct ConnectionFile(#[expect(dead_code, reason = "the kernel inherits it")] OwnedFd);

impl ConnectionFile {
    /// Also its path, as the kernel sees it.
    pub fn new(content: &[u8]) -> io::Result<(String, Self)> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(content)?;
        let reader = inheritable(reader.into())?;
        Ok((format!("/dev/fd/{}", reader.as_raw_fd()), Self(reader)))
    }

    /// The kernel has inherited it, and no other process shall.
    pub fn after_start(self) -> Option<Self> {
        None
    }
}

/// Makes the kernel the leader of a process group, which ends if the relay is killed: the cell process kills the group
/// when it loses the channel, and before there is one, Linux kills the kernel.
pub fn end_together(command: &mut Command) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    crate::command::signal_when_parent_ends(command, Signal::KILL);
}

/// The process group of the kernel.
pub struct Group(Option<Pid>);

impl Group {
    pub fn of(kernel: &tokio::process::Child) -> Self {
        Self(kernel.id().and_then(|id| Pid::from_raw(id as i32)))
    }

    pub fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
