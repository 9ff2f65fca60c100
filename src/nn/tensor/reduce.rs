//! Sums, means, extremes and softmax, over all values or along an axis.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::{Tensor, mistake, operation};
use crate::{
    engine::{BLOCK, Buffer, OnThreads, vectorized},
    error::Result,
    nn::{layers::exp_of_any, tape::Gradients},
};

/// The values as (outer, along the axis, inner), for an axis that may count from the end.
#[derive(Clone, Copy)]
pub(super) struct Along {
    pub axis: usize,
    pub outer: usize,
    pub size: usize,
    pub inner: usize,
}

impl Along {
    pub fn new(shape: &[usize], axis: isize) -> Result<Self, String> {
        let dimensions = shape.len() as isize;
        let index = if axis < 0 { axis + dimensions } else { axis };
        if !(0..dimensions).contains(&index) {
            return Err(format!("expected an axis of {dimensions} dimensions, got axis {axis} of shape {shape:?}"));
        }
        let axis = index as usize;
        let product = |sizes: &[usize]| sizes.iter().product();
        Ok(Self { axis, outer: product(&shape[..axis]), size: shape[axis], inner: product(&shape[axis + 1..]) })
    }

    /// The shape without the axis.
    fn without(self, shape: &[usize]) -> Vec<usize> {
        [&shape[..self.axis], &shape[self.axis + 1..]].concat()
    }

    /// Refuses an axis of no values, of which there is neither mean nor extreme.
    fn not_empty(self, shape: &[usize]) -> Result<Self, String> {
        if self.size == 0 {
            Err(format!("expected at least one value along axis {}, got shape {shape:?}", self.axis))
        } else {
            Ok(self)
        }
    }

    /// How many values beside the axis there are: a line along it for each.
    fn lines(self) -> usize {
        self.outer * self.inner
    }

    /// The same for the outer places that make about a block, from which all others are worked on alike.
    fn part(self) -> Self {
        let outer = (BLOCK / (self.size * self.inner).max(1)).clamp(1, self.outer.max(1));
        Self { outer, ..self }
    }

    /// `work(values, results)` for parts of `values` and of one `result` for each line, on all threads.
    fn for_lines<T: Send>(self, values: &[f32], results: &mut [T], work: impl Fn(&[f32], &mut [T]) + Sync) {
        let part = self.part();
        if part.lines() > 0 {
            let length = part.lines() * self.size;
            let parts = results.par_chunks_mut(part.lines()).enumerate();
            parts.on_threads().for_each(|(index, results)| {
                work(&values[index * length..][..results.len() * self.size], results);
            });
        }
    }

    /// `work(first line, values)` for parts of values that change, on all threads.
    fn for_parts(self, values: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
        let part = self.part();
        let parts = values.par_chunks_mut((part.lines() * self.size).max(1)).enumerate();
        parts.on_threads().for_each(|(index, values)| work(index * part.lines(), values));
    }

    /// The sums along the axis.
    pub fn sums(self, values: &[f32]) -> Buffer {
        let mut sums = Buffer::unset(self.lines());
        let single = |(to, sum): (&mut f32, &f64)| *to = *sum as f32;
        if self.inner == 1 && self.size > BLOCK {
            sums.iter_mut().zip(values.chunks(self.size)).for_each(|(sum, line)| *sum = total(line) as f32);
        } else if self.outer == 1 && self.inner > 1 {
            // Columns of a matrix.
            const COLUMNS: usize = 256;
            let columns =
                sums.par_chunks_mut(COLUMNS).enumerate().with_min_len((BLOCK / COLUMNS).div_ceil(self.size.max(1)));
            columns.on_threads().for_each(|(index, out)| {
                let mut sums = [0.0; COLUMNS];
                let rows = values.chunks_exact(self.inner);
                rows.for_each(|row| add_row(&row[index * COLUMNS..][..out.len()], &mut sums[..out.len()]));
                out.iter_mut().zip(&sums).for_each(single);
            });
        } else {
            self.for_lines(values, &mut sums, |values, out| {
                let sums = self.sums_of(out.len(), values);
                out.iter_mut().zip(&sums).for_each(single);
            });
        }
        sums
    }

    /// The sums of that many lines, on this thread.
    fn sums_of(self, lines: usize, values: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; lines];
        if self.inner == 1 {
            sums.iter_mut().zip(values.chunks_exact(self.size.max(1))).for_each(|(total, values)| *total = sum(values));
        } else {
            let whole = (self.size * self.inner).max(1);
            for (sums, values) in sums.chunks_exact_mut(self.inner.max(1)).zip(values.chunks_exact(whole)) {
                values.chunks_exact(self.inner).for_each(|row| add_row(row, sums));
            }
        }
        sums
    }

    /// Each value, repeated along the axis and scaled.
    fn repeated(self, values: &[f32], scale: f32) -> Buffer {
        let mut out = Buffer::unset(self.lines() * self.size);
        self.for_parts(&mut out, |first, out| {
            out.fill(scale);
            with_lines(&|scale, value| scale * value, &values[first..], self.size, self.inner, out);
        });
        out
    }
}

vectorized! {
    /// The sum, as sixteen sums side by side: the loop can be vectorised, and the order is fixed.
    fn sum(values: &[f32]) -> f64 {
        let mut sums = [0.0f64; 16];
        let (values, rest) = values.as_chunks::<16>();
        for values in values {
            for lane in 0..16 {
                sums[lane] += f64::from(values[lane]);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value)).sum::<f64>()
    }

    fn add_row(row: &[f32], sums: &mut [f64]) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }

    /// The largest value of each line; NaN where there is one.
    fn largest(values: &[f32], size: usize, inner: usize, largest: &mut [f32]) {
        let larger = |best: f32, new: f32| if new > best || new.is_nan() { new } else { best };
        largest.fill(f32::NEG_INFINITY);
        if inner == 1 {
            for (largest, line) in largest.iter_mut().zip(values.chunks_exact(size)) {
                let mut lanes = [f32::NEG_INFINITY; 16];
                let (sixteens, rest) = line.as_chunks::<16>();
                for values in sixteens {
                    for lane in 0..16 {
                        lanes[lane] = larger(lanes[lane], values[lane]);
                    }
                }
                *largest = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |best, new| larger(best, *new));
            }
        } else {
            for (largest, values) in largest.chunks_exact_mut(inner).zip(values.chunks_exact(size * inner)) {
                for row in values.chunks_exact(inner) {
                    largest.iter_mut().zip(row).for_each(|(best, new)| *best = larger(*best, *new));
                }
            }
        }
    }

    /// f(value, value of its line) in place of each value.
    fn with_lines<F: Fn(f32, f32) -> f32>(f: &F, lines: &[f32], size: usize, inner: usize, values: &mut [f32]) {
        if inner == 1 {
            for (values, line) in values.chunks_exact_mut(size).zip(lines) {
                values.iter_mut().for_each(|value| *value = f(*value, *line));
            }
        } else {
            for (values, lines) in values.chunks_exact_mut(size * inner).zip(lines.chunks_exact(inner)) {
                for row in values.chunks_exact_mut(inner) {
                    row.iter_mut().zip(lines).for_each(|(value, line)| *value = f(*value, *line));
                }
            }
        }
    }

    fn exponentials(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = exp_of_any(*value));
    }

    fn with_each<F: Fn(f32, f32) -> f32>(f: &F, others: &[f32], values: &mut [f32]) {
        values.iter_mut().zip(others).for_each(|(value, other)| *value = f(*value, *other));
    }

    /// The best value of each column so far and the row that it is in, from rows as long as these; NaN is better than
    /// all.
    fn best_rows<F: Fn(f32, f32) -> bool>(better: &F, rows: &[f32], best: &mut [f32], places: &mut [u32]) {
        for (index, row) in rows.chunks_exact(best.len()).enumerate() {
            for ((best, place), new) in best.iter_mut().zip(places.iter_mut()).zip(row) {
                let wins = (better(*new, *best) || new.is_nan()) && !best.is_nan();
                *best = if wins { *new } else { *best };
                *place = if wins { index as u32 } else { *place };
            }
        }
    }
}

/// The place of the best of values, of which there is at least one, and the first of equal ones.
fn best_place<F: Fn(f32, f32) -> bool>(better: &F, values: &[f32]) -> usize {
    const LANES: usize = 16;
    let mut candidates = Vec::with_capacity(2 * LANES);
    if let Some((mut best, _)) = values.split_first_chunk::<LANES>().map(|(first, rest)| (*first, rest)) {
        let mut rows = [0; LANES];
        best_rows(better, values, &mut best, &mut rows);
        candidates.extend(rows.iter().enumerate().map(|(lane, row)| *row as usize * LANES + lane));
        candidates.sort_unstable();
    }
    candidates.extend(values.len() / LANES * LANES..values.len());
    first_best(better, values, candidates)
}

/// The best of these places, which are in their order.
fn first_best<F: Fn(f32, f32) -> bool>(better: &F, values: &[f32], places: Vec<usize>) -> usize {
    let wins = |new: f32, best: f32| (better(new, best) || new.is_nan()) && !best.is_nan();
    let best = |best: usize, place: usize| if wins(values[place], values[best]) { place } else { best };
    places.into_iter().reduce(best).unwrap_or_default()
}

/// The sum of all, in blocks whose order is fixed.
fn total(values: &[f32]) -> f64 {
    values.par_chunks(BLOCK).on_threads().map(sum).into_iter().sum()
}

fn single(value: f64) -> Arc<Buffer> {
    Arc::new(vec![value as f32].into())
}

impl Tensor {
    /// The sum of all values, of shape `[]`.
    pub fn sum(&self) -> Self {
        self.scaled_sum("sum", |_| 1.0)
    }

    /// The mean of all values, of shape `[]`.
    pub fn mean(&self) -> Self {
        self.scaled_sum("mean", |count| 1.0 / count as f64)
    }

    fn scaled_sum(&self, name: &str, scale: impl Fn(usize) -> f64) -> Self {
        operation(name, &[self], |inputs| {
            let x = inputs[0].variable.clone();
            let scale = scale(x.values.len());
            let sum = single(scale * total(&x.values));
            Ok((vec![], sum, move |g: Buffer, gradients: &mut Gradients| {
                let mut gradient = Buffer::unset(x.values.len());
                gradient.fill((f64::from(g[0]) * scale) as f32);
                gradients.add_to(&x, gradient);
            }))
        })
    }

    /// The largest of all values, of shape `[]`; the gradient goes to the first of equal ones.
    pub fn max(&self) -> Self {
        self.extreme("max", |new, best| new > best)
    }

    /// The smallest of all values, of shape `[]`; the gradient goes to the first of equal ones.
    pub fn min(&self) -> Self {
        self.extreme("min", |new, best| new < best)
    }

    fn extreme(&self, name: &str, better: impl Fn(f32, f32) -> bool + Sync) -> Self {
        let values = self.shape().iter().product::<usize>();
        if self.check().is_ok() && values == 0 {
            return Self(Err(mistake(name, format!("expected at least one value, got shape {:?}", self.shape()))));
        }
        self.reshape([values]).extremes(name, 0, better)
    }

    /// The sums along an axis, which goes away; [`unsqueeze`](Self::unsqueeze) puts it back with size 1.
    ///
    /// ```
    /// use latentlab::{Tensor, ndarray::array};
    ///
    /// let x = Tensor::from(&array![[1.0f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.sum_axis(0).to_array()?, array![4.0, 6.0].into_dyn());
    /// assert_eq!(x.sum_axis(-1).to_array()?, array![3.0, 7.0].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn sum_axis(&self, axis: isize) -> Self {
        self.scaled_sums("sum_axis", axis, |_| 1.0)
    }

    /// The means along an axis, which goes away; NaN along an axis of no values.
    pub fn mean_axis(&self, axis: isize) -> Self {
        self.scaled_sums("mean_axis", axis, |count| 1.0 / count as f32)
    }

    /// The variances along an axis, which goes away: the means of the squared distances from the mean, divided by the
    /// number of values, as TensorFlow's `reduce_variance` (and `torch.var` with `correction=0`).
    ///
    /// ```
    /// use latentlab::{Tensor, ndarray::array};
    ///
    /// let x = Tensor::from(&array![[1.0f32, 3.0], [5.0, 5.0]]);
    /// assert_eq!(x.variance_axis(-1).to_array()?, array![1.0, 0.0].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn variance_axis(&self, axis: isize) -> Self {
        let mean = self.scaled_sums("variance_axis", axis, |count| 1.0 / count as f32).unsqueeze(axis);
        (self - mean).square().mean_axis(axis)
    }

    fn scaled_sums(&self, name: &str, axis: isize, scale: impl Fn(usize) -> f32) -> Self {
        operation(name, &[self], |inputs| {
            let (x, shape) = (inputs[0].variable.clone(), &inputs[0].shape);
            let along = Along::new(shape, axis)?;
            let scale = scale(along.size);
            let mut sums = along.sums(&x.values);
            sums.iter_mut().for_each(|sum| *sum *= scale);
            Ok((along.without(shape), Arc::new(sums), move |g: Buffer, gradients: &mut Gradients| {
                gradients.add_to(&x, along.repeated(&g, scale));
            }))
        })
    }

    /// The largest values along an axis, which goes away; the gradient goes to the first of equal ones.
    pub fn max_axis(&self, axis: isize) -> Self {
        self.extremes("max_axis", axis, |new, best| new > best)
    }

    /// The smallest values along an axis, which goes away; the gradient goes to the first of equal ones.
    pub fn min_axis(&self, axis: isize) -> Self {
        self.extremes("min_axis", axis, |new, best| new < best)
    }

    fn extremes(&self, name: &str, axis: isize, better: impl Fn(f32, f32) -> bool + Sync) -> Self {
        operation(name, &[self], |inputs| {
            let (x, shape) = (inputs[0].variable.clone(), &inputs[0].shape);
            let along = Along::new(shape, axis)?.not_empty(shape)?;
            let places = best_places(along, &x.values, better);
            let best: Vec<f32> = places.iter().map(|place| x.values[*place]).collect();
            Ok((along.without(shape), Arc::new(best.into()), move |g: Buffer, gradients: &mut Gradients| {
                let mut gradient = Buffer::zeros(x.values.len());
                places.iter().zip(g.iter()).for_each(|(place, g)| gradient[*place] += g);
                gradients.add_to(&x, gradient);
            }))
        })
    }

    /// Where along an axis the largest values are, the first of equal ones; the axis goes away.
    ///
    /// # Errors
    /// The mistake that its computation made, or an axis that it does not have.
    pub fn argmax(&self, axis: isize) -> Result<ArrayD<usize>> {
        self.best_indices("argmax", axis, |new, best| new > best)
    }

    /// Where along an axis the smallest values are, the first of equal ones; the axis goes away.
    ///
    /// # Errors
    /// The mistake that its computation made, or an axis that it does not have.
    pub fn argmin(&self, axis: isize) -> Result<ArrayD<usize>> {
        self.best_indices("argmin", axis, |new, best| new < best)
    }

    fn best_indices(&self, name: &str, axis: isize, better: impl Fn(f32, f32) -> bool + Sync) -> Result<ArrayD<usize>> {
        let value = self.value()?;
        let wrong = |message: String| mistake(name, message);
        let along = Along::new(&value.shape, axis).and_then(|along| along.not_empty(&value.shape)).map_err(wrong)?;
        let places = best_places(along, value.values(), better);
        let indices = places.iter().map(|place| place / along.inner % along.size).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&along.without(&value.shape)), indices);
        array.map_err(|error| wrong(error.to_string()))
    }

    /// eˣ divided by its sum along an axis.
    pub fn softmax(&self, axis: isize) -> Self {
        self.log_softmax_as("softmax", axis, true)
    }

    /// The logarithm of [`softmax`](Self::softmax), without overflow.
    pub fn log_softmax(&self, axis: isize) -> Self {
        self.log_softmax_as("log_softmax", axis, false)
    }

    fn log_softmax_as(&self, name: &str, axis: isize, exp: bool) -> Self {
        operation(name, &[self], |inputs| {
            let (x, shape) = (inputs[0].variable.clone(), inputs[0].shape.clone());
            let along = Along::new(&shape, axis)?.not_empty(&shape)?;
            let mut y = Buffer::clone(&x.values);
            let (size, inner) = (along.size, along.inner);
            along.for_parts(&mut y, |_, y| {
                let Exponentials { largest, values, sums } = Exponentials::of(along, y);
                if exp {
                    let scales: Vec<f32> = sums.iter().map(|sum| (1.0 / sum) as f32).collect();
                    y.copy_from_slice(&values);
                    with_lines(&|x, scale| x * scale, &scales, size, inner, y);
                } else {
                    let logs: Vec<f32> = sums.iter().map(|sum| sum.ln() as f32).collect();
                    with_lines(&|x, largest| x - largest, &largest, size, inner, y);
                    with_lines(&|x, log| x - log, &logs, size, inner, y);
                }
            });
            let y = Arc::new(y);
            let backward = {
                let y = Arc::clone(&y);
                move |mut g: Buffer, gradients: &mut Gradients| {
                    along.for_parts(&mut g, |first, g| {
                        let y = &y[first * size..][..g.len()];
                        let sums = |values: &[f32]| -> Vec<f32> {
                            along.sums_of(values.len() / size, values).into_iter().map(|sum| sum as f32).collect()
                        };
                        let mut product = y.to_vec();
                        if exp {
                            // y · (g − Σ y·g)
                            with_each(&|y, g| y * g, g, &mut product);
                            with_lines(&|g, sum| g - sum, &sums(&product), size, inner, g);
                            with_each(&|g, y| g * y, y, g);
                        } else {
                            // g − softmax · Σ g
                            exponentials(&mut product);
                            with_lines(&|y, sum| y * sum, &sums(g), size, inner, &mut product);
                            with_each(&|g, product| g - product, &product, g);
                        }
                    });
                    gradients.add_to(&x, g);
                }
            };
            Ok((shape, y, backward))
        })
    }

    /// ln Σ eˣ along an axis, which goes away; without overflow.
    pub fn log_sum_exp(&self, axis: isize) -> Self {
        operation("log_sum_exp", &[self], |inputs| {
            let (x, shape) = (inputs[0].variable.clone(), &inputs[0].shape);
            let along = Along::new(shape, axis)?.not_empty(shape)?;
            let mut y = Buffer::unset(along.lines());
            along.for_lines(&x.values, &mut y, |x, y| {
                let Exponentials { largest, sums, .. } = Exponentials::of(along, x);
                for (y, (largest, sum)) in y.iter_mut().zip(largest.iter().zip(&sums)) {
                    // ∞ − ∞ is NaN, but the logarithm of e^∞ is ∞, and of a sum of zeros −∞.
                    *y = if largest.is_infinite() { *largest } else { largest + sum.ln() as f32 };
                }
            });
            let y = Arc::new(y);
            let backward = {
                let y = Arc::clone(&y);
                move |g: Buffer, gradients: &mut Gradients| {
                    let mut gradient = Buffer::clone(&x.values);
                    along.for_parts(&mut gradient, |first, x| {
                        with_lines(&|x, y| x - y, &y[first..], along.size, along.inner, x);
                        exponentials(x);
                        with_lines(&|x, g| x * g, &g[first..], along.size, along.inner, x);
                    });
                    gradients.add_to(&x, gradient);
                }
            };
            Ok((along.without(shape), y, backward))
        })
    }
}

/// e^(x − the largest of its line) of some lines, and their sums.
struct Exponentials {
    largest: Vec<f32>,
    values: Vec<f32>,
    sums: Vec<f64>,
}

impl Exponentials {
    fn of(along: Along, x: &[f32]) -> Self {
        let Along { size, inner, .. } = along;
        let (mut largest_of, mut values) = (vec![0.0; x.len() / size], x.to_vec());
        largest(x, size, inner, &mut largest_of);
        with_lines(&|x, largest| x - largest, &largest_of, size, inner, &mut values);
        exponentials(&mut values);
        let sums = along.sums_of(largest_of.len(), &values);
        Self { largest: largest_of, values, sums }
    }
}

/// The place of the best value of each line; NaN is better than all, as PyTorch has it.
fn best_places(along: Along, values: &[f32], better: impl Fn(f32, f32) -> bool + Sync) -> Vec<usize> {
    let Along { size, inner, .. } = along;
    let mut places = vec![0; along.lines()];
    if inner == 1 && size > BLOCK {
        for (line, place) in places.iter_mut().enumerate() {
            let blocks = values[line * size..][..size].par_chunks(BLOCK).enumerate();
            let best = |(index, block)| line * size + index * BLOCK + best_place(&better, block);
            *place = first_best(&better, values, blocks.on_threads().map(best));
        }
        return places;
    }
    let part = along.part().lines() * size;
    let parts = places.par_chunks_mut(along.part().lines().max(1)).enumerate();
    parts.on_threads().for_each(|(index, places)| {
        let (start, length) = (index * part, places.len() * size);
        let values = &values[start..start + length];
        if inner == 1 {
            for (line, place) in places.iter_mut().enumerate() {
                *place = start + line * size + best_place(&better, &values[line * size..][..size]);
            }
            return;
        }
        for (outer, places) in places.chunks_exact_mut(inner).enumerate() {
            let values = &values[outer * size * inner..][..size * inner];
            let (mut best, mut rows) = (values[..inner].to_vec(), vec![0; inner]);
            best_rows(&better, values, &mut best, &mut rows);
            for (column, (place, row)) in places.iter_mut().zip(&rows).enumerate() {
                *place = start + (outer * size + *row as usize) * inner + column;
            }
        }
    });
    places
}
