//! Keras' weights: `.weights.h5` and `.keras`, which holds one, by the paths and in the layouts of Keras' layers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Cursor, Read},
    path::Path,
};

use hdf5_pure::{Dataset, Datatype, File, Group};
use ndarray::{ArrayD, Axis};
use zip::ZipArchive;

use super::pytorch::{IncompatibleKeys, StateDictKeys, Values, assign, refuse_mistakes};
use crate::{
    error::{Error, ErrorKind, Result},
    file::tensors,
    finite::first_not_finite,
    limit,
    model::{Autoencoder, Classifier, Gan, Model, Vae},
    nn::{Layer, Node, Norm, Sequential},
    panics,
};

macro_rules! keras_weights {
    ($($model:ty),+) => {$(
        impl $model {
            /// Takes the weights from a file of Keras 3, `.weights.h5` or `.keras` (`model.save_weights(path)` or
            /// `model.save(path)` in Python). Needs the feature `keras` of this crate.
            ///
            /// Keras counts the layers of each class by themselves, so that our first dense layer is `layers/dense` in
            /// the file and our second `layers/dense_1`, whatever they are called in Python; a model's networks are
            /// attributes of the same names, as in `encoder/layers/dense`. `docs/exchange.md` lists classes and
            /// layouts, and what differs. Where Keras has the values of flattened feature maps in another order,
            /// channels last, the weights next to them are put into ours. Floats of 32 and 64 bits are read.
            ///
            /// # Errors
            /// [`ErrorKind::Io`] if the file cannot be read; [`ErrorKind::Weights`] if it is none or damaged, weights
            /// are missing or more than the model's, or an array has another shape than the layer or a value that is
            /// NaN or infinite; [`ErrorKind::Argument`] if no file can have the model's weights, because a layer needs
            /// flattened feature maps in our order. Nothing has changed then.
            ///
            /// ```
            /// use latentlab::{Sequential, ndarray::Array4};
            ///
            /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/keras/pictures.weights.h5");
            /// // keras.Sequential([Input((6, 5, 2)), Conv2D(3, 3), BatchNormalization(), ReLU(), Flatten(), Dense(4)])
            /// let network = Sequential::input([2, 6, 5]).conv2d(3, 3).batch_norm().relu().flatten().dense(4);
            /// # let (mut network, file) = (network.build()?, file);
            /// network.load_keras(file)?; // "pictures.weights.h5"
            /// assert_eq!(network.predict(&Array4::zeros((1, 2, 6, 5)).into_dyn())?.shape(), [1, 4]);
            /// # Ok::<(), latentlab::Error>(())
            /// ```
            pub fn load_keras(&mut self, path: impl AsRef<Path>) -> Result<()> {
                load(self, path.as_ref(), &StateDictKeys::new()).map(drop)
            }

            /// The same from other paths of the file, or with some of the weights; returns those that file and model
            /// do not share, none if [`strict`](StateDictKeys::strict). Keys are the paths in the file, with a `/`
            /// between their parts: `rename("encoder", "layers/functional")` for a network inside another one,
            /// `rename("encoder", "")` for a file that holds the encoder alone.
            ///
            /// # Errors
            /// As [`load_keras`](Self::load_keras), and if the keys do not fit the model.
            pub fn load_keras_with(
                &mut self,
                path: impl AsRef<Path>,
                keys: &StateDictKeys,
            ) -> Result<IncompatibleKeys> {
                load(self, path.as_ref(), keys)
            }
        }
    )+};
}
keras_weights!(Sequential, Autoencoder, Classifier, Gan, Vae);

/// A parameter of a model, and where and how Keras has it.
struct Parameter {
    /// Its path in the file: `layers/dense_1/vars/0`.
    key: String,
    /// "encoder, layer 2, dense".
    place: String,
    /// The shape of the array in the file.
    stored: Vec<usize>,
    part: Part,
    /// Its shape here.
    shape: Vec<usize>,
    /// Along these axes Keras has another order: of each of our indices, Keras'.
    orders: Vec<(usize, Vec<usize>)>,
}

/// Which part of the array in the file a parameter is.
enum Part {
    Whole,
    /// Of a GRU's biases, that of the input or that of the state.
    Row(usize),
    /// None of it: Keras' LSTM has one bias in place of two.
    Zeros,
}

/// In which order Keras has the values between two layers.
#[derive(Clone, Copy)]
enum Order {
    /// In its usual one: feature maps with the channels last, sequences and features as here.
    Usual,
    /// Flattened feature maps of this shape (channels, height, width) with the channels last.
    ChannelsLast([usize; 3]),
    /// As the next layers want it: a dense layer has made them. Its parameters and those of the layers behind it are
    /// those from this number on.
    Any(usize),
}

fn parameters(model: &dyn Model) -> Result<Vec<Parameter>> {
    let file = model.file();
    let (mut all, mut order) = (Vec::new(), Order::Usual);
    for (name, network) in file.networks {
        network.check()?;
        let alone = file.kind == "sequential";
        let (path, place) = if alone { ("", String::new()) } else { (name, format!("{name}, ")) };
        if let Order::Any(_) = order {
            order = Order::Usual;
        }
        order = add_parameters(path, &place, network, order, &mut BTreeMap::new(), &mut all)?;
    }
    Ok(all)
}

/// Adds those of a network behind values of this order, and gives the order of its output. `counts` are how many layers
/// of each class have come before.
fn add_parameters(
    path: &str,
    place: &str,
    network: &Sequential,
    mut order: Order,
    counts: &mut BTreeMap<&'static str, usize>,
    all: &mut Vec<Parameter>,
) -> Result<Order> {
    for (index, node) in network.nodes().iter().enumerate() {
        let place = format!("{place}layer {}, {}", index + 1, node.layer.name());
        let first = all.len();
        match node.inside() {
            Some(inside) => {
                refuse_flattened(order, &place)?;
                let out = add_parameters(path, &format!("{place}, inside, "), &inside, Order::Usual, counts, all)?;
                refuse_flattened(out, &place)?;
                order = Order::Usual;
                continue;
            }
            None => add_layer(path, &place, node, counts, all),
        }
        let flat = (node.input.len(), node.output.len()) == (1, 1);
        let added = &mut all[first..];
        order = match (&node.layer, order) {
            (Layer::Flatten(_) | Layer::Reshape(_), _) => reshaped(order, node, &place, all)?,
            (Layer::Dense(_), _) if flat => {
                if let (Order::ChannelsLast(maps), Some(kernel)) = (order, added.first_mut()) {
                    kernel.orders.push((0, channels_last(maps)));
                }
                Order::Any(first)
            }
            (Layer::Dfdx(_) | Layer::Function(_) | Layer::Embedding(_), _)
            | (Layer::Norm(Norm::Group { .. }) | Layer::RepeatVector(_), _) => {
                refuse_flattened(order, &place)?;
                Order::Usual
            }
            (_, Order::ChannelsLast(maps)) => {
                added.iter_mut().for_each(|parameter| parameter.reorder_last(maps));
                order
            }
            _ if flat && !matches!(node.layer, Layer::Recurrent(_)) => order,
            _ => Order::Usual,
        };
    }
    Ok(order)
}

/// The order behind a layer that only gives its values another shape.
fn reshaped(order: Order, node: &Node, place: &str, all: &mut [Parameter]) -> Result<Order> {
    // Of one channel or one pixel, both orders are the same.
    let maps = |shape: &[usize]| match *shape {
        [channels, height, width] if channels > 1 && height * width > 1 => Some([channels, height, width]),
        _ => None,
    };
    let is_flat = |shape: &[usize]| shape.len() == 1;
    match (order, maps(&node.input), maps(&node.output)) {
        (_, Some(from), Some(to)) if from == to => return Ok(Order::Usual),
        (_, Some(from), None) if is_flat(&node.output) => return Ok(Order::ChannelsLast(from)),
        (Order::ChannelsLast(from), None, Some(to)) if from == to => return Ok(Order::Usual),
        (Order::Any(since), None, Some(to)) => {
            all[since..].iter_mut().for_each(|parameter| parameter.reorder_last(to));
            return Ok(Order::Usual);
        }
        (Order::Usual | Order::Any(_), None, None) => {
            return Ok(if is_flat(&node.output) { order } else { Order::Usual });
        }
        (Order::ChannelsLast(_), None, None) if is_flat(&node.output) => return Ok(order),
        _ => {}
    }
    let expected = "a reshape of what a dense layer has made, as Keras has the channels last in it";
    Err(Error::argument(format!("load_keras, {place}"), expected, format!("{:?} from {:?}", node.output, node.input)))
}

fn refuse_flattened(order: Order, place: &str) -> Result<()> {
    let Order::ChannelsLast(maps) = order else { return Ok(()) };
    let expected = "a dense layer before it, as Keras has the channels of flattened feature maps last";
    Err(Error::argument(format!("load_keras, {place}"), expected, format!("flattened {maps:?}")))
}

/// Where Keras has each value of flattened feature maps.
fn channels_last([channels, height, width]: [usize; 3]) -> Vec<usize> {
    let pixels = height * width;
    (0..channels).flat_map(|channel| (0..pixels).map(move |pixel| pixel * channels + channel)).collect()
}

impl Parameter {
    /// Its last axis has a number for each value of flattened feature maps.
    fn reorder_last(&mut self, maps: [usize; 3]) {
        self.orders.push((self.shape.len() - 1, channels_last(maps)));
    }

    /// Its values from the file's array.
    fn values(&self, stored: &[f32]) -> Vec<f32> {
        let row = self.shape.iter().product();
        let part = match self.part {
            Part::Whole => stored.to_vec(),
            Part::Row(index) => stored[index * row..][..row].to_vec(),
            Part::Zeros => vec![0.0; row],
        };
        let array = ArrayD::from_shape_vec(&self.shape[..], part).expect("the file's array has the shape that it must");
        let in_order = |array: ArrayD<f32>, (axis, order): &(usize, Vec<usize>)| array.select(Axis(*axis), order);
        self.orders.iter().fold(array, in_order).into_iter().collect()
    }
}

/// Adds the parameters of one layer.
fn add_layer(
    path: &str,
    place: &str,
    node: &Node,
    counts: &mut BTreeMap<&'static str, usize>,
    all: &mut Vec<Parameter>,
) {
    if node.parameters.is_empty() {
        return;
    }
    let class = class(&node.layer);
    let count = counts.entry(class).or_insert(0);
    let slash = if path.is_empty() { "" } else { "/" };
    let number = if *count == 0 { String::new() } else { format!("_{count}") };
    *count += 1;
    let cell = if matches!(node.layer, Layer::Recurrent(_)) { "cell/" } else { "" };
    for (index, parameter) in node.parameters.iter().enumerate() {
        let shape = parameter.shape.clone();
        let (mut index, mut part, mut stored) = (index, Part::Whole, shape.clone());
        let mut orders = Vec::new();
        match (class, parameter.name) {
            // One for all pixels, or for all time steps: `shared_axes`.
            ("p_re_lu", _) => stored.splice(0..0, vec![1; node.input.len() - 1]).for_each(drop),
            ("lstm", "bias_hh") => (index, part) = (2, Part::Zeros),
            ("gru", name) => {
                let units = shape[shape.len() - 1] / 3;
                // Update and reset the other way round.
                orders
                    .push((shape.len() - 1, (units..2 * units).chain(0..units).chain(2 * units..3 * units).collect()));
                if let "bias_ih" | "bias_hh" = name {
                    (index, part, stored) = (2, Part::Row(index - 2), vec![2, 3 * units]);
                }
            }
            _ => {}
        }
        let key = format!("{path}{slash}layers/{class}{number}/{cell}vars/{index}");
        all.push(Parameter { key, place: place.into(), stored, part, shape, orders });
    }
}

/// What Keras calls the class of a layer in a file.
fn class(layer: &Layer) -> &'static str {
    match layer {
        Layer::ConvTranspose2d(_) => "conv2d_transpose",
        Layer::BatchNorm(_) => "batch_normalization",
        Layer::Norm(Norm::Layer { .. }) => "layer_normalization",
        Layer::Norm(Norm::Group { .. }) => "group_normalization",
        Layer::Prelu(_) => "p_re_lu",
        other => other.name(),
    }
}

fn load<M: Model>(model: &mut M, path: &Path, keys: &StateDictKeys) -> Result<IncompatibleKeys> {
    let parameters = parameters(model)?;
    let known: BTreeSet<&str> = parameters.iter().map(|parameter| parameter.key.as_str()).collect();
    keys.check(&Vec::from_iter(known), '/')?;
    let expected = format!("the weights of this {}", model.file().kind);
    let wrong = |message: String| Error::new(ErrorKind::Weights, path.display().to_string(), message);
    let bytes = weights_file(contents(path)?).map_err(wrong)?;
    // A damaged file must not end the notebook's process.
    let read = panics::caught(|| read(bytes, &expected, &parameters, keys));
    let (values, incompatible) = read.unwrap_or_else(|panic| Err(foreign(panic))).map_err(wrong)?;
    assign(model, values);
    Ok(incompatible)
}

const WHAT: &str = "weights of Keras 3 (.weights.h5 or .keras)";

fn foreign(got: impl std::fmt::Display) -> String {
    tensors::foreign(WHAT, got)
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, "read", error);
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        let what = foreign(if metadata.is_dir() { "a folder" } else { "no file" });
        return Err(Error::new(ErrorKind::Weights, path.display().to_string(), what));
    }
    limit::check(path.display().to_string(), "the file", &[metadata.len().div_ceil(4) as usize])?;
    fs::read(path).map_err(io)
}

/// The HDF5 file that a `.keras` archive holds, or the file itself.
fn weights_file(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    const MEMBER: &str = "model.weights.h5";
    if !bytes.starts_with(b"PK") {
        return Ok(bytes);
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(foreign)?;
    let member = archive.by_name(MEMBER).map_err(|error| foreign(format!("no {MEMBER} in it ({error})")))?;
    let size =
        limit::check(MEMBER, "the file", &[member.size().div_ceil(4) as usize]).map_err(|error| error.to_string());
    let mut weights = Vec::new();
    member.take(4 * size? as u64).read_to_end(&mut weights).map_err(foreign)?;
    Ok(weights)
}

fn read(
    bytes: Vec<u8>,
    expected: &str,
    parameters: &[Parameter],
    keys: &StateDictKeys,
) -> Result<(Values, IncompatibleKeys), String> {
    let file = File::from_bytes(bytes).map_err(foreign)?;
    let mut arrays = BTreeMap::new();
    find_arrays(&file.root(), "", 0, &mut 0, &mut arrays)?;
    if arrays.keys().any(|path| path.starts_with("model_weights/")) {
        let hint = "In Python, model.save_weights(\"model.weights.h5\") writes the weights";
        return Err(format!("{}. {hint}", foreign("a model in Keras' older format (.h5)")));
    }
    let (mut values, mut mistakes, mut missing) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut used = BTreeMap::new();
    for parameter in parameters {
        let key = keys.renamed(&parameter.key, '/');
        let Some(array) = arrays.get(&key) else {
            missing.insert(key);
            values.push(None);
            continue;
        };
        // Both of a GRU's biases are in one array.
        let stored = used.entry(key.clone()).or_insert_with(|| floats(array, &parameter.stored));
        match stored {
            Ok(stored) => values.push(Some(parameter.values(stored))),
            Err(mistake) => mistakes.push(format!("{key} ({}): {mistake}", parameter.place)),
        }
    }
    let unexpected = arrays.into_keys().filter(|key| !used.contains_key(key)).collect();
    let incompatible = IncompatibleKeys { missing: missing.into_iter().collect(), unexpected };
    if keys.strict && incompatible != IncompatibleKeys::default() {
        mistakes.insert(0, incompatible.to_string());
    }
    refuse_mistakes(expected, mistakes)?;
    Ok((values, incompatible))
}

/// The arrays in a group, by their paths, without those that are no weights: the state of the training, and the numbers
/// and seeds that layers and metrics keep. `seen` counts the groups.
fn find_arrays(
    group: &Group,
    path: &str,
    depth: usize,
    seen: &mut usize,
    arrays: &mut BTreeMap<String, Dataset>,
) -> Result<(), String> {
    // Links of a damaged file may lead in a circle.
    const DEEPEST: usize = 32;
    const MOST: usize = 100_000;
    let place = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
    for (name, array) in group.iter_datasets().map_err(foreign)? {
        let is_whole = matches!(array.datatype().map_err(foreign)?, Datatype::FixedPoint { .. });
        if !is_whole && !array.shape().map_err(foreign)?.is_empty() {
            arrays.insert(place(&name), array);
        }
    }
    for (name, group) in group.iter_groups().map_err(foreign)? {
        *seen += 1;
        if *seen > MOST || depth == DEEPEST {
            return Err(foreign("groups in groups without end"));
        }
        if place(&name) != "optimizer" {
            find_arrays(&group, &place(&name), depth + 1, seen, arrays)?;
        }
    }
    Ok(())
}

/// The values of an array, which must have this shape, all finite.
fn floats(array: &Dataset, expected: &[usize]) -> Result<Vec<f32>, String> {
    let text = |error: hdf5_pure::Error| error.to_string();
    let shape = array.shape().map_err(text)?;
    if !shape.iter().map(|size| *size as usize).eq(expected.iter().copied()) {
        return Err(format!("expected the shape {expected:?}, got {shape:?}"));
    }
    let count: usize = expected.iter().product();
    let is_float = matches!(array.datatype().map_err(text)?, Datatype::FloatingPoint { size: 4 | 8, .. });
    if !is_float {
        return Err(format!("expected floats of 32 or 64 bits, got {:?}", array.dtype().map_err(text)?));
    }
    // A chunk is unpacked as a whole: a few compressed bytes could claim gigabytes.
    if let Some(chunk) = array.chunk_shape().map_err(text)? {
        let size = chunk.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
        const SMALL: usize = 1 << 20;
        if size.is_none_or(|size| size > count.max(SMALL) as u64) {
            return Err(format!("expected chunks that are not larger than the array, got {chunk:?}"));
        }
    }
    let values = array.read_f32().map_err(text)?;
    if values.len() != count {
        return Err(format!("expected {count} values, got {}", values.len()));
    }
    match first_not_finite(&values) {
        Some(index) => Err(format!("expected finite values, got {} at value {index}", values[index])),
        None => Ok(values),
    }
}
