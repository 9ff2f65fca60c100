//! The arithmetic under the layers: products of matrices, convolutions made of them, sums over columns, and the machine's vectors.

mod columns;
mod convolution;
mod moments;
mod product;
mod tile;
mod vector;

pub(crate) use columns::{add_parts, rectified_gradient, repeat, shard};
pub(crate) use convolution::{Convolution, Prepared};
pub(crate) use moments::Moments;
pub(crate) use product::{Left, Packed, Panels, offsets, product, product_in_parallel};
pub(crate) use tile::Start;
pub(crate) use vector::{Instructions, vectorized};
