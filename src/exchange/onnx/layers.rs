//! Layers as nodes of a graph: feature maps are (batch, channels, height, width), weights in the layouts of ONNX.

use super::{
    graph::{Graph, INT64, float, integer, integers, text},
    messages::AttributeProto,
};
use crate::{
    engine::Convolution,
    error::{Error, Result},
    exchange::pytorch::{joined, permuted},
    nn::{Activation, Layer, LayerParameter, Node, Norm, Pad2d, Sequential},
};

/// Adds the layers of a network, whose name comes before theirs; returns the tensor that they make of `x`.
pub(super) fn add_network(graph: &mut Graph, name: &str, network: &Sequential, x: &str) -> Result<String> {
    network.check()?;
    let place = if name.is_empty() { String::new() } else { format!("{name}, ") };
    add_layers(graph, name, &place, network, x)
}

fn add_layers(graph: &mut Graph, key: &str, place: &str, network: &Sequential, x: &str) -> Result<String> {
    let mut x = x.to_string();
    for (index, node) in network.nodes().iter().enumerate() {
        let (key, name) = (joined(key, &(index + 1).to_string()), node.layer.name());
        let place = format!("{place}layer {}, {name}", index + 1);
        let mut writer = Writer { graph, node, tensor: format!("{key}.{name}"), key, nodes: 0 };
        let y = writer.add_layer(&place, &x)?;
        if y != x {
            x = writer.tensor;
            graph.rename_last(&x, &node.output);
        }
    }
    Ok(x)
}

/// Adds the nodes of a layer; the last of them makes its output.
struct Writer<'a> {
    graph: &'a mut Graph,
    node: &'a Node,
    /// What the names of its weights begin with: "encoder.2".
    key: String,
    /// What its output will be called, and the names of its nodes begin with: "encoder.2.relu".
    tensor: String,
    /// How many nodes it has.
    nodes: usize,
}

impl Writer<'_> {
    fn add_layer(&mut self, place: &str, x: &str) -> Result<String> {
        let (input, output) = (&self.node.input[..], &self.node.output[..]);
        let (are_maps, sizes) = (input.len() == 3, || [input[0], input[1], input[2]]);
        let y = match &self.node.layer {
            Layer::Dropout(_) | Layer::ActivityPenalty(_) => x.into(),
            Layer::Flatten(_) if input.len() == 1 => x.into(),
            Layer::Flatten(_) => self.node("Flatten", &[x], vec![integer("axis", 1)]),
            Layer::Reshape(_) => self.reshape(x, "shape", output),
            Layer::Dense(_) if input.len() == 1 => self.node_with_weights("Gemm", x, Vec::new()),
            Layer::Dense(_) => self.dense_of_sequences(x),
            Layer::Conv2d(layer) => self.convolution(x, checked(layer.convolution(sizes()))),
            Layer::ConvTranspose2d(layer) => self.transposed_convolution(x, checked(layer.convolution(sizes()))),
            Layer::BatchNorm(layer) => {
                self.node_with_weights("BatchNormalization", x, vec![float("epsilon", layer.epsilon)])
            }
            Layer::Norm(Norm::Layer { epsilon }) => {
                let axis = if input.len() == 2 { 2 } else { 1 };
                let attributes = vec![integer("axis", axis), float("epsilon", *epsilon)];
                self.node_with_weights("LayerNormalization", x, attributes)
            }
            Layer::Norm(Norm::Group { groups, epsilon }) => self.group_norm(x, *groups, *epsilon),
            Layer::MaxPool2d(layer) => self.pooling("MaxPool", x, layer.size.0, layer.stride.0),
            Layer::AvgPool2d(layer) => self.pooling("AveragePool", x, layer.size.0, layer.stride.0),
            Layer::GlobalPool2d(_) => {
                let is_max = self.node.layer.name() == "global_max_pool2d";
                let pooled = self.node(if is_max { "GlobalMaxPool" } else { "GlobalAveragePool" }, &[x], Vec::new());
                self.node("Flatten", &[&pooled], vec![integer("axis", 1)])
            }
            Layer::Pad2d(Pad2d::Zero { sides }) => {
                let [[top, bottom], [left, right]] = sides.0;
                self.zeros_around(x, [top, left, bottom, right])
            }
            Layer::Pad2d(Pad2d::Crop { sides }) => self.crop(x, sides.0.map(|[before, _]| before)),
            Layer::PixelShuffle(_) => {
                let attributes = vec![integer("blocksize", output[1] / input[1]), text("mode", "CRD")];
                self.node("DepthToSpace", &[x], attributes)
            }
            Layer::UpSample2d(layer) => self.resize(x, layer.repeats().is_some()),
            Layer::Activation(activation) => self.activation(x, *activation),
            Layer::Prelu(_) => self.node_with_weights("PRelu", x, Vec::new()),
            Layer::Softmax(_) => self.node("Softmax", &[x], vec![integer("axis", 1)]),
            Layer::Embedding(_) => {
                let table = self.weights();
                let numbers = self.node("Cast", &[x], vec![integer("to", INT64 as usize)]);
                self.node("Gather", &[&table[0], &numbers], Vec::new())
            }
            Layer::Recurrent(_) => self.recurrent(x),
            Layer::RepeatVector(_) => {
                let axes = self.integers("axes", &[1]);
                let row = self.node("Unsqueeze", &[x, &axes], Vec::new());
                let times = self.integers("times", &[1, output[0], 1]);
                self.node("Expand", &[&row, &times], Vec::new())
            }
            Layer::Skip(_) => {
                let inside = self.node.inside().expect("it is a skip connection");
                let inner = add_layers(self.graph, &self.key, &format!("{place}, inside, "), &inside, x)?;
                if self.node.layer.name() == "skip" {
                    self.node("Add", &[x, &inner], Vec::new())
                } else {
                    let axis = if are_maps { 1 } else { input.len() };
                    self.node("Concat", &[x, &inner], vec![integer("axis", axis)])
                }
            }
            Layer::Function(_) | Layer::Dfdx(_) => {
                let expected = "a layer of the crate, of which ONNX has the operators";
                return Err(Error::argument(place, expected, "one that is a function of yours"));
            }
        };
        Ok(y)
    }

    /// Adds a node; returns its output.
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.nodes += 1;
        let name = format!("{}/{}", self.tensor, self.nodes);
        self.graph.node(&name, operator, inputs, &[&name], attributes);
        name
    }

    /// A node of x and all weights.
    fn node_with_weights(&mut self, operator: &str, x: &str, attributes: Vec<AttributeProto>) -> String {
        let weights = self.weights();
        let inputs: Vec<&str> = [x].into_iter().chain(weights.iter().map(String::as_str)).collect();
        self.node(operator, &inputs, attributes)
    }

    /// Adds all weights; returns their names.
    fn weights(&mut self) -> Vec<String> {
        self.node.parameters.iter().map(|parameter| self.weight(parameter)).collect()
    }

    fn weight(&mut self, parameter: &LayerParameter) -> String {
        let axes: &[usize] = match (&self.node.layer, parameter.shape.len()) {
            (Layer::Conv2d(_) | Layer::ConvTranspose2d(_), 4) => &[3, 2, 0, 1],
            (Layer::Norm(_), 3) => &[2, 0, 1],
            (_, dimensions) => &[0, 1, 2, 3][..dimensions],
        };
        let values = permuted(&parameter.values, &parameter.shape, axes);
        let mut shape: Vec<usize> = axes.iter().map(|axis| parameter.shape[*axis]).collect();
        let of_channels = matches!(self.node.layer, Layer::Prelu(_) | Layer::Norm(Norm::Group { .. }));
        if of_channels && self.node.input.len() == 3 {
            shape.extend([1, 1]);
        }
        self.floats(parameter.name, &shape, values)
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> String {
        let name = format!("{}.{name}", self.key);
        self.graph.floats(&name, shape, values);
        name
    }

    fn integers(&mut self, name: &str, values: &[usize]) -> String {
        let name = format!("{}.{name}", self.key);
        self.graph.integers(&name, &values.iter().map(|value| *value as i64).collect::<Vec<_>>());
        name
    }

    /// A 0 keeps the size of the batch.
    fn reshape(&mut self, x: &str, name: &str, shape: &[usize]) -> String {
        let shape = self.integers(name, &[&[0], shape].concat());
        self.node("Reshape", &[x, &shape], Vec::new())
    }

    fn dense_of_sequences(&mut self, x: &str) -> String {
        let weights = self.weights();
        let product = self.node("MatMul", &[x, &weights[0]], Vec::new());
        match weights.get(1) {
            Some(bias) => self.node("Add", &[&product, bias], Vec::new()),
            None => product,
        }
    }

    fn convolution(&mut self, x: &str, convolution: Convolution) -> String {
        let all = span(&convolution);
        let Convolution { large, before, .. } = convolution;
        let after = [0, 1].map(|axis| all[axis].saturating_sub(before[axis] + large[axis]));
        self.node_with_weights("Conv", x, attributes(&convolution, after))
    }

    fn transposed_convolution(&mut self, x: &str, convolution: Convolution) -> String {
        let Convolution { large, before, stride, .. } = convolution;
        let all = span(&convolution);
        let after = [0, 1].map(|axis| all[axis].saturating_sub(before[axis] + large[axis]));
        let more = [0, 1].map(|axis| (before[axis] + large[axis]).saturating_sub(all[axis]));
        let mut attributes = attributes(&convolution, after);
        if more[0] < stride[0] && more[1] < stride[1] {
            attributes.push(integers("output_padding", more));
            return self.node_with_weights("ConvTranspose", x, attributes);
        }
        // More than ONNX lets an output be padded with: that is done by a node of its own, before the bias is added.
        let weight = self.weight(&self.node.parameters[0]);
        let y = self.node("ConvTranspose", &[x, &weight], attributes);
        let y = self.zeros_around(&y, [0, 0, more[0], more[1]]);
        let Some(bias) = self.node.parameters.get(1) else { return y };
        let bias = self.floats(bias.name, &[large[2], 1, 1], bias.values.to_vec());
        self.node("Add", &[&y, &bias], Vec::new())
    }

    /// The sides are top, left, bottom, right.
    fn zeros_around(&mut self, x: &str, [top, left, bottom, right]: [usize; 4]) -> String {
        let pads = self.integers("pads", &[0, 0, top, left, 0, 0, bottom, right]);
        self.node("Pad", &[x, &pads], Vec::new())
    }

    fn crop(&mut self, x: &str, [top, left]: [usize; 2]) -> String {
        let output = &self.node.output;
        let starts = self.integers("starts", &[top, left]);
        let ends = self.integers("ends", &[top + output[1], left + output[2]]);
        let axes = self.integers("axes", &[2, 3]);
        self.node("Slice", &[x, &starts, &ends, &axes], Vec::new())
    }

    fn pooling(&mut self, operator: &str, x: &str, size: [usize; 2], stride: [usize; 2]) -> String {
        self.node(operator, &[x], vec![integers("kernel_shape", size), integers("strides", stride)])
    }

    fn resize(&mut self, x: &str, is_nearest: bool) -> String {
        let (input, output) = (&self.node.input, &self.node.output);
        let factors = [1, 2].map(|axis| (output[axis] / input[axis]) as f32);
        let scales = self.floats("scales", &[4], vec![1.0, 1.0, factors[0], factors[1]]);
        let (mode, coordinates) = if is_nearest { ("nearest", "asymmetric") } else { ("linear", "half_pixel") };
        let mut attributes = vec![text("mode", mode), text("coordinate_transformation_mode", coordinates)];
        attributes.extend(is_nearest.then(|| text("nearest_mode", "floor")));
        self.node("Resize", &[x, "", &scales], attributes)
    }

    fn activation(&mut self, x: &str, activation: Activation) -> String {
        let (operator, attributes) = match activation {
            Activation::Relu => ("Relu", Vec::new()),
            Activation::LeakyRelu { slope } => ("LeakyRelu", vec![float("alpha", slope)]),
            // ONNX's α and λ are ours.
            Activation::Selu => ("Selu", Vec::new()),
            Activation::Tanh => ("Tanh", Vec::new()),
            Activation::Sigmoid => ("Sigmoid", Vec::new()),
            Activation::Elu { alpha } => ("Elu", vec![float("alpha", alpha)]),
            Activation::Softplus => ("Softplus", Vec::new()),
            Activation::HardSigmoid => ("HardSigmoid", vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]),
            Activation::Gelu => return self.gelu(x),
            Activation::Silu => {
                let sigmoid = self.node("Sigmoid", &[x], Vec::new());
                return self.node("Mul", &[x, &sigmoid], Vec::new());
            }
        };
        self.node(operator, &[x], attributes)
    }

    /// x · (1 + erf(x / √2)) / 2, in the order in which runtimes look for it: an operator comes with version 20 only.
    fn gelu(&mut self, x: &str) -> String {
        let constants = [("sqrt_2", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)];
        let [sqrt_2, one, half] = constants.map(|(name, value)| self.floats(name, &[], vec![value]));
        let scaled = self.node("Div", &[x, &sqrt_2], Vec::new());
        let erf = self.node("Erf", &[&scaled], Vec::new());
        let sum = self.node("Add", &[&erf, &one], Vec::new());
        let product = self.node("Mul", &[x, &sum], Vec::new());
        self.node("Mul", &[&product, &half], Vec::new())
    }

    /// As an instance normalisation of the groups: of the versions of ONNX's own operator the first has a scale for
    /// each group, not for each channel.
    fn group_norm(&mut self, x: &str, groups: usize, epsilon: f32) -> String {
        let weights = self.weights();
        let input = &self.node.input;
        let values = input.iter().product::<usize>() / groups;
        let rows = self.reshape(x, "groups", &[groups, values]);
        let ones = self.floats("ones", &[groups], vec![1.0; groups]);
        let zeros = self.floats("zeros", &[groups], vec![0.0; groups]);
        let normal = self.node("InstanceNormalization", &[&rows, &ones, &zeros], vec![float("epsilon", epsilon)]);
        let normal = self.reshape(&normal, "shape", input);
        let scaled = self.node("Mul", &[&normal, &weights[0]], Vec::new());
        self.node("Add", &[&scaled, &weights[1]], Vec::new())
    }

    /// ONNX's recurrent operators go through (time, batch, features), for one direction or two, and have their gates
    /// in another order.
    fn recurrent(&mut self, x: &str) -> String {
        let (features, output) = (self.node.input[1], &self.node.output);
        let units = output[output.len() - 1];
        let is_lstm = self.node.layer.name() == "lstm";
        let (operator, order): (&str, &[usize]) = if is_lstm { ("LSTM", &[0, 3, 1, 2]) } else { ("GRU", &[1, 0, 2]) };
        let [of_input, of_state, bias, state_bias] =
            [0, 1, 2, 3].map(|index| by_gates(&self.node.parameters[index].values, units, order));
        let gates = order.len() * units;
        let weights = [
            self.floats("weight_ih", &[1, gates, features], of_input),
            self.floats("weight_hh", &[1, gates, units], of_state),
            self.floats("bias", &[1, 2 * gates], [bias, state_bias].concat()),
        ];
        let swapped = || vec![integers("perm", [1, 0, 2])];
        let steps = self.node("Transpose", &[x], swapped());

        let mut attributes = vec![integer("hidden_size", units)];
        attributes.extend((!is_lstm).then(|| integer("linear_before_reset", 1)));
        let inputs = [&steps, &weights[0], &weights[1], &weights[2]].map(String::as_str);
        let states = self.node(operator, &inputs, attributes);
        if output.len() == 1 {
            self.graph.leave_out_first_output(); // All states; the second is the last one.
            let axes = self.integers("axes", &[0]);
            return self.node("Squeeze", &[&states, &axes], Vec::new());
        }
        let axes = self.integers("axes", &[1]);
        let states = self.node("Squeeze", &[&states, &axes], Vec::new());
        self.node("Transpose", &[&states], swapped())
    }
}

fn checked(convolution: Result<Convolution, String>) -> Convolution {
    convolution.expect("output_shape has checked it")
}

/// How many pixels of the large feature map all windows span together.
fn span(convolution: &Convolution) -> [usize; 2] {
    let Convolution { small, kernel, stride, dilation, .. } = convolution;
    [0, 1].map(|axis| (small[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1)
}

fn attributes(convolution: &Convolution, [bottom, right]: [usize; 2]) -> Vec<AttributeProto> {
    let Convolution { kernel, stride, before: [top, left], dilation, groups, .. } = *convolution;
    vec![
        integers("kernel_shape", kernel),
        integers("strides", stride),
        integers("dilations", dilation),
        integer("group", groups),
        integers("pads", [top, left, bottom, right]),
    ]
}

/// (inputs, gates · units) to (gates · units, inputs), with the gates in this order.
fn by_gates(values: &[f32], units: usize, order: &[usize]) -> Vec<f32> {
    let columns = order.iter().flat_map(|gate| gate * units..(gate + 1) * units);
    columns.flat_map(|column| values[column..].iter().step_by(order.len() * units)).copied().collect()
}
