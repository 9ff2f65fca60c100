use std::sync::Arc;

use ndarray::Array4;
use rayon::prelude::*;

use super::{
    check,
    config::TrainConfig,
    history::History,
    objective::{Batch, Data, Learner, Measures, Objective},
    run::train,
};
use crate::{
    data::Dataset,
    engine::for_shards,
    error::{Error, ErrorKind, Result},
    model::{Autoencoder, decoded, encoded},
    nn::{Loss, Pass, Sequential, Variable, channels_first},
};

/// Trains an autoencoder to reconstruct its input, with the settings of a [`TrainConfig`].
///
/// Training starts from the present weights: calling it again continues (with a fresh optimizer and schedule).
/// The same seed, weights and images give the same bits, whatever the number of threads.
///
/// # Errors
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a setting out of range,
///   [`ErrorKind::Shape`](crate::ErrorKind::Shape) for images of another shape than the encoder's input;
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) also for a target outside \[0, 1\] with a binary
///   cross-entropy, for single rows in a batch normalisation that needs two (a last batch of 1 joins the one before
///   it), and for a batch that takes too much memory;
/// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if the loss or the weights become NaN or infinite: the error
///   says at which epoch and step and what to try, and the weights are those of the last good epoch;
/// - [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Weights`](crate::ErrorKind::Weights) for a
///   [`checkpoint`](TrainConfig::checkpoint) that cannot be written before the first epoch, or cannot be resumed: then
///   nothing has changed.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
///
/// let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?;
/// let mut autoencoder = Autoencoder::tiny(2)?;
/// let config = TrainConfig::new().epochs(3).batch_size(100).validation(&test);
/// let history = train_ae(&mut autoencoder, &train, &config)?;
/// assert_eq!(history.loss.len(), 3);
/// assert!(history.loss[2] < history.loss[0]);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_ae(autoencoder: &mut Autoencoder, images: &Dataset, config: &TrainConfig) -> Result<History> {
    train(autoencoder, images, config.clone())
}

/// The mean loss of the reconstructions of all images, without noise or dropout: Keras' `model.evaluate`.
///
/// # Errors
/// If there are no images, their shape is not that of the encoder's input, or a value is outside \[0, 1\] with a binary
/// cross-entropy.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Loss, evaluate};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let untrained = evaluate(&Autoencoder::tiny(2)?, &digits, Loss::MeanSquaredError)?;
/// assert!(untrained > 0.05 && untrained < 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn evaluate(autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> Result<f64> {
    check_evaluation("evaluate", autoencoder, images, loss)?;
    let [mean, ..] = autoencoder.measure(images, None, &TrainConfig::new().loss(loss))?;
    Ok(mean)
}

/// The loss of each image's reconstruction by itself, without noise or dropout: what tells anomalies, which the
/// autoencoder has not learned to reconstruct, from what it knows. Their mean is what [`evaluate`] gives.
///
/// # Errors
/// As [`evaluate`].
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Loss, reconstruction_errors, roc_curve};
///
/// let (digits, garments) = (Dataset::built_in_digits(100, 0)?, Dataset::built_in_garments(100, 0)?);
/// let autoencoder = Autoencoder::tiny(2)?; // train it with digits
/// let errors = |images| reconstruction_errors(&autoencoder, images, Loss::MeanSquaredError);
/// let scores = [errors(&digits)?, errors(&garments)?].concat();
/// let is_garment: Vec<bool> = (0..200).map(|image| image >= 100).collect();
/// println!("{}", roc_curve(&is_garment, &scores)?);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn reconstruction_errors(autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> Result<Vec<f64>> {
    check_evaluation("reconstruction_errors", autoencoder, images, loss)?;
    let (encoder, decoder) = (autoencoder.encoder(), autoencoder.decoder());
    let networks = [encoder, decoder];
    Sequential::pack_all(&networks, false);
    let rows: Vec<usize> = (0..images.len()).collect();
    let size: usize = images.image_shape().iter().product();
    let errors = for_shards(rows.par_chunks(Sequential::rows_at_once(&networks)), |rows| {
        let mut pass = Pass::prediction();
        let batch = Batch::of((images, None), rows, 0.0, 0, 1.0);
        let input = batch.input(encoder.input_shape(), &mut pass);
        let codes = pass.within(|| "encoder".into(), |pass| encoder.forward_on(input, pass));
        let (loss, output) = decoded_output("decoder", decoder, codes, loss, &mut pass);
        let each = output.values.chunks(size).zip(batch.target.chunks(size)).map(|(output, target)| {
            let output = pass.input(Arc::new(output.into()), 1);
            loss.record_shaped(output, decoder.output_shape(), &target.into(), 1.0, &mut pass).0
        });
        let errors: Vec<f64> = each.collect();
        pass.take_mistake().map_or(Ok(errors), Err)
    });
    Ok(errors.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Refuses images and a loss that cannot be evaluated.
fn check_evaluation(place: &str, autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> Result<()> {
    autoencoder.check_images(images)?;
    if images.is_empty() {
        return Err(Error::expected(ErrorKind::Data, place, "at least 1 image", "none"));
    }
    check::targets(images, "images", loss)
}

/// An autoencoder learns to reconstruct its input.
impl Objective for Autoencoder {
    fn loss(&self, batch: &Batch, config: &TrainConfig, pass: &mut Pass) -> (Measures, Variable) {
        let input = batch.input(self.encoder().input_shape(), pass);
        let codes = pass.within(|| "encoder".into(), |pass| self.encoder().forward_on(input, pass));
        if let (Some(penalty), true) = (config.code_penalty, pass.training) {
            penalty.add_of_codes(&codes, self.encoder(), pass);
        }
        let (loss, on_tape) = decoded_loss("decoder", self.decoder(), codes, batch, config, pass);
        ([loss, 0.0, 0.0], on_tape)
    }

    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data> {
        if let Some(penalty) = config.code_penalty {
            penalty.check_for_codes("TrainConfig::code_penalty", self.encoder())?;
        }
        prepared(data, config, "autoencoder", self.image_shape(), |images| self.check_images(images))
    }

    fn reconstruct(&self, images: &Dataset) -> Result<Option<Array4<f32>>> {
        reconstructed(self, images).map(Some)
    }
}

/// Refuses images and settings that do not suit a model that reconstructs images.
pub(super) fn prepared(
    data: Data,
    config: &TrainConfig,
    kind: &str,
    output: [usize; 3],
    check_images: impl Fn(&Dataset) -> Result<()>,
) -> Result<Data> {
    config.check_used(kind)?;
    let watched = config.watched_images();
    let all = [Some(&data.0), data.1.as_ref(), config.snapshots.images(), watched.as_ref()];
    all.into_iter().flatten().try_for_each(check_images)?;
    config.check_targets(&data, output)?;
    Ok(data)
}

/// The reconstructions of images that have been checked.
pub(super) fn reconstructed(autoencoder: &Autoencoder, images: &Dataset) -> Result<Array4<f32>> {
    let codes = encoded(autoencoder.encoder(), images, 0..images.len()).map_err(|error| error.within("encoder"))?;
    decoded(autoencoder.decoder(), &codes, images.len(), autoencoder.image_shape())
}

/// The loss of decoded codes. `name` is how mistakes call the network.
pub(super) fn decoded_loss(
    name: &str,
    decoder: &Sequential,
    codes: Variable,
    batch: &Batch,
    config: &TrainConfig,
    pass: &mut Pass,
) -> (f64, Variable) {
    let (loss, output) = decoded_output(name, decoder, codes, config.loss_used(), pass);
    loss.record_shaped(output, decoder.output_shape(), &batch.target, batch.share, pass)
}

/// Decoded codes, and the loss to take of them: a final sigmoid and the cross-entropy are computed together, from the
/// logits.
fn decoded_output(name: &str, decoder: &Sequential, codes: Variable, loss: Loss, pass: &mut Pass) -> (Loss, Variable) {
    let name = || name.into();
    let (loss, output) = match loss {
        Loss::BinaryCrossEntropy if decoder.ends_in_sigmoid() => {
            (Loss::BinaryCrossEntropyWithLogits, pass.within(name, |pass| decoder.forward_to_logits(codes, pass)))
        }
        loss => (loss, pass.within(name, |pass| decoder.forward_on(codes, pass))),
    };
    (loss, channels_first(output, decoder.output_shape(), pass))
}
