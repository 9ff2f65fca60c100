//! Networks in files: one safetensors file holds the weights and, in its metadata, the architecture.

use std::{collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{init::Init, layers::Layer, sequential::Sequential};
use crate::{
    error::{Error, ErrorKind, Result},
    file::{
        hex,
        tensors::{self, Element, Tensor},
    },
};

const VERSION: u32 = 2;
/// Its hash covers only the tensors. Such files are still read.
const FIRST_VERSION: u32 = 1;

/// A model on its way into a file.
pub(crate) struct ModelFile<'a> {
    /// "sequential", "autoencoder", …
    pub kind: &'static str,
    pub networks: Vec<(&'static str, &'a Sequential)>,
    /// What else the model is made of; `Value::Null` for most.
    pub settings: Value,
}

/// What a file holds beside a model from which the training can go on.
pub(crate) struct Checkpoint {
    pub state: Value,
    pub tensors: BTreeMap<String, Vec<f32>>,
}

/// The metadata of a file of weights, as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    /// Of the whole file, with zeros in the place of this hash. In version 1 of all weights in the order of the
    /// networks, layers and parameters, as little-endian bytes.
    sha256: String,
    /// The kind of model.
    model: String,
    networks: Vec<Network>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    settings: Value,
    /// Of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Training>,
}

#[derive(Serialize, Deserialize)]
struct Training {
    state: Value,
    /// The tensors that are not weights.
    tensors: Vec<String>,
    /// Of these, in this order; in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Network {
    name: String,
    input: Vec<usize>,
    init: Init,
    seed: u64,
    layers: Vec<Layer>,
}

impl ModelFile<'_> {
    /// Writes the model, as a checkpoint with the state of its training.
    pub fn write(&self, path: &Path, checkpoint: Option<&Checkpoint>) -> Result<()> {
        let mut tensors: Vec<Tensor> = Vec::new();
        let mut networks = Vec::new();
        for (name, network) in &self.networks {
            for (index, node) in network.nodes().iter().enumerate() {
                for parameter in &node.parameters {
                    let name = tensor_name(name, index + 1, parameter.name);
                    tensors.push((name, Dtype::F32, parameter.shape.clone(), bytes(&parameter.values)));
                }
            }
            let (init, seed) = network.initialisation();
            let layers = network.nodes().iter().map(|node| node.layer.clone()).collect();
            networks.push(Network { name: (*name).into(), input: network.input_shape().into(), init, seed, layers });
        }
        let training = checkpoint.map(|Checkpoint { state, tensors: others }| {
            let others_bytes =
                |(name, values): (&String, &Vec<f32>)| (name.clone(), Dtype::F32, vec![values.len()], bytes(values));
            tensors.extend(others.iter().map(others_bytes));
            Training { state: state.clone(), tensors: others.keys().cloned().collect(), sha256: None }
        });
        let (settings, sha256) = (self.settings.clone(), tensors::no_hash());
        let header = Header { version: VERSION, sha256, model: self.kind.into(), networks, settings, training };
        tensors::write(path, &header, &tensors)
    }
}

/// Reads the networks of a model, by name, and its settings.
pub(crate) fn read_model<const N: usize, S: DeserializeOwned>(
    path: &Path,
    kind: &str,
    names: [&str; N],
) -> Result<([Sequential; N], S)> {
    tensors::read(path, WHAT, |bytes| {
        let (networks, settings, _) = parse(bytes, kind, &names)?;
        let networks = networks.try_into().map_err(|_| "its networks are damaged".to_string())?;
        let settings = serde_json::from_value(settings).map_err(|error| format!("its settings are damaged ({error})"));
        Ok((networks, settings?))
    })
}

/// Reads what takes the place of this model's networks, in their order, and the state of the training.
pub(crate) fn read_checkpoint(path: &Path, model: &ModelFile) -> Result<(Vec<Sequential>, Checkpoint)> {
    tensors::read(path, WHAT, |bytes| {
        let names: Vec<&str> = model.networks.iter().map(|(name, _)| *name).collect();
        let (networks, settings, checkpoint) = parse(bytes, model.kind, &names)?;
        for ((name, network), read) in model.networks.iter().zip(&networks) {
            if !network.is_built_like(read) {
                return Err(format!("expected the layers of this {}, got another {name}", model.kind));
            }
        }
        if settings != model.settings {
            return Err(format!("expected the settings {} of this {}, got {settings}", model.settings, model.kind));
        }
        let checkpoint = checkpoint.ok_or("expected a checkpoint, got weights without the state of a training")?;
        Ok((networks, checkpoint))
    })
}

/// What errors call such a file.
const WHAT: &str = "a file of weights that latentlab has saved";

fn parse(bytes: &[u8], model: &str, names: &[&str]) -> Result<(Vec<Sequential>, Value, Option<Checkpoint>), String> {
    let (tensors, text) = tensors::open(bytes, WHAT)?;
    // The version first: a later one may describe layers that this one cannot parse.
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let version = json["version"].as_u64();
    if ![VERSION, FIRST_VERSION].map(|version| Some(u64::from(version))).contains(&version) {
        let got = version.map_or("none".into(), |version| version.to_string());
        return Err(format!("expected format version {VERSION}, got {got}"));
    }
    let first = version == Some(FIRST_VERSION.into());
    if !first {
        tensors::check_hash(bytes)?;
    }
    let header: Header =
        serde_json::from_str(&text).map_err(|error| format!("its architecture is damaged ({error})"))?;
    // A setting that was not read is damaged, or of a later version: without it this would be another network.
    let understood = serde_json::to_string(&header).ok().and_then(|text| serde_json::from_str(&text).ok());
    if !understood.is_some_and(|understood| holds(&understood, &json)) {
        return Err("its architecture is damaged, or of a later version of latentlab (it has unknown settings)".into());
    }
    if header.model != model {
        return Err(format!("expected the weights of a model of kind {model}, got {}", header.model));
    }

    let mut hash = Sha256::new();
    let mut networks = Vec::new();
    for name in names {
        let network = header.networks.iter().find(|network| network.name == *name);
        let network = network.ok_or_else(|| format!("expected a network named {name}, got none"))?;
        networks.push(network.restore(&tensors, &mut hash)?);
    }
    if first && hex(&hash.finalize()) != header.sha256 {
        return Err("its weights are damaged (their SHA-256 is not the one noted when they were saved)".into());
    }
    let parameters = networks.iter().map(|network| network.parameters().count()).sum::<usize>();
    let others = header.training.as_ref().map_or(0, |training| training.tensors.len());
    if header.networks.len() != names.len() || tensors.len() != parameters + others {
        return Err("its architecture is damaged (it holds more than it tells of)".into());
    }
    let checkpoint = header.training.map(|training| training.restore(&tensors, first)).transpose()?;
    Ok((networks, header.settings, checkpoint))
}

/// Whether all that is in the second is in the first, too.
fn holds(all: &Value, part: &Value) -> bool {
    match (all, part) {
        (Value::Object(all), Value::Object(part)) => {
            part.iter().all(|(name, value)| all.get(name).map_or(value.is_null(), |known| holds(known, value)))
        }
        (Value::Array(all), Value::Array(part)) => {
            all.len() == part.len() && all.iter().zip(part).all(|(all, part)| holds(all, part))
        }
        _ => all == part,
    }
}

impl Training {
    fn restore(self, tensors: &SafeTensors<'_>, first: bool) -> Result<Checkpoint, String> {
        let mut sha256 = Sha256::new();
        let mut read = BTreeMap::new();
        for name in self.tensors {
            let tensor = tensors.tensor(&name).map_err(|_| format!("expected a tensor {name}, got none"))?;
            if tensor.dtype() != Dtype::F32 {
                return Err(format!("expected a tensor {name} of F32, got {:?}", tensor.dtype()));
            }
            sha256.update(tensor.data());
            read.insert(name, f32::from_bytes(tensor.data()));
        }
        if first && self.sha256 != Some(hex(&sha256.finalize())) {
            return Err("the state of its training is damaged (its SHA-256 is not the one noted)".into());
        }
        Ok(Checkpoint { state: self.state, tensors: read })
    }
}

impl Network {
    fn restore(&self, tensors: &SafeTensors<'_>, hash: &mut Sha256) -> Result<Sequential, String> {
        let start = Sequential::input(&self.input).init(self.init).seed(self.seed);
        let network = self.layers.iter().fold(start, |network, layer| {
            network.push_with(layer.clone(), |number, kind, spec| {
                let name = tensor_name(&self.name, number, spec.name);
                let wrong =
                    |message: String| Error::new(ErrorKind::Weights, format!("layer {number}, {kind}"), message);
                let tensor = tensors.tensor(&name).map_err(|_| wrong(format!("expected weights {name}, got none")))?;
                if tensor.dtype() != Dtype::F32 || tensor.shape() != spec.shape {
                    let got = format!("{:?} of {:?}", tensor.shape(), tensor.dtype());
                    return Err(wrong(format!("expected weights {:?} of F32, got {got}", spec.shape)));
                }
                hash.update(tensor.data());
                Ok(f32::from_bytes(tensor.data()))
            })
        });
        network.build().map_err(|error| error.to_string())
    }
}

fn tensor_name(network: &str, layer: usize, parameter: &str) -> String {
    format!("{network}.{layer}.{parameter}")
}

fn bytes(values: &[f32]) -> Vec<u8> {
    f32::to_bytes(values.iter().copied())
}
