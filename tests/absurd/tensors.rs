//! Tensors and training steps of one's own.

use latentlab::{
    Optimizer, OptimizerState, Parameter, Sequential, Step, StepGradients, Tensor,
    ndarray::{Array1, ArrayD, IxDyn},
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

const AXES: [isize; 7] = [isize::MIN, -3, -1, 0, 1, 2, isize::MAX];

fn shapes() -> Vec<Vec<usize>> {
    let mut shapes: Vec<Vec<usize>> = SIZES.iter().flat_map(|size| [vec![*size], vec![*size; 3]]).collect();
    shapes.extend([vec![], vec![2, 3], vec![3, 2], vec![2, 0, 3], vec![1; 1_000], vec![usize::MAX, 0, usize::MAX]]);
    shapes
}

/// Constants and tensors of a step, good ones and mistakes; and what is made of them is differentiated.
fn of_each(function: impl Fn(&Tensor) -> Tensor) {
    let mut made: Vec<Tensor> = [&[][..], &[0], &[1], &[5], &[2, 3], &[3, 2], &[2, 0], &[2, 3, 4], &[1, 2, 2, 2]]
        .iter()
        .flat_map(|shape| [1.0, f32::NAN, f32::INFINITY].map(|value| Tensor::full(shape, value)))
        .collect();
    made.push(Tensor::from(&Array1::from(FLOATS.to_vec())));
    made.push(Tensor::zeros([3]) + Tensor::zeros([2]));
    for x in &made {
        let constant = function(x);
        either(constant.to_array());
        let step = Step::new(0);
        let input = step.tracked_input(x);
        let y = function(&input);
        if let Some(gradients) = either(step.backward(&y.sum())) {
            either(gradients.of_input(&input));
        }
        let _ = format!("{constant:?} {y:?}");
    }
}

fn of_two(function: impl Fn(&Tensor, &Tensor) -> Tensor) {
    for shape in [&[][..], &[0], &[1], &[5], &[2, 3], &[3, 2], &[2, 3, 4]] {
        for value in [0.0, f32::NAN, 1e30] {
            let other = Tensor::full(shape, value);
            of_each(|x| function(x, &other));
            of_each(|x| function(&other, x));
        }
    }
}

fn along(function: impl Fn(&Tensor, isize) -> Tensor) {
    AXES.iter().for_each(|axis| of_each(|x| function(x, *axis)));
}

fn with_shape(function: impl Fn(&Tensor, &[usize]) -> Tensor) {
    shapes().iter().for_each(|shape| of_each(|x| function(x, shape)));
}

fn made(function: impl Fn(&[usize]) -> Tensor) {
    for shape in shapes() {
        let tensor = function(&shape);
        if let Some(array) = either(tensor.to_array()) {
            assert_eq!(array.shape(), shape);
        }
        either(tensor.sum_axis(0).mean().item());
    }
}

fn gradients(then: impl Fn(&mut StepGradients, &mut Parameter, &mut Sequential)) {
    for value in [1.0, 0.0, 1e30, f32::NAN] {
        let mut free = Parameter::new(&Array1::from(vec![value; 3]));
        let mut network = Sequential::input([3]).dense(2).build().unwrap();
        let step = Step::new(0);
        let x = step.parameter(&free).unsqueeze(0);
        if let Some(mut gradients) = either(step.backward(&network.forward(&x).square().sum())) {
            let _ = format!("{gradients:?}");
            then(&mut gradients, &mut free, &mut network);
        }
    }
}

fn states() -> Vec<OptimizerState> {
    let optimizers = [Optimizer::adam(), Optimizer::sgd(), Optimizer::sgd().momentum(0.9), Optimizer::radam()];
    optimizers.into_iter().map(|optimizer| optimizer.init(1e-3).unwrap()).collect()
}

/// Networks that are built, that are not, and that have no layer.
fn networks() -> Vec<Sequential> {
    let dense = Sequential::input([3]).dense(2).batch_norm().dropout(0.5);
    vec![dense.clone(), dense.dense(0), Sequential::input([3]), Sequential::input([]), Sequential::input([1, 2, 2])]
}

pub fn rows() -> Table {
    vec![
        ("Tensor::exp", Call(|| of_each(Tensor::exp))),
        ("Tensor::ln", Call(|| of_each(Tensor::ln))),
        ("Tensor::log1p", Call(|| of_each(Tensor::log1p))),
        ("Tensor::sqrt", Call(|| of_each(Tensor::sqrt))),
        ("Tensor::square", Call(|| of_each(Tensor::square))),
        ("Tensor::abs", Call(|| of_each(Tensor::abs))),
        ("Tensor::sign", Call(|| of_each(Tensor::sign))),
        ("Tensor::sin", Call(|| of_each(Tensor::sin))),
        ("Tensor::cos", Call(|| of_each(Tensor::cos))),
        ("Tensor::powf", Call(|| FLOATS.iter().for_each(|exponent| of_each(|x| x.powf(*exponent))))),
        (
            "Tensor::clamp",
            Call(|| FLOATS.iter().for_each(|low| FLOATS.iter().for_each(|high| of_each(|x| x.clamp(*low, *high))))),
        ),
        ("Tensor::relu", Call(|| of_each(Tensor::relu))),
        ("Tensor::leaky_relu", Call(|| FLOATS.iter().for_each(|slope| of_each(|x| x.leaky_relu(*slope))))),
        ("Tensor::elu", Call(|| FLOATS.iter().for_each(|alpha| of_each(|x| x.elu(*alpha))))),
        ("Tensor::selu", Call(|| of_each(Tensor::selu))),
        ("Tensor::tanh", Call(|| of_each(Tensor::tanh))),
        ("Tensor::sigmoid", Call(|| of_each(Tensor::sigmoid))),
        ("Tensor::silu", Call(|| of_each(Tensor::silu))),
        ("Tensor::softplus", Call(|| of_each(Tensor::softplus))),
        ("Tensor::gelu", Call(|| of_each(Tensor::gelu))),
        ("Tensor::minimum", Call(|| of_two(Tensor::minimum))),
        ("Tensor::maximum", Call(|| of_two(Tensor::maximum))),
        ("Tensor::greater", Call(|| of_two(Tensor::greater))),
        ("Tensor::less", Call(|| of_two(Tensor::less))),
        ("Tensor::greater_equal", Call(|| of_two(Tensor::greater_equal))),
        ("Tensor::less_equal", Call(|| of_two(Tensor::less_equal))),
        ("Tensor::equal", Call(|| of_two(Tensor::equal))),
        ("Tensor::where_cond", Call(|| of_two(|a, b| a.where_cond(b, a) + b.where_cond(a, b)))),
        ("Tensor::mean_squared_error", Call(|| of_two(Tensor::mean_squared_error))),
        ("Tensor::binary_cross_entropy", Call(|| of_two(Tensor::binary_cross_entropy))),
        ("Tensor::binary_cross_entropy_with_logits", Call(|| of_two(Tensor::binary_cross_entropy_with_logits))),
        (
            "Tensor::cross_entropy",
            Call(|| {
                of_each(|x| x.cross_entropy(&[]));
                SIZES.iter().for_each(|label| of_each(|x| x.cross_entropy(&[*label, 0])));
            }),
        ),
        ("Tensor::kl_divergence", Call(|| of_two(Tensor::kl_divergence))),
        ("Tensor::zeros", Call(|| made(|shape| Tensor::zeros(shape)))),
        ("Tensor::ones", Call(|| made(|shape| Tensor::ones(shape)))),
        ("Tensor::full", Call(|| made(|shape| Tensor::full(shape, f32::NAN)))),
        (
            "Tensor::one_hot",
            Call(|| {
                for classes in SIZES {
                    either(Tensor::one_hot(&[], classes).to_array());
                    SIZES.iter().for_each(|label| _ = either(Tensor::one_hot(&[*label, 0], classes).to_array()));
                }
            }),
        ),
        ("Tensor::zeros_like", Call(|| of_each(Tensor::zeros_like))),
        ("Tensor::ones_like", Call(|| of_each(Tensor::ones_like))),
        ("Tensor::normal_like", Call(|| of_each(Tensor::normal_like))),
        ("Tensor::uniform_like", Call(|| of_each(Tensor::uniform_like))),
        ("Tensor::shape", Nothing("the tensor alone; see the rows of the operations")),
        ("Tensor::check", Nothing("the tensor alone; see the rows of the operations")),
        ("Tensor::to_array", Nothing("the tensor alone; see the rows of the operations")),
        (
            "Tensor::to_images",
            Call(|| of_each(|x| either(x.to_images()).map_or_else(|| x.clone(), |images| Tensor::from(&images)))),
        ),
        ("Tensor::item", Call(|| of_each(|x| x * either(x.item()).unwrap_or(1.0)))),
        ("Tensor::detach", Call(|| of_each(|x| x.detach() + x))),
        ("Tensor::matmul", Call(|| of_two(Tensor::matmul))),
        ("Tensor::sum", Call(|| of_each(Tensor::sum))),
        ("Tensor::mean", Call(|| of_each(Tensor::mean))),
        ("Tensor::max", Call(|| of_each(Tensor::max))),
        ("Tensor::min", Call(|| of_each(Tensor::min))),
        ("Tensor::sum_axis", Call(|| along(Tensor::sum_axis))),
        ("Tensor::mean_axis", Call(|| along(Tensor::mean_axis))),
        ("Tensor::variance_axis", Call(|| along(Tensor::variance_axis))),
        ("Tensor::max_axis", Call(|| along(Tensor::max_axis))),
        ("Tensor::min_axis", Call(|| along(Tensor::min_axis))),
        (
            "Tensor::argmax",
            Call(|| {
                along(|x, axis| {
                    either(x.argmax(axis));
                    x.clone()
                });
            }),
        ),
        (
            "Tensor::argmin",
            Call(|| {
                along(|x, axis| {
                    either(x.argmin(axis));
                    x.clone()
                });
            }),
        ),
        ("Tensor::softmax", Call(|| along(Tensor::softmax))),
        ("Tensor::log_softmax", Call(|| along(Tensor::log_softmax))),
        ("Tensor::log_sum_exp", Call(|| along(Tensor::log_sum_exp))),
        ("Tensor::reshape", Call(|| with_shape(|x, shape| x.reshape(shape)))),
        ("Tensor::flatten", Call(|| of_each(Tensor::flatten))),
        ("Tensor::unsqueeze", Call(|| along(Tensor::unsqueeze))),
        ("Tensor::squeeze", Call(|| along(Tensor::squeeze))),
        ("Tensor::transpose", Call(|| of_each(Tensor::transpose))),
        ("Tensor::permute", Call(|| with_shape(|x, axes| x.permute(axes)))),
        (
            "Tensor::broadcast_to",
            Call(|| {
                for shape in [&[][..], &[0], &[7, 1], &[2, 3], &[9, 2, 3], &[usize::MAX, 2], &[1 << 20, 1 << 20, 1]] {
                    of_each(|x| x.broadcast_to(shape));
                }
            }),
        ),
        (
            "Tensor::slice",
            Call(|| {
                for start in SIZES {
                    SIZES.iter().for_each(|end| along(|x, axis| x.slice(axis, start..*end)));
                }
            }),
        ),
        ("Tensor::halves", Call(|| of_each(|x| x.halves().iter().fold(x.clone(), |sum, half| sum + half.sum())))),
        (
            "Tensor::concat",
            Call(|| {
                along(|_, axis| Tensor::concat([], axis));
                along(|x, axis| Tensor::concat([x, &Tensor::zeros([2, 3]), x], axis));
                let huge = Tensor::zeros([1 << 62, 0]);
                either(Tensor::concat([&huge, &huge, &huge, &huge], 0).to_array());
            }),
        ),
        (
            "Tensor::stack",
            Call(|| {
                along(|_, axis| Tensor::stack([], axis));
                along(|x, axis| Tensor::stack([x, &Tensor::zeros([2, 3]), x], axis));
                along(|x, axis| Tensor::stack([x, x], axis));
            }),
        ),
        (
            "Tensor::index_select",
            Call(|| SIZES.iter().for_each(|index| along(|x, axis| x.index_select(axis, &[*index, 0, *index])))),
        ),
        ("Step::new", Call(|| SEEDS.iter().for_each(|seed| drop(Step::new(*seed).normal([3]).to_array().unwrap())))),
        ("Step::should_stop", Call(|| assert!(!Step::new(0).should_stop()))),
        ("Step::input", Call(|| of_each(|x| Step::new(1).input(x)))),
        ("Step::tracked_input", Call(|| of_each(|x| Step::new(1).tracked_input(x) + x))),
        (
            "Step::one_hot",
            Call(|| SIZES.iter().for_each(|classes| _ = either(Step::new(0).one_hot(&[1], *classes).to_array()))),
        ),
        ("Step::normal", Call(|| made(|shape| Step::new(0).normal(shape)))),
        ("Step::uniform", Call(|| made(|shape| Step::new(0).uniform(shape)))),
        (
            "Step::parameter",
            Call(|| {
                for shape in [&[][..], &[0], &[2, 0], &[3]] {
                    let mut free = Parameter::new(&ArrayD::from_elem(IxDyn(shape), 1.0f32));
                    let step = Step::new(0);
                    let loss = step.parameter(&free).sum();
                    let mut sgd = Optimizer::sgd().init(1e30).unwrap();
                    either(sgd.minimize(step, [loss], &mut free));
                }
            }),
        ),
        (
            "Step::weights",
            Call(|| {
                for network in networks() {
                    for name in ["", "1.weight", "2.running_mean", "\u{1}", "99.weight"] {
                        let step = Step::new(0);
                        let weights = step.weights(&network, name);
                        either(step.backward(&weights.sum()));
                    }
                }
            }),
        ),
        (
            "Step::backward",
            Call(|| {
                let (first, second) = (Step::new(0), Step::new(0));
                let (x, y) = (first.tracked_input(1.0), second.tracked_input(1.0));
                refused((&x + &y).item());
                refused(Step::new(0).backward(&x));
                refused(Step::new(0).backward(&Tensor::from(1.0)));
                refused(first.backward(&(&x / 0.0)));
                refused(second.backward(&y.detach()));
                either(x.exp().item());
            }),
        ),
        ("Step::concat", Call(|| of_each(|x| Step::new(0).concat([x, x, &Tensor::zeros([2, 3])])))),
        ("Sequential::forward", Call(|| networks().iter().for_each(|network| of_each(|x| network.forward(x))))),
        (
            "Sequential::forward_frozen",
            Call(|| networks().iter().for_each(|network| of_each(|x| network.forward_frozen(x)))),
        ),
        (
            "Sequential::weight_names",
            Call(|| networks().iter().for_each(|network| assert!(network.weight_names().len() < 7))),
        ),
        (
            "Parameter::new",
            Call(|| {
                for shape in [&[][..], &[0], &[2, 0, 3], &[2, 3]] {
                    let values = ArrayD::from_elem(IxDyn(shape), f32::NAN);
                    assert_eq!(Parameter::new(&values).to_array().shape(), shape);
                }
            }),
        ),
        ("Parameter::to_array", Nothing("the parameter alone; see the row of Parameter::new")),
        ("StepGradients::loss", Call(|| gradients(|gradients, _, _| assert!(gradients.loss().is_finite())))),
        ("StepGradients::norm", Call(|| gradients(|gradients, _, _| assert!(gradients.norm() >= 0.0)))),
        (
            "StepGradients::clip_norm",
            Call(|| {
                for largest in NUMBERS {
                    gradients(|gradients, free, _| {
                        gradients.clip_norm(largest);
                        states().iter_mut().for_each(|state| _ = either(state.apply(gradients, &mut *free)));
                    });
                }
            }),
        ),
        (
            "StepGradients::clip_value",
            Call(|| {
                for largest in FLOATS {
                    gradients(|gradients, free, _| {
                        gradients.clip_value(largest);
                        states().iter_mut().for_each(|state| _ = either(state.apply(gradients, &mut *free)));
                    });
                }
            }),
        ),
        (
            "StepGradients::of",
            Call(|| {
                gradients(|gradients, _, network| {
                    assert_eq!(gradients.of(network).len(), 2);
                    networks().iter().for_each(|other| drop(gradients.of(other)));
                });
            }),
        ),
        (
            "StepGradients::of_parameter",
            Call(|| {
                gradients(|gradients, free, _| {
                    assert_eq!(gradients.of_parameter(free).shape(), [3]);
                    assert_eq!(gradients.of_parameter(&free.clone()).shape(), [3]);
                });
            }),
        ),
        (
            "StepGradients::of_input",
            Call(|| {
                gradients(|gradients, _, _| {
                    refused(gradients.of_input(&Tensor::from(1.0)));
                    refused(gradients.of_input(&Step::new(0).tracked_input(1.0)));
                });
            }),
        ),
        (
            "Optimizer::init",
            Call(|| {
                for rate in NUMBERS {
                    either(Optimizer::adam().init(rate));
                    either(Optimizer::sgd().betas(rate, rate).init(rate));
                    either(Optimizer::adamw().weight_decay(rate).init(rate));
                }
            }),
        ),
        (
            "OptimizerState::minimize",
            Call(|| {
                for mut state in states() {
                    for mut network in networks() {
                        let step = Step::new(0);
                        let loss = network.forward(&step.input(Tensor::zeros([4, 3]))).square().mean();
                        either(state.minimize(step, [loss.clone(), loss / 0.0], &mut network));
                        refused(state.minimize(Step::new(0), [], &mut network));
                    }
                    refused(state.minimize(Step::new(0), [Tensor::zeros([2])], Vec::<&mut Sequential>::new()));
                }
            }),
        ),
        (
            "OptimizerState::apply",
            Call(|| {
                gradients(|gradients, free, network| {
                    for mut state in states() {
                        either(state.apply(gradients, (&mut *free, &mut *network)));
                        either(state.apply(gradients, &mut *network));
                        refused(state.apply(gradients, &mut network.clone()));
                        either(state.apply(gradients, Vec::<&mut Parameter>::new()));
                    }
                });
            }),
        ),
        ("OptimizerState::learning_rate", Nothing("the state alone")),
        (
            "OptimizerState::set_learning_rate",
            Call(|| {
                for mut state in states() {
                    NUMBERS.iter().for_each(|rate| _ = either(state.set_learning_rate(*rate)));
                    assert!(state.learning_rate() > 0.0);
                    let _ = format!("{state:?}");
                }
            }),
        ),
    ]
}
