use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Model, check_images, image_shape, outside};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{ModelFile, Optimizer, OptimizerState, Sequential, read_model},
    random,
};

/// A generative adversarial network (Goodfellow et al. 2014): a *generator* maps noise to images, a *discriminator*
/// estimates how likely an image is real, and each learns from the other.
///
/// | setting | default | range |
/// |---|---|---|
/// | [`generator_optimizer`](Self::generator_optimizer) | Adam, β 0.5 and 0.999, learning rate 0.0002 | rate above 0 |
/// | [`discriminator_optimizer`](Self::discriminator_optimizer) | the same | rate above 0 |
/// | [`label_smoothing`](Self::label_smoothing) | 0: off | \[0, 1) |
/// | [`seed`](Self::seed) | 0 | |
///
/// The optimizers belong to the model and keep their state from step to step, in [`gan_step`](crate::gan_step) as in
/// [`train_gan`](crate::train_gan); a file does not hold that state: in a loaded model it starts from zero. Settings
/// are checked when training starts.
///
/// ```
/// use latentlab::{Gan, Optimizer, Sequential, generate};
///
/// let gan = Gan::new(
///     Sequential::input([8]).dense(64).selu().dense(784).sigmoid().reshape([1, 28, 28]),
///     Sequential::input([1, 28, 28]).flatten().dense(64).leaky_relu(0.2).dense(1).sigmoid(),
/// )?
/// .discriminator_optimizer(Optimizer::adam().betas(0.5, 0.999), 0.0001)
/// .label_smoothing(0.1);
/// assert_eq!(generate(&gan, 5, 0)?.dim(), (5, 1, 28, 28));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Gan {
    generator: Sequential,
    discriminator: Sequential,
    image_shape: [usize; 3],
    descents: [OptimizerState; 2],
    label_smoothing: f32,
    seed: u64,
}

/// What a file holds beside the networks.
#[derive(Serialize, Deserialize)]
struct Settings {
    optimizers: [Optimizer; 2],
    learning_rates: [f64; 2],
    label_smoothing: f32,
    seed: u64,
}

const KIND: &str = "gan";
const NAMES: [&str; 2] = ["generator", "discriminator"];

impl Gan {
    /// Combines generator and discriminator. The discriminator's output is one value, usually behind a sigmoid; without
    /// one it is taken as a logit.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if one of them was built with a mistake, if the generator's input
    /// is not flat (`[latent_dim]`), if the discriminator's input is not the generator's output, or if its own output
    /// is not one value.
    pub fn new(generator: Sequential, discriminator: Sequential) -> Result<Self> {
        generator.check().map_err(|error| error.within("generator"))?;
        discriminator.check().map_err(|error| error.within("discriminator"))?;
        let wrong = |message| Err(Error::new(ErrorKind::Shape, "gan", message));
        let (noise, image) = (generator.input_shape(), generator.output_shape());
        if noise.len() != 1 {
            return wrong(format!("generator input is {noise:?}, but noise must be flat: [latent_dim]"));
        }
        if discriminator.input_shape() != image {
            let (input, last) = (discriminator.input_shape(), generator.last_layer());
            return wrong(format!(
                "discriminator input is {input:?}, but the generator's output ({last}) is {image:?}"
            ));
        }
        if discriminator.output_shape() != [1] {
            let (output, last) = (discriminator.output_shape(), discriminator.last_layer());
            return wrong(format!("the discriminator's output ({last}) is {output:?}, but it must be one number: [1]"));
        }
        let image_shape = image_shape(image, "gan", "generator output")?;
        let descent = OptimizerState::new(Optimizer::adam().betas(0.5, 0.999), 0.0002);
        let descents = [descent.clone(), descent];
        Ok(Self { generator, discriminator, image_shape, descents, label_smoothing: 0.0, seed: 0 })
    }

    /// The generator's optimizer and its learning rate; its state is reset.
    pub fn generator_optimizer(mut self, optimizer: Optimizer, learning_rate: f64) -> Self {
        self.descents[0] = OptimizerState::new(optimizer, learning_rate);
        self
    }

    /// The discriminator's optimizer and its learning rate; its state is reset.
    pub fn discriminator_optimizer(mut self, optimizer: Optimizer, learning_rate: f64) -> Self {
        self.descents[1] = OptimizerState::new(optimizer, learning_rate);
        self
    }

    /// By how much the discriminator's target for real images is below 1 (Salimans et al. 2016, "Improved techniques
    /// for training GANs"; there 0.1).
    pub fn label_smoothing(self, label_smoothing: f32) -> Self {
        Self { label_smoothing, ..self }
    }

    /// Draws all weights again from one seed and resets the optimizers: the model is untrained afterwards. The seed
    /// also decides the noise of training.
    pub fn seed(self, seed: u64) -> Self {
        let (generator, discriminator) =
            (self.generator.seed(random::mix(seed, 0)), self.discriminator.seed(random::mix(seed, 1)));
        Self { generator, discriminator, seed, ..self }.with_new_optimizers()
    }

    /// With optimizers that have made no step.
    pub(crate) fn with_new_optimizers(mut self) -> Self {
        for descent in &mut self.descents {
            *descent = OptimizerState::new(descent.optimizer, descent.learning_rate);
        }
        self
    }

    /// The generator: noise `[latent_dim]` to `[channels, height, width]`.
    pub fn generator(&self) -> &Sequential {
        &self.generator
    }

    /// The discriminator: images `[channels, height, width]` to `[1]`.
    pub fn discriminator(&self) -> &Sequential {
        &self.discriminator
    }

    /// The shape of the images, \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// The number of noise values that an image is generated from.
    pub fn latent_dim(&self) -> usize {
        self.generator.input_shape()[0]
    }

    /// Reads a model that [`save`](Self::save) has written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights) if it is damaged or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        let ([generator, discriminator], settings) = read_model(path, KIND, NAMES)?;
        let Settings { optimizers, learning_rates, label_smoothing, seed } = settings;
        let gan = Self::new(generator, discriminator).map_err(|error| error.within(&path.display().to_string()))?;
        let descents = std::array::from_fn(|which| OptimizerState::new(optimizers[which], learning_rates[which]));
        Ok(Self { descents, label_smoothing, seed, ..gan })
    }

    /// Refuses images that the discriminator cannot take or the generator can never make, and settings out of range.
    pub(crate) fn check(&self, images: &Dataset) -> Result<()> {
        check_images(images, self.image_shape, "the discriminator's input")?;
        for (name, descent) in NAMES.iter().zip(&self.descents) {
            let place = format!("Gan::{name}_optimizer, learning rate");
            descent.optimizer.check_with(&place, descent.learning_rate)?;
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let (place, got) = ("Gan::label_smoothing", self.label_smoothing);
            return Err(Error::expected(ErrorKind::Argument, place, "a number in [0, 1)", got));
        }
        if let Some((layer, range)) = self.generator.range()
            && let Some((place, value)) = outside(images, range)
        {
            let [lowest, highest] = range;
            let expected =
                format!("a value in [{lowest}, {highest}], since the generator's {layer} has no other outputs");
            let error = Error::expected(ErrorKind::Argument, format!("real images, {place}"), expected, value);
            return Err(error.hint("Undo the images' normalisation, or end the generator in another layer"));
        }
        Ok(())
    }

    /// The discriminator's target for real images.
    pub(crate) fn real_target(&self) -> f32 {
        1.0 - self.label_smoothing
    }

    /// The seed of the next step.
    pub(crate) fn step_seed(&self) -> u64 {
        random::mix(!self.seed, self.descents[0].steps as u64)
    }

    /// Those of generator and discriminator.
    pub(crate) fn learning_rates(&self) -> [f64; 2] {
        self.descents.each_ref().map(|descent| descent.learning_rate)
    }

    /// Their optimizers.
    pub(crate) fn descents_mut(&mut self) -> [&mut OptimizerState; 2] {
        self.descents.each_mut()
    }

    /// The generator and its optimizer, for training.
    pub(crate) fn generator_mut(&mut self) -> (&mut Sequential, &mut OptimizerState) {
        (&mut self.generator, &mut self.descents[0])
    }

    /// The discriminator and its optimizer, for training.
    pub(crate) fn discriminator_mut(&mut self) -> (&mut Sequential, &mut OptimizerState) {
        (&mut self.discriminator, &mut self.descents[1])
    }
}

impl Model for Gan {
    fn file(&self) -> ModelFile<'_> {
        let settings = Settings {
            optimizers: self.descents.each_ref().map(|descent| descent.optimizer),
            learning_rates: self.learning_rates(),
            label_smoothing: self.label_smoothing,
            seed: self.seed,
        };
        let settings = serde_json::to_value(settings).unwrap_or_default();
        ModelFile { kind: KIND, networks: vec![(NAMES[0], &self.generator), (NAMES[1], &self.discriminator)], settings }
    }

    fn trained(&self) -> Vec<&Sequential> {
        vec![&self.generator, &self.discriminator]
    }

    fn trained_mut(&mut self) -> Vec<&mut Sequential> {
        vec![&mut self.generator, &mut self.discriminator]
    }
}
