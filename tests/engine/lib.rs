//! `src/engine` and what it uses, with its tests.

#![allow(dead_code, unused_imports)]

#[path = "../../src/engine/mod.rs"]
mod engine;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/limit.rs"]
mod limit;
