//! S1: convolutional and denoising autoencoder, classifier, latent space and GAN on MNIST.

use latentlab::{
    Autoencoder, Classifier, ErrorKind, Gan, GanConfig, Heatmap, ImageGrid, LineChart, Optimizer, Result, Snapshot,
    TrainConfig, Tsne, classify, decode, duration_text, embed, ndarray::Axis, pca, random_codes, reconstruct,
    reconstructions, row, train_ae, train_classifier, tsne,
};

use super::{Protocol, Task, reference_classifier, results::Number, run::Run};

const SEED: u64 = 0;
/// The report's choice from its grid.
const BEST: &str = "cae-0.001-0.0001-10";
/// The epochs after which the report shows what the GAN makes.
const GAN_EPOCHS: [usize; 4] = [1, 5, 10, 15];

pub fn protocol() -> Protocol {
    Protocol {
        name: "S1",
        title: "denoising, classification, latent space and a GAN on MNIST",
        asked: "A convolutional autoencoder on MNIST: search its learning rate, weight decay and code size; make it \
                remove noise; classify digits by a linear layer on its frozen encoder; look at its latent space and \
                draw new images from it. Then a generative adversarial network, its samples over the epochs.",
        data: super::Data::Digits,
        epochs: None,
        tasks: vec![
            Task { key: "reference-classifier", title: "The reference classifier", work: reference_classifier::train },
            Task { key: "grid", title: "Twelve settings of the autoencoder", work: grid },
            Task { key: "denoising", title: "Denoising", work: denoising },
            Task { key: "classifier", title: "A linear classifier on the frozen encoder", work: classifier },
            Task { key: "latent", title: "The latent space", work: latent },
            Task { key: "gan", title: "GAN, learning rate 0.0002", work: |run| gan(run, 0.0002) },
            Task {
                key: "gan-0.02",
                title: "GAN, learning rate 0.02 as the report writes it",
                work: |run| gan(run, 0.02),
            },
        ],
    }
}

fn autoencoder(latent_dim: usize) -> Result<Autoencoder> {
    Ok(Autoencoder::strided([24, 48, 96], 128, latent_dim)?.seed(SEED))
}

fn config(run: &Run, learning_rate: f64, weight_decay: f64) -> TrainConfig {
    let optimizer = Optimizer::adam().weight_decay(weight_decay);
    let config = TrainConfig::new().epochs(run.epochs(20)).optimizer(optimizer).learning_rate(learning_rate);
    config.seed(SEED).validation(&run.test)
}

fn grid(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    let mut chart = LineChart::new("epoch", "mean squared error on the test images").log_y();
    for learning_rate in [0.001, 0.02] {
        for weight_decay in [0.0001, 0.005] {
            for latent_dim in [2, 10, 100] {
                let name = format!("cae-{learning_rate}-{weight_decay}-{latent_dim}");
                let mut model = autoencoder(latent_dim)?;
                let config = config(run, learning_rate, weight_decay);
                let mut cells = [learning_rate.to_string(), weight_decay.to_string(), latent_dim.to_string()].to_vec();
                match run.training(train_ae, &name, &mut model, &run.train, config) {
                    Ok(history) => {
                        let (test, seconds) = (history.final_validation_loss(), history.total_seconds());
                        cells.extend([
                            format!("{:.4}", history.final_loss()),
                            format!("{test:.4}"),
                            duration_text(seconds),
                        ]);
                        let name =
                            format!("grid: test MSE, rate {learning_rate}, decay {weight_decay}, code {latent_dim}");
                        run.number(Number::new(name, test, 4).setting(setting(run), SEED, seconds));
                        if weight_decay == 0.0001 {
                            chart = chart
                                .line(format!("rate {learning_rate}, code {latent_dim}"), &history.validation_loss);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Diverged => cells.extend(["diverged".into(), "".into()]),
                    Err(error) => return Err(error),
                }
                model.save(run.model(&name))?;
                rows.push(cells);
            }
        }
    }
    run.text(
        "The report's network in PyTorch's conventions, without the dropout whose place it does not give. Adam with L2 \
         weight decay, mean squared error, batches of 128 (the report does not say). The report found learning rate \
         0.001, weight decay 0.0001 and 10 numbers best; a code of 100 numbers always gives a lower error, but is no \
         longer a summary.",
    );
    let head = ["learning rate", "weight decay", "code", "training MSE", "test MSE", "time"];
    run.table("20 epochs each", &head, rows);
    run.figure("Test loss with weight decay 0.0001", &chart.figure()?)?;
    let best = Autoencoder::load(run.model(BEST))?;
    run.figure("Test digits and what comes back from 10 numbers", &reconstructions(&best, &run.test)?)
}

fn setting(run: &Run) -> String {
    format!("{} epochs, batch 128, Adam", run.epochs(20))
}

fn denoising(run: &mut Run) -> Result<()> {
    let mut model = autoencoder(10)?;
    let history = run.training(train_ae, "dae", &mut model, &run.train, config(run, 0.001, 0.0001).input_noise(1.0))?;
    let ten = run.test.take(10);
    let noisy = ten.with_noise(1.0, SEED)?;
    let denoised = reconstruct(&model, &noisy)?;
    let loss = history.final_validation_loss();
    let seconds = history.total_seconds();
    run.number(Number::new("denoising: test MSE, noise of variance 1", loss, 4).setting(setting(run), SEED, seconds));
    run.text(format!(
        "The same network with 10 numbers, learning rate 0.001 and weight decay 0.0001. Gaussian noise of variance 1 \
         is added to each input and drawn again in each epoch; the target stays clean. The test images' mean squared \
         error is {loss:.4}."
    ));
    let rows = [("noisy", noisy.images()), ("denoised", denoised.images()), ("original", ten.images())];
    run.figure("Test digits", &ImageGrid::rows(rows).figure()?)?;
    run.figure("Loss", &history.plot()?)
}

fn classifier(run: &mut Run) -> Result<()> {
    let encoder = Autoencoder::load(run.model(BEST))?.encoder().clone();
    let mut classifier = Classifier::linear(&encoder, 10)?.frozen().seed(SEED);
    let config = TrainConfig::new().epochs(run.epochs(20)).seed(SEED).validation(&run.test);
    let history = run.training(train_classifier, "classifier", &mut classifier, &run.train, config)?;
    let predictions = classify(&classifier, &run.test)?;
    let setting = "code 10, one linear layer, 20 epochs, Adam 0.001, batch 128";
    run.number(
        Number::share("frozen linear classifier: test accuracy", predictions.accuracy())
            .report(0.8941)
            .at_least(0.8941)
            .setting(setting, SEED, history.total_seconds()),
    );
    run.text(
        "The encoder of the report's best setting stays as it is; only the layer from its 10 numbers to the 10 \
         classes learns.",
    );
    run.figure("Cross-entropy and accuracy", &row([history.plot()?, history.plot_accuracy()?]))?;
    let confusion = predictions.confusion()?;
    run.figure(
        "Confusion matrix of the test images",
        &Heatmap::new(confusion.counts()).names(confusion.class_names()).figure()?,
    )
}

fn latent(run: &mut Run) -> Result<()> {
    let model = Autoencoder::load(run.model(BEST))?;
    let codes = embed(&model, &run.test.take(5_000))?;
    let components = pca(&codes, 2)?;
    let explained: f64 = components.explained_variance_ratio().iter().sum();
    let neighbours = tsne(&codes, &Tsne::new().progress_every(0))?;
    run.text(format!(
        "The first {} test digits, each point the 10 numbers of one. The two principal components hold {:.0} % of the \
         codes' variance; t-SNE keeps neighbours together (KL divergence {:.2}).",
        codes.len(),
        100.0 * explained,
        neighbours.divergence(),
    ));
    let maps = [components.transform(&codes)?.scatter()?.title("PCA"), neighbours.scatter()?.title("t-SNE")];
    run.figure("From 10 numbers to 2", &row(maps))?;
    run.text(
        "Codes drawn at random, each number from a normal distribution with the mean and standard deviation it has \
         over the test images: between the classes the decoder finds no digits.",
    );
    let points = codes.points();
    let (mean, spread) = (points.mean_axis(Axis(0)).unwrap_or_default(), points.std_axis(Axis(0), 0.0));
    let drawn = decode(&model, &(random_codes(30, codes.latent_dim(), SEED)? * spread + mean))?;
    run.figure("Decoded random codes", &ImageGrid::new(&drawn, 10).figure()?)
}

fn gan(run: &mut Run, learning_rate: f64) -> Result<()> {
    const SAMPLES: usize = 1_000;
    let adam = Optimizer::adam().betas(0.5, 0.999);
    let mut gan = Gan::convolutional(100)?
        .generator_optimizer(adam, learning_rate)
        .discriminator_optimizer(adam, learning_rate)
        .seed(SEED);
    let config = GanConfig::new().epochs(run.epochs(15)).seed(SEED).snapshots(SAMPLES, GAN_EPOCHS);
    let history = match run.train_gan(&format!("gan-{learning_rate}"), &mut gan, &run.all, config) {
        Err(error) if error.kind() == ErrorKind::Diverged => {
            run.text(format!("The training broke down: {error}."));
            return Ok(());
        }
        trained => trained?,
    };
    let mut rows = Vec::new();
    for Snapshot { epoch, images, .. } in &history.snapshots {
        let seconds = history.seconds[..*epoch].iter().sum();
        let (sure, classes) = reference_classifier::coverage(run, images)?;
        let setting = format!("epoch {epoch}, batch 200, Adam 0.5 and 0.999, learning rate {learning_rate}");
        let name = |what: &str| format!("GAN {learning_rate}, epoch {epoch}: {what}");
        run.number(Number::share(name("samples classified with confidence"), sure).setting(&setting, SEED, seconds));
        run.number(Number::new(name("classes covered"), classes as f64, 0).setting(&setting, SEED, seconds));
        rows.push(vec![
            epoch.to_string(),
            format!("{:.1} %", 100.0 * sure),
            classes.to_string(),
            duration_text(seconds),
        ]);
    }
    run.text(format!(
        "Generator and discriminator as in the report, each with Adam (β 0.5 and 0.999), binary cross-entropy, batches \
         of 200, 15 epochs of all images, training and test. After some epochs the reference classifier is given \
         {SAMPLES} samples, from the same noise each time: how many it classifies with a confidence of at least 90 %, \
         and how many of the ten classes have at least one in a hundred of these samples."
    ));
    run.table(
        "Samples classified by the reference classifier",
        &["epoch", "confident", "classes covered", "time"],
        rows,
    );
    run.figure("Samples, a column for each noise", &history.plot_snapshots()?)?;
    run.figure("Losses", &history.plot()?)
}
