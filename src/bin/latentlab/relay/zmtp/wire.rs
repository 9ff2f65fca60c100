//! ZMTP as bytes: greeting, frames and commands, without sockets. What a peer claims in a header is not trusted.

use std::io;
use std::mem;

use bytes::buf::Limit;
use bytes::{BufMut, Bytes};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The longest command, of a READY with its properties or a subscription.
const COMMAND_LENGTH: usize = 8 << 10;

/// How much is read at once, and the memory first allocated for a frame, whatever length it claims.
const STEP: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    Router,
    Publisher,
    Heartbeat,
    Dealer,
    Subscriber,
}

impl SocketType {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Router => b"ROUTER",
            Self::Publisher => b"PUB",
            Self::Heartbeat => b"REP",
            Self::Dealer => b"DEALER",
            Self::Subscriber => b"SUB",
        }
    }

    /// The types that may be at the other end.
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

/// What a peer sends.
#[derive(Debug, PartialEq)]
pub enum Item {
    Message(Vec<Bytes>),
    Command(Bytes),
}

pub fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// Assembles messages from the bytes that arrive. Memory grows with these, not with the length in a header.
#[derive(Debug)]
pub struct Decoder {
    /// The most bytes and frames of a message.
    message: usize,
    frames: usize,
    /// The bytes from `start` on are not decoded yet.
    buffer: Vec<u8>,
    start: usize,
    step: usize,
    /// A frame of which a part has arrived.
    body: Option<Body>,
    /// The message that is arriving: its complete frames, and its bytes as far as the headers tell.
    parts: Vec<Bytes>,
    size: usize,
}

#[derive(Debug)]
struct Body {
    flags: u8,
    length: usize,
    bytes: Vec<u8>,
}

impl Decoder {
    /// Accepts only commands until [`allow`](Self::allow).
    pub fn new() -> Self {
        let (buffer, parts) = (Vec::new(), Vec::new());
        Self { message: 0, frames: 0, buffer, start: 0, step: 1 << 10, body: None, parts, size: 0 }
    }

    /// Accepts messages of at most `message` bytes and `frames` frames.
    pub fn allow(&mut self, message: usize, frames: usize) {
        (self.message, self.frames) = (message, frames);
    }

    /// The size of the message that is arriving, as far as its headers tell.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The bytes of incomplete frames and messages; 0 between messages.
    pub fn held(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| part.len() + 1).sum();
        parts + self.buffer.len() - self.start + self.body.as_ref().map_or(0, |body| body.bytes.len() + 1)
    }

    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let parts: usize = self.parts.iter().map(Bytes::len).sum();
        parts + self.buffer.capacity() + self.body.as_ref().map_or(0, |body| body.bytes.capacity())
    }

    /// Where to read the next bytes to; never empty.
    pub fn space(&mut self) -> Limit<&mut Vec<u8>> {
        let (bytes, wanted) = match &mut self.body {
            Some(body) => {
                let missing = body.length - body.bytes.len();
                if body.bytes.len() == body.bytes.capacity() {
                    body.bytes.reserve_exact(missing.min(body.bytes.len().max(STEP)));
                }
                (&mut body.bytes, missing)
            }
            None => {
                self.buffer.reserve_exact(self.step);
                (&mut self.buffer, usize::MAX)
            }
        };
        let space = (bytes.capacity() - bytes.len()).min(wanted);
        bytes.limit(space)
    }

    /// The next message or command, if it has arrived completely.
    pub fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let (flags, bytes) = match self.body.take() {
                Some(body) if body.bytes.len() < body.length => {
                    self.body = Some(body);
                    return Ok(None);
                }
                Some(body) => (body.flags, Bytes::from(body.bytes)),
                None => {
                    let Some((flags, length, header)) = self.header()? else {
                        // Less than a header is left; what arrives in large pieces is read in larger steps.
                        if self.buffer.len() >= self.step {
                            self.step = (2 * self.step).min(STEP);
                        }
                        self.buffer.drain(..mem::take(&mut self.start));
                        return Ok(None);
                    };
                    let arrived = &self.buffer[self.start + header..];
                    let Some(frame) = arrived.get(..length) else {
                        let mut bytes = Vec::with_capacity(length.min(arrived.len().max(STEP)));
                        bytes.extend_from_slice(arrived);
                        self.buffer.clear();
                        self.start = 0;
                        self.body = Some(Body { flags, length, bytes });
                        return Ok(None);
                    };
                    let frame = Bytes::copy_from_slice(frame);
                    self.start += header + length;
                    (flags, frame)
                }
            };
            if flags & COMMAND != 0 {
                return Ok(Some(Item::Command(bytes)));
            }
            self.parts.push(bytes);
            if flags & MORE == 0 {
                self.size = 0;
                return Ok(Some(Item::Message(mem::take(&mut self.parts))));
            }
        }
    }

    /// The flags and the length of the next frame, and the length of its header.
    fn header(&mut self) -> io::Result<Option<(u8, usize, usize)>> {
        let arrived = &self.buffer[self.start..];
        let Some(&flags) = arrived.first() else { return Ok(None) };
        let command = flags & COMMAND != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || command && flags & MORE != 0 {
            return Err(refused(format!("a frame with flags {flags:#04x}")));
        }
        if !command && self.parts.len() >= self.frames {
            return Err(refused(format!("expected at most {} frames in a message", self.frames)));
        }
        let (claimed, header) = if flags & LONG == 0 {
            let Some(&length) = arrived.get(1) else { return Ok(None) };
            (u64::from(length), 2)
        } else {
            let Some(length) = arrived.get(1..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            (u64::from_be_bytes(*length), 9)
        };
        let allowed = if command { COMMAND_LENGTH } else { self.message - self.size };
        let length = usize::try_from(claimed).ok().filter(|length| *length <= allowed);
        let length = length.ok_or_else(|| refused(format!("expected at most {allowed} bytes more, got {claimed}")))?;
        if !command {
            self.size += length;
        }
        Ok(Some((flags, length, header)))
    }
}

pub fn frame_header(command: bool, more: bool, length: usize) -> Vec<u8> {
    let flags = if command { COMMAND } else { u8::from(more) * MORE };
    match u8::try_from(length) {
        Ok(short) => vec![flags, short],
        Err(_) => [&[flags | LONG][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// The first bytes from each side: signature, version 3.1, mechanism NULL.
pub const GREETING: [u8; 64] = {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
    (greeting[12], greeting[13], greeting[14], greeting[15]) = (b'N', b'U', b'L', b'L');
    greeting
};

/// The part of a greeting with the version: an older peer may send no more than this.
pub const VERSION: usize = 11;

pub fn check_version(start: &[u8; VERSION]) -> io::Result<()> {
    match start {
        [0xff, .., last, major] if last & 1 == 1 && *major >= 3 => Ok(()),
        [0xff, .., last, major] if last & 1 == 1 => Err(refused(format!("expected ZMTP 3, got version {major}"))),
        _ => Err(refused("not a greeting of ZMTP 3")),
    }
}

pub fn check_mechanism(greeting: &[u8; 64]) -> io::Result<()> {
    let mechanism = &greeting[12..32];
    if mechanism != &GREETING[12..32] {
        return Err(refused(format!("expected mechanism NULL, got {}", mechanism.escape_ascii())));
    }
    Ok(())
}

/// The command by which a socket introduces itself.
pub fn ready(socket: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut ready = b"\x05READY".to_vec();
    let mut property = |name: &[u8], value: &[u8]| {
        ready.push(name.len() as u8);
        ready.extend_from_slice(name);
        ready.extend_from_slice(&(value.len() as u32).to_be_bytes());
        ready.extend_from_slice(value);
    };
    property(b"Socket-Type", socket.name());
    if !identity.is_empty() {
        property(b"Identity", identity);
    }
    ready
}

/// The command that tells a peer why it is refused.
pub fn error(reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(255)];
    [b"\x05ERROR".as_slice(), &[reason.len() as u8], reason].concat()
}

/// The identity that a peer's READY announces, if the peer may connect to a socket of this type.
pub fn check_ready(command: &[u8], socket: SocketType) -> io::Result<Bytes> {
    let malformed = || refused("a malformed READY");
    let (b"READY", mut rest) = name(command)? else {
        return Err(refused("expected READY, got another command"));
    };
    let (mut other, mut identity) = (None, Bytes::new());
    while !rest.is_empty() {
        let (name, after) = name(rest).map_err(|_| malformed())?;
        let (length, after) = after.split_first_chunk().ok_or_else(malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed())?;
        let (value, after) = after.split_at_checked(length).ok_or_else(malformed)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            other = Some(value);
        } else if name.eq_ignore_ascii_case(b"Identity") {
            identity = Bytes::copy_from_slice(value);
        }
        rest = after;
    }
    let other = other.unwrap_or_default();
    if !socket.peers().contains(&other) {
        let (own, other) = (socket.name().escape_ascii(), other.escape_ascii());
        return Err(refused(format!("a {own} socket cannot talk to a {other} socket")));
    }
    if identity.len() > 255 {
        return Err(refused(format!("expected an identity of at most 255 bytes, got {}", identity.len())));
    }
    Ok(identity)
}

/// Splits off a name, which is preceded by its length.
pub fn name(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first().ok_or_else(|| refused("an empty command"))?;
    rest.split_at_checked(usize::from(*length)).ok_or_else(|| refused("a malformed command"))
}
