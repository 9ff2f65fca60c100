//! The relay's end of the channel from the process that runs the cells: `src/relay/channel.rs` of the library is the other.

use std::fs::File;
use std::io::{self, BufReader, IoSliceMut, Read, Write};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use latentlab::jupyter::frame;
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::text::{Piece, Stream};

/// Where the cells' processes of one kernel, one after the other, hand over their ends.
pub struct Reception {
    here: UnixDatagram,
}

/// What comes through the channel.
#[derive(Debug)]
pub enum Event {
    Printed(&'static str, Piece),
    /// So many bytes of text have come faster than they could be passed on.
    LeftOut(usize),
    Told(Value),
    Synced,
    /// The process has ended, and all that it has printed has come.
    Closed,
}

impl Reception {
    /// The reception, and the socket that the kernel inherits: it must live until the kernel has been started.
    pub fn new(command: &mut std::process::Command) -> io::Result<(Self, OwnedFd)> {
        let (here, of_kernel) = UnixDatagram::pair()?;
        let of_kernel = of_kernel.into_std()?;
        of_kernel.set_nonblocking(false)?;
        let of_kernel = inheritable(of_kernel.into())?;
        command.env(frame::VARIABLE, of_kernel.as_raw_fd().to_string());
        Ok((Self { here }, of_kernel))
    }

    /// The ends of the next process.
    pub async fn next(&self) -> Channel {
        loop {
            if self.here.readable().await.is_err() {
                return std::future::pending().await;
            }
            if let Ok(channel) = self.here.try_io(Interest::READABLE, || self.receive()) {
                return channel;
            }
        }
    }

    /// The ends of a process that has handed them over already.
    pub fn try_next(&self) -> Option<Channel> {
        self.receive().ok()
    }

    fn receive(&self) -> io::Result<Channel> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let mut process = [0; 4];
        recvmsg(&self.here, &mut [IoSliceMut::new(&mut process)], &mut attached, RecvFlags::CMSG_CLOEXEC)?;
        let mut ends = attached.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(ends) => ends.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let (Some(socket), Some(out), Some(err)) = (ends.next(), ends.next(), ends.next()) else {
            return Err(io::Error::other("the process of the cells has handed over too little"));
        };
        Channel::open(socket.into(), [("stdout", out.into()), ("stderr", err.into())])
    }
}

/// An end that a program that is started from now on gets, too.
pub fn inheritable(end: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&end, FdFlags::empty())?;
    Ok(end)
}

/// The channel of one process. A thread of its own reads it at any rate: whoever prints holds a lock that all who print need, and must not
/// wait in it for Jupyter's clients.
pub struct Channel {
    socket: UnixStream,
    events: UnboundedReceiver<Event>,
    waiting: Arc<AtomicUsize>,
}

/// How many bytes of text may wait to be passed on.
const WAITING: usize = 256 << 20;

impl Channel {
    fn open(socket: UnixStream, printed: [(&'static str, File); 2]) -> io::Result<Self> {
        let (sender, events) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let from_cells = socket.try_clone()?;
        let mut reader = Reader { streams: Default::default(), left_out: 0, sender, waiting: waiting.clone() };
        std::thread::Builder::new().name("cells".into()).spawn(move || {
            reader.read(BufReader::with_capacity(1 << 18, from_cells));
            // What a process that dies has left.
            for (stream, mut pipe) in printed {
                reader.print(stream, &left_in(&mut pipe).unwrap_or_default());
            }
            reader.finish();
            reader.send(Event::Closed);
        })?;
        Ok(Self { socket, events, waiting })
    }

    /// Asks the process for something; one that has died does nothing.
    pub fn ask(&mut self, request: u8) {
        let _ = self.socket.write_all(&[request]);
    }

    /// What comes next; after [`Event::Closed`] nothing more. If the future is dropped, nothing is lost.
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
    left_out: usize,
    sender: UnboundedSender<Event>,
    waiting: Arc<AtomicUsize>,
}

impl Reader {
    /// To the end, which comes with the process's own.
    fn read(&mut self, mut from_cells: impl Read) {
        let mut header = [0; 5];
        while from_cells.read_exact(&mut header).is_ok() {
            let [kind, length @ ..] = header;
            let length = u64::from(u32::from_le_bytes(length));
            // Memory grows with what has come, not with what a header says.
            let mut content = Vec::new();
            let _ = from_cells.by_ref().take(length).read_to_end(&mut content);
            let is_whole = content.len() as u64 == length;
            match kind {
                frame::STDOUT => self.print("stdout", &content),
                frame::STDERR => self.print("stderr", &content),
                frame::MESSAGE if is_whole => {
                    if let Ok(message) = serde_json::from_slice(&content) {
                        self.tell_left_out();
                        self.send(Event::Told(message));
                    }
                }
                frame::SYNCED => {
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
                    self.left_out += text.len();
                    continue;
                }
                Piece::Text(text) => drop(self.waiting.fetch_add(text.len(), Ordering::Relaxed)),
                Piece::Block { .. } => {}
            }
            self.tell_left_out();
            self.send(Event::Printed(stream, piece));
        }
    }

    /// At the end of a cell there is no more to wait for.
    fn finish(&mut self) {
        for (stream, name) in [(0, "stdout"), (1, "stderr")] {
            if let Some(text) = self.streams[stream].finish() {
                self.waiting.fetch_add(text.len(), Ordering::Relaxed);
                self.send(Event::Printed(name, Piece::Text(text)));
            }
        }
        self.tell_left_out();
    }

    fn tell_left_out(&mut self) {
        if self.left_out > 0 {
            let left_out = mem::take(&mut self.left_out);
            self.send(Event::LeftOut(left_out));
        }
    }

    /// Without the relay nobody is there to hear it.
    fn send(&self, event: Event) {
        let _ = self.sender.send(event);
    }
}

/// What a pipe holds at this moment: others that still have it open may print for ever.
fn left_in(pipe: &mut File) -> io::Result<Vec<u8>> {
    let count = ioctl_fionread(pipe.as_fd())?;
    let mut bytes = Vec::new();
    pipe.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the kernel reads its connection from: a pipe, so that the key stands in no file.
pub struct ConnectionFile(#[expect(dead_code, reason = "the kernel reads it")] OwnedFd);

impl ConnectionFile {
    /// With the path that it has for the kernel.
    pub fn new(content: &[u8]) -> io::Result<(String, Self)> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(content)?;
        let reader = inheritable(reader.into())?;
        Ok((format!("/dev/fd/{}", reader.as_raw_fd()), Self(reader)))
    }
}

/// Makes the kernel the head of a group of processes, which ends if this process is killed: by the process of the cells, which loses the
/// channel, and before that is there (on Linux) by the system.
pub fn end_together(command: &mut Command) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    crate::command::signal_when_parent_ends(command, Signal::KILL);
}

/// The kernel and all that it has started.
pub struct Group(Option<Pid>);

impl Group {
    /// Of a kernel that has just been started.
    pub fn of(kernel: &tokio::process::Child) -> Self {
        Self(kernel.id().and_then(|id| Pid::from_raw(id as i32)))
    }

    pub fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
