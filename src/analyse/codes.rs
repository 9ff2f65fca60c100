//! Points of a latent space, each with the label of the image it came from.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    finite::first_not_finite,
    limit,
};

/// Codes: points of a latent space, shape `(n, latent_dim)`, with their labels and the names of the classes.
///
/// Always valid: one label for each point, every label names a class, every coordinate is finite.
///
/// ```
/// use latentlab::Codes;
/// use latentlab::ndarray::array;
///
/// let names = vec!["zero".to_string(), "one".to_string()];
/// let codes = Codes::new(array![[0.0, 1.0], [4.0, 4.0], [2.0, 3.0]], array![0, 1, 0], names)?;
/// assert_eq!(codes.class_means()?, array![[1.0, 2.0], [4.0, 4.0]]);
/// assert_eq!(codes.to_string(), "3 codes of 2 values, 2 classes");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Codes {
    points: Array2<f32>,
    labels: Array1<usize>,
    class_names: Vec<String>,
    /// The name of an axis in a figure, before its number.
    axis: &'static str,
}

impl Codes {
    /// Codes from `points` of shape `(n, latent_dim)`, `labels` of shape `(n)` and a name for every class.
    ///
    /// # Errors
    /// If the counts of points and labels differ, points have no coordinates, a label is not below the number of
    /// classes, or a coordinate is NaN or infinite.
    pub fn new(points: Array2<f32>, labels: Array1<usize>, class_names: Vec<String>) -> Result<Self> {
        if points.nrows() != labels.len() {
            let expected = format!("one for each of the {} points", points.nrows());
            return Err(Error::expected(ErrorKind::Shape, "Codes, labels", expected, labels.len()));
        }
        if points.ncols() == 0 {
            return Err(Error::expected(ErrorKind::Shape, "Codes, points", "at least 1 value a point", 0));
        }
        if let Some((i, label)) = labels.iter().enumerate().find(|&(_, &label)| label >= class_names.len()) {
            let expected = format!("a label below {} (the number of class names)", class_names.len());
            return Err(Error::argument(format!("Codes, label {i}"), expected, label));
        }
        let points = if points.is_standard_layout() { points } else { points.as_standard_layout().into_owned() };
        check_finite("Codes, point", points.as_slice().unwrap_or_default(), points.ncols())?;
        Ok(Self { points, labels, class_names, axis: "latent" })
    }

    /// The raw pixels as codes, (n, channels · height · width): the baseline for a latent space.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset};
    ///
    /// let codes = Codes::of_pixels(&Dataset::built_in_digits(20, 0)?);
    /// assert_eq!(codes.points().dim(), (20, 784));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn of_pixels(images: &Dataset) -> Self {
        let width = images.image_shape().iter().product();
        // A data set is as valid as codes are: finite values, at least one for each image, a class for every label.
        Self {
            points: ArrayView2::from_shape((images.len(), width), images.values()).expect("n images").to_owned(),
            labels: images.labels().clone(),
            class_names: images.class_names().to_vec(),
            axis: "latent",
        }
    }

    /// Refuses codes of another number of values.
    pub(super) fn check_width(&self, place: &str, width: usize) -> Result<()> {
        if self.latent_dim() == width {
            return Ok(());
        }
        Err(Error::expected(ErrorKind::Shape, place, format!("codes of {width} values"), self.latent_dim()))
    }

    /// Other points with these codes' labels; a figure labels their axes `axis` 1, 2 and so on.
    pub(crate) fn moved(&self, points: Array2<f32>, axis: &'static str) -> Result<Self> {
        Ok(Self::new(points, self.labels.clone(), self.class_names.clone())?.named(axis))
    }

    /// The same codes with other names of their axes in a figure.
    pub(super) fn named(self, axis: &'static str) -> Self {
        Self { axis, ..self }
    }

    /// The label of the axis of value `index` in a figure.
    pub(crate) fn axis_name(&self, index: usize) -> String {
        format!("{} {}", self.axis, index + 1)
    }

    /// The points, shape `(n, latent_dim)`.
    pub fn points(&self) -> &Array2<f32> {
        &self.points
    }

    /// The class of every point, shape `(n)`.
    pub fn labels(&self) -> &Array1<usize> {
        &self.labels
    }

    /// The name of every class; a label is an index into it.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.points.nrows()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values of a code.
    pub fn latent_dim(&self) -> usize {
        self.points.ncols()
    }

    /// The mean code of every class, shape `(classes, latent_dim)`; summed in double precision.
    ///
    /// # Errors
    /// If a class has no points (its mean does not exist), or one result cannot hold the means (4 GiB).
    pub fn class_means(&self) -> Result<Array2<f32>> {
        let classes = self.class_names.len();
        limit::check("class_means", "means", &[classes, self.latent_dim(), size_of::<f64>() / size_of::<f32>()])?;
        let mut sums = Array2::<f64>::zeros((classes, self.latent_dim()));
        let mut counts = vec![0_usize; classes];
        for (point, &label) in self.points.rows().into_iter().zip(&self.labels) {
            sums.row_mut(label).zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
            counts[label] += 1;
        }
        if let Some(class) = counts.iter().position(|&count| count == 0) {
            let expected = format!("at least 1 point of class {class} ({})", self.class_names[class]);
            return Err(Error::argument("class_means", expected, "none"));
        }
        for (mut sum, &count) in sums.rows_mut().into_iter().zip(&counts) {
            sum /= count as f64;
        }
        Ok(sums.mapv(|mean| mean as f32))
    }

    /// The first `n` codes; all of them if there are fewer.
    pub fn take(&self, n: usize) -> Self {
        self.rows(&Vec::from_iter(0..n.min(self.len())))
    }

    /// The codes at `indices`, in that order.
    ///
    /// # Errors
    /// If an index is not below the number of codes, or the result would be larger than one result may be (4 GiB).
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if let Some(index) = indices.iter().find(|&&index| index >= self.len()) {
            let expected = format!("indices below {} (the number of codes)", self.len());
            return Err(Error::argument("Codes::select, indices", expected, index));
        }
        limit::check("Codes::select", "codes", &[indices.len(), self.latent_dim()])?;
        Ok(self.rows(indices))
    }

    /// The first `n` codes of every class (all of a class that has fewer), in their present order.
    pub fn per_class(&self, n: usize) -> Self {
        self.rows(&self.indices_per_class(n))
    }

    /// The indices of the codes of [`per_class`](Self::per_class): to select what belongs to them (images,
    /// [`recognised`](crate::Clustering::recognised)).
    pub fn indices_per_class(&self, n: usize) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        let is_among_first = |&(_, &label): &(usize, &usize)| {
            counts[label] += 1;
            counts[label] <= n
        };
        self.labels.iter().enumerate().filter(is_among_first).map(|(index, _)| index).collect()
    }

    fn rows(&self, indices: &[usize]) -> Self {
        Self {
            points: self.points.select(Axis(0), indices),
            labels: self.labels.select(Axis(0), indices),
            class_names: self.class_names.clone(),
            axis: self.axis,
        }
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, latent_dim, classes) = (self.len(), self.latent_dim(), self.class_names.len());
        write!(f, "{n} codes of {latent_dim} values, {classes} classes")
    }
}

/// Refuses points with so many values each of which one is NaN or infinite; `what` they are begins the mistake.
pub(super) fn check_finite(what: &str, values: &[f32], width: usize) -> Result<()> {
    first_not_finite(values).map_or(Ok(()), |index| {
        let place = format!("{what} {}, value {}", index / width, index % width);
        Err(Error::argument(place, "a finite number", values[index]))
    })
}
