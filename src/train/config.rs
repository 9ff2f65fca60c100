use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use ndarray::Array4;

use super::{
    check,
    observers::{Callback, Epoch},
    schedule::Schedule,
    tuning::{Trial, TrialLink},
    watch::Watch,
};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{Clip, Loss, Optimizer, Penalty},
    stop::StopHandle,
};

/// The settings of a training, each with a default that works for the lessons.
///
/// | setting | default | range |
/// |---|---|---|
/// | [`epochs`](Self::epochs) | 10 | at least 1 |
/// | [`batch_size`](Self::batch_size) | 128 | at least 1 |
/// | [`learning_rate`](Self::learning_rate) | 0.001 | above 0 |
/// | [`optimizer`](Self::optimizer) | Adam | see [`Optimizer`] |
/// | [`schedule`](Self::schedule) | constant | see [`Schedule`] |
/// | [`loss`](Self::loss) | mean squared error | |
/// | [`clip_norm`](Self::clip_norm) or [`clip_value`](Self::clip_value) | none | above 0 |
/// | [`seed`](Self::seed) | 0 | |
/// | [`validation`](Self::validation), [`validation_fraction`](Self::validation_fraction) | none | fraction in (0, 1) |
/// | [`early_stopping`](Self::early_stopping) | none | patience at least 1 epoch |
/// | [`input_noise`](Self::input_noise) | 0 | at least 0 |
/// | [`kl_weight`](Self::kl_weight) | 1 | at least 0 |
/// | [`snapshots`](Self::snapshots) | none | at least 1 image |
/// | [`watch`](Self::watch) | nothing | see [`Watch`] |
/// | [`after_epoch`](Self::after_epoch) | none | |
/// | [`checkpoint`](Self::checkpoint), [`resume`](Self::resume) | none | |
/// | [`tensorboard`](Self::tensorboard) | none | |
/// | [`stop_handle`](Self::stop_handle), [`trial`](Self::trial) | none | |
/// | [`code_penalty`](Self::code_penalty), [`weight_penalty`](Self::weight_penalty) | none | |
/// | [`targets`](Self::targets) | the images | |
/// | [`progress_every`](Self::progress_every) | 1 epoch | 0 for silence |
///
/// Settings are checked when training starts.
///
/// ```
/// use latentlab::TrainConfig;
///
/// let config = TrainConfig::new().epochs(25).batch_size(256).early_stopping(5);
/// ```
#[derive(Clone, Debug)]
pub struct TrainConfig {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) learning_rate: f64,
    pub(super) optimizer: Optimizer,
    pub(super) schedule: Schedule,
    loss: Option<Loss>,
    pub(super) code_penalty: Option<Penalty>,
    pub(super) weight_penalty: Option<Penalty>,
    pub(super) targets: Option<Dataset>,
    pub(super) validation_targets: Option<Dataset>,
    clip_norm: Option<f64>,
    clip_value: Option<f32>,
    pub(super) seed: u64,
    pub(super) validation: Validation,
    pub(super) patience: Option<usize>,
    pub(super) input_noise: f32,
    kl_weight: Option<f64>,
    pub(super) snapshots: Snapshots,
    pub(super) watch: Vec<Watch>,
    pub(super) after_epoch: Vec<Callback>,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) resume: Option<PathBuf>,
    pub(super) tensorboard: Option<PathBuf>,
    pub(super) stop: StopHandle,
    pub(super) trial: Option<TrialLink>,
    pub(super) progress_every: usize,
}

/// Where the validation images come from.
#[derive(Clone, Debug)]
pub(super) enum Validation {
    None,
    Set(Dataset),
    Fraction(f64),
}

/// What snapshots are of, and after which epochs.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshots {
    pub of: SnapshotOf,
    pub epochs: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum SnapshotOf {
    #[default]
    Nothing,
    /// Reconstructions of these images.
    Images(Dataset),
    /// This number of generated images.
    Samples(usize),
}

impl Snapshots {
    /// More epochs are refused when training starts: `0..` has no end.
    pub const MOST: usize = 1 << 20;

    pub fn new(of: SnapshotOf, epochs: impl IntoIterator<Item = usize>) -> Self {
        Self { of, epochs: epochs.into_iter().take(Self::MOST + 1).collect() }
    }

    /// What they are reconstructions of.
    pub fn originals(&self) -> Option<Array4<f32>> {
        self.images().map(|images| images.images().clone())
    }

    pub fn images(&self) -> Option<&Dataset> {
        match &self.of {
            SnapshotOf::Images(images) => Some(images),
            SnapshotOf::Nothing | SnapshotOf::Samples(_) => None,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl TrainConfig {
    /// The defaults in the table above.
    pub fn new() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            learning_rate: 0.001,
            optimizer: Optimizer::adam(),
            schedule: Schedule::constant(),
            loss: None,
            code_penalty: None,
            weight_penalty: None,
            targets: None,
            validation_targets: None,
            clip_norm: None,
            clip_value: None,
            seed: 0,
            validation: Validation::None,
            patience: None,
            input_noise: 0.0,
            kl_weight: None,
            snapshots: Snapshots::default(),
            watch: Vec::new(),
            after_epoch: Vec::new(),
            checkpoint: None,
            resume: None,
            tensorboard: None,
            stop: StopHandle::new(),
            trial: None,
            progress_every: 1,
        }
    }

    /// The number of passes over all images.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// The number of images in one step; the last, smaller batch of an epoch is included. Where a batch normalisation
    /// needs two rows, as after a dense layer, a last batch of one image joins the batch before it.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The optimizer's learning rate η, with a [`schedule`](Self::schedule) that of the first epoch, or what it rises
    /// to first. 0.001 suits Adam; [`Optimizer`] lists the frameworks' defaults for the others.
    pub fn learning_rate(self, learning_rate: f64) -> Self {
        Self { learning_rate, ..self }
    }

    /// How the weights are updated from their gradients.
    pub fn optimizer(self, optimizer: Optimizer) -> Self {
        Self { optimizer, ..self }
    }

    /// How the learning rate changes from epoch to epoch.
    pub fn schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// What is minimised. A classifier refuses it: its loss is the softmax cross-entropy.
    pub fn loss(self, loss: Loss) -> Self {
        Self { loss: Some(loss), ..self }
    }

    /// Adds a [`Penalty`] on the codes to the loss: for autoencoders. The losses of the history hold it; those of a
    /// validation do not.
    pub fn code_penalty(self, penalty: Penalty) -> Self {
        Self { code_penalty: Some(penalty), ..self }
    }

    /// Adds a [`Penalty`] on the weights to the loss, L1 or L2: on all kernels that are trained, not on biases (Keras'
    /// `kernel_regularizer`). The losses of the history hold it; those of a validation do not.
    pub fn weight_penalty(self, penalty: Penalty) -> Self {
        Self { weight_penalty: Some(penalty), ..self }
    }

    /// What the model is to make of the images, row by row, in place of the images themselves: clean ones of noisy
    /// ones, for example. [`train_pairs`](crate::train_pairs) sets it.
    pub fn targets(self, targets: &Dataset) -> Self {
        Self { targets: Some(targets.clone()), ..self }
    }

    /// The same for the images of [`validation`](Self::validation).
    pub fn validation_targets(self, targets: &Dataset) -> Self {
        Self { validation_targets: Some(targets.clone()), ..self }
    }

    /// Scales the gradients of every step by one factor, so that their norm, the root of the sum of squares over all
    /// weights that are trained, is at most `largest`: PyTorch's `clip_grad_norm_`, Keras' `global_clipnorm`. (Keras'
    /// `clipnorm` takes each weight's norm by itself.) For trainings that diverge on a few batches, recurrent ones
    /// above all (Pascanu et al. 2013). The gradients are those of the loss with its penalties.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
    ///
    /// let digits = Dataset::built_in_digits(200, 0)?;
    /// let config = TrainConfig::new().epochs(1).learning_rate(0.01).clip_norm(1.0);
    /// train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn clip_norm(self, largest: f64) -> Self {
        Self { clip_norm: Some(largest), ..self }
    }

    /// Clips each value of the gradients of every step to [−`largest`, `largest`]: PyTorch's `clip_grad_value_`, Keras'
    /// `clipvalue`. Not together with [`clip_norm`](Self::clip_norm).
    pub fn clip_value(self, largest: f32) -> Self {
        Self { clip_value: Some(largest), ..self }
    }

    /// Decides the order of the images, the noise and the dropout: the same seed, weights and images give the same
    /// training.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Images on which the loss is measured after each epoch, never trained on.
    pub fn validation(self, images: &Dataset) -> Self {
        Self { validation: Validation::Set(images.clone()), ..self }
    }

    /// Keeps this fraction of the training images for validation: the last ones, before any shuffling, as Keras'
    /// `validation_split` does.
    pub fn validation_fraction(self, fraction: f64) -> Self {
        Self { validation: Validation::Fraction(fraction), ..self }
    }

    /// Stops when the validation loss (without validation: the training loss) has had no new minimum for `patience`
    /// epochs, and restores the weights of the best epoch, also when all epochs have run.
    pub fn early_stopping(self, patience: usize) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Adds Gaussian noise of this standard deviation σ to the input, in grey values; the target stays clean (a
    /// denoising autoencoder, Vincent et al. 2008). Training draws new noise for every batch, validation the same in
    /// every epoch.
    pub fn input_noise(self, standard_deviation: f32) -> Self {
        Self { input_noise: standard_deviation, ..self }
    }

    /// The weight β of the divergence in the loss of [`train_vae`](crate::train_vae), which says how it is scaled: 1 is
    /// the evidence lower bound, more makes the codes more independent and the images blurred (Higgins et al. 2017,
    /// "β-VAE"). Other models refuse it.
    pub fn kl_weight(self, beta: f64) -> Self {
        Self { kl_weight: Some(beta), ..self }
    }

    /// Reconstructs these images after these epochs, 0 for before the first:
    /// [`History::snapshots`](crate::History::snapshots), drawn by
    /// [`History::plot_snapshots`](crate::History::plot_snapshots). Epochs that are never reached are left out.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
    ///
    /// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    /// let config = TrainConfig::new().epochs(4).snapshots(&test.take(10), [0, 1, 4]);
    /// let history = train_ae(&mut Autoencoder::tiny(4)?, &train, &config)?;
    /// assert_eq!(history.snapshots[2].images.dim(), (10, 1, 28, 28));
    /// let figure = history.plot_snapshots()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn snapshots(self, images: &Dataset, epochs: impl IntoIterator<Item = usize>) -> Self {
        Self { snapshots: Snapshots::new(SnapshotOf::Images(images.clone()), epochs), ..self }
    }

    /// Measures this too, beside the loss: the norm of the gradients, the share of dead units, the learning rate, the
    /// reconstructions of some images. In a notebook each is a small figure that grows while the training runs, at most
    /// five times a second; the numbers go into the [`History`](crate::History) too, anywhere. The training gives the
    /// same bits with and without it. Calls add up. It is no part of what [`resume`](Self::resume) compares.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, Watch, train_ae};
    ///
    /// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    /// let watch = [Watch::GradientNorms, Watch::DeadUnits, Watch::Reconstructions(test.take(10))];
    /// let config = TrainConfig::new().epochs(3).watch(watch);
    /// let history = train_ae(&mut Autoencoder::strided([4, 8, 16], 32, 2)?, &train, &config)?;
    /// let (layer, norms) = &history.gradient_norms[0];
    /// assert_eq!((layer.as_str(), norms.len()), ("encoder, layer 1, conv2d", 3));
    /// let figure = history.plot_gradient_norms()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn watch(mut self, what: impl IntoIterator<Item = Watch>) -> Self {
        self.watch.extend(what);
        self
    }

    /// Calls this function after each epoch, on the thread that called the training: to draw a figure, to measure
    /// something of your own, to stop. `Break` ends the training ([`StoppedBy::Callback`](crate::StoppedBy::Callback)),
    /// an error ends it too and says after which epoch; the model then has the weights of that epoch, and
    /// [`History::before`](crate::History::before) the epochs. Several functions are called in the order in which they
    /// were added, after the [`checkpoint`](Self::checkpoint) has been written and before the progress is shown. They
    /// are no part of what [`resume`](Self::resume) compares.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use latentlab::{Autoencoder, Dataset, Epoch, Result, TrainConfig, embed, kmeans_accuracy, train_ae};
    ///
    /// fn good_enough(epoch: &Epoch) -> Result<ControlFlow<()>> {
    ///     println!("epoch {}: loss {:.4}", epoch.number(), epoch.loss());
    ///     Ok(if epoch.loss() < 0.08 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    /// }
    ///
    /// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    /// let config = TrainConfig::new().epochs(3).after_epoch(good_enough).after_epoch(move |epoch| {
    ///     let codes = embed(epoch.model::<Autoencoder>()?, &test)?;
    ///     println!("{}", kmeans_accuracy(&codes, 10)?);
    ///     Ok(ControlFlow::Continue(()))
    /// });
    /// train_ae(&mut Autoencoder::tiny(2)?, &train, &config)?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn after_epoch(mut self, call: impl Fn(&Epoch<'_>) -> Result<ControlFlow<()>> + Send + Sync + 'static) -> Self {
        self.after_epoch.push(Callback::new(call));
        self
    }

    /// Writes a file before the first epoch and again after each, from which [`resume`](Self::resume) continues. Its
    /// folder must exist. It is a file of weights too: [`Autoencoder::load`](crate::Autoencoder::load) (or the model's
    /// own `load`) reads the model as it was after the epoch.
    ///
    /// If it cannot be written before the first epoch, that is an error. After that the training continues, and
    /// [`History::warnings`](crate::History::warnings) tells what happened after which epoch.
    pub fn checkpoint(self, path: impl AsRef<Path>) -> Self {
        Self { checkpoint: Some(path.as_ref().to_owned()), ..self }
    }

    /// Continues from a [`checkpoint`](Self::checkpoint), to the same bits as if the training had never been
    /// interrupted: weights, optimizer and history are those of the file. A file of another architecture, of other
    /// images or of other settings is refused. Only the number of epochs may be greater (unless the schedule depends on
    /// it), and settings that do not change the training, such as the progress, may differ. A training that was
    /// finished returns at once.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
    ///
    /// let digits = Dataset::built_in_digits(200, 0)?;
    /// let file = std::env::temp_dir().join("latentlab-doc-resume.safetensors");
    /// let config = TrainConfig::new().epochs(2).checkpoint(&file);
    /// train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
    ///
    /// let mut autoencoder = Autoencoder::tiny(2)?;
    /// let history = train_ae(&mut autoencoder, &digits, &config.epochs(5).resume(&file))?;
    /// assert_eq!(history.epochs(), 5);
    /// # std::fs::remove_file(file).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn resume(self, path: impl AsRef<Path>) -> Self {
        Self { resume: Some(path.as_ref().to_owned()), ..self }
    }

    /// Writes event files for TensorBoard into this folder, which is made if there is none: `tensorboard --logdir`
    /// with the folder, or with one around several, shows the curves while the training runs.
    ///
    /// After each epoch its losses and measures, its learning rate and what is [watched](Self::watch) of each layer are
    /// added, under Keras' names (`epoch_loss`, `epoch_accuracy`, `epoch_learning_rate`), those of the training in the
    /// run `train` and those of the validation in the run `validation`, so that both are in one chart; the step is the
    /// number of the epoch, from 1. A training that [resumes](Self::resume) continues the curves; any other one should
    /// have a folder of its own. If the folder cannot be written, that is an error before the first epoch; later it is
    /// one of [`History::warnings`](crate::History::warnings).
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
    ///
    /// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    /// let runs = std::env::temp_dir().join("latentlab-doc-runs");
    /// let config = TrainConfig::new().epochs(2).validation(&test);
    /// train_ae(&mut Autoencoder::tiny(2)?, &train, &config.clone().tensorboard(runs.join("2 numbers")))?;
    /// train_ae(&mut Autoencoder::tiny(8)?, &train, &config.tensorboard(runs.join("8 numbers")))?;
    /// assert_eq!(std::fs::read_dir(runs.join("8 numbers/validation")).unwrap().count(), 1);
    /// # std::fs::remove_dir_all(runs).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn tensorboard(self, folder: impl AsRef<Path>) -> Self {
        Self { tensorboard: Some(folder.as_ref().to_owned()), ..self }
    }

    /// Lets this handle end the training after any batch: see [`StopHandle`].
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        Self { stop: handle.clone(), ..self }
    }

    /// Reports the validation loss (without validation: the training loss) after each epoch to the trial of a study,
    /// and ends the training when the study would prune it: see [`Study`](crate::Study). To a study that maximizes, a
    /// classifier reports its accuracy.
    pub fn trial(self, trial: &Trial) -> Self {
        Self { trial: Some(trial.link()), ..self }
    }

    /// Prints a line after the first epoch, every `epochs`-th and the last one; 0 prints nothing.
    pub fn progress_every(self, epochs: usize) -> Self {
        Self { progress_every: epochs, ..self }
    }

    pub(super) fn loss_used(&self) -> Loss {
        self.loss.unwrap_or_default()
    }

    pub(super) fn clip(&self) -> Option<Clip> {
        self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value))
    }

    pub(super) fn kl_weight_used(&self) -> f64 {
        self.kl_weight.unwrap_or(1.0)
    }

    /// Refuses settings that this kind of model does not use.
    pub(super) fn check_used(&self, kind: &str) -> Result<()> {
        if let Some(penalty) = self.weight_penalty {
            penalty.check_for_weights("TrainConfig::weight_penalty")?;
        }
        if kind != "autoencoder" && self.code_penalty.is_some() {
            let error = Error::argument("TrainConfig::code_penalty", "an autoencoder", format!("a {kind}"));
            return Err(error.hint("Sequential::activity_penalty goes into any network"));
        }
        if kind == "classifier" && self.targets.is_some() {
            return Err(Error::argument("TrainConfig::targets", "none: labels are its targets", "some"));
        }
        let error = match (kind, self.loss, self.kl_weight) {
            ("classifier", Some(loss), _) => {
                let expected = "the softmax cross-entropy of a classifier";
                Error::expected(ErrorKind::Argument, "TrainConfig::loss", expected, loss.name())
            }
            ("autoencoder" | "classifier" | "network", _, Some(_)) => {
                let expected = "a variational autoencoder, which has a divergence";
                let got = if kind == "autoencoder" { "an autoencoder".into() } else { format!("a {kind}") };
                Error::expected(ErrorKind::Argument, "TrainConfig::kl_weight", expected, got)
            }
            _ => return Ok(()),
        };
        Err(error.hint("Leave the setting out"))
    }

    /// Refuses images that the loss cannot take for targets.
    pub(super) fn check_targets(
        &self,
        (training, validation): &(Dataset, Option<Dataset>),
        shape: [usize; 3],
    ) -> Result<()> {
        let check = |images: &Dataset, targets: Option<&Dataset>, which: &str, setting: &str| {
            if let Some(targets) = targets {
                let place = format!("TrainConfig::{setting}");
                if targets.len() != images.len() {
                    return Err(Error::argument(
                        place,
                        format!("one for each of {} {which}", images.len()),
                        targets.len(),
                    ));
                }
                if targets.image_shape() != shape {
                    let expected = format!("the shape of the network's output, {shape:?}");
                    return Err(Error::expected(
                        ErrorKind::Shape,
                        place,
                        expected,
                        format!("{:?}", targets.image_shape()),
                    ));
                }
            }
            check::targets(targets.unwrap_or(images), which, self.loss_used())
        };
        check(training, self.targets.as_ref(), "training images", "targets")?;
        let Some(validation) = validation else {
            let (place, got) = ("TrainConfig::validation_targets", "no images to validate on");
            let unused = self.validation_targets.is_some();
            return if unused { Err(Error::argument(place, "TrainConfig::validation", got)) } else { Ok(()) };
        };
        if self.targets.is_some() != self.validation_targets.is_some() {
            let (expected, got) = ("targets for training and for validation, or for neither", "one of them");
            return Err(Error::argument("TrainConfig::validation_targets", expected, got));
        }
        check(validation, self.validation_targets.as_ref(), "validation images", "validation_targets")
    }

    /// Splits the targets as [`prepare`](Self::prepare) splits the images.
    pub(super) fn split_targets(&mut self, images: &Dataset) -> Result<()> {
        if let (Validation::Fraction(fraction), Some(targets)) = (&self.validation, &self.targets)
            && targets.len() == images.len()
        {
            let kept = (images.len() as f64 * fraction).round() as usize;
            let (training, validation) = targets.split(targets.len() - kept, kept)?;
            (self.targets, self.validation_targets) = (Some(training), Some(validation));
        }
        Ok(())
    }

    /// Refuses settings out of range, and gives the images to train on and those to validate on. `names` is the type
    /// whose settings they are.
    pub(super) fn prepare(&self, names: &str, images: &Dataset) -> Result<(Dataset, Option<Dataset>)> {
        let wrong = |setting: &str, expected: &str, got: String| {
            Err(Error::expected(ErrorKind::Argument, format!("{names}::{setting}"), expected, got))
        };
        if self.epochs == 0 {
            return wrong("epochs", "at least 1", "0".into());
        }
        if self.batch_size == 0 {
            return wrong("batch_size", "at least 1", "0".into());
        }
        self.optimizer.check_with("TrainConfig::learning_rate", self.learning_rate)?;
        self.schedule.check(self.learning_rate)?;
        if !(self.input_noise >= 0.0 && self.input_noise.is_finite()) {
            return wrong("input_noise", "a number of at least 0", self.input_noise.to_string());
        }
        let kl_weight = self.kl_weight_used();
        if !(kl_weight >= 0.0 && kl_weight.is_finite()) {
            return wrong("kl_weight", "a number of at least 0", kl_weight.to_string());
        }
        let clips = [("clip_norm", self.clip_norm), ("clip_value", self.clip_value.map(f64::from))];
        if let Some((setting, largest)) = clips
            .into_iter()
            .find(|(_, largest)| largest.is_some_and(|largest| !(largest > 0.0 && largest.is_finite())))
        {
            return wrong(setting, "a number above 0", largest.unwrap_or_default().to_string());
        }
        if clips.iter().all(|(_, largest)| largest.is_some()) {
            return wrong("clip_value", "clip_norm or clip_value", "both".into());
        }
        if self.patience == Some(0) {
            return wrong("early_stopping", "a patience of at least 1 epoch", "0".into());
        }
        if self.snapshots.images().is_some_and(Dataset::is_empty) {
            return wrong("snapshots", "at least 1 image", "none".into());
        }
        if let Some(images) = self.snapshots.images() {
            check::snapshots("TrainConfig::snapshots", self, &[&[images.len()][..], &images.image_shape()].concat())?;
        }
        if images.is_empty() {
            return Err(Error::expected(ErrorKind::Data, "training images", "at least 1", "none"));
        }
        match &self.validation {
            Validation::None => Ok((images.clone(), None)),
            Validation::Set(set) if set.is_empty() => wrong("validation", "at least 1 image", "none".into()),
            Validation::Set(set) => Ok((images.clone(), Some(set.clone()))),
            Validation::Fraction(fraction) => {
                let kept = (images.len() as f64 * fraction).round() as usize;
                if !(*fraction > 0.0 && *fraction < 1.0) || kept == 0 || kept == images.len() {
                    let expected = "a share in (0, 1) that leaves images on both sides";
                    return wrong("validation_fraction", expected, format!("{fraction} of {} images", images.len()));
                }
                let (training, validation) = images.split(images.len() - kept, kept)?;
                Ok((training, Some(validation)))
            }
        }
    }
}
