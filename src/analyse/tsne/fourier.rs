//! Convolutions in the plane by fast Fourier transforms.
//!
//! Our own transform, because the whole of it is one loop: sixteen transforms run side by side, one in each lane of the
//! machine's vectors, which no library of single transforms offers. The picture is real and the kernel symmetric, so columns are
//! transformed in pairs, the second as the imaginary part of the first, and only half of the spectrum is worked on.

use crate::engine::vectorized;
use std::f64::consts::PI;
use std::ops::{Add, Mul, Sub};

use rayon::prelude::*;

/// Transforms side by side.
const LANES: usize = 16;

/// Columns of the picture that are transformed together: two in each lane.
const COLUMNS: usize = 2 * LANES;

#[derive(Clone, Copy)]
struct Lanes([f32; LANES]);

#[derive(Clone, Copy)]
struct Complex {
    re: Lanes,
    im: Lanes,
}

/// Writes an operation lane by lane: the compiler makes one vector of it.
macro_rules! lane_by_lane {
    ($($operation:ident::$name:ident),+) => {$(
        impl $operation for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $name(mut self, other: Self) -> Self {
                for (a, b) in self.0.iter_mut().zip(other.0) {
                    *a = a.$name(b);
                }
                self
            }
        }
    )+};
}
lane_by_lane!(Add::add, Sub::sub, Mul::mul);

impl Lanes {
    const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        self * Self([factor; LANES])
    }
}

impl Complex {
    const ZERO: Self = Self { re: Lanes::ZERO, im: Lanes::ZERO };

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }

    #[inline(always)]
    fn times(self, [re, im]: [f32; 2]) -> Self {
        Self { re: self.re.times(re) - self.im.times(im), im: self.re.times(im) + self.im.times(re) }
    }

    /// Times −i.
    #[inline(always)]
    fn turned(self) -> Self {
        Self { re: self.im, im: Self::ZERO.im - self.re }
    }
}

/// One step of a transform: splits transforms of `size` values into `radix` smaller ones each.
struct Stage {
    radix: usize,
    size: usize,
    /// Transforms that are interleaved by now.
    stride: usize,
    /// exp(−2πi p j / size) for p below size / radix and j from 1 below the radix.
    turns: Vec<[f32; 2]>,
}

vectorized! {
    fn run(stages: &[Stage], values: &mut Vec<Complex>, spare: &mut Vec<Complex>) {
        for stage in stages {
            match stage.radix {
                2 => stage.step::<2>(values, spare),
                3 => stage.step::<3>(values, spare),
                _ => stage.step::<4>(values, spare),
            }
            std::mem::swap(values, spare);
        }
    }
}

impl Stage {
    /// The stages for so many values: a power of two, at most once times three.
    fn all(size: usize) -> Vec<Self> {
        let (mut stages, mut rest, mut stride) = (Vec::new(), size, 1);
        while rest > 1 {
            let radix = if rest.is_multiple_of(3) {
                3
            } else if rest.is_multiple_of(4) {
                4
            } else {
                2
            };
            let turn = |p: usize, j: usize| {
                let (sin, cos) = (-2.0 * PI * (p * j) as f64 / rest as f64).sin_cos();
                [cos as f32, sin as f32]
            };
            let turns = (0..rest / radix).flat_map(|p| (1..radix).map(move |j| turn(p, j))).collect();
            stages.push(Self { radix, size: rest, stride, turns });
            (rest, stride) = (rest / radix, stride * radix);
        }
        stages
    }

    /// Stockham's step: the results come out in their natural order.
    #[inline(always)]
    fn step<const RADIX: usize>(&self, from: &[Complex], to: &mut [Complex]) {
        let (part, stride) = (self.size / RADIX, self.stride);
        let (blocks, turns) = (to.chunks_exact_mut(RADIX * stride), self.turns.chunks_exact(RADIX - 1));
        for ((p, to), turns) in blocks.enumerate().zip(turns) {
            for q in 0..stride {
                let mut values = [Complex::ZERO; RADIX];
                for (k, value) in values.iter_mut().enumerate() {
                    *value = from[q + stride * (p + part * k)];
                }
                let values = butterfly(values);
                to[q] = values[0];
                for j in 1..RADIX {
                    to[q + stride * j] = values[j].times(turns[j - 1]);
                }
            }
        }
    }
}

/// The transform of 2, 3 or 4 values.
#[inline(always)]
fn butterfly<const RADIX: usize>(values: [Complex; RADIX]) -> [Complex; RADIX] {
    let mut out = values;
    match values[..] {
        [a, b] => {
            out[0] = a.plus(b);
            out[1] = a.minus(b);
        }
        [a, b, c] => {
            const HALF_ROOT: f32 = 0.866_025_4; // √3 / 2
            let (sum, turned) = (b.plus(c), b.minus(c).turned());
            let middle = Complex { re: a.re - sum.re.times(0.5), im: a.im - sum.im.times(0.5) };
            let side = Complex { re: turned.re.times(HALF_ROOT), im: turned.im.times(HALF_ROOT) };
            out[0] = a.plus(sum);
            out[1] = middle.plus(side);
            out[2] = middle.minus(side);
        }
        [a, b, c, d] => {
            let (even, odd) = ((a.plus(c), a.minus(c)), (b.plus(d), b.minus(d).turned()));
            out[0] = even.0.plus(odd.0);
            out[1] = even.1.plus(odd.1);
            out[2] = even.0.minus(odd.0);
            out[3] = even.1.minus(odd.1);
        }
        _ => {}
    }
    out
}

/// The convolution of square pictures with one symmetric kernel.
pub(super) struct Convolution {
    side: usize,
    stages: Vec<Stage>,
    /// The kernel's spectrum over the size squared: in blocks of 16 rows, each (2 · side, 16).
    spectrum: Vec<Lanes>,
}

/// The sides of pictures there are transforms for: 32, 64, 96, 128, 192, 256, 384 and so on.
pub(super) fn side_of_at_least(side: usize) -> usize {
    let power = side.next_power_of_two().max(32);
    let between = power / 4 * 3;
    if side <= between && between.is_multiple_of(COLUMNS) { between } else { power }
}

impl Convolution {
    /// `kernel(dx, dy)` for distances from 0 to `side`, the same on all sides; `response(k)` is what the spectrum is divided by along each axis, for the
    /// frequencies k / (2 · side).
    pub fn new(side: usize, kernel: impl Fn(usize, usize) -> f32 + Sync, response: impl Fn(f64) -> f64) -> Self {
        let size = 2 * side;
        let stages = Stage::all(size);
        let fold = |i: usize| i.min(size - i);
        // Along y, for 16 values of dx at a time: (dx block, ky, 16).
        let columns = (0..side / LANES + 1).into_par_iter().map(|block| {
            let at = |dy: usize| Lanes(std::array::from_fn(|lane| kernel((block * LANES + lane).min(side), dy)));
            let values = (0..size).map(|y| Complex { re: at(fold(y)), im: Lanes::ZERO });
            transformed(&stages, values.collect())
        });
        let columns: Vec<Vec<Complex>> = columns.collect();
        let response: Vec<f64> = (0..size).map(|k| response(k as f64 / size as f64)).collect();
        // Along x, for 16 values of ky at a time.
        let blocks = (0..side / LANES + 1).into_par_iter().flat_map_iter(|block| {
            let row = |lane: usize| (block * LANES + lane).min(side);
            let at = |dx: usize| Lanes(std::array::from_fn(|lane| columns[dx / LANES][row(lane)].re.0[dx % LANES]));
            let values = (0..size).map(|x| Complex { re: at(fold(x)), im: Lanes::ZERO });
            let values = transformed(&stages, values.collect());
            let scale: [f64; LANES] = std::array::from_fn(|lane| 1.0 / ((size * size) as f64 * response[row(lane)]));
            let divided = |(kx, value): (usize, &Complex)| {
                Lanes(std::array::from_fn(|lane| (f64::from(value.re.0[lane]) * scale[lane] / response[kx]) as f32))
            };
            values.iter().enumerate().map(divided).collect::<Vec<_>>()
        });
        let spectrum = blocks.collect();
        Self { side, stages, spectrum }
    }

    /// The convolution of a picture (side, side) with zeros around it.
    pub fn apply(&self, picture: &[f32]) -> Vec<f32> {
        let (side, size) = (self.side, 2 * self.side);
        let (height, blocks) = (side + 1, side / LANES + 1);

        // Along y, 32 columns at a time: for each ky from 0 to side the spectra of the first and the last 16 columns.
        let mut columns = vec![[Complex::ZERO; 2]; side / COLUMNS * height];
        columns.par_chunks_mut(height).enumerate().for_each(|(block, columns)| {
            let mut values = Vec::with_capacity(size);
            values.extend(picture.chunks_exact(side).map(|row| {
                let (re, im) = row[block * COLUMNS..][..COLUMNS].split_at(LANES);
                Complex { re: lanes(re), im: lanes(im) }
            }));
            values.resize(size, Complex::ZERO);
            let values = transformed(&self.stages, values);
            for (k, pair) in columns.iter_mut().enumerate() {
                *pair = part(values[k], values[(size - k) % size]);
            }
        });

        // Along x and back, 16 values of ky at a time.
        let mut rows = vec![Complex::ZERO; blocks * side];
        rows.par_chunks_mut(side).zip(self.spectrum.par_chunks(size)).enumerate().for_each(
            |(block, (rows, spectrum))| {
                let mut values = vec![Complex::ZERO; size];
                let count = LANES.min(height - block * LANES);
                for (values, columns) in values.chunks_exact_mut(COLUMNS).zip(columns.chunks_exact(height)) {
                    for (lane, pair) in columns[block * LANES..][..count].iter().enumerate() {
                        for (values, column) in values.chunks_exact_mut(LANES).zip(pair) {
                            for (value, (re, im)) in values.iter_mut().zip(column.re.0.iter().zip(column.im.0)) {
                                (value.re.0[lane], value.im.0[lane]) = (*re, im);
                            }
                        }
                    }
                }
                let mut values = transformed(&self.stages, values);
                // A transform of conjugates is the conjugate of the way back.
                for (value, factor) in values.iter_mut().zip(spectrum) {
                    *value = Complex { re: value.re * *factor, im: Lanes::ZERO - value.im * *factor };
                }
                rows.copy_from_slice(&transformed(&self.stages, values)[..side]);
            },
        );

        // Along y and back.
        let mut strips = vec![[0.0; COLUMNS]; side / COLUMNS * side];
        strips.par_chunks_mut(side).enumerate().for_each(|(block, strips)| {
            let mut values = vec![Complex::ZERO; size];
            for (k, rows) in rows.chunks_exact(side).enumerate() {
                let rows = &rows[block * COLUMNS..][..COLUMNS];
                for lane in 0..LANES.min(height - k * LANES) {
                    let column = |first: usize| Complex {
                        re: Lanes(std::array::from_fn(|i| rows[first + i].re.0[lane])),
                        im: Lanes(std::array::from_fn(|i| -rows[first + i].im.0[lane])),
                    };
                    let (a, b) = (column(0), column(LANES));
                    let ky = k * LANES + lane;
                    // Conjugates again, of a + i b and of what mirrors it.
                    values[(size - ky) % size] = Complex { re: a.re + b.im, im: a.im - b.re };
                    values[ky] = Complex { re: a.re - b.im, im: Lanes::ZERO - a.im - b.re };
                }
            }
            for (strip, value) in strips.iter_mut().zip(transformed(&self.stages, values)) {
                strip[..LANES].copy_from_slice(&value.re.0);
                strip[LANES..].copy_from_slice(&(Lanes::ZERO - value.im).0);
            }
        });

        let mut out = vec![0.0; side * side];
        out.par_chunks_mut(side).enumerate().for_each(|(y, row)| {
            for (part, strips) in row.chunks_exact_mut(COLUMNS).zip(strips.chunks_exact(side)) {
                part.copy_from_slice(&strips[y]);
            }
        });
        out
    }
}

fn lanes(values: &[f32]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    lanes.0.copy_from_slice(values);
    lanes
}

fn transformed(stages: &[Stage], mut values: Vec<Complex>) -> Vec<Complex> {
    let mut spare = values.clone();
    run(stages, &mut values, &mut spare);
    values
}

/// The spectra of the real and of the imaginary part, from the value at k and that at −k.
#[inline(always)]
fn part(z: Complex, mirrored: Complex) -> [Complex; 2] {
    let half = |re: Lanes, im: Lanes| Complex { re: re.times(0.5), im: im.times(0.5) };
    [half(z.re + mirrored.re, z.im - mirrored.im), half(z.im + mirrored.im, mirrored.re - z.re)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_are_those_of_the_definition() {
        for side in [32, 64, 96] {
            let kernel = |dx: usize, dy: usize| 1.0 / (1.0 + (dx * dx) as f32 + 0.5 * (dy * dy) as f32);
            let picture: Vec<f32> = (0..side * side).map(|i| ((i * 7919) % 17) as f32 - 8.0).collect();
            let out = Convolution::new(side, kernel, |_| 1.0).apply(&picture);
            for (x, y) in [(0, 0), (side - 1, 0), (3, 17), (20, 31), (side - 1, side - 1)] {
                let sum: f32 =
                    (0..side * side).map(|i| kernel(x.abs_diff(i % side), y.abs_diff(i / side)) * picture[i]).sum();
                assert!((out[y * side + x] - sum).abs() < 1e-3, "{side}: {} is not {sum}", out[y * side + x]);
            }
        }
    }

    #[test]
    fn sides_fit() {
        let sides = [1, 33, 65, 96, 97, 129, 200, 300, 400].map(side_of_at_least);
        assert_eq!(sides, [32, 64, 96, 96, 128, 192, 256, 384, 512]);
    }
}
