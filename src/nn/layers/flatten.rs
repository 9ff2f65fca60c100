use serde::{Deserialize, Serialize};

use super::{Layer, Operation, Place, channels_first};
use crate::nn::{
    sequential::Sequential,
    tape::{Pass, Tape, Variable},
};

/// Any shape to one row of values, channels first. Pictures of one channel or one pixel need not move for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flatten {}

impl Sequential {
    /// Any shape to a flat one: `[1, 28, 28]` becomes `[784]`, channels first, row by row (PyTorch's order).
    pub fn flatten(self) -> Self {
        self.push(Layer::Flatten(Flatten {}))
    }
}

impl Operation for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(vec![input.iter().product()])
    }

    fn forward<T: Tape>(&self, x: Variable<T>, place: Place<'_>, _pass: &mut Pass) -> Variable<T> {
        channels_first(x, place.input)
    }
}
