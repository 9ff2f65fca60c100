//! Hyper-parameter search by ask and tell: a space, a study that says what to try next, a journal that several may share.
// Ours, because the `optimizer` crate's journal hands the same trial numbers to two processes and drops what one of them found.

mod importance;
mod journal;
mod pruning;
mod space;
mod study;
mod table;
mod tree_parzen;
mod trial;

pub use space::{Setting, Space};
pub use study::Study;
pub(super) use trial::TrialLink;
pub use trial::{Trial, TrialRecord, TrialState};
