//! Where a study is kept: in this process alone, in a journal, or at a server.

use std::{path::Path, sync::Arc};

#[cfg(feature = "grpc")]
use super::grpc::Limits;
use super::journal::{self, Journal, Refusal};
use super::lock::Lock;
use super::operation::Operation;
use super::replay::Replay;
#[cfg(feature = "grpc")]
use super::server::Server;
use super::space::{Space, wrong};
use super::trial::TrialRecord;
use crate::error::Result;

pub(super) enum Storage {
    Process,
    Journal(Box<Journal>),
    #[cfg(feature = "grpc")]
    Server(Box<Server>),
}

/// What keeps other workers out, from [`Storage::lock`] to [`Storage::unlock`].
pub(super) enum Guard {
    None,
    Journal(Lock),
}

/// The address of a server, if the path is one; an error if it is that of another storage of Optuna's.
fn address(path: &Path) -> Result<Option<&str>> {
    match path.to_str().and_then(|text| text.split_once("://")) {
        None => Ok(None),
        Some(("grpc", address)) if cfg!(feature = "grpc") => Ok(Some(address)),
        Some(("grpc", _)) => {
            let error = wrong("study", "a file", "the address of a server, without the crate's feature `grpc`");
            Err(error.hint("In Cargo.toml: latentlab = { …, features = [\"grpc\"] }"))
        }
        Some((scheme, _)) => {
            let error = wrong("study", "a file or grpc://HOST:PORT", format!("{scheme}://…"));
            Err(error.hint("Optuna's gRPC server stands in front of a database: optuna.storages.run_grpc_proxy_server"))
        }
    }
}

#[cfg_attr(not(feature = "grpc"), allow(unused_variables, reason = "a server needs them"))]
impl Storage {
    pub(super) fn open(path: &Path, name: &str, study: &Replay) -> Result<Self> {
        match address(path)? {
            #[cfg(feature = "grpc")]
            Some(address) => Ok(Self::Server(Box::new(Server::open(address, name, Limits::USUAL)?))),
            #[cfg(not(feature = "grpc"))]
            Some(_) => Ok(Self::Process),
            None => Ok(Self::Journal(Box::new(Journal::open(path, study)?))),
        }
    }

    /// Whether a study that is there is maximized, and its space.
    pub(super) fn space_of(path: &Path, name: &str) -> Result<(bool, Space)> {
        match address(path)? {
            #[cfg(feature = "grpc")]
            Some(address) => Server::space_of(address, name),
            _ => journal::space_of(path, name),
        }
    }

    /// This worker's number.
    pub(super) fn worker(&self) -> usize {
        match self {
            Self::Process => 0,
            Self::Journal(journal) => journal.worker,
            #[cfg(feature = "grpc")]
            Self::Server(server) => server.worker,
        }
    }

    /// Keeps others from writing. A server needs that only where trials are handed out.
    pub(super) fn lock(&mut self, handing_out: bool) -> Result<Guard, Refusal> {
        match self {
            Self::Journal(journal) => return Ok(Guard::Journal(journal.lock()?)),
            #[cfg(feature = "grpc")]
            Self::Server(server) if handing_out => server.lock()?,
            _ => {}
        }
        Ok(Guard::None)
    }

    pub(super) fn unlock(&mut self, guard: Guard) {
        #[cfg(feature = "grpc")]
        if let Self::Server(server) = self {
            server.unlock();
        }
        drop(guard);
    }

    /// Applies what others have written since. `is_held`: whether this process works on a trial, counted from 0.
    pub(super) fn read(
        &mut self,
        study: &mut Replay,
        guard: &Guard,
        is_held: impl Fn(usize) -> bool,
    ) -> Result<(), Refusal> {
        match (self, guard) {
            (Self::Journal(journal), Guard::Journal(lock)) => journal.read(study, lock),
            #[cfg(feature = "grpc")]
            (Self::Server(server), _) => server.read(study, is_held),
            _ => Ok(()),
        }
    }

    /// Writes operations and applies them: none is applied that cannot be written.
    pub(super) fn write(
        &mut self,
        operations: &[Operation],
        study: &mut Replay,
        guard: &Guard,
        is_held: impl Fn(usize) -> bool,
    ) -> Result<(), Refusal> {
        match (self, guard) {
            (Self::Journal(journal), Guard::Journal(lock)) => journal.append(operations, lock)?,
            #[cfg(feature = "grpc")]
            (Self::Server(server), _) => {
                // The server adds numbers and dates.
                let must_read = server.append(operations)?;
                if must_read {
                    return server.read(study, is_held);
                }
            }
            _ => {}
        }
        Ok(operations.iter().try_for_each(|operation| study.apply(operation, true))?)
    }

    /// Whether the worker of a trial (not ours) has ended.
    pub(super) fn has_ended(&self, record: &TrialRecord, worker: usize) -> bool {
        match self {
            Self::Process => true,
            Self::Journal(journal) => journal.has_ended(worker),
            #[cfg(feature = "grpc")]
            Self::Server(server) => server.has_ended(record.number - 1),
        }
    }

    /// Tells the others that this process works on a trial, as long as it does; a journal's workers know by its file.
    pub(super) fn hold(&self, record: &TrialRecord, token: &Arc<()>) {
        #[cfg(feature = "grpc")]
        if let Self::Server(server) = self {
            server.hold(record.number - 1, Arc::downgrade(token));
        }
    }

    /// Whether the trials are at a server: there a parameter stays as it is first set, and a worker that is not heard
    /// of loses its trial.
    pub(super) fn is_server(&self) -> bool {
        !matches!(self, Self::Process | Self::Journal(_))
    }
}
