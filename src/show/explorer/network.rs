//! A network for the page, where network.js runs it: its layers, and its weights in as few bits as do.

use std::{io::Write, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use crate::{
    error::Result,
    nn::{Layer, Node, Norm, Pad2d, Sequential, Weights as Shared},
};

/// Whether two values, cut to \[0, 1\], are within one of 255 greys; a little less, for the page sums in another order.
pub(super) fn within_one_grey(made: f32, expected: f32) -> bool {
    (made.clamp(0.0, 1.0) - expected.clamp(0.0, 1.0)).abs() <= 1.0 / 256.0
}

/// The bits of a weight.
const FEWEST: u32 = 5;
const MOST: u32 = 16;

/// Rows on which a number of bits is tried before it is tried on all.
const TRIED: usize = 200;

/// A network as network.js takes it.
pub(super) struct Packed {
    pub bits: u32,
    layers: Vec<Value>,
    weights: Weights,
}

/// Those of all layers.
struct Weights {
    numbers: usize,
    weights: usize,
    /// Deflated: numbers of four bytes, the upper bytes of all weights, their lower bytes.
    bytes: Vec<u8>,
}

impl Packed {
    /// With the fewest bits with which every value that it makes of the `inputs` is `close` to that of the `outputs`;
    /// or why the page cannot run it.
    pub fn new(
        network: &Sequential,
        inputs: &Array2<f32>,
        outputs: &Array2<f32>,
        close: impl Fn(f32, f32) -> bool,
    ) -> Result<std::result::Result<Self, String>> {
        let layers = match layers(network) {
            Ok(layers) => layers,
            Err(name) => return Ok(Err(format!("has a layer that the page cannot run ({name})"))),
        };
        let holds = |bits: u32, inputs: &Array2<f32>, outputs: &Array2<f32>| -> Result<bool> {
            let inputs = inputs.as_standard_layout();
            let made = quantised(network, bits).0.run(inputs.as_slice().unwrap_or_default(), inputs.nrows())?;
            Ok(made.iter().zip(outputs).all(|(made, output)| close(*made, *output)))
        };
        let few: Vec<usize> = (0..inputs.nrows()).step_by(inputs.nrows().div_ceil(TRIED).max(1)).collect();
        let [few_inputs, few_outputs] = [inputs, outputs].map(|rows| rows.select(Axis(0), &few));
        let (mut bits, mut high) = (FEWEST, MOST);
        while bits < high {
            let middle = (bits + high) / 2;
            if holds(middle, &few_inputs, &few_outputs)? { high = middle } else { bits = middle + 1 }
        }
        while !holds(bits, inputs, outputs)? {
            bits += 1;
            if bits > MOST {
                return Ok(Err("needs more precision than the page has".into()));
            }
        }
        Ok(Ok(Self { bits, layers, weights: quantised(network, bits).1 }))
    }

    pub fn json(&self) -> Value {
        let Weights { numbers, weights, bytes } = &self.weights;
        let bytes = STANDARD.encode(bytes);
        json!({ "bits": self.bits, "layers": self.layers, "numbers": numbers, "weights": weights, "bytes": bytes })
    }
}

/// The layers that do something in predictions, as network.js takes them; or the name of one that it does not know.
fn layers(network: &Sequential) -> std::result::Result<Vec<Value>, String> {
    // An up-sampling becomes part of the convolution after it.
    let mut factor = [1, 1];
    let mut layers = Vec::new();
    let mut nodes = network.nodes().iter().peekable();
    while let Some(node) = nodes.next() {
        let (from, to) = (&node.input, &node.output);
        let name = node.layer.name();
        let settings = serde_json::to_value(&node.layer).map_err(|_| name.to_string())?;
        layers.push(match &node.layer {
            Layer::Dense(_) => {
                let rows = if let [rows, _] = from[..] { rows } else { 1 };
                json!({ "layer": "dense", "rows": rows, "inputs": channels(from), "outputs": channels(to) })
            }
            Layer::Conv2d(_) | Layer::ConvTranspose2d(_) => {
                let [rows, columns] = std::mem::replace(&mut factor, [1, 1]);
                json!({
                    "layer": "convolution",
                    "transposed": matches!(node.layer, Layer::ConvTranspose2d(_)),
                    "from": [from[0], from[1] / rows, from[2] / columns],
                    "to": to,
                    "factor": [rows, columns],
                    "kernel": settings["kernel"],
                    "stride": settings["stride"],
                    "dilation": settings.get("dilation").cloned().unwrap_or(json!([1, 1])),
                    "padding": settings["padding"],
                    "groups": groups(&node.layer),
                })
            }
            Layer::BatchNorm(_) => json!({ "layer": "line", "channels": channels(from) }),
            Layer::Norm(norm) => {
                let (groups, epsilon) = match norm {
                    Norm::Layer { epsilon } => (1, epsilon),
                    Norm::Group { groups, epsilon } => (*groups, epsilon),
                };
                // Each time step of a sequence by itself.
                let values: usize = if from.len() == 2 { from[1] } else { from.iter().product() };
                let channels = if matches!(norm, Norm::Layer { .. }) { values } else { channels(from) };
                json!({ "layer": "norm", "values": values, "channels": channels, "groups": groups, "epsilon": epsilon })
            }
            Layer::MaxPool2d(_) | Layer::AvgPool2d(_) => {
                json!({ "layer": name, "from": from, "to": to, "size": settings["size"], "stride": settings["stride"] })
            }
            Layer::GlobalPool2d(_) => {
                let layer = name.trim_start_matches("global_");
                json!({ "layer": layer, "from": from, "to": [to[0], 1, 1], "size": from[1..], "stride": from[1..] })
            }
            Layer::Pad2d(pad) => {
                let (Pad2d::Zero { sides } | Pad2d::Crop { sides }) = pad;
                let sign = if matches!(pad, Pad2d::Crop { .. }) { 1 } else { -1 };
                let start = sides.0.map(|[before, _]| sign * before as i64);
                json!({ "layer": "window", "from": from, "to": to, "start": start })
            }
            Layer::PixelShuffle(_) => json!({ "layer": name, "from": from, "factor": settings["factor"] }),
            Layer::Prelu(_) => json!({ "layer": name, "channels": channels(from) }),
            Layer::Recurrent(_) => {
                let (time, features, is_sequence) = (from[0], from[1], to.len() == 2);
                json!({ "layer": name, "time": time, "features": features, "units": channels(to),
                    "isSequence": is_sequence })
            }
            Layer::RepeatVector(_) => json!({ "layer": name, "times": to[0] }),
            Layer::Skip(_) => {
                let inside = node.inside().map_or_else(|| Err(name.to_string()), |inside| self::layers(&inside))?;
                json!({ "layer": "skip", "channels": channels(from), "merge": settings["merge"], "inside": inside })
            }
            Layer::Activation(_) => {
                json!({ "layer": name, "slope": settings.get("slope"), "alpha": settings.get("alpha") })
            }
            Layer::Softmax(_) => json!({ "layer": "softmax" }),
            Layer::Flatten(_) | Layer::Reshape(_) => json!({ "layer": "reshape", "from": from, "to": to }),
            Layer::Dropout(_) | Layer::ActivityPenalty(_) => continue,
            Layer::UpSample2d(layer) => {
                let repeats = layer.repeats();
                if let Some(repeats) = repeats.filter(|_| matches!(nodes.peek(), Some(next) if is_conv2d(&next.layer)))
                {
                    factor = repeats;
                    continue;
                }
                let is_linear = repeats.is_none();
                json!({ "layer": "up_sample2d", "from": from, "factor": settings["factor"], "isLinear": is_linear })
            }
            // An embedding takes numbers of words, which no code holds; functions of the user are Rust.
            Layer::Embedding(_) | Layer::Dfdx(_) | Layer::Function(_) => return Err(name.to_string()),
        });
    }
    Ok(layers)
}

fn is_conv2d(layer: &Layer) -> bool {
    matches!(layer, Layer::Conv2d(_))
}

/// Into how many groups a convolution cuts its channels.
fn groups(layer: &Layer) -> usize {
    let settings = serde_json::to_value(layer).unwrap_or_default();
    settings["groups"].as_u64().map_or(1, |groups| groups as usize)
}

fn channels(shape: &[usize]) -> usize {
    if shape.len() == 3 { shape[0] } else { shape.last().copied().unwrap_or(1) }
}

/// The network with the weights that the page will have, and these packed: each in that many bits, from minus to plus
/// the greatest of its output channel.
fn quantised(network: &Sequential, bits: u32) -> (Sequential, Weights) {
    let mut quantiser = Quantiser { most: (1 << (bits - 1)) - 1, numbers: Vec::new(), levels: Vec::new() };
    let restored = quantiser.network(network);
    let Quantiser { numbers, levels, .. } = quantiser;
    let mut emulated = network.clone();
    emulated.parameters_mut().zip(restored).for_each(|(values, restored)| *values = restored);

    // Deflating packs the bits: bytes that take few values take few bits.
    let low = bits.saturating_sub(8);
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    let bytes = bytes.chain(levels.iter().map(|level| (level >> low) as u8));
    let lower = levels.iter().filter(|_| low > 0).map(|level| (level & ((1 << low) - 1)) as u8);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(&bytes.chain(lower).collect::<Vec<u8>>());
    // A vector takes whatever is written.
    let bytes = written.and_then(|()| encoder.finish()).unwrap_or_default();
    (emulated, Weights { numbers: numbers.len(), weights: levels.len(), bytes })
}

/// What the page reads, in its order.
struct Quantiser {
    /// The largest level; the smallest is its negative.
    most: i32,
    numbers: Vec<f32>,
    levels: Vec<u16>,
}

impl Quantiser {
    /// Adds all weights of a network; returns what the page will have of each parameter.
    fn network(&mut self, network: &Sequential) -> Vec<Shared> {
        network.nodes().iter().flat_map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: &Node) -> Vec<Shared> {
        if let Some(inside) = node.inside() {
            return self.network(&inside);
        }
        let mut weights = node.weights();
        let (inputs, outputs, groups) = (channels(&node.input), channels(&node.output), groups(&node.layer));
        match &node.layer {
            Layer::BatchNorm(layer) => {
                let (scale, shift) = layer.line(&weights);
                self.numbers.extend(scale.into_iter().chain(shift));
            }
            Layer::Dense(_) | Layer::Conv2d(_) => {
                weights[0] = self.matrix(&weights[0], outputs, |index| index % outputs);
                self.bias(weights.get(1), outputs);
            }
            // The weights of an output and all inputs of its group lie side by side.
            Layer::ConvTranspose2d(_) => {
                let of_group = outputs / groups;
                let output = |index: usize| index % inputs / (inputs / groups) * of_group + index / inputs % of_group;
                weights[0] = self.matrix(&weights[0], outputs, output);
                self.bias(weights.get(1), outputs);
            }
            Layer::Recurrent(_) => {
                let gates = weights[2].len();
                for weight in &mut weights[..2] {
                    *weight = self.matrix(weight, gates, |index| index % gates);
                }
                weights[2..].iter().for_each(|bias| self.numbers.extend(bias.iter()));
            }
            _ => weights.iter().for_each(|values| self.numbers.extend(values.iter())),
        }
        weights
    }

    fn bias(&mut self, bias: Option<&Shared>, outputs: usize) {
        match bias {
            Some(bias) => self.numbers.extend(bias.iter()),
            None => self.numbers.extend(vec![0.0; outputs]),
        }
    }

    /// Adds a scale for each output and the levels of the weights; returns what these make.
    fn matrix(&mut self, weights: &[f32], outputs: usize, output: impl Fn(usize) -> usize) -> Shared {
        let most = self.most;
        let mut scales = vec![0.0_f32; outputs];
        for (index, weight) in weights.iter().enumerate() {
            scales[output(index)] = scales[output(index)].max(weight.abs());
        }
        scales.iter_mut().for_each(|scale| *scale /= most as f32);
        let level = |(index, weight): (usize, &f32)| match scales[output(index)] {
            0.0 => 0,
            scale => ((weight / scale).round() as i32).clamp(-most, most),
        };
        let levels: Vec<i32> = weights.iter().enumerate().map(level).collect();
        self.levels.extend(levels.iter().map(|level| (level + most) as u16));
        let value = |(index, level): (usize, &i32)| *level as f32 * scales[output(index)];
        let restored = levels.iter().enumerate().map(value).collect();
        self.numbers.extend(scales);
        Arc::new(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_fewest_bits_that_do() {
        let decoder = Sequential::input([2]).dense(32).relu().dense(784).sigmoid().build().unwrap();
        let codes = Array2::from_shape_fn((300, 2), |(row, column)| ((row * (3 + column)) % 17) as f32 * 5.0 - 40.0);
        let outputs = decoder.run(codes.as_slice().unwrap(), 300).unwrap();
        let outputs = Array2::from_shape_vec((300, 784), outputs).unwrap();
        let packed = Packed::new(&decoder, &codes, &outputs, within_one_grey).unwrap().unwrap();
        let off = |bits: u32| {
            let made = quantised(&decoder, bits).0.run(codes.as_slice().unwrap(), 300).unwrap();
            made.iter().zip(&outputs).map(|(made, output)| (made - output).abs()).fold(0.0, f32::max)
        };
        assert!(packed.bits > FEWEST && packed.bits < MOST, "{}", packed.bits);
        assert!(off(packed.bits) <= 1.0 / 255.0 && off(packed.bits - 1) > 1.0 / 256.0);
        assert!(packed.weights.bytes.len() < decoder.parameter_count() * 2, "{}", packed.weights.bytes.len());
    }

    #[test]
    fn what_cannot_run_or_be_told_apart_is_said() {
        let why = |network: Sequential, outputs: Array2<f32>| {
            Packed::new(&network.build().unwrap(), &Array2::ones((1, 4)), &outputs, within_one_grey).unwrap().err()
        };
        let zeros = |columns: usize| Array2::zeros((1, columns));
        let input = || Sequential::input([4]);
        let unknown = |name: &str| Some(format!("has a layer that the page cannot run ({name})"));
        assert_eq!(why(input().map("own", |x| x.square()), zeros(4)), unknown("own"));
        assert_eq!(why(input().skip(|inner| inner.map("inner", |x| x.square())), zeros(4)), unknown("inner"));
        assert_eq!(why(input().embedding(9, 2).flatten(), zeros(8)), unknown("embedding"));
        assert_eq!(why(input().relu(), zeros(4)), Some("needs more precision than the page has".into()));
        assert_eq!(why(input().dropout(0.5).relu().reshape([1, 2, 2]), Array2::ones((1, 4))), None);
    }
}
