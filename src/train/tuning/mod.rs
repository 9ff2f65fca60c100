//! Hyper-parameter search by ask and tell: a space, a study that suggests what to try next, a journal that several
//! processes may share, Optuna's workers among them.
//!
//! A study is what its operations make of it ([`replay`]), wherever it is kept ([`storage`]): what is written is
//! applied, what others have written is read and applied. In a file that is Optuna's journal ([`journal`],
//! [`lines`]), at a server Optuna's gRPC (`server`, `grpc`).
// Our own, because the `optimizer` crate's journal gives the same trial numbers to two processes and loses the results
// of one of them.

mod dates;
#[cfg(feature = "grpc")]
mod grpc;
mod importance;
mod journal;
mod lines;
mod lock;
#[cfg(feature = "grpc")]
mod messages;
mod old_journal;
mod operation;
#[cfg(feature = "grpc")]
mod owner;
mod pruning;
mod replay;
#[cfg(feature = "grpc")]
mod server;
#[cfg(all(test, feature = "grpc"))]
mod server_tests;
mod space;
mod storage;
mod study;
mod table;
mod tree_parzen;
mod trial;

pub use pruning::MedianPruner;
pub use space::{Setting, Space};
pub use study::Study;
pub(super) use trial::TrialLink;
pub use trial::{Trial, TrialRecord, TrialState};
