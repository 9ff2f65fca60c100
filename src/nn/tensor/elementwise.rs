//! Operations value by value, of one tensor or of two whose shapes are broadcast.

use std::{ops, sync::Arc};

use rayon::prelude::*;

use super::{Tensor, count, operation, reduce::Along};
use crate::{
    engine::{BLOCK, Buffer, OnThreads, tiny_to_zero, vectorized},
    nn::{
        layers::{exp_m1, exp_of_any, ln, normal, sigmoid, softplus, tanh},
        tape::Gradients,
    },
};

vectorized! {
    fn values_of_one<F: Fn(f32) -> f32>(f: &F, x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x));
    }

    fn gradient_of_one<F: Fn(f32, f32) -> f32>(slope: &F, x: &[f32], y: &[f32], g: &mut [f32]) {
        g.iter_mut().zip(x.iter().zip(y)).for_each(|(g, (x, y))| *g = chain(*g, slope(*x, *y)));
    }

    fn values_of_two<F: Fn(f32, f32) -> f32>(f: &F, a: &[f32], b: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b));
    }

    fn chosen_of_two(condition: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
        let values = condition.iter().zip(a.iter().zip(b));
        y.iter_mut().zip(values).for_each(|(y, (condition, (a, b)))| *y = if *condition == 0.0 { *b } else { *a });
    }

    /// Keeps the gradient where the condition is (or is not) 0.
    fn kept_of_chosen(condition: &[f32], where_zero: bool, g: &mut [f32]) {
        g.iter_mut().zip(condition).for_each(|(g, c)| *g = if (*c == 0.0) == where_zero { *g } else { 0.0 });
    }
}

/// y = f(x) value by value, with `slope(x, y)` = ∂y/∂x.
fn map(
    name: &str,
    x: &Tensor,
    f: impl Fn(f32) -> f32 + Sync + Send,
    slope: impl Fn(f32, f32) -> f32 + Sync + Send + 'static,
) -> Tensor {
    operation(name, &[x], |inputs| {
        let x = inputs[0].variable.clone();
        let mut y = Buffer::unset(x.values.len());
        let blocks = y.par_chunks_mut(BLOCK).zip(x.values.par_chunks(BLOCK));
        blocks.on_threads().for_each(|(y, x)| values_of_one(&f, x, y));
        let y = Arc::new(y);
        let backward = {
            let y = Arc::clone(&y);
            move |mut g: Buffer, gradients: &mut Gradients| {
                let blocks = x.values.par_chunks(BLOCK).zip(y.par_chunks(BLOCK));
                let blocks = g.par_chunks_mut(BLOCK).zip(blocks);
                blocks.on_threads().for_each(|(g, (x, y))| gradient_of_one(&slope, x, y, g));
                gradients.add_to(&x, g);
            }
        };
        Ok((inputs[0].shape.clone(), y, backward))
    })
}

/// The gradient that goes on from an operation with this slope. Where none comes, none goes on, also where the slope is
/// infinite or NaN: so what [`Tensor::where_cond`] has not chosen cannot spoil what it has.
#[inline(always)]
fn chain(g: f32, slope: f32) -> f32 {
    if g == 0.0 { 0.0 } else { tiny_to_zero(g * slope) }
}

// Functions too large for closures in vectorised loops.

#[inline(always)]
fn softplus_of_any(x: f32) -> f32 {
    if x < -87.0 { 0.0 } else { softplus(x) }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp_of_any(-x))
}

#[inline(always)]
fn silu_slope(x: f32, _y: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp_of_any(-x));
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    tiny_to_zero(x * normal(x).0)
}

#[inline(always)]
fn gelu_slope(x: f32, _y: f32) -> f32 {
    let (below, density) = normal(x);
    // Beyond ±14 the density is 0 but for its limit, which a large x would make noticeable.
    below + x.clamp(-14.0, 14.0) * density
}

impl Tensor {
    /// eˣ.
    pub fn exp(&self) -> Self {
        map("exp", self, exp_of_any, |_, y| y)
    }

    /// The natural logarithm; −∞ at 0, NaN below.
    pub fn ln(&self) -> Self {
        map("ln", self, ln, |x, _| 1.0 / x)
    }

    /// ln(1 + x), exact near 0; −∞ at −1, NaN below.
    pub fn log1p(&self) -> Self {
        map("log1p", self, f32::ln_1p, |x, _| 1.0 / (1.0 + x))
    }

    /// √x; NaN below 0. Its gradient is infinite at 0.
    pub fn sqrt(&self) -> Self {
        map("sqrt", self, f32::sqrt, |_, y| 0.5 / y)
    }

    /// x².
    pub fn square(&self) -> Self {
        map("square", self, |x| x * x, |x, _| 2.0 * x)
    }

    /// |x|; its gradient is 0 at 0, as PyTorch's.
    pub fn abs(&self) -> Self {
        map("abs", self, f32::abs, |x, _| signum(x))
    }

    /// −1, 0 or 1; without a gradient.
    pub fn sign(&self) -> Self {
        map("sign", self, signum, |_, _| 0.0)
    }

    /// sin x, of radians.
    pub fn sin(&self) -> Self {
        map("sin", self, f32::sin, |x, _| x.cos())
    }

    /// cos x, of radians.
    pub fn cos(&self) -> Self {
        map("cos", self, f32::cos, |x, _| -x.sin())
    }

    /// x to a power; NaN for a negative x where the exponent is no integer.
    pub fn powf(&self, exponent: f32) -> Self {
        map(
            "powf",
            self,
            move |x| x.powf(exponent),
            move |x, _| if exponent == 0.0 { 0.0 } else { exponent * x.powf(exponent - 1.0) },
        )
    }

    /// x within [`low`, `high`]; the gradient is 0 outside, and 1 at the bounds, as PyTorch's. NaN stays.
    pub fn clamp(&self, low: f32, high: f32) -> Self {
        map(
            "clamp",
            self,
            move |x| {
                if x < low {
                    low
                } else if x > high {
                    high
                } else {
                    x
                }
            },
            move |x, _| f32::from(x >= low && x <= high),
        )
    }

    /// max(0, x); its gradient is 0 at 0, as PyTorch's.
    pub fn relu(&self) -> Self {
        map("relu", self, |x| if x < 0.0 { 0.0 } else { x }, |x, _| f32::from(x > 0.0))
    }

    /// x where it is above 0, slope · x elsewhere.
    pub fn leaky_relu(&self, slope: f32) -> Self {
        map(
            "leaky_relu",
            self,
            move |x| if x > 0.0 { x } else { slope * x },
            move |x, _| if x > 0.0 { 1.0 } else { slope },
        )
    }

    /// x where it is above 0, α(eˣ − 1) elsewhere (Clevert et al. 2015; α is usually 1).
    pub fn elu(&self, alpha: f32) -> Self {
        map(
            "elu",
            self,
            move |x| if x > 0.0 { x } else { alpha * exp_m1(x) },
            move |x, y| if x > 0.0 { 1.0 } else { y + alpha },
        )
    }

    /// λ·x above 0, λ·α·(eˣ − 1) elsewhere, with λ = 1.0507 and α = 1.6733 (Klambauer et al. 2017).
    pub fn selu(&self) -> Self {
        map(
            "selu",
            self,
            |x| if x > 0.0 { SELU.0 * x } else { SELU.0 * SELU.1 * exp_m1(x) },
            |x, y| if x > 0.0 { SELU.0 } else { y + SELU.0 * SELU.1 },
        )
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Self {
        map("tanh", self, tanh, |_, y| 1.0 - y * y)
    }

    /// 1 / (1 + e⁻ˣ).
    pub fn sigmoid(&self) -> Self {
        map("sigmoid", self, sigmoid, |_, y| y * (1.0 - y))
    }

    /// x · sigmoid(x), also called swish (Hendrycks and Gimpel 2016; Ramachandran et al. 2017).
    pub fn silu(&self) -> Self {
        map("silu", self, silu, silu_slope)
    }

    /// ln(1 + eˣ), without overflow.
    pub fn softplus(&self) -> Self {
        map("softplus", self, softplus_of_any, |x, _| sigmoid(x))
    }

    /// x · Φ(x), with the distribution Φ of N(0, 1) (Hendrycks and Gimpel 2016), not its approximation by tanh.
    pub fn gelu(&self) -> Self {
        map("gelu", self, gelu, gelu_slope)
    }
}

/// λ and α.
const SELU: (f32, f32) = (1.050_701, 1.673_263_2);

/// −1, 0 or 1; `f32::signum` has no 0.
fn signum(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

/// How shapes are broadcast: the shape of the result, and how its values are walked through. Neighbouring axes that are
/// walked through alike are one.
struct Broadcast<const N: usize> {
    shape: Vec<usize>,
    /// The sizes of the axes, and the stride along each of the operands: 0 where it is repeated.
    axes: Vec<(usize, [usize; N])>,
}

/// How many values of a run are worked on at once where an operand is repeated.
const REPEATED: usize = 512;

/// Values that are worth a task of their own in operations as cheap as a sum.
const LEAST: usize = 4 * BLOCK;

impl<const N: usize> Broadcast<N> {
    fn new(shapes: [&[usize]; N]) -> Result<Self, String> {
        let dimensions = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
        let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(dimensions) {
            Some(axis) => shape[axis],
            None => 1,
        };
        let mut shape = vec![0; dimensions];
        let mut axes: Vec<(usize, [usize; N])> = Vec::new();
        let mut strides = [1; N];
        for axis in (0..dimensions).rev() {
            let sizes = shapes.map(|shape| size(shape, axis));
            let first = sizes.iter().position(|size| *size != 1).unwrap_or(0);
            let of_all = sizes[first];
            if let Some(other) = sizes.iter().position(|size| ![1, of_all].contains(size)) {
                let got = format!("{:?} and {:?}", shapes[first], shapes[other]);
                return Err(format!("expected shapes that broadcast, got {got}"));
            }
            shape[axis] = of_all;
            let steps = std::array::from_fn(|operand| if sizes[operand] == 1 { 0 } else { strides[operand] });
            strides = std::array::from_fn(|operand| strides[operand] * sizes[operand]);
            match axes.last_mut() {
                _ if of_all == 1 => {}
                Some((inner, of_inner)) if (0..N).all(|operand| steps[operand] == of_inner[operand] * *inner) => {
                    *inner *= of_all;
                }
                _ => axes.push((of_all, steps)),
            }
        }
        if axes.is_empty() {
            axes.push((1, [0; N]));
        }
        count(&shape)?;
        axes.reverse();
        Ok(Self { shape, axes })
    }

    /// Where in the operands a run along the last axis begins.
    fn starts(&self, run: usize) -> [usize; N] {
        let (mut rest, mut starts) = (run, [0; N]);
        for (size, strides) in self.axes[..self.axes.len() - 1].iter().rev() {
            let index = rest % size;
            rest /= size;
            starts = std::array::from_fn(|operand| starts[operand] + index * strides[operand]);
        }
        starts
    }

    /// `work(operands, out)` for pieces of the result, with the operands' values that belong to each of its values.
    fn for_pieces(&self, operands: [&[f32]; N], out: &mut [f32], work: impl Fn([&[f32]; N], &mut [f32]) + Sync) {
        let (length, strides) = self.axes[self.axes.len() - 1];
        if out.is_empty() {
            return;
        }
        // A single long run is cut into blocks.
        let whole = out.len() == length;
        let piece = if whole { length.min(BLOCK) } else { length };
        let is_repeated = strides.contains(&0);
        let step = if is_repeated { piece.min(REPEATED) } else { piece };
        let rows = out.par_chunks_mut(piece).enumerate().with_min_len((LEAST / piece).max(1));
        let scratch = || strides.map(|stride| if stride == 0 { vec![0.0; step] } else { Vec::new() });
        rows.on_threads().for_each_init(scratch, |repeated, (row, out)| {
            let starts = if whole { strides.map(|stride| row * piece * stride) } else { self.starts(row) };
            for operand in 0..N {
                repeated[operand].fill(operands[operand][starts[operand]]);
            }
            for (index, out) in out.chunks_mut(step).enumerate() {
                let values = std::array::from_fn(|operand| match strides[operand] {
                    0 => &repeated[operand][..out.len()],
                    _ => &operands[operand][starts[operand] + index * step..][..out.len()],
                });
                work(values, out);
            }
        });
    }

    /// Sums values of the result's shape into the shape of an operand.
    fn sum_into(&self, operand: usize, mut values: Buffer) -> Buffer {
        let mut inner = 1;
        for (axis, (size, strides)) in self.axes.iter().enumerate().rev() {
            if strides[operand] == 0 && *size != 1 {
                let outer = self.axes[..axis].iter().map(|(size, _)| size).product();
                values = Along { axis: 0, outer, size: *size, inner }.sums(&values);
            } else {
                inner *= size;
            }
        }
        values
    }
}

/// y = f(a, b) value by value, with `slopes(a, b)` = [∂y/∂a, ∂y/∂b]. The first `ones` of these are 1 everywhere.
pub(super) fn zip(
    name: &str,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
    ones: usize,
    slopes: impl Fn(f32, f32) -> [f32; 2] + Sync + 'static,
) -> Tensor {
    operation(name, &[a, b], |inputs| {
        let broadcast = Broadcast::new([&inputs[0].shape, &inputs[1].shape])?;
        let operands = [0, 1].map(|operand: usize| inputs[operand].variable.clone());
        let mut y = Buffer::unset(broadcast.shape.iter().product());
        let values = [&operands[0].values[..], &operands[1].values];
        broadcast.for_pieces(values, &mut y, |[a, b], y| values_of_two(&f, a, b, y));
        let shape = broadcast.shape.clone();
        let backward = move |g: Buffer, gradients: &mut Gradients| {
            let values = [&operands[0].values[..], &operands[1].values];
            let of_operand = |operand: usize, mut g: Buffer| {
                if operand >= ones {
                    broadcast.for_pieces(values, &mut g, |[a, b], g| match operand {
                        0 => gradient_of_one(&|a, b| slopes(a, b)[0], a, b, g),
                        _ => gradient_of_one(&|a, b| slopes(a, b)[1], a, b, g),
                    });
                }
                broadcast.sum_into(operand, g)
            };
            let [first, second] = &operands;
            match (first.needs_gradient, second.needs_gradient) {
                (true, true) => {
                    gradients.add_to(first, of_operand(0, g.clone()));
                    gradients.add_to(second, of_operand(1, g));
                }
                (true, false) => gradients.add_to(first, of_operand(0, g)),
                (false, _) => gradients.add_to(second, of_operand(1, g)),
            }
        };
        Ok((shape, Arc::new(y), backward))
    })
}

impl Tensor {
    /// The smaller of both, broadcast, value by value; NaN where one is. Where they are equal the gradient is shared,
    /// as
    /// PyTorch's.
    pub fn minimum(&self, other: &Self) -> Self {
        zip("minimum", self, other, |a, b| if a < b || a.is_nan() { a } else { b }, 0, |a, b| chosen(a < b, a == b))
    }

    /// The larger of both, broadcast, value by value; NaN where one is. Where they are equal the gradient is shared, as
    /// PyTorch's.
    pub fn maximum(&self, other: &Self) -> Self {
        zip("maximum", self, other, |a, b| if a > b || a.is_nan() { a } else { b }, 0, |a, b| chosen(a > b, a == b))
    }

    /// 1 where this is greater than the other, else 0; without a gradient.
    pub fn greater(&self, other: &Self) -> Self {
        compare("greater", self, other, |a, b| a > b)
    }

    /// 1 where this is less than the other, else 0; without a gradient.
    pub fn less(&self, other: &Self) -> Self {
        compare("less", self, other, |a, b| a < b)
    }

    /// 1 where this is greater than or equal to the other, else 0; without a gradient.
    pub fn greater_equal(&self, other: &Self) -> Self {
        compare("greater_equal", self, other, |a, b| a >= b)
    }

    /// 1 where this is less than or equal to the other, else 0; without a gradient.
    pub fn less_equal(&self, other: &Self) -> Self {
        compare("less_equal", self, other, |a, b| a <= b)
    }

    /// 1 where both are equal, else 0; without a gradient.
    pub fn equal(&self, other: &Self) -> Self {
        compare("equal", self, other, |a, b| a == b)
    }

    /// The first where this is not 0, the second elsewhere (`torch.where`); all three are broadcast. Values that are
    /// not chosen, and what they were computed from, get no gradient: `x.greater(&zero).where_cond(&x.ln(), &zero)` has
    /// a finite one for any x, other than PyTorch's.
    ///
    /// ```
    /// use latentlab::{Tensor, ndarray::array};
    ///
    /// let x = Tensor::from(&array![-2.0f32, 3.0]);
    /// let y = x.greater(&Tensor::from(0.0)).where_cond(&x, &(&x * 0.1));
    /// assert_eq!(y.to_array()?, array![-0.2, 3.0].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn where_cond(&self, on_true: &Self, on_false: &Self) -> Self {
        operation("where_cond", &[&self.detach(), on_true, on_false], |inputs| {
            let broadcast = Broadcast::new([0, 1, 2].map(|index: usize| &inputs[index].shape[..]))?;
            let operands = [0, 1, 2].map(|operand: usize| inputs[operand].variable.clone());
            let mut y = Buffer::unset(broadcast.shape.iter().product());
            let values = operands.each_ref().map(|operand| &operand.values[..]);
            broadcast.for_pieces(values, &mut y, |[condition, a, b], y| chosen_of_two(condition, a, b, y));
            let shape = broadcast.shape.clone();
            let backward = move |g: Buffer, gradients: &mut Gradients| {
                let values = operands.each_ref().map(|operand| &operand.values[..]);
                for operand in (1..3).filter(|operand| operands[*operand].needs_gradient) {
                    let mut g = g.clone();
                    broadcast
                        .for_pieces(values, &mut g, |[condition, ..], g| kept_of_chosen(condition, operand == 2, g));
                    gradients.add_to(&operands[operand], broadcast.sum_into(operand, g));
                }
            };
            Ok((shape, Arc::new(y), backward))
        })
    }
}

/// The gradients of a minimum or a maximum.
fn chosen(first: bool, equal: bool) -> [f32; 2] {
    match (first, equal) {
        (_, true) => [0.5, 0.5],
        (true, _) => [1.0, 0.0],
        (false, _) => [0.0, 1.0],
    }
}

fn compare(name: &str, a: &Tensor, b: &Tensor, holds: impl Fn(f32, f32) -> bool + Sync) -> Tensor {
    zip(name, &a.detach(), &b.detach(), |a, b| f32::from(holds(a, b)), 0, |_, _| [0.0, 0.0])
}

macro_rules! operators {
    ($($trait:ident, $method:ident, $symbol:literal, $f:expr, $ones:literal, $slopes:expr;)+) => {$(
        impl ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;

            fn $method(self, other: &Tensor) -> Tensor {
                zip($symbol, self, other, $f, $ones, $slopes)
            }
        }
        operators!(@by $trait, $method, Tensor, Tensor, |a, b| (&a, &b));
        operators!(@by $trait, $method, Tensor, &Tensor, |a, b| (&a, b));
        operators!(@by $trait, $method, &Tensor, Tensor, |a, b| (a, &b));
        operators!(@by $trait, $method, &Tensor, f32, |a, b| (a, &Tensor::from(b)));
        operators!(@by $trait, $method, Tensor, f32, |a, b| (&a, &Tensor::from(b)));
        operators!(@by $trait, $method, f32, &Tensor, |a, b| (&Tensor::from(a), b));
        operators!(@by $trait, $method, f32, Tensor, |a, b| (&Tensor::from(a), &b));
    )+};
    (@by $trait:ident, $method:ident, $left:ty, $right:ty, |$a:ident, $b:ident| ($x:expr, $y:expr)) => {
        impl ops::$trait<$right> for $left {
            type Output = Tensor;

            fn $method(self, other: $right) -> Tensor {
                let ($a, $b) = (self, other);
                ops::$trait::$method($x, $y)
            }
        }
    };
}

operators! {
    Add, add, "+", |a, b| a + b, 2, |_, _| [1.0, 1.0];
    Sub, sub, "-", |a, b| a - b, 1, |_, _| [1.0, -1.0];
    Mul, mul, "*", |a, b| a * b, 0, |a, b| [b, a];
    Div, div, "/", |a, b| a / b, 0, |a, b| [1.0 / b, -a / (b * b)];
}

impl ops::Neg for &Tensor {
    type Output = Tensor;

    fn neg(self) -> Tensor {
        map("-", self, |x| -x, |_, _| -1.0)
    }
}

impl ops::Neg for Tensor {
    type Output = Self;

    fn neg(self) -> Self {
        -&self
    }
}
