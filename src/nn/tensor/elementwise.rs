//! Operations value by value, of one tensor or of two whose shapes are broadcast.

use std::{ops, sync::Arc};

use rayon::prelude::*;

use super::{Tensor, count, operation, reduce::sum};
use crate::{
    engine::{BLOCK, Buffer, OnThreads, tiny_to_zero},
    nn::{layers::sigmoid, tape::Gradients},
};

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
        blocks.on_threads().for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x)));
        let y = Arc::new(y);
        let backward = {
            let y = Arc::clone(&y);
            move |mut g: Buffer, gradients: &mut Gradients| {
                let blocks = x.values.par_chunks(BLOCK).zip(y.par_chunks(BLOCK));
                g.par_chunks_mut(BLOCK).zip(blocks).on_threads().for_each(|(g, (x, y))| {
                    g.iter_mut().zip(x.iter().zip(y)).for_each(|(g, (x, y))| *g = chain(*g, slope(*x, *y)));
                });
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

/// φ(x), the density of N(0, 1).
fn normal_density(x: f32) -> f32 {
    (-0.5 * x * x).exp() / (2.0 * std::f32::consts::PI).sqrt()
}

fn normal_distribution(x: f32) -> f32 {
    0.5 * libm::erfcf(-x * std::f32::consts::FRAC_1_SQRT_2)
}

impl Tensor {
    /// eˣ.
    pub fn exp(&self) -> Self {
        map("exp", self, f32::exp, |_, y| y)
    }

    /// The natural logarithm; −∞ at 0, NaN below.
    pub fn ln(&self) -> Self {
        map("ln", self, f32::ln, |x, _| 1.0 / x)
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
            move |x| if x > 0.0 { x } else { alpha * x.exp_m1() },
            move |x, y| if x > 0.0 { 1.0 } else { y + alpha },
        )
    }

    /// λ·x above 0, λ·α·(eˣ − 1) elsewhere, with λ = 1.0507 and α = 1.6733 (Klambauer et al. 2017).
    pub fn selu(&self) -> Self {
        map(
            "selu",
            self,
            |x| if x > 0.0 { SELU.0 * x } else { SELU.0 * SELU.1 * x.exp_m1() },
            |x, y| if x > 0.0 { SELU.0 } else { y + SELU.0 * SELU.1 },
        )
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Self {
        map("tanh", self, f32::tanh, |_, y| 1.0 - y * y)
    }

    /// 1 / (1 + e⁻ˣ).
    pub fn sigmoid(&self) -> Self {
        map("sigmoid", self, sigmoid, |_, y| y * (1.0 - y))
    }

    /// x · sigmoid(x), also called swish (Hendrycks and Gimpel 2016; Ramachandran et al. 2017).
    pub fn silu(&self) -> Self {
        let slope = |x: f32, _| {
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            sigmoid * (1.0 + x * (1.0 - sigmoid))
        };
        map("silu", self, |x| x / (1.0 + (-x).exp()), slope)
    }

    /// ln(1 + eˣ), without overflow.
    pub fn softplus(&self) -> Self {
        map("softplus", self, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), |x, _| sigmoid(x))
    }

    /// x · Φ(x), with the distribution Φ of N(0, 1) (Hendrycks and Gimpel 2016), not its approximation by tanh.
    pub fn gelu(&self) -> Self {
        map("gelu", self, |x| x * normal_distribution(x), |x, _| normal_distribution(x) + x * normal_density(x))
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

/// How two shapes are broadcast: the shape of the result, and how its values are walked through. Neighbouring axes that
/// are walked through alike are one.
struct Broadcast {
    shape: Vec<usize>,
    /// The sizes of the axes, and the stride along each of both operands: 0 where it is repeated.
    axes: Vec<(usize, [usize; 2])>,
}

impl Broadcast {
    fn new(a: &[usize], b: &[usize]) -> Result<Self, String> {
        let dimensions = a.len().max(b.len());
        let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(dimensions) {
            Some(axis) => shape[axis],
            None => 1,
        };
        let mut shape = vec![0; dimensions];
        let mut axes: Vec<(usize, [usize; 2])> = Vec::new();
        let mut strides = [1, 1];
        for axis in (0..dimensions).rev() {
            let sizes = [size(a, axis), size(b, axis)];
            let of_both = match sizes {
                [a, b] if a == b => a,
                [1, other] | [other, 1] => other,
                _ => return Err(format!("expected shapes that broadcast, got {a:?} and {b:?}")),
            };
            shape[axis] = of_both;
            let steps = [0, 1].map(|operand| if sizes[operand] == 1 { 0 } else { strides[operand] });
            strides = [0, 1].map(|operand| strides[operand] * sizes[operand]);
            match axes.last_mut() {
                _ if of_both == 1 => {}
                Some((inner, of_inner)) if (0..2).all(|operand| steps[operand] == of_inner[operand] * *inner) => {
                    *inner *= of_both;
                }
                _ => axes.push((of_both, steps)),
            }
        }
        if axes.is_empty() {
            axes.push((1, [0, 0]));
        }
        count(&shape)?;
        axes.reverse();
        Ok(Self { shape, axes })
    }

    /// How many values one run along the last axis has, and the operands' strides along it.
    fn run(&self) -> (usize, [usize; 2]) {
        self.axes[self.axes.len() - 1]
    }

    /// Where in the operands a run begins.
    fn starts(&self, run: usize) -> [usize; 2] {
        let (mut rest, mut starts) = (run, [0, 0]);
        for (size, strides) in self.axes[..self.axes.len() - 1].iter().rev() {
            let index = rest % size;
            rest /= size;
            starts = [0, 1].map(|operand| starts[operand] + index * strides[operand]);
        }
        starts
    }

    /// `f(a, b)` for each value of the result.
    fn zip(&self, a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Buffer {
        let mut out = Buffer::unset(self.shape.iter().product());
        let (length, strides) = self.run();
        if out.is_empty() {
            return out;
        }
        // A single long run is cut into blocks.
        let whole = out.len() == length;
        let piece = if whole { length.min(BLOCK) } else { length };
        let rows = out.par_chunks_mut(piece).enumerate().with_min_len((BLOCK / piece).max(1));
        let each = |(row, out): (usize, &mut [f32])| {
            let [i, j] = if whole { strides.map(|stride| row * piece * stride) } else { self.starts(row) };
            match strides {
                [1, 1] => out.iter_mut().zip(a[i..].iter().zip(&b[j..])).for_each(|(out, (a, b))| *out = f(*a, *b)),
                [1, 0] => out.iter_mut().zip(&a[i..]).for_each(|(out, a)| *out = f(*a, b[j])),
                [0, 1] => out.iter_mut().zip(&b[j..]).for_each(|(out, b)| *out = f(a[i], *b)),
                [_, _] => out.fill(f(a[i], b[j])),
            }
        };
        rows.on_threads().for_each(each);
        out
    }

    /// Sums values of the result's shape into the shape of an operand.
    fn sum_into(&self, operand: usize, values: Buffer, size: usize) -> Buffer {
        if size == values.len() {
            return values;
        }
        let mut sums = vec![0.0f64; size];
        let (length, strides) = self.run();
        for (row, values) in values.chunks(length.max(1)).enumerate() {
            let start = self.starts(row)[operand];
            match strides[operand] {
                0 => sums[start] += sum(values),
                _ => sums[start..].iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value)),
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>().into()
    }
}

/// y = f(a, b) value by value, with `slopes(a, b)` = [∂y/∂a, ∂y/∂b].
pub(super) fn zip(
    name: &str,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
    slopes: impl Fn(f32, f32) -> [f32; 2] + Sync + 'static,
) -> Tensor {
    operation(name, &[a, b], |inputs| {
        let broadcast = Broadcast::new(&inputs[0].shape, &inputs[1].shape)?;
        let operands = [0, 1].map(|operand: usize| inputs[operand].variable.clone());
        let y = broadcast.zip(&operands[0].values, &operands[1].values, f);
        let shape = broadcast.shape.clone();
        let backward = move |g: Buffer, gradients: &mut Gradients| {
            let [a, b] = operands.each_ref().map(|operand| &operand.values);
            for (index, operand) in operands.iter().enumerate().filter(|(_, operand)| operand.needs_gradient) {
                let mut gradient = broadcast.zip(a, b, |a, b| slopes(a, b)[index]);
                let blocks = gradient.par_chunks_mut(BLOCK).zip(g.par_chunks(BLOCK));
                blocks.on_threads().for_each(|(slope, g)| {
                    slope.iter_mut().zip(g).for_each(|(slope, g)| *slope = chain(*g, *slope));
                });
                gradients.add_to(operand, broadcast.sum_into(index, gradient, operand.values.len()));
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
        zip("minimum", self, other, |a, b| if a < b || a.is_nan() { a } else { b }, |a, b| chosen(a < b, a == b))
    }

    /// The larger of both, broadcast, value by value; NaN where one is. Where they are equal the gradient is shared, as
    /// PyTorch's.
    pub fn maximum(&self, other: &Self) -> Self {
        zip("maximum", self, other, |a, b| if a > b || a.is_nan() { a } else { b }, |a, b| chosen(a > b, a == b))
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
        let keep = |condition: f32, value: f32| if condition == 0.0 { 0.0 } else { value };
        let condition = self.detach();
        let not = map("where_cond", &condition, |c| f32::from(c == 0.0), |_, _| 0.0);
        let part = |condition: &Self, value: &Self| {
            zip("where_cond", condition, value, keep, move |c, _| [0.0, f32::from(c != 0.0)])
        };
        let sum = |a: &Self, b: &Self| zip("where_cond", a, b, |a, b| a + b, |_, _| [1.0, 1.0]);
        sum(&part(&condition, on_true), &part(&not, on_false))
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
    zip(name, &a.detach(), &b.detach(), |a, b| f32::from(holds(a, b)), |_, _| [0.0, 0.0])
}

macro_rules! operators {
    ($($trait:ident, $method:ident, $symbol:literal, $f:expr, $slopes:expr;)+) => {$(
        impl ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;

            fn $method(self, other: &Tensor) -> Tensor {
                zip($symbol, self, other, $f, $slopes)
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
    Add, add, "+", |a, b| a + b, |_, _| [1.0, 1.0];
    Sub, sub, "-", |a, b| a - b, |_, _| [1.0, -1.0];
    Mul, mul, "*", |a, b| a * b, |a, b| [b, a];
    Div, div, "/", |a, b| a / b, |a, b| [1.0 / b, -a / (b * b)];
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
