//! Convolutions by fewer multiplications than their definition has (Winograd 1980, "Arithmetic complexity of
//! computations"; Lavin and Gray 2016, "Fast algorithms for convolutional neural networks").
//!
//! Along an axis, a tile of the large feature map's pixels, one of the small map's and the kernel are each turned into
//! a few *planes* by sums and differences. Plane by plane, the small ones are then the products of the large ones and
//! the weights, and so are the other two of each two of the three: what the forward pass and both gradients need is the
//! same products, between these transforms and their transposes. Over all tiles each is a product of matrices: of the
//! planes (tiles, channels) and the weights (channels, filters).
//!
//! - A kernel of 3×3 with a stride of 1: *F(2×2, 3×3)* takes 16 products for 2×2 results where the definition takes
//!   36, and *F(4×4, 3×3)* 36 for 4×4 where it takes 144.
//! - A kernel of 3×3 on an up-sampled feature map, of which 2×2 or 3×3 pixels are equal: a window sees a pixel and the
//!   next. With s the sum of all weights and w of those on the next pixel, it is s·x + w·(next − x); s·x is the same
//!   for all windows that begin in a pixel. 9 products for 3×3 results, where without the repeated pixels there are 25;
//!   and for 2×2 results, where there are 16.
//!
//! The transforms of F(2×2, 3×3) and of up-sampled feature maps are sums of a few values with factors of 1 and ½, so
//! that rounding grows little: all results are within 1e-6 of the definition's, relative to the largest. Those of
//! F(4×4, 3×3) evaluate polynomials at 0, ±¾, ±1½ and ∞, which rounds up to four times as much, and less than half as
//! much as at the usual 0, ±1, ±2 and ∞: within 6e-6. All pay only where there are enough channels on both sides (see
//! [`Winograd::best`]).

use std::{
    mem::MaybeUninit,
    ops::{Add, Mul, Neg, Range, Sub},
};

use rayon::prelude::*;

use super::{
    buffer::Buffer,
    columns::shard,
    convolution::{Convolution, size},
    gemm::{GatherLhs, PackedRhs, gemm, offsets},
    memory::prefetch,
    parallel::OnThreads,
    tile::Accumulate,
    vector::{Portable, Vector, vectorized, with_vectors},
};

/// Values of planes that a task holds at once, so that they stay in the second-level cache.
const PLANES: usize = 256 * 1024;

/// Tiles that a product takes at once at least, as long as there are: each loads all weights again, and in a gradient
/// of weights all sums.
const TILES: usize = 64;

/// Values of planes of a row of tiles, and of all weights, above which the definition is as fast.
const WIDE: usize = 1 << 22;
const DEEP: usize = 1 << 20;

/// The multiply-adds that a value of the planes costs beside its products, measured: its part in the transforms, and
/// loading and storing it.
const VALUE: usize = 20;

/// Fewer channels fill no vector.
const CHANNELS: usize = 16;

/// A convolution as products of planes.
pub(super) struct Winograd {
    large: Side,
    small: Side,
    kernel: Side,
    /// How many tiles each feature map has along each axis.
    tiles: [usize; 2],
    /// Along each axis, for each product, the tiles in which it sees both feature maps and not their borders alone.
    seen: [Vec<Vec<bool>>; 2],
}

/// One of the three that are turned into planes: a feature map in tiles, or the kernel.
struct Side {
    transform: Transform,
    map: [usize; 3],
    /// Where the first tile begins along each axis, and how far apart tiles are.
    first: [isize; 2],
    step: usize,
}

/// What is done along an axis to a tile of pixels, and to its planes to get (a gradient of) the pixels.
#[derive(Clone, Copy)]
enum Transform {
    /// Of F(2, 3): four pixels that two windows see, the two results, and the kernel.
    Windows,
    Results,
    Kernel,
    /// Of F(4, 3), the same of six pixels and four results.
    WindowsOfFour,
    FourResults,
    KernelOfFour,
    /// Of an up-sampled feature map: a pixel and the next; the two or three results, and the kernel of its
    /// [merged](Convolution::up_sampled) form.
    Pixels,
    Twice,
    KernelOfTwice,
    Thrice,
    KernelOfThrice,
}

/// Calls a function with the [`Tile`] of a transform.
macro_rules! with_tile {
    ($transform:expr, $function:ident::<$vector:ident>($($argument:expr),*)) => {
        match $transform {
            Transform::Windows => $function::<$vector, Windows, 4, 4>($($argument),*),
            Transform::Results => $function::<$vector, Results, 4, 2>($($argument),*),
            Transform::Kernel => $function::<$vector, Kernel, 4, 3>($($argument),*),
            Transform::WindowsOfFour => $function::<$vector, WindowsOfFour, 6, 6>($($argument),*),
            Transform::FourResults => $function::<$vector, FourResults, 6, 4>($($argument),*),
            Transform::KernelOfFour => $function::<$vector, KernelOfFour, 6, 3>($($argument),*),
            Transform::Pixels => $function::<$vector, Pixels, 2, 2>($($argument),*),
            Transform::Twice => $function::<$vector, Twice, 3, 2>($($argument),*),
            Transform::KernelOfTwice => $function::<$vector, KernelOfTwice, 3, 4>($($argument),*),
            Transform::Thrice => $function::<$vector, Thrice, 3, 3>($($argument),*),
            Transform::KernelOfThrice => $function::<$vector, KernelOfThrice, 3, 5>($($argument),*),
        }
    };
}

impl Transform {
    /// Of each plane, whether it touches each of the pixels.
    fn touched(self) -> Vec<Vec<bool>> {
        fn touched<V: Vector, T: Tile<P, N>, const P: usize, const N: usize>() -> Vec<Vec<bool>> {
            let touches = |pixel: &Lanes<V>| {
                let mut values = [0.0; LANES];
                // SAFETY: of a vector that needs no instructions, with room for all of its values.
                unsafe { pixel.0.store(values.as_mut_ptr()) };
                values[0] != 0.0
            };
            // SAFETY: likewise.
            let unit = |plane| std::array::from_fn(|other| Lanes(unsafe { V::splat(f32::from(plane == other)) }));
            (0..P).map(|plane| T::pixels(unit(plane)).iter().map(touches).collect()).collect()
        }
        with_tile!(self, touched::<Portable>())
    }
}

impl Winograd {
    /// The fastest such algorithm for a convolution, if it is faster than the definition.
    pub fn best(convolution: &Convolution) -> Option<Self> {
        let costs = Self::all(convolution).into_iter().filter_map(|one| one.cost().map(|cost| (cost, one)));
        let (cost, best) = costs.min_by_key(|(cost, _)| *cost)?;
        (cost < convolution.multiply_adds()).then_some(best)
    }

    /// The algorithms that there are for a convolution.
    fn all(convolution: &Convolution) -> Vec<Self> {
        [2, 4].iter().filter_map(|results| Self::new(convolution, *results)).collect()
    }

    /// The algorithm of so many results a tile, along an axis; of an up-sampled feature map there is only one, which is
    /// given for 2.
    fn new(convolution: &Convolution, results: usize) -> Option<Self> {
        let Convolution { large, small, kernel, stride: [stride, across], before, dilation, groups, .. } = *convolution;
        if stride != across || dilation != [1, 1] || groups != 1 {
            return None;
        }
        let side = |transform, map, first: [isize; 2], step| Side { transform, map, first, step };
        let weights = [kernel[0], kernel[1], large[2] * small[2]];
        let (large, small, transform, tiles) = match (convolution.up_sampled, stride, kernel) {
            (false, 1, [3, 3]) => {
                let [windows, result, kernel] = match results {
                    2 => [Transform::Windows, Transform::Results, Transform::Kernel],
                    _ => [Transform::WindowsOfFour, Transform::FourResults, Transform::KernelOfFour],
                };
                let large = side(windows, large, before.map(|before| -(before as isize)), results);
                let tiles = [0, 1].map(|axis| small[axis].div_ceil(results));
                (large, side(result, small, [0, 0], results), kernel, tiles)
            }
            (true, 2, [4, 4]) | (true, 3, [5, 5]) if results == 2 => {
                // The windows that begin in pixel q give the results from stride · q + 2 − before on.
                let factor = stride as isize;
                let shift = before.map(|before| 2 - before as isize);
                let first = shift.map(|shift| (-shift).div_euclid(factor));
                let last = [0, 1].map(|axis| (large[axis] as isize - 1 - shift[axis]).div_euclid(factor));
                let tiles = [0, 1].map(|axis| (last[axis] - first[axis] + 1) as usize);
                let begin = [0, 1].map(|axis| factor * first[axis] + shift[axis]);
                let (results, weights) = match stride {
                    2 => (Transform::Twice, Transform::KernelOfTwice),
                    _ => (Transform::Thrice, Transform::KernelOfThrice),
                };
                (side(results, large, begin, stride), side(Transform::Pixels, small, first, 1), weights, tiles)
            }
            _ => return None,
        };
        let kernel = side(transform, weights, [0, 0], 1);
        let along = |axis: usize| {
            let sees = |side: &Side, plane: usize, tile: usize| {
                let touched = &side.transform.touched()[plane.min(side.planes() - 1)];
                (0..touched.len()).any(|pixel| touched[pixel] && side.along(axis, tile, pixel).is_some())
            };
            let seen = |product, tile| sees(&large, product, tile) && sees(&small, product, tile);
            (0..kernel.planes()).map(|product| (0..tiles[axis]).map(|tile| seen(product, tile)).collect()).collect()
        };
        let seen = [along(0), along(1)];
        Some(Self { large, small, kernel, tiles, seen })
    }

    /// What it costs, in multiply-adds of the definition: it has fewer, but also the transforms, and its sums are
    /// loaded and stored after as many steps as there are channels. None where it is known to be slower.
    fn cost(&self) -> Option<usize> {
        let [channels, filters] = [self.large.map[2], self.small.map[2]];
        let values = |side: &Side| side.planes().pow(2) * side.map[2];
        let [large, small, kernel] = [&self.large, &self.small, &self.kernel].map(values);
        if channels.min(filters) < CHANNELS || self.tiles[1].saturating_mul(large + small) > WIDE || kernel > DEEP {
            return None;
        }
        let seen = [0, 1].map(|axis| self.seen[axis].iter().flatten().filter(|seen| **seen).count());
        let products = seen[0] * seen[1] * channels * filters;
        let values = self.tiles[0] * self.tiles[1] * (large + small);
        Some(products + values * VALUE)
    }

    /// The weights as [`multiply`](Self::multiply) takes them: the planes' matrices, from the channels of the small
    /// feature map to those of the large one, or the other way round.
    pub fn weights(&self, weights: &[f32], to_large: bool) -> Vec<PackedRhs<'static>> {
        let (channels, filters) = (self.large.map[2], self.small.map[2]);
        let mut planes = Buffer::unset(self.kernel.stride(1) * self.products());
        gather(&self.kernel, [1, 1], 0..1, weights, &mut planes);
        let pack = |values: &[f32]| match to_large {
            true => PackedRhs::pack(values, &offsets(filters, 1), channels, filters),
            false => PackedRhs::pack(values, &offsets(channels, filters), filters, 1),
        };
        planes.chunks(self.kernel.stride(1)).map(pack).collect()
    }

    /// Large feature maps to small ones, or the other way round: see [`PreparedConvolution`].
    ///
    /// [`PreparedConvolution`]: super::convolution::PreparedConvolution
    #[allow(clippy::too_many_arguments)]
    pub fn multiply<R: Send>(
        &self,
        to_large: bool,
        values: &[f32],
        weights: &[PackedRhs<'_>],
        bias: Option<&[f32]>,
        slope: f32,
        finish: impl Fn(&[f32]) -> R + Sync,
        out: &mut [f32],
    ) -> Vec<R> {
        let (from, to) = if to_large { (&self.small, &self.large) } else { (&self.large, &self.small) };
        let (from_size, to_size, channels) = (size(from.map), size(to.map), to.map[2]);
        let batch = values.len() / from_size;
        let group = self.maps_at_once().min(shard(batch, from_size) / from_size);
        let bias = bias.map_or_else(|| vec![0.0; channels], <[f32]>::to_vec);
        let pieces = out.par_chunks_mut(group * to_size).zip(values.par_chunks(group * from_size)).on_threads();
        pieces.map(|(out, values)| {
            if to.adds() {
                out.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(&bias));
            }
            for rows in self.blocks(out.len() / to_size) {
                let planes = self.planes(from, &rows, values);
                self.write_products(to_large, rows, &planes, weights, &bias, slope, out);
            }
            if to.adds() && slope != 1.0 {
                rectify(out, slope);
            }
            finish(out)
        })
    }

    /// The products of a block of tiles' planes and the weights, taken back to pixels.
    #[allow(clippy::too_many_arguments)]
    fn write_products(
        &self,
        to_large: bool,
        rows: Range<usize>,
        planes: &[f32],
        weights: &[PackedRhs<'_>],
        bias: &[f32],
        slope: f32,
        out: &mut [f32],
    ) {
        let (from, to) = if to_large { (&self.small, &self.large) } else { (&self.large, &self.small) };
        let tiles = rows.len() * self.tiles[1];
        let steps = offsets(from.map[2], 1);
        let products: Vec<_> =
            (0..self.products()).map(|product| (from.plane(product, self), to.plane(product, self))).collect();
        let mut to_planes = Buffer::unset(to.stride(tiles) * to.planes().pow(2));
        for (product, ((from_plane, to_plane), weights)) in products.iter().zip(weights).enumerate() {
            let seen = self.tiles_seen(product, &rows);
            let (from_rows, to_rows) = (from.places(&seen), to.places(&seen));
            let lhs = GatherLhs { values: &planes[from_plane * from.stride(tiles)..], rows: &from_rows, steps: &steps };
            let first = products[..product].iter().all(|(_, other)| other != to_plane);
            let start = if first { Accumulate::Zero } else { Accumulate::Output };
            let to_plane = &mut to_planes[to_plane * to.stride(tiles)..];
            if first && seen.len() < tiles {
                // Tiles that a product does not see it leaves out.
                let ends = to_rows.iter().map(|row| *row as usize).chain([tiles * to.width()]);
                let begins = [0].into_iter().chain(to_rows.iter().map(|row| *row as usize + to.width()));
                begins.zip(ends).for_each(|(begin, end)| to_plane[begin..end].fill(0.0));
            }
            gemm(lhs, weights.all(), start, 1.0, to_plane, &to_rows);
        }
        scatter(to, self.tiles, rows, &to_planes, bias, slope, out);
    }

    /// Both gradients of some feature maps, on the calling thread: that of the weights as planes, added to `sums` as
    /// `start` says; given the weights, that of the large or the small feature maps, to the output beside them.
    pub fn gradients(
        &self,
        [large, small]: [&[f32]; 2],
        to_large: bool,
        mut wanted: Option<(&[PackedRhs<'_>], &mut [f32])>,
        start: Accumulate<'_>,
        sums: &mut [f32],
    ) {
        let to = if to_large { &self.large } else { &self.small };
        if let Some((_, out)) = wanted.as_mut().filter(|_| to.adds()) {
            out.fill(0.0);
        }
        let bias = vec![0.0; to.map[2]];
        for (number, rows) in self.blocks(large.len() / size(self.large.map)).into_iter().enumerate() {
            let planes =
                [(&self.large, large), (&self.small, small)].map(|(side, maps)| self.planes(side, &rows, maps));
            let start = if number == 0 { start } else { Accumulate::Output };
            self.add_products(&rows, &planes, start, sums);
            if let Some((weights, out)) = &mut wanted {
                self.write_products(to_large, rows, &planes[usize::from(to_large)], weights, &bias, 1.0, out);
            }
        }
    }

    /// The gradient of the weights as planes from those of a block of tiles of both feature maps.
    fn add_products(&self, rows: &Range<usize>, [large, small]: &[Buffer; 2], start: Accumulate<'_>, sums: &mut [f32]) {
        let (channels, filters) = (self.large.map[2], self.small.map[2]);
        let tiles = rows.len() * self.tiles[1];
        let (lhs_rows, out_rows) = (offsets(channels, 1), offsets(channels, filters));
        for (product, sums) in sums.chunks_mut(self.kernel.stride(1)).enumerate() {
            let seen = self.tiles_seen(product, rows);
            let steps = self.large.places(&seen);
            let plane = |side: &Side| side.plane(product, self) * side.stride(tiles);
            let panel = PackedRhs::pack(&small[plane(&self.small)..], &self.small.places(&seen), filters, 1);
            let lhs = GatherLhs { values: &large[plane(&self.large)..], rows: &lhs_rows, steps: &steps };
            gemm(lhs, panel.all(), start, 1.0, sums, &out_rows);
        }
    }

    /// For the planes of a gradient of the weights.
    pub fn unset_sums(&self) -> Buffer {
        Buffer::unset(self.kernel.stride(1) * self.products())
    }

    /// The gradient of the weights from its planes, added to `sum` as `start` says.
    pub fn add_sums(&self, sums: &[f32], start: Accumulate<'_>, sum: &mut [f32]) {
        if matches!(start, Accumulate::Zero) {
            sum.fill(0.0);
        }
        scatter(&self.kernel, [1, 1], 0..1, sums, &[], 1.0, sum);
    }

    /// How many feature maps a task takes at once.
    pub fn maps_at_once(&self) -> usize {
        (self.tiles_at_once() / (self.tiles[0] * self.tiles[1])).clamp(1, 16)
    }

    /// The planes of a block of tiles.
    fn planes(&self, side: &Side, rows: &Range<usize>, maps: &[f32]) -> Buffer {
        let mut planes = Buffer::unset(side.stride(rows.len() * self.tiles[1]) * side.planes().pow(2));
        gather(side, self.tiles, rows.clone(), maps, &mut planes);
        planes
    }

    fn products(&self) -> usize {
        self.kernel.planes().pow(2)
    }

    fn tiles_at_once(&self) -> usize {
        let of_tile = |side: &Side| side.planes().pow(2) * side.width();
        (PLANES / (of_tile(&self.large) + of_tile(&self.small))).max(TILES)
    }

    /// All rows of tiles of so many feature maps, some at a time.
    fn blocks(&self, maps: usize) -> Vec<Range<usize>> {
        let rows = maps * self.tiles[0];
        let blocks = (rows * self.tiles[1]).div_ceil(self.tiles_at_once()).min(rows);
        (0..blocks).map(|block| block * rows / blocks..(block + 1) * rows / blocks).collect()
    }

    /// The tiles of a block that a product sees.
    fn tiles_seen(&self, product: usize, block: &Range<usize>) -> Vec<u32> {
        let [rows, columns] = self.tiles;
        let (down, across) = (product / self.kernel.planes(), product % self.kernel.planes());
        let seen = [&self.seen[0][down], &self.seen[1][across]];
        if seen.iter().all(|along| along.iter().all(|seen| *seen)) {
            return (0..(block.len() * columns) as u32).collect();
        }
        let mut tiles = Vec::with_capacity(block.len() * columns);
        for (row, begin) in block.clone().zip((0..).step_by(columns)) {
            if seen[0][row % rows] {
                tiles.extend((0..columns).filter(|column| seen[1][*column]).map(|column| (begin + column) as u32));
            }
        }
        tiles
    }
}

impl Side {
    /// How many planes there are along each axis.
    fn planes(&self) -> usize {
        match self.transform {
            Transform::Windows | Transform::Results | Transform::Kernel => 4,
            Transform::WindowsOfFour | Transform::FourResults | Transform::KernelOfFour => 6,
            Transform::Pixels => 2,
            _ => 3,
        }
    }

    /// The plane that a product takes: several share that of the differences between [pixels](Transform::Pixels).
    fn plane(&self, product: usize, of: &Winograd) -> usize {
        let products = of.kernel.planes();
        let [down, across] = [product / products, product % products].map(|plane| plane.min(self.planes() - 1));
        down * self.planes() + across
    }

    /// Whether a tile's planes are added to what its pixels are: tiles overlap, or gradients are summed.
    fn adds(&self) -> bool {
        use Transform::{FourResults, Results, Thrice, Twice};
        !matches!(self.transform, Results | FourResults | Twice | Thrice)
    }

    /// How far apart the tiles of a plane are: whole vectors.
    fn width(&self) -> usize {
        self.map[2].next_multiple_of(LANES)
    }

    /// How far apart planes of so many tiles are: not a power of two, where they would evict each other from the cache.
    fn stride(&self, tiles: usize) -> usize {
        tiles * self.width() + LANES
    }

    /// Where tiles begin in a plane.
    fn places(&self, tiles: &[u32]) -> Vec<u32> {
        tiles.iter().map(|tile| tile * self.width() as u32).collect()
    }

    /// Where a tile's pixel lies along an axis, unless in the border.
    fn along(&self, axis: usize, tile: usize, pixel: usize) -> Option<usize> {
        let place = self.first[axis] + (tile * self.step + pixel) as isize;
        usize::try_from(place).ok().filter(|place| *place < self.map[axis])
    }

    /// Along an axis, how far a tile's pixels lie from the beginning of a feature map, with pixels so far apart:
    /// [`OUTSIDE`] in the border.
    fn offsets<const N: usize>(&self, axis: usize, tile: usize, apart: usize) -> [usize; N] {
        std::array::from_fn(|pixel| self.along(axis, tile, pixel).map_or(OUTSIDE, |place| place * apart))
    }
}

/// In place of an offset.
const OUTSIDE: usize = usize::MAX;

/// Values of neighbouring channels: a vector. Made only where the processor has its instructions.
#[derive(Clone, Copy)]
struct Lanes<V>(V);

/// Channels of planes are filled up to a multiple of this: the most that a vector holds.
const LANES: usize = 16;

impl<V: Vector> Add for Lanes<V> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: there are such values only where the processor has the instructions.
        Self(unsafe { self.0.add(other.0) })
    }
}

impl<V: Vector> Sub for Lanes<V> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: there are such values only where the processor has the instructions.
        Self(unsafe { self.0.sub(other.0) })
    }
}

impl<V: Vector> Mul<f32> for Lanes<V> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, factor: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { self.0.mul_add(V::splat(factor), V::splat(0.0)) })
    }
}

impl<V: Vector> Lanes<V> {
    /// self + factor · other.
    #[inline(always)]
    fn plus(self, factor: f32, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { other.0.mul_add(V::splat(factor), self.0) })
    }
}

impl<V: Vector> Neg for Lanes<V> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        self * -1.0
    }
}

/// Along an axis, N pixels of a tile to P planes, and the transpose.
trait Tile<const P: usize, const N: usize> {
    fn planes<V: Vector>(pixels: [Lanes<V>; N]) -> [Lanes<V>; P];
    fn pixels<V: Vector>(planes: [Lanes<V>; P]) -> [Lanes<V>; N];
}

/// Where F(4, 3) evaluates polynomials, beside 0 and ∞: at these and their negatives. All powers are exact.
const INNER: f32 = 0.75;
const OUTER: f32 = 1.5;
const INNER2: f32 = INNER * INNER;
const OUTER2: f32 = OUTER * OUTER;
/// Of the product of all their differences from x, the coefficients of x³ and x.
const CUBIC: f32 = -(INNER2 + OUTER2);
const LINEAR: f32 = INNER2 * OUTER2;
/// The factors by which polynomials that are 0 at all of the places but one become 1 there.
const AT_ZERO: f32 = 1.0 / LINEAR;
const AT_INNER: f32 = 0.5 / (INNER2 * (INNER2 - OUTER2));
const AT_OUTER: f32 = 0.5 / (OUTER2 * (OUTER2 - INNER2));

/// a + factor · b and a − factor · b.
#[inline(always)]
fn both<V: Vector>(a: Lanes<V>, factor: f32, b: Lanes<V>) -> [Lanes<V>; 2] {
    [a.plus(factor, b), a.plus(-factor, b)]
}

/// a + b and a − b.
#[inline(always)]
fn sums<V: Vector>(a: Lanes<V>, b: Lanes<V>) -> [Lanes<V>; 2] {
    [a + b, a - b]
}

macro_rules! tiles {
    ($($name:ident($planes:literal, $pixels:literal):
        |$pixel:pat_param| $to_planes:expr, |$plane:pat_param| $to_pixels:expr;)+) => {$(
        struct $name;

        impl Tile<$planes, $pixels> for $name {
            #[inline(always)]
            fn planes<V: Vector>($pixel: [Lanes<V>; $pixels]) -> [Lanes<V>; $planes] {
                $to_planes
            }

            #[inline(always)]
            fn pixels<V: Vector>($plane: [Lanes<V>; $planes]) -> [Lanes<V>; $pixels] {
                $to_pixels
            }
        }
    )+};
}

tiles! {
    Windows(4, 4): |[a, b, c, d]| [a - c, b + c, c - b, b - d], |[a, b, c, d]| [a, b - c + d, b + c - a, -d];
    Results(4, 2): |[a, b]| [a, a + b, a - b, -b], |[a, b, c, d]| [a + b + c, b - c - d];
    Kernel(4, 3): |[a, b, c]| [a, (a + c + b) * 0.5, (a + c - b) * 0.5, c],
        |[a, b, c, d]| [a + (b + c) * 0.5, (b - c) * 0.5, (b + c) * 0.5 + d];
    WindowsOfFour(6, 6): |[a, b, c, d, e, f]| {
            let [inner, minus_inner] = both(e.plus(-OUTER2, c), INNER, d.plus(-OUTER2, b));
            let [outer, minus_outer] = both(e.plus(-INNER2, c), OUTER, d.plus(-INNER2, b));
            let [zero, infinity] = [e.plus(CUBIC, c).plus(LINEAR, a), f.plus(CUBIC, d).plus(LINEAR, b)];
            [zero, inner, minus_inner, outer, minus_outer, infinity]
        },
        |[zero, inner, minus_inner, outer, minus_outer, infinity]| {
            let ([even, odd], [even2, odd2]) = (sums(inner, minus_inner), sums(outer, minus_outer));
            let b = (infinity * LINEAR).plus(-INNER * OUTER2, odd).plus(-OUTER * INNER2, odd2);
            let c = (zero * CUBIC).plus(-OUTER2, even).plus(-INNER2, even2);
            let d = (infinity * CUBIC).plus(INNER, odd).plus(OUTER, odd2);
            [zero * LINEAR, b, c, d, zero + even + even2, infinity]
        };
    FourResults(6, 4): |[a, b, c, d]| {
            let [inner, minus_inner] = both(a.plus(INNER2, c), INNER, b.plus(INNER2, d));
            let [outer, minus_outer] = both(a.plus(OUTER2, c), OUTER, b.plus(OUTER2, d));
            [a, inner, minus_inner, outer, minus_outer, d]
        },
        |[zero, inner, minus_inner, outer, minus_outer, infinity]| {
            let ([even, odd], [even2, odd2]) = (sums(inner, minus_inner), sums(outer, minus_outer));
            let last = infinity.plus(INNER2 * INNER, odd).plus(OUTER2 * OUTER, odd2);
            [zero + even + even2, (odd * INNER).plus(OUTER, odd2), (even * INNER2).plus(OUTER2, even2), last]
        };
    KernelOfFour(6, 3): |[a, b, c]| {
            let [inner, minus_inner] = both(a.plus(INNER2, c) * AT_INNER, INNER * AT_INNER, b);
            let [outer, minus_outer] = both(a.plus(OUTER2, c) * AT_OUTER, OUTER * AT_OUTER, b);
            [a * AT_ZERO, inner, minus_inner, outer, minus_outer, c]
        },
        |[zero, inner, minus_inner, outer, minus_outer, infinity]| {
            let [even, odd] = sums(inner * AT_INNER, minus_inner * AT_INNER);
            let [even2, odd2] = sums(outer * AT_OUTER, minus_outer * AT_OUTER);
            [(zero * AT_ZERO) + even + even2, (odd * INNER).plus(OUTER, odd2),
                infinity.plus(INNER2, even).plus(OUTER2, even2)]
        };
    Pixels(2, 2): |[a, b]| [a, b - a], |[a, b]| [a - b, b];
    // Of a kernel a, b, c the merged one is (c, b + c, a + b, a), so that the first three tell all.
    Twice(3, 2): |[a, b]| [a + b, a, b], |[a, b, c]| [a + b, a + c];
    KernelOfTwice(3, 4): |[a, b, c, _]| [a + c, a, b], |[a, b, c]| [a + b, c, a, a * 0.0];
    // Likewise (c, b + c, a + b + c, a + b, a).
    Thrice(3, 3): |[a, b, c]| [a + b + c, b, c], |[a, b, c]| [a, a + b, a + c];
    KernelOfThrice(3, 5): |[a, b, c, _, _]| [c, a, b], |[a, b, c]| [b, c, a, a * 0.0, a * 0.0];
}

with_vectors! {
    /// The planes of some rows of tiles, which are counted from those of one feature map to those of the next.
    fn gather(side: &Side, tiles: [usize; 2], rows: Range<usize>, maps: &[f32], planes: &mut [f32]) = gather_with;

    /// The transpose of [`gather`]: to pixels of tiles that do not overlap, with the bias added and rectified; else
    /// added to what the pixels are.
    fn scatter(
        side: &Side,
        tiles: [usize; 2],
        rows: Range<usize>,
        planes: &[f32],
        bias: &[f32],
        slope: f32,
        maps: &mut [f32],
    ) = scatter_with;
}

vectorized! {
    fn rectify(values: &mut [f32], slope: f32) {
        values.iter_mut().for_each(|value| *value *= if *value < 0.0 { slope } else { 1.0 });
    }
}

/// # Safety
/// The processor has the vector's instructions; so for all that follow.
#[inline(always)]
unsafe fn gather_with<V: Vector>(side: &Side, tiles: [usize; 2], rows: Range<usize>, maps: &[f32], planes: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { with_tile!(side.transform, gather_tiles::<V>(side, tiles, rows, maps, planes)) }
}

#[inline(always)]
unsafe fn scatter_with<V: Vector>(
    side: &Side,
    tiles: [usize; 2],
    rows: Range<usize>,
    planes: &[f32],
    bias: &[f32],
    slope: f32,
    maps: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe { with_tile!(side.transform, scatter_tiles::<V>(side, tiles, rows, planes, bias, slope, maps)) }
}

#[inline(always)]
unsafe fn gather_tiles<V: Vector, T: Tile<P, N>, const P: usize, const N: usize>(
    side: &Side,
    tiles: [usize; 2],
    rows: Range<usize>,
    maps: &[f32],
    planes: &mut [f32],
) {
    let [_, width, channels] = side.map;
    let stride = side.stride(rows.len() * tiles[1]);
    let border = vec![0.0; channels];
    let columns: Vec<[usize; N]> = (0..tiles[1]).map(|tile| side.offsets(1, tile, channels)).collect();
    let mut begin = 0;
    for row in rows {
        let first = row / tiles[0] * size(side.map);
        let map = &maps[first..][..size(side.map)];
        let down: [usize; N] = side.offsets(0, row % tiles[0], width * channels);
        // The next row of tiles begins with the last pixels of this one.
        let last = first + down[N - 1].min(map.len());
        prefetch(&maps[last..maps.len().min(last + (1 + side.step) * width * channels)]);
        for across in &columns {
            let mut pixels = [[&border[..]; N]; N];
            for y in 0..N {
                for x in 0..N {
                    if down[y] != OUTSIDE && across[x] != OUTSIDE {
                        pixels[y][x] = &map[down[y] + across[x]..][..channels];
                    }
                }
            }
            // SAFETY: the caller's.
            unsafe {
                let whole = channels / V::LANES * V::LANES;
                for first in (0..whole).step_by(V::LANES) {
                    gather_lanes::<V, T, P, N, true>(&pixels, first, stride, &mut planes[begin + first..]);
                }
                if whole < channels {
                    gather_lanes::<V, T, P, N, false>(&pixels, whole, stride, &mut planes[begin + whole..]);
                }
            }
            begin += side.width();
        }
    }
}

/// The planes of a tile's channels from the first on: as many as a vector holds, or, unless they are WHOLE, the rest.
// Loops over arrays of a known length, because the compiler would not unroll iterators of them.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn gather_lanes<V: Vector, T: Tile<P, N>, const P: usize, const N: usize, const WHOLE: bool>(
    pixels: &[[&[f32]; N]; N],
    first: usize,
    stride: usize,
    planes: &mut [f32],
) {
    // SAFETY: the caller's; values are read from and written to slices that hold them; all of `half` is written first.
    unsafe {
        let none = Lanes(V::splat(0.0));
        // Zeros for it would take as long as some of the sums.
        let mut half = MaybeUninit::<[[Lanes<V>; P]; N]>::uninit();
        for x in 0..N {
            let mut values = [none; N];
            for y in 0..N {
                values[y] = load::<V, WHOLE>(&pixels[y][x][first..]);
            }
            (*half.as_mut_ptr())[x] = T::planes(values);
        }
        let half = half.assume_init_ref();
        for i in 0..P {
            let mut values = [none; N];
            for x in 0..N {
                values[x] = half[x][i];
            }
            let row = T::planes(values);
            for j in 0..P {
                row[j].0.store(planes[(i * P + j) * stride..][..V::LANES].as_mut_ptr());
            }
        }
    }
}

#[inline(always)]
unsafe fn scatter_tiles<V: Vector, T: Tile<P, N>, const P: usize, const N: usize>(
    side: &Side,
    tiles: [usize; 2],
    rows: Range<usize>,
    planes: &[f32],
    bias: &[f32],
    slope: f32,
    maps: &mut [f32],
) {
    let [_, width, channels] = side.map;
    let stride = side.stride(rows.len() * tiles[1]);
    let end = (!side.adds()).then_some((bias, slope));
    let columns: Vec<[usize; N]> = (0..tiles[1]).map(|tile| side.offsets(1, tile, channels)).collect();
    let mut begin = 0;
    for row in rows {
        let map = &mut maps[row / tiles[0] * size(side.map)..][..size(side.map)];
        let down: [usize; N] = side.offsets(0, row % tiles[0], width * channels);
        for across in &columns {
            // SAFETY: the caller's.
            unsafe {
                let whole = channels / V::LANES * V::LANES;
                for first in (0..whole).step_by(V::LANES) {
                    let planes = &planes[begin + first..];
                    scatter_lanes::<V, T, P, N, true>(planes, stride, [&down, across], [first, channels], end, map);
                }
                if whole < channels {
                    let planes = &planes[begin + whole..];
                    scatter_lanes::<V, T, P, N, false>(planes, stride, [&down, across], [whole, channels], end, map);
                }
            }
            begin += side.width();
        }
    }
}

/// The transpose of [`gather_lanes`]; with a bias and a slope pixels are written, else they are added to.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn scatter_lanes<V: Vector, T: Tile<P, N>, const P: usize, const N: usize, const WHOLE: bool>(
    planes: &[f32],
    stride: usize,
    [down, across]: [&[usize; N]; 2],
    [first, channels]: [usize; 2],
    end: Option<(&[f32], f32)>,
    map: &mut [f32],
) {
    // SAFETY: the caller's; values are read from and written to slices that hold them; all of `half` is written first.
    unsafe {
        let none = Lanes(V::splat(0.0));
        let mut half = MaybeUninit::<[[Lanes<V>; N]; P]>::uninit();
        for j in 0..P {
            let mut values = [none; P];
            for i in 0..P {
                values[i] = load::<V, true>(&planes[(i * P + j) * stride..]);
            }
            (*half.as_mut_ptr())[j] = T::pixels(values);
        }
        let half = half.assume_init_ref();
        for y in 0..N {
            let mut values = [none; P];
            for j in 0..P {
                values[j] = half[j][y];
            }
            let row = T::pixels(values);
            for x in 0..N {
                if down[y] == OUTSIDE || across[x] == OUTSIDE {
                    continue;
                }
                let out = &mut map[down[y] + across[x]..][..channels][first..];
                let value = match end {
                    None => (load::<V, WHOLE>(out) + row[x]).0,
                    Some((bias, slope)) => (row[x] + load::<V, WHOLE>(&bias[first..])).0.leaky(V::splat(slope)),
                };
                let lanes = out.len();
                if WHOLE {
                    value.store(out[..V::LANES].as_mut_ptr())
                } else {
                    value.store_first(out.as_mut_ptr(), lanes)
                }
            }
        }
    }
}

/// As many of these values as a vector holds, or, unless they are WHOLE, all: they are fewer.
#[inline(always)]
unsafe fn load<V: Vector, const WHOLE: bool>(values: &[f32]) -> Lanes<V> {
    // SAFETY: the caller's; the slice holds them.
    Lanes(unsafe {
        if WHOLE { V::load(values[..V::LANES].as_ptr()) } else { V::load_first(values.as_ptr(), values.len()) }
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::convolution::{Convolution, PreparedConvolution, size},
        *,
    };

    const PLAIN: Convolution = Convolution {
        large: [0; 3],
        small: [0; 3],
        kernel: [3, 3],
        stride: [1, 1],
        before: [0, 0],
        dilation: [1, 1],
        groups: 1,
        up_sampled: false,
    };

    /// Between −1 and 1.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// With a kernel of 3×3, if one fits.
    fn convolution(size: [usize; 2], padding: [usize; 2], [channels, filters]: [usize; 2]) -> Option<Convolution> {
        let results = [0, 1].map(|axis| (size[axis] + 2 * padding[axis]).saturating_sub(2));
        let small = [results[0], results[1], filters];
        (size_of(results) > 0).then_some(Convolution {
            large: [size[0], size[1], channels],
            small,
            before: padding,
            ..PLAIN
        })
    }

    /// Likewise of a feature map that is enlarged first.
    fn up_sampled(
        size: [usize; 2],
        padding: [usize; 2],
        [channels, filters]: [usize; 2],
        factor: usize,
    ) -> Option<Convolution> {
        let results = [0, 1].map(|axis| (factor * size[axis] + 2 * padding[axis]).saturating_sub(2));
        (size_of(results) > 0).then_some(Convolution {
            large: [results[0], results[1], filters],
            small: [size[0], size[1], channels],
            kernel: [factor + 2; 2],
            stride: [factor; 2],
            before: padding.map(|padding| 2 - padding),
            up_sampled: true,
            ..PLAIN
        })
    }

    fn size_of([rows, columns]: [usize; 2]) -> usize {
        rows * columns
    }

    /// Along an axis, of each weight of a merged kernel those that it is the sum of.
    fn merged(convolution: &Convolution) -> &'static [&'static [usize]] {
        match (convolution.up_sampled, convolution.stride[0]) {
            (false, _) => &[&[0], &[1], &[2]],
            (true, 2) => &[&[2], &[1, 2], &[0, 1], &[0]],
            (true, _) => &[&[2], &[1, 2], &[0, 1, 2], &[0, 1], &[0]],
        }
    }

    /// Each weight of a kernel of 3×3 with each merged one that it is part of: where their channels begin.
    fn parts(convolution: &Convolution) -> Vec<[usize; 2]> {
        let (merged, depth) = (merged(convolution), convolution.large[2] * convolution.small[2]);
        let mut parts = Vec::new();
        for (y, rows) in merged.iter().enumerate() {
            for (x, columns) in merged.iter().enumerate() {
                for row in *rows {
                    parts.extend(columns.iter().map(|c| [(row * 3 + c) * depth, (y * merged.len() + x) * depth]));
                }
            }
        }
        parts
    }

    fn assert_near(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
        let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let error = got.iter().zip(expected).fold(0.0, |most: f32, (got, value)| most.max((got - value).abs()));
        assert!(got.len() == expected.len() && error <= tolerance * largest, "{what}: {error} of {largest}");
    }

    fn compare(convolution: Convolution, batch: usize) {
        let all = Winograd::all(&convolution);
        assert_eq!(all.len(), if convolution.up_sampled { 1 } else { 2 });
        for (winograd, tolerance) in all.into_iter().zip([2e-6, 6e-6]) {
            compare_with(winograd, convolution, batch, tolerance);
        }
    }

    fn compare_with(winograd: Winograd, convolution: Convolution, batch: usize, tolerance: f32) {
        let fast = PreparedConvolution::with(convolution, Some(winograd));
        let plain = PreparedConvolution::with(convolution, None);
        let depth = convolution.large[2] * convolution.small[2];
        let (kernel, parts) = (numbers(9 * depth, 1), parts(&convolution));
        let mut weights = vec![0.0; convolution.weights()];
        for [from, to] in &parts {
            (0..depth).for_each(|i| weights[to + i] += kernel[from + i]);
        }
        let large = numbers(batch * size(convolution.large), 2);
        let small = numbers(batch * size(convolution.small), 3);
        let biases = [numbers(convolution.large[2], 4), numbers(convolution.small[2], 5)];
        for (biased, slope) in [(false, 1.0), (true, 0.2)] {
            let bias = |side: usize| biased.then_some(&biases[side][..]);
            let [got, expected] = [&fast, &plain].map(|prepared| {
                let weights = [prepared.weights_to_small(&weights), prepared.weights_to_large(&weights)];
                [
                    prepared.to_small(&large, &weights[0], bias(1), slope, |_| ()).0,
                    prepared.to_large(&small, &weights[1], bias(0), slope, |_| ()).0,
                ]
            });
            assert_near(&format!("small of {convolution:?}"), &got[0], &expected[0], tolerance);
            assert_near(&format!("large of {convolution:?}"), &got[1], &expected[1], tolerance);
        }
        for start in [Accumulate::Zero, Accumulate::Output] {
            let [got, expected] = [&fast, &plain].map(|prepared| {
                let mut merged = vec![1.0; weights.len()];
                prepared.weight_gradient(&large, &small, start, &mut merged);
                let mut gradient = vec![0.0; kernel.len()];
                for [to, from] in &parts {
                    (0..depth).for_each(|i| gradient[to + i] += merged[from + i]);
                }
                gradient
            });
            assert_near(&format!("gradient of {convolution:?}"), &got, &expected, tolerance);
        }
    }

    /// The smallest in which tiles are whole, are cut off and reach beyond the padding: Miri takes minutes for others.
    #[test]
    fn small_ones_are_those_of_the_definition() {
        compare(convolution([4, 3], [1, 0], [5, 2]).unwrap(), 1);
        compare(up_sampled([2, 1], [1, 1], [2, 5], 2).unwrap(), 1);
    }

    #[cfg_attr(miri, ignore)]
    #[test]
    fn all_three_are_those_of_the_definition() {
        let channels = [[1, 2], [16, 3], [17, 16], [5, 33], [32, 18]];
        let mut number = 0;
        for [height, width] in (1..=9).flat_map(|height| (1..=9).map(move |width| [height, width])) {
            for padding in [[0, 0], [1, 1], [2, 2], [0, 2], [2, 1]] {
                number += 1;
                let (channels, batch) = (channels[number % channels.len()], number % 3 + 1);
                let up_sampled = [2, 3].map(|factor| up_sampled([height, width], padding, channels, factor));
                let all = [convolution([height, width], padding, channels), up_sampled[number % 2]];
                all.into_iter().flatten().for_each(|convolution| compare(convolution, batch));
            }
        }
        // Pixels that no window reaches, and fewer results than there could be.
        compare(Convolution { large: [6, 9, 4], small: [3, 4, 5], before: [1, 0], ..PLAIN }, 2);
    }

    #[cfg_attr(miri, ignore)]
    #[test]
    fn results_depend_on_the_feature_map_alone() {
        let channels = [20, 17];
        let both = [convolution([5, 4], [1, 1], channels), up_sampled([4, 3], [0, 0], channels, 3)];
        let each =
            both.iter().flatten().flat_map(|convolution| Winograd::all(convolution).into_iter().zip([*convolution; 2]));
        for (winograd, convolution) in each {
            let prepared = PreparedConvolution::with(convolution, Some(winograd));
            let batch = 40;
            let weights = numbers(convolution.weights(), 1);
            let large = numbers(batch * size(convolution.large), 2);
            let small = numbers(batch * size(convolution.small), 3);
            let panels = [prepared.weights_to_small(&weights), prepared.weights_to_large(&weights)];
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut gradient = vec![0.0; weights.len()];
                    prepared.weight_gradient(&large, &small, Accumulate::Zero, &mut gradient);
                    let to_small = prepared.to_small(&large, &panels[0], None, 1.0, |_| ()).0;
                    [to_small, prepared.to_large(&small, &panels[1], None, 1.0, |_| ()).0, gradient.into()]
                })
            };
            let expected = run(1);
            assert!([2, 3].map(run).iter().all(|got| (0..3).all(|i| got[i][..] == expected[i][..])));
            for (number, large) in large.chunks(size(convolution.large)).enumerate() {
                let alone = prepared.to_small(large, &panels[0], None, 1.0, |_| ()).0;
                assert_eq!(alone[..], expected[0][number * alone.len()..][..alone.len()]);
            }
            for (number, small) in small.chunks(size(convolution.small)).enumerate() {
                let alone = prepared.to_large(small, &panels[1], None, 1.0, |_| ()).0;
                assert_eq!(alone[..], expected[1][number * alone.len()..][..alone.len()]);
            }
        }
    }

    #[cfg_attr(miri, ignore)]
    #[test]
    fn it_is_used_where_it_pays() {
        let pays = |convolution: Option<Convolution>| Winograd::best(&convolution.unwrap()).is_some();
        assert!(pays(convolution([13, 13], [0, 0], [112, 112])));
        assert!(pays(convolution([14, 14], [1, 1], [32, 64])));
        assert!(pays(up_sampled([4, 4], [0, 0], [64, 112], 3)));
        assert!(pays(up_sampled([10, 10], [0, 0], [112, 112], 3)));
        assert!(!pays(convolution([28, 28], [1, 1], [1, 32])));
        assert!(!pays(convolution([28, 28], [1, 1], [112, 1])));
        assert!(!pays(convolution([1, 1], [1, 1], [64, 64])));
        assert!(!pays(convolution([14, 14], [1, 1], [512, 512])));
        assert!(!pays(up_sampled([10, 10], [0, 0], [112, 1], 3)));
        let strided = Convolution { stride: [2, 2], ..convolution([13, 13], [0, 0], [112, 112]).unwrap() };
        assert!(Winograd::all(&strided).is_empty());
        // Tiles of four results are faster unless there are no more than two.
        let step = |size| Winograd::best(&convolution([size; 2], [0, 0], [64, 64]).unwrap()).unwrap().small.step;
        assert_eq!([16, 13, 5, 4].map(step), [4, 4, 4, 2]);
    }
}
