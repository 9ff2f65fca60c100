//! Networks, layer by layer, and what optimizes them.

use latentlab::{
    DfdxTensor, HeightWidth, Init, Loss, Optimizer, Plan, Result, Sequential, Sides, Summary, TrainConfig,
    dfdx::{
        tensor::{Cpu, NoneTape, OwnedTape, PutTape, WithEmptyTape, ZerosTensor},
        tensor_ops::MeanTo,
    },
    ndarray::{ArrayD, IxDyn},
    train_ae,
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

/// A network as far as it goes: built, shown, and run on one row.
pub fn run(network: Sequential) {
    let _ = (network.output_shape().to_vec(), network.parameter_count());
    shown(&network.summary());
    let Some(network) = either(network.build()) else { return };
    let shape = [&[1], network.input_shape()].concat();
    for value in [0.5, f32::NAN, f32::MAX] {
        either(network.predict(&ArrayD::from_elem(IxDyn(&shape), value)));
    }
}

pub fn picture() -> Sequential {
    Sequential::input([2, 6, 6])
}

fn pairs() -> Vec<HeightWidth> {
    let mut pairs: Vec<HeightWidth> = SIZES.iter().map(|size| HeightWidth::from(*size)).collect();
    pairs.extend(SIZES.iter().flat_map(|size| [HeightWidth::from([*size, 1]), HeightWidth::from([1, *size])]));
    pairs.extend([6, 7, 11, 12, 65_536].map(HeightWidth::from));
    pairs
}

fn sides() -> Vec<Sides> {
    let mut sides: Vec<Sides> = SIZES.iter().map(|size| Sides::from(*size)).collect();
    for size in SIZES {
        sides.extend([
            Sides::from([size, 1]),
            [1, size].into(),
            [[size, 0], [0, 1]].into(),
            [[5, 0], [0, size]].into(),
        ]);
    }
    sides
}

fn recurrent(layer: fn(Sequential, usize) -> Sequential) {
    for size in SIZES {
        run(layer(Sequential::input([3, 2]), size));
        run(layer(Sequential::input([size, 2]), 3));
        run(layer(Sequential::input([2, size]), 3));
        run(layer(Sequential::input([size, size]), size));
    }
    run(layer(picture(), 2));
    run(layer(Sequential::input([3]), 2));
    run(layer(layer(Sequential::input([3, 2]), 2), 2));
}

fn trained(optimizer: Optimizer) {
    let config =
        |rate| TrainConfig::new().epochs(1).batch_size(8).progress_every(0).optimizer(optimizer).learning_rate(rate);
    for rate in [0.001, 1e300] {
        either(train_ae(&mut autoencoder(), &digits(12), &config(rate)));
    }
}

fn optimizers() -> [Optimizer; 9] {
    [
        Optimizer::adam(),
        Optimizer::adamw(),
        Optimizer::adamax(),
        Optimizer::adagrad(),
        Optimizer::radam(),
        Optimizer::nadam(),
        Optimizer::rmsprop(),
        Optimizer::lion(),
        Optimizer::sgd(),
    ]
}

fn summaries(check: impl Fn(&Summary)) {
    check(&Sequential::input([0]).summary());
    check(&Sequential::input([2]).dense(0).summary());
    check(&encoder().summary());
    check(&gan().summary());
}

fn plans(plan: impl Fn(&Sequential) -> Result<Plan>) {
    let mistakes = [Sequential::input([0]), Sequential::input([2]).dense(0), Sequential::input([2]).stride(1)];
    mistakes.iter().for_each(|network| drop(plan(network).unwrap_err()));
    for network in [Sequential::input([1]), Sequential::input([2, 6, 6]).up_sample2d(2).conv2d(1, 3), encoder().clone()]
    {
        let plan = plan(&network).unwrap();
        assert!(plan.to_string().ends_with(&plan.multiply_adds().to_string()) || plan.multiply_adds() > 999);
    }
}

/// Functions of dfdx's tensors that a user may write by mistake.
fn functions() -> [fn(DfdxTensor) -> DfdxTensor; 4] {
    [
        |x| x.square(),
        |x| x.with_empty_tape(),
        |x| x.ln(),
        |_| Cpu::default().zeros_like(&(7, 0)).put_tape(OwnedTape::default()),
    ]
}

pub fn rows() -> Table {
    vec![
        ("Sequential::plan", Call(|| plans(Sequential::plan))),
        ("Sequential::prediction_plan", Call(|| plans(Sequential::prediction_plan))),
        ("Plan::multiply_adds", Nothing("what Sequential::plan made")),
        (
            "Sequential::dfdx",
            Call(|| {
                for (name, function) in ["", "swish", "\u{7}"].into_iter().zip(functions()) {
                    run(Sequential::input([3]).dfdx(name, function));
                    run(picture().dfdx(name, function));
                    run(picture().flatten().dense(2).dfdx(name, function).dfdx(name, function).dense(1));
                }
                assert!(Sequential::input([3]).dfdx("none", functions()[3]).build().is_err());
            }),
        ),
        (
            "Loss::dfdx",
            Call(|| {
                let nan = |output: DfdxTensor, _: DfdxTensor<_, NoneTape>| (output * f32::NAN).mean();
                let config = TrainConfig::new().epochs(1).batch_size(8).progress_every(0);
                either(train_ae(&mut autoencoder(), &digits(12), &config.loss(Loss::dfdx("", nan))));
            }),
        ),
        (
            "Sequential::input",
            Call(|| {
                run(Sequential::input([]));
                run(Sequential::input(vec![1; 1_000]));
                for size in SIZES {
                    run(Sequential::input([size]));
                    run(Sequential::input([size]).dense(1));
                    run(Sequential::input([size, size, size]).flatten().dense(1));
                    run(Sequential::input([1, size, 1]).conv2d(1, 1));
                }
            }),
        ),
        ("Sequential::seed", Call(|| SEEDS.iter().for_each(|seed| run(picture().conv2d(2, 3).seed(*seed))))),
        (
            "Sequential::init",
            Call(|| {
                let stds = [0.02, 0.0, -1.0, 1e30, f32::MAX, f32::NAN];
                let stds = stds.into_iter().flat_map(|std| [Init::TruncatedNormal { std }, Init::Normal { std }]);
                let named = [Init::GlorotUniform, Init::KaimingUniform, Init::HeNormal, Init::Orthogonal];
                for init in stds.chain(named) {
                    run(Sequential::input([0]).init(init).dense(1));
                    run(picture().init(init).conv2d(1, 1));
                }
            }),
        ),
        (
            "Sequential::build",
            Call(|| {
                run(picture());
                run(picture().dense(1).relu().flatten());
            }),
        ),
        ("Sequential::input_shape", Nothing("the network alone")),
        ("Sequential::output_shape", Nothing("the network alone; see the rows of the layers")),
        (
            "Sequential::take",
            Call(|| {
                for layers in SIZES {
                    run(encoder().take(layers));
                    run(picture().dense(1).take(layers));
                }
            }),
        ),
        ("Sequential::parameter_count", Nothing("the network alone; see the rows of the layers")),
        ("Sequential::summary", Nothing("the network alone; see the rows of the layers")),
        (
            "Sequential::predict",
            Call(|| {
                for shape in
                    [&[][..], &[0], &[2], &[0, 1, 28, 28], &[2, 1, 28, 28], &[2, 784], &[1, 1, 1, 1, 1], &[0, 0, 0, 0]]
                {
                    for value in FLOATS {
                        either(encoder().predict(&ArrayD::from_elem(IxDyn(shape), value)));
                        either(picture().dense(1).predict(&ArrayD::from_elem(IxDyn(shape), value)));
                    }
                }
                let many = ArrayD::zeros(IxDyn(&[100_000, 1]));
                refused(Sequential::input([1]).dense(10_000).predict(&many));
            }),
        ),
        (
            "Sequential::save",
            Call(|| {
                paths().iter().for_each(|path| refused(encoder().save(path)));
                refused(picture().dense(1).save(Garbage::new("weights").file("a.safetensors")));
            }),
        ),
        (
            "Sequential::load",
            Call(|| {
                let garbage = Garbage::new("network");
                [paths(), garbage.files("safetensors")]
                    .concat()
                    .iter()
                    .for_each(|path| refused(Sequential::load(path)));
            }),
        ),
        (
            "Sequential::evcxr_display",
            Call(|| {
                encoder().evcxr_display();
                Sequential::input([0]).dense(0).evcxr_display();
            }),
        ),
        (
            "Sequential::relu",
            Call(|| {
                run(Sequential::input([0]).relu());
                run(picture().relu().relu().relu());
            }),
        ),
        ("Sequential::leaky_relu", Call(|| FLOATS.iter().for_each(|slope| run(picture().leaky_relu(*slope))))),
        ("Sequential::selu", Call(|| run(Sequential::input([0]).selu()))),
        ("Sequential::tanh", Call(|| run(picture().tanh()))),
        ("Sequential::sigmoid", Call(|| run(picture().sigmoid()))),
        ("Sequential::elu", Call(|| FLOATS.iter().for_each(|alpha| run(picture().elu(*alpha))))),
        ("Sequential::softplus", Call(|| run(picture().softplus()))),
        ("Sequential::hard_sigmoid", Call(|| run(picture().hard_sigmoid()))),
        ("Sequential::gelu", Call(|| run(picture().gelu()))),
        ("Sequential::silu", Call(|| run(picture().silu()))),
        (
            "Sequential::prelu",
            Call(|| {
                run(Sequential::input([0]).prelu());
                run(Sequential::input([2, 3, 4, 5]).prelu());
                run(picture().prelu().prelu());
            }),
        ),
        (
            "Sequential::layer_norm",
            Call(|| {
                run(Sequential::input([1]).layer_norm());
                run(Sequential::input([1, 1, 1, 1]).layer_norm());
                run(picture().layer_norm().layer_norm());
            }),
        ),
        (
            "Sequential::group_norm",
            Call(|| {
                SIZES.iter().for_each(|groups| run(picture().group_norm(*groups)));
                run(Sequential::input([3, 2]).group_norm(1));
            }),
        ),
        (
            "Sequential::embedding",
            Call(|| {
                for size in SIZES {
                    run(Sequential::input([3]).embedding(size, 2));
                    run(Sequential::input([3]).embedding(2, size));
                    run(Sequential::input([size]).embedding(size, size));
                }
                run(picture().embedding(2, 2));
                let network = Sequential::input([1]).embedding(3, 2).build().unwrap();
                for number in FLOATS.into_iter().filter(|number| number.is_finite()) {
                    let y = network.predict(&ArrayD::from_elem(IxDyn(&[1, 1]), number));
                    assert_eq!(y.is_ok(), [0.0, 1.0, 2.0].contains(&number), "{number}");
                    assert!(either(y).is_none_or(|y| y.iter().all(|value| value.is_finite())), "{number}");
                }
                // Pixels that are no numbers of words: the training stops.
                let encoder = Sequential::input([1, 28, 28]).flatten().embedding(2, 1).flatten().dense(2);
                let mut model = latentlab::Autoencoder::new(encoder, decoder()).unwrap();
                refused(train_ae(&mut model, &digits(12), &config()));
            }),
        ),
        ("Sequential::lstm", Call(|| recurrent(Sequential::lstm))),
        ("Sequential::gru", Call(|| recurrent(Sequential::gru))),
        (
            "Sequential::return_sequences",
            Call(|| {
                recurrent(|network, units| network.lstm(units).return_sequences());
                recurrent(|network, units| network.gru(units).return_sequences().return_sequences());
                run(picture().return_sequences());
                run(picture().relu().return_sequences());
            }),
        ),
        (
            "Sequential::repeat_vector",
            Call(|| {
                for times in SIZES {
                    run(Sequential::input([3]).repeat_vector(times));
                    run(Sequential::input([times]).repeat_vector(times));
                }
                run(picture().repeat_vector(2));
            }),
        ),
        ("Sequential::global_avg_pool2d", Call(|| run(Sequential::input([3]).global_avg_pool2d()))),
        (
            "Sequential::global_max_pool2d",
            Call(|| {
                run(Sequential::input([3]).global_max_pool2d());
                run(Sequential::input([1, 1 << 13, 1 << 12]).global_max_pool2d());
                run(picture().global_max_pool2d().global_max_pool2d());
            }),
        ),
        ("Sequential::zero_pad2d", Call(|| sides().iter().for_each(|sides| run(picture().zero_pad2d(*sides))))),
        ("Sequential::crop2d", Call(|| sides().iter().for_each(|sides| run(picture().crop2d(*sides))))),
        (
            "Sequential::softmax",
            Call(|| {
                run(Sequential::input([3]).softmax());
                run(Sequential::input([0]).softmax());
                run(picture().softmax());
            }),
        ),
        (
            "Sequential::batch_norm",
            Call(|| {
                run(Sequential::input([0]).batch_norm());
                run(picture().batch_norm().batch_norm());
                run(Sequential::input([3]).batch_norm());
            }),
        ),
        (
            "Sequential::momentum",
            Call(|| {
                FLOATS.iter().for_each(|momentum| run(picture().batch_norm().momentum(*momentum)));
                run(picture().momentum(0.5));
                run(Sequential::input([3]).dense(1).momentum(0.5));
            }),
        ),
        (
            "Sequential::epsilon",
            Call(|| {
                for epsilon in FLOATS {
                    run(picture().batch_norm().epsilon(epsilon));
                    run(picture().layer_norm().epsilon(epsilon));
                    run(picture().group_norm(2).epsilon(epsilon));
                }
                run(picture().epsilon(0.5));
            }),
        ),
        (
            "Sequential::conv2d",
            Call(|| {
                for size in SIZES {
                    run(picture().conv2d(size, 1));
                    run(picture().conv2d(size, size));
                    run(picture().conv2d(size, 3).same());
                }
                pairs().iter().for_each(|kernel| run(picture().conv2d(1, *kernel)));
                pairs().iter().for_each(|kernel| run(picture().conv2d(1, *kernel).same()));
                run(Sequential::input([3]).conv2d(1, 1));
            }),
        ),
        (
            "Sequential::stride",
            Call(|| {
                for stride in pairs() {
                    run(picture().conv2d(1, 3).stride(stride));
                    run(picture().conv2d(1, 3).stride(stride).same());
                    run(picture().conv_transpose2d(1, 3).stride(stride));
                    run(picture().conv_transpose2d(1, 3).stride(stride).same());
                    run(picture().max_pool2d(2).stride(stride));
                    run(picture().avg_pool2d(2).stride(stride));
                    run(picture().relu().stride(stride));
                }
            }),
        ),
        (
            "Sequential::dilation",
            Call(|| {
                for dilation in pairs() {
                    run(picture().conv2d(1, 3).dilation(dilation));
                    run(picture().conv2d(1, [3, 1]).same().dilation(dilation));
                    run(picture().conv2d(1, 1).dilation(dilation).stride(dilation));
                    run(picture().conv_transpose2d(1, [2, 1]).dilation(dilation));
                    run(picture().conv_transpose2d(1, 3).dilation(dilation).stride(2).same());
                    run(picture().relu().dilation(dilation));
                }
            }),
        ),
        (
            "Sequential::use_bias",
            Call(|| {
                for bias in [true, false] {
                    run(picture().use_bias(bias));
                    run(picture().conv2d(1, 3).use_bias(bias).use_bias(!bias).batch_norm());
                    run(picture().flatten().dense(0).use_bias(bias));
                    run(picture().flatten().dense(2).use_bias(bias).batch_norm().use_bias(bias));
                }
            }),
        ),
        (
            "Sequential::groups",
            Call(|| {
                for groups in SIZES {
                    run(picture().conv2d(groups, 1).groups(groups));
                    run(picture().conv2d(2, 3).groups(groups).same());
                    run(picture().conv_transpose2d(groups, 3).groups(groups));
                    run(Sequential::input([groups, 1, 1]).conv2d(groups, 3).same().groups(groups));
                    run(picture().max_pool2d(2).groups(groups));
                    run(picture().groups(groups));
                }
            }),
        ),
        (
            "Sequential::bilinear",
            Call(|| {
                for factor in pairs() {
                    run(picture().up_sample2d(factor).bilinear());
                    run(picture().up_sample2d(factor).bilinear().bilinear().conv2d(1, 3));
                }
                run(picture().bilinear());
                run(picture().conv2d(1, 1).bilinear());
            }),
        ),
        (
            "Sequential::pixel_shuffle",
            Call(|| {
                for factor in SIZES {
                    run(picture().pixel_shuffle(factor));
                    run(Sequential::input([factor, 1, 1]).pixel_shuffle(factor));
                }
                run(Sequential::input([4]).pixel_shuffle(2));
            }),
        ),
        (
            "Sequential::same",
            Call(|| {
                run(picture().same());
                run(picture().relu().same());
                run(Sequential::input([1, 1, 1]).conv2d(1, 100_000).same());
            }),
        ),
        (
            "Sequential::padding",
            Call(|| {
                for padding in pairs() {
                    run(picture().conv2d(1, 3).padding(padding));
                    run(picture().conv_transpose2d(1, 3).padding(padding));
                    run(picture().max_pool2d(2).padding(padding));
                    run(picture().padding(padding));
                }
            }),
        ),
        (
            "Sequential::conv_transpose2d",
            Call(|| {
                for size in SIZES {
                    run(picture().conv_transpose2d(size, 1));
                    run(picture().conv_transpose2d(size, size));
                }
                pairs().iter().for_each(|kernel| run(picture().conv_transpose2d(1, *kernel)));
                pairs().iter().for_each(|kernel| run(picture().conv_transpose2d(1, *kernel).same()));
            }),
        ),
        (
            "Sequential::output_padding",
            Call(|| {
                for padding in pairs() {
                    run(picture().conv_transpose2d(1, 3).stride(2).output_padding(padding));
                    run(picture().conv2d(1, 3).output_padding(padding));
                    run(picture().output_padding(padding));
                }
            }),
        ),
        (
            "Sequential::dense",
            Call(|| {
                for units in SIZES {
                    run(Sequential::input([2]).dense(units));
                    run(Sequential::input([2]).dense(units).dense(units));
                    run(Sequential::input([1]).dense(units).reshape([1, units, 1]));
                }
                run(picture().dense(1));
                SIZES.iter().for_each(|time| run(Sequential::input([*time, 2]).dense(*time)));
            }),
        ),
        ("Sequential::dropout", Call(|| FLOATS.iter().for_each(|rate| run(picture().dropout(*rate))))),
        (
            "Sequential::flatten",
            Call(|| {
                run(Sequential::input([]).flatten());
                run(Sequential::input([0, 5]).flatten());
                run(picture().flatten().flatten());
                run(picture().up_sample2d(1 << 32).flatten());
            }),
        ),
        ("Sequential::avg_pool2d", Call(|| pairs().iter().for_each(|size| run(picture().avg_pool2d(*size))))),
        ("Sequential::max_pool2d", Call(|| pairs().iter().for_each(|size| run(picture().max_pool2d(*size))))),
        (
            "Sequential::reshape",
            Call(|| {
                for size in SIZES {
                    run(Sequential::input([6]).reshape([size]));
                    run(Sequential::input([6]).reshape([size, size, size]));
                    run(Sequential::input([6]).reshape(vec![1; 1_000]));
                    run(Sequential::input([1 << 32]).reshape([1 << 32, size]));
                }
                run(Sequential::input([6]).reshape([]));
            }),
        ),
        (
            "Sequential::up_sample2d",
            Call(|| {
                for factor in pairs() {
                    run(picture().up_sample2d(factor));
                    run(picture().up_sample2d(factor).conv2d(1, 3));
                    run(picture().up_sample2d(factor).up_sample2d(factor).flatten().dense(1));
                }
                run(Sequential::input([2]).up_sample2d(2));
            }),
        ),
        ("Summary::name", Nothing("what Sequential::summary made")),
        ("Summary::rows", Nothing("what Sequential::summary made")),
        ("Summary::trainable", Call(|| summaries(|summary| _ = summary.trainable()))),
        ("Summary::non_trainable", Call(|| summaries(|summary| _ = summary.non_trainable()))),
        ("Summary::total", Call(|| summaries(|summary| _ = summary.total()))),
        ("Summary::to_html", Call(|| summaries(|summary| drop(summary.to_html())))),
        ("Summary::evcxr_display", Call(|| summaries(Summary::evcxr_display))),
        (
            "Loss::name",
            Call(|| {
                for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::BinaryCrossEntropyWithLogits] {
                    assert!(!loss.name().is_empty());
                }
            }),
        ),
        ("Optimizer::adam", Nothing("nothing")),
        ("Optimizer::adamw", Nothing("nothing")),
        ("Optimizer::adamax", Nothing("nothing")),
        ("Optimizer::adagrad", Nothing("nothing")),
        ("Optimizer::radam", Nothing("nothing")),
        ("Optimizer::nadam", Nothing("nothing")),
        ("Optimizer::rmsprop", Nothing("nothing")),
        ("Optimizer::lion", Nothing("nothing")),
        ("Optimizer::sgd", Nothing("nothing")),
        (
            "Optimizer::alpha",
            Call(|| {
                optimizers().iter().for_each(|o| NUMBERS.iter().for_each(|alpha| trained(o.alpha(*alpha))));
                NUMBERS.iter().for_each(|alpha| trained(Optimizer::rmsprop().centered().momentum(0.5).alpha(*alpha)));
            }),
        ),
        ("Optimizer::centered", Call(|| optimizers().iter().for_each(|o| trained(o.centered())))),
        (
            "Optimizer::momentum_decay",
            Call(|| {
                optimizers().iter().for_each(|o| NUMBERS.iter().for_each(|decay| trained(o.momentum_decay(*decay))));
            }),
        ),
        (
            "Optimizer::betas",
            Call(|| {
                for optimizer in optimizers() {
                    NUMBERS.iter().for_each(|beta| trained(optimizer.betas(*beta, 0.9)));
                    NUMBERS.iter().for_each(|beta| trained(optimizer.betas(0.9, *beta)));
                }
            }),
        ),
        (
            "Optimizer::epsilon",
            Call(|| {
                optimizers().iter().for_each(|o| NUMBERS.iter().for_each(|epsilon| trained(o.epsilon(*epsilon))));
            }),
        ),
        (
            "Optimizer::momentum",
            Call(|| {
                optimizers().iter().for_each(|o| NUMBERS.iter().for_each(|momentum| trained(o.momentum(*momentum))));
            }),
        ),
        ("Optimizer::nesterov", Call(|| optimizers().iter().for_each(|o| trained(o.nesterov())))),
        (
            "Optimizer::weight_decay",
            Call(|| {
                optimizers().iter().for_each(|o| NUMBERS.iter().for_each(|decay| trained(o.weight_decay(*decay))));
            }),
        ),
        ("Optimizer::name", Call(|| optimizers().iter().for_each(|o| assert!(!o.name().is_empty())))),
    ]
}
