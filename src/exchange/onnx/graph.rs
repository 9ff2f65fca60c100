//! A graph of ONNX, made node by node.

use prost::Message;

use super::messages::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{
    error::{Error, ErrorKind, Result},
    file::tensors::Element,
};

/// The operators' version, and that of the format which came with it (ONNX 1.12).
const OPERATOR_SET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Types of tensors.
pub(super) const FLOAT: i32 = 1;
pub(super) const INT64: i32 = 7;

/// What the first size of every tensor is called: as many rows as the run gets.
const BATCH: &str = "batch";

/// What a message of protocol buffers may have at most.
const MOST_BYTES: usize = i32::MAX as usize;

pub(super) struct Graph(GraphProto);

impl Graph {
    /// With an input of that shape, without the batch, and nothing else.
    pub fn new(name: &str, input: &str, shape: &[usize]) -> Self {
        Self(GraphProto { name: name.into(), input: vec![value(input, shape)], ..GraphProto::default() })
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) {
        self.constant(name, FLOAT, shape, f32::to_bytes(values.into_iter()));
    }

    /// Adds a constant list of whole numbers.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        self.constant(name, INT64, &[values.len()], i64::to_bytes(values.iter().copied()));
    }

    fn constant(&mut self, name: &str, data_type: i32, shape: &[usize], raw_data: Vec<u8>) {
        let dims = shape.iter().map(|size| *size as i64).collect();
        self.0.initializer.push(TensorProto { dims, data_type, name: name.into(), raw_data });
    }

    /// Adds a node. An empty name of an input leaves it out.
    pub fn node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let (input, output, name) = (owned(inputs), owned(outputs), name.into());
        self.0.node.push(NodeProto { input, output, name, op_type: operator.into(), attribute: attributes });
    }

    /// Makes the output of the last node its second one.
    pub fn leave_out_first_output(&mut self) {
        self.0.node.last_mut().into_iter().for_each(|node| node.output.insert(0, String::new()));
    }

    /// Renames the output of the last node, which nothing has taken yet, and tells its shape.
    pub fn rename_last(&mut self, name: &str, shape: &[usize]) {
        let output = self.0.node.last_mut().and_then(|node| node.output.last_mut());
        output.into_iter().for_each(|output| *output = name.into());
        self.0.value_info.push(value(name, shape));
    }

    /// Makes a tensor an output of the graph, under that name, which it has from then on.
    pub fn output(&mut self, tensor: &str, name: &str, shape: &[usize]) {
        let is_made_here = self.0.node.iter().any(|node| node.output.iter().any(|output| output == tensor));
        if is_made_here && self.0.output.iter().all(|output| output.name != tensor) {
            let nodes = self.0.node.iter_mut();
            let names = nodes.flat_map(|node| node.input.iter_mut().chain(&mut node.output));
            names.filter(|taken| *taken == tensor).for_each(|taken| *taken = name.into());
            self.0.value_info.retain(|value| value.name != tensor);
        } else {
            // An input, or under another name an output already.
            self.node(name, "Identity", &[tensor], &[name], Vec::new());
        }
        self.0.output.push(value(name, shape));
    }

    /// The bytes of a file with this graph; `place` is its path.
    pub fn into_bytes(self, place: &str) -> Result<Vec<u8>> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.0),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
        };
        check_length(place, model.encoded_len())?;
        Ok(model.encode_to_vec())
    }
}

fn check_length(place: &str, bytes: usize) -> Result<()> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let expected = format!("a model of at most {MOST_BYTES} bytes, as ONNX holds it in one file");
    Err(Error::expected(ErrorKind::Argument, place, expected, bytes))
}

/// The name and the shape of a tensor of floats, given without the batch.
fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_param: Some(BATCH.into()), dim_value: None };
    let sizes = shape.iter().map(|size| DimensionProto { dim_value: Some(*size as i64), dim_param: None });
    let shape = TensorShapeProto { dim: [batch].into_iter().chain(sizes).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f: Some(value), r#type: 1, ..AttributeProto::default() }
}

pub(super) fn integer(name: &str, value: usize) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(value as i64), r#type: 2, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: Some(value.into()), r#type: 3, ..AttributeProto::default() }
}

pub(super) fn integers(name: &str, values: impl IntoIterator<Item = usize>) -> AttributeProto {
    let ints = values.into_iter().map(|value| value as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: 7, ..AttributeProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_at_most_the_bytes_of_a_message() {
        assert!(check_length("a.onnx", MOST_BYTES).is_ok());
        let error = check_length("a.onnx", MOST_BYTES + 1).unwrap_err();
        let expected = "a model of at most 2147483647 bytes, as ONNX holds it in one file";
        assert_eq!(error.to_string(), format!("a.onnx: expected {expected}, got 2147483648"));
        assert_eq!(error.kind(), ErrorKind::Argument);
    }
}
