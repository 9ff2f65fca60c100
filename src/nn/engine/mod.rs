//! The arithmetic under the layers: products of matrices and pictures, each on the calling thread, and the vectors they are made of.

mod columns;
mod convolution;
mod product;
mod tile;
mod vector;

pub(crate) use columns::{add_rows, four_rows, rectified_gradient, rectify, repeat, shard};
pub(crate) use convolution::{Convolution, Prepared, sum_of_parts};
pub(crate) use product::{Left, Panels, offsets, product, product_in_parallel};
pub(crate) use tile::Start;
pub(crate) use vector::{Instructions, vectorized};
