//! Convolutions over a batch of feature maps, without copies of the windows (see [`gemm`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use rayon::prelude::*;

use super::{
    buffer::Buffer,
    channelwise::channelwise,
    columns::{add_parts, shard},
    gemm::{GatherLhs, PackedRhs, gemm, offsets},
    memory,
    parallel::{OnThreads, SHARDS, for_shards},
    tile::Accumulate,
    vector::vectorized,
    winograd::Winograd,
};
use crate::{error::Result, limit};

/// A convolution relates two feature maps: each place (qy, qx) of the *small* one sees a window of the *large* one that
/// begins at (stride · q − before), where pixels outside of it count as 0. The window's pixels are `dilation` apart.
///
/// All feature maps are (height, width, channels), batch after batch; the weights are (kernel height, kernel width,
/// channels of the large feature map, channels of the small one). With L the large feature map, S the small one, W the
/// weights and t a place in the window (its number times the dilation):
/// - [`to_small`](PreparedConvolution::to_small): S\[q, o\] = Σₜ,c L\[stride·q − before + t, c\] · W\[t, c, o\], the
///   forward pass of `conv2d`;
/// - [`to_large`](PreparedConvolution::to_large): L\[stride·q − before + t, c\] = Σq,t,o S\[q, o\] · W\[t, c, o\], its
///   adjoint: the gradient of `conv2d`'s input, and the forward pass of `conv_transpose2d`;
/// - [`weight_gradient`](PreparedConvolution::weight_gradient): ∂W\[t, c, o\] = Σq L\[stride·q − before + t, c\] ·
///   S\[q, o\], for both.
///
/// (Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning".)
///
/// With several `groups`, the channels of both are cut into so many groups of equal size, side by side, and each group
/// of one sees only its own of the other: the weights are (kernel height, kernel width, channels of a group of the
/// large feature map, channels of the small one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub large: [usize; 3],
    pub small: [usize; 3],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub before: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    /// Whether the small feature map is up-sampled (each pixel repeated `stride` times along each axis) and then
    /// convolved: the weights are sums of those of a kernel of kernel + 1 − stride, turned around.
    pub up_sampled: bool,
}

/// The phases of an axis that see weights, each with the first of these.
type FirstWeights = BTreeMap<usize, usize>;

/// Feature maps that one task holds at once, in values: with their windows and results they stay in the second-level
/// cache.
const GROUP: usize = 48 * 1024;

/// Places of the small feature map that a task sums over at once in a gradient of weights: enough that the sums, which
/// stay in memory in between, are seldom loaded.
const STEPS: usize = 96;

/// Values of a gradient that are written before they are taken: a part of a second-level cache.
const WRITTEN: usize = 96 * 1024;

/// Multiply-adds that are worth a sum of their own in a gradient of weights.
const SHARD: usize = 8 << 20;

/// Values that all these sums may have together.
const SUMS: usize = 1 << 28;

/// Values of windows side by side that a task may hold at once.
const WINDOWS: usize = 1 << 26;

/// The columns of a vector, for a comparison of costs that is the same on every machine.
const LANES: usize = 16;

/// Rows of a product that a task takes at once at least, where a feature map has fewer.
const ROWS: usize = 64;

pub(super) fn size(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

impl Convolution {
    /// How many weights there are.
    pub fn weights(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels_of_group() * self.small[2]
    }

    /// Of the large feature map.
    fn channels_of_group(&self) -> usize {
        self.large[2] / self.groups
    }

    /// Of the small feature map.
    fn filters_of_group(&self) -> usize {
        self.small[2] / self.groups
    }

    /// Whether each channel is convolved by itself.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && [self.large[2], self.small[2]] == [self.groups; 2]
    }

    /// How many products there are, where one takes all groups side by side if it is depthwise.
    fn products(&self) -> usize {
        if self.is_depthwise() { 1 } else { self.groups }
    }

    /// How many pixels a window spans.
    fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    /// How many multiply-adds each of the three needs for one feature map: a weight for each place of a window that is
    /// not outside, for each place of the small feature map.
    pub fn multiply_adds(&self) -> usize {
        let inside = |axis: usize| {
            let place = move |q: usize, t: usize| q * self.stride[axis] + t * self.dilation[axis];
            let pixel = move |q: usize, t: usize| place(q, t).checked_sub(self.before[axis]);
            let seen = move |q: usize, t: usize| pixel(q, t).is_some_and(|pixel| pixel < self.large[axis]);
            (0..self.small[axis]).map(|q| (0..self.kernel[axis]).filter(|t| seen(q, *t)).count()).sum::<usize>()
        };
        inside(0) * inside(1) * self.channels_of_group() * self.small[2]
    }

    /// Refuses one of which a feature map with its border, or the offsets into it, would be too large.
    pub fn check(&self, place: &str) -> Result<()> {
        let Self { large, small, kernel, stride, before, groups, .. } = *self;
        let extent = |axis: usize| (small[axis] - 1).saturating_mul(stride[axis]).saturating_add(self.span(axis));
        memory::count(place, "one feature map with its padding", &[extent(0), extent(1), large[2]])?;
        let extent = |axis: usize| {
            let last = (large[axis] - 1).saturating_add(before[axis]) / stride[axis];
            small[axis].max(last.saturating_add(1)).saturating_add((self.span(axis) - 1) / stride[axis])
        };
        memory::count(place, "one feature map with its border", &[extent(0), extent(1), small[2]])?;
        // See `PreparedConvolution`: offsets for each place of both feature maps, in and out; of each phase four lists.
        let places = [large, small].map(|[height, width, _]| height.saturating_mul(width));
        limit::check(place, "offsets of one feature map's windows", &[2, places[0].saturating_add(places[1])])?;
        let phases = [0, 1].map(|axis| stride[axis].min(kernel[axis]));
        limit::check(place, "lists of offsets", &[64, phases[0], phases[1]])?;
        if groups > 1 && !self.is_depthwise() {
            // Each group's columns are whole vectors.
            let (channels, filters) = (self.channels_of_group(), self.filters_of_group());
            let lanes = |columns: usize| columns.next_multiple_of(LANES);
            let columns = [lanes(channels).saturating_mul(filters), lanes(filters).saturating_mul(channels)];
            for columns in columns {
                limit::check(place, "weights in whole vectors", &[kernel[0], kernel[1], groups, columns])?;
            }
        }
        Ok(())
    }

    /// The large feature map with the border that its windows reach into.
    fn frame_of_large(&self) -> Frame {
        let extent = |axis: usize| (self.small[axis] - 1) * self.stride[axis] + self.span(axis);
        let frame = Frame { map: self.large, before: self.before, height: extent(0), width: extent(1), most: 1 };
        frame.beside(self.small).or_map_itself()
    }

    /// The small feature map with the border that the phases of the large one reach into.
    fn frame_of_small(&self) -> Frame {
        let before = |axis: usize| (self.span(axis) - 1) / self.stride[axis];
        let last = |axis: usize| (self.large[axis] - 1 + self.before[axis]) / self.stride[axis];
        let extent = |axis: usize| before(axis) + self.small[axis].max(last(axis) + 1);
        let before = [before(0), before(1)];
        let frame = Frame { map: self.small, before, height: extent(0), width: extent(1), most: 1 };
        frame.beside(self.large).or_map_itself()
    }

    /// The offsets of a window's values in the framed large feature map, in the order of the weights.
    fn windows(&self, frame: Frame) -> Vec<u32> {
        let ([rows, columns], [down, right]) = (self.kernel, self.dilation);
        let channels = self.channels_of_group();
        let places = (0..rows).flat_map(|y| (0..columns).map(move |x| (y * down, x * right)));
        places.flat_map(|(y, x)| (0..channels).map(move |c| (frame.place(y, x) + c) as u32)).collect()
    }

    /// The offsets at which the windows of the small feature map's places begin.
    fn places(&self, frame: Frame) -> Vec<u32> {
        let ([rows, columns, _], stride) = (self.small, self.stride);
        let places = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x)));
        places.map(|(y, x)| frame.place(y * stride[0], x * stride[1]) as u32).collect()
    }

    /// The products that make the small feature map, one for all places whose windows see the same weights; and the
    /// frame of the large one that they take.
    fn products_to_small(&self) -> (Frame, Vec<Product>) {
        let axis = |axis: usize| {
            let (stride, dilation, before) = (self.stride[axis], self.dilation[axis], self.before[axis]);
            let offsets: Vec<_> = (0..self.kernel[axis]).map(|t| (t * dilation) as isize).collect();
            let begin = |q: usize| (q * stride) as isize - before as isize;
            let place = |q| Place::new(begin(q), q, &offsets, self.large[axis]);
            let places = (0..self.small[axis]).map(place).collect();
            Axis { offsets, places }
        };
        let (mut axes, channels, frame) = ([axis(0), axis(1)], self.channels_of_group(), self.frame_of_large());
        let frame = if leaves_border_out(&mut axes, channels) { frame.without_border() } else { frame };
        (frame, products(frame, &axes, channels, self.small))
    }

    /// The phases of the large feature map, (y + before) % stride along each axis, that have places in it and see
    /// weights, and all places that see none as one more; and the frame of the small one that they take.
    fn phases(&self) -> (Frame, Vec<Phase>) {
        let weighed = [0, 1].map(|axis| self.weighed(axis));
        let along = |axis: usize| {
            let (stride, before) = (self.stride[axis], self.before[axis]);
            let mut phases: Vec<_> = (0..self.large[axis].min(stride)).map(|y| (y + before) % stride).collect();
            phases.sort_unstable();
            phases.retain(|phase| weighed[axis].contains_key(phase));
            phases
        };
        let (rows, columns) = (along(0), along(1));
        let phases = rows.iter().flat_map(|y| columns.iter().map(move |x| [*y, *x]));
        let mut phases: Vec<_> = phases.map(|phase| self.phase(phase, &weighed)).collect();
        let (filters, frame) = (self.filters_of_group(), self.frame_of_small());
        // All phases take the same frame.
        let mut without_border = true;
        phases.iter_mut().for_each(|(_, axes)| without_border &= leaves_border_out(axes, filters));
        let frame = if without_border { frame.without_border() } else { frame };
        let phase = |(weights, axes)| Phase { weights, products: products(frame, &axes, filters, self.large) };
        let mut phases: Vec<_> = phases.into_iter().map(phase).collect();
        let unseen = self.unseen(&weighed, frame.group());
        if !unseen.out_rows.is_empty() {
            phases.push(Phase { weights: Vec::new(), products: vec![unseen] });
        }
        (frame, phases)
    }

    fn weighed(&self, axis: usize) -> FirstWeights {
        let phase = |t: usize| t * self.dilation[axis] % self.stride[axis];
        (0..self.kernel[axis]).rev().map(|t| (phase(t), t)).collect()
    }

    /// The places of the large feature map that no window reaches.
    fn unseen(&self, weighed: &[FirstWeights; 2], group: usize) -> Product {
        let [height, width, channels] = self.large;
        let seen = |axis: usize, y: usize| weighed[axis].contains_key(&((y + self.before[axis]) % self.stride[axis]));
        let mut out_rows = Vec::new();
        for y in 0..height {
            for x in (0..width).filter(|x| !(seen(0, y) && seen(1, *x))) {
                out_rows.push(((y * width + x) * channels) as u32);
            }
        }
        let out_rows = repeated(&out_rows, group, size(self.large));
        Product { rows: vec![0; out_rows.len()], out_rows, steps: Vec::new(), spans: vec![NO_WEIGHTS] }
    }

    /// The weights that a phase sees, and what its places see along each axis.
    fn phase(&self, phase: [usize; 2], weighed: &[FirstWeights; 2]) -> (Vec<u32>, [Axis; 2]) {
        // Along one axis: the weights t with dilation·t = phase + stride·m of this phase. As many weights as there are
        // phases that see one lie between two of the same phase.
        let taps = [0, 1].map(|axis| {
            let first = weighed[axis].get(&phase[axis]).copied().unwrap_or(self.kernel[axis]);
            (first..self.kernel[axis]).step_by(weighed[axis].len())
        });
        // Along one axis: each weight with its offset −m, and the places y with (y + before) = stride·q + phase.
        let axis = |axis: usize| {
            let (stride, before, phase) = (self.stride[axis], self.before[axis], phase[axis]);
            let back = |t: usize| ((t * self.dilation[axis] - phase) / stride) as isize;
            let offsets: Vec<_> = taps[axis].clone().map(|t| -back(t)).collect();
            let back = before % stride;
            let first = phase.checked_sub(back).unwrap_or_else(|| stride - (back - phase));
            let place = |y| Place::new(((y + before) / stride) as isize, y, &offsets, self.small[axis]);
            let places = (first..self.large[axis]).step_by(stride).map(place).collect();
            Axis { offsets, places }
        };
        let mut weights = Vec::new();
        for y in taps[0].clone() {
            for x in taps[1].clone() {
                let weight = (y * self.kernel[1] + x) * self.channels_of_group() * self.small[2];
                weights.extend((0..self.filters_of_group()).map(|o| (weight + o) as u32));
            }
        }
        (weights, [axis(0), axis(1)])
    }
}

/// Along one axis of a product's result: what its places see of a feature map.
struct Axis {
    /// Of each weight, in their order: how far from a place's pixel.
    offsets: Vec<isize>,
    places: Vec<Place>,
}

/// A row or a column of a result.
struct Place {
    /// The pixel of the feature map that its offsets start from.
    input: isize,
    output: usize,
    /// The weights that see the feature map and not its border.
    weights: Range<usize>,
}

impl Place {
    /// Of a feature map that has so many pixels along the axis.
    fn new(input: isize, output: usize, offsets: &[isize], pixels: usize) -> Self {
        let sees = |offset: &isize| (0..pixels as isize).contains(&(input + offset));
        let first = offsets.iter().position(sees).unwrap_or(0);
        let count = offsets[first..].iter().take_while(|offset| sees(offset)).count();
        Self { input, output, weights: first..first + count }
    }
}

/// The product for all places of a result that see the same weights.
struct Product {
    /// Where the places' windows begin in the framed feature maps of a group, and where their results do.
    rows: Vec<u32>,
    out_rows: Vec<u32>,
    /// The offsets of a window's values that are not in the border.
    steps: Vec<u32>,
    /// Which of the weights' rows they are multiplied by.
    spans: Vec<Range<usize>>,
}

/// The span of a product whose places see no weights.
const NO_WEIGHTS: Range<usize> = 0..0;

/// Fewer values of a window side by side are not worth a product of their own.
const SIDE_BY_SIDE: usize = 8;

/// Offsets that all products of a convolution may have together.
const OFFSETS: usize = 1 << 20;

/// Lets the places of two axes see the border, which is zero, where to leave it out would take too many products, or
/// products with too few of so many channels; whether all leave it out.
fn leaves_border_out(axes: &mut [Axis; 2], channels: usize) -> bool {
    let [rows, columns] = axes.each_ref().map(|axis| axis.offsets.len());
    let window = rows * columns * channels;
    let many = |axes: &[Axis; 2]| axes[0].kinds().len() * axes[1].kinds().len() * window > OFFSETS;
    let sees_border = channels < SIDE_BY_SIDE || many(axes);
    if sees_border {
        axes[1].places.iter_mut().for_each(|place| place.weights = 0..columns);
    }
    if many(axes) {
        axes[0].places.iter_mut().for_each(|place| place.weights = 0..rows);
    }
    !sees_border
}

impl Axis {
    /// Which weights its places see.
    fn kinds(&self) -> BTreeSet<(usize, usize)> {
        self.places.iter().map(|place| (place.weights.start, place.weights.end)).collect()
    }

    /// Of some weights that a place sees, the first pixel from there.
    fn first(&self, weights: &Range<usize>) -> isize {
        self.offsets[weights.clone()].iter().copied().min().unwrap_or(0)
    }
}

/// The products for the places of two axes, with so many channels of each weight's pixel in a frame, and a result of
/// that shape for each of a group of feature maps.
fn products(frame: Frame, axes: &[Axis; 2], channels: usize, result: [usize; 3]) -> Vec<Product> {
    let columns = axes[1].offsets.len();
    let product = |(down, across): (Range<usize>, Range<usize>)| {
        let mut product = Product { rows: Vec::new(), out_rows: Vec::new(), steps: Vec::new(), spans: Vec::new() };
        let first = [axes[0].first(&down), axes[1].first(&across)];
        let seen = !down.is_empty() && !across.is_empty();
        for y in axes[0].places.iter().filter(|place| place.weights == down) {
            for x in axes[1].places.iter().filter(|place| place.weights == across) {
                let pixel =
                    |axis: usize, place: &Place| (place.input + first[axis] + frame.before[axis] as isize) as usize;
                product.rows.push(if seen { frame.place(pixel(0, y), pixel(1, x)) as u32 } else { 0 });
                product.out_rows.push(((y.output * result[1] + x.output) * result[2]) as u32);
            }
        }
        for y in down {
            for x in across.clone() {
                let [y_offset, x_offset] = [axes[0].offsets[y] - first[0], axes[1].offsets[x] - first[1]];
                let step = frame.place(y_offset as usize, x_offset as usize);
                product.steps.extend((step..step + channels).map(|step| step as u32));
            }
            let span = (y * columns + across.start) * channels..(y * columns + across.end) * channels;
            match product.spans.last_mut().filter(|last| last.end == span.start) {
                Some(last) => last.end = span.end,
                None if span.is_empty() => {}
                None => product.spans.push(span),
            }
        }
        if product.spans.is_empty() {
            product.spans.push(NO_WEIGHTS);
        }
        product.rows = repeated(&product.rows, frame.group(), frame.size());
        product.out_rows = repeated(&product.out_rows, frame.group(), size(result));
        product
    };
    let kinds = axes.each_ref().map(Axis::kinds);
    let pairs =
        kinds[0].iter().flat_map(|down| kinds[1].iter().map(move |across| (down.0..down.1, across.0..across.1)));
    pairs.map(product).collect()
}

/// A [`Convolution`] with the offsets that its products need: made once for a layer, used in every step.
pub(crate) struct PreparedConvolution {
    pub convolution: Convolution,
    large: Frame,
    /// Of the framed large feature map: a window's values, and where the windows begin, for a whole group of feature
    /// maps.
    windows: Vec<u32>,
    places: Vec<u32>,
    /// The products that make each feature map, and the frame of the other that they take.
    to_small: (Frame, Vec<Product>),
    to_large: (Frame, Vec<Phase>),
    /// Of the small feature map: where the values of each place begin, for a whole group.
    small_places: Vec<u32>,
    /// Of the weights: where each row (one for each value of a window) begins.
    weight_rows: Vec<u32>,
    /// Whether [`to_large`](Self::to_large) is cheaper window by window than phase by phase.
    by_windows: bool,
    /// The way with fewer multiplications, if it is faster.
    winograd: Option<Winograd>,
}

/// The places of a large feature map that are as far from where windows begin, and so see the same weights but at the
/// border.
struct Phase {
    weights: Vec<u32>,
    products: Vec<Product>,
}

impl PreparedConvolution {
    pub fn new(convolution: Convolution) -> Self {
        Self::with(convolution, Winograd::best(&convolution))
    }

    pub(super) fn with(convolution: Convolution, winograd: Option<Winograd>) -> Self {
        let large = convolution.frame_of_large();
        let filters = convolution.small[2];
        let windows = convolution.windows(large);
        let places = repeated(&convolution.places(large), large.group(), large.size());
        let (small, phases) = convolution.phases();
        // Multiply-adds, in whole vectors; a tenth more for adding up the windows.
        let lanes = |columns: usize| columns.next_multiple_of(LANES);
        let rows = |phase: &Phase| phase.products.iter().map(|product| product.rows.len()).sum::<usize>();
        let by_phases: usize = phases.iter().map(|phase| rows(phase) / small.group() * phase.weights.len()).sum();
        let by_windows = convolution.small.iter().product::<usize>().saturating_mul(lanes(windows.len()));
        let fit = places.len().saturating_mul(windows.len()) <= WINDOWS;
        let cheaper =
            by_windows.saturating_add(by_windows / 10) < by_phases.saturating_mul(lanes(convolution.large[2]));
        let plain = convolution.dilation == [1, 1] && convolution.groups == 1;
        Self {
            by_windows: fit && cheaper && plain,
            winograd,
            convolution,
            large,
            to_small: convolution.products_to_small(),
            to_large: (small, phases),
            small_places: offsets(large.group() * convolution.small[0] * convolution.small[1], filters),
            weight_rows: offsets(windows.len(), filters),
            windows,
            places,
        }
    }

    /// The weights as [`to_small`](Self::to_small) takes them.
    pub fn weights_to_small(&self, weights: &[f32]) -> Vec<PackedRhs<'static>> {
        if let Some(winograd) = &self.winograd {
            return winograd.weights(weights, false);
        }
        let filters = self.convolution.small[2] / self.convolution.products();
        let pack = |group| PackedRhs::pack(&weights[group * filters..], &self.weight_rows, filters, 1);
        (0..self.convolution.products()).map(pack).collect()
    }

    /// The weights as [`to_large`](Self::to_large) takes them.
    pub fn weights_to_large(&self, weights: &[f32]) -> Vec<PackedRhs<'static>> {
        if let Some(winograd) = &self.winograd {
            return winograd.weights(weights, true);
        }
        let (channels, filters) = (self.convolution.large[2], self.convolution.small[2]);
        if self.by_windows {
            return vec![PackedRhs::pack(weights, &offsets(filters, 1), self.windows.len(), filters)];
        }
        if self.convolution.is_depthwise() {
            return self.to_large.1.iter().map(|phase| PackedRhs::pack(weights, &phase.weights, channels, 1)).collect();
        }
        let [channels, of_group] = [channels, filters].map(|all| all / self.convolution.groups);
        let pack =
            |phase: &Phase, group| PackedRhs::pack(&weights[group * of_group..], &phase.weights, channels, filters);
        let groups = 0..self.convolution.groups;
        self.to_large.1.iter().flat_map(|phase| groups.clone().map(move |group| pack(phase, group))).collect()
    }

    /// Some products for all of `maps` feature maps of a group of which the left matrix has `most`: of each group of
    /// channels, `from` of the left matrix and `to` of the output; or of all of them side by side, channel by channel.
    #[allow(clippy::too_many_arguments)]
    fn multiply(
        &self,
        products: &[Product],
        [maps, most]: [usize; 2],
        (values, from): (&[f32], usize),
        rhs: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        (out, to): (&mut [f32], usize),
    ) {
        for product in products {
            let count = product.rows.len() / most * maps;
            let (rows, out_rows) = (&product.rows[..count], &product.out_rows[..count]);
            let mut steps = &product.steps[..];
            for (index, span) in product.spans.iter().enumerate() {
                let (these, rest) = steps.split_at(span.len());
                steps = rest;
                let slope = if rest.is_empty() { slope } else { 1.0 };
                for (group, rhs) in rhs.iter().enumerate() {
                    let start = match bias {
                        _ if index > 0 => Accumulate::Output,
                        Some(bias) => Accumulate::Bias(&bias[group * to..][..rhs.columns()]),
                        None => Accumulate::Zero,
                    };
                    let lhs = GatherLhs { values: &values[group * from..], rows, steps: these };
                    let rhs = rhs.steps_from(span.start);
                    match self.convolution.is_depthwise() {
                        true => channelwise(lhs, rhs, start, slope, out, out_rows),
                        false => gemm(lhs, rhs, start, slope, &mut out[group * to..], out_rows),
                    }
                }
            }
        }
    }

    /// Large feature maps to small ones: `leaky(bias + windows · weights)`, with leaky(v) = slope · v where v < 0 (1
    /// leaves v as it is). Also returns what `finish` makes of each piece of them while it is still in a cache, in
    /// order.
    pub fn to_small<R: Send>(
        &self,
        large: &[f32],
        weights: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
    ) -> (Buffer, Vec<R>) {
        let [from, to] = [self.convolution.large, self.convolution.small].map(size);
        let mut small = Buffer::unset(large.len() / from * to);
        let finished = self.write_small(large, weights, bias, slope, finish, &mut small);
        (small, finished)
    }

    fn write_small<R: Send>(
        &self,
        large: &[f32],
        weights: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
        small: &mut [f32],
    ) -> Vec<R> {
        if let Some(winograd) = &self.winograd {
            return winograd.multiply(false, large, weights, bias, slope, finish, small);
        }
        let Convolution { large: large_shape, small: small_shape, .. } = self.convolution;
        let (channels, filters) = (self.convolution.channels_of_group(), self.convolution.filters_of_group());
        let (from, to) = (size(large_shape), size(small_shape));
        let batch = large.len() / from;
        let (frame, products) = &self.to_small;
        let group = frame.group().min(shard(batch, from) / from);
        let pieces = small.par_chunks_mut(group * to).zip(large.par_chunks(group * from)).on_threads();
        pieces.map(|(out, large)| {
            let (framed, maps) = (frame.put(large), [large.len() / from, frame.group()]);
            self.multiply(products, maps, (framed.values(), channels), weights, bias, slope, (out, filters));
            finish(out)
        })
    }

    /// Small feature maps to large ones, the adjoint of [`to_small`](Self::to_small).
    ///
    /// Each place of a large feature map belongs to one of stride × stride *phases*; within a phase all places see the
    /// same weights, so that each is a small convolution with a stride of 1.
    pub fn to_large<R: Send>(
        &self,
        small: &[f32],
        weights: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
    ) -> (Buffer, Vec<R>) {
        let [from, to] = [self.convolution.small, self.convolution.large].map(size);
        let mut large = Buffer::unset(small.len() / from * to);
        let finished = self.write_large(small, weights, bias, slope, finish, &mut large);
        (large, finished)
    }

    fn write_large<R: Send>(
        &self,
        small: &[f32],
        weights: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
        large: &mut [f32],
    ) -> Vec<R> {
        if let Some(winograd) = &self.winograd {
            return winograd.multiply(true, small, weights, bias, slope, finish, large);
        }
        if self.by_windows {
            return self.write_large_by_windows(small, &weights[0], bias, slope, finish, large);
        }
        let Convolution { large: large_shape, small: small_shape, .. } = self.convolution;
        let (channels, filters) = (self.convolution.channels_of_group(), self.convolution.filters_of_group());
        let (from, to) = (size(small_shape), size(large_shape));
        let batch = small.len() / from;
        let (frame, phases) = &self.to_large;
        let group = frame.group().min(shard(batch, from) / from);
        let pieces = large.par_chunks_mut(group * to).zip(small.par_chunks(group * from)).on_threads();
        pieces.map(|(out, small)| {
            let (framed, maps) = (frame.put(small), [small.len() / from, frame.group()]);
            let values = (framed.values(), filters);
            for (phase, panels) in phases.iter().zip(weights.chunks(self.convolution.products())) {
                self.multiply(&phase.products, maps, values, panels, bias, slope, (out, channels));
            }
            finish(out)
        })
    }

    /// [`to_large`](Self::to_large) in another way: each small place's share of its whole window in one product, then
    /// added to where the window lies. The phases leave no such sums to be added, but where windows reach over the edge
    /// they multiply zeros, and where the large feature map has few channels they fill few lanes of a vector.
    fn write_large_by_windows<R: Send>(
        &self,
        small: &[f32],
        weights: &PackedRhs<'_>,
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
        large: &mut [f32],
    ) -> Vec<R> {
        let Convolution { large: [height, width, channels], small: small_shape, before, .. } = self.convolution;
        let (frame, filters, window) = (self.large, small_shape[2], self.windows.len());
        let (from, to) = (size(small_shape), height * width * channels);
        let places = self.places_of_one();
        let group = ROWS.div_ceil(places).min(self.large.group());
        let (steps, out_rows) = (offsets(filters, 1), offsets(group * places, window));
        // The bias of a whole row: a loop over the few channels of each pixel would fill no vector.
        let bias = bias.unwrap_or(&vec![0.0; channels]).repeat(width);
        let zeros = vec![0.0; width * channels];

        let pieces = large.par_chunks_mut(group * to).zip(small.par_chunks(group * from)).on_threads();
        pieces.map(|(out, small)| {
            let count = small.len() / filters;
            let lhs = GatherLhs { values: small, rows: &self.small_places[..count], steps: &steps };
            let mut windows = Buffer::unset(count * window);
            gemm(lhs, weights.all(), Accumulate::Zero, 1.0, &mut windows, &out_rows[..count]);
            let mut framed = Buffer::unset(frame.size());
            for (out, windows) in out.chunks_exact_mut(to).zip(windows.chunks_exact(places * window)) {
                framed.fill(0.0);
                self.add_windows(windows, &mut framed);
                for (y, out) in (before[0]..).zip(out.chunks_exact_mut(width * channels)) {
                    // The windows may end before the feature map does.
                    let (start, end) = (frame.place(y, before[1]), frame.place(y, frame.width.min(before[1] + width)));
                    let seen = if y < frame.height && start < end { &framed[start..end] } else { &[] };
                    let (out, unseen) = out.split_at_mut(seen.len());
                    let (bias, bias_unseen) = bias.split_at(seen.len());
                    finish_row(seen, bias, slope, out);
                    finish_row(&zeros[..unseen.len()], bias_unseen, slope, unseen);
                }
            }
            finish(out)
        })
    }

    /// Adds the windows of all places of a feature map to where they lie in the framed large one.
    fn add_windows(&self, windows: &[f32], framed: &mut [f32]) {
        let Convolution { large, small: [rows, columns, _], kernel, stride, .. } = self.convolution;
        let (row, places) = (kernel[1] * large[2], &self.places[..rows * columns]);
        // First every second place of a row (if two windows overlap), then the others: what was just stored would be
        // slow to load again.
        let apart = kernel[1].div_ceil(stride[1]);
        for first in 0..apart.min(columns) {
            for (y, places) in places.chunks_exact(columns).enumerate() {
                let windows = &windows[(y * columns + first) * self.windows.len()..];
                let step = apart * self.windows.len();
                add_windows(windows, step, &places[first..], apart, row, self.large.place(1, 0), kernel[0], framed);
            }
        }
    }

    /// The gradient of the weights, from the large feature maps and the small ones (of which one is a gradient), added
    /// to `sum` as `start` says.
    ///
    /// Fixed shards of the batch are summed side by side and then added in order: the same bits for any number of
    /// threads.
    pub fn weight_gradient(&self, large: &[f32], small: &[f32], start: Accumulate<'_>, sum: &mut [f32]) {
        let (from, to) = (size(self.convolution.large), size(self.convolution.small));
        let weights = self.convolution.weights();
        let batch = large.len() / from;
        let shard = self.maps_of_shard(batch);
        let shards = large.par_chunks(shard * from).zip(small.par_chunks(shard * to));
        if batch <= shard {
            return self.add_weight_gradient(large, small, start, sum);
        }
        let mut sums = Buffer::unset(batch.div_ceil(shard) * weights);
        sums.par_chunks_mut(weights).zip(shards).on_threads().for_each(|(sum, (large, small))| {
            self.add_weight_gradient(large, small, Accumulate::Zero, sum);
        });
        add_parts(&sums.chunks_exact(weights).collect::<Vec<_>>(), start, sum);
    }

    /// Of how many feature maps a gradient of weights is summed by itself.
    fn maps_of_shard(&self, batch: usize) -> usize {
        let weights = self.convolution.weights();
        let worth = (SHARD / self.places_of_one().saturating_mul(weights)).max(1);
        batch.div_ceil((SUMS / weights).clamp(1, SHARDS)).max(worth)
    }

    /// The gradients of the weights and, given the weights as [`to_large`](Self::to_large) or
    /// [`to_small`](Self::to_small) takes them, of the input, which is the large or the small feature maps, when that
    /// of the output is written for some feature maps at a time: both take it while it is in a cache. Also returns what
    /// `write` does, in order.
    pub fn gradients<R: Send>(
        &self,
        input_is_large: bool,
        input: &[f32],
        weights: Option<&[PackedRhs<'_>]>,
        write: impl Fn(Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Buffer, Option<Buffer>, Vec<R>) {
        let mut sizes = [self.convolution.large, self.convolution.small].map(size);
        if !input_is_large {
            sizes.reverse();
        }
        let [from, to] = sizes;
        let batch = input.len() / from;
        let (shard, group) = (self.maps_of_shard(batch), self.maps_at_once(to));
        let length = self.convolution.weights();
        let mut sums = Buffer::unset(batch.div_ceil(shard) * length);
        let mut input_gradient = weights.map(|_| Buffer::unset(input.len()));
        let outputs: Vec<_> = match &mut input_gradient {
            Some(gradient) => gradient.chunks_mut(shard * from).map(Some).collect(),
            None => sums.chunks(length).map(|_| None).collect(),
        };
        let shards = outputs.into_par_iter().zip(sums.par_chunks_mut(length)).zip(input.par_chunks(shard * from));
        let written = for_shards(shards.enumerate(), |(number, ((mut output, sum), input))| {
            let mut planes = self.winograd.as_ref().map(|winograd| (winograd, winograd.unset_sums()));
            let mut written = Vec::new();
            for (index, input) in input.chunks(group * from).enumerate() {
                let (first, maps) = (index * group, input.len() / from);
                let mut gradient = Buffer::unset(maps * to);
                written.push(write(number * shard + first..number * shard + first + maps, &mut gradient));
                let (large, small) = if input_is_large { (input, &gradient[..]) } else { (&gradient[..], input) };
                let start = if index == 0 { Accumulate::Zero } else { Accumulate::Output };
                let output = output.as_mut().map(|output| &mut output[first * from..][..maps * from]);
                let wanted = weights.zip(output);
                if let Some((winograd, sums)) = &mut planes {
                    winograd.gradients([large, small], input_is_large, wanted, start, sums);
                    continue;
                }
                self.add_weight_gradient(large, small, start, sum);
                if let Some((weights, output)) = wanted {
                    match input_is_large {
                        true => self.write_large(&gradient, weights, None, 1.0, |_| (), output),
                        false => self.write_small(&gradient, weights, None, 1.0, |_| (), output),
                    };
                }
            }
            if let Some((winograd, sums)) = planes {
                winograd.add_sums(&sums, Accumulate::Zero, sum);
            }
            written
        });
        let mut sum = Buffer::unset(length);
        add_parts(&sums.chunks_exact(length).collect::<Vec<_>>(), Accumulate::Zero, &mut sum);
        (sum, input_gradient, written.into_iter().flatten().collect())
    }

    /// For how many feature maps a gradient of that many values each is written at once.
    fn maps_at_once(&self, size: usize) -> usize {
        if let Some(winograd) = &self.winograd {
            return winograd.maps_at_once();
        }
        let steps = STEPS.div_ceil(self.places_of_one()).min(self.large.group());
        (WRITTEN / (steps * size)).max(1) * steps
    }

    fn add_weight_gradient(&self, large: &[f32], small: &[f32], start: Accumulate<'_>, sum: &mut [f32]) {
        if let Some(winograd) = &self.winograd {
            let mut sums = winograd.unset_sums();
            winograd.gradients([large, small], true, None, Accumulate::Zero, &mut sums);
            return winograd.add_sums(&sums, start, sum);
        }
        let (from, to) = (size(self.convolution.large), size(self.convolution.small));
        let (channels, filters) = (self.convolution.channels_of_group(), self.convolution.small[2]);
        let (products, of_product) = (self.convolution.products(), filters / self.convolution.products());
        let group = STEPS.div_ceil(self.places_of_one()).min(self.large.group());
        for (number, (large, small)) in large.chunks(group * from).zip(small.chunks(group * to)).enumerate() {
            let count = large.len() / from * self.places_of_one();
            let framed = self.large.put(large);
            let panels = |product| PackedRhs::of_rows(&small[product * of_product..], count, of_product, filters);
            let panels: Vec<_> = (0..products).map(panels).collect();
            let start = if number == 0 { start } else { Accumulate::Output };
            for (product, panel) in panels.iter().enumerate() {
                let values = &framed.values()[product * channels..];
                let lhs = GatherLhs { values, rows: &self.windows, steps: &self.places[..count] };
                match self.convolution.is_depthwise() {
                    true => channelwise(lhs, panel.all(), start, 1.0, sum, &self.weight_rows),
                    false => {
                        gemm(lhs, panel.all(), start, 1.0, &mut sum[product * of_product..], &self.weight_rows);
                    }
                }
            }
        }
    }

    fn places_of_one(&self) -> usize {
        self.convolution.small[0] * self.convolution.small[1]
    }
}

/// A feature map within a border of zeros; or cropped, where no window reaches.
#[derive(Clone, Copy)]
struct Frame {
    map: [usize; 3],
    before: [usize; 2],
    height: usize,
    width: usize,
    /// How many feature maps a task may work on at once.
    most: usize,
}

/// Framed feature maps: copies, or the feature maps themselves where they need no frame.
enum Framed<'a> {
    Copied(Buffer),
    Borrowed(&'a [f32]),
}

impl Framed<'_> {
    fn values(&self) -> &[f32] {
        match self {
            Self::Copied(values) => values,
            Self::Borrowed(values) => values,
        }
    }
}

impl Frame {
    /// With tasks so small that 32 bits reach all of their results, feature maps of that shape.
    fn beside(self, results: [usize; 3]) -> Self {
        Self { most: (u32::MAX as usize / size(results)).max(1), ..self }
    }

    /// The feature map itself, for products that leave its border out.
    fn without_border(self) -> Self {
        let [height, width, _] = self.map;
        Self { before: [0, 0], height, width, ..self }
    }

    /// Without a border, the feature map needs no copy.
    fn or_map_itself(self) -> Self {
        let [height, width, _] = self.map;
        if self.before == [0, 0] && self.height <= height && self.width <= width {
            Self { height, width, ..self }
        } else {
            self
        }
    }

    fn is_map_itself(&self) -> bool {
        self.before == [0, 0] && [self.height, self.width] == self.map[..2]
    }

    fn size(&self) -> usize {
        self.height * self.width * self.map[2]
    }

    fn place(&self, y: usize, x: usize) -> usize {
        (y * self.width + x) * self.map[2]
    }

    /// How many feature maps a task works on at once, at most.
    fn group(&self) -> usize {
        (GROUP / self.size()).clamp(1, 16).min(self.most)
    }

    fn put<'a>(&self, maps: &'a [f32]) -> Framed<'a> {
        if self.is_map_itself() {
            return Framed::Borrowed(maps);
        }
        let [height, width, channels] = self.map;
        let mut framed = Buffer::unset(maps.len() / size(self.map) * self.size());
        for (framed, map) in framed.chunks_exact_mut(self.size()).zip(maps.chunks_exact(size(self.map))) {
            for (y, row) in framed.chunks_exact_mut(self.width * channels).enumerate() {
                let (left, rest) = row.split_at_mut(self.before[1].min(self.width) * channels);
                left.fill(0.0);
                match y.checked_sub(self.before[0]).filter(|y| *y < height) {
                    Some(y) => {
                        let (middle, right) = rest.split_at_mut(rest.len().min(width * channels));
                        middle.copy_from_slice(&map[y * width * channels..][..middle.len()]);
                        right.fill(0.0);
                    }
                    None => rest.fill(0.0),
                }
            }
        }
        Framed::Copied(framed)
    }
}

/// The offsets of one feature map for each of `count` feature maps that lie `stride` apart.
fn repeated(offsets: &[u32], count: usize, stride: usize) -> Vec<u32> {
    (0..count).flat_map(|map| offsets.iter().map(move |offset| offset + (map * stride) as u32)).collect()
}

vectorized! {
    /// Adds every `apart`-th window, each of some rows of `row` values, to a feature map whose rows are `stride` apart.
    fn add_windows(
        windows: &[f32],
        step: usize,
        places: &[u32],
        apart: usize,
        row: usize,
        stride: usize,
        rows: usize,
        map: &mut [f32],
    ) {
        for (place, window) in places.iter().step_by(apart).zip(windows.chunks(step)) {
            if row == 3 && rows == 3 {
                add_three(window, &mut map[*place as usize..], stride);
                continue;
            }
            for y in 0..rows {
                add(&window[y * row..][..row], &mut map[*place as usize + y * stride..][..row]);
            }
        }
    }

    /// Values of a feature map's row, where it was seen, with the bias of the row and rectified.
    fn finish_row(seen: &[f32], bias: &[f32], slope: f32, out: &mut [f32]) {
        for ((value, seen), bias) in out.iter_mut().zip(seen).zip(bias) {
            let sum = seen + bias;
            *value = if sum < 0.0 { slope * sum } else { sum };
        }
    }
}

/// Three rows of three values, as vectors of four: the sums began with 0, so that none is −0 and 0 changes none.
#[inline(always)]
fn add_three(window: &[f32], map: &mut [f32], stride: usize) {
    for y in 0..3 {
        let (values, sums) = (&window[3 * y..][..3], &mut map[y * stride..]);
        match sums.first_chunk_mut::<4>() {
            Some(sums) => {
                let values = [values[0], values[1], values[2], 0.0];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            None => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
        }
    }
}

/// Adds few values; as whole vectors of four as far as they go.
#[inline(always)]
fn add(values: &[f32], sums: &mut [f32]) {
    let ((fours, rest), (sum_fours, sum_rest)) = (values.as_chunks::<4>(), sums.as_chunks_mut::<4>());
    for (sums, values) in sum_fours.iter_mut().zip(fours) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sum_rest.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, so that sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 7) as f32 - 3.0).collect()
    }

    /// The large value and the weight of each product that goes into each small value.
    fn visit(convolution: &Convolution, mut each: impl FnMut(usize, usize, usize)) {
        let Convolution { large: [height, width, channels], small: [rows, columns, filters], .. } = *convolution;
        let [kernel_rows, kernel_columns] = convolution.kernel;
        for q in 0..rows * columns {
            for t in 0..kernel_rows * kernel_columns {
                let along = |axis: usize, q: usize, t: usize| {
                    let place = q * convolution.stride[axis] + t * convolution.dilation[axis];
                    place.checked_sub(convolution.before[axis])
                };
                let (y, x) = (along(0, q / columns, t / kernel_columns), along(1, q % columns, t % kernel_columns));
                let (Some(y), Some(x)) = (y.filter(|y| *y < height), x.filter(|x| *x < width)) else { continue };
                let (of_group, filters_of_group) = (channels / convolution.groups, filters / convolution.groups);
                for (c, o) in (0..of_group).flat_map(|c| (0..filters).map(move |o| (c, o))) {
                    let channel = o / filters_of_group * of_group + c;
                    each((y * width + x) * channels + channel, (t * of_group + c) * filters + o, q * filters + o);
                }
            }
        }
    }

    #[test]
    fn gradients_are_the_same_when_they_are_written_a_few_at_a_time() {
        // Several shards of several groups, by the definition and by planes.
        for (large, small, kernel, stride, before, batch) in [
            ([28, 28, 1], [28, 28, 32], [3, 3], [1, 1], [1, 1], 40),
            ([14, 14, 16], [14, 14, 16], [3, 3], [1, 1], [1, 1], 40),
            ([14, 14, 32], [7, 7, 32], [3, 3], [2, 2], [0, 0], 40),
        ] {
            if cfg!(miri) {
                break;
            }
            let plain =
                Convolution { dilation: [1, 1], groups: 1, up_sampled: false, large, small, kernel, stride, before };
            let (convolution, sizes) = (PreparedConvolution::new(plain), [large, small].map(size));
            let (large, small) = (numbers(batch * sizes[0], 1), numbers(batch * sizes[1], 2));
            let weights = numbers(plain.weights(), 3);
            let mut expected = vec![0.0; weights.len()];
            convolution.weight_gradient(&large, &small, Accumulate::Zero, &mut expected);
            for input_is_large in [true, false] {
                let (input, gradient, width, packed, other) = if input_is_large {
                    let packed = convolution.weights_to_large(&weights);
                    let other = convolution.to_large(&small, &packed, None, 1.0, |_| ()).0;
                    (&large, &small, sizes[1], packed, other)
                } else {
                    let packed = convolution.weights_to_small(&weights);
                    let other = convolution.to_small(&large, &packed, None, 1.0, |_| ()).0;
                    (&small, &large, sizes[0], packed, other)
                };
                for packed in [Some(&packed[..]), None] {
                    let write = |maps: Range<usize>, out: &mut [f32]| {
                        out.copy_from_slice(&gradient[maps.start * width..maps.end * width]);
                        maps
                    };
                    let (sum, of_input, written) = convolution.gradients(input_is_large, input, packed, write);
                    assert_eq!(sum[..], expected);
                    assert!(of_input.as_deref() == packed.map(|_| &other[..]));
                    assert!(written.len() > 1 && written.into_iter().flatten().eq(0..batch));
                }
            }
        }
    }

    #[test]
    fn all_three_are_the_plain_sums() {
        let cases = [
            ([3, 4, 2], [3, 4, 3], [3, 3], [1, 1], [1, 1], [1, 1], 1),
            ([5, 5, 1], [3, 2, 9], [3, 2], [2, 3], [1, 0], [1, 1], 1),
            ([6, 5, 1], [3, 3, 12], [3, 3], [2, 2], [1, 1], [1, 1], 1),
            ([7, 4, 2], [2, 2, 2], [2, 1], [3, 2], [0, 0], [1, 1], 1),
            ([7, 6, 2], [5, 4, 3], [3, 3], [1, 1], [1, 1], [2, 2], 1),
            ([9, 8, 2], [4, 3, 2], [2, 3], [2, 3], [0, 2], [3, 2], 1),
            ([5, 4, 16], [5, 4, 18], [3, 3], [1, 1], [1, 1], [1, 1], 1),
            ([5, 6, 17], [3, 3, 16], [3, 3], [2, 2], [1, 1], [1, 1], 1),
            ([2, 3, 16], [2, 3, 16], [5, 5], [1, 1], [2, 2], [1, 1], 1),
            ([2, 1, 16], [6, 5, 16], [1, 1], [1, 1], [2, 2], [1, 1], 1),
            ([5, 5, 4], [5, 5, 6], [3, 3], [1, 1], [1, 1], [1, 1], 2),
            ([5, 6, 29], [3, 3, 29], [3, 3], [2, 2], [1, 1], [1, 1], 29),
            ([7, 7, 4], [3, 3, 4], [2, 2], [2, 2], [1, 1], [3, 3], 4),
            ([4, 3, 20], [2, 2, 20], [1, 1], [2, 2], [0, 0], [1, 1], 20),
        ];
        for (large, small, kernel, stride, before, dilation, groups) in cases {
            let rows = 3;
            let convolution = Convolution { large, small, kernel, stride, before, dilation, groups, up_sampled: false };
            // Miri takes minutes for each of the large ones.
            if cfg!(miri) && convolution.multiply_adds() > 5_000 {
                continue;
            }
            let (from, to) = (size(convolution.large), size(convolution.small));
            let weights = numbers(convolution.weights(), 1);
            let (large, small) = (numbers(rows * from, 2), numbers(rows * to, 3));
            let [mut expected_small, mut expected_large] = [vec![0.0; rows * to], vec![0.0; rows * from]];
            let mut expected_gradient = vec![0.0; weights.len()];
            let mut products = 0;
            for row in 0..rows {
                visit(&convolution, |l, w, s| {
                    products += 1;
                    expected_small[row * to + s] += large[row * from + l] * weights[w];
                    expected_large[row * from + l] += small[row * to + s] * weights[w];
                    expected_gradient[w] += large[row * from + l] * small[row * to + s];
                });
            }
            let prepared = PreparedConvolution::new(convolution);
            let weights = [prepared.weights_to_small(&weights), prepared.weights_to_large(&weights)];
            assert_eq!(prepared.to_small(&large, &weights[0], None, 1.0, |_| ()).0[..], expected_small);
            assert_eq!(prepared.to_large(&small, &weights[1], None, 1.0, |_| ()).0[..], expected_large);
            let mut gradient = vec![f32::NAN; expected_gradient.len()];
            prepared.weight_gradient(&large, &small, Accumulate::Zero, &mut gradient);
            assert_eq!(gradient, expected_gradient);
            assert_eq!(rows * convolution.multiply_adds(), products);
        }
    }
}
