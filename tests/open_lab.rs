//! Losses, penalties, layers and steps of one's own, against the same made of what the crate has, or by hand.

mod folder;
#[allow(dead_code)]
mod signed;

use folder::Folder;
use latentlab::{
    Autoencoder, Dataset, ErrorKind, Loss, Optimizer, Penalty, Sequential, Step, Tensor, TrainConfig, Training, Vae,
    ndarray::{Array2, ArrayD, Axis},
    train_ae, train_pairs, train_vae,
};

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

/// One epoch of one batch, by plain gradient descent: the weights move by exactly the gradient.
fn one_step(n: usize) -> TrainConfig {
    TrainConfig::new().epochs(1).batch_size(n).optimizer(Optimizer::sgd()).learning_rate(1.0).progress_every(0)
}

fn small() -> Autoencoder {
    let encoder = Sequential::input([1, 28, 28]).flatten().dense(12).sigmoid();
    let decoder = Sequential::input([12]).dense(784).sigmoid().reshape([1, 28, 28]);
    Autoencoder::new(encoder, decoder).unwrap().seed(1)
}

fn all_weights(autoencoder: &Autoencoder) -> Vec<ArrayD<f32>> {
    let of = |network: &Sequential| -> Vec<_> {
        network.weight_names().iter().map(|name| network.weights(name).unwrap()).collect()
    };
    [of(autoencoder.encoder()), of(autoencoder.decoder())].concat()
}

fn assert_close(a: &[ArrayD<f32>], b: &[ArrayD<f32>], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let scale = b.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * scale, "parameter {index}: {a} is not {b}");
        }
    }
}

/// What `train_ae` makes in one step, and what a [`Step`] with this loss makes.
fn trained_and_stepped(config: TrainConfig, loss: fn(&Step, &Autoencoder, &Tensor) -> Tensor) {
    let (images, mut trained) = (digits(40), small());
    let before = all_weights(&trained);
    let history = train_ae(&mut trained, &images, &config).unwrap();

    let stepped = small();
    let step = Step::new(0);
    let x = step.input(images.images());
    let loss = loss(&step, &stepped, &x);
    let gradients = step.backward(&loss).unwrap();
    assert!((history.loss[0] - gradients.loss()).abs() < 1e-5 * gradients.loss(), "{history} {gradients:?}");
    let of = [gradients.of(stepped.encoder()), gradients.of(stepped.decoder())].concat();
    let moved: Vec<_> = before.iter().zip(of).map(|(weights, (_, gradient))| weights - gradient).collect();
    assert!(before != moved);
    assert_close(&all_weights(&trained), &moved, 1e-5);
}

fn reconstruction(autoencoder: &Autoencoder, x: &Tensor) -> Tensor {
    autoencoder.decoder().forward(&autoencoder.encoder().forward(x)).mean_squared_error(x)
}

#[test]
fn a_step_is_what_the_training_does() {
    trained_and_stepped(one_step(40), |_, autoencoder, x| reconstruction(autoencoder, x));
}

#[test]
fn penalties_are_their_formulas() {
    trained_and_stepped(one_step(40).code_penalty(Penalty::l1(0.1)), |_, autoencoder, x| {
        let codes = autoencoder.encoder().forward(x);
        reconstruction(autoencoder, x) + codes.abs().sum() * (0.1 / 40.0)
    });
    trained_and_stepped(one_step(40).code_penalty(Penalty::l2(0.1)), |_, autoencoder, x| {
        let codes = autoencoder.encoder().forward(x);
        reconstruction(autoencoder, x) + codes.square().sum() * (0.1 / 40.0)
    });
    trained_and_stepped(one_step(40).code_penalty(Penalty::kl_sparsity(0.05, 0.1)), |_, autoencoder, x| {
        let mean = autoencoder.encoder().forward(x).mean_axis(0);
        let divergence = (0.05 / &mean).ln() * 0.05 + (0.95 / (1.0 - &mean)).ln() * 0.95;
        reconstruction(autoencoder, x) + divergence.sum() * 0.1
    });
    trained_and_stepped(one_step(40).weight_penalty(Penalty::l2(0.01)), |step, autoencoder, x| {
        let squares = [(autoencoder.encoder(), "2.weight"), (autoencoder.decoder(), "1.weight")]
            .map(|(network, name)| step.weights(network, name).square().sum());
        reconstruction(autoencoder, x) + (&squares[0] + &squares[1]) * 0.01
    });
    trained_and_stepped(one_step(40).weight_penalty(Penalty::l1(0.01)), |step, autoencoder, x| {
        let sums = [(autoencoder.encoder(), "2.weight"), (autoencoder.decoder(), "1.weight")]
            .map(|(network, name)| step.weights(network, name).abs().sum());
        reconstruction(autoencoder, x) + (&sums[0] + &sums[1]) * 0.01
    });
}

fn l1_of_rows(x: &Tensor) -> Tensor {
    x.abs().sum() * (0.1 / x.shape()[0] as f32)
}

fn cubes(weights: &Tensor) -> Tensor {
    (weights.abs() * weights.square()).sum() * 0.01
}

#[test]
fn a_penalty_of_ones_own_is_its_function() {
    let own = Penalty::of("l1 of rows", l1_of_rows);
    trained_and_stepped(one_step(40).code_penalty(own), |_, autoencoder, x| {
        reconstruction(autoencoder, x) + l1_of_rows(&autoencoder.encoder().forward(x))
    });
    trained_and_stepped(one_step(40).weight_penalty(Penalty::of("cubes", cubes)), |step, autoencoder, x| {
        let sums = [(autoencoder.encoder(), "2.weight"), (autoencoder.decoder(), "1.weight")]
            .map(|(network, name)| cubes(&step.weights(network, name)));
        reconstruction(autoencoder, x) + &sums[0] + &sums[1]
    });

    // In a network, also after it was saved.
    let folder = Folder::new("own-penalty");
    let layer = Autoencoder::new(small().encoder().clone().activity_penalty(own), small().decoder().clone()).unwrap();
    layer.save(folder.file("own.safetensors")).unwrap();
    let mut loaded = Autoencoder::load(folder.file("own.safetensors")).unwrap();
    let (images, config) = (digits(100), one_step(30).epochs(2).learning_rate(0.1));
    let first = train_ae(&mut loaded, &images, &config).unwrap();
    let second = train_ae(&mut small(), &images, &config.code_penalty(Penalty::of("l1 of rows", l1_of_rows))).unwrap();
    assert_eq!(first.loss, second.loss);

    // Channels come first.
    fn first_channel(x: &Tensor) -> Tensor {
        assert_eq!(x.shape()[1..], [2, 28, 28]);
        x.slice(1, 0..1).square().sum()
    }
    let penalised = Sequential::input([1, 28, 28]).conv2d(2, 3).same();
    let penalised = penalised.activity_penalty(Penalty::of("first channel", first_channel)).conv2d(1, 3).same();
    let history =
        train_pairs(&mut penalised.build().unwrap(), &images, &images, &one_step(30).learning_rate(1e-6)).unwrap();
    assert!(history.loss[0] > 0.0);

    for (function, expected) in [
        (
            (|x| x.clone()) as fn(&Tensor) -> Tensor,
            "the penalty, own, tensor operation item: expected a single value, got shape [2, 12]",
        ),
        (
            |_| panic!("on purpose"),
            "the penalty, own: expected a function that gives a value, got a panic with a tensor",
        ),
        (|x| x.matmul(x).sum(), "the penalty, own, "),
    ] {
        let error = train_ae(&mut small(), &images, &one_step(5).code_penalty(Penalty::of("own", function)));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Against the Jacobian itself, one row of it for each value of the code, by the gradient of the input.
#[test]
fn the_contractive_penalty_is_the_norm_of_the_jacobian() {
    for activation in [Sequential::sigmoid, Sequential::tanh, Sequential::relu, |network| network] {
        let encoder = activation(Sequential::input([1, 28, 28]).flatten().dense(3)).seed(3);
        let decoder = Sequential::input([3]).dense(784).reshape([1, 28, 28]);
        let autoencoder = Autoencoder::new(encoder, decoder).unwrap();
        let images = digits(5);
        let mut norm = 0.0;
        for unit in 0..3 {
            let step = Step::new(0);
            let x = step.tracked_input(images.images());
            let code = autoencoder.encoder().forward(&x).slice(-1, unit..unit + 1).sum();
            let gradient = step.backward(&code).unwrap().of_input(&x).unwrap();
            norm += gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / 5.0;
        }
        let plain = train_ae(&mut autoencoder.clone(), &images, &one_step(5)).unwrap().loss[0];
        let config = one_step(5).code_penalty(Penalty::contractive(0.5));
        let penalised = train_ae(&mut autoencoder.clone(), &images, &config).unwrap().loss[0];
        assert!((penalised - plain - 0.5 * norm).abs() < 1e-4 * norm, "{penalised} {plain} {norm}");
    }
    let deep = Sequential::input([1, 28, 28]).flatten().dense(9).relu().dense(2);
    let decoder = Sequential::input([2]).dense(784).reshape([1, 28, 28]);
    let mut deep = Autoencoder::new(deep, decoder).unwrap();
    let error = train_ae(&mut deep, &digits(5), &one_step(5).code_penalty(Penalty::contractive(0.1))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "TrainConfig::code_penalty: expected an encoder of one dense layer and at most a sigmoid, tanh, relu or \
         leaky_relu after it, got another one, whose Jacobian needs second derivatives"
    );
}

#[test]
fn penalties_where_they_cannot_be() {
    let images = digits(5);
    let run = |config: TrainConfig| train_ae(&mut small(), &images, &config).unwrap_err().to_string();
    let table = [
        (one_step(5).code_penalty(Penalty::l1(-1.0)), "code_penalty: expected a weight of at least 0, got -1"),
        (
            one_step(5).code_penalty(Penalty::kl_sparsity(0.0, 1.0)),
            "code_penalty: expected a target activation in (0, 1), got 0",
        ),
        (
            one_step(5).weight_penalty(Penalty::contractive(1.0)),
            "weight_penalty: expected l1 or l2, got contractive, which is for codes",
        ),
        (one_step(5).weight_penalty(Penalty::l2(f64::NAN)), "weight_penalty: expected a weight of at least 0, got NaN"),
    ];
    for (config, expected) in table {
        assert_eq!(run(config), format!("TrainConfig::{expected}"));
    }
    let error =
        train_vae(&mut Vae::strided([2, 4, 8], 16, 2).unwrap(), &images, &one_step(5).code_penalty(Penalty::l1(0.1)));
    assert!(
        error.unwrap_err().to_string().starts_with("TrainConfig::code_penalty: expected an autoencoder, got a vae")
    );
}

/// An activity penalty at the end of an encoder is a penalty on the code.
#[test]
fn an_activity_penalty_is_one_on_the_code() {
    for penalty in [Penalty::l1(0.05), Penalty::l2(0.05), Penalty::kl_sparsity(0.1, 0.5)] {
        let plain = small();
        let layer = plain.encoder().clone().activity_penalty(penalty);
        let mut with_layer = Autoencoder::new(layer, plain.decoder().clone()).unwrap();
        let mut with_setting = plain;
        let images = digits(100);
        let config = one_step(30).epochs(2).learning_rate(0.1);
        let first = train_ae(&mut with_layer, &images, &config).unwrap();
        let second = train_ae(&mut with_setting, &images, &config.clone().code_penalty(penalty)).unwrap();
        assert_eq!(first.loss, second.loss);
        assert_close(&all_weights(&with_layer), &all_weights(&with_setting), 0.0);
    }
}

fn squared(output: &Tensor, target: &Tensor) -> Tensor {
    (output - target).square().mean()
}

fn too_wide(output: &Tensor, target: &Tensor) -> Tensor {
    Tensor::concat([output, target], 0).matmul(target).mean()
}

fn panics(_: &Tensor, _: &Tensor) -> Tensor {
    panic!("a mistake in a cell")
}

/// Fails only for batches that are smaller than the others.
fn fails_late(output: &Tensor, target: &Tensor) -> Tensor {
    if output.shape()[0] == 7 { output.matmul(target).mean() } else { squared(output, target) }
}

#[test]
fn a_loss_of_ones_own_trains_as_the_ready_one() {
    let images = digits(90);
    let config = one_step(40).epochs(3).learning_rate(0.5).validation(&images);
    for loss in [Loss::of("squared", squared), Loss::of_batch("squared", squared)] {
        let (mut own, mut ready) = (small(), small());
        let own_history = train_ae(&mut own, &images, &config.clone().loss(loss)).unwrap();
        let ready_history = train_ae(&mut ready, &images, &config).unwrap();
        assert_close(&all_weights(&own), &all_weights(&ready), 1e-5);
        let pairs = own_history.validation_loss.iter().zip(&ready_history.validation_loss);
        assert!(pairs.clone().all(|(own, ready)| (own - ready).abs() < 1e-6), "{own_history} {ready_history}");
    }
}

type LossFunction = fn(&Tensor, &Tensor) -> Tensor;

#[test]
fn a_mistake_in_a_loss_is_an_error_and_the_weights_stay() {
    let images = digits(47);
    let table: [(LossFunction, &str); 3] = [
        (
            too_wide,
            "the loss, own, tensor operation matmul: expected (n, k) and (k, m), got [4, 1, 28, 28] and [2, 1, 28, 28]",
        ),
        (
            panics,
            "the loss, own: expected a function that gives a value, got a panic with an output and a \
             target of shape [2, 1, 28, 28]: a mistake in a cell",
        ),
        (
            fails_late,
            "epoch 1, step 3, the loss, own, tensor operation matmul: expected (n, k) and (k, m), got \
             [7, 1, 28, 28] and [7, 1, 28, 28]",
        ),
    ];
    for (loss, expected) in table {
        let mut autoencoder = small();
        let error = train_ae(&mut autoencoder, &images, &one_step(20).loss(Loss::of("own", loss))).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_close(&all_weights(&autoencoder), &all_weights(&small()), 0.0);
    }
}

fn relu(x: &Tensor) -> Tensor {
    x * x.greater(&Tensor::from(0.0))
}

fn affine(x: &Tensor, weights: &[Tensor]) -> Tensor {
    x.matmul(&weights[0]) + &weights[1]
}

/// A network of layers of one's own, and the same of the crate's.
#[test]
fn layers_of_ones_own_are_layers() {
    let ready = Sequential::input([1, 28, 28]).conv2d(3, 5).relu().flatten().dense(4).seed(5).build().unwrap();
    let shapes = [("weight", vec![3 * 24 * 24, 4]), ("bias", vec![4])];
    let own = Sequential::input([1, 28, 28]).conv2d(3, 5).map("own_relu", relu).flatten();
    let mut own = own.map_with("own_dense", shapes, affine).seed(5).build().unwrap();
    assert_eq!(own.weight_names(), ready.weight_names());
    for name in ready.weight_names() {
        let weights = ready.weights(&name).unwrap();
        own.set_weights(&name, &weights).unwrap();
    }
    let images = digits(30);
    let gradients = |network: &Sequential| {
        let step = Step::new(0);
        let loss = network.forward(&step.input(images.images())).square().mean();
        let gradients = step.backward(&loss).unwrap();
        gradients.of(network).into_iter().map(|(_, gradient)| gradient).collect::<Vec<_>>()
    };
    assert_close(&gradients(&own), &gradients(&ready), 1e-5);
    let x = images.images().clone().into_dyn();
    assert_close(&[own.predict(&x).unwrap()], &[ready.predict(&x).unwrap()], 1e-5);

    // Saved by name, and read again.
    let path = std::env::temp_dir().join(format!("latentlab-open-{}.safetensors", std::process::id()));
    own.save(&path).unwrap();
    let read = Sequential::load(&path).unwrap();
    assert_eq!(read.predict(&x).unwrap(), own.predict(&x).unwrap());
    let file = std::fs::read(&path).unwrap();
    let header = signed::header(&file).replace("own_relu", "not_here");
    std::fs::write(&path, signed::with_header(&file, &header)).unwrap();
    let error = Sequential::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    let expected = "layer 2, not_here: expected a function known by this name, got none; call \
                    Sequential::register_layer(\"not_here\", your function) before loading";
    assert!(error.contains(expected), "{error}");
    Sequential::register_layer("not_here", relu);
}

#[test]
fn a_layer_of_ones_own_with_a_mistake_is_an_error() {
    fn sums(x: &Tensor) -> Tensor {
        x.sum()
    }
    fn panics(_: &Tensor) -> Tensor {
        panic!("a mistake in a cell")
    }
    fn mistaken(x: &Tensor) -> Tensor {
        x.matmul(x)
    }
    let built = |name, function: fn(&Tensor) -> Tensor| {
        Sequential::input([3]).dense(4).map(name, function).build().unwrap_err().to_string()
    };
    assert_eq!(
        built("sums", sums),
        "layer 2, sums: expected (2, …) of its function for an input of shape [2, 4], got []"
    );
    assert_eq!(
        built("panics", panics),
        "layer 2, panics: its function panicked with an input of shape [2, 4]: a mistake in a cell"
    );
    assert_eq!(
        built("mistaken", mistaken),
        "layer 2, mistaken: tensor operation matmul: expected (n, k) and (k, m), got [2, 4] and [2, 4]"
    );
}

/// Against the same network made of tensors.
#[test]
fn skips_add_and_concatenate() {
    let inner = |network: Sequential| network.conv2d(2, 3).same().batch_norm().relu().conv2d(2, 3).same();
    let skip = Sequential::input([2, 9, 9]).skip(inner).skip_concat(inner).conv2d(1, 3).build().unwrap();
    assert_eq!(skip.output_shape(), [1, 7, 7]);
    assert_eq!(skip.weight_names()[..4], ["1.1.weight", "1.1.bias", "1.2.gamma", "1.2.beta"]);

    let mut parts = [2usize, 2].map(|channels| inner(Sequential::input([channels, 9, 9])).build().unwrap());
    for (index, part) in parts.iter_mut().enumerate() {
        for name in part.weight_names() {
            part.set_weights(&name, &skip.weights(&format!("{}.{name}", index + 1)).unwrap()).unwrap();
        }
    }
    let mut last = Sequential::input([4, 9, 9]).conv2d(1, 3).build().unwrap();
    for name in ["weight", "bias"] {
        last.set_weights(&format!("1.{name}"), &skip.weights(&format!("3.{name}")).unwrap()).unwrap();
    }
    let x = ArrayD::from_shape_fn(vec![7, 2, 9, 9], |index| {
        ((index[0] + 3 * index[1] + index[2] * index[3]) as f32 * 0.7).sin()
    });

    let step = Step::new(0);
    let input = step.tracked_input(&x);
    let loss = skip.forward(&input).square().sum();
    let gradients = step.backward(&loss).unwrap();
    let whole: Vec<_> = gradients.of(&skip).into_iter().map(|(_, gradient)| gradient).collect();
    let of_input = gradients.of_input(&input).unwrap();

    let step = Step::new(0);
    let input = step.tracked_input(&x);
    let first = &input + parts[0].forward(&input);
    let second = Tensor::concat([&first, &parts[1].forward(&first)], 1);
    let by_hand_loss = last.forward(&second).square().sum();
    assert!((loss.item().unwrap() - by_hand_loss.item().unwrap()).abs() < 1e-3);
    let gradients = step.backward(&by_hand_loss).unwrap();
    let by_hand: Vec<_> = parts.iter().chain([&last]).flat_map(|part| gradients.of(part)).map(|(_, g)| g).collect();
    assert_close(&whole, &by_hand, 1e-4);
    assert_close(&[of_input], &[gradients.of_input(&input).unwrap()], 1e-4);

    let predicted = skip.predict(&x).unwrap();
    let path = std::env::temp_dir().join(format!("latentlab-skip-{}.safetensors", std::process::id()));
    skip.save(&path).unwrap();
    let read = Sequential::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read.predict(&x).unwrap(), predicted);
}

#[test]
fn mistakes_inside_a_skip_say_where() {
    let built = |network: Sequential| network.build().unwrap_err().to_string();
    assert_eq!(
        built(Sequential::input([1, 8, 8]).relu().skip(|inner| inner.conv2d(1, 3).same().dense(4))),
        "layer 2, skip, inside, layer 2, dense: expected a flat input [k], got [1, 8, 8]; put .flatten() before it"
    );
    assert_eq!(
        built(Sequential::input([1, 8, 8]).skip_concat(|inner| inner.max_pool2d(2))),
        "layer 1, skip_concat: expected the layers inside to keep height and width of [1, 8, 8], got [1, 4, 4]"
    );
}

#[test]
fn a_skip_trains_alike_for_any_number_of_threads() {
    let losses = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut network = Sequential::input([1, 28, 28])
            .conv2d(4, 3)
            .same()
            .relu()
            .skip(|inner| inner.conv2d(4, 3).same().relu().dropout(0.2).conv2d(4, 3).same())
            .skip_concat(|inner| inner.max_pool2d(2).conv2d(4, 3).same().relu().up_sample2d(2))
            .conv2d(1, 3)
            .same()
            .sigmoid();
        let clean = digits(60);
        let noisy = clean.with_noise(0.3, 1).unwrap();
        let config = TrainConfig::new().epochs(2).batch_size(25).progress_every(0);
        pool.install(|| train_pairs(&mut network, &noisy, &clean, &config)).unwrap().loss
    };
    let one = losses(1);
    assert!(one[1] < one[0]);
    assert_eq!(one, losses(3));
}

#[test]
fn targets_that_are_not_the_images() {
    let (images, config) = (digits(60), TrainConfig::new().epochs(2).batch_size(20).progress_every(0));
    let dark = images.with_images(images.images() * 0.5).unwrap();
    // Learned: the loss with its own targets is that of the same pairs as images.
    let mut autoencoder = small();
    let history = train_pairs(&mut autoencoder, &images, &dark, &config.clone().validation_fraction(0.25)).unwrap();
    assert!(history.loss[1] < history.loss[0] && history.validation_loss.len() == 2);
    let wrong = |config: TrainConfig, targets: &Dataset| {
        train_pairs(&mut small(), &images, targets, &config).unwrap_err().to_string()
    };
    assert_eq!(
        wrong(config.clone(), &digits(59)),
        "TrainConfig::targets: expected one for each of 60 training images, got 59"
    );
    assert_eq!(
        wrong(config.clone().validation(&images), &dark),
        "TrainConfig::validation_targets: expected targets for training and for validation, \
         or for neither, got one of them"
    );
    assert_eq!(
        wrong(config.clone().validation_targets(&dark), &dark),
        "TrainConfig::validation_targets: expected TrainConfig::validation, got no images to validate on"
    );
    let run = Training::of(small(), &images, &config.targets(&dark)).unwrap();
    assert_eq!(run.history().epochs(), 0);
}

#[test]
fn networks_are_cut_joined_read_and_set() {
    let network = Sequential::input([8]).dense(5).relu().dense(3).seed(2).build().unwrap();
    let x = ArrayD::from_shape_fn(vec![4, 8], |index| index[0] as f32 - 0.3 * index[1] as f32);
    let layers = network.activations(&x).unwrap();
    assert_eq!(layers.iter().map(|layer| layer.kind.as_str()).collect::<Vec<_>>(), ["dense", "relu", "dense"]);
    assert_eq!(layers[2].values, network.predict(&x).unwrap());
    let by_hand = x.clone().into_dimensionality::<latentlab::ndarray::Ix2>().unwrap();
    let weight = network.weights("1.weight").unwrap().into_dimensionality().unwrap();
    let by_hand: Array2<f32> = by_hand.dot::<Array2<f32>>(&weight);
    assert_close(&[layers[0].values.clone()], &[by_hand.into_dyn()], 1e-5);

    let (first, rest) = network.split_at(2);
    assert_eq!(rest.predict(&first.predict(&x).unwrap()).unwrap(), network.predict(&x).unwrap());
    assert_eq!(first.then(&rest).predict(&x).unwrap(), network.predict(&x).unwrap());
    let error = rest.then(&rest).build().unwrap_err();
    assert_eq!(error.to_string(), "then, after layer 1, dense: expected an input of [3], got [5]");

    let mut other = network.clone();
    let error = other.set_weights("3.weight", &Array2::<f32>::zeros((3, 5))).unwrap_err();
    assert_eq!(error.to_string(), "set_weights, 3.weight: expected [5, 3], got [3, 5]");
    let error = other.set_weights("3.weights", &Array2::<f32>::zeros((5, 3))).unwrap_err();
    let names = "1.weight, 1.bias, 3.weight, 3.bias";
    assert_eq!(error.to_string(), format!("the name of weights: expected one of {names}, got 3.weights"));
    assert_eq!(error.kind(), ErrorKind::Argument);
    other.set_weights("3.weight", &Array2::<f32>::zeros((5, 3))).unwrap();
    assert!(other.predict(&x).unwrap().iter().all(|value| *value == 0.0));
    assert_ne!(network.predict(&x).unwrap().sum_axis(Axis(0)), other.predict(&x).unwrap().sum_axis(Axis(0)));
}
