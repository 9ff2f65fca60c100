//! Hyper-parameter search by ask and tell: a space, a study that suggests what to try next, a journal that several
//! processes may share.
// Our own, because the `optimizer` crate's journal gives the same trial numbers to two processes and loses the results
// of one of them.

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
