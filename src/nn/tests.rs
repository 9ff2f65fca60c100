//! Every layer and loss against PyTorch (tests/reference/layers.py) and against finite differences.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::{
    buffer::Buffer,
    layers::{Layer, Operation, Place, Weights},
    loss::Loss,
    optimizer::Adam,
    sequential::Sequential,
    tape::{NotRecording, Pass, Recording, Tape, Variable},
};

#[derive(Deserialize)]
struct Reference {
    rows: usize,
    layers: Vec<LayerCase>,
    losses: Vec<LossCase>,
    adam: AdamCase,
}

#[derive(Deserialize)]
struct LayerCase {
    name: String,
    layer: Layer,
    x: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    y: Vec<f32>,
    target: Vec<f32>,
    x_gradient: Vec<f32>,
    parameter_gradients: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct LossCase {
    name: String,
    y: Vec<f32>,
    target: Vec<f32>,
    loss: f64,
    gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct AdamCase {
    start: Vec<f32>,
    curvature: Vec<f32>,
    learning_rate: f64,
    steps: usize,
    end: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../tests/reference/layers.json")).unwrap()
}

fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (g, e)) in got.iter().zip(expected).enumerate() {
        let bound = tolerance * e.abs().max(1.0);
        assert!((g - e).abs() <= bound, "{name}, value {index}: expected {e}, got {g}");
    }
}

/// A layer's output, and its loss on the tape whose gradients are wanted: of the input first, then of the parameters.
fn run<T: Tape>(
    case: &LayerCase,
    rows: usize,
    x: &[f32],
    parameters: &[Weights],
) -> (Vec<f32>, f64, Variable<T>, Pass) {
    let mut pass = Pass::training(7);
    let x = Variable::<T>::tracked(Arc::new(x.to_vec().into()), rows, &mut pass);
    let input = [x.values.len() / rows];
    let place = Place { input: &input, weights: parameters, slope: 1.0, enlarged: [1, 1], prepared: &OnceLock::new() };
    let y = case.layer.forward(x, place, &mut pass);
    let values = y.values.to_vec();
    let (mean, loss) = Loss::MeanSquaredError.record(y, &Arc::new(case.target.clone().into()));
    (values, mean, loss, pass)
}

#[test]
fn layers_agree_with_pytorch() {
    let reference = reference();
    for case in &reference.layers {
        let parameters: Vec<Weights> = case.parameters.iter().cloned().map(Arc::new).collect();
        let (y, _, loss, pass) = run::<Recording>(case, reference.rows, &case.x, &parameters);
        assert_close(&format!("{}: output", case.name), &y, &case.y, 1e-6);
        let gradients = pass.backward(loss);
        assert_close(&format!("{}: gradient of x", case.name), &gradients[0], &case.x_gradient, 1e-6);
        for (got, expected) in gradients[1..].iter().zip(&case.parameter_gradients) {
            assert_close(&format!("{}: gradient of a parameter", case.name), got, expected, 1e-6);
        }
    }
}

#[test]
fn layers_agree_with_finite_differences() {
    let reference = reference();
    let mut cases = reference.layers;
    // Dropout has random values of its own, so PyTorch cannot be asked; its mask depends on the seed alone.
    let layer = serde_json::from_str(r#"{"layer": "dropout", "rate": 0.5}"#).unwrap();
    let like_relu = cases.swap_remove(1);
    cases.push(LayerCase { name: "dropout".into(), layer, ..like_relu });
    for case in &cases {
        let parameters: Vec<Weights> = case.parameters.iter().cloned().map(Arc::new).collect();
        let (_, _, loss, pass) = run::<Recording>(case, reference.rows, &case.x, &parameters);
        let gradients = pass.backward(loss);
        let loss_at =
            |input: &[f32], parameters: &[Weights]| run::<NotRecording>(case, reference.rows, input, parameters).1;
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
    let reference = reference();
    for case in &reference.losses {
        let loss = match case.name.as_str() {
            "mean_squared_error" => Loss::MeanSquaredError,
            "binary_cross_entropy" => Loss::BinaryCrossEntropy,
            _ => Loss::BinaryCrossEntropyWithLogits,
        };
        let mut pass = Pass::training(0);
        let y = Variable::<Recording>::tracked(Arc::new(case.y.clone().into()), reference.rows, &mut pass);
        let (mean, on_tape) = loss.record(y, &Arc::new(case.target.clone().into()));
        assert!((mean - case.loss).abs() < 1e-6, "{}: expected {}, got {mean}", case.name, case.loss);
        assert_close(&case.name, &pass.backward(on_tape)[0], &case.gradient, 1e-5);
    }
}

#[test]
fn cross_entropies_stay_finite_where_the_sigmoid_has_saturated() {
    let logits = [-200.0, 200.0, -200.0, 200.0];
    let targets = [0.0, 1.0, 1.0, 0.0];
    assert_eq!(Loss::BinaryCrossEntropyWithLogits.mean(&logits, &targets), 100.0);
    let probabilities = [0.0, 1.0, 0.0, 1.0];
    let clipped = Loss::BinaryCrossEntropy.mean(&probabilities, &targets);
    assert!(clipped > 7.5 && clipped < 8.5, "{clipped}"); // half of −ln 10⁻⁷, as Keras clips
    assert!(Loss::BinaryCrossEntropy.mean(&[f32::NAN], &[1.0]).is_nan());
}

#[test]
fn adam_agrees_with_pytorch() {
    let case = reference().adam;
    let mut weights: Vec<Weights> = vec![Arc::new(case.start)];
    let mut adam = Adam::new(case.learning_rate);
    for _ in 0..case.steps {
        let gradient: Vec<f32> = weights[0].iter().zip(&case.curvature).map(|(w, c)| w * c).collect();
        adam.update(weights.iter_mut(), &[gradient.into()]);
    }
    assert_close("adam", &weights[0], &case.end, 1e-5);
}

#[test]
fn gradients_flow_through_a_whole_network() {
    let network = Sequential::input([6]).dense(5).selu().dense(4).tanh().dense(3).sigmoid().seed(3).build().unwrap();
    let x: Vec<f32> = (0..24).map(|i| (i as f32 * 0.37).sin()).collect();
    let target: Arc<Buffer> = Arc::new((0..12).map(|i| (i % 2) as f32).collect::<Vec<_>>().into());
    let loss_of = |network: &Sequential| {
        let x = Variable::<NotRecording>::input(Arc::new(x.clone().into()), 4);
        let y = network.forward(x, &mut Pass::prediction());
        Loss::BinaryCrossEntropy.record(y, &target).0
    };
    let mut pass = Pass::training(0);
    let y = network.forward(Variable::<Recording>::input(Arc::new(x.clone().into()), 4), &mut pass);
    let (_, loss) = Loss::BinaryCrossEntropy.record(y, &target);
    let gradients = pass.backward(loss);
    for (number, gradient) in gradients.iter().enumerate() {
        for (index, got) in gradient.iter().enumerate() {
            let shifted = |by: f32| {
                let mut network = network.clone();
                Arc::make_mut(network.parameters_mut().nth(number).unwrap())[index] += by;
                loss_of(&network)
            };
            let expected = (shifted(1.0 / 256.0) - shifted(-1.0 / 256.0)) as f32 * 128.0;
            assert!((got - expected).abs() < 1e-4, "parameter {number}, {index}: expected {expected}, got {got}");
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_only_works_in_training() {
    let network = Sequential::input([20_000]).dropout(0.3).build().unwrap();
    let ones: Arc<Buffer> = Arc::new(vec![1.0; 20_000].into());
    let drop = |seed| {
        let x = Variable::<NotRecording>::input(ones.clone(), 1);
        network.forward(x, &mut Pass::training(seed)).values.to_vec()
    };
    let dropped = drop(1);
    let zeros = dropped.iter().filter(|v| **v == 0.0).count() as f64 / 20_000.0;
    assert!((zeros - 0.3).abs() < 0.015, "{zeros}");
    assert!(dropped.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
    assert_eq!(dropped, drop(1));
    assert_ne!(dropped, drop(2));
    assert_eq!(network.run(&ones, 1), ones[..]);
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut network =
                Sequential::input([300]).dense(70).selu().dropout(0.5).dense(300).sigmoid().build().unwrap();
            let x: Arc<Buffer> =
                Arc::new((0..300 * 130).map(|i| (i as f32 * 0.1).sin().abs()).collect::<Vec<_>>().into());
            let mut adam = Adam::new(0.01);
            for step in 0..3 {
                let mut pass = Pass::training(step);
                let y = network.forward(Variable::<Recording>::input(x.clone(), 130), &mut pass);
                let (_, loss) = Loss::BinaryCrossEntropy.record(y, &x);
                adam.update(network.parameters_mut(), &pass.backward(loss));
            }
            network.parameters().flat_map(|p| p.iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
        })
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
    assert_eq!(one, bits(4));
}

#[test]
fn mistakes_name_the_layer() {
    let image = || Sequential::input([1, 28, 28]);
    let table = [
        (Sequential::input([]), "input: expected a shape of positive sizes such as [1, 28, 28], got []"),
        (Sequential::input([3, 0]), "input: expected a shape of positive sizes such as [1, 28, 28], got [3, 0]"),
        (image().dense(5), "layer 1, dense: expected a flat input [k], got [1, 28, 28]; put .flatten() before it"),
        (image().softmax(), "layer 1, softmax: expected a flat input [k], got [1, 28, 28]; put .flatten() before it"),
        (image().flatten().relu().dense(0).relu(), "layer 3, dense: expected at least 1 unit, got 0"),
        (image().flatten().reshape([28, 27]), "layer 2, reshape: 784 values cannot become [28, 27] (756)"),
        (image().reshape([usize::MAX, 2]), &format!("layer 1, reshape: 784 values cannot become [{}, 2]", usize::MAX)),
        (image().dropout(1.0), "layer 1, dropout: expected a rate in [0, 1), got 1"),
        (image().dropout(f32::NAN), "layer 1, dropout: expected a rate in [0, 1), got NaN"),
        (image().leaky_relu(-0.1), "layer 1, leaky_relu: expected a slope in (0, 1], got -0.1"),
        (
            image().flatten().dense(1 << 40),
            "layer 2, dense: expected at most 1073741824 weights, got [784, 1099511627776] (weight)",
        ),
        (image().flatten().dense(0).seed(3), "layer 2, dense: expected at least 1 unit, got 0"),
    ];
    for (network, expected) in table {
        assert_eq!(network.build().unwrap_err().to_string(), expected);
    }
}

#[test]
fn seeds_and_initialisation_can_be_said_before_or_after_the_layers() {
    use super::init::Init;
    let weights = |network: Sequential| network.parameters().map(|p| p.to_vec()).collect::<Vec<_>>();
    let before = Sequential::input([4]).seed(5).init(Init::KaimingUniform).dense(3).dense(2);
    let after = Sequential::input([4]).dense(3).dense(2).init(Init::KaimingUniform).seed(5);
    assert_eq!(weights(before.clone()), weights(after));
    assert_ne!(weights(before.clone()), weights(before.seed(6)));
}

#[test]
fn the_summary_is_keras() {
    let network = Sequential::input([1, 28, 28]).flatten().dense(50).relu().dense(2).relu();
    let expected = [
        "Model: \"sequential\"",
        "_____________________________________________________________",
        " Layer                       Output Shape             Param #",
        "=============================================================",
        " input                       (None, 1, 28, 28)              0",
        "  1 flatten                  (None, 784)                    0",
        "  2 dense                    (None, 50)                39,250",
        "  3 relu                     (None, 50)                     0",
        "  4 dense                    (None, 2)                    102",
        "  5 relu                     (None, 2)                      0",
        "=============================================================",
        "Total params: 39,352",
    ];
    assert_eq!(network.summary().to_string().lines().collect::<Vec<_>>(), expected);
    assert!(network.dense(0).summary().to_string().contains("unfinished: layer 6, dense: expected at least 1 unit"));
}
