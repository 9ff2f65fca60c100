//! Other shapes of the same values, parts of a tensor, and tensors put together.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{Made, Tensor, Value, count, elementwise::zip, mistake, numbers, operation, reduce::Along};
use crate::{
    engine::{BLOCK, Buffer, OnThreads},
    nn::{
        layers::transposed,
        tape::{Gradients, Variable},
    },
};

/// The same values in another shape.
fn reshaped(input: &Value, shape: Vec<usize>) -> Made<impl FnOnce(Buffer, &mut Gradients) + use<>> {
    let x = input.variable.clone();
    let values = Arc::clone(&x.values);
    Ok((shape, values, move |g: Buffer, gradients: &mut Gradients| gradients.add_to(&x, g)))
}

/// Copies blocks of `length` values between places of two buffers.
fn copy(from: &[f32], to: &mut [f32], length: usize, places: impl Iterator<Item = (usize, usize)>) {
    places.for_each(|(a, b)| to[b..b + length].copy_from_slice(&from[a..a + length]));
}

/// The same order of axes, with those as one that stay side by side, and without those of size 1.
fn merged(shape: &[usize], axes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    // Of each group its first axis, and the size of all.
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut next = None;
    for axis in axes.iter().copied().filter(|axis| shape[*axis] != 1) {
        let follows = next.is_some_and(|next| (next..axis).all(|between| shape[between] == 1) && next <= axis);
        match groups.last_mut() {
            Some((_, size)) if follows => *size *= shape[axis],
            _ => groups.push((axis, shape[axis])),
        }
        next = Some(axis + 1);
    }
    let mut sorted = groups.clone();
    sorted.sort_unstable();
    let place = |group: &(usize, usize)| sorted.iter().position(|other| other == group).unwrap_or_default();
    (sorted.iter().map(|(_, size)| *size).collect(), groups.iter().map(place).collect())
}

/// The values with their axes in another order.
fn permuted(values: &[f32], shape: &[usize], axes: &[usize]) -> Buffer {
    let (shape, axes) = merged(shape, axes);
    match axes[..] {
        [1, 0] => return transposed(values, shape[0], shape[1]),
        [0, 2, 1] => return transposed(values, shape[1], shape[2]),
        _ => {}
    }
    let mut out = Buffer::unset(values.len());
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let Some((last, outer)) = axes.split_last().filter(|_| !values.is_empty()) else {
        out.copy_from_slice(values);
        return out;
    };
    let outer: Vec<(usize, usize)> = outer.iter().rev().map(|axis| (shape[*axis], stride(*axis))).collect();
    let (length, step) = (shape[*last], stride(*last));
    let rows = out.par_chunks_mut(length).enumerate().with_min_len((BLOCK / length).max(1));
    rows.on_threads().for_each(|(row, out)| {
        let (mut rest, mut start) = (row, 0);
        for (size, stride) in &outer {
            start += rest % size * stride;
            rest /= size;
        }
        if step == 1 {
            out.copy_from_slice(&values[start..start + length]);
        } else {
            out.iter_mut().zip(values[start..].iter().step_by(step)).for_each(|(out, value)| *out = *value);
        }
    });
    out
}

/// The order of axes that undoes this one.
fn inverse(axes: &[usize]) -> Vec<usize> {
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(index, axis)| back[*axis] = index);
    back
}

impl Tensor {
    /// The same values in another shape, row by row.
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Self {
        self.reshape_to(shape.as_ref())
    }

    fn reshape_to(&self, shape: &[usize]) -> Self {
        operation("reshape", &[self], |inputs| {
            let (from, values) = (&inputs[0].shape, inputs[0].variable.values.len());
            if count(shape)? != values {
                return Err(format!("expected a shape of {values} values for {from:?}, got {shape:?}"));
            }
            reshaped(inputs[0], shape.to_vec())
        })
    }

    /// (n, …) to (n, values of a row).
    pub fn flatten(&self) -> Self {
        operation("flatten", &[self], |inputs| {
            let [rows, rest @ ..] = &inputs[0].shape[..] else {
                return Err("expected at least one dimension, got a single value".into());
            };
            reshaped(inputs[0], vec![*rows, rest.iter().product()])
        })
    }

    /// A new axis of size 1 at this place; −1 puts it at the end.
    pub fn unsqueeze(&self, axis: isize) -> Self {
        operation("unsqueeze", &[self], |inputs| {
            let mut shape = inputs[0].shape.clone();
            let places = shape.len() as isize + 1;
            let index = if axis < 0 { axis + places } else { axis };
            if !(0..places).contains(&index) {
                return Err(format!("expected a place among {places}, got {axis} for shape {shape:?}"));
            }
            shape.insert(index as usize, 1);
            reshaped(inputs[0], shape)
        })
    }

    /// Without this axis, which must have size 1.
    pub fn squeeze(&self, axis: isize) -> Self {
        operation("squeeze", &[self], |inputs| {
            let mut shape = inputs[0].shape.clone();
            let along = Along::new(&shape, axis)?;
            if along.size != 1 {
                return Err(format!("expected size 1 along axis {axis}, got shape {shape:?}"));
            }
            shape.remove(along.axis);
            reshaped(inputs[0], shape)
        })
    }

    /// The last two axes exchanged.
    pub fn transpose(&self) -> Self {
        let dimensions = self.shape().len();
        let mut axes: Vec<usize> = (0..dimensions).collect();
        if self.check().is_ok() && dimensions < 2 {
            let message = format!("expected at least two dimensions, got shape {:?}", self.shape());
            return Self(Err(mistake("transpose", message)));
        }
        axes[dimensions.saturating_sub(2)..].reverse();
        self.permute(axes)
    }

    /// The axes in another order: axis i of the result is axis `axes[i]` of this.
    pub fn permute(&self, axes: impl AsRef<[usize]>) -> Self {
        self.permute_to(axes.as_ref())
    }

    fn permute_to(&self, axes: &[usize]) -> Self {
        operation("permute", &[self], |inputs| {
            let (x, shape) = (inputs[0].variable.clone(), &inputs[0].shape);
            let mut sorted = axes.to_vec();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..shape.len()) {
                return Err(format!("expected each axis of shape {shape:?} once, got {axes:?}"));
            }
            let values = permuted(&x.values, shape, axes);
            let shape: Vec<usize> = axes.iter().map(|axis| shape[*axis]).collect();
            let (of_result, back) = (shape.clone(), inverse(axes));
            Ok((shape, Arc::new(values), move |g: Buffer, gradients: &mut Gradients| {
                gradients.add_to(&x, permuted(&g, &of_result, &back));
            }))
        })
    }

    /// Repeated to this shape by the rules of broadcasting.
    pub fn broadcast_to(&self, shape: impl AsRef<[usize]>) -> Self {
        self.repeat_to(shape.as_ref())
    }

    fn repeat_to(&self, shape: &[usize]) -> Self {
        let repeated = zip("broadcast_to", self, &Self::zeros(shape), |x, _| x, 1, |_, _| [1.0, 0.0]);
        if repeated.check().is_ok() && repeated.shape() != shape {
            let message = format!("expected a shape that broadcasts to {shape:?}, got {:?}", self.shape());
            return Self(Err(mistake("broadcast_to", message)));
        }
        repeated
    }

    /// A part along an axis, as in `x.slice(-1, 0..2)`.
    pub fn slice(&self, axis: isize, range: Range<usize>) -> Self {
        operation("slice", &[self], |inputs| {
            let (x, mut shape) = (inputs[0].variable.clone(), inputs[0].shape.clone());
            let along = Along::new(&shape, axis)?;
            if range.start > range.end || range.end > along.size {
                return Err(format!("expected a range within 0..{} of axis {axis}, got {range:?}", along.size));
            }
            let taken = range.len() * along.inner;
            let (whole, start) = (along.size * along.inner, range.start * along.inner);
            let places = move || (0..along.outer).map(move |row| (row * whole + start, row * taken));
            shape[along.axis] = range.len();
            let mut values = Buffer::unset(along.outer * taken);
            copy(&x.values, &mut values, taken, places());
            Ok((shape, Arc::new(values), move |g: Buffer, gradients: &mut Gradients| {
                let mut gradient = Buffer::zeros(x.values.len());
                copy(&g, &mut gradient, taken, places().map(|(whole, part)| (part, whole)));
                gradients.add_to(&x, gradient);
            }))
        })
    }

    /// The first and the second half of the last axis, such as mean and logarithmic variance of a variational encoder.
    pub fn halves(&self) -> [Self; 2] {
        let last = self.shape().last().copied().unwrap_or(0);
        if self.check().is_ok() && (last == 0 || !last.is_multiple_of(2)) {
            let message = format!("expected an even size of the last axis, got shape {:?}", self.shape());
            let wrong = Self(Err(mistake("halves", message)));
            return [wrong.clone(), wrong];
        }
        [self.slice(-1, 0..last / 2), self.slice(-1, last / 2..last)]
    }

    /// Tensors side by side along an axis; their other sizes must be equal.
    ///
    /// ```
    /// use latentlab::Tensor;
    ///
    /// let (z, y) = (Tensor::zeros([5, 2]), Tensor::one_hot(&[0, 1, 2, 0, 1], 10));
    /// assert_eq!(Tensor::concat([&z, &y], -1).shape(), [5, 12]);
    /// ```
    pub fn concat<'a>(tensors: impl IntoIterator<Item = &'a Self>, axis: isize) -> Self {
        Self::concat_each(&mut tensors.into_iter(), axis)
    }

    pub(super) fn concat_each(tensors: &mut dyn Iterator<Item = &Self>, axis: isize) -> Self {
        let tensors: Vec<&Self> = tensors.collect();
        operation("concat", &tensors, |inputs| {
            let first = &inputs.first().ok_or("expected at least one tensor, got none")?.shape;
            let along = Along::new(first, axis)?;
            for input in inputs {
                let other = &input.shape;
                let fits = other.len() == first.len()
                    && (0..first.len()).all(|index| index == along.axis || first[index] == other[index]);
                if !fits {
                    return Err(format!("expected equal shapes but for axis {axis}, got {first:?} and {other:?}"));
                }
            }
            let widths: Vec<usize> = inputs.iter().map(|input| input.shape[along.axis] * along.inner).collect();
            let variables: Vec<Variable> = inputs.iter().map(|input| input.variable.clone()).collect();
            let mut shape = first.clone();
            shape[along.axis] = inputs.iter().map(|input| input.shape[along.axis]).sum();
            let whole: usize = widths.iter().sum();
            let mut values = Buffer::unset(count(&shape)?);
            let starts = |index: usize| widths[..index].iter().sum::<usize>();
            for (index, (x, width)) in variables.iter().zip(&widths).enumerate() {
                let start = starts(index);
                copy(&x.values, &mut values, *width, (0..along.outer).map(|row| (row * width, row * whole + start)));
            }
            Ok((shape, Arc::new(values), move |g: Buffer, gradients: &mut Gradients| {
                let mut start = 0;
                for (x, width) in variables.iter().zip(&widths) {
                    if x.needs_gradient {
                        let mut gradient = Buffer::unset(x.values.len());
                        copy(&g, &mut gradient, *width, (0..along.outer).map(|row| (row * whole + start, row * width)));
                        gradients.add_to(x, gradient);
                    }
                    start += width;
                }
            }))
        })
    }

    /// Tensors of one shape along a new axis at this place; −1 puts it at the end (`torch.stack`).
    ///
    /// ```
    /// use latentlab::Tensor;
    ///
    /// let (mean, variance) = (Tensor::zeros([5, 2]), Tensor::ones([5, 2]));
    /// assert_eq!(Tensor::stack([&mean, &variance], 0).shape(), [2, 5, 2]);
    /// ```
    pub fn stack<'a>(tensors: impl IntoIterator<Item = &'a Self>, axis: isize) -> Self {
        Self::stack_each(&mut tensors.into_iter(), axis)
    }

    fn stack_each(tensors: &mut dyn Iterator<Item = &Self>, axis: isize) -> Self {
        let tensors: Vec<&Self> = tensors.collect();
        if let [first, others @ ..] = &tensors[..]
            && let Some(other) = others.iter().find(|other| other.shape() != first.shape())
            && tensors.iter().all(|tensor| tensor.check().is_ok())
        {
            let message = format!("expected equal shapes, got {:?} and {:?}", first.shape(), other.shape());
            return Self(Err(mistake("stack", message)));
        }
        let with_axis: Vec<Self> = tensors.into_iter().map(|tensor| tensor.unsqueeze(axis)).collect();
        Self::concat(&with_axis, axis)
    }

    /// The chosen places along an axis, in this order and as often as they are named (`torch.index_select`,
    /// `tf.gather`): rows of a codebook, for example.
    pub fn index_select<'i>(&self, axis: isize, indices: impl IntoIterator<Item = &'i usize>) -> Self {
        self.select(axis, numbers(&mut indices.into_iter()))
    }

    fn select(&self, axis: isize, indices: Vec<usize>) -> Self {
        operation("index_select", &[self], |inputs| {
            let (x, mut shape) = (inputs[0].variable.clone(), inputs[0].shape.clone());
            let along = Along::new(&shape, axis)?;
            if let Some(index) = indices.iter().find(|index| **index >= along.size) {
                return Err(format!("expected indices below {} for axis {axis}, got {index}", along.size));
            }
            shape[along.axis] = indices.len();
            let mut values = Buffer::unset(count(&shape)?);
            let length = along.inner;
            let chosen = indices.len();
            for row in 0..along.outer {
                let place =
                    |(to, from): (usize, &usize)| ((row * along.size + from) * length, (row * chosen + to) * length);
                copy(&x.values, &mut values, length, indices.iter().enumerate().map(place));
            }
            Ok((shape, Arc::new(values), move |g: Buffer, gradients: &mut Gradients| {
                let mut gradient = Buffer::zeros(x.values.len());
                for row in 0..along.outer {
                    for (from, to) in indices.iter().enumerate() {
                        let sum = gradient[(row * along.size + to) * length..][..length].iter_mut();
                        sum.zip(&g[(row * chosen + from) * length..]).for_each(|(sum, g)| *sum += g);
                    }
                }
                gradients.add_to(&x, gradient);
            }))
        })
    }
}
