//! Data.
pub(crate) mod glyphs;
