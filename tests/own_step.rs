//! Training steps of one's own: what a step learns, what it refuses, and that a refusal changes nothing.

use latentlab::{
    Autoencoder, Classifier, Dataset, DfdxTensor, ErrorKind, Gan, GanConfig, Loss, Optimizer, OptimizerState,
    Parameter, Sequential, Step, StepGradients, Tensor, TrainConfig, Vae, classify, decode,
    dfdx::{
        tensor::{NoneTape, PutTape, SplitTape, Tape},
        tensor_ops::MeanTo,
    },
    embed, evaluate, gan_step, generate,
    ndarray::{Array1, Array2, ArrayD, IxDyn, array},
    reconstruct, sample, train_ae, train_classifier, train_gan, train_pairs, train_vae,
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

type Function = fn(&Tensor) -> Tensor;

/// As it should be with two rows, with which a layer is tried, and not with others.
fn too_few_rows(x: &Tensor) -> Tensor {
    if x.shape()[0] == 2 { x.clone() } else { x.slice(0, 0..1) }
}

fn unlike_shapes(x: &Tensor) -> Tensor {
    if x.shape()[0] == 2 { x.clone() } else { x + Tensor::zeros([9]) }
}

/// As it should be with zeros.
fn panics_at_ink(x: &Tensor) -> Tensor {
    assert!(x.abs().max().item().unwrap() == 0.0, "there is ink");
    x.clone()
}

fn only_the_rows_of_training(x: &Tensor) -> Tensor {
    if x.shape()[0] == 7 { x.matmul(x) } else { x.clone() }
}

fn encoder_with(function: Function) -> Sequential {
    Sequential::input([1, 28, 28]).flatten().dense(4).map("own", function).build().unwrap()
}

fn decoder_with(function: Function) -> Sequential {
    Sequential::input([4]).dense(784).map("own", function).sigmoid().reshape([1, 28, 28]).build().unwrap()
}

fn same(x: &Tensor) -> Tensor {
    x.clone()
}

#[test]
fn a_layer_that_fails_late_is_an_error_everywhere() {
    let digits = Dataset::built_in_digits(12, 0).unwrap();
    let x = digits.images().clone().into_dyn();
    let config = TrainConfig::new().epochs(1).batch_size(5).progress_every(0);
    let told = |error: latentlab::Error, place: &str, mistake: &str| {
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
        let expected = format!("{place}, layer {mistake}");
        assert!(error.to_string().starts_with(&expected), "expected {expected}, got {error}");
    };
    let cases: [(Function, &str); 3] = [
        (too_few_rows, "own, its output: expected shape "),
        (unlike_shapes, "own, tensor operation +: expected shapes that broadcast, got ["),
        (panics_at_ink, "own, its output: its function panicked with an input of shape ["),
    ];
    for (function, mistake) in cases {
        let (third, second) = (format!("3, {mistake}"), format!("2, {mistake}"));
        let encoder = encoder_with(function);
        told(encoder.predict(&x).unwrap_err(), "predict", &third);
        told(encoder.activations(&x).unwrap_err(), "activations", &third);
        told(
            encoder.split_at(1).1.predict(&x.to_shape([12, 784]).unwrap().to_owned().into_dyn()).unwrap_err(),
            "predict",
            &second,
        );
        let of_forward = "forward of the network from [1, 28, 28] to [4]";
        told(encoder.forward(&Tensor::from(&x)).to_array().unwrap_err(), of_forward, &third);
        let step = Step::new(0);
        let y = encoder.forward(&step.input(&x));
        told(y.to_array().unwrap_err(), of_forward, &third);
        told(step.backward(&y.sum()).unwrap_err(), of_forward, &third);
        let inside = Sequential::input([1, 28, 28]).flatten().skip(|inner| inner.relu().map("own", function));
        told(inside.predict(&x).unwrap_err(), "predict, layer 2, skip, inside", &second);

        let mut model = Autoencoder::new(encoder.clone(), decoder_with(same)).unwrap();
        told(embed(&model, &digits).unwrap_err(), "embed", &third);
        told(reconstruct(&model, &digits).unwrap_err(), "embed", &third);
        told(evaluate(&model, &digits, Loss::MeanSquaredError).unwrap_err(), "encoder", &third);
        told(train_ae(&mut model, &digits, &config).unwrap_err(), "epoch 1, step 1, encoder", &third);
        let mut model = Autoencoder::new(encoder_with(same), decoder_with(function)).unwrap();
        told(reconstruct(&model, &digits).unwrap_err(), "decode", &second);
        told(decode(&model, &Array2::ones([5, 4])).unwrap_err(), "decode", &second);
        told(train_ae(&mut model, &digits, &config).unwrap_err(), "epoch 1, step 1, decoder", &second);

        let mut vae = Vae::new(encoder.clone(), decoder_with(same)).unwrap();
        told(train_vae(&mut vae, &digits, &config).unwrap_err(), "epoch 1, step 1, encoder", &third);
        let vae = Vae::new(encoder_with(same), decoder_with(function)).unwrap();
        told(sample(&vae, 3, 0).unwrap_err(), "decode", &second);

        let mut classifier = Classifier::linear(&encoder, 10).unwrap();
        told(classify(&classifier, &digits).unwrap_err(), "classify, encoder", &third);
        told(train_classifier(&mut classifier, &digits, &config).unwrap_err(), "epoch 1, step 1, encoder", &third);
        let mut frozen = classifier.frozen();
        told(train_classifier(&mut frozen, &digits, &config).unwrap_err(), "encoder", &third);
        let head = Sequential::input([4]).map("own", function).dense(10);
        let mut classifier = Classifier::new(encoder_with(same), head).unwrap().frozen();
        let first = format!("1, {mistake}");
        told(classify(&classifier, &digits).unwrap_err(), "classify, head", &first);
        told(train_classifier(&mut classifier, &digits, &config).unwrap_err(), "epoch 1, step 1, head", &first);

        let discriminator = |function| encoder_with(function).dense(1);
        let mut gan = Gan::new(decoder_with(function), discriminator(same)).unwrap();
        told(gan_step(&mut gan, &digits).unwrap_err(), "generator", &second);
        let config = GanConfig::new().epochs(1).batch_size(5).progress_every(0);
        told(train_gan(&mut gan, &digits, &config).unwrap_err(), "epoch 1, step 1, generator", &second);
        told(generate(&gan, 3, 0).unwrap_err(), "decode", &second);
        let mut gan = Gan::new(decoder_with(same), discriminator(function)).unwrap();
        told(gan_step(&mut gan, &digits).unwrap_err(), "discriminator", &third);
    }
    // Only in the validation.
    let seven = digits.take(7);
    let mut model = Autoencoder::new(encoder_with(only_the_rows_of_training), decoder_with(same)).unwrap();
    let error = train_ae(&mut model, &digits, &config.clone().validation(&seven)).unwrap_err();
    told(
        error,
        "epoch 1, validation, encoder",
        "3, own, tensor operation matmul: expected (n, k) and (k, m), got [7, 4]",
    );
}

/// A backward pass of its own, which panics.
fn fails_backwards(x: DfdxTensor) -> DfdxTensor {
    let (x, mut tape) = x.split_tape();
    tape.add_backward_op(|_| panic!("no way back"));
    x.put_tape(tape)
}

fn loss_that_fails_backwards(output: DfdxTensor, target: DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()> {
    fails_backwards(output - target).square().mean()
}

#[test]
fn a_panic_in_the_backward_pass_of_dfdx_is_an_error() {
    let digits = Dataset::built_in_digits(12, 0).unwrap();
    let config = TrainConfig::new().epochs(1).batch_size(5).progress_every(0);
    let encoder = Sequential::input([1, 28, 28]).flatten().dense(4).dfdx("odd", fails_backwards).build().unwrap();
    let told = |error: latentlab::Error, place: &str| {
        let error = error.to_string();
        assert!(error.starts_with(place) && error.contains("no way back"), "{error}");
    };
    let mut model = Autoencoder::new(encoder.clone(), decoder_with(same)).unwrap();
    let before = weights(model.encoder());
    told(train_ae(&mut model, &digits, &config).unwrap_err(), "epoch 1, step 1, the layer odd, its backward pass");
    assert_eq!(weights(model.encoder()), before);

    let step = Step::new(0);
    let loss = encoder.forward(&step.input(digits.images())).square().mean();
    told(step.backward(&loss).unwrap_err(), "the layer odd, its backward pass");

    let mut model = Autoencoder::new(encoder_with(same), decoder_with(same)).unwrap();
    let config = config.loss(Loss::dfdx("odd loss", loss_that_fails_backwards));
    told(train_ae(&mut model, &digits, &config).unwrap_err(), "epoch 1, step 1, the loss, odd loss");
}

#[test]
fn a_number_without_a_vector_is_an_error_everywhere() {
    let network = Sequential::input([3]).embedding(5, 2).flatten().dense(2).build().unwrap();
    let wrong = |value: f32, row: usize| {
        let mut x = Array2::from_elem((300, 3), 4.0f32);
        x[[row, 1]] = value;
        x.into_dyn()
    };
    let told = |error: latentlab::Error, place: &str, row: usize, value: f32| {
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
        let expected = "expected a whole number from 0 to 4, below the vocabulary of 5";
        assert_eq!(
            error.to_string(),
            format!("{place}, layer 1, embedding, row {row}, value 1: {expected}, got {value}")
        );
    };
    let of_forward = "forward of the network from [3] to [2]";
    for (value, row) in [(5.0, 0), (-1.0, 299), (1.5, 200)] {
        told(network.predict(&wrong(value, row)).unwrap_err(), "predict", row, value);
        told(network.activations(&wrong(value, row)).unwrap_err(), "activations", row, value);
        let constant = Tensor::from(&wrong(value, row));
        told(network.forward(&constant).to_array().unwrap_err(), of_forward, row, value);
        let mut network = network.clone();
        let before = weights(&network);
        let step = Step::new(0);
        let loss = network.forward(&step.input(constant)).square().mean();
        told(sgd().minimize(step, [loss], &mut network).unwrap_err(), of_forward, row, value);
        assert_eq!(weights(&network), before);
    }
    let data = |values: ArrayD<f32>| Dataset::from_array(values).unwrap();
    let maps = Sequential::input([1, 1, 3]).flatten().embedding(5, 2).flatten().dense(2).reshape([1, 1, 2]);
    let (mut pairs, before) = (maps.clone(), weights(&maps));
    let config = TrainConfig::new().epochs(1).batch_size(300).progress_every(0);
    let targets = data(ArrayD::zeros(IxDyn(&[300, 2])));
    let error = train_pairs(&mut pairs, &data(wrong(7.0, 30)), &targets, &config).unwrap_err().to_string();
    let row = error.strip_prefix("epoch 1, step 1, network, layer 2, embedding, row ").unwrap_or(&error);
    assert!(
        row.ends_with(", value 1: expected a whole number from 0 to 4, below the vocabulary of 5, got 7"),
        "{error}"
    );
    assert_eq!(weights(&pairs), before);
}

#[test]
fn frozen_recurrent_layers_and_embeddings_pass_gradients_on() {
    let network = Sequential::input([2]).embedding(3, 4).lstm(3).return_sequences().gru(2).build().unwrap();
    let (recurrent, embedding) = (network.split_at(1).1, network.split_at(1).0);
    let run = |frozen: bool| {
        let step = Step::new(0);
        let codes = embedding.forward_frozen(&step.input(array![[0.0f32, 2.0], [1.0, 1.0]]));
        let x = step.tracked_input(codes.detach());
        let y = if frozen { recurrent.forward_frozen(&x) } else { recurrent.forward(&x) };
        let all = network.forward_frozen(&step.tracked_input(array![[0.0f32, 2.0], [1.0, 1.0]]));
        let gradients = step.backward(&(y.square().sum() + all.sum())).unwrap();
        (gradients.of_input(&x).unwrap(), gradients.of(&recurrent), gradients.of(&network))
    };
    let ((x, learned, all), (frozen_x, frozen, _)) = (run(false), run(true));
    assert!(x == frozen_x && x.iter().all(|g| *g != 0.0));
    assert!(learned.iter().all(|(_, gradient)| gradient.iter().any(|g| *g != 0.0)));
    assert!(frozen.iter().chain(&all).all(|(_, gradient)| gradient.iter().all(|g| *g == 0.0)));
}
