//! The relay's end of the channel from the process that runs the cells: `src/relay/channel.rs` of the library is the other.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use bytes::BufMut;
use latentlab::jupyter::frame;
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(target_os = "linux")]
use rustix::process::{getppid, set_parent_process_death_signal};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixStream};

/// Where the cells' processes of one kernel, one after the other, hand over their ends.
pub struct Reception {
    here: UnixDatagram,
}

/// What comes through the channel.
#[derive(Debug)]
pub enum Event {
    Printed(&'static str, Vec<u8>),
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
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let printed = [("stdout", File::from(out)), ("stderr", File::from(err))];
        Ok(Channel {
            socket: UnixStream::from_std(socket)?,
            printed,
            frame: None,
            content: Vec::new(),
            left: Left::Nothing,
        })
    }
}

/// An end that a program that is started from now on gets, too.
pub fn inheritable(end: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&end, FdFlags::empty())?;
    Ok(end)
}

/// The channel of one process.
pub struct Channel {
    socket: UnixStream,
    /// The pipes in which a process that dies may leave something.
    printed: [(&'static str, File); 2],
    /// The kind and the length of the frame whose content comes next.
    frame: Option<(u8, usize)>,
    content: Vec<u8>,
    left: Left,
}

/// What is still to come when the socket has ended.
#[derive(Clone, Copy)]
enum Left {
    Nothing,
    Pipe(usize),
    All,
}

impl Channel {
    /// Asks the process for something; one that has died does nothing.
    pub fn ask(&self, request: u8) {
        let _ = rustix::io::write(&self.socket, &[request]);
    }

    /// What comes next; after [`Event::Closed`] nothing more. If the future is dropped, nothing is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.left {
                Left::Nothing => {}
                Left::Pipe(index) => {
                    self.left = if index == 0 { Left::Pipe(1) } else { Left::All };
                    let (stream, pipe) = &mut self.printed[index];
                    match left_in(pipe) {
                        Ok(bytes) if !bytes.is_empty() => return Event::Printed(stream, bytes),
                        _ => continue,
                    }
                }
                Left::All => return Event::Closed,
            }
            let wanted = self.frame.map_or(HEADER, |(_, length)| length);
            if self.content.len() == wanted {
                if let Some(event) = self.take() {
                    return event;
                }
                continue;
            }
            // Memory grows with what has come, not with what a header says.
            let room = (wanted - self.content.len()).min(1 << 18);
            let read = match self.socket.readable().await {
                Ok(()) => self.socket.try_read_buf(&mut (&mut self.content).limit(room)),
                Err(error) => Err(error),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => {
                    self.left = Left::Pipe(0);
                    // Of a text that was cut off, what has come.
                    let (kind, _) = self.frame.take().unwrap_or_default();
                    let content = mem::take(&mut self.content);
                    if let Some(stream) = stream_of(kind).filter(|_| !content.is_empty()) {
                        return Event::Printed(stream, content);
                    }
                }
                Ok(_) => {}
            }
        }
    }

    /// What the whole content means.
    fn take(&mut self) -> Option<Event> {
        let content = mem::take(&mut self.content);
        let Some((kind, _)) = self.frame.take() else {
            let [kind, length @ ..] = content[..].try_into().unwrap_or([0; HEADER]);
            self.frame = Some((kind, u32::from_le_bytes(length) as usize));
            return None;
        };
        match kind {
            frame::MESSAGE => serde_json::from_slice(&content).ok().map(Event::Told),
            frame::SYNCED => Some(Event::Synced),
            _ => Some(Event::Printed(stream_of(kind)?, content)),
        }
    }
}

const HEADER: usize = 5;

fn stream_of(kind: u8) -> Option<&'static str> {
    match kind {
        frame::STDOUT => Some("stdout"),
        frame::STDERR => Some("stderr"),
        _ => None,
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
    {
        let relay = std::process::id();
        // SAFETY: only two system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
                if parent as u32 == relay { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            });
        }
    }
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
