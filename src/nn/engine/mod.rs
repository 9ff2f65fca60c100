//! The arithmetic under the layers: products of matrices, convolutions made of them, sums over columns, and the machine's vectors.

mod columns;
mod convolution;
mod product;
mod tile;
mod vector;

pub(crate) use columns::{add_rows, four_rows, rectified_gradient, rectify, repeat, shard, sum_of_parts};
pub(crate) use convolution::{Convolution, Prepared};
pub(crate) use product::{Left, Panels, offsets, product, product_in_parallel};
pub(crate) use tile::Start;
pub(crate) use vector::{Instructions, vectorized};
