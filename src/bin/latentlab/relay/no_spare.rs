//! In place of `spare.rs` on Windows: kernels have no spare there.

use std::io;
use std::path::Path;
use std::process::Command;

use super::connection::Connection;
use crate::project::Outcome;

/// No kernel has a spare, so that all see it.
pub const SESSION: &str = "JPY_SESSION_NAME";

pub enum Spare {}

impl Spare {
    pub fn of(_: &Path, _: &str) -> Option<Self> {
        None
    }

    pub fn take(&self, _: &Connection) -> Option<Outcome<()>> {
        match *self {}
    }

    pub fn is_wanted() -> bool {
        false
    }

    pub fn start_for(_: &Command, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub fn leave() -> Outcome<()> {
        Ok(())
    }

    pub fn start(&self) -> io::Result<()> {
        match *self {}
    }

    pub fn reserve(&mut self) -> Outcome<bool> {
        match *self {}
    }

    pub fn run(&mut self, _: Command, _: &Path) -> Outcome<()> {
        match *self {}
    }
}
