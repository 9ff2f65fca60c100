//! Sums, means, extremes and softmax, over all values or along an axis.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::{Tensor, mistake, operation};
use crate::{
    engine::{BLOCK, Buffer, OnThreads, vectorized},
    error::Result,
    nn::tape::Gradients,
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

    /// Where each value along the axis stands, for each place beside it.
    fn lines(self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize> + Clone)> {
        let Self { outer, size, inner, .. } = self;
        (0..outer * inner).map(move |line| {
            let start = line / inner * size * inner + line % inner;
            (line, (0..size).map(move |step| start + step * inner))
        })
    }

    /// The sums along the axis.
    fn sums(self, values: &[f32]) -> Buffer {
        let mut sums = vec![0.0f64; self.outer * self.inner];
        if self.inner == 1 {
            for (total, values) in sums.iter_mut().zip(values.chunks(self.size.max(1))) {
                *total = sum(values);
            }
        } else if self.inner > 1 {
            for (sums, values) in sums.chunks_mut(self.inner).zip(values.chunks((self.size * self.inner).max(1))) {
                for row in values.chunks(self.inner) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
                }
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>().into()
    }

    /// Each value, repeated along the axis and scaled.
    fn repeated(self, values: &[f32], scale: f32) -> Buffer {
        let mut out = Buffer::unset(self.outer * self.size * self.inner);
        if self.inner > 0 {
            for (row, out) in out.chunks_mut(self.inner).enumerate() {
                let from = row / self.size * self.inner;
                out.iter_mut().zip(&values[from..]).for_each(|(out, value)| *out = scale * value);
            }
        }
        out
    }
}

vectorized! {
    /// The sum, as sixteen sums side by side: the loop can be vectorised, and the order is fixed.
    pub(super) fn sum(values: &[f32]) -> f64 {
        let mut sums = [0.0f64; 16];
        let (values, rest) = values.as_chunks::<16>();
        for values in values {
            for lane in 0..16 {
                sums[lane] += f64::from(values[lane]);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value)).sum::<f64>()
    }
}

/// The sum of all, in blocks whose order is fixed.
fn total(values: &[f32]) -> f64 {
    values.par_chunks(BLOCK).on_threads().map(sum).collect::<Vec<_>>().into_iter().sum()
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

    fn extreme(&self, name: &str, better: impl Fn(f32, f32) -> bool) -> Self {
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

    fn extremes(&self, name: &str, axis: isize, better: impl Fn(f32, f32) -> bool) -> Self {
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

    fn best_indices(&self, name: &str, axis: isize, better: impl Fn(f32, f32) -> bool) -> Result<ArrayD<usize>> {
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
            let mut y = Buffer::unset(x.values.len());
            for (_, places) in along.lines() {
                let Exponentials { largest, sum } = Exponentials::new(places.clone().map(|place| x.values[place]));
                let (scale, log_sum) = ((1.0 / sum) as f32, sum.ln() as f32);
                for place in places {
                    let shifted = x.values[place] - largest;
                    y[place] = if exp { scale * shifted.exp() } else { shifted - log_sum };
                }
            }
            let y = Arc::new(y);
            let backward = {
                let y = Arc::clone(&y);
                move |mut g: Buffer, gradients: &mut Gradients| {
                    for (_, places) in along.lines() {
                        // y · (g − Σ y·g), or g − softmax · Σ g.
                        let weight = |place: usize| if exp { f64::from(y[place]) } else { 1.0 };
                        let sum: f64 = places.clone().map(|place| weight(place) * f64::from(g[place])).sum();
                        let sum = sum as f32;
                        for place in places {
                            g[place] = if exp { y[place] * (g[place] - sum) } else { g[place] - y[place].exp() * sum };
                        }
                    }
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
            let y = along.lines().map(|(_, places)| Exponentials::new(places.map(|place| x.values[place])).log_sum());
            let y: Arc<Buffer> = Arc::new(y.collect::<Vec<_>>().into());
            let backward = {
                let y = Arc::clone(&y);
                move |g: Buffer, gradients: &mut Gradients| {
                    let mut gradient = Buffer::unset(x.values.len());
                    for (line, places) in along.lines() {
                        let (g, y) = (g[line], y[line]);
                        places.for_each(|place| gradient[place] = g * (x.values[place] - y).exp());
                    }
                    gradients.add_to(&x, gradient);
                }
            };
            Ok((along.without(shape), y, backward))
        })
    }
}

/// Σ e^(x − the largest) of values, of which there is at least one.
struct Exponentials {
    largest: f32,
    sum: f64,
}

impl Exponentials {
    fn new(values: impl Iterator<Item = f32> + Clone) -> Self {
        let larger = |largest: f32, value: f32| if value > largest || value.is_nan() { value } else { largest };
        let largest = values.clone().fold(f32::NEG_INFINITY, larger);
        Self { largest, sum: values.map(|value| f64::from((value - largest).exp())).sum() }
    }

    fn log_sum(&self) -> f32 {
        // ∞ − ∞ is NaN, but the logarithm of e^∞ is ∞, and of a sum of zeros −∞.
        if self.largest.is_infinite() { self.largest } else { self.largest + self.sum.ln() as f32 }
    }
}

/// The place of the best value of each line; NaN is better than all, as PyTorch has it.
fn best_places(along: Along, values: &[f32], better: impl Fn(f32, f32) -> bool) -> Vec<usize> {
    let wins = |new: f32, best: f32| (better(new, best) || new.is_nan()) && !best.is_nan();
    let best = |places: &mut dyn Iterator<Item = usize>| {
        places.reduce(|best, place| if wins(values[place], values[best]) { place } else { best }).unwrap_or_default()
    };
    along.lines().map(|(_, mut places)| best(&mut places)).collect()
}
