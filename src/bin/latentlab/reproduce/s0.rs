//! S0: a dense against a convolutional autoencoder on MNIST, with codes of 2 and of 32 numbers.

use latentlab::{
    Autoencoder, Classifier, Codes, Dataset, History, ImageGrid, LineChart, Loss, Result, Snapshot, TrainConfig, Vae,
    classify, code_grid, decode, embed, kmeans_accuracy, row, sample, train_ae, train_classifier, train_vae,
};

use super::{Protocol, Task, reference_classifier, results::Number, run::Run};

/// The first one's results are compared with the report's; the others show the spread.
const SEEDS: [u64; 3] = [0, 1, 2];
/// The epochs after which the report shows reconstructions.
const EPOCHS: [usize; 6] = [1, 5, 10, 15, 20, 25];

/// Keras' default: of its classifier the report names no batch. With the autoencoders' 256 it takes too few steps (93 %
/// on 32 numbers of the CAE).
const CLASSIFIER_BATCH: usize = 32;

/// One of the four models, and what the report has for it.
struct Model {
    name: &'static str,
    latent_dim: usize,
    new: fn(usize) -> Result<Autoencoder>,
    readable: usize,
    clustering: f64,
    classifier: Option<f64>,
    /// The goal.
    clustering_goal: Option<f64>,
    classifier_goal: Option<f64>,
}

const MODELS: [Model; 4] = [
    Model {
        name: "AE z2",
        latent_dim: 2,
        new: Autoencoder::deep_dense,
        readable: 9,
        clustering: 0.4174,
        classifier: Some(0.54), // the report says "2 latent" and no model
        clustering_goal: None,
        classifier_goal: None,
    },
    Model {
        name: "AE z32",
        latent_dim: 32,
        new: Autoencoder::deep_dense,
        readable: 9,
        clustering: 0.4334,
        classifier: Some(0.78),
        clustering_goal: None,
        classifier_goal: Some(0.78),
    },
    Model {
        name: "CAE z2",
        latent_dim: 2,
        new: Autoencoder::convolutional,
        readable: 8,
        clustering: 0.4519,
        classifier: None,
        clustering_goal: None,
        classifier_goal: None,
    },
    Model {
        name: "CAE z32",
        latent_dim: 32,
        new: Autoencoder::convolutional,
        readable: 16,
        clustering: 0.5457,
        classifier: Some(0.94),
        clustering_goal: Some(0.5457),
        classifier_goal: Some(0.94),
    },
];

pub fn protocol() -> Protocol {
    Protocol {
        name: "S0",
        title: "a dense against a convolutional autoencoder on MNIST",
        asked: "Autoencoders of dense layers (AE) and of convolutions (CAE), each with a code of 2 and of 32 numbers, \
                on 20,000 digits: how readable are reconstructions over the epochs, how well do clusters of the codes \
                match the digits, and how well can a small network name a digit from its code? Also a variational \
                autoencoder.",
        data: super::Data::Digits,
        epochs: None,
        tasks: vec![
            Task { key: "reference-classifier", title: "The reference classifier", work: reference_classifier::train },
            Task { key: "reconstructions", title: "Task 1: reconstructions over the epochs", work: reconstructions },
            Task { key: "clusters", title: "Task 2: clusters of codes", work: clusters },
            Task { key: "classifiers", title: "Task 3: digits named from their codes", work: classifiers },
            Task { key: "vae", title: "A convolutional variational autoencoder", work: variational },
        ],
    }
}

/// The report's part of the data.
fn parts(run: &Run) -> (Dataset, Dataset) {
    (run.train.take(20_000), run.test.take(4_000))
}

fn setting(run: &Run, batch_size: usize) -> String {
    format!("{} epochs, batch {batch_size}, Adam 0.001", run.epochs(25))
}

fn config(run: &Run, seed: u64) -> TrainConfig {
    TrainConfig::new().epochs(run.epochs(25)).batch_size(256).seed(seed).validation(&parts(run).1)
}

/// A model after its training, which is done once: later tasks get it from its checkpoint.
fn trained(run: &Run, model: &Model, seed: u64) -> Result<(Autoencoder, History)> {
    let (train, test) = parts(run);
    let mut autoencoder = (model.new)(model.latent_dim)?.seed(seed);
    let config = config(run, seed).snapshots(&test.take(16), EPOCHS);
    let history = run.training(train_ae, &file(model, seed), &mut autoencoder, &train, config)?;
    autoencoder.save(run.model(&file(model, seed)))?;
    Ok((autoencoder, history))
}

fn file(model: &Model, seed: u64) -> String {
    format!("{}-seed{seed}", model.name.to_lowercase().replace(' ', "-"))
}

/// "seed 1: 52.3 %, seed 2: 50.9 %"
fn others(values: &[f64], text: impl Fn(f64) -> String) -> String {
    let others = SEEDS.iter().zip(values).skip(1);
    others.map(|(seed, value)| format!("seed {seed}: {}", text(*value))).collect::<Vec<_>>().join(", ")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn reconstructions(run: &mut Run) -> Result<()> {
    let sixteen = parts(run).1.take(16);
    run.text(format!(
        "20,000 training images (the first of MNIST's), 4,000 test images (the first of its test set), Adam with \
         learning rate 0.001, mean squared error: the report gives the numbers of images, epochs and the batch size of \
         256. A reconstruction of one of the first 16 test digits counts as readable if the reference classifier names \
         that digit with a confidence of at least {}.",
        percent(f64::from(reference_classifier::CONFIDENT))
    ));
    let mut losses = LineChart::new("epoch", "mean squared error on the test images");
    let mut rows = Vec::new();
    for model in &MODELS {
        let mut last = Vec::new();
        for seed in SEEDS {
            let (_, history) = trained(run, model, seed)?;
            let mut readable = Vec::new();
            for Snapshot { images, .. } in &history.snapshots {
                let predictions = reference_classifier::predictions(run, &sixteen.with_images(images.clone())?)?;
                let confidences = predictions.confidences();
                let right = predictions.labels().iter().zip(predictions.true_labels()).zip(&confidences);
                readable.push(right.filter(|((a, b), c)| a == b && **c >= reference_classifier::CONFIDENT).count());
            }
            last.push((readable.last().copied().unwrap_or(0) as f64, history.total_seconds()));
            if seed == SEEDS[0] {
                losses = losses.line(model.name, &history.validation_loss);
                run.figure(format!("{}: test digits after some epochs", model.name), &history.plot_snapshots()?)?;
                let counts = readable.iter().map(ToString::to_string);
                rows.push([model.name.to_string()].into_iter().chain(counts).collect());
            }
        }
        let counts: Vec<f64> = last.iter().map(|(count, _)| *count).collect();
        run.number(
            Number::new(format!("{}: readable of 16", model.name), counts[0], 0).report(model.readable as f64).setting(
                format!("{}; {}", setting(run, 256), others(&counts, |count| count.to_string())),
                SEEDS[0],
                last[0].1,
            ),
        );
    }
    let epochs: Vec<String> = EPOCHS.iter().map(|epoch| format!("epoch {epoch}")).collect();
    let columns = rows.first().map_or(0, Vec::len).saturating_sub(1);
    let head: Vec<&str> = ["model"].into_iter().chain(epochs.iter().map(String::as_str)).take(columns + 1).collect();
    run.table(format!("Readable of 16, seed {}", SEEDS[0]), &head, rows);
    run.figure(format!("Test loss, seed {}", SEEDS[0]), &losses.figure()?)
}

fn clusters(run: &mut Run) -> Result<()> {
    let (_, test) = parts(run);
    run.text(
        "k-means with ten clusters on the codes of the test images, the best of ten starts. Each cluster takes the \
         digit that is commonest in it; the accuracy is the share of images whose cluster took their digit.",
    );
    let pixels = kmeans_accuracy(&Codes::of_pixels(&test), 10)?;
    let mut rows = vec![vec![
        "784 pixels".to_string(),
        percent(pixels.accuracy()),
        percent(pixels.one_to_one_accuracy()),
        format!("{:.2}", pixels.nmi()),
    ]];
    for model in &MODELS {
        let mut accuracies = Vec::new();
        for seed in SEEDS {
            let codes = embed(&Autoencoder::load(run.model(&file(model, seed)))?, &test)?;
            let clustering = kmeans_accuracy(&codes, 10)?;
            accuracies.push(clustering.accuracy());
            if seed != SEEDS[0] {
                continue;
            }
            rows.push(vec![
                model.name.into(),
                percent(clustering.accuracy()),
                percent(clustering.one_to_one_accuracy()),
                format!("{:.2}", clustering.nmi()),
            ]);
            if model.latent_dim == 2 {
                let names = (1..=10).map(|number| format!("cluster {number}")).collect();
                let clusters = Codes::new(codes.points().clone(), clustering.assignments().clone(), names)?;
                let pair = [clusters.scatter()?.title("clusters"), codes.scatter()?.title("digits")];
                run.figure(format!("{}: the same codes by cluster and by digit", model.name), &row(pair))?;
            }
        }
        let setting = format!("{}; {}", setting(run, 256), others(&accuracies, percent));
        let number = Number::share(format!("{}: k-means accuracy", model.name), accuracies[0]).report(model.clustering);
        let number = model.clustering_goal.map_or(number.clone(), |goal| number.at_least(goal));
        run.number(number.setting(setting, SEEDS[0], 0.0));
    }
    let head = ["codes", "accuracy", "one to one", "NMI"];
    run.table(
        format!(
            "Seed {}. One to one: each digit goes to at most one cluster. NMI: normalised mutual information",
            SEEDS[0]
        ),
        &head,
        rows,
    );
    Ok(())
}

fn classifiers(run: &mut Run) -> Result<()> {
    let (train, _) = parts(run);
    run.text(
        "On the codes of the trained encoders, which stay as they are: a dense layer of 64 with ReLU, one of 10 with \
         softmax, on the same 20,000 images, tested on the same 4,000. The report gives 54 % for \"2 latent\" without \
         naming the model.",
    );
    let mut losses = LineChart::new("epoch", "cross-entropy on the test images");
    let mut accuracies = LineChart::new("epoch", "accuracy on the test images");
    for model in &MODELS {
        let (mut reached, mut seconds) = (Vec::new(), 0.0);
        for seed in SEEDS {
            let encoder = Autoencoder::load(run.model(&file(model, seed)))?.encoder().clone();
            let mut classifier = Classifier::dense(&encoder, 10)?.frozen().seed(seed);
            let name = format!("classifier-{}", file(model, seed));
            let history = run.training(
                train_classifier,
                &name,
                &mut classifier,
                &train,
                config(run, seed).batch_size(CLASSIFIER_BATCH),
            )?;
            reached.push(classify(&classifier, &parts(run).1)?.accuracy());
            if seed == SEEDS[0] {
                seconds = history.total_seconds();
                losses = losses.line(model.name, &history.validation_loss);
                accuracies = accuracies.line(model.name, &history.validation_accuracy);
            }
        }
        let number = Number::share(format!("{}: classifier, test accuracy", model.name), reached[0]);
        let number = model.classifier.map_or(number.clone(), |report| number.report(report));
        let number = model.classifier_goal.map_or(number.clone(), |goal| number.at_least(goal));
        let setting = format!("64 ReLU, 10 softmax, {}; {}", setting(run, CLASSIFIER_BATCH), others(&reached, percent));
        run.number(number.setting(setting, SEEDS[0], seconds));
    }
    run.figure(format!("Seed {}", SEEDS[0]), &row([losses.figure()?, accuracies.figure()?]))
}

fn variational(run: &mut Run) -> Result<()> {
    let (train, test) = parts(run);
    let mut vae = Vae::convolutional(2)?.seed(SEEDS[0]);
    let history =
        run.training(train_vae, "vae", &mut vae, &train, config(run, SEEDS[0]).loss(Loss::BinaryCrossEntropy))?;
    vae.save(run.model("vae"))?;
    let autoencoder = vae.autoencoder();
    run.text(
        "The convolutional network in its variational form, with a code of 2 numbers and binary cross-entropy (784 \
         times this loss is the negative evidence lower bound). The report names one and gives no number.",
    );
    run.figure("Loss", &history.plot()?)?;
    let grid = decode(&autoencoder, &code_grid([-2.0, -2.0], [2.0, 2.0], 15)?)?;
    let maps = [
        embed(&autoencoder, &test)?.scatter()?.title("mean codes of the test images"),
        ImageGrid::new(&grid, 15).figure()?.title("what the plane decodes to, −2 to 2"),
    ];
    run.figure("The plane of codes", &row(maps))?;
    run.figure("Samples: codes drawn from N(0, I)", &ImageGrid::new(&sample(&vae, 30, 0)?, 10).figure()?)
}
