//! Networks in files: one safetensors file holds the weights and, in its metadata, the architecture.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{init::Init, layers::Layer, sequential::Sequential};
use crate::error::{Error, ErrorKind, Result};

/// The one metadata key: one, because their order in the file is not fixed and the same network should be the same bytes.
const KEY: &str = "latentlab";
const VERSION: u32 = 1;

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
    /// The kind of model.
    model: String,
    networks: Vec<Network>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    settings: Value,
    /// Of all weights in the order of the networks, layers and parameters, as little-endian bytes.
    sha256: String,
    /// Of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Training>,
}

#[derive(Serialize, Deserialize)]
struct Training {
    state: Value,
    /// The tensors that are not weights.
    tensors: Vec<String>,
    /// Of these, in this order.
    sha256: String,
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
        let failed = |error: String| Error::new(ErrorKind::Weights, path.display().to_string(), error);
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut networks = Vec::new();
        for (name, network) in &self.networks {
            for (index, node) in network.nodes().iter().enumerate() {
                for parameter in &node.parameters {
                    let name = tensor_name(name, index + 1, parameter.name);
                    tensors.push((name, parameter.shape.clone(), bytes(&parameter.values)));
                }
            }
            let (init, seed) = network.initialisation();
            let layers = network.nodes().iter().map(|node| node.layer.clone()).collect();
            networks.push(Network { name: (*name).into(), input: network.input_shape().into(), init, seed, layers });
        }
        let sha256 = hash(tensors.iter().map(|(_, _, bytes)| &**bytes));
        let training = checkpoint.map(|Checkpoint { state, tensors: others }| {
            let weights = tensors.len();
            tensors.extend(others.iter().map(|(name, values)| (name.clone(), vec![values.len()], bytes(values))));
            let sha256 = hash(tensors[weights..].iter().map(|(_, _, bytes)| &**bytes));
            Training { state: state.clone(), tensors: others.keys().cloned().collect(), sha256 }
        });
        let settings = self.settings.clone();
        let header = Header { version: VERSION, model: self.kind.into(), networks, settings, sha256, training };

        let header = serde_json::to_string(&header).map_err(|error| failed(error.to_string()))?;
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| failed(error.to_string()))?;
        let bytes = safetensors::serialize(views, Some(HashMap::from([(KEY.to_string(), header)])))
            .map_err(|error| failed(error.to_string()))?;
        crate::file::write_whole(path, &bytes)
    }
}

/// Reads the networks of a model, by name, and its settings.
pub(crate) fn read_model<const N: usize, S: DeserializeOwned>(
    path: &Path,
    kind: &str,
    names: [&str; N],
) -> Result<([Sequential; N], S)> {
    reading(path, |bytes| {
        let (networks, settings, _) = parse(bytes, kind, &names)?;
        let networks = networks.try_into().map_err(|_| "its networks are damaged".to_string())?;
        let settings = serde_json::from_value(settings).map_err(|error| format!("its settings are damaged ({error})"));
        Ok((networks, settings?))
    })
}

/// Reads what is to take the place of this model's networks, in their order, and the state of the training.
pub(crate) fn read_checkpoint(path: &Path, model: &ModelFile) -> Result<(Vec<Sequential>, Checkpoint)> {
    reading(path, |bytes| {
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

fn reading<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
    read(&bytes).map_err(|message| Error::new(ErrorKind::Weights, path.display().to_string(), message))
}

fn parse(bytes: &[u8], model: &str, names: &[&str]) -> Result<(Vec<Sequential>, Value, Option<Checkpoint>), String> {
    let foreign = |got: String| format!("expected a file of weights that latentlab has saved, got {got}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| foreign(error.to_string()))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| foreign(error.to_string()))?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    let header = header.ok_or_else(|| foreign("safetensors of another program".into()))?;
    // The version first: a later one may describe layers that this one cannot parse.
    let version = serde_json::from_str::<Value>(header).ok().and_then(|h| h["version"].as_u64());
    if version != Some(VERSION.into()) {
        let got = version.map_or("none".into(), |version| version.to_string());
        return Err(format!("expected format version {VERSION}, got {got}"));
    }
    let header: Header =
        serde_json::from_str(header).map_err(|error| format!("its architecture is damaged ({error})"))?;
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
    if hex(hash) != header.sha256 {
        return Err("its weights are damaged (their SHA-256 is not the one noted when they were saved)".into());
    }
    let checkpoint = header.training.map(|training| training.restore(&tensors)).transpose()?;
    Ok((networks, header.settings, checkpoint))
}

impl Training {
    fn restore(self, tensors: &SafeTensors<'_>) -> Result<Checkpoint, String> {
        let mut sha256 = Sha256::new();
        let mut read = BTreeMap::new();
        for name in self.tensors {
            let tensor = tensors.tensor(&name).map_err(|_| format!("expected a tensor {name}, got none"))?;
            sha256.update(tensor.data());
            read.insert(name, floats(tensor.data()));
        }
        if hex(sha256) != self.sha256 {
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
                Ok(floats(tensor.data()))
            })
        });
        network.build().map_err(|error| error.to_string())
    }
}

fn tensor_name(network: &str, layer: usize, parameter: &str) -> String {
    format!("{network}.{layer}.{parameter}")
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    hex(parts.fold(Sha256::new(), Sha256::chain_update))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
