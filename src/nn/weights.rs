//! Networks in files: one safetensors file holds the weights and, in its metadata, the architecture.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{init::Init, layers::Layer, sequential::Sequential};
use crate::error::{Error, ErrorKind, Result};

/// The one metadata key: one, because their order in the file is not fixed and the same network should be the same bytes.
const KEY: &str = "latentlab";
const VERSION: u32 = 1;

/// The metadata of a file of weights, as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct WeightsFile {
    version: u32,
    /// "sequential", "autoencoder", …
    model: String,
    networks: Vec<Network>,
    /// What else the model is made of; nothing for most.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    settings: serde_json::Value,
    /// Of all weights in the order of the networks, layers and parameters, as little-endian bytes.
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

impl WeightsFile {
    /// Writes the networks of a model under their names, and its settings (`()` if it has none).
    pub fn write(path: &Path, model: &str, networks: &[(&str, &Sequential)], settings: impl Serialize) -> Result<()> {
        let failed = |error: String| Error::new(ErrorKind::Weights, path.display().to_string(), error);
        let settings = serde_json::to_value(settings).map_err(|error| failed(error.to_string()))?;
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut described = Vec::new();
        for (name, network) in networks {
            for (index, node) in network.nodes().iter().enumerate() {
                for parameter in &node.parameters {
                    let bytes = parameter.values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    tensors.push((tensor_name(name, index + 1, parameter.name), parameter.shape.clone(), bytes));
                }
            }
            let (init, seed) = network.initialisation();
            let layers = network.nodes().iter().map(|node| node.layer.clone()).collect();
            described.push(Network { name: (*name).into(), input: network.input_shape().into(), init, seed, layers });
        }
        let mut hash = Sha256::new();
        tensors.iter().for_each(|(_, _, bytes)| hash.update(bytes));
        let header = Self { version: VERSION, model: model.into(), networks: described, settings, sha256: hex(hash) };

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

    /// Reads the networks of a model, by name, and its settings.
    pub fn read<const N: usize, S: DeserializeOwned>(
        path: &Path,
        model: &str,
        names: [&str; N],
    ) -> Result<([Sequential; N], S)> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
        Self::parse(&bytes, model, names)
            .map_err(|message| Error::new(ErrorKind::Weights, path.display().to_string(), message))
    }

    fn parse<const N: usize, S: DeserializeOwned>(
        bytes: &[u8],
        model: &str,
        names: [&str; N],
    ) -> Result<([Sequential; N], S), String> {
        let foreign = |got: String| format!("expected a file of weights that latentlab has saved, got {got}");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| foreign(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| foreign(error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
        let header = header.ok_or_else(|| foreign("safetensors of another program".into()))?;
        // The version first: a later one may describe layers that this one cannot parse.
        let version = serde_json::from_str::<serde_json::Value>(header).ok().and_then(|h| h["version"].as_u64());
        if version != Some(VERSION.into()) {
            let got = version.map_or("none".into(), |version| version.to_string());
            return Err(format!("expected format version {VERSION}, got {got}"));
        }
        let header: Self =
            serde_json::from_str(header).map_err(|error| format!("its architecture is damaged ({error})"))?;
        if header.model != model {
            return Err(format!("expected the weights of a model of kind {model}, got {}", header.model));
        }

        let mut hash = Sha256::new();
        let mut networks = Vec::new();
        for name in names {
            let network = header.networks.iter().find(|network| network.name == name);
            let network = network.ok_or_else(|| format!("expected a network named {name}, got none"))?;
            networks.push(network.restore(&tensors, &mut hash)?);
        }
        if hex(hash) != header.sha256 {
            return Err("its weights are damaged (their SHA-256 is not the one noted when they were saved)".into());
        }
        let settings =
            serde_json::from_value(header.settings).map_err(|error| format!("its settings are damaged ({error})"))?;
        Ok((networks.try_into().map_err(|_| "its networks are damaged".to_string())?, settings))
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
                let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                Ok(values.collect())
            })
        });
        network.build().map_err(|error| error.to_string())
    }
}

fn tensor_name(network: &str, layer: usize, parameter: &str) -> String {
    format!("{network}.{layer}.{parameter}")
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
