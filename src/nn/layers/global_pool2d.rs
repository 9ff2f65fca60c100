use serde::{Deserialize, Serialize};

use super::{HeightWidth, LayerContext, Operation, avg_pool2d::AvgPool2d, feature_maps, max_pool2d::MaxPool2d};
use crate::nn::{
    sequential::Sequential,
    tape::{Pass, Variable},
};

/// A pooling whose one window is the whole feature map, which leaves one value for each channel.
///
/// Shapes: x (n, channels, height, width), y (n, channels).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum GlobalPool2d {
    Avg,
    Max,
}

impl Sequential {
    /// Global average pooling (Lin et al. 2013): the mean of each channel. Input `[channels, height, width]`, output
    /// `[channels]`; Keras' `GlobalAveragePooling2D`, PyTorch's `AdaptiveAvgPool2d(1)` and `Flatten`.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(8, 3).relu().global_avg_pool2d().dense(10).build()?;
    /// assert_eq!(network.take(3).output_shape(), [8]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn global_avg_pool2d(self) -> Self {
        self.push(GlobalPool2d::Avg)
    }

    /// Global max-pooling: the largest value of each channel. Input `[channels, height, width]`, output `[channels]`;
    /// Keras' `GlobalMaxPooling2D`, PyTorch's `AdaptiveMaxPool2d(1)` and `Flatten`.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([8, 7, 5]).global_max_pool2d().build()?.output_shape(), [8]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn global_max_pool2d(self) -> Self {
        self.push(GlobalPool2d::Max)
    }
}

impl GlobalPool2d {
    /// The pooling with one window of that size.
    fn pooling(self, [_, height, width]: [usize; 3]) -> Box<dyn Operation> {
        let size = HeightWidth::from([height, width]);
        match self {
            Self::Avg => Box::new(AvgPool2d { size, stride: size }),
            Self::Max => Box::new(MaxPool2d { size, stride: size }),
        }
    }
}

impl Operation for GlobalPool2d {
    fn name(&self) -> &'static str {
        match self {
            Self::Avg => "global_avg_pool2d",
            Self::Max => "global_max_pool2d",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let pooled = self.pooling(feature_maps(input)?).output_shape(input)?;
        Ok(vec![pooled[0]])
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let input = feature_maps(context.input).expect("output_shape has checked it");
        self.pooling(input).forward(x, context, pass)
    }
}
