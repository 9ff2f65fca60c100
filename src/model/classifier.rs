use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Model, check_images, image_shape};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{Init, ModelFile, Sequential, read_model},
    random,
};

/// An encoder, and a head that predicts an image's class from its code.
///
/// Images go in as (channels, height, width); the head's output is one *logit* for each class, from which training
/// computes the softmax cross-entropy and [`classify`](crate::classify) the probabilities. So the head ends in
/// `dense(classes)`, without a softmax.
///
/// Training changes both ([fine-tuned](Self::fine_tuned), the default), or the head alone ([frozen](Self::frozen)).
///
/// ```
/// use latentlab::{Autoencoder, Classifier, Sequential};
///
/// let autoencoder = Autoencoder::tiny(4)?; // usually a trained one
/// let head = Sequential::input([4]).dense(64).relu().dense(10);
/// let classifier = Classifier::new(autoencoder.encoder().clone(), head)?.frozen();
/// assert_eq!(classifier.classes(), 10);
///
/// let mistake = Classifier::new(autoencoder.encoder().clone(), Sequential::input([2]).dense(10));
/// assert_eq!(
///     mistake.unwrap_err().to_string(),
///     "classifier: head input is [2], but the encoder's output (layer 5, relu) is [4]",
/// );
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Classifier {
    encoder: Sequential,
    head: Sequential,
    image_shape: [usize; 3],
    frozen: bool,
}

#[derive(Serialize, Deserialize)]
struct Settings {
    frozen: bool,
}

const KIND: &str = "classifier";
const NAMES: [&str; 2] = ["encoder", "head"];

impl Classifier {
    /// Combines encoder and head.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if one of them was built with a mistake, if the encoder does not
    /// take images, if the head's input is not the encoder's output, if the head's output is not flat (`[classes]`), or
    /// if it ends in a softmax.
    pub fn new(encoder: Sequential, head: Sequential) -> Result<Self> {
        encoder.check().map_err(|error| error.within("encoder"))?;
        head.check().map_err(|error| error.within("head"))?;
        let wrong = |message| Err(Error::new(ErrorKind::Shape, "classifier", message));
        let (input, code, output) = (head.input_shape(), encoder.output_shape(), head.output_shape());
        if input != code {
            let last = encoder.last_layer();
            return wrong(format!("head input is {input:?}, but the encoder's output ({last}) is {code:?}"));
        }
        if output.len() != 1 {
            let last = head.last_layer();
            return wrong(format!("the head's output ({last}) is {output:?}, but it must be flat: [classes]"));
        }
        if head.nodes().last().is_some_and(|node| matches!(node.layer, crate::nn::Layer::Softmax(_))) {
            let last = head.last_layer();
            return wrong(format!("the head ends in a softmax ({last}), which training does itself: leave it out"));
        }
        let image_shape = image_shape(encoder.input_shape(), "classifier", "encoder input")?;
        Ok(Self { encoder, head, image_shape, frozen: false })
    }

    /// The linear classifier of reports S1 and S2 on an encoder: `dense(classes)` on its codes, with PyTorch's
    /// initialisation.
    ///
    /// S1 freezes the encoder and has 10 → 10; S2 fine-tunes it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn linear(encoder: &Sequential, classes: usize) -> Result<Self> {
        let head = Sequential::input(encoder.output_shape()).init(Init::KaimingUniform).dense(classes);
        Self::new(encoder.clone(), head)
    }

    /// The classifier of report S0 on an encoder: its codes → 64 ReLU → `classes`, Glorot-uniform. S0 freezes the
    /// encoder.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn dense(encoder: &Sequential, classes: usize) -> Result<Self> {
        let head = Sequential::input(encoder.output_shape()).dense(64).relu().dense(classes);
        Self::new(encoder.clone(), head)
    }

    /// Freezes the encoder: training computes the codes once, as in prediction, and changes only the head.
    pub fn frozen(self) -> Self {
        Self { frozen: true, ..self }
    }

    /// Trains the encoder along with the head: the default.
    pub fn fine_tuned(self) -> Self {
        Self { frozen: false, ..self }
    }

    /// Whether the encoder is [frozen](Self::frozen).
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Draws the head's weights again. The encoder keeps its weights: [`from_scratch`](Self::from_scratch) draws both.
    pub fn seed(self, seed: u64) -> Self {
        Self { head: self.head.seed(random::mix(seed, 1)), ..self }
    }

    /// Draws all weights again, the encoder's too: for a network without a trained encoder, and to see how much a
    /// trained one helps.
    pub fn from_scratch(self, seed: u64) -> Self {
        let seeded = self.seed(seed);
        Self { encoder: seeded.encoder.seed(random::mix(seed, 0)), ..seeded }
    }

    /// The encoder: `[channels, height, width]` to any shape.
    pub fn encoder(&self) -> &Sequential {
        &self.encoder
    }

    /// The head: the encoder's output to `[classes]`, the logits.
    pub fn head(&self) -> &Sequential {
        &self.head
    }

    /// The shape of the images that go in, \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.head.output_shape()[0]
    }

    /// Reads a classifier that [`save`](Self::save) has written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights) if it is damaged or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        let ([encoder, head], Settings { frozen }) = read_model(path, KIND, NAMES)?;
        let classifier = Self::new(encoder, head).map_err(|error| error.within(&path.display().to_string()))?;
        Ok(Self { frozen, ..classifier })
    }

    /// Refuses images of another shape or number of classes.
    pub(crate) fn check_images(&self, images: &Dataset) -> Result<()> {
        check_images(images, self.image_shape, "the encoder's input")?;
        let (classes, names) = (self.classes(), images.class_names().len());
        if names == classes {
            return Ok(());
        }
        let got = format!("{names} ({})", images.source());
        Err(Error::expected(
            ErrorKind::Shape,
            "images",
            format!("{classes} classes, as many as the head has outputs"),
            got,
        )
        .hint("Dataset::of_classes keeps some classes and renumbers them"))
    }
}

impl Model for Classifier {
    fn file(&self) -> ModelFile<'_> {
        let settings = serde_json::to_value(Settings { frozen: self.frozen }).unwrap_or_default();
        ModelFile { kind: KIND, networks: vec![(NAMES[0], &self.encoder), (NAMES[1], &self.head)], settings }
    }

    fn trained(&self) -> Vec<&Sequential> {
        if self.frozen { vec![&self.head] } else { vec![&self.encoder, &self.head] }
    }

    fn trained_mut(&mut self) -> Vec<&mut Sequential> {
        if self.frozen { vec![&mut self.head] } else { self.networks_mut() }
    }

    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        vec![&mut self.encoder, &mut self.head]
    }
}
