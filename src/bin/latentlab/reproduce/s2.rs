//! S2: tuning, cross-validation, fine-tuning, latent spaces, variational and denoising autoencoder on Fashion-MNIST.

use latentlab::{
    Autoencoder, Classifier, Dataset, History, ImageGrid, Init, LineChart, Loss, Optimizer, Result, Scatter, Scatter3d,
    Schedule, Sequential, Space, Study, TrainConfig, Tsne, Vae, classify, code_grid, decode, duration_text, embed, pca,
    reconstruct, reconstructions, row, sample, train_ae, train_classifier, train_vae, tsne,
};

use super::{Protocol, Task, results::Number, run::Run};

const SEED: u64 = 0;
/// The best of the report's own search: filters, hidden units, learning rate.
const FILTERS: [usize; 3] = [12, 24, 48];
/// The largest filters of its search space, where the report does not say which it took.
const LARGEST: [usize; 3] = [16, 32, 64];
const HIDDEN: usize = 128;
const RATE: f64 = 0.004748;
const BAG: usize = 8;

pub fn protocol() -> Protocol {
    Protocol {
        name: "S2",
        title: "tuning, fine-tuning and variational autoencoders on Fashion-MNIST",
        asked: "A convolutional autoencoder on Fashion-MNIST with a code of 2 numbers: compare optimizers, search the \
                architecture's settings and cross-validate the best; a code of 10 numbers and a classifier on it, \
                fine-tuned; maps of the latent spaces; variational autoencoders with 2 and 3 numbers; a denoising one.",
        data: super::Data::Garments,
        epochs: None,
        tasks: vec![
            Task { key: "two", title: "The autoencoder with 2 numbers", work: two },
            Task { key: "ten", title: "The autoencoder with 10 numbers", work: ten },
            Task { key: "fine-tuning", title: "A fine-tuned classifier", work: fine_tuning },
            Task { key: "denoising", title: "Denoising", work: denoising },
            Task { key: "folds", title: "Five-fold cross-validation", work: folds },
            Task { key: "maps", title: "Maps of the latent spaces", work: maps },
            Task { key: "vae2", title: "Variational autoencoder, 2 numbers", work: |run| variational(run, 2) },
            Task { key: "vae3", title: "Variational autoencoder, 3 numbers", work: |run| variational(run, 3) },
            Task { key: "optimizers", title: "Four optimizers", work: optimizers },
            Task { key: "study", title: "A search for good settings", work: study },
        ],
    }
}

fn autoencoder(latent_dim: usize) -> Result<Autoencoder> {
    Ok(Autoencoder::strided(FILTERS, HIDDEN, latent_dim)?.seed(SEED))
}

fn config(run: &Run, epochs: usize) -> TrainConfig {
    let config = TrainConfig::new().epochs(run.epochs(epochs)).learning_rate(RATE).schedule(Schedule::cosine());
    config.seed(SEED).validation(&run.test)
}

fn setting(history: &History) -> String {
    format!("{} epochs, batch 128, Adam {RATE} falling to 0 as a cosine, hidden 128", history.epochs())
}

/// The number of the test loss at the end of a training.
fn test_loss(name: &str, history: &History, report: f64) -> Number {
    let number = Number::new(name, history.final_validation_loss(), 4).report(report).at_most(report);
    number.setting(setting(history), SEED, history.total_seconds())
}

fn two(run: &mut Run) -> Result<()> {
    run.text(
        "The best settings of the report's search: three convolutions of 12, 24 and 48 filters, a hidden layer of 128, \
         Adam with learning rate 0.004748 (here falling to 0 as a cosine over the epochs), mean squared error on \
         images in [0, 1]. A sigmoid ends the decoder here; the report's ends in nothing. Batches of 128, which the \
         report does not give.",
    );
    let mut model = autoencoder(2)?;
    let history = run.training(train_ae, "two", &mut model, &run.train, config(run, 30))?;
    model.save(run.model("two"))?;
    run.number(test_loss("test MSE, 2 numbers", &history, 0.026));
    run.figure("Loss", &history.plot()?)?;
    run.figure("Test garments and what comes back from 2 numbers", &reconstructions(&model, &run.test)?)
}

fn ten(run: &mut Run) -> Result<()> {
    let mut model = autoencoder(10)?;
    let history = run.training(train_ae, "ten", &mut model, &run.train, config(run, 10))?;
    model.save(run.model("ten"))?;
    run.number(test_loss("test MSE, 10 numbers", &history, 0.015));
    run.figure("Loss", &history.plot()?)?;
    run.figure("Test garments and what comes back from 10 numbers", &reconstructions(&model, &run.test)?)
}

/// The learning rates of the two epochs.
const FINE_TUNING: [f64; 2] = [0.003, 0.0003];

fn fine_tuning(run: &mut Run) -> Result<()> {
    run.text(
        "An encoder with 10 numbers and one linear layer to the classes, trained together for two epochs. The report \
         gives the accuracy on its validation images; ours is that on 10,000 training images from which nothing \
         learned, and by which the network, rates and batch were chosen; the test images, by which nothing was chosen, \
         stand beside it. The report does not give the network. This is its variant with four convolutions, whose \
         layout it does not give either: one of 20 filters at full size before those with stride 2, trained as an \
         autoencoder for 5 epochs before. Batch normalisation brings the codes, which an autoencoder leaves at any \
         size, to one size before the linear layer; without it the first steps harm the encoder.",
    );
    let (training, validation) = held_out(run)?;
    let mut rows = Vec::new();
    for seed in SEED..SEED + 3 {
        let mut autoencoder = four_convolutions()?.seed(seed);
        let pretraining = config(run, 5).learning_rate(FINE_TUNING[0]).seed(seed).validation(&validation);
        run.training(train_ae, &format!("four-convolutions-{seed}"), &mut autoencoder, &training, pretraining)?;
        let head = Sequential::input([10]).init(Init::KaimingUniform).batch_norm().dense(10);
        let mut classifier = Classifier::new(autoencoder.encoder().clone(), head)?.seed(seed);
        let (mut row, mut seconds) = (vec![seed.to_string()], 0.0);
        for (epoch, rate) in (1..).zip(FINE_TUNING) {
            let config = TrainConfig::new().epochs(1).batch_size(32).learning_rate(rate).seed(2 * seed + epoch);
            let name = format!("fine-tuning-{seed}-{epoch}");
            let history =
                run.training(train_classifier, &name, &mut classifier, &training, config.validation(&validation))?;
            row.extend([history.accuracy[0], history.validation_accuracy[0]].map(per_cent));
            seconds += history.total_seconds();
        }
        row.push(per_cent(classify(&classifier, &run.test)?.accuracy()));
        rows.push(row);
        if seed == SEED {
            let accuracy = classify(&classifier, &validation)?.accuracy();
            let number = Number::share("fine-tuned classifier: validation accuracy after 2 epochs", accuracy);
            let [first, second] = FINE_TUNING;
            let setting = format!(
                "filters 20, 32, 64, 64, hidden 128, code 10, batch normalisation, one linear layer, batch 32, Adam \
                 {first}, then {second}, nothing frozen"
            );
            run.number(number.report(0.897).at_least(0.897).setting(setting, seed, seconds));
        }
    }
    let head = ["seed", "training, epoch 1", "validation, epoch 1", "training, epoch 2", "validation, epoch 2", "test"];
    run.table("Accuracy", &head, rows);
    Ok(())
}

/// The largest filters of the report's search with four convolutions, the first one with stride 1.
fn four_convolutions() -> Result<Autoencoder> {
    let encoder = Sequential::input([1, 28, 28]).init(Init::KaimingUniform).conv2d(20, 3).padding(1).relu();
    let encoder = encoder.conv2d(32, 3).stride(2).padding(1).relu().conv2d(64, 3).stride(2).padding(1).relu();
    let encoder = encoder.conv2d(64, 3).stride(2).relu().flatten().dense(HIDDEN).relu().dense(10);
    let decoder = Sequential::input([10]).init(Init::KaimingUniform).dense(HIDDEN).relu().dense(576).relu();
    let decoder = decoder.reshape([64, 3, 3]).conv_transpose2d(64, 3).stride(2).relu();
    let decoder = decoder.conv_transpose2d(32, 3).stride(2).padding(1).output_padding(1).relu();
    let decoder = decoder.conv_transpose2d(20, 3).stride(2).padding(1).output_padding(1).relu();
    Autoencoder::new(encoder, decoder.conv2d(1, 3).padding(1).sigmoid())
}

fn per_cent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// The training images without their last sixth, and these: 50,000 and 10,000.
fn held_out(run: &Run) -> Result<(Dataset, Dataset)> {
    run.train.split(run.train.len() / 6 * 5, run.train.len() / 6)
}

fn denoising(run: &mut Run) -> Result<()> {
    let mut model = Autoencoder::strided(LARGEST, HIDDEN, 3)?.seed(SEED);
    let history = run.training(train_ae, "denoising", &mut model, &run.train, config(run, 30).input_noise(0.3))?;
    run.number(test_loss("denoising, 3 numbers, noise 0.3: test MSE", &history, 0.0213));
    run.text(
        "Filters 16, 32, 64. Gaussian noise of standard deviation 0.3 on the input, drawn again in each epoch, and on \
         the test images too; the target is the clean image.",
    );
    let ten = run.test.take(10);
    let noisy = ten.with_noise(0.3, SEED)?;
    let output = reconstruct(&model, &noisy)?;
    let rows = [("original", ten.images()), ("noisy", noisy.images()), ("output", output.images())];
    run.figure("Test garments", &ImageGrid::rows(rows).figure()?)?;
    run.figure("Loss", &history.plot()?)
}

fn folds(run: &mut Run) -> Result<()> {
    const FOLDS: usize = 5;
    let (mut losses, mut rows, mut seconds) = (Vec::new(), Vec::new(), 0.0);
    for (index, (training, validation)) in run.train.folds(FOLDS, SEED)?.enumerate() {
        let config = TrainConfig::new().epochs(run.epochs(15)).learning_rate(RATE).seed(SEED).validation(&validation);
        let history =
            run.training(train_ae, &format!("fold-{}", index + 1), &mut autoencoder(2)?, &training, config)?;
        losses.push(history.final_validation_loss());
        seconds += history.total_seconds();
        rows.push(vec![(index + 1).to_string(), format!("{:.4}", history.final_validation_loss())]);
    }
    let mean = losses.iter().sum::<f64>() / FOLDS as f64;
    let deviation = (losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (FOLDS - 1) as f64).sqrt();
    let number = Number::new("5-fold cross-validation: mean MSE, 2 numbers", mean, 4).report(0.0345).at_most(0.0345);
    let setting = format!("{} epochs a fold, batch 128, Adam {RATE}; ± {deviation:.4}", run.epochs(15));
    run.number(number.setting(setting, SEED, seconds));
    run.text(
        "The training images in five parts; each is validated on once, by a model that has learned from the others \
         for 15 epochs, as in the report's search.",
    );
    run.table("Mean squared error on the fold left out", &["fold", "MSE"], rows);
    Ok(())
}

fn maps(run: &mut Run) -> Result<()> {
    let some = run.test.take(5_000);
    let two = Autoencoder::load(run.model("two"))?;
    let codes = embed(&two, &some)?;
    let means = codes.class_means()?;
    let bag = [means[[BAG, 0]], means[[BAG, 1]]];
    let scatter = Scatter::of(&codes).annotate(bag, "bag").figure()?.title("codes of test images");
    // A window around the bags, a standard deviation to each side.
    let spread = codes.points().std_axis(latentlab::ndarray::Axis(0), 0.0);
    let (low, high) = ([bag[0] - spread[0], bag[1] - spread[1]], [bag[0] + spread[0], bag[1] + spread[1]]);
    let around = decode(&two, &code_grid(low, high, 9)?)?;
    let around = ImageGrid::new(&around, 9).figure()?.title("decoded around the mean bag");
    run.text(format!(
        "The report decodes (−3, −2), a point of its plane beside a bag. In ours the mean code of the bags is ({:.1}, \
         {:.1}): in the middle of the right figure, which goes a standard deviation of the codes to each side.",
        bag[0], bag[1]
    ));
    run.figure("2 numbers", &row([scatter, around]))?;
    let ten = embed(&Autoencoder::load(run.model("ten"))?, &some)?;
    for (name, codes) in [("2 numbers", &codes), ("10 numbers", &ten)] {
        let components = pca(codes, 2)?;
        let explained: f64 = components.explained_variance_ratio().iter().sum();
        let neighbours = tsne(codes, &Tsne::new().progress_every(0))?;
        let pca_map = components.transform(codes)?.scatter()?.title(format!("PCA of {name}"));
        let caption = format!(
            "{name}: two components hold {:.0} % of the variance; t-SNE's KL divergence is {:.2}",
            100.0 * explained,
            neighbours.divergence()
        );
        run.figure(caption, &row([pca_map, neighbours.scatter()?.title(format!("t-SNE of {name}"))]))?;
    }
    Ok(())
}

fn variational(run: &mut Run, latent_dim: usize) -> Result<()> {
    let mut vae = Vae::strided([16, 32, 64], 64, latent_dim)?.seed(SEED);
    let config =
        TrainConfig::new().epochs(run.epochs(30)).loss(Loss::BinaryCrossEntropy).seed(SEED).validation(&run.test);
    let name = format!("vae{latent_dim}");
    let history = run.training(train_vae, &name, &mut vae, &run.train, config)?;
    vae.save(run.model(&name))?;
    let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
    let (reconstruction, kl) = (last(&history.validation_reconstruction), last(&history.validation_kl));
    run.text(format!(
        "z = μ + σ·ε, binary cross-entropy and the KL divergence to N(0, I), filters 16, 32, 64, hidden 64, Adam \
         0.001, batches of 128. After {} epochs ({}) the test images' cross-entropy is {reconstruction:.4} a pixel and \
         the divergence {kl:.2} nats an image.",
        history.epochs(),
        duration_text(history.total_seconds()),
    ));
    let codes = embed(&vae.autoencoder(), &run.test.take(2_000))?;
    let map = match latent_dim {
        2 => codes.scatter()?,
        _ => Scatter3d::new(codes.points(), codes.labels()).names(codes.class_names().to_vec()).figure()?,
    };
    run.figure("Mean codes of 2,000 test images", &map)?;
    if latent_dim == 2 {
        let plane = decode(&vae.autoencoder(), &code_grid([-2.0, -2.0], [2.0, 2.0], 15)?)?;
        run.figure("What the plane decodes to, from −2 to 2", &ImageGrid::new(&plane, 15).figure()?)?;
    }
    run.figure("Samples: codes drawn from N(0, I)", &ImageGrid::new(&sample(&vae, 30, SEED)?, 10).figure()?)?;
    run.figure("Loss", &history.plot()?)
}

fn optimizers(run: &mut Run) -> Result<()> {
    const RATE: f64 = 0.005;
    let mut training = LineChart::new("epoch", "training MSE, running average");
    let mut test = LineChart::new("epoch", "test MSE, running average");
    let mut rows = Vec::new();
    for optimizer in [Optimizer::adam(), Optimizer::adamax(), Optimizer::adamw(), Optimizer::adagrad()] {
        let name = optimizer.name();
        let mut model = Autoencoder::strided([16, 32, 64], 64, 2)?.seed(SEED);
        let config = TrainConfig::new().epochs(run.epochs(50)).optimizer(optimizer).learning_rate(RATE).seed(SEED);
        let file = format!("optimizer-{}", name.to_lowercase());
        let history = run.training(train_ae, &file, &mut model, &run.train, config.validation(&run.test))?;
        training = training.line(name, &running(&history.loss));
        test = test.line(name, &running(&history.validation_loss));
        let losses = [history.final_loss(), history.final_validation_loss()].map(|loss| format!("{loss:.4}"));
        let number = Number::new(format!("{name}: test MSE"), history.final_validation_loss(), 4);
        run.number(number.setting("50 epochs, batch 128, learning rate 0.005", SEED, history.total_seconds()));
        rows.push([vec![name.to_string()], losses.to_vec(), vec![duration_text(history.total_seconds())]].concat());
    }
    run.text(
        "The report's first network (filters 16, 32, 64, hidden 64, 2 numbers), learning rate 0.005, 50 epochs, \
         batches of 128. Each point of a curve is the mean of up to five epochs.",
    );
    run.table("After 50 epochs", &["optimizer", "training MSE", "test MSE", "time"], rows);
    run.figure("Losses", &row([training.figure()?, test.figure()?]))
}

/// The mean of each value and the four before it.
fn running(values: &[f64]) -> Vec<f64> {
    let mean = |end: usize| {
        let window = &values[(end + 1).saturating_sub(5)..=end];
        window.iter().sum::<f64>() / window.len() as f64
    };
    (0..values.len()).map(mean).collect()
}

fn study(run: &mut Run) -> Result<()> {
    let space = Space::new()
        .integer("filters1", 8, 16)
        .integer("filters2", 16, 32)
        .integer("filters3", 32, 64)
        .float("learning_rate", 1e-4, 8e-3)
        .log()
        .choice("hidden", [64, 128])
        .choice("optimizer", ["Adam", "RAdam"]);
    let trials = if run.quick { 5 } else { 30 };
    let study = Study::minimize(space)?.trials(trials).seed(SEED).journal(run.file("study.jsonl"))?;
    let (training, validation) = held_out(run)?;
    let epochs = run.epochs(15);
    while let Some(trial) = study.ask()? {
        let filters = [trial.integer("filters1")?, trial.integer("filters2")?, trial.integer("filters3")?];
        let mut model = Autoencoder::strided(filters, trial.integer("hidden")?, 2)?.seed(SEED);
        let optimizer = if trial.text("optimizer")? == "Adam" { Optimizer::adam() } else { Optimizer::radam() };
        let config =
            TrainConfig::new().epochs(epochs).optimizer(optimizer).learning_rate(trial.float("learning_rate")?);
        let config = config.seed(SEED).validation(&validation).progress_every(0).trial(&trial);
        // No checkpoint: the study hands an interrupted trial out again, from its beginning.
        let history = train_ae(&mut model, &training, &config)?;
        study.tell(trial, history.final_validation_loss())?;
    }
    let best = study.best()?;
    let seconds = study.records().iter().map(|record| record.seconds).sum();
    let value = best.value.unwrap_or(f64::NAN);
    let setting = format!("{trials} trials of {epochs} epochs, the worse ones pruned");
    run.number(Number::new("study: best validation MSE, 2 numbers", value, 4).setting(setting, SEED, seconds));
    run.text(format!(
        "{trials} trials of the report's search space, {epochs} epochs each, sampled by a tree-structured Parzen \
         estimator; a trial that is worse than the median of the others at the same epoch is pruned. 50,000 images to \
         train on, 10,000 of the training images to validate on. The report took 100 trials and found filters 12, 24, \
         48, learning rate 0.004748, hidden 128, Adam."
    ));
    let names = study.parameter_names();
    let head: Vec<&str> = ["trial"].into_iter().chain(names.iter().map(String::as_str)).chain(["MSE"]).collect();
    let mut records: Vec<_> = study.records().into_iter().filter(|record| record.value.is_some()).collect();
    records.sort_by(|a, b| a.value.unwrap_or(f64::NAN).total_cmp(&b.value.unwrap_or(f64::NAN)));
    let rows = records.iter().take(5).map(|record| {
        let settings = names.iter().map(|name| record.settings.get(name).map_or(String::new(), ToString::to_string));
        let value = format!("{:.4}", record.value.unwrap_or(f64::NAN));
        [record.number.to_string()].into_iter().chain(settings).chain([value]).collect()
    });
    run.table("The five best trials", &head, rows.collect());
    run.figure("The trials", &study.plot()?)?;
    // Of few complete trials there is none.
    match study.plot_importance() {
        Ok(figure) => run.figure("How much of the differences each setting explains", &figure),
        Err(_) => Ok(()),
    }
}
