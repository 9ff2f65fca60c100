use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{Autoencoder, Model, check_images, image_shape};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{ModelFile, Sequential, read_model},
    random,
};

/// A variational autoencoder (Kingma and Welling 2014, "Auto-encoding variational Bayes"): the encoder maps an image to
/// a normal distribution of codes instead of one code, and training draws z = μ + σ·ε from it, ε ~ N(0, I).
///
/// Any encoder with a flat output will do. Mean μ and log variance ln σ², `latent_dim` values each, come from two
/// *heads* on it: one dense layer computes both. [`sample`](crate::sample) draws codes from N(0, I) and decodes them
/// into new images.
///
/// To embed, decode and reconstruct, use its [`autoencoder`](Self::autoencoder).
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
/// let codes = embed(&vae.autoencoder(), &Dataset::built_in_digits(20, 0)?)?;
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
    /// Combines encoder and decoder, with the heads between them, which are initialised as the encoder is; `latent_dim`
    /// is the size of the decoder's input.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if one of them was built with a mistake, if the encoder's output
    /// or the decoder's input is not flat, or if the decoder's output is not the encoder's input.
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

    /// Draws all weights again from one seed: the model is untrained afterwards.
    pub fn seed(self, seed: u64) -> Self {
        let [encoder, heads, decoder] = [(0, self.encoder), (2, self.heads), (1, self.decoder)]
            .map(|(stream, network)| network.seed(random::mix(seed, stream)));
        Self { encoder, heads, decoder, ..self }
    }

    /// The autoencoder whose code is the mean μ: nothing is random. [`embed`](crate::embed),
    /// [`decode`](crate::decode), [`reconstruct`](crate::reconstruct) and all else that takes an autoencoder work with
    /// it. It is a copy with the weights of this moment.
    pub fn autoencoder(&self) -> Autoencoder {
        let latent_dim = self.latent_dim();
        let mut encoder = self.encoder.clone().dense(latent_dim);
        let before = self.encoder.parameters().count();
        for (mean, both) in encoder.parameters_mut().skip(before).zip(self.heads.parameters()) {
            *mean = Arc::new(both.chunks(2 * latent_dim).flat_map(|both| both[..latent_dim].to_vec()).collect());
        }
        // `new` has checked these shapes and sizes.
        Autoencoder::of_checked(encoder, self.decoder.clone(), self.image_shape)
    }

    /// The encoder without the heads: `[channels, height, width]` to any flat shape.
    pub fn encoder(&self) -> &Sequential {
        &self.encoder
    }

    /// The encoder's output to `[2 · latent_dim]`: the mean and then the log variance.
    pub fn heads(&self) -> &Sequential {
        &self.heads
    }

    /// The half that decodes: `[latent_dim]` to `[channels, height, width]`.
    pub fn decoder(&self) -> &Sequential {
        &self.decoder
    }

    /// The shape of the images that go in and come out, \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// The number of values in a code.
    pub fn latent_dim(&self) -> usize {
        self.decoder.input_shape()[0]
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
        let (networks, ()) = read_model(path, KIND, NAMES)?;
        Self::of(networks).map_err(|error| error.within(&path.display().to_string()))
    }

    /// Refuses images that the encoder cannot take.
    pub(crate) fn check_images(&self, images: &Dataset) -> Result<()> {
        check_images(images, self.image_shape, "the encoder's input")
    }
}

impl Model for Vae {
    fn file(&self) -> ModelFile<'_> {
        ModelFile {
            kind: KIND,
            networks: vec![(NAMES[0], &self.encoder), (NAMES[1], &self.heads), (NAMES[2], &self.decoder)],
            settings: Value::Null,
        }
    }

    fn trained(&self) -> Vec<&Sequential> {
        vec![&self.encoder, &self.heads, &self.decoder]
    }

    fn trained_mut(&mut self) -> Vec<&mut Sequential> {
        vec![&mut self.encoder, &mut self.heads, &mut self.decoder]
    }
}
