//! Products of matrices, of which the left one may be a feature map.
//!
//! The element (i, k) of the left matrix is `values[rows[i] + steps[k]]`. With rows 0, n, 2n … and steps 0, 1, 2 … that
//! is an ordinary matrix; the other way round it is transposed; and with one row for each position of a window in a
//! feature map and one step for each value in the window it is a convolution that never writes the windows side by side
//! (*im2col*).

use std::{ops::Range, sync::OnceLock};

use rayon::prelude::*;

use super::{
    buffer::Buffer,
    parallel::OnThreads,
    tile::{self, Accumulate, Tiles, kernels},
    transpose::transpose,
    vector::{Instructions, vectorized},
};

/// The left matrix, see above.
#[derive(Clone, Copy)]
pub(crate) struct GatherLhs<'a> {
    pub values: &'a [f32],
    pub rows: &'a [u32],
    pub steps: &'a [u32],
}

/// `count` offsets, `stride` apart.
///
/// # Panics
/// If 32 bits do not reach so far: sizes are [counted](super::count) before there are values to reach.
pub(crate) fn offsets(count: usize, stride: usize) -> Vec<u32> {
    let reached = count.saturating_sub(1).checked_mul(stride).is_some_and(|last| u32::try_from(last).is_ok());
    assert!(reached, "{count} offsets {stride} apart do not fit into 32 bits");
    (0..count).map(|i| (i * stride) as u32).collect()
}

/// The right matrix, in panels of a few vectors of columns: copied step by step, or borrowed where that gains nothing.
pub(crate) struct PackedRhs<'a> {
    instructions: Instructions,
    storage: Storage<'a>,
    steps: usize,
    columns: usize,
    /// The width of each panel, in vectors.
    widths: Vec<usize>,
    /// The columns after these, if there are any: each by itself, its steps side by side.
    last: Buffer,
}

/// A layer's weights as the right matrices of its products: packed once, used until the weights change.
#[derive(Default)]
pub(crate) struct PackedWeights {
    forward: OnceLock<Vec<PackedRhs<'static>>>,
    backward: OnceLock<Vec<PackedRhs<'static>>>,
}

impl PackedWeights {
    /// For the forward pass.
    pub fn forward(&self, pack: impl FnOnce() -> Vec<PackedRhs<'static>>) -> &[PackedRhs<'static>] {
        Self::made(&self.forward, pack)
    }

    /// For the gradient of the input.
    pub fn backward(&self, pack: impl FnOnce() -> Vec<PackedRhs<'static>>) -> &[PackedRhs<'static>] {
        Self::made(&self.backward, pack)
    }

    /// Two threads may pack at once, and the result of one is kept: with a lock held, a thread that meanwhile runs
    /// other work could wait for itself.
    fn made<'a>(
        place: &'a OnceLock<Vec<PackedRhs<'static>>>,
        pack: impl FnOnce() -> Vec<PackedRhs<'static>>,
    ) -> &'a [PackedRhs<'static>] {
        if let Some(panels) = place.get() {
            return panels;
        }
        let panels = pack();
        place.get_or_init(|| panels)
    }
}

enum Storage<'a> {
    /// Panel after panel, each (steps, its width).
    Packed(Buffer),
    /// Rows of the matrix, so far apart, of which a panel is a few columns.
    Standing(&'a [f32], usize),
}

/// Steps after which the sums are written to the output, at most: that many of 16 columns stay in the first cache.
const DEPTH: usize = 512;

/// The same where what comes next is read ahead: the more of a panel the first cache holds, the less that
/// disturbs.
const DEPTH_AHEAD: usize = 256;

/// Multiply-adds that are worth a task of their own.
const TASK: usize = 1 << 20;

/// Rows of a task at most: that many of a panel's sums stay in the second-level cache.
const TALL: usize = 72;

/// The largest right matrix of which every core keeps a copy in its second-level cache, in values.
const SHARED: usize = 1 << 16;

impl<'a> PackedRhs<'a> {
    /// The matrix with element (k, j) at `values[steps[k] + j · column_stride]`.
    pub fn pack(values: &[f32], steps: &[u32], columns: usize, column_stride: usize) -> Self {
        Self::pack_for(Instructions::of_this_machine(), values, steps, columns, column_stride)
    }

    /// `columns` of a row-major matrix whose rows lie `stride` apart: not copied where that would gain nothing.
    pub fn of_rows(values: &'a [f32], steps: usize, columns: usize, stride: usize) -> Self {
        let instructions = Instructions::of_this_machine();
        // A panel's end would read into the next row; rows that are a power of two apart would evict each other from
        // the cache.
        if columns.is_multiple_of(instructions.lanes()) && !stride.is_multiple_of(256) {
            let widths = widths(columns / instructions.lanes(), tile::widest(instructions));
            let (storage, last) = (Storage::Standing(values, stride), Buffer::default());
            return Self { instructions, storage, steps, columns, widths, last };
        }
        Self::pack(values, &offsets(steps, stride), columns, 1)
    }

    /// The same for left matrices whose steps are 0, 1, 2 …: there the last columns, if they fill no more than half of
    /// a vector, are multiplied as vectors of steps, unless these are few.
    pub fn pack_for_rows(values: &[f32], steps: &[u32], columns: usize, column_stride: usize) -> Self {
        let lanes = Instructions::of_this_machine().lanes();
        let last = columns % lanes;
        if 2 * last > lanes || steps.len() < 4 * lanes {
            return Self::pack(values, steps, columns, column_stride);
        }
        let mut packed = Self::pack(values, steps, columns - last, column_stride);
        packed.last = Buffer::unset(last * steps.len());
        for (column, to) in (packed.columns..columns).zip(packed.last.chunks_mut(steps.len())) {
            let values = &values[column * column_stride..];
            to.iter_mut().zip(steps).for_each(|(to, step)| *to = values[*step as usize]);
        }
        Self { columns, ..packed }
    }

    pub fn pack_for(
        instructions: Instructions,
        values: &[f32],
        steps: &[u32],
        columns: usize,
        column_stride: usize,
    ) -> Self {
        // The steps of a column lie side by side.
        let is_transposed = column_stride != 1 && steps.is_sorted_by(|step, next| step + 1 == *next);
        let pack = |column: usize, count, width, panel: &mut [f32]| {
            // Of no steps there are no values.
            let values = values.get(column * column_stride..).unwrap_or_default();
            if is_transposed && let Some(first) = steps.first() {
                transpose(instructions, &values[*first as usize..], column_stride, count, width, panel);
            } else {
                pack_panel(values, steps, count, column_stride, width, panel);
            }
        };
        Self::packed_by(pack, instructions, steps.len(), columns)
    }

    /// Row-major matrices, one below the other.
    fn of_parts(parts: &[&[f32]], columns: usize) -> Self {
        let most = parts.iter().map(|part| part.len() / columns).max().unwrap_or(0);
        let steps = offsets(most, columns);
        let pack = |column: usize, count, width, mut panel: &mut [f32]| {
            for part in parts.iter().filter(|part| !part.is_empty()) {
                let steps = &steps[..part.len() / columns];
                let (of_part, others) = panel.split_at_mut(steps.len() * width);
                pack_panel(&part[column..], steps, count, 1, width, of_part);
                panel = others;
            }
        };
        let steps = parts.iter().map(|part| part.len() / columns).sum();
        Self::packed_by(pack, Instructions::of_this_machine(), steps, columns)
    }

    /// The panels as `pack` fills them, which is given the first column, how many there are, and the width.
    fn packed_by(
        pack: impl Fn(usize, usize, usize, &mut [f32]) + Sync,
        instructions: Instructions,
        steps: usize,
        columns: usize,
    ) -> Self {
        let widths = widths(columns.div_ceil(instructions.lanes()), tile::widest(instructions));
        let total: usize = widths.iter().sum::<usize>() * instructions.lanes();
        let packed_length = steps * total;
        let mut packed = Buffer::unset(packed_length);
        let mut panels = Vec::new();
        let mut column = 0;
        let mut rest = &mut packed[..];
        for vectors in &widths {
            let width = vectors * instructions.lanes();
            let (panel, others) = rest.split_at_mut(steps * width);
            panels.push((column, width, panel));
            (rest, column) = (others, column + width);
        }
        let pack = |(column, width, panel): (usize, usize, &mut [f32])| {
            pack(column, width.min(columns - column), width, panel);
        };
        if packed_length < SHARED {
            panels.into_iter().for_each(pack);
        } else {
            panels.into_par_iter().on_threads().for_each(pack);
        }
        Self { instructions, storage: Storage::Packed(packed), steps, columns, widths, last: Buffer::default() }
    }

    /// All panels: the first column and the width (in values) of each; that of the last columns is less than a vector.
    fn panels(&self) -> impl Iterator<Item = (usize, usize)> {
        let widths = self.widths.iter().map(|vectors| vectors * self.instructions.lanes());
        let last = self.last.len() / self.steps.max(1);
        widths.chain((last > 0).then_some(last)).scan(0, |column, width| {
            let first = *column;
            *column += width;
            Some((first, width))
        })
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All of its steps.
    pub fn all(&self) -> RhsSteps<'_> {
        self.steps_from(0)
    }

    /// Its steps from that one on.
    pub fn steps_from(&self, first: usize) -> RhsSteps<'_> {
        RhsSteps { rhs: self, first }
    }

    /// Some steps of the panel that begins at that column, and how far apart the steps lie.
    fn panel(&self, column: usize, width: usize, first: usize, count: usize) -> (&[f32], usize) {
        let (values, start, stride) = match &self.storage {
            Storage::Packed(values) => (&values[..], self.steps * column + first * width, width),
            Storage::Standing(values, stride) => (*values, first * stride + column, *stride),
        };
        (&values[start..][..count.saturating_sub(1) * stride + if count == 0 { 0 } else { width }], stride)
    }
}

/// Steps of a right matrix from one on: as many as the left matrix of a product has.
#[derive(Clone, Copy)]
pub(crate) struct RhsSteps<'a> {
    rhs: &'a PackedRhs<'a>,
    first: usize,
}

impl<'a> RhsSteps<'a> {
    /// All panels: their columns, that many of their steps, and how far apart these lie.
    pub fn panels(self, steps: usize) -> impl Iterator<Item = (Range<usize>, &'a [f32], usize)> {
        self.rhs.panels().map(move |(column, width)| {
            let (values, stride) = self.rhs.panel(column, width, self.first, steps);
            (column..self.rhs.columns.min(column + width), values, stride)
        })
    }
}

vectorized! {
    fn pack_panel(values: &[f32], steps: &[u32], count: usize, column_stride: usize, width: usize, panel: &mut [f32]) {
        // What lies beyond the last column does no harm, so that whole vectors can be copied; but not beyond the end.
        let fits = |step: &&u32| column_stride == 1 && **step as usize + width <= values.len();
        let whole = steps.iter().take_while(fits).count();
        let (panel, last) = panel.split_at_mut(whole * width);
        match width {
            4 => copy_rows::<4>(values, &steps[..whole], panel),
            8 => copy_rows::<8>(values, &steps[..whole], panel),
            12 => copy_rows::<12>(values, &steps[..whole], panel),
            16 => copy_rows::<16>(values, &steps[..whole], panel),
            24 => copy_rows::<24>(values, &steps[..whole], panel),
            32 => copy_rows::<32>(values, &steps[..whole], panel),
            48 => copy_rows::<48>(values, &steps[..whole], panel),
            _ => copy_rows::<64>(values, &steps[..whole], panel),
        }
        for (row, step) in last.chunks_exact_mut(width).zip(&steps[whole..]) {
            let from = values[*step as usize..].iter().step_by(column_stride);
            row[..count].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            row[count..].fill(0.0);
        }
    }

    /// Some columns of each row, at most [`TALL`], to rows that are so far apart.
    fn copy_columns(rows: &[&[f32]], columns: Range<usize>, block: &mut [f32]) {
        for (to, row) in block.chunks_exact_mut(TALL).zip(rows) {
            // What lies beyond these columns does no harm.
            let Some(row) = row[columns.start..].first_chunk::<TALL>() else {
                to[..columns.len()].copy_from_slice(&row[columns.clone()]);
                continue;
            };
            // All values at once would be copied by a call.
            to.as_chunks_mut::<8>().0.iter_mut().zip(row.as_chunks().0).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Copies rows of a length that the compiler knows: a call of `memcpy` for each would take longer than the copy.
#[inline(always)]
fn copy_rows<const WIDTH: usize>(values: &[f32], steps: &[u32], panel: &mut [f32]) {
    for (row, step) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().zip(steps) {
        if let Some(from) = values[*step as usize..].first_chunk() {
            *row = *from;
        }
    }
}

/// Splits that many vectors into panels: mostly of one vector less than the widest, where the tiles are fastest, and
/// none of one vector if it can be avoided.
fn widths(vectors: usize, widest: usize) -> Vec<usize> {
    let fastest = (widest - 1).max(1);
    let mut widths = vec![fastest; vectors / fastest];
    match (vectors % fastest, widths.last_mut()) {
        (0, _) => {}
        (1, Some(last)) if widest > fastest => *last += 1,
        (rest, _) => widths.push(rest),
    }
    widths
}

/// `out[i][j] = leaky(start + Σₖ lhs[i][k] · rhs[k][j])` on the calling thread, with leaky(v) = v where v > 0 and slope
/// · v elsewhere (a slope of 1 leaves v as it is); row i of the output begins at `out[out_rows[i]]`.
pub(crate) fn gemm(
    lhs: GatherLhs<'_>,
    rhs: RhsSteps<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
    out_rows: &[u32],
) {
    check(lhs, rhs, start);
    assert!(lhs.rows.len() == out_rows.len());
    assert!(out_rows.is_empty() || largest(out_rows) + rhs.rhs.columns <= out.len());
    for (column, width) in rhs.rhs.panels() {
        // SAFETY: just checked; the output is borrowed mutably.
        unsafe { part(lhs, rhs, start, slope, out.as_mut_ptr(), out_rows, column, width) };
    }
}

/// The same, on all threads, for an output (rows, columns), row by row.
pub(crate) fn gemm_in_parallel(
    lhs: GatherLhs<'_>,
    rhs: &PackedRhs<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
) {
    gemm_to_rows_in_parallel(lhs, rhs, start, slope, out, &offsets(lhs.rows.len(), rhs.columns));
}

/// The same for an output of which row i begins at `out[out_rows[i]]`; they [are apart](are_apart).
fn gemm_to_rows_in_parallel(
    lhs: GatherLhs<'_>,
    rhs: &PackedRhs<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: &mut [f32],
    out_rows: &[u32],
) {
    check(lhs, rhs.all(), start);
    let (rows, steps, columns) = (lhs.rows.len(), lhs.steps.len(), rhs.columns);
    assert!(out_rows.len() == rows && (rows == 0 || largest(out_rows) + columns <= out.len()));
    let tasks = (rows * steps * columns).div_ceil(TASK).max(1);
    // Each task takes some rows, and all columns where the right matrix stays in every cache, else those of one panel.
    let panels: Vec<_> = rhs.panels().collect();
    let panels: Vec<_> = panels.chunks(if steps * columns <= SHARED { panels.len() } else { 1 }).collect();
    let block = rows.div_ceil(tasks.div_ceil(panels.len())).next_multiple_of(18).min(TALL);
    let tasks = panels.iter().flat_map(|panels| (0..rows).step_by(block).map(move |row| (*panels, row)));
    let whole = Shared(out.as_mut_ptr());
    let run = |(panels, row): (&[(usize, usize)], usize)| {
        let range = row..rows.min(row + block);
        let lhs = GatherLhs { rows: &lhs.rows[range.clone()], ..lhs };
        for (column, width) in panels {
            // SAFETY: just checked; the output holds all rows and columns, of which no two tasks share both.
            unsafe {
                part(lhs, rhs.all(), start, slope, whole.pointer(), &out_rows[range.clone()], *column, *width);
            }
        }
    };
    if panels.len() == 1 && block >= rows {
        tasks.for_each(run);
    } else {
        tasks.collect::<Vec<_>>().into_par_iter().on_threads().for_each(run);
    }
}

/// `out[i][j] = start + Σₖ x[k][i] · g[k][j]` over the rows of some pairs of x (n, inputs) and g (n, units), on all
/// threads: the gradient of a layer's (inputs, units) weights, of which those of input i begin at `out[out_rows[i]]`.
pub(crate) fn transposed_gemm_in_parallel(
    pairs: &[(&[f32], &[f32])],
    (out_rows, units): (&[u32], usize),
    start: Accumulate<'_>,
    out: &mut [f32],
) {
    let inputs = out_rows.len();
    assert!(are_apart(out_rows, units) && out.len() >= inputs * units);
    if is_better_by_units(inputs, units) {
        let swapped: Vec<_> = pairs.iter().map(|(x, g)| (*g, *x)).collect();
        let mut by_units = Buffer::unset(inputs * units);
        transposed_gemm_in_parallel(&swapped, (&offsets(units, inputs), inputs), Accumulate::Zero, &mut by_units);
        return add_by_units(&by_units, (out_rows, units), start, out);
    }
    let instructions = Instructions::of_this_machine();
    if inputs < TALL || units <= tile::widest(instructions) * instructions.lanes() {
        for (index, (x, g)) in pairs.iter().enumerate() {
            let steps = g.len() / units;
            let lhs = GatherLhs { values: x, rows: &offsets(inputs, 1), steps: &offsets(steps, inputs) };
            let start = if index == 0 { start } else { Accumulate::Output };
            let rhs = PackedRhs::of_rows(g, steps, units, units);
            gemm_to_rows_in_parallel(lhs, &rhs, start, 1.0, out, out_rows);
        }
        return;
    }
    // Here each value is used often enough to be copied first: those of x beside each other, which lie rows apart.
    let x: Vec<_> = pairs.iter().flat_map(|(x, _)| x.chunks_exact(inputs)).collect();
    let rhs = PackedRhs::of_parts(&pairs.iter().map(|(_, g)| *g).collect::<Vec<_>>(), units);
    assert!(rhs.steps == x.len());
    let panels: Vec<_> = rhs.panels().collect();
    // Each task takes some rows and panels.
    let group = (2 * TASK).div_ceil(TALL * x.len().max(1) * panels[0].1);
    let tasks = panels.chunks(group).flat_map(|panels| (0..inputs).step_by(TALL).map(move |row| (panels, row)));
    let [lhs_rows, lhs_steps] = [(TALL, 1), (DEPTH_AHEAD, TALL)].map(|(n, s)| offsets(n, s));
    let whole = Shared(out.as_mut_ptr());
    let run = |(panels, row): (&[(usize, usize)], usize)| {
        let range = row..inputs.min(row + TALL);
        let mut block = Buffer::unset(TALL * DEPTH_AHEAD.min(x.len()));
        for first in (0..x.len().max(1)).step_by(DEPTH_AHEAD) {
            let x = &x[first..x.len().min(first + DEPTH_AHEAD)];
            copy_columns(x, range.clone(), &mut block);
            let lhs = GatherLhs { values: &block, rows: &lhs_rows[..range.len()], steps: &lhs_steps[..x.len()] };
            let start = if first == 0 { start } else { Accumulate::Output };
            for (column, width) in panels {
                // SAFETY: the block holds its rows of all steps, a panel as many steps as x has rows, and the output
                // all rows and columns, of which no two tasks share both.
                unsafe {
                    let rhs = rhs.steps_from(first);
                    part(lhs, rhs, start, 1.0, whole.pointer(), &out_rows[range.clone()], *column, *width);
                }
            }
        }
    };
    tasks.collect::<Vec<_>>().into_par_iter().on_threads().for_each(run);
}

/// Whether the gradient of (inputs, units) weights is better multiplied as (units, inputs): if the vectors hold fewer
/// values then. Two rows more stand for the transposition.
pub(crate) fn is_better_by_units(inputs: usize, units: usize) -> bool {
    let lanes = Instructions::of_this_machine().lanes();
    let values = |columns: usize, rows: usize| columns.next_multiple_of(lanes) * rows;
    values(inputs, units + 2) < values(units, inputs)
}

/// Transposes a gradient (units, inputs) to where the weights of each input begin.
pub(crate) fn add_by_units(
    by_units: &[f32],
    (out_rows, units): (&[u32], usize),
    start: Accumulate<'_>,
    out: &mut [f32],
) {
    let (instructions, inputs) = (Instructions::of_this_machine(), out_rows.len());
    let mut by_inputs = Buffer::unset(inputs * units);
    transpose(instructions, by_units, inputs, units, units, &mut by_inputs);
    for (row, values) in out_rows.iter().zip(by_inputs.chunks_exact(units)) {
        let out = &mut out[*row as usize..][..units];
        match start {
            Accumulate::Output => out.iter_mut().zip(values).for_each(|(out, value)| *out += value),
            _ => out.copy_from_slice(values),
        }
    }
}

/// Whether rows are, in some order, those of a matrix of so many columns.
fn are_apart(rows: &[u32], columns: usize) -> bool {
    if rows.iter().enumerate().all(|(index, row)| *row as usize == index * columns) {
        return true;
    }
    let mut seen = vec![false; rows.len()];
    rows.iter().all(|row| {
        let (row, rest) = (*row as usize / columns, *row as usize % columns);
        rest == 0 && seen.get_mut(row).is_some_and(|seen| !std::mem::replace(seen, true))
    })
}

/// An output that several threads write to, each to other rows or columns.
struct Shared(*mut f32);

// SAFETY: its only use, above, writes disjoint parts.
unsafe impl Sync for Shared {}

impl Shared {
    fn pointer(&self) -> *mut f32 {
        self.0
    }
}

/// Refuses a product that would read outside of its slices.
fn check(lhs: GatherLhs<'_>, RhsSteps { rhs, first }: RhsSteps<'_>, start: Accumulate<'_>) {
    assert!(first <= rhs.steps && lhs.steps.len() <= rhs.steps - first);
    if !lhs.rows.is_empty() && !lhs.steps.is_empty() {
        assert!(largest(lhs.rows) + largest(lhs.steps) < lhs.values.len());
    }
    if let Accumulate::Bias(bias) = start {
        assert!(bias.len() == rhs.columns);
    }
    // Vectors of steps need these side by side.
    assert!(rhs.last.is_empty() || (0..).zip(lhs.steps).all(|(index, step)| index == *step));
}

vectorized! {
    fn largest(offsets: &[u32]) -> usize {
        offsets.iter().fold(0, |largest, offset| if *offset > largest { *offset } else { largest }) as usize
    }
}

/// One panel's columns of a product.
///
/// # Safety
/// [`check`] must have passed, `out` must hold the right matrix' columns from each of `out_rows` on, and nothing else
/// may use these meanwhile.
#[allow(clippy::too_many_arguments)]
unsafe fn part(
    lhs: GatherLhs<'_>,
    RhsSteps { rhs, first }: RhsSteps<'_>,
    start: Accumulate<'_>,
    slope: f32,
    out: *mut f32,
    out_rows: &[u32],
    column: usize,
    width: usize,
) {
    let all = Tiles {
        lhs: lhs.values.as_ptr(),
        rows: lhs.rows,
        steps: lhs.steps,
        panel: rhs.last.get(first..).unwrap_or_default().as_ptr(),
        panel_stride: rhs.steps,
        start,
        slope,
        out,
        out_rows,
        column,
        width: width.min(rhs.columns - column),
        ahead: std::ptr::null(),
    };
    if width < rhs.instructions.lanes() {
        // SAFETY: as below; the last columns have all steps of the right matrix, and the left one's are side by side.
        return unsafe { tile::column_by_column(rhs.instructions)(&all) };
    }
    let reads_ahead = matches!(rhs.storage, Storage::Packed(_)) && rhs.steps * rhs.columns > SHARED;
    let kernels = kernels(rhs.instructions, width / rhs.instructions.lanes(), reads_ahead);
    let chunks = lhs.steps.len().div_ceil(if reads_ahead { DEPTH_AHEAD } else { DEPTH }).max(1);
    let depth = lhs.steps.len().div_ceil(chunks);
    for chunk in 0..chunks {
        let steps = &lhs.steps[chunk * depth..lhs.steps.len().min((chunk + 1) * depth)];
        let (panel, panel_stride) = rhs.panel(column, width, first + chunk * depth, steps.len());
        // As few tiles as possible, all about equally high: some are higher by one than the others.
        let tiles = lhs.rows.len().div_ceil(kernels.len()).max(1);
        let (height, higher) = (lhs.rows.len() / tiles, lhs.rows.len() % tiles);
        // In packed panels the next steps, and then the next panel, lie behind these.
        let mut ahead = panel.as_ptr_range().end;
        let mut row = 0;
        for (height, count) in [(height + 1, higher), (height, tiles - higher)] {
            let rows = row..row + height * count;
            row = rows.end;
            let tiles = Tiles {
                rows: &lhs.rows[rows.clone()],
                steps,
                panel: panel.as_ptr(),
                panel_stride,
                start: if chunk == 0 { start } else { Accumulate::Output },
                slope: if chunk + 1 == chunks { slope } else { 1.0 },
                out_rows: &out_rows[rows.clone()],
                ahead,
                ..all
            };
            ahead = ahead.wrapping_add(count * tile::ahead(rhs.instructions, steps.len()));
            if !rows.is_empty() {
                // SAFETY: `Instructions` exist only where the processor has them; `check` covers every sum of a row
                // and a step and the bias, the caller the output; `panel` is a slice as long as the steps need.
                unsafe { kernels[height - 1](&tiles) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are exact in f32, so that any order of summing gives the same.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_plain_product() {
        for instructions in Instructions::all() {
            let shapes = [(1, 1, 1), (6, 9, 16), (7, 3, 5), (9, 0, 4), (3, 520, 9), (13, 600, 33), (20, 1030, 112)];
            for (rows, steps, columns) in shapes.into_iter().take(if cfg!(miri) { 5 } else { 7 }) {
                let (lhs, rhs, bias) = (numbers(rows * steps), numbers(steps * columns), numbers(columns));
                let packed = PackedRhs::pack_for(instructions, &rhs, &offsets(steps, columns), columns, 1);
                let (lhs_rows, lhs_steps, out_rows) = (offsets(rows, steps), offsets(steps, 1), offsets(rows, columns));
                let mut out = vec![f32::NAN; rows * columns];
                let lhs = GatherLhs { values: &lhs, rows: &lhs_rows, steps: &lhs_steps };
                gemm(lhs, packed.all(), Accumulate::Bias(&bias), 0.5, &mut out, &out_rows);
                for i in 0..rows {
                    for j in 0..columns {
                        let sum: f32 = (0..steps).map(|k| lhs.values[i * steps + k] * rhs[k * columns + j]).sum();
                        let expected = (bias[j] + sum).max(0.5 * (bias[j] + sum));
                        assert_eq!(
                            out[i * columns + j],
                            expected,
                            "{instructions:?} {rows}×{steps}×{columns} ({i}, {j})"
                        );
                    }
                }
                let before = out.clone();
                gemm(lhs, packed.all(), Accumulate::Output, 1.0, &mut out, &out_rows);
                let again: f32 = (0..steps).map(|k| lhs.values[k] * rhs[k * columns]).sum();
                assert_eq!(out[0], before[0] + again);
            }
        }
    }

    #[test]
    fn last_columns_are_those_of_the_plain_product() {
        // Few steps and many, with other columns and without.
        let shapes =
            [(1, 1, 17), (7, 40, 50), (9, 33, 34), (5, 3, 20), (80, 150, 65), (3, 8, 2), (19, 70, 3), (8, 64, 24)];
        for (rows, steps, columns) in shapes {
            if cfg!(miri) && rows * steps > 100 {
                continue;
            }
            let (lhs, rhs, bias) = (numbers(rows * steps), numbers(steps * columns), numbers(columns));
            let packed = PackedRhs::pack_for_rows(&rhs, &offsets(steps, columns), columns, 1);
            let (lhs_rows, lhs_steps) = (offsets(rows, steps), offsets(steps, 1));
            let lhs = GatherLhs { values: &lhs, rows: &lhs_rows, steps: &lhs_steps };
            let mut out = vec![f32::NAN; rows * columns];
            gemm_in_parallel(lhs, &packed, Accumulate::Bias(&bias), 0.5, &mut out);
            let sum = |at: usize| -> f32 {
                let row = &lhs.values[at / columns * steps..][..steps];
                row.iter().zip(rhs[at % columns..].iter().step_by(columns)).map(|(lhs, rhs)| lhs * rhs).sum()
            };
            let sums: Vec<_> = (0..rows * columns).map(sum).collect();
            let leaky = |value: f32| value.max(0.5 * value);
            let expected: Vec<_> = sums.iter().zip(bias.iter().cycle()).map(|(sum, bias)| leaky(bias + sum)).collect();
            assert_eq!(out, expected, "{rows}×{steps}×{columns}");
            gemm(lhs, packed.all(), Accumulate::Output, 1.0, &mut out, &offsets(rows, columns));
            let twice: Vec<_> = expected.iter().zip(&sums).map(|(expected, sum)| expected + sum).collect();
            assert_eq!(out, twice);
            gemm(lhs, packed.all(), Accumulate::Zero, 1.0, &mut out, &offsets(rows, columns));
            assert_eq!(out, sums);
        }
    }

    #[test]
    fn the_right_matrix_may_be_transposed() {
        let rhs = numbers(6); // (2, 3) as the transposed (3, 2)
        let packed = PackedRhs::pack(&rhs, &offsets(3, 1), 2, 3);
        let mut out = [0.0; 2];
        let lhs = GatherLhs { values: &[1.0, 10.0, 100.0], rows: &[0], steps: &[0, 1, 2] };
        gemm(lhs, packed.all(), Accumulate::Zero, 1.0, &mut out, &[0]);
        assert_eq!(out, [rhs[0] + 10.0 * rhs[1] + 100.0 * rhs[2], rhs[3] + 10.0 * rhs[4] + 100.0 * rhs[5]]);
    }

    #[test]
    fn gradients_of_weights_are_the_sum_of_transposed_products() {
        // Narrow, short, and large enough to be copied; pairs of 0 to more rows than are copied at once.
        for [inputs, units] in [[3, 5], [100, 7], [5, 150], [73, 14], [75, 70], [145, 131]] {
            // Miri takes minutes for the large ones; its vectors are short, so that 73 × 14 are copied too.
            if cfg!(miri) && inputs * units > 1_100 {
                continue;
            }
            for rows in
                [vec![0], vec![4], vec![2, 0, 3], vec![DEPTH_AHEAD, 9]].into_iter().take(if cfg!(miri) { 3 } else { 4 })
            {
                let pairs: Vec<_> = rows.iter().map(|n| (numbers(n * inputs), numbers(n * units))).collect();
                let pairs: Vec<_> = pairs.iter().map(|(x, g)| (&x[..], &g[..])).collect();
                let mut out = vec![f32::NAN; inputs * units];
                // The last input's first.
                let out_rows: Vec<_> = offsets(inputs, units).into_iter().rev().collect();
                transposed_gemm_in_parallel(&pairs, (&out_rows, units), Accumulate::Zero, &mut out);
                let product = |i: usize, j: usize| -> f32 {
                    let rows = pairs.iter().flat_map(|(x, g)| x.chunks(inputs).zip(g.chunks(units)));
                    rows.map(|(x, g)| x[i] * g[j]).sum()
                };
                let expected: Vec<_> =
                    (0..inputs * units).map(|at| product(inputs - 1 - at / units, at % units)).collect();
                assert_eq!(out, expected, "{inputs} × {units}, {rows:?} rows");
                transposed_gemm_in_parallel(&pairs, (&out_rows, units), Accumulate::Output, &mut out);
                assert!(out.iter().zip(expected).all(|(out, expected)| *out == 2.0 * expected));
            }
        }
    }

    #[test]
    fn panels_are_of_the_fastest_width_and_cover_all_columns() {
        for (vectors, widest, expected) in [
            (1, 4, vec![1]),
            (2, 4, vec![2]),
            (4, 4, vec![4]),
            (5, 4, vec![3, 2]),
            (7, 4, vec![3, 4]),
            (7, 3, vec![2, 2, 3]),
            (1, 3, vec![1]),
            (3, 1, vec![1, 1, 1]),
        ] {
            assert_eq!(widths(vectors, widest), expected);
        }
    }
}
