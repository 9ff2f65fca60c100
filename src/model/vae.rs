use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{Autoencoder, check_images, image_shape};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{ModelFile, Sequential, Summary, read_model},
    random,
};

/// A variational autoencoder (Kingma and Welling 2014, "Auto-encoding variational Bayes"): the encoder gives for each image not a code but a
/// normal distribution of codes, and training draws z = μ + σ·ε from it, ε ~ N(0, I).
///
/// Any encoder with a flat output will do. Its mean μ and log variance ln σ², `latent_dim` numbers each, come from two *heads* on it:
/// one dense layer that makes both. Codes of images that never were are drawn from N(0, I): [`sample`](crate::sample).
///
/// To embed, decode and reconstruct use its [`autoencoder`](Self::autoencoder).
///
/// ```
/// use latentlab::{Dataset, Sequential, Vae, embed};
///
/// let vae = Vae::new(
///     Sequential::input([1, 28, 28]).flatten().dense(64).relu(),
///     Sequential::input([2]).dense(64).relu().dense(784).sigmoid().reshape([1, 28, 28]),
/// )?;
/// assert_eq!(vae.latent_dim(), 2);
/// assert_eq!(vae.heads().output_shape(), [4]);
/// let codes = embed(&vae.autoencoder()?, &Dataset::built_in_digits(20, 0)?)?;
/// assert_eq!(codes.points().dim(), (20, 2));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Vae {
    encoder: Sequential,
    heads: Sequential,
    decoder: Sequential,
    image_shape: [usize; 3],
}

const KIND: &str = "vae";
const NAMES: [&str; 3] = ["encoder", "heads", "decoder"];

impl Vae {
    /// Puts encoder and decoder together, with the heads between them, which are initialised in the encoder's way; `latent_dim` is what the
    /// decoder takes.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if one of them was not built without mistakes, if the encoder's output or the decoder's
    /// input is not flat, or if the decoder does not make what the encoder takes.
    pub fn new(encoder: Sequential, decoder: Sequential) -> Result<Self> {
        encoder.check().map_err(|error| error.within(NAMES[0]))?;
        decoder.check().map_err(|error| error.within(NAMES[2]))?;
        let latent_dim: usize = decoder.input_shape().iter().product();
        let (init, seed) = encoder.initialisation();
        let heads =
            Sequential::input(encoder.output_shape()).init(init).seed(random::mix(seed, 2)).dense(2 * latent_dim);
        Self::of([encoder, heads, decoder])
    }

    fn of([encoder, heads, decoder]: [Sequential; 3]) -> Result<Self> {
        for (name, network) in NAMES.iter().zip([&encoder, &heads, &decoder]) {
            network.check().map_err(|error| error.within(name))?;
        }
        let wrong = |message| Err(Error::new(ErrorKind::Shape, "vae", message));
        let (codes, image) = (decoder.input_shape(), encoder.input_shape());
        let &[latent_dim] = codes else {
            return wrong(format!("decoder input is {codes:?}, but a code must be flat: [latent_dim]"));
        };
        if heads.input_shape() != encoder.output_shape() || heads.output_shape() != [2 * latent_dim] {
            let (input, output) = (heads.input_shape(), heads.output_shape());
            return wrong(format!("heads from {input:?} to {output:?} do not fit encoder and decoder"));
        }
        if decoder.output_shape() != image {
            let (output, last) = (decoder.output_shape(), decoder.last_layer());
            return wrong(format!("encoder input is {image:?}, but the decoder's output ({last}) is {output:?}"));
        }
        let image_shape = image_shape(image, "vae", "encoder input")?;
        Ok(Self { encoder, heads, decoder, image_shape })
    }

    /// Draws all weights anew from one seed: an untrained model again.
    pub fn seed(self, seed: u64) -> Self {
        let [encoder, heads, decoder] = [(0, self.encoder), (2, self.heads), (1, self.decoder)]
            .map(|(stream, network)| network.seed(random::mix(seed, stream)));
        Self { encoder, heads, decoder, ..self }
    }

    /// The autoencoder that gives each image its mean code μ: nothing random. With it go [`embed`](crate::embed),
    /// [`decode`](crate::decode), [`reconstruct`](crate::reconstruct) and all else that takes an autoencoder. It is a copy, which keeps the
    /// weights of this moment.
    ///
    /// # Errors
    /// None that [`new`](Self::new) has not found already.
    pub fn autoencoder(&self) -> Result<Autoencoder> {
        let latent_dim = self.latent_dim();
        let mut encoder = self.encoder.clone().dense(latent_dim);
        let before = self.encoder.parameters().count();
        for (mean, both) in encoder.parameters_mut().skip(before).zip(self.heads.parameters()) {
            *mean = Arc::new(both.chunks(2 * latent_dim).flat_map(|both| both[..latent_dim].to_vec()).collect());
        }
        Autoencoder::new(encoder, self.decoder.clone())
    }

    /// What the heads stand on: `[channels, height, width]` to any flat shape.
    pub fn encoder(&self) -> &Sequential {
        &self.encoder
    }

    /// The encoder's output to `[2 · latent_dim]`: the mean and then the log variance.
    pub fn heads(&self) -> &Sequential {
        &self.heads
    }

    /// The half that makes images: `[latent_dim]` to `[channels, height, width]`.
    pub fn decoder(&self) -> &Sequential {
        &self.decoder
    }

    /// The shape of the images that go in and come out, \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// How many numbers a code has.
    pub fn latent_dim(&self) -> usize {
        self.decoder.input_shape()[0]
    }

    /// How many numbers all three networks hold, moving statistics included.
    pub fn parameter_count(&self) -> usize {
        self.networks().iter().map(|network| network.parameter_count()).sum()
    }

    /// The layers, their output shapes and their parameters as Keras prints them.
    pub fn summary(&self) -> Summary {
        Summary::of(KIND, &self.named())
    }

    /// Writes architecture and weights to one safetensors file; an interrupted save leaves the old one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.file().write(path.as_ref(), None)
    }

    /// Reads a model that [`save`](Self::save) has written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights) if it is damaged or not one of these.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let (networks, ()) = read_model(path.as_ref(), KIND, NAMES)?;
        Self::of(networks).map_err(|error| error.within(&path.as_ref().display().to_string()))
    }

    fn named(&self) -> [(&'static str, &Sequential); 3] {
        std::array::from_fn(|index| (NAMES[index], self.networks()[index]))
    }

    /// What is written into a file.
    pub(crate) fn file(&self) -> ModelFile<'_> {
        ModelFile { kind: KIND, networks: self.named().into(), settings: Value::Null }
    }

    /// Refuses images that the encoder cannot take.
    pub(crate) fn check_images(&self, images: &Dataset) -> Result<()> {
        check_images(images, self.image_shape, "the encoder's input")
    }

    /// All networks, in the order in which an image meets them.
    pub(crate) fn networks(&self) -> [&Sequential; 3] {
        [&self.encoder, &self.heads, &self.decoder]
    }

    /// The same, for training.
    pub(crate) fn networks_mut(&mut self) -> [&mut Sequential; 3] {
        [&mut self.encoder, &mut self.heads, &mut self.decoder]
    }
}

impl std::fmt::Debug for Vae {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.summary())
    }
}
