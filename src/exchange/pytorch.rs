//! PyTorch's `state_dict`: the weights of a model under the keys and in the layouts of PyTorch's modules.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use ndarray::ArrayView;
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use crate::{
    data::half_precision,
    error::{Error, ErrorKind, Result},
    file::{
        tensors::{self, Element, Tensor},
        write_whole,
    },
    finite::first_not_finite,
    format::shortened,
    model::{Autoencoder, Classifier, Gan, Model, Vae},
    nn::{Layer, Sequential, Weights, publish},
};

/// Under which keys a `state_dict` of PyTorch holds the weights of a model, and whether all of them must be there.
///
/// Without a [`rename`](Self::rename) they are the keys of a `torch.nn.Sequential` with a module for each layer,
/// counted from 0: `0.weight` and `0.bias` are those of layer 1. Those of a model have the name of its network before
/// them, as a module with attributes of these names has it:
///
/// | model | keys |
/// |---|---|
/// | [`Sequential`] | `0.weight`, `0.bias`, `2.weight` … |
/// | [`Autoencoder`] | `encoder.0.weight` …, `decoder.0.weight` … |
/// | [`Vae`] | `encoder.` …, `heads.0.weight` (mean, then log variance), `decoder.` … |
/// | [`Classifier`] | `encoder.` …, `head.` … |
/// | [`Gan`] | `generator.` …, `discriminator.` … |
///
/// Names and layouts are those of PyTorch's modules; `docs/exchange.md` lists them layer by layer. Layers inside a
/// [`skip`](Sequential::skip) are counted from 0 by themselves: `3.0.weight` is in layer 4.
///
/// ```
/// use latentlab::{Sequential, StateDictKeys};
///
/// let path = std::env::temp_dir().join("latentlab-doc-state-dict.safetensors");
/// let mut network = Sequential::input([1, 28, 28]).conv2d(8, 3).batch_norm().relu().flatten().dense(10).build()?;
/// network.save_pytorch(&path)?; // 0.weight, 0.bias, 1.weight, …, 4.bias
///
/// // A module with attributes in place of numbers:
/// let keys = StateDictKeys::new().rename("0", "conv1").rename("1", "bn1").rename("4", "fc");
/// network.save_pytorch_with(&path, &keys)?; // conv1.weight, conv1.bias, bn1.weight, …, fc.bias
/// network.load_pytorch_with(&path, &keys)?;
///
/// let error = network.load_pytorch(&path).unwrap_err().to_string();
/// assert!(error.contains(r#"missing keys: "0.weight", "0.bias", "1.weight""#));
/// assert!(error.contains(r#"unexpected keys: "bn1.bias", "bn1.num_batches_tracked""#));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StateDictKeys {
    renames: Vec<[String; 2]>,
    pub(super) strict: bool,
}

impl Default for StateDictKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl StateDictKeys {
    /// The keys in the table above, all of which must be there.
    pub fn new() -> Self {
        Self { renames: Vec::new(), strict: true }
    }

    /// Calls a key of the table above by another one in the file: a whole key, or its beginning up to a dot, so that
    /// `rename("encoder.0", "features.conv1")` is for the weight and the bias of the encoder's first layer. An empty
    /// beginning stands before all keys: `rename("", "module")` is for what `DataParallel` has saved, and
    /// `rename("encoder", "")` for an encoder that was saved by itself. Of several that fit the longest counts.
    ///
    /// Saving and loading return [`ErrorKind::Argument`] when no key of the model begins like this, or two would
    /// become the same.
    pub fn rename(mut self, key: impl Into<String>, in_file: impl Into<String>) -> Self {
        self.renames.push([key.into(), in_file.into()]);
        self
    }

    /// Whether loading refuses a file that lacks keys of the model or has others (the default), or leaves these weights
    /// as they are and returns the keys, as `load_state_dict(…, strict=False)` does.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// The key in the file; the separator is between its parts.
    pub(super) fn renamed(&self, key: &str, separator: char) -> String {
        let fits =
            |[from, to]: &'_ [String; 2]| Some((from.len(), joined_by(to, after(key, from, separator)?, separator)));
        let fitting = self.renames.iter().filter_map(fits);
        fitting.max_by_key(|(length, _)| *length).map_or_else(|| key.into(), |(_, renamed)| renamed)
    }

    /// Refuses what renames no key of the model, and a key that would be there twice.
    pub(super) fn check(&self, keys: &[&str], separator: char) -> Result<()> {
        let unused = |[from, _]: &&[String; 2]| !keys.iter().any(|key| after(key, from, separator).is_some());
        if let Some([from, _]) = self.renames.iter().find(unused) {
            let known = list(keys);
            let expected = format!("a key of the model, or its beginning ({known})");
            return Err(Error::argument("StateDictKeys::rename", expected, quoted(from)));
        }
        let mut known = BTreeMap::new();
        for key in keys {
            let renamed = self.renamed(key, separator);
            if renamed == METADATA {
                let expected = format!("another key for {}", quoted(key));
                return Err(Error::argument("StateDictKeys::rename", expected, quoted(METADATA)));
            }
            if let Some(other) = known.insert(renamed.clone(), key) {
                let expected = format!("another key for {} than for {}", quoted(key), quoted(other));
                return Err(Error::argument("StateDictKeys::rename", expected, quoted(&renamed)));
            }
        }
        Ok(())
    }
}

/// What a `state_dict` and a model do not share, as PyTorch's `load_state_dict` returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncompatibleKeys {
    /// Keys of the model that the file does not have: these weights are as they were.
    pub missing: Vec<String>,
    /// Keys of the file that the model does not have.
    pub unexpected: Vec<String>,
}

impl fmt::Display for IncompatibleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("missing", &self.missing), ("unexpected", &self.unexpected)];
        let lines = lists.into_iter().filter(|(_, keys)| !keys.is_empty());
        let lines: Vec<String> = lines.map(|(what, keys)| format!("{what} keys: {}", list(keys))).collect();
        f.write_str(if lines.is_empty() { "all keys match" } else { "" })?;
        f.write_str(&lines.join("\n"))
    }
}

macro_rules! state_dicts {
    ($($model:ty),+) => {$(
        impl $model {
            /// Writes the weights as PyTorch's `state_dict` into a safetensors file, under the keys that
            /// [`StateDictKeys`] lists and in the layouts of PyTorch's modules. In Python,
            /// `module.load_state_dict(safetensors.torch.load_file(path))` reads it.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save_pytorch(&self, path: impl AsRef<Path>) -> Result<()> {
                save(self, path.as_ref(), &StateDictKeys::new())
            }

            /// The same under other keys.
            ///
            /// # Errors
            /// If the keys do not fit the model, or the file cannot be written.
            pub fn save_pytorch_with(&self, path: impl AsRef<Path>, keys: &StateDictKeys) -> Result<()> {
                save(self, path.as_ref(), keys)
            }

            /// Takes the weights from PyTorch's `state_dict` in a safetensors file, with the keys that
            /// [`StateDictKeys`] lists. In Python, `safetensors.torch.save_file(module.state_dict(), path)` writes it.
            /// Floats of 16, 32 and 64 bits are read, bfloat16 too.
            ///
            /// # Errors
            /// [`ErrorKind::Io`] if the file cannot be read; [`ErrorKind::Weights`] if it is none, a key is missing or
            /// unexpected, or a tensor has another shape than the layer or a value that is NaN or infinite. Nothing has
            /// changed then.
            pub fn load_pytorch(&mut self, path: impl AsRef<Path>) -> Result<()> {
                load(self, path.as_ref(), &StateDictKeys::new()).map(drop)
            }

            /// The same with other keys, or with some of them; returns those that file and model do not share, none if
            /// [`strict`](StateDictKeys::strict).
            ///
            /// # Errors
            /// As [`load_pytorch`](Self::load_pytorch), and if the keys do not fit the model.
            pub fn load_pytorch_with(
                &mut self,
                path: impl AsRef<Path>,
                keys: &StateDictKeys,
            ) -> Result<IncompatibleKeys> {
                load(self, path.as_ref(), keys)
            }
        }
    )+};
}
state_dicts!(Sequential, Autoencoder, Classifier, Gan, Vae);

/// A tensor of a model's `state_dict`.
struct Entry {
    key: String,
    /// "encoder, layer 2, dense".
    place: String,
    /// Its shape in PyTorch.
    shape: Vec<usize>,
    /// Which of our axes each of PyTorch's is, and the values in our order. `None` for the number of batches that a
    /// batch normalisation has seen, which we do not count.
    values: Option<(Vec<usize>, Weights)>,
}

/// What safetensors keeps for itself.
const METADATA: &str = "__metadata__";
/// What a batch normalisation has beside weights and statistics.
const BATCHES: &str = "num_batches_tracked";

fn entries(model: &dyn Model) -> Result<Vec<Entry>> {
    let file = model.file();
    let mut all = Vec::new();
    for (name, network) in file.networks {
        network.check()?;
        let alone = file.kind == "sequential";
        let (key, place) = if alone { ("", String::new()) } else { (name, format!("{name}, ")) };
        add_entries(key, &place, network, &mut all);
    }
    Ok(all)
}

fn add_entries(key: &str, place: &str, network: &Sequential, all: &mut Vec<Entry>) {
    for (index, node) in network.nodes().iter().enumerate() {
        let key = joined(key, &index.to_string());
        let place = format!("{place}layer {}, {}", index + 1, node.layer.name());
        if let Some(inside) = node.inside() {
            add_entries(&key, &format!("{place}, inside, "), &inside, all);
            continue;
        }
        for parameter in &node.parameters {
            let (name, axes) = in_pytorch(&node.layer, parameter.name, parameter.shape.len());
            let shape = axes.iter().map(|axis| parameter.shape[*axis]).collect();
            let values = Some((axes, Arc::clone(&parameter.values)));
            all.push(Entry { key: joined(&key, name), place: place.clone(), shape, values });
        }
        if matches!(node.layer, Layer::BatchNorm(_)) {
            all.push(Entry { key: joined(&key, BATCHES), place, shape: Vec::new(), values: None });
        }
    }
}

/// What PyTorch calls a parameter of a layer, and which of our axes each of PyTorch's is.
fn in_pytorch<'a>(layer: &Layer, name: &'a str, dimensions: usize) -> (&'a str, Vec<usize>) {
    use Layer::{BatchNorm, Conv2d, ConvTranspose2d, Dense, Norm, Prelu, Recurrent};
    let (name, axes): (&str, &[usize]) = match (layer, name) {
        (Dense(_), "weight") => ("weight", &[1, 0]),
        (Conv2d(_) | ConvTranspose2d(_), "weight") => ("weight", &[3, 2, 0, 1]),
        // Of feature maps a layer normalisation has them for each value.
        (BatchNorm(_) | Norm(_), "gamma") => ("weight", &[2, 0, 1]),
        (BatchNorm(_) | Norm(_), "beta") => ("bias", &[2, 0, 1]),
        (BatchNorm(_), "running_variance") => ("running_var", &[0]),
        (Prelu(_), "slope") => ("weight", &[0]),
        (Recurrent(_), "weight_ih") => ("weight_ih_l0", &[1, 0]),
        (Recurrent(_), "weight_hh") => ("weight_hh_l0", &[1, 0]),
        (Recurrent(_), "bias_ih") => ("bias_ih_l0", &[0]),
        (Recurrent(_), "bias_hh") => ("bias_hh_l0", &[0]),
        (_, name) => (name, &[]),
    };
    (name, if axes.len() == dimensions { axes.to_vec() } else { (0..dimensions).collect() })
}

/// Two parts of a key, either of which may be empty.
pub(super) fn joined(first: &str, second: &str) -> String {
    joined_by(first, second, '.')
}

fn joined_by(first: &str, second: &str, separator: char) -> String {
    match [first, second] {
        ["", one] | [one, ""] => one.into(),
        [first, second] => format!("{first}{separator}{second}"),
    }
}

/// What stands behind a beginning of a key, if it is one.
fn after<'a>(key: &'a str, beginning: &str, separator: char) -> Option<&'a str> {
    match key.strip_prefix(beginning)? {
        rest if beginning.is_empty() || rest.is_empty() => Some(rest),
        rest => rest.strip_prefix(separator),
    }
}

fn quoted(key: &str) -> String {
    format!("{:?}", shortened(key, 100))
}

/// The first keys of a list, as PyTorch's messages quote them.
fn list<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> String {
    const MOST: usize = 10;
    let mut keys = keys.into_iter();
    let mut shown: Vec<String> = keys.by_ref().take(MOST).map(|key| quoted(key.as_ref())).collect();
    match keys.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown.join(", ")
}

fn save(model: &dyn Model, path: &Path, keys: &StateDictKeys) -> Result<()> {
    let entries = entries(model)?;
    keys.check(&names(&entries), '.')?;
    let tensor = |entry: &Entry| -> Tensor {
        let key = keys.renamed(&entry.key, '.');
        let Some((axes, values)) = &entry.values else {
            return (key, Dtype::I64, Vec::new(), i64::to_bytes(std::iter::once(0)));
        };
        let permuted = permuted(values, &inverse(axes, &entry.shape), axes);
        (key, Dtype::F32, entry.shape.clone(), f32::to_bytes(permuted.into_iter()))
    };
    let tensors: Vec<Tensor> = entries.iter().map(tensor).collect();
    let failed = |error: SafeTensorError| Error::new(ErrorKind::Weights, path.display().to_string(), error.to_string());
    // As safetensors.torch writes it, and other programs want it.
    write_whole(path, &tensors::serialized(&tensors, "format", "pt".into()).map_err(failed)?)
}

/// Values of this shape with their axes in this order.
pub(super) fn permuted(values: &[f32], shape: &[usize], axes: &[usize]) -> Vec<f32> {
    let array = ArrayView::from_shape(shape, values).expect("a parameter has as many values as its shape says");
    array.permuted_axes(axes).iter().copied().collect()
}

/// What comes back to its place by these axes.
fn inverse(axes: &[usize], of: &[usize]) -> Vec<usize> {
    let mut back = vec![0; axes.len()];
    axes.iter().zip(of).for_each(|(axis, value)| back[*axis] = *value);
    back
}

fn load<M: Model>(model: &mut M, path: &Path, keys: &StateDictKeys) -> Result<IncompatibleKeys> {
    let entries = entries(model)?;
    keys.check(&names(&entries), '.')?;
    let kind = model.file().kind;
    let (values, incompatible) = tensors::read(path, WHAT, |bytes| parse(bytes, kind, &entries, keys))?;
    assign(model, values);
    Ok(incompatible)
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

/// Gives a model the values that there are.
pub(super) fn assign<M: Model>(model: &mut M, values: Values) {
    let parameters = model.networks_mut().into_iter().flat_map(Sequential::parameters_mut);
    for (parameter, values) in parameters.zip(values) {
        values.into_iter().for_each(|values| *parameter = Arc::new(values));
    }
    publish(model.file().networks.into_iter().map(|(_, network)| network));
}

const WHAT: &str = "a safetensors file with PyTorch's state_dict";

/// The values of each parameter in our order, `None` if the file does not have them.
pub(super) type Values = Vec<Option<Vec<f32>>>;

fn parse(
    bytes: &[u8],
    kind: &str,
    entries: &[Entry],
    keys: &StateDictKeys,
) -> Result<(Values, IncompatibleKeys), String> {
    if bytes.starts_with(b"PK") || bytes.starts_with(b"\x80\x02") {
        let hint =
            "In Python, safetensors.torch.save_file(torch.load(path, weights_only=True), \"weights.safetensors\")";
        return Err(format!("{}. {hint} makes it one", tensors::foreign(WHAT, "a file of torch.save")));
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| tensors::foreign(WHAT, error))?;
    if metadata.metadata().as_ref().is_some_and(|map| map.contains_key(tensors::KEY)) {
        let error = tensors::foreign(WHAT, "a file that latentlab's own save has written");
        return Err(format!("{error}. Its own load reads it"));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| tensors::foreign(WHAT, error))?;
    let mut rest: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let (mut values, mut mistakes, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let key = keys.renamed(&entry.key, '.');
        let tensor = rest.remove(&key);
        // Not in files of before PyTorch 0.4.1, which it loads all the same.
        let Some((axes, _)) = &entry.values else { continue };
        let Some(tensor) = tensor else {
            missing.push(key);
            values.push(None);
            continue;
        };
        if tensor.shape() != entry.shape {
            let (expected, got) = (&entry.shape, tensor.shape());
            mistakes.push(format!("size mismatch for {} ({}): expected {expected:?}, got {got:?}", key, entry.place));
        } else {
            match floats(&tensor) {
                Ok(floats) => values.push(Some(permuted(&floats, &entry.shape, &inverse_axes(axes)))),
                Err(mistake) => mistakes.push(format!("{key} ({}): {mistake}", entry.place)),
            }
        }
    }
    let incompatible = IncompatibleKeys { missing, unexpected: rest.into_keys().collect() };
    if keys.strict && incompatible != IncompatibleKeys::default() {
        mistakes.insert(0, incompatible.to_string());
    }
    refuse_mistakes(&format!("the state_dict of this {kind}"), mistakes)?;
    Ok((values, incompatible))
}

/// Says what is wrong with a file, if anything is.
pub(super) fn refuse_mistakes(expected: &str, mut mistakes: Vec<String>) -> Result<(), String> {
    if mistakes.is_empty() {
        return Ok(());
    }
    const MOST: usize = 10;
    let more = mistakes.len().saturating_sub(MOST);
    mistakes.truncate(MOST);
    mistakes.extend((more > 0).then(|| format!("and {more} more")));
    Err(format!("expected {expected}, got another one\n{}", mistakes.join("\n")))
}

/// Which of PyTorch's axes each of ours is.
fn inverse_axes(axes: &[usize]) -> Vec<usize> {
    inverse(axes, &Vec::from_iter(0..axes.len()))
}

/// The values of a tensor, all finite.
fn floats(tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let halves = |value: fn(u16) -> f32| -> Vec<f32> {
        let (halves, _) = tensor.data().as_chunks();
        halves.iter().map(|bytes| value(u16::from_le_bytes(*bytes))).collect()
    };
    let values = match tensor.dtype() {
        Dtype::F32 => f32::from_bytes(tensor.data()),
        Dtype::F64 => f64::from_bytes(tensor.data()).into_iter().map(|value| value as f32).collect(),
        Dtype::F16 => halves(half_precision),
        Dtype::BF16 => halves(|bits| f32::from_bits(u32::from(bits) << 16)),
        other => return Err(format!("expected floats of 16, 32 or 64 bits, got {other:?}")),
    };
    match first_not_finite(&values) {
        Some(index) => Err(format!("expected finite values, got {} at value {index}", values[index])),
        None => Ok(values),
    }
}
