use std::sync::Arc;

use ndarray::Array4;

use super::{
    batch::{gather, means, with_noise},
    config::TrainConfig,
    epochs::{Learner, train},
    history::History,
};
use crate::{
    data::Dataset,
    engine::Buffer,
    error::{Error, ErrorKind, Result},
    limit,
    model::Classifier,
    nn::{ModelFile, OptimizerState, Pass, Sequential, Variable, channels_last, cross_entropy, learn},
    random,
};

/// Trains a classifier to name the class of each image; the loss is softmax cross-entropy, whatever [`TrainConfig::loss`] says.
///
/// [`History`] holds the accuracy beside the loss. All else is as with [`train_ae`](crate::train_ae): the weights go on from where they are,
/// and the seed decides. Of a [frozen](Classifier::frozen) encoder the codes are computed once, before the first epoch.
///
/// # Errors
/// As [`train_ae`](crate::train_ae); also for [`snapshots`](TrainConfig::snapshots), if the images have another number of classes than the head, and for
/// [`input_noise`](TrainConfig::input_noise) on a frozen encoder, whose codes are computed once.
///
/// ```
/// use latentlab::{Autoencoder, Classifier, Dataset, TrainConfig, classify, train_ae, train_classifier};
///
/// let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?;
/// let config = TrainConfig::new().epochs(5).batch_size(50).validation(&test);
/// let mut autoencoder = Autoencoder::tiny(4)?;
/// train_ae(&mut autoencoder, &train, &config)?;
///
/// let mut classifier = Classifier::linear(autoencoder.encoder(), 10)?.frozen();
/// let history = train_classifier(&mut classifier, &train, &config.learning_rate(0.01))?;
/// let predictions = classify(&classifier, &test)?;
/// assert_eq!(history.validation_accuracy[4], predictions.accuracy());
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_classifier(classifier: &mut Classifier, images: &Dataset, config: &TrainConfig) -> Result<History> {
    let (training, validation) = config.prepare(images)?;
    for set in [Some(&training), validation.as_ref()].into_iter().flatten() {
        classifier.check_images(set)?;
    }
    if config.snapshot_images.is_some() {
        let (place, expected) = ("TrainConfig::snapshots", "none: a classifier makes no images");
        return Err(Error::expected(ErrorKind::Argument, place, expected, "some"));
    }
    if classifier.is_frozen() && config.input_noise > 0.0 {
        let expected = "0 with a frozen encoder, whose codes are computed once";
        let got = config.input_noise;
        return Err(Error::expected(ErrorKind::Argument, "TrainConfig::input_noise", expected, got));
    }
    let seen = |images: &Dataset| if classifier.is_frozen() { encoded(classifier, images) } else { Ok(images.clone()) };
    let (training, validation) = (seen(&training)?, validation.as_ref().map(seen).transpose()?);
    let descent = OptimizerState::new(config.optimizer, config.learning_rate);
    let mut learner = Classification { classifier, config, descent };
    train(&mut learner, (&training, validation.as_ref()), config, History::new("cross-entropy"))
}

/// The codes in place of the images, as columns of "pixels".
fn encoded(classifier: &Classifier, images: &Dataset) -> Result<Dataset> {
    let encoder = classifier.encoder();
    limit::check("codes of the frozen encoder", "codes", &[&[images.len()][..], encoder.output_shape()].concat())?;
    let shape = (images.len(), encoder.output_shape().iter().product(), 1, 1);
    let codes = Array4::from_shape_vec(shape, encoder.run(images.values(), images.len()));
    images.with_images(codes.map_err(|error| Error::new(ErrorKind::Shape, "codes", error.to_string()))?)
}

/// A classifier that learns the labels: of images, or of codes if its encoder is frozen.
struct Classification<'a> {
    classifier: &'a mut Classifier,
    config: &'a TrainConfig,
    descent: OptimizerState,
}

impl Learner<2> for Classification<'_> {
    const ACCURACY: bool = true;

    fn networks(&self) -> Vec<&Sequential> {
        self.classifier.learning()
    }

    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        self.classifier.learning_mut()
    }

    fn descents(&mut self) -> Vec<&mut OptimizerState> {
        vec![&mut self.descent]
    }

    fn file(&self) -> ModelFile<'_> {
        self.classifier.file()
    }

    fn step(&mut self, images: &Dataset, rows: &[usize], seed: u64, learning_rate: f64) -> [f64; 2] {
        let networks = self.classifier.learning();
        let learned = learn(rows.len(), &networks, seed, |range, seed, pass| {
            let share = range.len() as f64 / rows.len() as f64;
            let input = with_noise(&gather(images, &rows[range.clone()]), self.config.input_noise, seed);
            loss_and_accuracy(&networks, input, &labels(images, &rows[range]), share, pass)
        });
        self.descent.learning_rate = learning_rate;
        learned.apply(&mut self.classifier.learning_mut(), &mut self.descent);
        learned.means
    }

    fn measure(&self, images: &Dataset) -> [f64; 2] {
        let networks = self.classifier.learning();
        means(images.len(), &networks, |block, rows| {
            let noise_seed = random::mix(!self.config.seed, block);
            let input = with_noise(&gather(images, rows), self.config.input_noise, noise_seed);
            let mut pass = Pass::prediction();
            loss_and_accuracy(&networks, input, &labels(images, rows), 1.0, &mut pass).0
        })
    }

    fn note(&mut self, history: &mut History, [_, accuracy]: [f64; 2], validation: Option<[f64; 2]>) {
        history.accuracy.push(accuracy);
        history.validation_accuracy.extend(validation.map(|[_, accuracy]| accuracy));
    }
}

fn labels(images: &Dataset, rows: &[usize]) -> Vec<usize> {
    rows.iter().map(|row| images.labels()[*row]).collect()
}

fn loss_and_accuracy(
    networks: &[&Sequential],
    input: Arc<Buffer>,
    labels: &[usize],
    share: f64,
    pass: &mut Pass,
) -> ([f64; 2], Variable) {
    let x = pass.input(input, labels.len());
    let x = channels_last(x, networks[0].input_shape(), pass);
    let logits = networks.iter().fold(x, |x, network| network.forward(x, pass));
    cross_entropy(logits, labels, share, pass)
}
