use super::{
    autoencoder::{decoded_loss, prepared},
    config::TrainConfig,
    history::History,
    objective::{Batch, Data, Measures, Objective},
    run::train,
    training::Trainable,
};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{Pass, Sequential, Variable},
};

/// Trains a model to make `targets` of `images`, row by row: clean images of noisy ones, colour of grey, large of
/// small. An [`Autoencoder`](crate::Autoencoder) or [`Vae`](crate::Vae) makes images of the shape of its input; any
/// [`Sequential`] whose output is `[channels, height, width]` may make other ones.
///
/// Everything else is as with [`train_ae`](crate::train_ae); for a validation there must be
/// [`validation_targets`](TrainConfig::validation_targets) too, or it is a
/// [fraction](TrainConfig::validation_fraction) of the pairs.
///
/// # Errors
/// As [`train_ae`](crate::train_ae), and if there are not as many targets as images, or their shape is not that of the
/// model's output.
///
/// ```
/// use latentlab::{Dataset, Sequential, TrainConfig, train_pairs};
///
/// let clean = Dataset::built_in_digits(200, 0)?;
/// let noisy = clean.with_noise(0.3, 1)?;
/// let mut network = Sequential::input([1, 28, 28])
///     .conv2d(8, 3).same().relu()
///     .skip(|inner| inner.conv2d(8, 3).same().relu())
///     .conv2d(1, 3).same().sigmoid();
/// let history = train_pairs(&mut network, &noisy, &clean, &TrainConfig::new().epochs(2).batch_size(50))?;
/// assert!(history.loss[1] < history.loss[0]);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_pairs<M: Trainable<Config = TrainConfig>>(
    model: &mut M,
    images: &Dataset,
    targets: &Dataset,
    config: &TrainConfig,
) -> Result<History> {
    train(model.learner().0, images, config.clone().targets(targets))
}

/// A network by itself learns to make its targets of its input.
impl Objective for Sequential {
    fn loss(&self, batch: &Batch, config: &TrainConfig, pass: &mut Pass) -> (Measures, Variable) {
        let input = batch.input(self.input_shape(), pass);
        let (loss, on_tape) = decoded_loss("network", self, input, batch, config, pass);
        ([loss, 0.0, 0.0], on_tape)
    }

    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data> {
        self.check()?;
        config.refuse_reconstructions("TrainConfig", "network by itself")?;
        let images = |shape: &[usize], side: &str| {
            let wrong = |_| {
                let expected = format!("an {side} of [channels, height, width]");
                Error::expected(ErrorKind::Shape, "the network", expected, format!("{shape:?}"))
            };
            <[usize; 3]>::try_from(shape).map_err(wrong)
        };
        let input = images(self.input_shape(), "input")?;
        let output = images(self.output_shape(), "output")?;
        prepared(data, config, "network", output, |images| {
            if images.image_shape() == input {
                return Ok(());
            }
            let expected = format!("{input:?}, the network's input");
            Err(Error::expected(ErrorKind::Shape, "images", expected, format!("{:?}", images.image_shape())))
        })
    }
}
