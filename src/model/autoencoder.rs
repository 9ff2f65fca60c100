use std::path::Path;

use serde_json::Value;

use super::Model;
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{ModelFile, Sequential, read_model},
    random,
};

/// An encoder, which maps an image to a short code (the *latent*), and a decoder, which maps a code to an image.
///
/// Images go in and come out as (channels, height, width), codes as (latent_dim). Networks for rows of a table,
/// \[features\], or sequences, \[time, features\], take them from a data set as [`Dataset::from_array`] makes it.
///
/// ```
/// use latentlab::{Autoencoder, Sequential};
///
/// let autoencoder = Autoencoder::new(
///     Sequential::input([1, 28, 28]).flatten().dense(64).relu().dense(2),
///     Sequential::input([2]).dense(64).relu().dense(784).sigmoid().reshape([1, 28, 28]),
/// )?;
/// assert_eq!(autoencoder.latent_dim(), 2);
/// println!("{}", autoencoder.summary());
///
/// let mistake = Autoencoder::new(
///     Sequential::input([1, 28, 28]).flatten().dense(32).relu(),
///     Sequential::input([2]).dense(784).reshape([1, 28, 28]),
/// );
/// assert_eq!(
///     mistake.unwrap_err().to_string(),
///     "autoencoder: decoder input is [2], but the encoder's output (layer 3, relu) is [32]",
/// );
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Autoencoder {
    encoder: Sequential,
    decoder: Sequential,
    image_shape: [usize; 3],
}

const KIND: &str = "autoencoder";
const NAMES: [&str; 2] = ["encoder", "decoder"];

impl Autoencoder {
    /// Combines the two halves.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if one of them was built with a mistake, if the decoder's input is
    /// not the encoder's output, if the code is not flat (`[latent_dim]`), or if the decoder's output is not the
    /// encoder's input.
    pub fn new(encoder: Sequential, decoder: Sequential) -> Result<Self> {
        encoder.check().map_err(|error| error.within("encoder"))?;
        decoder.check().map_err(|error| error.within("decoder"))?;
        let wrong = |message| Err(Error::new(ErrorKind::Shape, "autoencoder", message));
        let (code, image) = (encoder.output_shape(), encoder.input_shape());
        let last = encoder.last_layer();
        if code.len() != 1 {
            return wrong(format!(
                "the encoder's output ({last}) is {code:?}, but a code must be flat: end it with .flatten()"
            ));
        }
        if decoder.input_shape() != code {
            let input = decoder.input_shape();
            return wrong(format!("decoder input is {input:?}, but the encoder's output ({last}) is {code:?}"));
        }
        if decoder.output_shape() != image {
            let (output, last) = (decoder.output_shape(), decoder.last_layer());
            return wrong(format!("encoder input is {image:?}, but the decoder's output ({last}) is {output:?}"));
        }
        let image_shape = super::image_shape(image, "autoencoder", "encoder input")?;
        Ok(Self::of_checked(encoder, decoder, image_shape))
    }

    /// From halves that are known to fit.
    pub(super) fn of_checked(encoder: Sequential, decoder: Sequential, image_shape: [usize; 3]) -> Self {
        Self { encoder, decoder, image_shape }
    }

    /// Draws the weights of both halves again from one seed: the autoencoder is untrained afterwards.
    pub fn seed(self, seed: u64) -> Self {
        let (encoder, decoder) = (self.encoder.seed(random::mix(seed, 0)), self.decoder.seed(random::mix(seed, 1)));
        Self { encoder, decoder, ..self }
    }

    /// The half that encodes: `[channels, height, width]` to `[latent_dim]`.
    pub fn encoder(&self) -> &Sequential {
        &self.encoder
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
        self.encoder.output_shape()[0]
    }

    /// Reads an autoencoder that [`save`](Self::save) has written: the same codes and images, bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights) if it is damaged or holds something else.
    ///
    /// ```
    /// use latentlab::Autoencoder;
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-tiny.safetensors");
    /// let autoencoder = Autoencoder::tiny(2)?;
    /// autoencoder.save(&path)?;
    /// let restored = Autoencoder::load(&path)?;
    /// assert_eq!(restored.summary().to_string(), autoencoder.summary().to_string());
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        let ([encoder, decoder], ()) = read_model(path, KIND, NAMES)?;
        Self::new(encoder, decoder).map_err(|error| error.within(&path.display().to_string()))
    }

    /// Refuses images that the encoder cannot take.
    pub(crate) fn check_images(&self, images: &Dataset) -> Result<()> {
        super::check_images(images, self.image_shape, "the encoder's input")
    }
}

impl Model for Autoencoder {
    fn file(&self) -> ModelFile<'_> {
        ModelFile {
            kind: KIND,
            networks: vec![(NAMES[0], &self.encoder), (NAMES[1], &self.decoder)],
            settings: Value::Null,
        }
    }

    fn trained(&self) -> Vec<&Sequential> {
        vec![&self.encoder, &self.decoder]
    }

    fn trained_mut(&mut self) -> Vec<&mut Sequential> {
        vec![&mut self.encoder, &mut self.decoder]
    }
}
