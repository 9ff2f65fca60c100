//! How long each operation takes, with the sizes that the reports' models use: `cargo bench --bench layers -- [--quick]
//! [PART OF A NAME]`.
//!
//! `forward` is a prediction; `step` is the forward and the backward pass of training, gradients of the weights
//! and of the input. A rectified linear unit after a layer, and an up-sampling before a convolution, are part of its
//! work: they stand in its name where the model has them. Images a second are criterion's `elem/s`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use latentlab::{
    Autoencoder, Dataset, Loss, Optimizer, OptimizerState, Sequential, Step, Tensor, TrainConfig,
    measure::{LossStep, NetworkStep, OptimizerStep},
    train_ae,
};

/// Images in a batch, as in the models.
const BATCH: usize = 256;
const BATCH_S3: usize = 100;
const BATCH_S4: usize = 8192;

fn maps(channels: usize, size: usize) -> Sequential {
    Sequential::input([channels, size, size])
}

fn row(values: usize) -> Sequential {
    Sequential::input([values])
}

/// Benches named `operation/model and size/forward` and `…/step`.
fn bench(c: &mut Criterion, operation: &str, cases: impl IntoIterator<Item = (&'static str, usize, Sequential)>) {
    for (name, batch, network) in cases {
        let mut group = c.benchmark_group(format!("{operation}/{name}"));
        group.throughput(Throughput::Elements(batch as u64));
        let step = NetworkStep::new(&network, batch);
        group.bench_function("forward", |b| b.iter(|| step.forward()));
        group.bench_function("step", |b| b.iter(|| step.forward_and_backward()));
    }
}

fn dense(c: &mut Criterion) {
    let leaky = |inputs, units| row(inputs).dense(units).leaky_relu(0.2);
    let relu = |inputs, units| row(inputs).dense(units).relu();
    let cases = [
        ("s0-ae32 784→512", BATCH, leaky(784, 512)),
        ("s0-ae32 512→256", BATCH, leaky(512, 256)),
        ("s0-ae32 256→128", BATCH, leaky(256, 128)),
        ("s0-ae32 128→64", BATCH, leaky(128, 64)),
        ("s0-ae32 64→32", BATCH, leaky(64, 32)),
        ("s0-ae32 512→784", BATCH, row(512).dense(784)),
        ("s0-cae32 3136→32", BATCH, leaky(3136, 32)),
        ("s0-cae32 64 7×7→32", BATCH, maps(64, 7).flatten().dense(32).leaky_relu(0.2)),
        ("s0-cae32 32→3136", BATCH, leaky(32, 3136)),
        ("s1-cae10 864→128", BATCH, relu(864, 128)),
        ("s1-cae10 128→864", BATCH, relu(128, 864)),
        ("s2-cae2 432→128", BATCH, relu(432, 128)),
        ("s2-cae2 128→2", BATCH, row(128).dense(2)),
        ("s3-cae112 2800→2", BATCH_S3, relu(2800, 2)),
        ("s3-cae112 2→1024", BATCH_S3, relu(2, 1024)),
        ("s4-ae4 784→50", BATCH_S4, relu(784, 50)),
        ("s4-ae4 50→4", BATCH_S4, relu(50, 4)),
        ("s4-ae4 4→784", BATCH_S4, relu(4, 784)),
    ];
    bench(c, "dense", cases);
}

fn conv2d(c: &mut Criterion) {
    let strided = |channels, size, filters| maps(channels, size).conv2d(filters, 3).stride(2).padding(1).relu();
    let cases = [
        ("s0-cae32 1→32 28×28", BATCH, maps(1, 28).conv2d(32, 3).same()),
        ("s0-cae32 32→64 14×14", BATCH, maps(32, 14).conv2d(64, 3).same()),
        ("s1-cae10 1→24 28×28", BATCH, strided(1, 28, 24)),
        ("s1-cae10 24→48 14×14", BATCH, strided(24, 14, 48)),
        ("s1-cae10 48→96 7×7", BATCH, maps(48, 7).conv2d(96, 3).stride(2).relu()),
        ("s2-cae2 1→12 28×28", BATCH, strided(1, 28, 12)),
        ("s2-cae2 12→24 14×14", BATCH, strided(12, 14, 24)),
        ("s2-cae2 24→48 7×7", BATCH, maps(24, 7).conv2d(48, 3).stride(2).relu()),
        ("s3-cae112 1→112 28×28", BATCH_S3, maps(1, 28).conv2d(112, 3).relu()),
        ("s3-cae112 112→112 13×13", BATCH_S3, maps(112, 13).conv2d(112, 3).relu()),
        ("s3-cae112 112→1 28×28", BATCH_S3, maps(112, 28).conv2d(1, 1)),
    ];
    bench(c, "conv2d", cases);
    let spread = |groups, dilation| maps(32, 28).conv2d(32, 3).same().groups(groups).dilation(dilation).relu();
    let cases = [
        ("32→32 28×28, dilation 2", BATCH, spread(1, 2)),
        ("32→32 28×28, 4 groups", BATCH, spread(4, 1)),
        ("32→32 28×28, depthwise", BATCH, spread(32, 1)),
    ];
    bench(c, "conv2d", cases);
}

fn conv_transpose2d(c: &mut Criterion) {
    let keras = |channels, size, filters| maps(channels, size).conv_transpose2d(filters, 3).stride(2).same();
    let pytorch = |channels, size, filters| {
        maps(channels, size).conv_transpose2d(filters, 3).stride(2).padding(1).output_padding(1)
    };
    let cases = [
        ("s0-cae32 64→64 7×7", BATCH, keras(64, 7, 64)),
        ("s0-cae32 64→1 14×14", BATCH, keras(64, 14, 1)),
        ("s1-cae10 96→48 3×3", BATCH, maps(96, 3).conv_transpose2d(48, 3).stride(2).relu()),
        ("s1-cae10 48→24 7×7", BATCH, pytorch(48, 7, 24).relu()),
        ("s1-cae10 24→1 14×14", BATCH, pytorch(24, 14, 1)),
        ("s2-cae2 48→24 3×3", BATCH, maps(48, 3).conv_transpose2d(24, 3).stride(2).relu()),
        ("s2-cae2 24→12 7×7", BATCH, pytorch(24, 7, 12).relu()),
        ("s2-cae2 12→1 14×14", BATCH, pytorch(12, 14, 1)),
    ];
    bench(c, "conv_transpose2d", cases);
}

fn up_sample2d(c: &mut Criterion) {
    let enlarged = |channels, size| maps(channels, size).up_sample2d(3).conv2d(112, 3).relu();
    let cases =
        [("s3-cae112 64→112 4×4", BATCH_S3, enlarged(64, 4)), ("s3-cae112 112→112 10×10", BATCH_S3, enlarged(112, 10))];
    bench(c, "up_sample2d and conv2d", cases);
    let cases = [
        ("alone 112 10×10", BATCH_S3, maps(112, 10).up_sample2d(3)),
        ("bilinear 112 10×10", BATCH_S3, maps(112, 10).up_sample2d(3).bilinear()),
    ];
    bench(c, "up_sample2d", cases);
    bench(c, "pixel_shuffle", [("144→16 10×10", BATCH_S3, maps(144, 10).pixel_shuffle(3))]);
}

fn max_pool2d(c: &mut Criterion) {
    let cases = [
        ("s0-cae32 32 28×28", BATCH, maps(32, 28).max_pool2d(2)),
        ("s0-cae32 64 14×14", BATCH, maps(64, 14).max_pool2d(2)),
        ("s3-cae112 112 26×26", BATCH_S3, maps(112, 26).max_pool2d(2)),
        ("s3-cae112 112 11×11", BATCH_S3, maps(112, 11).max_pool2d(2)),
    ];
    bench(c, "max_pool2d", cases);
}

fn batch_norm(c: &mut Criterion) {
    let cases = [
        ("s0-cae32 32 28×28", BATCH, maps(32, 28).batch_norm().leaky_relu(0.2)),
        ("s0-cae32 64 14×14", BATCH, maps(64, 14).batch_norm().leaky_relu(0.2)),
        ("s0-cae32 1 28×28", BATCH, maps(1, 28).batch_norm()),
        (
            "s0-cae32 after conv2d, before max_pool2d",
            BATCH,
            maps(1, 28).conv2d(32, 3).same().batch_norm().max_pool2d(2),
        ),
        ("s3-cae112 112 26×26", BATCH_S3, maps(112, 26).batch_norm()),
        ("s3-cae112 112 11×11", BATCH_S3, maps(112, 11).batch_norm()),
        ("s3-cae112 2", BATCH_S3, row(2).batch_norm()),
        ("s3-cae112 1024", BATCH_S3, row(1024).batch_norm()),
        ("s3-cae112 64 4×4", BATCH_S3, maps(64, 4).batch_norm()),
        ("s3-cae112 112 10×10", BATCH_S3, maps(112, 10).batch_norm()),
        ("s3-cae112 112 28×28", BATCH_S3, maps(112, 28).batch_norm()),
    ];
    bench(c, "batch_norm", cases);
}

fn layer_norm_and_group_norm(c: &mut Criterion) {
    bench(c, "layer_norm", [("784", BATCH, row(784).layer_norm()), ("32 14×14", BATCH, maps(32, 14).layer_norm())]);
    bench(c, "group_norm", [("8 groups of 32 14×14", BATCH, maps(32, 14).group_norm(8))]);
}

/// Images row by row, and the sizes of a recurrent autoencoder of these.
fn recurrent(c: &mut Criterion) {
    let rows = || Sequential::input([28, 28]);
    bench(c, "lstm", [("28→100 28 steps", BATCH, rows().lstm(100)), ("28→30 28 steps", BATCH, rows().lstm(30))]);
    bench(c, "gru", [("28→100 28 steps", BATCH, rows().gru(100))]);
    bench(c, "embedding", [("1000×16 28", BATCH, row(28).embedding(1000, 16))]);
}

fn element_wise(c: &mut Criterion) {
    // A prediction drops nothing: `forward` is that of a layer that does nothing.
    bench(c, "dropout", [("s0-ae32 512", BATCH, row(512).dropout(0.5)), ("s0-ae32 64", BATCH, row(64).dropout(0.5))]);
    let cases = [
        ("relu 784", BATCH, row(784).relu()),
        ("leaky_relu 784", BATCH, row(784).leaky_relu(0.2)),
        ("selu 784", BATCH, row(784).selu()),
        ("tanh 784", BATCH, row(784).tanh()),
        ("sigmoid 784", BATCH, row(784).sigmoid()),
        ("softmax 10", BATCH, row(10).softmax()),
        ("elu 784", BATCH, row(784).elu(1.0)),
        ("softplus 784", BATCH, row(784).softplus()),
        ("hard_sigmoid 784", BATCH, row(784).hard_sigmoid()),
        ("gelu 784", BATCH, row(784).gelu()),
        ("silu 784", BATCH, row(784).silu()),
        ("prelu 784", BATCH, row(784).prelu()),
    ];
    bench(c, "activation", cases);
}

fn loss(c: &mut Criterion) {
    let losses = [
        ("mean_squared_error", Loss::MeanSquaredError),
        ("binary_cross_entropy", Loss::BinaryCrossEntropy),
        ("binary_cross_entropy_with_logits", Loss::BinaryCrossEntropyWithLogits),
    ];
    for (name, loss) in losses {
        let mut group = c.benchmark_group(format!("loss/{name} 784"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let step = LossStep::new(loss, BATCH * 784);
        group.bench_function("forward", |b| b.iter(|| step.forward()));
        group.bench_function("step", |b| b.iter(|| step.forward_and_backward()));
    }
}

fn optimizer(c: &mut Criterion) {
    let optimizers = [
        ("adam", Optimizer::adam()),
        ("adamw", Optimizer::adamw()),
        ("adamax", Optimizer::adamax()),
        ("adagrad", Optimizer::adagrad()),
        ("radam", Optimizer::radam()),
        ("nadam", Optimizer::nadam()),
        ("rmsprop", Optimizer::rmsprop()),
        ("rmsprop centered with momentum", Optimizer::rmsprop().centered().momentum(0.9)),
        ("lion", Optimizer::lion()),
        ("sgd", Optimizer::sgd()),
        ("sgd with momentum", Optimizer::sgd().momentum(0.9)),
    ];
    for (name, optimizer) in optimizers {
        for (layer, network) in [("s0-ae32 784→512", row(784).dense(512)), ("s4-ae4 784→50", row(784).dense(50))] {
            let mut group = c.benchmark_group(format!("optimizer/{name} {layer}"));
            group.throughput(Throughput::Elements(network.parameter_count() as u64)); // weights a second
            let mut step = OptimizerStep::new(&network, optimizer);
            group.bench_function("update", |b| b.iter(|| step.update()));
        }
    }
}

/// An epoch of a training that goes on, and one of a training of which nothing is left but numbers too small to matter:
/// it must not take longer.
fn training(c: &mut Criterion) {
    let digits = Dataset::built_in_digits(1000, 0).expect("the built-in digits");
    let black = digits.with_images(digits.images().mapv(|_| 0.0)).expect("as many images");
    let config = TrainConfig::new().progress_every(0).epochs(1).batch_size(100).loss(Loss::BinaryCrossEntropy);
    let epoch = |model: &mut Autoencoder, images: &Dataset, learning_rate| {
        train_ae(model, images, &config.clone().learning_rate(learning_rate)).expect("a training");
    };
    let mut group = c.benchmark_group("training/s1-cae10");
    group.throughput(Throughput::Elements(1000)); // images a second
    let living = Autoencoder::strided([24, 48, 96], 128, 10).expect("report S1's");
    let mut collapsed = living.clone();
    (0..10).for_each(|_| epoch(&mut collapsed, &black, 3.0));
    for (name, model, images) in [("living", living, &digits), ("collapsed", collapsed, &black)] {
        group.bench_function(name, |b| b.iter(|| epoch(&mut model.clone(), images, 1e-3)));
    }
}

/// A step written by hand, `benches/own_step.py`'s: a conditional VAE with report S2's encoder and decoder.
fn own_step(c: &mut Criterion) {
    const ROWS: usize = 128;
    let digits = Dataset::built_in_digits(ROWS, 0).expect("the built-in digits");
    let [mut encoder, mut heads, mut decoder] = [
        maps(1, 28)
            .conv2d(12, 3)
            .stride(2)
            .padding(1)
            .relu()
            .conv2d(24, 3)
            .stride(2)
            .padding(1)
            .relu()
            .conv2d(48, 3)
            .stride(2)
            .relu()
            .flatten()
            .dense(128)
            .relu(),
        row(128 + 10).dense(2 * 2),
        row(2 + 10)
            .dense(128)
            .relu()
            .dense(432)
            .relu()
            .reshape([48, 3, 3])
            .conv_transpose2d(24, 3)
            .stride(2)
            .relu()
            .conv_transpose2d(12, 3)
            .stride(2)
            .padding(1)
            .output_padding(1)
            .relu()
            .conv_transpose2d(1, 3)
            .stride(2)
            .padding(1)
            .output_padding(1),
    ];
    let mut adam: OptimizerState = Optimizer::adam().init(0.001).expect("a learning rate");
    let mut group = c.benchmark_group("own step/conditional VAE, s2-cae2");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("step", |b| {
        b.iter(|| {
            let step = Step::new(adam.steps());
            let (x, y) = (step.input(digits.images()), step.one_hot(digits.labels(), 10));
            let features = encoder.forward(&x);
            let [mu, log_variance] = heads.forward(&step.concat([&features, &y])).halves();
            let z = &mu + (&log_variance * 0.5).exp() * mu.normal_like();
            let logits = decoder.forward(&step.concat([&z, &y]));
            let losses = [logits.binary_cross_entropy_with_logits(&x) * 784.0, mu.kl_divergence(&log_variance)];
            adam.minimize(step, losses, [&mut encoder, &mut heads, &mut decoder]).expect("a step")
        });
    });
}

type Shape = fn(&[usize]) -> Vec<usize>;
type Operation = (&'static str, Shape, fn(&Tensor, &Tensor) -> Tensor);

const SAME: Shape = |size| size.to_vec();
const ROW: Shape = |size| size[size.len() - 1..].to_vec();
const COLUMN: Shape = |size| [&size[..size.len() - 1], &[1]].concat();
const TURNED: Shape = |size| [&size[..size.len() - 2], &[size[size.len() - 1], size[size.len() - 2]]].concat();

/// With the shape of the second operand.
const OPERATIONS: [Operation; 30] = [
    ("add", SAME, |x, y| x + y),
    ("add a row", ROW, |x, y| x + y),
    ("multiply", SAME, |x, y| x * y),
    ("multiply by a row", ROW, |x, y| x * y),
    ("multiply by a column", COLUMN, |x, y| x * y),
    ("divide", SAME, |x, y| x / y),
    ("exp", SAME, |x, _| x.exp()),
    ("ln", SAME, |x, _| x.ln()),
    ("tanh", SAME, |x, _| x.tanh()),
    ("sigmoid", SAME, |x, _| x.sigmoid()),
    ("softplus", SAME, |x, _| x.softplus()),
    ("sum", SAME, |x, _| x.sum()),
    ("mean", SAME, |x, _| x.mean()),
    ("max", SAME, |x, _| x.max()),
    ("sum_axis first", SAME, |x, _| x.sum_axis(0)),
    ("sum_axis last", SAME, |x, _| x.sum_axis(-1)),
    ("max_axis first", SAME, |x, _| x.max_axis(0)),
    ("max_axis last", SAME, |x, _| x.max_axis(-1)),
    ("softmax", SAME, |x, _| x.softmax(-1)),
    ("log_softmax", SAME, |x, _| x.log_softmax(-1)),
    ("log_sum_exp", SAME, |x, _| x.log_sum_exp(-1)),
    ("matmul", TURNED, |x, y| x.matmul(y)),
    ("matmul transposed", SAME, |x, y| x.matmul(&y.transpose())),
    ("where", SAME, |x, y| x.greater(y).where_cond(x, y)),
    ("slice", SAME, |x, _| x.slice(-1, 0..x.shape()[x.shape().len() - 1] / 2)),
    ("concat", SAME, |x, y| Tensor::concat([x, y], -1)),
    ("transpose", SAME, |x, _| x.transpose()),
    ("reshape", SAME, |x, _| x.flatten()),
    ("index_select", SAME, |x, _| x.index_select(0, &(0..x.shape()[0]).rev().collect::<Vec<_>>())),
    ("normal", SAME, |x, _| x.normal_like() * x),
];

/// Operations on tensors by themselves, those of `benches/tensors.py`: `step` has the gradients of the sum, too.
fn tensors(c: &mut Criterion) {
    let memory = Step::new(0); // kept from step to step, as in a training
    let values = |shape: Vec<usize>| Tensor::from((memory.uniform(shape) + 0.01).to_array().expect("a shape"));
    for size in [&[128, 32][..], &[128, 784], &[1024, 1024], &[128, 12, 28, 28]] {
        let text = size.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        for (name, other, operation) in OPERATIONS {
            if name.starts_with("matmul") && size.len() > 2 {
                continue;
            }
            let (x, y) = (values(size.to_vec()), values(other(size)));
            let mut group = c.benchmark_group(format!("tensors/{name} {text}"));
            group.bench_function("forward", |b| {
                let step = Step::new(1);
                let (x, y) = (step.input(&x), step.input(&y));
                b.iter(|| operation(&x, &y));
            });
            group.bench_function("step", |b| {
                b.iter(|| {
                    let step = Step::new(1);
                    let (x, y) = (step.tracked_input(&x), step.tracked_input(&y));
                    step.backward(&operation(&x, &y).sum()).expect("a step")
                });
            });
        }
    }
}

criterion_group!(
    layers,
    own_step,
    tensors,
    dense,
    conv2d,
    conv_transpose2d,
    up_sample2d,
    max_pool2d,
    batch_norm,
    layer_norm_and_group_norm,
    recurrent,
    element_wise,
    loss,
    optimizer,
    training
);
criterion_main!(layers);
