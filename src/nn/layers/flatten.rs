use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, channels_first};
use crate::nn::{
    sequential::Sequential,
    tape::{Pass, Variable},
};

/// Any shape to one row of values, channels first. Feature maps of one channel or one pixel need no copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flatten {}

impl Sequential {
    /// Any shape to a flat one: `[1, 28, 28]` becomes `[784]`, channels first, row by row (PyTorch's order).
    pub fn flatten(self) -> Self {
        self.push(Flatten {})
    }
}

impl Operation for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(vec![input.iter().product()])
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        channels_first(x, context.input, pass)
    }
}
