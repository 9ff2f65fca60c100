//! Looking into a network and changing it: its weights, what each layer makes of images, and networks cut and joined.

use std::{fmt, ptr, sync::Arc};

use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IxDyn};

use super::{
    layers::shape_text,
    live,
    plan::{PlanStep, steps_of},
    sequential::{Node, Sequential, rows_of},
    tape::Pass,
};
use crate::error::{Error, ErrorKind, Result};

/// What a layer makes of a batch, in [`Sequential::activations`].
#[derive(Clone)]
#[non_exhaustive]
pub struct LayerActivations {
    /// The layer's number in the network, from 1.
    pub number: usize,
    /// The layer's kind, such as "conv2d".
    pub kind: String,
    /// The values, (n, …output shape of the layer).
    pub values: ArrayD<f32>,
}

impl fmt::Debug for LayerActivations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(|value| f64::from(*value));
        let (mut lowest, mut highest, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        values.for_each(|value| (lowest, highest, sum) = (lowest.min(value), highest.max(value), sum + value));
        let (number, kind, shape) = (self.number, &self.kind, shape_text(self.values.shape()));
        let mean = sum / self.values.len().max(1) as f64;
        write!(f, "layer {number}, {kind}: {shape}, from {lowest:.4} to {highest:.4}, mean {mean:.4}")
    }
}

impl Sequential {
    /// Weights or statistics by their [name](Self::weight_names), as an array: of dense layers (inputs, units), of
    /// convolutions (height, width, channels, filters), of transposed ones (height, width, filters, channels).
    ///
    /// # Errors
    /// If there are none of that name; the error lists the names.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([4]).dense(3).build()?;
    /// assert_eq!(network.weights("1.weight")?.shape(), [4, 3]);
    /// assert!(network.weights("2.weight").is_err());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn weights(&self, name: &str) -> Result<ArrayD<f32>> {
        self.check()?;
        let (_, parameter) = self.named(name)?;
        ArrayD::from_shape_vec(IxDyn(&parameter.shape), parameter.values.to_vec())
            .map_err(|error| Error::new(ErrorKind::Shape, name, error.to_string()))
    }

    /// Sets weights or statistics by their name: an array of the same shape.
    ///
    /// # Errors
    /// If there are none of that name, the shape is another one, or a value is NaN or infinite; nothing has changed
    /// then.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::Array2};
    ///
    /// let mut network = Sequential::input([3]).dense(3).build()?;
    /// network.set_weights("1.weight", &Array2::<f32>::eye(3))?;
    /// assert_eq!(network.weights("1.weight")?, Array2::<f32>::eye(3).into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn set_weights<D: Dimension>(&mut self, name: &str, values: &Array<f32, D>) -> Result<()> {
        self.set_values(name, values.view().into_dyn())
    }

    fn set_values(&mut self, name: &str, values: ArrayViewD<f32>) -> Result<()> {
        self.check()?;
        let place = || format!("set_weights, {name}");
        let shape = &self.named(name)?.1.shape;
        if values.shape() != shape {
            let got = shape_text(values.shape());
            return Err(Error::expected(ErrorKind::Shape, place(), shape_text(shape), got));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::argument(place(), "finite values", value));
        }
        let index = self.named_parameters().position(|(known, ..)| known == name).unwrap_or_default();
        if let Some(weights) = self.parameters_mut().nth(index) {
            *weights = Arc::new(values.iter().copied().collect());
        }
        live::publish([&*self]);
        Ok(())
    }

    /// What each layer makes of a batch (n, …input shape), one entry a layer.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    ///
    /// ```
    /// use latentlab::{Dataset, Sequential};
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(4, 3).relu().flatten().dense(2).build()?;
    /// let digits = Dataset::built_in_digits(3, 0)?;
    /// let layers = network.activations(&digits.images().clone().into_dyn())?;
    /// assert_eq!((layers[1].kind.as_str(), layers[1].values.shape()), ("relu", &[3, 4, 26, 26][..]));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn activations(&self, input: &ArrayD<f32>) -> Result<Vec<LayerActivations>> {
        self.check()?;
        let (mut x, address) = (input.clone(), ptr::from_ref(self).addr());
        // Layer by layer, so that each sees what the one before has made.
        let each = |(index, (node, step)): (usize, (&Node, PlanStep))| {
            let (shapes, weights) = ([&node.input[..], &node.output], node.weights());
            x = self.predict_with("activations", &x, shapes, |values, rows| {
                let write = &rows_of(values, node.input.iter().product());
                let forward = |x, pass: &mut Pass| step.forward(&weights, address, x, pass);
                Ok(self.in_blocks(0, write, rows, shapes, forward)?.values)
            })?;
            Ok(LayerActivations { number: index + 1, kind: node.layer.name().into(), values: x.clone() })
        };
        self.nodes().iter().zip(steps_of(self)).enumerate().map(each).collect()
    }

    /// The network cut after this many layers: the first ones, and the others, with their weights.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([8]).dense(4).relu().dense(2).build()?;
    /// let (first, rest) = network.split_at(2);
    /// assert_eq!((rest.input_shape(), first.then(&rest).build()?.output_shape()), (&[4][..], &[2][..]));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn split_at(&self, layers: usize) -> (Self, Self) {
        (self.take(layers), self.part(layers, self.nodes().len()))
    }

    /// The layers of this network and then those of another one, each with its weights, as one network.
    ///
    /// # Errors
    /// [`build`](Self::build) returns the mistake of either, or [`ErrorKind::Shape`] if the other's input is not this
    /// one's output.
    pub fn then(&self, other: &Self) -> Self {
        let fits = self.output_shape() == other.input_shape();
        if let (Ok(()), Ok(()), false) = (self.check(), other.check(), fits) {
            let expected = format!("an input of {}", shape_text(self.output_shape()));
            let (place, got) = (format!("then, after {}", self.last_layer()), shape_text(other.input_shape()));
            return self.clone().with_mistake(Error::expected(ErrorKind::Shape, place, expected, got));
        }
        match (self.check(), other.check()) {
            (Ok(()), Err(mistake)) => self.clone().with_mistake(mistake),
            _ => self.joined(other),
        }
    }
}
