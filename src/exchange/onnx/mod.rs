//! ONNX files: what a model computes, with its weights, for onnxruntime and other programs that run networks.

mod graph;
mod layers;
mod messages;

use std::path::Path;

use self::{
    graph::{Graph, integer},
    layers::add_network,
};
use crate::{
    error::Result,
    file::write_whole,
    model::{Autoencoder, Classifier, Gan, Vae},
    nn::Sequential,
};

macro_rules! onnx_files {
    ($($model:ty),+) => {$(
        impl $model {
            /// Writes what it predicts, with its weights, as an [ONNX](https://onnx.ai) file: operator set 17, weights
            /// of 32 bits, dropout left out, batch normalisations with their running statistics. Inputs and outputs are
            /// floats with as many rows as the run gives it:
            ///
            /// | | inputs | outputs |
            /// |---|---|---|
            /// | [`Sequential`] | `input` | `output` |
            /// | [`Autoencoder`] | `images` | `latent`, `reconstruction` |
            /// | [`Vae`] | `images` | `mean` and `log_variance` of the code, `reconstruction`: the mean, decoded |
            /// | [`Classifier`] | `images` | `logits`, `probabilities` |
            /// | [`Gan`] | `noise` | `images`, and the discriminator's `score` of them |
            ///
            /// Shapes are those of the networks: images (n, channels, height, width). What has been done to the images
            /// before ([`Normalisation`](crate::Normalisation), [`Scaler`](crate::Scaler)) is not in the file. A part
            /// of a model is a network, which writes itself: `autoencoder.encoder().save_onnx(path)`.
            ///
            /// # Errors
            /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) with the layer's number and name for one that is a
            /// function ([`map`](Sequential::map), [`map_with`](Sequential::map_with), [`dfdx`](Sequential::dfdx)), or
            /// if the model has more than 2 GiB; the network's own mistake, if it was built with one;
            /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be written.
            ///
            /// ```
            /// use latentlab::{Autoencoder, Sequential, Tensor};
            ///
            /// let path = std::env::temp_dir().join("latentlab-doc.onnx");
            /// let autoencoder = Autoencoder::tiny(2)?;
            /// autoencoder.save_onnx(&path)?; // images → latent, reconstruction
            /// autoencoder.decoder().save_onnx(&path)?; // input → output
            ///
            /// let network = Sequential::input([3]).relu().map("twice", |x: &Tensor| x * 2.0).build()?;
            /// let error = network.save_onnx(&path).unwrap_err().to_string();
            /// let expected = "expected a layer of the crate, of which ONNX has the operators";
            /// assert_eq!(error, format!("layer 2, twice: {expected}, got one that is a function of yours"));
            /// # std::fs::remove_file(path).ok();
            /// # Ok::<(), latentlab::Error>(())
            /// ```
            pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
                write(self.graph()?, path.as_ref())
            }
        }
    )+};
}
onnx_files!(Sequential, Autoencoder, Classifier, Gan, Vae);

impl Vae {
    /// As [`save_onnx`](Self::save_onnx), without the decoder: `images` to `mean` and `log_variance`, each
    /// (n, latent_dim). The decoder by itself is `vae.decoder().save_onnx(path)`; what lies between, the drawing of
    /// codes, is in no file.
    ///
    /// # Errors
    /// As [`save_onnx`](Self::save_onnx).
    ///
    /// ```
    /// use latentlab::{Sequential, Vae};
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-vae.onnx");
    /// let encoder = Sequential::input([1, 28, 28]).flatten().dense(64).relu();
    /// let vae = Vae::new(encoder, Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28]))?;
    /// vae.save_encoder_onnx(&path)?;
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save_encoder_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        write(self.encoder_graph()?, path.as_ref())
    }

    fn encoder_graph(&self) -> Result<Graph> {
        let mut graph = Graph::new("vae", IMAGES, self.encoder().input_shape());
        let features = add_network(&mut graph, "encoder", self.encoder(), IMAGES)?;
        let both = add_network(&mut graph, "heads", self.heads(), &features)?;
        let (latent_dim, sizes, heads) = (self.latent_dim(), "heads.split", ["heads.mean", "heads.log_variance"]);
        graph.integers(sizes, &[latent_dim as i64; 2]);
        graph.node("heads.split", "Split", &[&both, sizes], &heads, vec![integer("axis", 1)]);
        graph.output(heads[0], MEAN, &[latent_dim]);
        graph.output(heads[1], "log_variance", &[latent_dim]);
        Ok(graph)
    }
}

/// Names of inputs and outputs.
const IMAGES: &str = "images";
const MEAN: &str = "mean";
const RECONSTRUCTION: &str = "reconstruction";

fn write(graph: Graph, path: &Path) -> Result<()> {
    write_whole(path, &graph.into_bytes(&path.display().to_string())?)
}

/// What a model computes in predictions.
trait Predicts {
    fn graph(&self) -> Result<Graph>;
}

impl Predicts for Sequential {
    fn graph(&self) -> Result<Graph> {
        let (input, output) = ("input", "output");
        let mut graph = Graph::new("sequential", input, self.input_shape());
        let y = add_network(&mut graph, "", self, input)?;
        graph.output(&y, output, self.output_shape());
        Ok(graph)
    }
}

impl Predicts for Autoencoder {
    fn graph(&self) -> Result<Graph> {
        let latent = "latent";
        let mut graph = Graph::new("autoencoder", IMAGES, self.encoder().input_shape());
        let code = add_network(&mut graph, "encoder", self.encoder(), IMAGES)?;
        graph.output(&code, latent, self.encoder().output_shape());
        let decoded = add_network(&mut graph, "decoder", self.decoder(), latent)?;
        graph.output(&decoded, RECONSTRUCTION, self.decoder().output_shape());
        Ok(graph)
    }
}

impl Predicts for Vae {
    fn graph(&self) -> Result<Graph> {
        let mut graph = self.encoder_graph()?;
        let decoded = add_network(&mut graph, "decoder", self.decoder(), MEAN)?;
        graph.output(&decoded, RECONSTRUCTION, self.decoder().output_shape());
        Ok(graph)
    }
}

impl Predicts for Classifier {
    fn graph(&self) -> Result<Graph> {
        let (logits, probabilities) = ("logits", "probabilities");
        let mut graph = Graph::new("classifier", IMAGES, self.encoder().input_shape());
        let features = add_network(&mut graph, "encoder", self.encoder(), IMAGES)?;
        let classes = add_network(&mut graph, "head", self.head(), &features)?;
        graph.output(&classes, logits, self.head().output_shape());
        graph.node(probabilities, "Softmax", &[logits], &["head.softmax"], vec![integer("axis", 1)]);
        graph.output("head.softmax", probabilities, self.head().output_shape());
        Ok(graph)
    }
}

impl Predicts for Gan {
    fn graph(&self) -> Result<Graph> {
        let noise = "noise";
        let mut graph = Graph::new("gan", noise, self.generator().input_shape());
        let images = add_network(&mut graph, "generator", self.generator(), noise)?;
        graph.output(&images, IMAGES, self.generator().output_shape());
        let score = add_network(&mut graph, "discriminator", self.discriminator(), IMAGES)?;
        graph.output(&score, "score", self.discriminator().output_shape());
        Ok(graph)
    }
}
