use ndarray::Array4;

use super::{
    config::TrainConfig,
    history::History,
    objective::{Batch, Data, Measures, Objective},
    run::train,
};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    limit,
    model::{self, Classifier, Model},
    nn::{Pass, Variable, cross_entropy},
};

/// Trains a classifier; the loss is the softmax cross-entropy.
///
/// [`History`] holds the accuracy beside the loss. Everything else is as with [`train_ae`](crate::train_ae). The codes
/// of a [frozen](Classifier::frozen) encoder are computed once, before the first epoch.
///
/// # Errors
/// As [`train_ae`](crate::train_ae); also for [`snapshots`](TrainConfig::snapshots) and a [`loss`](TrainConfig::loss),
/// if the images have another number of classes than the head, and for [`input_noise`](TrainConfig::input_noise) on a
/// frozen encoder, whose codes are computed once.
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
    train(classifier, images, config.clone())
}

/// A classifier learns the labels: of images, or of codes if its encoder is frozen.
impl Objective for Classifier {
    const MEASURES: &'static [&'static str] = &["accuracy"];

    fn loss(&self, batch: &Batch, _config: &TrainConfig, pass: &mut Pass) -> (Measures, Variable) {
        let networks = self.trained();
        let x = batch.input(networks[0].input_shape(), pass);
        let names = ["encoder", "head"].into_iter().skip(2 - networks.len());
        let logits = networks
            .iter()
            .zip(names)
            .fold(x, |x, (network, name)| pass.within(|| name.into(), |pass| network.forward_on(x, pass)));
        let ([loss, accuracy], on_tape) = cross_entropy(logits, &batch.labels, batch.share, pass);
        ([loss, accuracy, 0.0], on_tape)
    }

    fn name(&self, _config: &TrainConfig) -> String {
        "cross-entropy".into()
    }

    fn prepare(&self, (training, validation): Data, config: &TrainConfig) -> Result<Data> {
        config.check_used("classifier")?;
        config.refuse_reconstructions("TrainConfig", "classifier")?;
        self.check_images(&training)?;
        validation.iter().try_for_each(|images| self.check_images(images))?;
        let wrong = |place, expected, got| Err(Error::expected(ErrorKind::Argument, place, expected, got));
        if config.snapshots.images().is_some() {
            return wrong("TrainConfig::snapshots", "none: a classifier makes no images", "some".into());
        }
        if !self.is_frozen() {
            return Ok((training, validation));
        }
        if config.input_noise > 0.0 {
            let expected = "0 with a frozen encoder, whose codes are computed once";
            return wrong("TrainConfig::input_noise", expected, config.input_noise.to_string());
        }
        Ok((encoded(self, &training)?, validation.map(|images| encoded(self, &images)).transpose()?))
    }
}

/// The codes as images: columns of "pixels".
fn encoded(classifier: &Classifier, images: &Dataset) -> Result<Dataset> {
    let encoder = classifier.encoder();
    limit::check("codes of the frozen encoder", "codes", &[&[images.len()][..], encoder.output_shape()].concat())?;
    let shape = (images.len(), encoder.output_shape().iter().product(), 1, 1);
    let codes = model::encoded(encoder, images, 0..images.len()).map_err(|error| error.within("encoder"))?;
    let codes = Array4::from_shape_vec(shape, codes);
    images.with_images(codes.map_err(|error| Error::new(ErrorKind::Shape, "codes", error.to_string()))?)
}
