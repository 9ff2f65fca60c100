//! Reference values: tests/reference/layers.py, feature_maps.py, more_layers.py, steps.py and optimizers.py compute
//! them with PyTorch, keras_layers.py with Keras.

use std::sync::Arc;

use serde::Deserialize;

use super::{Single, assert_close, mean, shared};
use crate::{
    engine::Buffer,
    nn::{
        cross_entropy,
        layers::{Layer, Weights},
        loss::Loss,
        optimizer::Optimizer,
        optimizer_state::OptimizerState,
        tape::{Pass, Variable},
    },
};

#[derive(Deserialize)]
struct PyTorch {
    rows: usize,
    layers: Vec<LayerCase>,
    losses: Vec<LossCase>,
}

/// Of keras_layers.py and more_layers.py.
#[derive(Deserialize)]
struct Cases {
    layers: Vec<LayerCase>,
}

#[derive(Clone, Deserialize)]
struct LayerCase {
    name: String,
    layer: Layer,
    /// Without the batch, channels first.
    input: Vec<usize>,
    training: bool,
    x: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    y: Vec<f32>,
    target: Vec<f32>,
    x_gradient: Vec<f32>,
    parameter_gradients: Vec<Vec<f32>>,
    /// What a training step leaves in the running statistics.
    statistics: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct LossCase {
    name: String,
    y: Vec<f32>,
    target: Vec<f32>,
    loss: f64,
    gradient: Vec<f32>,
}

/// Of what tests/reference/steps.py writes.
#[derive(Deserialize)]
struct Steps {
    cross_entropy: CrossEntropyCase,
}

#[derive(Deserialize)]
struct CrossEntropyCase {
    logits: Vec<f32>,
    labels: Vec<usize>,
    loss: f64,
    accuracy: f64,
    gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct Optimizers {
    start: Vec<f32>,
    target: Vec<f32>,
    curvature: Vec<f32>,
    /// The steps after which the weights are noted.
    noted: Vec<usize>,
    optimizers: Vec<OptimizerCase>,
}

#[derive(Deserialize)]
struct OptimizerCase {
    name: String,
    optimizer: Optimizer,
    learning_rate: f64,
    weights: Vec<Vec<f32>>,
}

fn optimizers() -> Optimizers {
    serde_json::from_str(include_str!("../../../tests/reference/optimizers.json")).unwrap()
}

fn pytorch() -> PyTorch {
    serde_json::from_str(include_str!("../../../tests/reference/layers.json")).unwrap()
}

fn feature_maps() -> Cases {
    serde_json::from_str(include_str!("../../../tests/reference/feature_maps.json")).unwrap()
}

fn keras() -> Cases {
    serde_json::from_str(include_str!("../../../tests/reference/keras_layers.json")).unwrap()
}

/// All layers of which there are PyTorch's values.
fn pytorch_layers() -> Vec<LayerCase> {
    let more: Cases = serde_json::from_str(include_str!("../../../tests/reference/more_layers.json")).unwrap();
    [pytorch().layers, more.layers].into_iter().flatten().collect()
}

impl LayerCase {
    fn pass(&self) -> Pass {
        if self.training { Pass::training(7) } else { Pass::prediction().recording(true) }
    }

    /// The layer's input, its output and the loss on the tape, with its value.
    fn run(&self, x: &[f32], single: &Single, pass: &mut Pass) -> ([Variable; 2], Vec<f32>, f64) {
        let [x, y] = single.forward(x, true, pass);
        let values = y.values.to_vec();
        let (mean, loss) = Loss::MeanSquaredError.record(y, &self.target.clone().into(), 1.0, pass);
        ([x, loss], values, mean)
    }

    fn single<'a>(&self, parameters: &'a [Weights]) -> Single<'a> {
        Single::new(&self.layer, &self.input, parameters)
    }

    /// The gradient of the input first, then those of the parameters.
    fn gradients(&self, single: &Single, [x, loss]: [Variable; 2], mut pass: Pass) -> Vec<Buffer> {
        pass.backward(&loss);
        [vec![pass.gradient(&x)], single.gradients(pass)].into_iter().flatten().collect()
    }

    fn check(&self, framework: &str) {
        let name = |what: &str| format!("{}, {framework}: {what}", self.name);
        let parameters = shared(&self.parameters);
        let (single, mut pass) = (self.single(&parameters), self.pass());
        let (ends, y, _) = self.run(&self.x, &single, &mut pass);
        assert_close(&name("output"), &y, &self.y, 1e-6);
        let statistics = single.statistics(&mut pass);
        assert_eq!(statistics.len(), self.statistics.len(), "{}", name("statistics"));
        for (got, expected) in statistics.iter().zip(&self.statistics) {
            assert_close(&name("a running statistic"), got, expected, 1e-6);
        }
        let gradients = self.gradients(&single, ends, pass);
        assert_close(&name("gradient of x"), &gradients[0], &self.x_gradient, 1e-6);
        assert_eq!(gradients.len() - 1, self.parameter_gradients.len(), "{}", name("gradients"));
        for (got, expected) in gradients[1..].iter().zip(&self.parameter_gradients) {
            assert_close(&name("gradient of a parameter"), got, expected, 1e-6);
        }
    }
}

#[test]
fn layers_agree_with_pytorch() {
    pytorch_layers().iter().for_each(|case| case.check("PyTorch"));
}

#[test]
fn layers_of_feature_maps_agree_with_pytorch() {
    feature_maps().layers.iter().for_each(|case| case.check("PyTorch"));
}

#[test]
fn layers_agree_with_keras() {
    keras().layers.iter().for_each(|case| case.check("Keras"));
}

/// The frameworks' gradients could be misread the same way as ours; the slope of the loss itself cannot.
#[test]
fn layers_agree_with_finite_differences() {
    let mut cases = [pytorch_layers(), feature_maps().layers].concat();
    // Where maxima are equal, the slope differs from one side to the other; numbers of words have none.
    cases.retain(|case| !["max_pool2d, ties", "embedding"].contains(&case.name.as_str()));
    // Dropout has random values of its own, so PyTorch cannot be asked; its mask depends on the seed alone.
    let layer = serde_json::from_str(r#"{"layer": "dropout", "rate": 0.5}"#).unwrap();
    let like_relu = cases.iter().position(|case| case.name == "relu").unwrap();
    let like_relu = cases.swap_remove(like_relu);
    cases.push(LayerCase { name: "dropout".into(), layer, ..like_relu });
    for case in &cases {
        let parameters = shared(&case.parameters);
        let (single, mut pass) = (case.single(&parameters), case.pass());
        let (ends, ..) = case.run(&case.x, &single, &mut pass);
        let gradients = case.gradients(&single, ends, pass);
        let loss_at = |input: &[f32], parameters: &[Weights]| {
            case.run(input, &case.single(parameters), &mut case.pass().recording(false)).2
        };
        const STEP: f32 = 1.0 / 256.0;
        let check = |which: &str, index: usize, got: f32, above: f64, below: f64| {
            let expected = ((above - below) / (2.0 * f64::from(STEP))) as f32;
            assert!((got - expected).abs() < 2e-3, "{}, {which} {index}: expected {expected}, got {got}", case.name);
        };
        for index in 0..case.x.len() {
            let shifted = |by: f32| {
                let mut x = case.x.clone();
                x[index] += by;
                loss_at(&x, &parameters)
            };
            check("x", index, gradients[0][index], shifted(STEP), shifted(-STEP));
        }
        for (number, gradient) in gradients[1..].iter().enumerate() {
            for (index, got) in gradient.iter().enumerate() {
                let shifted = |by: f32| {
                    let mut parameters = parameters.clone();
                    Arc::make_mut(&mut parameters[number])[index] += by;
                    loss_at(&case.x, &parameters)
                };
                check("parameter", index, *got, shifted(STEP), shifted(-STEP));
            }
        }
    }
}

#[test]
fn losses_agree_with_pytorch() {
    let pytorch = pytorch();
    for case in &pytorch.losses {
        let loss = match case.name.as_str() {
            "mean_squared_error" => Loss::MeanSquaredError,
            "binary_cross_entropy" => Loss::BinaryCrossEntropy,
            _ => Loss::BinaryCrossEntropyWithLogits,
        };
        let mut pass = Pass::training(0);
        let y = pass.tracked(Arc::new(case.y.clone().into()), pytorch.rows);
        let (mean, on_tape) = loss.record(y.clone(), &case.target.clone().into(), 1.0, &mut pass);
        pass.backward(&on_tape);
        assert!((mean - case.loss).abs() < 1e-6, "{}: expected {}, got {mean}", case.name, case.loss);
        assert_close(&case.name, &pass.gradient(&y), &case.gradient, 1e-5);
    }
}

#[test]
fn cross_entropy_of_labels_agrees_with_pytorch_and_with_its_own_parts() {
    let steps: Steps = serde_json::from_str(include_str!("../../../tests/reference/steps.json")).unwrap();
    let case = steps.cross_entropy;
    let go = |rows: std::ops::Range<usize>, share: f64| {
        let mut pass = Pass::training(0);
        let (values, labels) = (case.logits[rows.start * 5..rows.end * 5].to_vec(), &case.labels[rows]);
        let logits = pass.tracked(Arc::new(values.into()), labels.len());
        let (means, on_tape) = cross_entropy(logits.clone(), labels, share, &mut pass);
        pass.backward(&on_tape);
        (means, pass.gradient(&logits).to_vec())
    };
    let (whole, gradient) = go(0..6, 1.0);
    assert!((whole[0] - case.loss).abs() < 1e-6 && (whole[1] - case.accuracy).abs() < 1e-9, "{whole:?}");
    assert_close("gradient of the logits", &gradient, &case.gradient, 1e-6);
    let ((first, above), (second, below)) = (go(0..2, 1.0 / 3.0), go(2..6, 2.0 / 3.0));
    assert!((0..2).all(|i| (first[i] + second[i] - whole[i]).abs() < 1e-9), "{first:?} and {second:?}");
    assert_close("gradient in parts", &[above, below].concat(), &gradient, 1e-6);
}

#[test]
fn cross_entropy_of_labels_stays_finite_where_the_softmax_has_saturated() {
    let pass = &mut Pass::prediction();
    let logits = [[1e4, -1e4, 1e4, -1e4], [f32::NAN, 0.0, 0.0, 0.0]];
    let [large, nan] = logits.map(|values| pass.input(Arc::new(values.to_vec().into()), 2));
    assert_eq!(cross_entropy(large, &[0, 1], 1.0, pass).0, [1e4, 0.5]);
    assert!(cross_entropy(nan, &[0, 1], 1.0, pass).0[0].is_nan());
}

#[test]
fn cross_entropies_stay_finite_where_the_sigmoid_has_saturated() {
    let logits = [-200.0, 200.0, -200.0, 200.0];
    let targets = [0.0, 1.0, 1.0, 0.0];
    assert_eq!(mean(Loss::BinaryCrossEntropyWithLogits, &logits, &targets), 100.0);
    let probabilities = [0.0, 1.0, 0.0, 1.0];
    let clipped = mean(Loss::BinaryCrossEntropy, &probabilities, &targets);
    assert!(clipped > 7.5 && clipped < 8.5, "{clipped}"); // half of −ln 10⁻⁷, as Keras clips
    assert!(mean(Loss::BinaryCrossEntropy, &[f32::NAN], &[1.0]).is_nan());
}

#[test]
fn optimizers_agree_with_pytorch() {
    let Optimizers { start, target, curvature, noted, optimizers } = optimizers();
    for case in optimizers {
        case.optimizer.check().unwrap();
        let mut weights = shared(std::slice::from_ref(&start));
        let mut state = OptimizerState::new(case.optimizer, case.learning_rate);
        let mut expected = noted.iter().zip(&case.weights).peekable();
        for step in 1..=50 {
            let slope = |((w, t), c): ((&f32, &f32), &f32)| c * (w - t);
            let gradient: Vec<f32> = weights[0].iter().zip(&target).zip(&curvature).map(slope).collect();
            state.update(weights.iter_mut(), &[gradient.into()]);
            if let Some((_, expected)) = expected.next_if(|(noted, _)| **noted == step) {
                assert_close(&format!("{}, step {step}", case.name), &weights[0], expected, 2e-6);
            }
        }
        assert!(expected.next().is_none());
    }
}

#[test]
fn defaults_are_those_of_pytorch() {
    let cases = optimizers().optimizers;
    for (name, ours) in [
        ("adam", Optimizer::adam()),
        ("adamw", Optimizer::adamw()),
        ("adamax", Optimizer::adamax()),
        ("adagrad", Optimizer::adagrad()),
        ("radam", Optimizer::radam()),
        ("nadam", Optimizer::nadam()),
        ("rmsprop", Optimizer::rmsprop()),
        ("rmsprop, centered", Optimizer::rmsprop().centered().epsilon(1e-2)),
        ("lion", Optimizer::lion()),
        ("sgd", Optimizer::sgd()),
        ("adam, betas, epsilon", Optimizer::adam().betas(0.5, 0.9).epsilon(1e-3).weight_decay(1e-5)),
        ("sgd, nesterov", Optimizer::sgd().momentum(0.9).nesterov().weight_decay(0.01)),
    ] {
        assert_eq!(cases.iter().find(|case| case.name == name).unwrap().optimizer, ours);
    }
}
