//! Losses, penalties and layers of one's own, and networks that are cut, joined, read and set.

use latentlab::{
    Loss, Penalty, Sequential, Tensor, TrainConfig,
    ndarray::{ArrayD, IxDyn},
    train_ae, train_pairs,
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
    networks::{picture, run},
};

/// Functions that a user may write by mistake.
fn functions() -> [fn(&Tensor) -> Tensor; 7] {
    [
        |x| x.ln(),
        |x| x.sum(),
        |x| x.matmul(x),
        |x| Tensor::zeros([x.shape()[0], usize::MAX, 3]),
        |x| x.reshape([0]),
        |x| x.slice(0, 0..1),
        |x| Tensor::zeros(x.shape()),
    ]
}

fn penalties() -> Vec<Penalty> {
    let of = |weight: f64| {
        let sparse = NUMBERS.map(|target| Penalty::kl_sparsity(target, weight));
        [vec![Penalty::l1(weight), Penalty::l2(weight), Penalty::contractive(weight)], sparse.to_vec()].concat()
    };
    let own = functions().into_iter().map(|function| Penalty::of("own", function));
    NUMBERS.iter().flat_map(|weight| of(*weight)).chain(own).collect()
}

fn trained(config: TrainConfig) {
    either(train_ae(&mut autoencoder(), &digits(9), &config));
}

fn arrays() -> Vec<ArrayD<f32>> {
    [&[][..], &[0], &[784, 2], &[2, 784], &[2]].map(|shape| ArrayD::from_elem(IxDyn(shape), 0.5)).to_vec()
}

pub fn rows() -> Table {
    vec![
        (
            "Sequential::map",
            Call(|| {
                for (name, function) in ["", "sum", "\u{7}", "a", "b", "c", "d"].into_iter().zip(functions()) {
                    run(Sequential::input([3]).map(name, function));
                    run(picture().map(name, function).flatten().dense(2));
                    run(Sequential::input([0]).map(name, function));
                }
            }),
        ),
        (
            "Sequential::map_with",
            Call(|| {
                let missing = |x: &Tensor, weights: &[Tensor]| weights.get(7).map_or(x.clone(), |w| x + w);
                let added = |x: &Tensor, weights: &[Tensor]| x + &weights[0];
                for size in SIZES {
                    run(Sequential::input([3]).map_with("missing", [("w", vec![size])], missing));
                    run(Sequential::input([3]).map_with("added", [("w", vec![size, size]), ("w", vec![])], added));
                    run(Sequential::input([3]).map_with("added", [("w", vec![])], added));
                }
            }),
        ),
        (
            "Sequential::register_layer",
            Call(|| functions().map(|function| Sequential::register_layer("", function)).into_iter().for_each(drop)),
        ),
        ("Sequential::register_layer_with", Call(|| Sequential::register_layer_with("\0", |x, _| x.clone()))),
        (
            "Sequential::skip",
            Call(|| {
                run(Sequential::input([0]).skip(|inner| inner));
                run(picture().skip(|inner| inner).skip(|inner| inner.skip(|inner| inner.relu())));
                run(picture().skip(|inner| inner.dense(1)).skip(|inner| inner.same()).stride(2));
                run(picture().skip(|_| Sequential::input([5]).dense(7)));
                run(picture().skip(|_| Sequential::input([2, 6, 6]).batch_norm()));
            }),
        ),
        (
            "Sequential::skip_concat",
            Call(|| {
                run(Sequential::input([0]).skip_concat(|inner| inner));
                run(Sequential::input([3, 4]).skip_concat(|inner| inner));
                run((0..40).fold(picture(), |network, _| network.skip_concat(|inner| inner)));
                run(picture().skip_concat(|_| Sequential::input([2, 6, 6]).max_pool2d(3)));
            }),
        ),
        (
            "Sequential::activity_penalty",
            Call(|| penalties().into_iter().for_each(|penalty| run(picture().relu().activity_penalty(penalty)))),
        ),
        ("Sequential::weights", Call(|| texts().iter().for_each(|name| refused(encoder().weights(name))))),
        (
            "Sequential::set_weights",
            Call(|| {
                for array in arrays() {
                    texts().iter().for_each(|name| refused(encoder().set_weights(name, &array)));
                    for name in encoder().weight_names() {
                        either(encoder().set_weights(&name, &array));
                        refused(encoder().set_weights(&name, &array.mapv(|_| f32::NAN)));
                    }
                }
            }),
        ),
        (
            "Sequential::activations",
            Call(|| {
                for array in arrays() {
                    either(encoder().activations(&array));
                    either(picture().dense(1).activations(&array));
                    either(Sequential::input([784]).activations(&array));
                }
            }),
        ),
        (
            "Sequential::split_at",
            Call(|| {
                for layers in SIZES {
                    let (first, rest) = encoder().split_at(layers);
                    run(first.clone());
                    run(rest.clone());
                    run(first.then(&rest));
                    let (first, rest) = picture().dense(1).split_at(layers);
                    [first, rest].into_iter().for_each(run);
                }
            }),
        ),
        (
            "Sequential::then",
            Call(|| {
                let all = [Sequential::input([0]), picture().dense(1), encoder().clone(), decoder(), picture()];
                all.iter().for_each(|first| all.iter().for_each(|second| run(first.then(second))));
            }),
        ),
        (
            "Loss::of",
            Call(|| {
                let losses: [fn(&Tensor, &Tensor) -> Tensor; 4] = [
                    |output, _| output.clone(),
                    |output, target| (output / target).sum(),
                    |output, _| output.slice(0, 5..9).sum(),
                    |_, _| Tensor::from(1.0),
                ];
                for loss in losses {
                    trained(config().loss(Loss::of("", loss)));
                    trained(config().loss(Loss::of_batch("\u{7}", loss)));
                }
            }),
        ),
        ("Loss::of_batch", Nothing("see Loss::of")),
        ("OptimizerState::steps", Nothing("the state alone")),
        ("Penalty::l1", Nothing("a value; see where penalties go")),
        ("Penalty::l2", Nothing("a value; see where penalties go")),
        ("Penalty::kl_sparsity", Nothing("a value; see where penalties go")),
        ("Penalty::contractive", Nothing("a value; see where penalties go")),
        ("Penalty::of", Nothing("a value; see where penalties go")),
        (
            "TrainConfig::code_penalty",
            Call(|| penalties().into_iter().for_each(|penalty| trained(config().code_penalty(penalty)))),
        ),
        (
            "TrainConfig::weight_penalty",
            Call(|| penalties().into_iter().for_each(|penalty| trained(config().weight_penalty(penalty)))),
        ),
        ("TrainConfig::targets", Call(|| datasets().iter().for_each(|targets| trained(config().targets(targets))))),
        (
            "TrainConfig::validation_targets",
            Call(|| {
                for targets in datasets() {
                    trained(config().validation_targets(&targets));
                    let both = config().validation(&digits(9)).targets(&digits(9));
                    trained(both.validation_targets(&targets));
                }
            }),
        ),
        (
            "train_pairs",
            Call(|| {
                for images in datasets() {
                    for mut network in [picture(), Sequential::input([1, 28, 28]).conv2d(1, 1), encoder().clone()] {
                        either(train_pairs(&mut network, &images, &digits(9), &config()));
                        either(train_pairs(&mut network, &digits(9), &images, &config()));
                        either(train_pairs(&mut network, &images, &images, &config().validation_fraction(0.5)));
                    }
                }
            }),
        ),
    ]
}
