//! Products channel by channel, of which a depthwise convolution is made: as those of [`gemm`](super::gemm), but an
//! element of the left matrix is a vector with a value for each column.

use std::ops::Range;

use super::{
    gemm::{GatherLhs, RhsSteps},
    tile::Accumulate,
    vector::vectorized,
};

/// `out[i][c] = leaky(start + Σₖ lhs[i][k][c] · rhs[k][c])` on the calling thread, with `lhs[i][k]` the values from
/// `values[rows[i] + steps[k]]` on, and all else as in [`gemm`](super::gemm()).
pub(super) fn channelwise(
    lhs: GatherLhs<'_>,
    rhs: RhsSteps<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
    out_rows: &[u32],
) {
    for (columns, panel, stride) in rhs.panels(lhs.steps.len()) {
        let panel = Panel { columns, values: panel, stride };
        multiply(lhs, panel, start, slope, out, out_rows);
    }
}

/// Some columns of the right matrix, and how far apart its steps lie.
struct Panel<'a> {
    columns: Range<usize>,
    values: &'a [f32],
    stride: usize,
}

/// Rows that share the values of the right matrix, while their sums are in registers.
const ROWS: usize = 4;

vectorized! {
    fn multiply(
        lhs: GatherLhs<'_>, panel: Panel<'_>, start: Accumulate<'_>, slope: f32, out: &mut [f32], out_rows: &[u32],
    ) {
        let mut columns = panel.columns.clone();
        while !columns.is_empty() {
            // Without steps there are none.
            let values = panel.values.get(columns.start - panel.columns.start..).unwrap_or_default();
            let rest = Panel { columns: columns.clone(), values, ..panel };
            columns.start += match columns.len() {
                16.. => lanes::<16>(lhs, rest, start, slope, out, out_rows),
                8.. => lanes::<8>(lhs, rest, start, slope, out, out_rows),
                4.. => lanes::<4>(lhs, rest, start, slope, out, out_rows),
                _ => lanes::<1>(lhs, rest, start, slope, out, out_rows),
            };
        }
    }
}

/// The first columns of a panel: as many as there are lanes, which is returned.
#[inline(always)]
fn lanes<const LANES: usize>(
    lhs: GatherLhs<'_>,
    panel: Panel<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
    out_rows: &[u32],
) -> usize {
    let ((fours, rest), (out_fours, out_rest)) = (lhs.rows.as_chunks::<ROWS>(), out_rows.as_chunks::<ROWS>());
    for (rows, out_rows) in fours.iter().zip(out_fours) {
        tile::<ROWS, LANES>(lhs, rows, &panel, start, slope, out, out_rows);
    }
    for (row, out_row) in rest.iter().zip(out_rest) {
        tile::<1, LANES>(lhs, &[*row], &panel, start, slope, out, &[*out_row]);
    }
    LANES
}

#[inline(always)]
fn tile<const ROWS: usize, const LANES: usize>(
    lhs: GatherLhs<'_>,
    rows: &[u32; ROWS],
    panel: &Panel<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
    out_rows: &[u32; ROWS],
) {
    let column = panel.columns.start;
    let mut sums = [[0.0; LANES]; ROWS];
    for (sums, out_row) in sums.iter_mut().zip(out_rows) {
        match start {
            Accumulate::Zero => {}
            Accumulate::Bias(bias) => sums.copy_from_slice(&bias[column..][..LANES]),
            Accumulate::Output => sums.copy_from_slice(&out[*out_row as usize + column..][..LANES]),
        }
    }
    for (k, step) in lhs.steps.iter().enumerate() {
        let factors = &panel.values[k * panel.stride..][..LANES];
        for (sums, row) in sums.iter_mut().zip(rows) {
            let values = &lhs.values[*row as usize + *step as usize + column..][..LANES];
            sums.iter_mut().zip(values).zip(factors).for_each(|((sum, value), factor)| *sum += value * factor);
        }
    }
    for (sums, out_row) in sums.iter().zip(out_rows) {
        let out = &mut out[*out_row as usize + column..][..LANES];
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = if *sum < 0.0 { slope * sum } else { *sum });
    }
}
