//! Tensors against PyTorch: tests/reference/tensors.py computes the values.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use serde::Deserialize;

use super::assert_close;
use crate::nn::{
    optimizer::Optimizer,
    sequential::Sequential,
    tensor::{Step, Tensor},
};

#[derive(Deserialize)]
struct Reference {
    inputs: BTreeMap<String, Values>,
    target: Values,
    operations: Vec<OperationCase>,
    conditional_vae: ConditionalVae,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct OperationCase {
    name: String,
    inputs: Vec<String>,
    y: Values,
    weights: Values,
    gradients: Vec<Values>,
}

#[derive(Deserialize)]
struct ConditionalVae {
    x: Values,
    labels: Vec<usize>,
    noise: Vec<Values>,
    learning_rate: f64,
    weights: Vec<Values>,
    losses: Vec<[f64; 2]>,
    after: Vec<Values>,
}

impl Values {
    fn tensor(&self) -> Tensor {
        Tensor::from(ArrayD::from_shape_vec(IxDyn(&self.shape), self.values.clone()).unwrap())
    }
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../tests/reference/tensors.json")).unwrap()
}

fn ours(name: &str, inputs: &[Tensor], target: &Tensor) -> Tensor {
    let x = &inputs[0];
    let b = inputs.get(1).unwrap_or(x);
    match name {
        "exp" => x.exp(),
        "ln" => (x.abs() + 0.25).ln(),
        "log1p" => x.abs().log1p(),
        "sqrt" => (x.abs() + 0.25).sqrt(),
        "square" => x.square(),
        "abs" => x.abs(),
        "sign" => x * x.sign(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "powf" => (x.abs() + 0.25).powf(1.5),
        "clamp" => x.clamp(-0.5, 0.5),
        "relu" => x.relu(),
        "leaky_relu" => x.leaky_relu(0.2),
        "elu" => x.elu(1.0),
        "selu" => x.selu(),
        "tanh" => x.tanh(),
        "sigmoid" => x.sigmoid(),
        "silu" => x.silu(),
        "softplus" => x.softplus(),
        "gelu" => x.gelu(),
        "add" => x + b,
        "sub" => x - b,
        "mul" => x * b,
        "div" => x / (b.square() + 1.0),
        "minimum" => x.minimum(b),
        "maximum" => x.maximum(b),
        "where_cond" => x.greater(b).where_cond(&(x * 2.0), b),
        "equal values" => {
            let rounded = |x: &Tensor| Tensor::from(x.to_array().unwrap().mapv(f32::round_ties_even));
            rounded(x).maximum(&rounded(b)) * b + (x * 0.0).minimum(&(b * 0.0)) * x
        }
        "sum" => x.sum(),
        "mean" => x.mean(),
        "max" => x.max(),
        "min" => x.min(),
        "sum_axis" => x.sum_axis(1),
        "mean_axis" => x.mean_axis(-1),
        "max_axis" => x.max_axis(1),
        "min_axis" => x.min_axis(-2),
        "variance_axis" => x.variance_axis(1),
        "softmax" => (x * 4.0).softmax(1),
        "log_softmax" => (x * 4.0).log_softmax(-1),
        "log_sum_exp" => (x * 4.0).log_sum_exp(0),
        "matmul" | "batched matmul" => x.matmul(b),
        "transpose" => x.transpose(),
        "permute" => x.permute([2, 0, 1]),
        "reshape" => x.reshape([4, 6]),
        "slice" => x.slice(2, 1..3),
        "concat" => Tensor::concat([&x.transpose(), b], -1),
        "stack" => Tensor::stack([x, &(x * x)], 1),
        "index_select" => x.index_select(1, &[2, 0, 2]),
        "detach" => x * x.exp().detach(),
        "mean_squared_error" => x.mean_squared_error(&b.broadcast_to(x.shape())),
        "binary_cross_entropy" => x.sigmoid().binary_cross_entropy(target),
        "binary_cross_entropy_with_logits" => x.binary_cross_entropy_with_logits(target),
        "cross_entropy" => x.cross_entropy(&[0, 4, 2, 2]),
        "kl_divergence" => x.kl_divergence(&(x * 0.5)),
        _ => panic!("{name} is not known"),
    }
}

#[test]
fn operations_agree_with_pytorch() {
    let reference = reference();
    let target = reference.target.tensor();
    for case in &reference.operations {
        let step = Step::new(0);
        let inputs: Vec<Tensor> =
            case.inputs.iter().map(|name| step.tracked_input(reference.inputs[name].tensor())).collect();
        let y = ours(&case.name, &inputs, &target);
        assert_eq!(y.shape(), case.y.shape, "{}", case.name);
        assert_close(&case.name, y.to_array().unwrap().as_slice().unwrap(), &case.y.values, 1e-5);
        let gradients = step.backward(&(y * case.weights.tensor()).sum()).unwrap();
        for (number, (input, expected)) in inputs.iter().zip(&case.gradients).enumerate() {
            let got = gradients.of_input(input).unwrap();
            let name = format!("{}, gradient {number}", case.name);
            assert_close(&name, got.as_slice().unwrap(), &expected.values, 1e-5);
        }
    }
}

#[test]
fn steps_of_a_conditional_vae_agree_with_pytorch() {
    let case = reference().conditional_vae;
    let mut encoder = Sequential::input([8 + 3]).dense(5).relu().dense(4).build().unwrap();
    let mut decoder = Sequential::input([2 + 3]).dense(5).tanh().dense(8).sigmoid().build().unwrap();
    let weights = encoder.trainable_mut().chain(decoder.trainable_mut());
    weights.zip(&case.weights).for_each(|(weights, values)| *weights = values.values.clone().into());
    let mut adam = Optimizer::adam().init(case.learning_rate).unwrap();
    for (noise, expected) in case.noise.iter().zip(&case.losses) {
        let step = Step::new(0);
        let (x, y) = (step.input(case.x.tensor()), step.one_hot(&case.labels, 3));
        let [mu, log_variance] = encoder.forward(&step.concat([&x, &y])).halves();
        let z = &mu + (&log_variance * 0.5).exp() * noise.tensor();
        let output = decoder.forward(&step.concat([&z, &y]));
        let losses = [output.binary_cross_entropy(&x) * 8.0, mu.kl_divergence(&log_variance)];
        let got = adam.minimize(step, losses, (&mut encoder, &mut decoder)).unwrap();
        assert!((0..2).all(|i| (got[i] - expected[i]).abs() < 1e-5), "expected {expected:?}, got {got:?}");
    }
    let weights = encoder.trainable_mut().chain(decoder.trainable_mut());
    for (number, (got, expected)) in weights.zip(&case.after).enumerate() {
        assert_close(&format!("weights {number}"), got, &expected.values, 1e-5);
    }
}
