//! The arithmetic that networks and analysis compute with: matrix products, convolutions made of them, sums over
//! columns, the machine's vectors, buffers that are used again, and threads. Another backend would replace this folder.

mod buffer;
mod channelwise;
mod columns;
mod convolution;
mod gemm;
mod grey_levels;
mod memory;
mod moments;
mod parallel;
mod subnormals;
mod tile;
mod transpose;
mod vector;
mod winograd;

#[cfg(test)]
pub(crate) use buffer::ALLOCATED;
pub(crate) use buffer::{Buffer, Reuse};
pub(crate) use columns::{add_parts, add_rows, column_sums, rectified_gradient, repeat, shard, with_column_sums};
pub(crate) use convolution::{Convolution, PreparedConvolution};
pub(crate) use gemm::{
    GatherLhs, PackedRhs, PackedWeights, add_by_units, gemm, gemm_in_parallel, is_better_by_units, offsets,
    transposed_gemm_in_parallel,
};
pub(crate) use grey_levels::write_grey_levels;
pub(crate) use memory::{copy_and_check, count, prefetch, zeros};
pub(crate) use moments::Moments;
pub(crate) use parallel::{BLOCK, OnThreads, SHARDS, for_shards, join};
pub(crate) use subnormals::{TINY, subnormal_to_zero, tiny_to_zero};
pub(crate) use tile::Accumulate;
pub(crate) use transpose::transpose;
pub(crate) use vector::{Instructions, vectorized};
