//! In place of `channel.rs` where a process cannot send file descriptors to another (Windows): there is no channel, and
//! the kernel works as evcxr alone does.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::stream::Event;

pub struct Handover;

/// In place of the socket that the kernel inherits.
pub struct NoSocket;

pub struct Channel(std::convert::Infallible);

impl Handover {
    pub fn new(_: &mut Command) -> io::Result<(Self, NoSocket)> {
        Ok((Self, NoSocket))
    }

    pub async fn next(&self) -> Channel {
        std::future::pending().await
    }

    pub fn try_next(&self) -> Option<Channel> {
        None
    }
}

impl Channel {
    pub fn ask(&mut self, _: u8) {
        match self.0 {}
    }

    pub fn tell(&mut self, _: &serde_json::Value) {
        match self.0 {}
    }

    pub async fn next(&mut self) -> Event {
        match self.0 {}
    }
}

/// A file of the user's own, removed when the kernel ends.
pub struct ConnectionFile(tempfile::TempPath);

impl ConnectionFile {
    pub fn new(content: &[u8]) -> io::Result<(PathBuf, Self)> {
        let mut file = tempfile::NamedTempFile::new()?;
        io::Write::write_all(&mut file, content)?;
        let path = file.into_temp_path();
        Ok((path.to_path_buf(), Self(path)))
    }

    pub fn after_start(self) -> Option<Self> {
        Some(self)
    }
}

pub fn end_together(_: &mut Command) {}

/// Killing the kernel is enough: the cell process ends when its standard input is closed.
pub struct Group;

impl Group {
    pub fn of(_: &tokio::process::Child) -> Self {
        Self
    }

    pub fn kill(&self) {}
}
