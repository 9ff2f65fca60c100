//! A network as a picture: its layers as blocks to scale, or with what they make of an image.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2, s};

use super::axis::range;
use super::bar_chart::number;
use super::diagram_layout::{Block, Diagram, Map, Picture};
use super::figure::Figure;
use super::theme::{GREY, Paint};
use crate::{
    data::Dataset,
    error::{Error, Result},
    format::thousands,
    model::{Autoencoder, Classifier, Gan, Model, Vae},
    nn::{Layer, Sequential},
};

/// The most blocks of a figure, and the most skip connections inside each other.
const MOST: usize = 300;
const DEEPEST: usize = 8;
/// The most feature maps of a layer, and the pixels that one side of them has together, or one alone.
const MAPS: usize = 4;
const SIDE: usize = 112;
/// The side of a value at most, where a layer has few.
const LARGEST_CELL: usize = 28;
/// The largest negative value of a layer. Blue and grey differ for readers with any colour-vision deficiency.
const NEGATIVE: [u8; 3] = [0x4d, 0xa6, 0xff];

impl Sequential {
    /// The network as a picture: each layer that changes the shape is a block, and the ones after it that keep the
    /// shape (activations, normalisation, dropout) are slices on it, with their numbers as in error messages, the
    /// output's shape without the batch and the parameters. Skip connections are drawn as lines around what they skip.
    ///
    /// Feature maps are to scale in height and depth (their height and width), and as wide as the square root of their
    /// channels; a flat layer is as high as a square image of as many values.
    ///
    /// # Errors
    /// If the network was not built without mistakes, or would need more than 300 blocks.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28])
    ///     .conv2d(8, 3).same().relu()
    ///     .skip(|inner| inner.conv2d(8, 3).same().relu().conv2d(8, 3).same())
    ///     .flatten().dense(10);
    /// let figure = network.diagram()?;
    /// assert!(figure.to_svg()?.contains("8 × 28 × 28"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn diagram(&self) -> Result<Figure> {
        of_networks(&[("", self)])
    }

    /// The network as a picture of what each layer makes of one input (the first of a batch (n, …input shape)): up to
    /// four feature maps, the first ones, or the values of a flat layer row by row, with their lowest and highest
    /// value. Each layer has a scale of its own: black is 0, lighter greys are positive values, lighter blues negative
    /// ones.
    ///
    /// # Errors
    /// As [`diagram`](Self::diagram) and [`predict`](Self::predict), and if there is no input.
    ///
    /// ```
    /// use latentlab::{Dataset, Sequential};
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(8, 3).relu().max_pool2d(2).flatten().dense(10);
    /// let digit = Dataset::built_in_digits(1, 0)?.images().clone().into_dyn();
    /// network.diagram_of(&digit)?.save(std::env::temp_dir().join("feature_maps.png"))?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn diagram_of(&self, input: &ArrayD<f32>) -> Result<Figure> {
        of_input(&[("", self)], input)
    }
}

macro_rules! diagrams {
    ($($model:ty: $networks:literal),+) => {$(
        impl $model {
            #[doc = concat!("Its networks (", $networks, ") as a picture, see [`Sequential::diagram`].")]
            ///
            /// # Errors
            /// If they would need more than 300 blocks.
            pub fn diagram(&self) -> Result<Figure> {
                of_networks(&self.file().networks)
            }
        }
    )+};
}
diagrams!(
    Autoencoder: "encoder and decoder",
    Classifier: "encoder and head",
    Gan: "generator and discriminator",
    Vae: "encoder, heads, which make the mean and then the log variance, and decoder"
);

impl Autoencoder {
    /// What each layer of encoder and decoder makes of the first of these images, see [`Sequential::diagram_of`].
    ///
    /// # Errors
    /// If there are no images, their shape is not that of the encoder's input, or a layer cannot take the values.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset};
    ///
    /// let digits = Dataset::built_in_digits(1, 0)?;
    /// let figure = Autoencoder::convolutional(2)?.diagram_of(&digits)?;
    /// assert!(figure.to_svg()?.contains("conv_transpose2d"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn diagram_of(&self, images: &Dataset) -> Result<Figure> {
        self.check_images(images)?;
        of_image(&[("encoder", self.encoder()), ("decoder", self.decoder())], images)
    }
}

impl Vae {
    /// What each layer makes of the first of these images, see [`Sequential::diagram_of`]; the decoder gets the mean μ,
    /// so that nothing is random.
    ///
    /// # Errors
    /// As [`Autoencoder::diagram_of`].
    pub fn diagram_of(&self, images: &Dataset) -> Result<Figure> {
        self.check_images(images)?;
        let autoencoder = self.autoencoder();
        of_image(&[("encoder and mean", autoencoder.encoder()), ("decoder", self.decoder())], images)
    }
}

impl Classifier {
    /// What each layer of encoder and head makes of the first of these images, see [`Sequential::diagram_of`].
    ///
    /// # Errors
    /// As [`Autoencoder::diagram_of`].
    pub fn diagram_of(&self, images: &Dataset) -> Result<Figure> {
        self.check_images(images)?;
        of_image(&[("encoder", self.encoder()), ("head", self.head())], images)
    }
}

fn of_networks(networks: &[(&str, &Sequential)]) -> Result<Figure> {
    let mut parts = Parts::default();
    for (name, network) in networks {
        parts.begin(name, network, None)?;
    }
    let scale = "To scale: height and depth of a block are those of its feature maps, its width is the square root of \
                 the channels; a flat layer is as high as a square image of as many values.";
    Ok(parts.figure(scale))
}

/// The first image, in the shape that the first network takes.
fn of_image(networks: &[(&str, &Sequential)], images: &Dataset) -> Result<Figure> {
    let image = images.take(1);
    let values = image.images().iter().copied().collect();
    let shape = [&[image.len()], networks[0].1.input_shape()].concat();
    let input = ArrayD::from_shape_vec(shape, values);
    of_input(networks, &input.map_err(|error| Error::argument("diagram_of", "images of the input's shape", error))?)
}

fn of_input(networks: &[(&str, &Sequential)], input: &ArrayD<f32>) -> Result<Figure> {
    if input.shape().first().is_none_or(|count| *count == 0) {
        return Err(Error::argument("diagram_of", "at least 1 input", "none"));
    }
    let mut x = input.slice_axis(Axis(0), (0..1).into()).to_owned();
    let mut parts = Parts::default();
    for (name, network) in networks {
        x = parts.begin(name, network, Some(&x))?;
    }
    let scale = "Up to four feature maps of each layer, on a scale of its own: black is 0, lighter greys are positive \
                 values, lighter blues negative ones. A flat layer's values stand row by row.";
    Ok(parts.figure(scale))
}

/// The diagram as it grows.
#[derive(Default)]
struct Parts {
    blocks: Vec<Block>,
    networks: Vec<(usize, String)>,
    skips: Vec<[usize; 2]>,
}

impl Parts {
    /// Adds a network: its input and its layers. Returns what it makes of an input.
    fn begin(&mut self, name: &str, network: &Sequential, input: Option<&ArrayD<f32>>) -> Result<ArrayD<f32>> {
        network.check()?;
        let name = if name == "heads" { "heads: mean and log variance of the code" } else { name };
        self.networks.push((self.blocks.len(), name.into()));
        self.blocks.push(block(("input", GREY), network.input_shape(), 0, input.map(|x| x.view())));
        let output = self.add(network, "", 0, input)?;
        Ok(output.unwrap_or_default())
    }

    fn add(
        &mut self,
        network: &Sequential,
        prefix: &str,
        depth: usize,
        input: Option<&ArrayD<f32>>,
    ) -> Result<Option<ArrayD<f32>>> {
        let first = self.blocks.len();
        if depth > DEEPEST {
            let expected = format!("skip connections at most {DEEPEST} deep inside each other");
            return Err(Error::argument("diagram", expected, "more"));
        }
        let made = input.map(|x| network.activations(x)).transpose()?;
        for (index, node) in network.nodes().iter().enumerate() {
            if self.blocks.len() >= MOST {
                let error = Error::argument("diagram", format!("a network of at most {MOST} blocks"), "more");
                return Err(error.hint("Draw a part of it: network.take(n), network.split_at(n)"));
            }
            let (number, from) = (format!("{prefix}{}", index + 1), self.blocks.len() - 1);
            let made_by = |layer: usize| made.as_ref().and_then(|made| made.get(layer)).map(|made| &made.values);
            let (values, before) = (made_by(index), if index == 0 { input } else { made_by(index - 1) });
            let values = values.map(|values| values.view());
            let name = format!("{number} {}", node.layer.name());
            let parameters = node.parameters.iter().map(|parameter| parameter.values.len()).sum();
            if let Some(inside) = node.inside() {
                self.add(&inside, &format!("{number}."), depth + 1, before)?;
                self.skips.push([from, self.blocks.len()]);
                // The parameters stand at the layers inside.
                let mut merged = block((&name, color(3)), &node.output, 0, values);
                merged.merge = Some(if node.output == node.input { "+" } else { "∥" });
                self.blocks.push(merged);
                continue;
            }
            let block = block((&name, color_of(&node.layer)), &node.output, parameters, values);
            match self.blocks.last_mut() {
                Some(last) if made.is_none() && from >= first && keeps_shape(&node.layer) => last.join(block),
                _ => self.blocks.push(block),
            }
        }
        let last = made.and_then(|mut made| made.pop()).map(|last| last.values);
        Ok(last.or_else(|| input.cloned()))
    }

    fn figure(self, scale: &str) -> Figure {
        Figure::new(Diagram { blocks: self.blocks, networks: self.networks, skips: self.skips, scale: scale.into() })
    }
}

fn block(
    (name, color): (&str, Paint),
    shape: &[usize],
    parameters: usize,
    values: Option<ArrayViewD<'_, f32>>,
) -> Block {
    let text = shape.iter().map(|side| thousands(*side)).collect::<Vec<_>>().join(" × ");
    let (picture, range) = match values {
        None => (Picture::Solid(shape.to_vec()), None),
        Some(values) => {
            // Not -0, which a ReLU makes.
            let (low, high) = range(values.iter().map(|value| f64::from(*value + 0.0)));
            let largest = low.abs().max(high.abs());
            let text = format!("{} to {}", number(low), number(high)).replace('-', "−");
            (Picture::Maps(maps(values.index_axis(Axis(0), 0), largest)), Some(text))
        }
    };
    Block { layers: vec![(name.into(), color)], shape: text, parameters, range, picture, merge: None }
}

/// Feature maps, or the values of a flat layer in a square.
fn maps(values: ArrayViewD<'_, f32>, largest: f64) -> Vec<Map> {
    match values.ndim() {
        3 => {
            let side = if values.len_of(Axis(0)) > 1 { SIDE / 2 } else { SIDE };
            let maps = values.outer_iter().take(MAPS).filter_map(|map| map.into_dimensionality::<Ix2>().ok());
            maps.map(|map| shaded(map, side, largest)).collect()
        }
        2 => values.into_dimensionality::<Ix2>().into_iter().map(|map| shaded(map, SIDE, largest)).collect(),
        _ => {
            let width = (values.len() as f64).sqrt().ceil().max(1.0) as usize;
            let rows = values.len().div_ceil(width);
            let missing = std::iter::repeat_n(f32::NAN, rows * width - values.len());
            let square = values.iter().copied().chain(missing).collect();
            let square = Array2::from_shape_vec((rows, width), square);
            square.iter().map(|square| shaded(square.view(), SIDE, largest)).collect()
        }
    }
}

/// A map whose larger side takes about that many pixels: enlarged by a whole factor, or the means of squares. What is
/// NaN is white.
fn shaded(map: ArrayView2<'_, f32>, side: usize, largest: f64) -> Map {
    let longest = map.nrows().max(map.ncols()).max(1);
    let part = longest.div_ceil(side);
    let scale = (side * part / longest).clamp(1, LARGEST_CELL);
    let square =
        |square: ArrayView2<'_, f32>| square.iter().map(|value| f64::from(*value)).sum::<f64>() / square.len() as f64;
    let (height, width) = (map.nrows().div_ceil(part), map.ncols().div_ceil(part));
    let of = |y: usize, x: usize| {
        let rows = y * part..((y + 1) * part).min(map.nrows());
        let columns = x * part..((x + 1) * part).min(map.ncols());
        shade(square(map.slice(s![rows, columns])), largest)
    };
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| of(y, x)).collect();
    Map { scale: scale as u32, width: width as u32, rows }
}

/// From black, 0, to white or, for negative values, a light blue.
fn shade(value: f64, largest: f64) -> [u8; 3] {
    if value.is_nan() {
        return [255; 3];
    }
    let share = if largest > 0.0 { (value.abs() / largest).min(1.0) } else { 0.0 };
    let end = if value < 0.0 { NEGATIVE } else { [255; 3] };
    end.map(|channel| (f64::from(channel) * share).round() as u8)
}

/// Activations, normalisation and the like, which are drawn on the block before them.
fn keeps_shape(layer: &Layer) -> bool {
    is_activation(layer)
        || matches!(layer, Layer::BatchNorm(_) | Layer::Norm(_) | Layer::Dropout(_) | Layer::ActivityPenalty(_))
}

fn is_activation(layer: &Layer) -> bool {
    matches!(layer, Layer::Activation(_) | Layer::Softmax(_) | Layer::Prelu(_))
}

fn color(index: usize) -> Paint {
    Paint::class(index, 10)
}

fn color_of(layer: &Layer) -> Paint {
    match layer {
        Layer::Conv2d(_) | Layer::ConvTranspose2d(_) => color(0),
        Layer::Dense(_) => color(1),
        layer if is_activation(layer) => color(2),
        Layer::MaxPool2d(_) | Layer::AvgPool2d(_) | Layer::GlobalPool2d(_) | Layer::UpSample2d(_) => color(4),
        Layer::PixelShuffle(_) | Layer::Pad2d(_) => color(4),
        Layer::Recurrent(_) | Layer::Embedding(_) => color(5),
        Layer::BatchNorm(_) | Layer::Norm(_) => color(9),
        Layer::Dropout(_) | Layer::ActivityPenalty(_) => color(8),
        Layer::Flatten(_) | Layer::Reshape(_) | Layer::RepeatVector(_) => GREY,
        Layer::Dfdx(_) | Layer::Function(_) => color(7),
        _ => color(3),
    }
}
