use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, channels_first, channels_last, shape_text};
use crate::nn::{
    sequential::Sequential,
    tape::{Pass, Variable},
};

/// The same values, channels first, under another shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reshape {
    shape: Vec<usize>,
}

impl Sequential {
    /// The same values under another shape, as in `.dense(784).reshape([1, 28, 28])`; their number must not change.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let error = Sequential::input([2]).dense(3136).reshape([64, 7, 8]).build().unwrap_err();
    /// assert_eq!(error.to_string(), "layer 2, reshape: 3136 values cannot become [64, 7, 8] (3584)");
    /// ```
    pub fn reshape(self, shape: impl AsRef<[usize]>) -> Self {
        self.push(Reshape { shape: shape.as_ref().to_vec() })
    }
}

impl Operation for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let values: usize = input.iter().product();
        match self.shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n)) {
            Some(wanted) if wanted == values => Ok(self.shape.clone()),
            Some(wanted) => Err(format!("{values} values cannot become {} ({wanted})", shape_text(&self.shape))),
            None => Err(format!("{values} values cannot become {}", shape_text(&self.shape))),
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        channels_last(channels_first(x, context.input, pass), &self.shape, pass)
    }
}
