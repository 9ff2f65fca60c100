//! Training steps of one's own: what a step learns, what it refuses, and that a refusal changes nothing.

use latentlab::{
    Autoencoder, Dataset, ErrorKind, Optimizer, OptimizerState, Parameter, Sequential, Step, StepGradients, Tensor,
    TrainConfig,
    ndarray::{Array1, ArrayD, array},
    train_ae,
};

fn network() -> Sequential {
    Sequential::input([3]).dense(4).tanh().dense(2).build().unwrap()
}

fn sgd() -> OptimizerState {
    Optimizer::sgd().init(0.1).unwrap()
}

fn batch() -> Tensor {
    Tensor::from(&array![[0.5f32, -1.0, 0.25], [1.0, 0.75, -0.5]])
}

fn weights(network: &Sequential) -> Vec<ArrayD<f32>> {
    let step = Step::new(0);
    network.weight_names().iter().map(|name| step.weights(network, name).to_array().unwrap()).collect()
}

fn gradients(network: &Sequential, loss: impl Fn(&Step) -> Tensor) -> Vec<ArrayD<f32>> {
    let step = Step::new(0);
    let loss = loss(&step);
    let gradients: StepGradients = step.backward(&loss).unwrap();
    gradients.of(network).into_iter().map(|(_, gradient)| gradient).collect()
}

fn near(got: &ArrayD<f32>, expected: &ArrayD<f32>) {
    assert_eq!(got.shape(), expected.shape());
    let largest = (got - expected).iter().fold(0.0f32, |largest, error| largest.max(error.abs()));
    assert!(largest < 1e-5, "expected {expected}, got {got}");
}

#[test]
fn a_network_that_runs_twice_gets_the_sum_of_both_gradients() {
    let network = network();
    let run = |step: &Step, scale: f32| network.forward(&step.input(batch() * scale)).square().mean();
    let both = gradients(&network, |step| run(step, 1.0) + run(step, -2.0));
    let [first, second] = [1.0, -2.0].map(|scale| gradients(&network, |step| run(step, scale)));
    assert!(both.len() == 4 && both[0].iter().any(|g| *g != 0.0));
    both.iter().zip(first.iter().zip(&second)).for_each(|(both, (first, second))| near(both, &(first + second)));
}

#[test]
fn a_frozen_network_passes_gradients_on_and_learns_nothing() {
    let network = network();
    let run = |frozen: bool| {
        let step = Step::new(0);
        let x = step.tracked_input(batch());
        let y = if frozen { network.forward_frozen(&x) } else { network.forward(&x) };
        let gradients = step.backward(&y.square().sum()).unwrap();
        (gradients.of_input(&x).unwrap(), gradients.of(&network), y.to_array().unwrap())
    };
    let ((input, of_weights, y), (frozen_input, frozen_weights, frozen_y)) = (run(false), run(true));
    assert_eq!((input, y), (frozen_input, frozen_y));
    assert!(of_weights.iter().all(|(_, gradient)| gradient.iter().any(|g| *g != 0.0)));
    assert!(frozen_weights.iter().all(|(_, gradient)| gradient.iter().all(|g| *g == 0.0)));
    let step = Step::new(0);
    let y = network.forward_frozen(&step.input(batch()));
    let error = step.backward(&y.sum()).unwrap_err().to_string();
    assert!(error.ends_with("got one that depends on nothing that is learned"), "{error}");
}

#[test]
fn tied_weights_and_free_parameters_learn() {
    let mut network = network();
    let mut centre = Parameter::new(&array![1.0f32, 2.0]);
    let before = weights(&network);
    let step = Step::new(0);
    let (weight, free) = (step.weights(&network, "1.weight"), step.parameter(&centre));
    let loss = weight.square().sum() + (&free * 3.0).sum() + network.forward(&step.input(batch())).sum() * 0.0;
    let [value] = sgd().minimize(step, [loss], (&mut network, &mut centre)).unwrap();
    assert!((value - f64::from(before[0].mapv(|w| w * w).sum()) - 9.0).abs() < 1e-5);
    near(&weights(&network)[0], &before[0].mapv(|w| 0.8 * w));
    near(&centre.to_array(), &array![0.7, 1.7].into_dyn());
}

#[test]
fn gradients_are_clipped() {
    let free = Parameter::new(&array![3.0f32, -4.0]);
    let gradients = || {
        let step = Step::new(0);
        let loss = step.parameter(&free).square().sum() * 0.5;
        step.backward(&loss).unwrap()
    };
    let mut clipped = gradients();
    assert_eq!((clipped.loss(), clipped.norm(), clipped.clip_norm(1.0)), (12.5, 5.0, 5.0));
    near(&clipped.of_parameter(&free), &array![0.6, -0.8].into_dyn());
    assert!((clipped.clip_norm(7.0) - 1.0).abs() < 1e-6 && (clipped.norm() - 1.0).abs() < 1e-6);
    let mut clipped = gradients();
    clipped.clip_value(3.5);
    assert_eq!(clipped.of_parameter(&free), array![3.0, -3.5].into_dyn());
    clipped.clip_value(-1.0);
    assert_eq!(clipped.of_parameter(&free), array![0.0, 0.0].into_dyn());
}

#[test]
fn what_diverges_changes_nothing() {
    let mut network = network();
    let mut adam = Optimizer::adam().init(0.1).unwrap();
    let step = Step::new(0);
    let loss = network.forward(&step.input(batch())).sum();
    adam.minimize(step, [loss], &mut network).unwrap();
    let (before, state) = (weights(&network), format!("{adam:?}"));
    // A loss of 0 whose gradient is infinite; a loss that is NaN; one that is infinite.
    let cases: [fn(&Tensor) -> Tensor; 3] =
        [|y| (y - y).sqrt().sum(), |y| (y * f32::NAN).sum(), |y| (y.square() / 0.0).sum()];
    for case in cases {
        let step = Step::new(1);
        let loss = case(&network.forward(&step.input(batch())));
        let error = adam.minimize(step, [loss], &mut network).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged);
        assert!(error.to_string().contains("Nothing was changed"), "{error}");
        assert_eq!((weights(&network), format!("{adam:?}")), (before.clone(), state.clone()));
    }
}

#[test]
fn mistakes_of_steps_are_told() {
    let mut network = network();
    let earlier = Step::new(0).tracked_input(batch());
    let step = Step::new(1);
    let mixed = (&earlier + step.input(batch())).sum();
    let message = "tensor operation +: expected tensors of one training step, got some of another. Step::input takes \
                   them into this one, as constants";
    assert_eq!(step.backward(&mixed).unwrap_err().to_string(), message);
    let of_another = Step::new(1).backward(&earlier.sum()).unwrap_err().to_string();
    assert!(of_another.ends_with("got one of another step"), "{of_another}");
    let constant = Step::new(1).backward(&Tensor::from(1.0)).unwrap_err().to_string();
    assert!(constant.ends_with("got a constant"), "{constant}");
    let wrong = network.forward(&Tensor::zeros([2, 5])).item().unwrap_err().to_string();
    assert_eq!(wrong, "forward of the network from [3] to [2]: expected (n, 3), got [2, 5]");

    // Only inputs have a gradient to ask for, as often as one likes.
    let step = Step::new(0);
    let x = step.tracked_input(batch());
    let y = x.square();
    let gradients = step.backward(&y.sum()).unwrap();
    assert_eq!(gradients.of_input(&x).unwrap(), gradients.of_input(&x).unwrap());
    assert_eq!(gradients.of_input(&x).unwrap(), (batch() * 2.0).to_array().unwrap());
    for other in [&y, &x.detach(), &x.reshape([6])] {
        assert_eq!(gradients.of_input(other).unwrap_err().kind(), ErrorKind::Argument);
    }

    // A network that the step has not used, such as one that has been moved since.
    let step = Step::new(0);
    let loss = network.forward(&step.input(batch())).sum();
    let mut moved = Box::new(network.clone());
    let error = sgd().minimize(step, [loss], &mut *moved).unwrap_err().to_string();
    assert!(error.contains("moved in memory") && error.starts_with("apply, number 1 "), "{error}");

    // An optimizer keeps means for what it was used for first.
    let mut adam = Optimizer::adam().init(0.1).unwrap();
    let minimize = |adam: &mut OptimizerState, network: &mut Sequential, free: Option<&mut Parameter>| {
        let step = Step::new(0);
        let loss = network.forward(&step.input(batch())).sum();
        match free {
            Some(free) => {
                let loss = loss + step.parameter(free).sum();
                adam.minimize(step, [loss], (network, free))
            }
            None => adam.minimize(step, [loss], network),
        }
    };
    minimize(&mut adam, &mut network, None).unwrap();
    let before = weights(&network);
    let mut free = Parameter::new(&Array1::<f32>::zeros(2));
    let error = minimize(&mut adam, &mut network, Some(&mut free)).unwrap_err().to_string();
    assert!(error.contains("Give each set of networks an optimizer of its own"), "{error}");
    assert_eq!(weights(&network), before);
    minimize(&mut adam, &mut network, None).unwrap();
}

#[test]
fn batch_normalisation_observes_and_seeds_decide() {
    let mut network = Sequential::input([3]).batch_norm().momentum(0.5).dropout(0.5).dense(2).build().unwrap();
    let run = |network: &Sequential, seed| {
        let step = Step::new(seed);
        let y = network.forward(&step.input(Tensor::ones([20, 3]) + step.normal([20, 3])));
        y.to_array().unwrap()
    };
    assert_eq!(run(&network, 1), run(&network, 1));
    assert_ne!(run(&network, 1), run(&network, 2));
    let step = Step::new(0);
    let x = step.input(Tensor::full([4, 3], 2.0) + step.normal([4, 3]).detach());
    let means = x.to_array().unwrap().mean_axis(latentlab::ndarray::Axis(0)).unwrap();
    let loss = network.forward(&x).sum();
    sgd().minimize(step, [loss], &mut network).unwrap();
    let name = network.weight_names().into_iter().find(|name| name.ends_with("mean")).unwrap();
    let step = Step::new(0);
    near(&step.weights(&network, &name).to_array().unwrap(), &(means * 0.5));
    let two = [step.normal([5]), step.normal([5])].map(|tensor| tensor.to_array().unwrap());
    assert_ne!(two[0], two[1]);
}

/// The same losses as a training that is ready-made, with one batch an epoch.
#[test]
fn steps_learn_as_a_ready_training_does() {
    let digits = Dataset::built_in_digits(64, 0).unwrap();
    let encoder = Sequential::input([1, 28, 28]).flatten().dense(16).tanh().dense(4);
    let decoder = Sequential::input([4]).dense(16).tanh().dense(784).sigmoid().reshape([1, 28, 28]);
    let mut ready = Autoencoder::new(encoder, decoder).unwrap();
    let (mut encoder, mut decoder) = (ready.encoder().clone(), ready.decoder().clone());
    let config =
        TrainConfig::new().epochs(5).batch_size(64).progress_every(0).optimizer(Optimizer::sgd()).learning_rate(0.5);
    let history = train_ae(&mut ready, &digits, &config).unwrap();
    let mut sgd = Optimizer::sgd().init(0.5).unwrap();
    let mut last = f64::NAN;
    for number in 0..5 {
        let step = Step::new(number);
        let x = step.input(digits.images());
        let loss = decoder.forward(&encoder.forward(&x)).mean_squared_error(&x);
        [last] = sgd.minimize(step, [loss], [&mut encoder, &mut decoder]).unwrap();
    }
    let expected = history.final_loss();
    assert!((last - expected).abs() < 1e-5 * expected, "expected {expected}, got {last}");
    for (ours, theirs) in [(&encoder, ready.encoder()), (&decoder, ready.decoder())] {
        weights(ours).iter().zip(&weights(theirs)).for_each(|(ours, theirs)| near(ours, theirs));
    }
}
