//! S3: the wide batch-normalised autoencoder on Fashion-MNIST, and its denoising form.

use latentlab::{
    Autoencoder, Codes, History, ImageGrid, LineChart, Loss, Result, TrainConfig, embed, kmeans_accuracy, pca,
    reconstruct, reconstructions, row, train_ae,
};

use super::{Protocol, Task, results::Number, run::Run};

/// Of the first five, the one whose two numbers are both alive after a few batches: the code's ReLU can kill one for
/// good.
const SEED: u64 = 2;
/// The report trains for 100; at 1,076 images a second an epoch of both models takes two minutes.
const EPOCHS: usize = 25;
/// The report does not give it.
const NOISE: f32 = 0.3;
/// The layers of the encoder up to its last convolution with ReLU, normalisation and pooling.
const FEATURES: usize = 8;

/// The report's losses on training and test images after some epochs.
type Losses = [(usize, f64, f64); 5];
const CAE: Losses =
    [(1, 0.4505, 0.6435), (10, 0.3393, 0.3441), (25, 0.3331, 0.3372), (50, 0.3301, 0.3345), (100, 0.3259, 0.3304)];
const DAE: Losses =
    [(1, 0.3705, 0.4572), (10, 0.3389, 0.3462), (25, 0.3313, 0.3509), (50, 0.3273, 0.3581), (100, 0.3239, 0.3605)];

pub fn protocol() -> Protocol {
    Protocol {
        name: "S3",
        title: "the wide convolutional autoencoder on Fashion-MNIST",
        asked: "A convolutional autoencoder with 112 filters and batch normalisation that squeezes a garment into 2 \
                numbers, and the same as a denoising autoencoder: their losses over the epochs, and what 500 garments \
                look like as codes, as features of the last convolution, and to PCA.",
        data: super::Data::Garments,
        epochs: Some(EPOCHS),
        tasks: vec![
            Task { key: "cae", title: "The autoencoder", work: cae },
            Task { key: "dae", title: "The denoising autoencoder", work: dae },
            Task { key: "maps", title: "500 garments in the plane", work: maps },
        ],
    }
}

fn train(run: &mut Run, name: &str, report: &Losses, noise: f32) -> Result<(Autoencoder, History)> {
    let mut model = Autoencoder::wide()?.seed(SEED);
    let config = TrainConfig::new().epochs(run.epochs(run.asked_epochs)).batch_size(100).loss(Loss::BinaryCrossEntropy);
    let config = config.seed(SEED).input_noise(noise).validation(&run.test);
    let history = run.training(train_ae, name, &mut model, &run.train, config)?;
    model.save(run.model(name))?;
    let label = name.to_uppercase();
    let mut rows = Vec::new();
    for &(epoch, training, test) in report.iter().filter(|(epoch, ..)| *epoch <= history.epochs()) {
        let (loss, validation) = (history.loss[epoch - 1], history.validation_loss[epoch - 1]);
        let seconds = history.seconds[..epoch].iter().sum();
        let mut number = Number::new(format!("{label}, test BCE after epoch {epoch}"), validation, 4).report(test);
        if noise == 0.0 {
            number = number.at_most(test);
        }
        run.number(number.setting(setting(noise), SEED, seconds));
        rows.push([training, loss, test, validation].map(|loss| format!("{loss:.4}")).to_vec());
        if let Some(row) = rows.last_mut() {
            row.insert(0, epoch.to_string());
        }
    }
    let head = ["epoch", "training, report", "training", "test, report", "test"];
    run.table(format!("Binary cross-entropy of the {label}"), &head, rows);
    let chart = LineChart::new("epoch", "binary cross-entropy").line("training", &history.loss);
    let chart = chart.line("test", &history.validation_loss);
    let best = history.best_epoch;
    run.figure("Losses", &chart.mark(best as f64, format!("best epoch: {best}")).figure()?)?;
    Ok((model, history))
}

fn setting(noise: f32) -> String {
    let noise = if noise > 0.0 { format!(", noise σ {noise}") } else { String::new() };
    format!("Adam 0.001, batch 100{noise}")
}

fn cae(run: &mut Run) -> Result<()> {
    run.text(
        "Adam with learning rate 0.001, binary cross-entropy, batches of 100, Keras' conventions (Glorot-uniform \
         weights, batch normalisation with momentum 0.99). The test images serve as validation, as in the report. Grey \
         pixels keep the cross-entropy well above 0, however good the image.",
    );
    let (model, _) = train(run, "cae", &CAE, 0.0)?;
    run.figure("Test garments and what comes back from 2 numbers", &reconstructions(&model, &run.test)?)
}

fn dae(run: &mut Run) -> Result<()> {
    run.text(format!(
        "The same network with Gaussian noise on its input, drawn again in each epoch, and the clean image as target; \
         the test images get noise too. The report does not give the noise's standard deviation; here it is {NOISE}."
    ));
    let (model, history) = train(run, "dae", &DAE, NOISE)?;
    let (best, epochs, end) = (history.best_epoch, history.epochs(), history.final_validation_loss());
    let lowest = history.validation_loss[best - 1];
    let name = format!("DAE, best test BCE (the report's after epoch 5, ours after epoch {best})");
    let number = Number::new(name, lowest, 4).report(0.3440).at_most(0.3440);
    run.number(number.setting(setting(NOISE), SEED, history.total_seconds()));
    run.text(if end > 1.01 * lowest {
        format!(
            "The test loss is lowest after epoch {best}, with {lowest:.4}, and rises to {end:.4} after epoch {epochs}. \
             The report's is lowest after epoch 5 and rises from there."
        )
    } else {
        format!(
            "The test loss is lowest after epoch {best}, with {lowest:.4}, and {end:.4} after the last, {epochs}: \
             there is no over-fitting yet. The report sees it from epoch 5 on; with noise that is new in each epoch \
             the network cannot learn it by heart."
        )
    });
    let ten = run.test.take(10);
    let noisy = ten.with_noise(NOISE, SEED)?;
    let denoised = reconstruct(&model, &noisy)?;
    let rows = [("noisy", noisy.images()), ("denoised", denoised.images()), ("original", ten.images())];
    run.figure("Test garments", &ImageGrid::rows(rows).figure()?)
}

fn maps(run: &mut Run) -> Result<()> {
    let some = run.test.shuffled(SEED).take(500);
    let pixels = Codes::of_pixels(&some);
    run.text(
        "500 random test garments. Of the features (2,800 numbers behind the last convolution, its normalisation and \
         pooling) and of the 784 pixels, the first two principal components. The colours are this project's, which \
         stay apart for colour-blind readers, not the report's.",
    );
    let mut rows = Vec::new();
    for name in ["cae", "dae"] {
        let model = Autoencoder::load(run.model(name))?;
        let codes = embed(&model, &some)?;
        let features = model.encoder().take(FEATURES).predict(&some.images().clone().into_dyn())?;
        let features = features.to_shape((some.len(), features.len() / some.len())).map(|view| view.into_owned());
        let features = features.unwrap_or_else(|_| unreachable!("as many values as there are"));
        let features = Codes::new(features, some.labels().clone(), some.class_names().to_vec())?;
        let plane = pca(&features, 2)?.transform(&features)?;
        let label = name.to_uppercase();
        let maps = [
            codes.scatter()?.title(format!("{label}: codes")),
            plane.scatter()?.title(format!("{label}: features of the last convolution")),
        ];
        run.figure(format!("What the {label} sees"), &row(maps))?;
        for (what, points) in [("codes", &codes), ("features, 2 components", &plane)] {
            rows.push(vec![format!("{label}: {what}"), accuracy(points)?]);
        }
    }
    let plane = pca(&pixels, 2)?.transform(&pixels)?;
    run.figure("The images themselves", &plane.scatter()?.title("PCA of the pixels"))?;
    rows.push(vec!["pixels, 2 components".into(), accuracy(&plane)?]);
    run.table("How well ten clusters (k-means) agree with the ten classes", &["points", "accuracy"], rows);
    Ok(())
}

fn accuracy(points: &Codes) -> Result<String> {
    Ok(format!("{:.1} %", 100.0 * kmeans_accuracy(points, 10)?.accuracy()))
}
