//! Hyper-parameter search by ask and tell: a space, a study that suggests what to try next, a journal that several
//! processes may share, Optuna's workers among them.
//!
//! A study is what its operations make of it ([`replay`]), with or without a journal: what is written is applied, what
//! others have written is read ([`lines`]) and applied.
// Our own, because the `optimizer` crate's journal gives the same trial numbers to two processes and loses the results
// of one of them.

mod dates;
mod importance;
mod journal;
mod lines;
mod lock;
mod old_journal;
mod operation;
mod pruning;
mod replay;
mod space;
mod study;
mod table;
mod tree_parzen;
mod trial;

pub use pruning::MedianPruner;
pub use space::{Setting, Space};
pub use study::Study;
pub(super) use trial::TrialLink;
pub use trial::{Trial, TrialRecord, TrialState};
