//! S4: two tiny dense autoencoders on MNIST, and the rules by which they code.

use latentlab::{
    Autoencoder, Codes, Dataset, ImageGrid, LineChart, Loss, Result, Scatter, TrainConfig, decode, duration_text,
    embed, evaluate, kmeans_accuracy,
    ndarray::{ArrayView1, Axis},
    reconstruct, train_ae,
};

use super::{Protocol, Task, results::Number, run::Run};

/// The best of some twenty to forty that were tried for 40 epochs: how many outputs the last ReLU kills depends on it.
const SEED: u64 = 29;

pub fn protocol() -> Protocol {
    Protocol {
        name: "S4",
        title: "tiny dense autoencoders and their codes on MNIST",
        asked: "Two autoencoders of few dense layers, AE1 with a code of 2 numbers and AE2 with 4, every layer with a \
                ReLU: train them, split them into encoder and decoder, compare what they give back, and find the rules \
                by which they write digits as numbers.",
        data: super::Data::Digits,
        epochs: None,
        tasks: vec![
            Task { key: "ae1", title: "AE1: 2 numbers", work: |run| train(run, "ae1", 2, 0.067) },
            Task { key: "ae2", title: "AE2: 4 numbers", work: |run| train(run, "ae2", 4, 0.049) },
            Task { key: "montage", title: "Ten digits through both", work: montage },
            Task { key: "rules1", title: "The codes of AE1", work: rules1 },
            Task { key: "rules2", title: "The codes of AE2", work: rules2 },
        ],
    }
}

/// Training, validation and test images: 50,000, 10,000 and 10,000 of all, drawn by a seed.
fn parts(run: &Run) -> Result<[Dataset; 3]> {
    let seventh = run.all.len() / 7;
    let (train, rest) = run.all.shuffled(0).split(5 * seventh, 2 * seventh)?;
    let (validation, test) = rest.split(seventh, seventh)?;
    Ok([train, validation, test])
}

fn train(run: &mut Run, name: &str, latent_dim: usize, report: f64) -> Result<()> {
    let [train, validation, test] = parts(run)?;
    let mut model = Autoencoder::tiny(latent_dim)?.seed(SEED);
    let epochs = run.epochs(800);
    let config = TrainConfig::new().epochs(epochs).batch_size(8192).seed(SEED).validation(&validation);
    let config = config.progress_every(100);
    let history = run.training(train_ae, name, &mut model, &train, config)?;
    model.save(run.model(name))?;
    let seconds = history.total_seconds();
    let setting = format!("{epochs} epochs, batch 8192, Adam 0.001");
    run.number(
        Number::new(format!("final training MSE, {latent_dim} numbers"), history.final_loss(), 4)
            .report(report)
            .at_most(report)
            .setting(&setting, SEED, seconds),
    );
    let loss = evaluate(&model, &test, Loss::MeanSquaredError)?;
    run.number(Number::new(format!("test MSE, {latent_dim} numbers"), loss, 4).setting(&setting, SEED, seconds));
    let images = reconstruct(&model, &train)?;
    let brightest = images.images().fold_axis(Axis(0), 0.0f32, |most, value| most.max(*value));
    let dead = brightest.iter().filter(|value| **value == 0.0).count();
    run.text(format!(
        "784 pixels → dense 50 → dense {latent_dim} → dense 784, ReLU after each, Glorot-uniform weights. {epochs} \
         epochs of {} images took {}; the loss is {:.4} in training and {loss:.4} on {} test images. {dead} of the 784 \
         outputs are 0 for every training image: the last ReLU has killed them. How many depends on the seed, and with \
         them the loss; seed {SEED} is the best of those tried.",
        train.len(),
        duration_text(seconds),
        history.final_loss(),
        test.len(),
    ));
    let chart = LineChart::new("epoch", "mean squared error").log_y().line("training", &history.loss);
    run.figure("Loss", &chart.line("validation", &history.validation_loss).figure()?)
}

fn models(run: &Run) -> Result<[Autoencoder; 2]> {
    Ok([Autoencoder::load(run.model("ae1"))?, Autoencoder::load(run.model("ae2"))?])
}

fn montage(run: &mut Run) -> Result<()> {
    let ten = parts(run)?[2].one_of_each()?;
    let [ae1, ae2] = models(run)?;
    let (images1, images2) = (reconstruct(&ae1, &ten)?, reconstruct(&ae2, &ten)?);
    let rows = [("input", ten.images()), ("AE1", images1.images()), ("AE2", images2.images())];
    run.figure("The first test image of each digit", &ImageGrid::rows(rows).figure()?)
}

fn rules1(run: &mut Run) -> Result<()> {
    let [ae1, _] = models(run)?;
    let codes = embed(&ae1, &parts(run)?[2])?;
    let clusters = kmeans_accuracy(&codes, 10)?;
    let shown = codes.indices_per_class(250);
    let recognised: Vec<bool> = shown.iter().map(|index| clusters.recognised()[*index]).collect();
    let mut scatter = Scatter::of(&codes.select(&shown)?).crosses(&recognised, "well recognised", "not");
    for (centre, letter) in clusters.centroids().rows().into_iter().zip('A'..) {
        scatter = scatter.annotate([centre[0], centre[1]], letter.to_string());
    }
    run.text(format!(
        "Test codes, up to 250 of each digit. A digit counts as well recognised if most of its cluster (k-means, ten \
         clusters) are the same digit: {:.1} % are. The report decodes three points of its own plane; the letters are \
         points of ours, the centres of the clusters.",
        100.0 * clusters.accuracy()
    ));
    run.figure("The plane of AE1's codes", &scatter.figure()?)?;
    let captions = clusters.centroids().rows().into_iter().zip('A'..);
    let captions: Vec<String> =
        captions.map(|(centre, letter)| format!("{letter} ({:.1}, {:.1})", centre[0], centre[1])).collect();
    let images = decode(&ae1, clusters.centroids())?;
    run.figure("What AE1 makes of these points", &ImageGrid::new(&images, 5).captions(captions).figure()?)?;
    means(run, &codes, &ae1)
}

fn rules2(run: &mut Run) -> Result<()> {
    let [_, ae2] = models(run)?;
    let codes = embed(&ae2, &parts(run)?[2])?;
    means(run, &codes, &ae2)?;
    // Steps of a tenth of each number's range, 0 to 90, as the report writes its points.
    let most = codes.points().fold_axis(Axis(0), 0.0f32, |most, value| most.max(*value));
    let step = most.mapv(|most| if most > 0.0 { most / 90.0 } else { 1.0 });
    let words = (codes.class_means()? / &step).mapv(|value| 10.0 * (value / 10.0).round());
    let word = |word: ArrayView1<f32>| word.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join(", ");
    let captions: Vec<String> = words.rows().into_iter().map(word).collect();
    run.text(
        "The report writes words of four round numbers: (50, 60, 30, 40) for a 0. These are ours, each digit's mean \
         code rounded to tens, where 90 is the greatest value that the number takes in the test images.",
    );
    let images = decode(&ae2, &(&words * &step))?;
    run.figure("What AE2 makes of round numbers", &ImageGrid::new(&images, 5).captions(captions).figure()?)
}

/// The mean code of each digit and what it decodes to.
fn means(run: &mut Run, codes: &Codes, model: &Autoencoder) -> Result<()> {
    let means = codes.class_means()?;
    let rows = means.rows().into_iter().zip(codes.class_names());
    let rows =
        rows.map(|(mean, name)| [name.clone()].into_iter().chain(mean.iter().map(|v| format!("{v:.1}"))).collect());
    let head: Vec<String> = (1..=codes.latent_dim()).map(|index| format!("number {index}")).collect();
    let head: Vec<&str> = ["digit"].into_iter().chain(head.iter().map(String::as_str)).collect();
    run.table("The mean code of each digit", &head, rows.collect());
    let images = decode(model, &means)?;
    let names = codes.class_names().to_vec();
    run.figure("Decoded mean codes", &ImageGrid::new(&images, 10).captions(names).figure()?)
}
