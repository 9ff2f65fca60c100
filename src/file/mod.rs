//! Files that the library writes: public for the tests.

pub(crate) mod tensors;
mod whole;

pub(crate) use whole::{beside, hex};
pub use whole::{create_whole, write_whole};
