//! The command-line tool: `cargo latentlab …`.
fn main() {}
