//! Every operation of tensors over random shapes, against plain formulas in double precision: the values, and the
//! gradients by central differences of the formulas.

use ndarray::{ArrayD, Axis, Dimension, Ix2, IxDyn, Slice, concatenate, stack};
use proptest::{
    prelude::*,
    sample::{Index, select},
};
use rand::Rng;

use crate::{
    error::ErrorKind,
    nn::tensor::{Step, Tensor},
    random,
};

type Array = ArrayD<f64>;

/// Numbers in (−1, 1) that single precision holds exactly.
fn numbers(seed: u64, shape: &[usize]) -> Array {
    let mut random = random::stream(seed, shape.len() as u64);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || f64::from(random.gen_range(-1.0f32..1.0)))
}

/// Different numbers in (−1, 1), none of which is near another, or near a multiple of 0.05 plus `shift`.
fn distinct(seed: u64, shape: &[usize], shift: f64) -> Array {
    let mut index = seed % 101;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        index = (index + 37) % 101;
        f64::from((index as f64 / 50.5 - 1.0 + 0.0031 + shift) as f32)
    })
}

fn single(array: &Array) -> Tensor {
    Tensor::from(&array.mapv(|value| value as f32))
}

fn near(what: &str, got: &ArrayD<f32>, expected: &Array, tolerance: f64) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= tolerance * (1.0 + expected.abs()), "{what}, value {index}: expected {expected}, got {got}");
    }
}

/// Checks an operation's values, and the gradients of all of its inputs.
fn check(what: &str, inputs: &[Array], ours: impl Fn(&[Tensor]) -> Tensor, plain: impl Fn(&[Array]) -> Array) {
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape()).collect();
    let what = format!("{what} of {shapes:?}");
    let step = Step::new(0);
    let tracked: Vec<Tensor> = inputs.iter().map(|input| step.tracked_input(single(input))).collect();
    let y = ours(&tracked);
    let expected = plain(inputs);
    near(&what, &y.to_array().unwrap(), &expected, 1e-5);
    // Of constants, the same.
    let constants: Vec<Tensor> = inputs.iter().map(single).collect();
    assert_eq!(ours(&constants).to_array().unwrap(), y.to_array().unwrap(), "{what}, of constants");

    let weights = numbers(1, expected.shape());
    // What compares has no gradient, and so no loss of its own.
    let used = tracked.iter().fold(Tensor::from(0.0), |sum, input| sum + input.sum() * 0.0);
    let gradients = step.backward(&((&y * single(&weights)).sum() + used)).unwrap();
    let loss = |inputs: &[Array]| (plain(inputs) * &weights).sum();
    for (number, input) in inputs.iter().enumerate() {
        let mut slopes = Array::zeros(input.raw_dim());
        for (index, slope) in slopes.iter_mut().enumerate() {
            let moved = |by: f64| {
                let mut inputs = inputs.to_vec();
                *inputs[number].iter_mut().nth(index).unwrap() += by;
                loss(&inputs)
            };
            *slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        }
        let got = gradients.of_input(&tracked[number]).unwrap();
        near(&format!("{what}, gradient {number}"), &got, &slopes, 3e-5);
    }
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(select(vec![0, 1, 1, 2, 2, 3, 3]), 0..=4)
}

/// Shapes that are broadcast to one: some sizes are 1, some leading axes are missing.
fn broadcast_shapes() -> impl Strategy<Value = Vec<Vec<usize>>> {
    (shape(), any::<[u8; 3]>(), any::<[Index; 3]>()).prop_map(|(shape, ones, missing)| {
        let of_one = |operand: usize| {
            let size = |(axis, size): (usize, &usize)| if ones[operand] >> axis & 1 == 1 { 1 } else { *size };
            let sizes: Vec<usize> = shape.iter().enumerate().map(size).collect();
            sizes[missing[operand].index(shape.len() + 1) / 2..].to_vec()
        };
        (0..3).map(of_one).collect()
    })
}

/// The index of an axis that exists, and how it may be written.
fn axis_of(shape: &[usize], index: Index, from_end: bool) -> Option<(usize, isize)> {
    let axis = (!shape.is_empty()).then(|| index.index(shape.len()))?;
    Some((axis, if from_end { axis as isize - shape.len() as isize } else { axis as isize }))
}

/// `f` of the operands, broadcast.
fn broadcast<const N: usize>(operands: &[Array], f: impl Fn([f64; N]) -> f64) -> Array {
    let dimensions = operands.iter().map(|operand| operand.ndim()).max().unwrap();
    let size = |operand: &Array, axis: usize| {
        (axis + operand.ndim()).checked_sub(dimensions).map_or(1, |axis| operand.shape()[axis])
    };
    let of_all = |axis| operands.iter().map(|operand| size(operand, axis)).find(|size| *size != 1).unwrap_or(1);
    let shape: Vec<usize> = (0..dimensions).map(of_all).collect();
    let views: Vec<_> = operands.iter().map(|operand| operand.broadcast(IxDyn(&shape)).unwrap()).collect();
    ArrayD::from_shape_fn(IxDyn(&shape), |place| f(std::array::from_fn(|operand| views[operand][&place])))
}

type Function = (&'static str, fn(&Tensor) -> Tensor);
type Unary = (&'static str, fn(&Tensor) -> Tensor, fn(f64) -> f64);
type Binary = (&'static str, fn(&Tensor, &Tensor) -> Tensor, fn(f64, f64) -> f64);
type Along = (&'static str, fn(&Tensor, isize) -> Tensor, fn(&[f64]) -> f64);

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Of numbers in (−1, 1) that are not near 0 or ±0.5.
const FUNCTIONS: [Unary; 16] = [
    ("-", |x| -x, |x| -x),
    ("exp", Tensor::exp, f64::exp),
    ("log1p", |x| (x * 0.9).log1p(), |x| (x * 0.9).ln_1p()),
    ("square", Tensor::square, |x| x * x),
    ("abs", Tensor::abs, f64::abs),
    ("sign", Tensor::sign, f64::signum),
    ("sin", |x| (x * 4.0).sin(), |x| (x * 4.0).sin()),
    ("cos", |x| (x * 4.0).cos(), |x| (x * 4.0).cos()),
    ("powf", |x| x.powf(3.0), |x| x.powi(3)),
    ("clamp", |x| x.clamp(-0.5, 0.5), |x| x.clamp(-0.5, 0.5)),
    ("relu", Tensor::relu, |x| x.max(0.0)),
    ("leaky_relu", |x| x.leaky_relu(0.2), |x| if x > 0.0 { x } else { 0.2 * x }),
    ("elu", |x| x.elu(0.7), |x| if x > 0.0 { x } else { 0.7 * x.exp_m1() }),
    ("selu", Tensor::selu, |x| 1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }),
    ("f32 operators", |x| 2.0 - (x * 3.0 + 0.5) / 4.0, |x| 2.0 - (x * 3.0 + 0.5) / 4.0),
    ("1 / x", |x| 1.0 / (x + 2.0), |x| 1.0 / (x + 2.0)),
];

/// Of numbers in (−4, 4).
const ACTIVATIONS: [Unary; 5] = [
    ("tanh", Tensor::tanh, f64::tanh),
    ("sigmoid", Tensor::sigmoid, sigmoid),
    ("silu", Tensor::silu, |x| x * sigmoid(x)),
    ("softplus", Tensor::softplus, |x| x.exp().ln_1p()),
    ("gelu", Tensor::gelu, |x| 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))),
];

/// Of numbers above 0.
const ABOVE_ZERO: [Unary; 3] =
    [("ln", Tensor::ln, f64::ln), ("sqrt", Tensor::sqrt, f64::sqrt), ("powf", |x| x.powf(-1.5), |x| x.powf(-1.5))];

/// Of numbers of which no two are near each other.
const OF_TWO: [Binary; 10] = [
    ("+", |a, b| a + b, |a, b| a + b),
    ("-", |a, b| a - b, |a, b| a - b),
    ("*", |a, b| a * b, |a, b| a * b),
    ("/", |a, b| a / (b + 3.0), |a, b| a / (b + 3.0)),
    ("minimum", Tensor::minimum, f64::min),
    ("maximum", Tensor::maximum, f64::max),
    ("greater", Tensor::greater, |a, b| f64::from(a > b)),
    ("less", Tensor::less, |a, b| f64::from(a < b)),
    ("greater_equal", Tensor::greater_equal, |a, b| f64::from(a >= b)),
    ("less_equal", Tensor::less_equal, |a, b| f64::from(a <= b)),
];

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn log_sum_exp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

const ALONG: [Along; 6] = [
    ("sum_axis", Tensor::sum_axis, |x| x.iter().sum()),
    ("mean_axis", Tensor::mean_axis, mean),
    ("max_axis", Tensor::max_axis, |x| x.iter().copied().fold(f64::MIN, f64::max)),
    ("min_axis", Tensor::min_axis, |x| x.iter().copied().fold(f64::MAX, f64::min)),
    ("variance_axis", Tensor::variance_axis, |x| x.iter().map(|v| (v - mean(x)).powi(2)).sum::<f64>() / x.len() as f64),
    ("log_sum_exp", Tensor::log_sum_exp, log_sum_exp),
];

fn softmax(x: &Array, axis: usize, logarithm: bool) -> Array {
    let sums = x.map_axis(Axis(axis), |line| log_sum_exp(&line.to_vec())).insert_axis(Axis(axis));
    let logs = x - &sums;
    if logarithm { logs } else { logs.mapv(f64::exp) }
}

/// Batched where both have three axes.
fn product(a: &Array, b: &Array) -> Array {
    let (k, m) = (a.shape()[a.ndim() - 1], b.shape()[b.ndim() - 1]);
    let shape = [&a.shape()[..a.ndim() - 1], &[m]].concat();
    ArrayD::from_shape_fn(IxDyn(&shape), |place| {
        let (mut left, mut right) = (place.as_array_view().to_vec(), vec![place[0]; b.ndim()]);
        let last = left.len() - 1;
        right[b.ndim() - 1] = left[last];
        let terms = (0..k).map(|step| {
            left[last] = step;
            right[b.ndim() - 2] = step;
            a[&left[..]] * b[&right[..]]
        });
        terms.sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn functions_of_one_value(shape in shape(), seed: u64) {
        for (name, ours, plain) in FUNCTIONS {
            check(name, &[distinct(seed, &shape, 0.0)], |x| ours(&x[0]), |x| x[0].mapv(plain));
        }
        for (name, ours, plain) in ACTIVATIONS {
            check(name, &[numbers(seed, &shape) * 4.0], |x| ours(&x[0]), |x| x[0].mapv(plain));
        }
        for (name, ours, plain) in ABOVE_ZERO {
            check(name, &[numbers(seed, &shape) * 0.5 + 0.75], |x| ours(&x[0]), |x| x[0].mapv(plain));
        }
    }

    #[test]
    fn functions_of_two_values(shapes in broadcast_shapes(), seed: u64) {
        let inputs = [distinct(seed, &shapes[0], 0.0), distinct(seed / 101, &shapes[1], 0.0078125)];
        for (name, ours, plain) in OF_TWO {
            check(name, &inputs, |x| ours(&x[0], &x[1]), |x| broadcast(x, |[a, b]| plain(a, b)));
        }
        let condition = numbers(seed, &shapes[2]).mapv(|value| f64::from(value > 0.0));
        check("where_cond", &inputs, |x| single(&condition).where_cond(&x[0], &x[1]), |x| {
            let all = [condition.clone(), x[0].clone(), x[1].clone()];
            broadcast(&all, |[c, a, b]| if c == 0.0 { b } else { a })
        });
        let to = broadcast(&inputs, |[a, b]| a + b).shape().to_vec();
        check("broadcast_to", &inputs[..1], |x| x[0].broadcast_to(&to), |x| {
            x[0].broadcast(IxDyn(&to)).unwrap().to_owned()
        });
        let same = [inputs[0].mapv(|x| (x * 2.0).round()), inputs[1].mapv(|x| (x * 2.0).round())];
        let equal = single(&same[0]).equal(&single(&same[1])).to_array().unwrap();
        near("equal", &equal, &broadcast(&same, |[a, b]| f64::from(a == b)), 0.0);
    }

    #[test]
    fn along_an_axis(shape in shape(), index: Index, from_end: bool, seed: u64) {
        let x = [distinct(seed, &shape, 0.0)];
        let count = x[0].len() as f64;
        let total = |value: f64| ArrayD::from_elem(IxDyn(&[]), value);
        check("sum", &x, |x| x[0].sum(), |x| total(x[0].sum()));
        if count > 0.0 {
            check("mean", &x, |x| x[0].mean(), |x| total(x[0].sum() / count));
            check("max", &x, |x| x[0].max(), |x| total(x[0].iter().copied().fold(f64::MIN, f64::max)));
            check("min", &x, |x| x[0].min(), |x| total(x[0].iter().copied().fold(f64::MAX, f64::min)));
        }
        let Some((axis, written)) = axis_of(&shape, index, from_end) else { return Ok(()) };
        for (name, ours, plain) in ALONG {
            if shape[axis] == 0 && name != "sum_axis" {
                continue;
            }
            let along = |x: &[Array]| x[0].map_axis(Axis(axis), |line| plain(&line.to_vec()));
            check(name, &x, |x| ours(&x[0], written), along);
        }
        if shape[axis] > 0 {
            check("softmax", &x, |x| x[0].softmax(written), |x| softmax(&x[0], axis, false));
            check("log_softmax", &x, |x| x[0].log_softmax(written), |x| softmax(&x[0], axis, true));
            let place = |of: fn(&f64, &f64) -> bool| {
                x[0].map_axis(Axis(axis), |line| {
                    (0..line.len()).reduce(|best, next| if of(&line[next], &line[best]) { next } else { best }).unwrap()
                })
            };
            prop_assert_eq!(single(&x[0]).argmax(written).unwrap(), place(|new, best| new > best));
            prop_assert_eq!(single(&x[0]).argmin(written).unwrap(), place(|new, best| new < best));
        }
    }

    #[test]
    fn other_shapes(shape in shape(), index: Index, from_end: bool, cuts in any::<[Index; 2]>(), seed: u64) {
        let x = [numbers(seed, &shape)];
        let size: usize = shape.iter().product();
        check("reshape", &x, |x| x[0].reshape([1, size]), |x| x[0].to_shape([1, size]).unwrap().to_owned().into_dyn());
        let place = index.index(shape.len() + 1);
        let written = if from_end { place as isize - shape.len() as isize - 1 } else { place as isize };
        let longer = |x: &[Array]| x[0].clone().insert_axis(Axis(place));
        check("unsqueeze", &x, |x| x[0].unsqueeze(written), longer);
        check("squeeze", &[longer(&x)], |x| x[0].squeeze(written), |x| x[0].clone().remove_axis(Axis(place)));
        check("stack", &[x[0].clone(), numbers(seed ^ 1, &shape)], |x| Tensor::stack(x, written), |x| {
            stack(Axis(place), &[x[0].view(), x[1].view()]).unwrap()
        });
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        axes.rotate_left(place.min(shape.len()));
        if shape.len() > 2 && from_end {
            axes.swap(0, 1);
        }
        check("permute", &x, |x| x[0].permute(&axes), |x| {
            x[0].clone().permuted_axes(IxDyn(&axes)).as_standard_layout().to_owned()
        });
        let Some((axis, written)) = axis_of(&shape, index, from_end) else { return Ok(()) };
        let rows = shape[0];
        let values = shape[1..].iter().product();
        check("flatten", &x, |x| x[0].flatten(), |x| x[0].to_shape([rows, values]).unwrap().to_owned().into_dyn());
        if shape.len() > 1 {
            let last = shape.len() - 1;
            check("transpose", &x, |x| x[0].transpose(), |x| {
                let mut turned = x[0].clone();
                turned.swap_axes(last - 1, last);
                turned
            });
        }
        let [a, b] = cuts.map(|cut| cut.index(shape[axis] + 1));
        let range = a.min(b)..a.max(b);
        check("slice", &x, |x| x[0].slice(written, range.clone()), |x| {
            x[0].slice_axis(Axis(axis), Slice::from(range.clone())).to_owned()
        });
        let mut other = shape.clone();
        other[axis] = a;
        let parts = [x[0].clone(), numbers(seed ^ 1, &other), numbers(seed ^ 2, &shape)];
        for count in 1..=3 {
            check("concat", &parts[..count], |x| Tensor::concat(x, written), |x| {
                concatenate(Axis(axis), &x.iter().map(|x| x.view()).collect::<Vec<_>>()).unwrap()
            });
        }
        let halves = |x: &[Tensor]| {
            let [first, second] = x[0].halves();
            Tensor::concat([&second, &first], -1)
        };
        let even = [concatenate(Axis(shape.len() - 1), &[x[0].view(), x[0].view()]).unwrap()];
        if shape[shape.len() - 1] > 0 {
            check("halves", &even, halves, |x| {
                let halves = x[0].view().split_at(Axis(shape.len() - 1), shape[shape.len() - 1]);
                concatenate(Axis(shape.len() - 1), &[halves.1, halves.0]).unwrap()
            });
        }
        let chosen: Vec<usize> =
            if shape[axis] == 0 { vec![] } else { (0..a + 3).map(|i| (i * 5 + b) % shape[axis]).collect() };
        check("index_select", &x, |x| x[0].index_select(written, &chosen), |x| x[0].select(Axis(axis), &chosen));
    }

    #[test]
    fn products(sizes in proptest::array::uniform5(0usize..=4), form in 0usize..4, seed: u64) {
        let [b, c, n, k, m] = sizes;
        let shapes = match form {
            0 => [vec![n, k], vec![k, m]],
            1 => [vec![b, n, k], vec![k, m]],
            2 => [vec![b, n, k], vec![b, k, m]],
            _ => [vec![b, c, n, k], vec![k, m]],
        };
        let inputs = [numbers(seed, &shapes[0]), numbers(seed ^ 1, &shapes[1])];
        check("matmul", &inputs, |x| x[0].matmul(&x[1]), |x| product(&x[0], &x[1]));
    }

    #[test]
    fn losses(rows in 1usize..=4, classes in 1usize..=4, seed: u64) {
        let shape = [rows, classes];
        let total = |value: f64| ArrayD::from_elem(IxDyn(&[]), value);
        let [x, t] = [seed, seed ^ 1].map(|seed| numbers(seed, &shape));
        let probabilities = [x.mapv(|x| 0.5 + 0.4 * x)];
        let target = t.mapv(|t| 0.5 + 0.5 * t);
        let both = [x.clone(), t.clone()];
        let squares = |x: &[Array]| total((&x[0] - &x[1]).mapv(|d| d * d).mean().unwrap());
        check("mean_squared_error", &both, |x| x[0].mean_squared_error(&x[1]), squares);
        check("mean_squared_error", &both[..1], |x| x[0].mean_squared_error(&single(&t)), |x| {
            squares(&[x[0].clone(), t.clone()])
        });
        let entropy = |y: &Array| {
            let of_one = |[y, t]: [f64; 2]| -t * y.ln() - (1.0 - t) * (1.0 - y).ln();
            total(broadcast(&[y.clone(), target.clone()], of_one).mean().unwrap())
        };
        let constant = single(&target);
        check("binary_cross_entropy", &probabilities, |x| x[0].binary_cross_entropy(&constant), |x| entropy(&x[0]));
        check(
            "binary_cross_entropy_with_logits",
            &both[..1],
            |x| x[0].binary_cross_entropy_with_logits(&constant),
            |x| entropy(&x[0].mapv(sigmoid)),
        );
        let labels: Vec<usize> = (0..rows).map(|row| row % classes).collect();
        check("cross_entropy", &both[..1], |x| x[0].cross_entropy(&labels), |x| {
            let logs = softmax(&x[0], 1, true).into_dimensionality::<Ix2>().unwrap();
            total(-labels.iter().enumerate().map(|(row, label)| logs[[row, *label]]).sum::<f64>() / rows as f64)
        });
        check("kl_divergence", &both, |x| x[0].kl_divergence(&x[1]), |x| {
            let terms = broadcast(x, |[mu, log]| -0.5 * (1.0 + log - mu * mu - log.exp()));
            total(terms.sum() / rows as f64)
        });
    }

    /// A value on several ways to the loss, and one that stays the same on one of them.
    #[test]
    fn several_ways(rows in 1usize..=3, width in 1usize..=3, seed: u64) {
        let inputs = [numbers(seed, &[rows, width]), numbers(seed ^ 1, &[width])];
        let ours = |x: &[Tensor]| {
            let [x, scale] = x else { unreachable!() };
            let product = x * scale;
            (&product * x + x.exp()) * product.mean() - (x * x + product.tanh())
        };
        check("several ways", &inputs, ours, |x| {
            let product = &x[0] * &x[1];
            let first = (&product * &x[0] + x[0].mapv(f64::exp)) * product.mean().unwrap();
            first - (&x[0] * &x[0] + product.mapv(f64::tanh))
        });
        let stopped = inputs[0].clone();
        check("detach", &inputs[..1], |x| x[0].square() * x[0].exp().detach(), |x| {
            &x[0] * &x[0] * stopped.mapv(f64::exp)
        });
    }
}

/// The gradient of the sum of a function of numbers.
fn gradient(x: &[f32], f: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
    let step = Step::new(0);
    let x = step.tracked_input(ndarray::Array1::from(x.to_vec()));
    let loss = f(&x).sum();
    step.backward(&loss).unwrap().of_input(&x).unwrap().into_raw_vec_and_offset().0
}

fn values(x: &[f32], f: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
    f(&Tensor::from(&ndarray::Array1::from(x.to_vec()))).to_array().unwrap().into_raw_vec_and_offset().0
}

#[test]
fn what_is_not_chosen_spoils_no_gradient() {
    let zero = Tensor::from(0.0);
    let x = [-1.0, 0.0, 2.0];
    let chosen = |f: fn(&Tensor) -> Tensor| {
        let chosen = |x: &Tensor| x.greater(&zero).where_cond(&f(x), &zero);
        (values(&x, chosen), gradient(&x, chosen))
    };
    assert_eq!(chosen(Tensor::ln), (vec![0.0, 0.0, 2.0f32.ln()], vec![0.0, 0.0, 0.5]));
    assert_eq!(chosen(Tensor::sqrt), (vec![0.0, 0.0, 2.0f32.sqrt()], vec![0.0, 0.0, 0.5 / 2.0f32.sqrt()]));
    assert_eq!(chosen(|x| 1.0 / x), (vec![0.0, 0.0, 0.5], vec![0.0, 0.0, -0.25]));
    let nan = |x: &Tensor| x.greater(&zero).where_cond(&(x * f32::NAN), &zero);
    assert_eq!((values(&x[..2], nan), gradient(&x[..2], nan)), (vec![0.0, 0.0], vec![0.0, 0.0]));
}

#[test]
fn equal_values_share_or_the_first_has_the_gradient() {
    let two = Tensor::from(2.0);
    assert_eq!(gradient(&[2.0, 3.0], |x| x.maximum(&two)), [0.5, 1.0]);
    assert_eq!(gradient(&[2.0, 3.0], |x| x.minimum(&two)), [0.5, 0.0]);
    assert_eq!(gradient(&[1.0, 2.0, 2.0], Tensor::max), [0.0, 1.0, 0.0]);
    assert_eq!(gradient(&[2.0, 2.0, 1.0, 1.0], Tensor::min), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(gradient(&[0.0, -0.0], Tensor::abs), [0.0, 0.0]);
    assert_eq!(gradient(&[0.0], Tensor::relu), [0.0]);
    assert_eq!(gradient(&[0.0], |x| x.leaky_relu(0.2)), [0.2]);
    assert_eq!(gradient(&[-1.0, 0.0, 1.0, 2.0], |x| x.clamp(0.0, 1.0)), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(gradient(&[0.0, 3.0], |x| x.powf(0.0)), [0.0, 0.0]);
    assert_eq!(gradient(&[-1e9, 1e9], Tensor::silu), [0.0, 1.0]);
    assert_eq!(values(&[-1e9, 1e9], Tensor::silu), [0.0, 1e9]);
}

#[test]
fn nan_and_infinities_pass() {
    const NAN: f32 = f32::NAN;
    const INFINITY: f32 = f32::INFINITY;
    let functions: [Function; 16] = [
        ("exp", Tensor::exp),
        ("ln", Tensor::ln),
        ("log1p", Tensor::log1p),
        ("sqrt", Tensor::sqrt),
        ("abs", Tensor::abs),
        ("clamp", |x| x.clamp(-1.0, 1.0)),
        ("relu", Tensor::relu),
        ("leaky_relu", |x| x.leaky_relu(0.2)),
        ("elu", |x| x.elu(1.0)),
        ("selu", Tensor::selu),
        ("tanh", Tensor::tanh),
        ("sigmoid", Tensor::sigmoid),
        ("softplus", Tensor::softplus),
        ("max", Tensor::max),
        ("log_sum_exp", |x| x.log_sum_exp(0)),
        ("minimum", |x| x.minimum(&Tensor::from(0.0))),
    ];
    for (name, f) in functions {
        assert!(values(&[NAN], f)[0].is_nan(), "{name}");
    }
    assert_eq!(values(&[-1.0, 0.0], Tensor::ln)[1], -INFINITY);
    assert!(values(&[-1.0], Tensor::ln)[0].is_nan() && values(&[-1.0], Tensor::sqrt)[0].is_nan());
    assert_eq!(values(&[INFINITY, -INFINITY, 200.0], Tensor::softplus), [INFINITY, 0.0, 200.0]);
    assert_eq!(values(&[1000.0, 1000.0], |x| x.log_sum_exp(0)), [1000.0 + 2.0f32.ln()]);
    assert_eq!(values(&[-INFINITY, -INFINITY], |x| x.log_sum_exp(0)), [-INFINITY]);
    assert!(values(&[INFINITY, NAN], |x| x.log_sum_exp(0))[0].is_nan());
    assert!(values(&[1.0, NAN, 3.0], Tensor::max)[0].is_nan() && values(&[1.0, NAN], Tensor::sum)[0].is_nan());
    assert_eq!(values(&[-1000.0, 1000.0], |x| x.softmax(0)), [0.0, 1.0]);
    assert!(values(&[], Tensor::mean)[0].is_nan());
}

/// What takes several tasks: the forward and backward pass of all kinds of loops, as bits.
fn bits() -> Vec<u32> {
    let step = Step::new(3);
    let x = step.tracked_input(single(&numbers(1, &[300, 130])));
    let b = step.tracked_input(single(&numbers(2, &[130])));
    let c = step.tracked_input(single(&numbers(3, &[300, 1])));
    let random = x.normal_like() + x.uniform_like();
    let y = (&x * &b + &c).tanh() + &random;
    let turned = y.reshape([30, 10, 130]).permute([2, 0, 1]).exp().reshape([130, 300]);
    let product = y.matmul(&turned).softmax(-1);
    let parts = [product.sum_axis(0).square().sum(), y.max_axis(1).mean(), y.log_sum_exp(0).sum(), turned.mean()];
    let loss = parts.iter().fold(Tensor::from(0.0), |sum, part| sum + part);
    let all = [&y, &turned, &product, &loss].map(|tensor| tensor.to_array().unwrap());
    let gradients = step.backward(&loss).unwrap();
    let of_inputs = [&x, &b, &c].map(|input| gradients.of_input(input).unwrap());
    all.iter().chain(&of_inputs).flat_map(|array| array.iter().map(|value| value.to_bits())).collect()
}

#[test]
fn the_same_bits_with_any_number_of_threads() {
    let in_pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(bits);
    let one = in_pool(1);
    assert!(one == in_pool(2) && one == in_pool(5));
}

/// More values than one task has.
#[test]
fn large_tensors() {
    let shapes = [vec![200, 90, 2], vec![200, 1, 1], vec![90, 1], vec![2], vec![]];
    let x = numbers(1, &shapes[0]);
    for (number, shape) in shapes.iter().enumerate() {
        let b = numbers(2 + number as u64, shape);
        let step = Step::new(0);
        let tracked = [&x, &b].map(|input| step.tracked_input(single(input)));
        let y = (&tracked[0] * &tracked[1]).sin();
        let plain = broadcast(&[x.clone(), b.clone()], |[x, b]| (x * b).sin());
        near("values", &y.to_array().unwrap(), &plain, 1e-6);
        let gradients = step.backward(&y.sum()).unwrap();
        let expected = broadcast(&[x.clone(), b.clone()], |[x, b]| (x * b).cos() * b);
        near("gradient of x", &gradients.of_input(&tracked[0]).unwrap(), &expected, 1e-6);
        let mut expected = broadcast(&[x.clone(), b.clone()], |[x, b]| (x * b).cos() * x);
        while expected.ndim() > b.ndim() {
            expected = expected.sum_axis(Axis(0));
        }
        for axis in (0..b.ndim()).filter(|axis| b.shape()[*axis] == 1) {
            expected = expected.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
        near("gradient of b", &gradients.of_input(&tracked[1]).unwrap(), &expected, 1e-5);
    }
}

/// Each mistake with its message, which everything that is computed from it carries on.
#[test]
fn mistakes_name_the_operation_and_the_shapes() {
    let [two, three, one, none] = [&[2, 3][..], &[4, 3, 3], &[5], &[2, 0]].map(Tensor::zeros);
    let cases = [
        ("+", &two + &one, "expected shapes that broadcast, got [2, 3] and [5]"),
        ("*", &two * &three, "expected shapes that broadcast, got [2, 3] and [4, 3, 3]"),
        ("maximum", two.maximum(&one), "expected shapes that broadcast, got [2, 3] and [5]"),
        ("less_equal", two.less_equal(&one), "expected shapes that broadcast, got [2, 3] and [5]"),
        ("where_cond", two.where_cond(&one, &two), "expected shapes that broadcast, got [2, 3] and [5]"),
        ("matmul", two.matmul(&two), "expected (n, k) and (k, m), got [2, 3] and [2, 3]"),
        ("matmul", one.matmul(&two), "expected (n, k) and (k, m), got [5] and [2, 3]"),
        ("sum_axis", two.sum_axis(2), "expected an axis of 2 dimensions, got axis 2 of shape [2, 3]"),
        ("variance_axis", two.variance_axis(-3), "expected an axis of 2 dimensions, got axis -3 of shape [2, 3]"),
        ("max_axis", none.max_axis(1), "expected at least one value along axis 1, got shape [2, 0]"),
        ("max", none.max(), "expected at least one value, got shape [2, 0]"),
        ("softmax", none.softmax(-1), "expected at least one value along axis 1, got shape [2, 0]"),
        ("reshape", two.reshape([4, 2]), "expected a shape of 6 values for [2, 3], got [4, 2]"),
        ("flatten", Tensor::from(1.0).flatten(), "expected at least one dimension, got a single value"),
        ("unsqueeze", two.unsqueeze(3), "expected a place among 3, got 3 for shape [2, 3]"),
        ("squeeze", two.squeeze(0), "expected size 1 along axis 0, got shape [2, 3]"),
        ("transpose", one.transpose(), "expected at least two dimensions, got shape [5]"),
        ("permute", two.permute([0, 0]), "expected each axis of shape [2, 3] once, got [0, 0]"),
        ("broadcast_to", one.broadcast_to([2, 3]), "expected shapes that broadcast, got [5] and [2, 3]"),
        ("broadcast_to", two.broadcast_to([3]), "expected a shape that broadcasts to [3], got [2, 3]"),
        ("slice", two.slice(1, 2..4), "expected a range within 0..3 of axis 1, got 2..4"),
        ("halves", two.halves()[1].clone(), "expected an even size of the last axis, got shape [2, 3]"),
        ("concat", Tensor::concat([], 0), "expected at least one tensor, got none"),
        ("concat", Tensor::concat([&two, &one], 0), "expected equal shapes but for axis 0, got [2, 3] and [5]"),
        ("stack", Tensor::stack([&two, &one], 0), "expected equal shapes, got [2, 3] and [5]"),
        ("index_select", two.index_select(0, &[0, 2]), "expected indices below 2 for axis 0, got 2"),
        ("one_hot", Tensor::one_hot(&[0, 3], 3), "expected labels below 3, got 3 in row 1"),
        ("mean_squared_error", two.mean_squared_error(&one), "expected equal shapes, got [2, 3] and [5]"),
        ("binary_cross_entropy", two.binary_cross_entropy(&one), "expected equal shapes, got [2, 3] and [5]"),
        (
            "cross_entropy",
            two.cross_entropy(&[0]),
            "expected logits (n, classes) and n labels, got [2, 3] and 1 labels",
        ),
        ("cross_entropy", two.cross_entropy(&[0, 3]), "expected labels below 3, got 3 in row 1"),
        ("+", two.kl_divergence(&one), "expected shapes that broadcast, got [5] and [2, 3]"),
        (
            "normal_like",
            two.normal_like(),
            "expected a tensor of a training step, whose randomness it uses, got a constant",
        ),
    ];
    for (name, wrong, message) in cases {
        let expected = format!("tensor operation {name}: {message}");
        let step = Step::new(0);
        let carried = (wrong.exp() + step.tracked_input(1.0)).sum_axis(7).reshape([3]).cross_entropy(&[9, 9]);
        assert_eq!(carried.shape(), [0; 0]);
        for error in [
            wrong.check().unwrap_err(),
            carried.item().unwrap_err(),
            carried.to_array().unwrap_err(),
            carried.argmax(0).unwrap_err(),
            step.backward(&carried).unwrap_err(),
        ] {
            if name != "+" || !message.ends_with("[5] and [2, 3]") {
                assert_eq!(error.to_string(), expected);
            }
            assert_eq!(error.kind(), ErrorKind::Shape);
        }
    }
    let too_large = Tensor::zeros([1 << 20, 1 << 20]).item().unwrap_err().to_string();
    assert!(too_large.starts_with("tensor operation full: its result: expected at most "), "{too_large}");
}
