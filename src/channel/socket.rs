//! The channel from the cell process to the relay: one socket for printed text and messages, which keeps their order.
//! The tool's `channel.rs` is the other end.
//!
//! The standard output and error are pipes. A thread moves their content into the socket as frames, and so does each
//! thread that sends a message, before it: a figure comes after what was printed before it. The relay also holds the
//! reading ends of the pipes, and reads what is left in them when this process has died.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionread},
    net::{self, SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
    pipe, process as unix_process, stdio,
};
use serde_json::Value;

use super::protocol;

static CHANNEL: OnceLock<Channel> = OnceLock::new();
static STOP: AtomicBool = AtomicBool::new(false);
/// What happens to a message about widgets.
static RECEIVER: OnceLock<fn(&Value)> = OnceLock::new();

struct Channel {
    /// Locked while a frame is written.
    socket: Mutex<UnixStream>,
    printed: [(u8, OwnedFd); 2],
}

/// Whether there is a relay.
pub(crate) fn is_open() -> bool {
    CHANNEL.get().is_some()
}

/// Sends a message to the relay. If the relay has ended, nothing happens here: this process is about to end, too.
pub(crate) fn send(what: &Value) {
    if let Some(channel) = CHANNEL.get() {
        flush();
        let text = what.to_string();
        let mut socket = channel.lock();
        let _ =
            channel.move_printed(&socket).and_then(|()| write_frame(&mut socket, protocol::MESSAGE, text.as_bytes()));
    }
}

/// [`send`] for a message that has no place among what is printed: it may come before that.
pub(crate) fn send_aside(what: &Value) {
    if let Some(channel) = CHANNEL.get() {
        let text = what.to_string();
        let _ = write_frame(&mut channel.lock(), protocol::MESSAGE, text.as_bytes());
    }
}

/// Whether the stop button has been pressed in this cell. This takes a nanosecond.
pub(crate) fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Passes on what users do with widgets: `receive` must return at once.
pub(crate) fn receive_widgets_with(receive: fn(&Value)) {
    RECEIVER.get_or_init(|| receive);
}

/// Flushes text without a newline.
pub(super) fn flush() {
    let _ = io::stdout().flush();
}

/// Replaces the standard output and error by pipes and the standard input by an empty one, and sends the file
/// descriptors of the channel and of the pipes through `to_relay`.
pub(super) fn open(to_relay: BorrowedFd<'_>) -> io::Result<()> {
    let (socket, of_relay) = UnixStream::pair()?;
    let (out, new_stdout) = printed_pipe()?;
    let (err, new_stderr) = printed_pipe()?;
    let ends = [of_relay.as_fd(), out.as_fd(), err.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut attached = SendAncillaryBuffer::new(&mut space);
    attached.push(SendAncillaryMessage::ScmRights(&ends));
    let process = process::id().to_le_bytes();
    net::sendmsg(to_relay, &[io::IoSlice::new(&process)], &mut attached, SendFlags::empty())?;
    let thread_end = socket.try_clone()?;
    let channel = Channel { socket: Mutex::new(socket), printed: [(protocol::STDOUT, out), (protocol::STDERR, err)] };
    CHANNEL.set(channel).map_err(|_| io::Error::other("there is a channel already"))?;
    flush();
    stdio::dup2_stdout(new_stdout)?;
    stdio::dup2_stderr(new_stderr)?;
    stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    thread::Builder::new().name("output".into()).spawn(|| serve(thread_end))?;
    Ok(())
}

/// A pipe with a large buffer, because writers wait while it is full.
fn printed_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = std::io::pipe()?;
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    #[cfg(target_os = "linux")]
    let _ = pipe::fcntl_setpipe_size(&writer, 1 << 20);
    Ok((reader, writer))
}

/// Moves printed text and handles requests of the relay, until the relay ends: then this process ends, too.
fn serve(mut requests: UnixStream) {
    let Some(channel) = CHANNEL.get() else { return };
    let [out, err] = &channel.printed;
    loop {
        let ends = [out.1.as_fd(), err.1.as_fd(), requests.as_fd()];
        let mut ready = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
        match poll(&mut ready, None) {
            Err(Errno::INTR) => continue,
            Err(_) => die(),
            Ok(_) => {}
        }
        let has_request = !ready[2].revents().is_empty();
        let request = if has_request { read_request(&mut requests) } else { None };
        match request {
            Some(protocol::STOP) => STOP.store(true, Ordering::Relaxed),
            Some(protocol::GO_ON) => STOP.store(false, Ordering::Relaxed),
            _ if has_request && request.is_none() => die(),
            _ => {}
        }
        let mut socket = channel.lock();
        let mut done = channel.move_printed(&socket);
        if request == Some(protocol::SYNC) {
            done = done.and_then(|()| write_frame(&mut socket, protocol::SYNCED, &[]));
        }
        if done.is_err() {
            die();
        }
    }
}

fn read_request(requests: &mut UnixStream) -> Option<u8> {
    let mut request = [0];
    requests.read_exact(&mut request).ok()?;
    if request[0] == protocol::WIDGET {
        let mut length = [0; 4];
        requests.read_exact(&mut length).ok()?;
        let mut content = Vec::new();
        requests.take(u32::from_le_bytes(length).into()).read_to_end(&mut content).ok()?;
        if let (Ok(event), Some(receive)) = (serde_json::from_slice(&content), RECEIVER.get()) {
            receive(&event);
        }
    }
    Some(request[0])
}

/// Kills the process group: the kernel, this process, and all processes that the cells have started.
fn die() -> ! {
    let _ = unix_process::kill_current_process_group(unix_process::Signal::KILL);
    process::abort()
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, UnixStream> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what the pipes hold now. What is printed in the meantime is left, so that this ends however much others
    /// print.
    fn move_printed(&self, socket: &UnixStream) -> io::Result<()> {
        for (kind, pipe) in &self.printed {
            let count = ioctl_fionread(pipe)?;
            if count > 0 {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                (&*socket).write_all(&protocol::header(*kind, count))?;
                move_bytes(pipe.as_fd(), socket, count as usize)?;
            }
        }
        Ok(())
    }
}

/// By `splice`, so that no bytes are lost if this process is killed in between.
#[cfg(target_os = "linux")]
fn move_bytes(pipe: BorrowedFd<'_>, socket: &UnixStream, mut count: usize) -> io::Result<()> {
    while count > 0 {
        match pipe::splice(pipe, None, socket, None, count, pipe::SpliceFlags::empty()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(moved) => count -= moved,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn move_bytes(pipe: BorrowedFd<'_>, mut socket: &UnixStream, mut count: usize) -> io::Result<()> {
    let mut bytes = vec![0; count.min(1 << 16)];
    while count > 0 {
        let limit = count.min(bytes.len());
        let moved = rustix::io::read(pipe, &mut bytes[..limit])?;
        socket.write_all(&bytes[..moved])?;
        count -= moved;
    }
    Ok(())
}

fn write_frame(socket: &mut UnixStream, kind: u8, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| io::Error::other("a message of more than 4 GB"))?;
    socket.write_all(&protocol::header(kind, length))?;
    socket.write_all(content)
}
