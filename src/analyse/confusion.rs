//! Which classes a classifier confuses.

use std::fmt;

use ndarray::{Array1, Array2};

use super::agreement::contingency;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{cell, percent};
use crate::limit;

/// With more classes than this the tables show the most common mistakes instead of every count.
const MOST_CLASSES: usize = 100;

/// How many mistakes they show.
const MISTAKES: usize = 20;

/// How often each class was predicted as each: rows are the true classes, columns the predicted ones.
///
/// `Display` prints the counts as a table, with the share of each class that was recognised; of more than 100 classes
/// the 20 most common mistakes.
///
/// ```
/// use latentlab::Confusion;
/// use latentlab::ndarray::array;
///
/// let names = vec!["zero".to_string(), "one".to_string()];
/// let confusion = Confusion::new(&array![0, 0, 0, 1], &array![0, 0, 1, 1], names)?;
/// assert_eq!(confusion.counts(), array![[2, 1], [0, 1]]);
/// assert_eq!(confusion.accuracy(), 0.75);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Confusion {
    counts: Array2<usize>,
    class_names: Vec<String>,
}

impl Confusion {
    /// Compares the true `labels` with the `predictions`, both of shape `(n)`; an index into `class_names` each.
    ///
    /// # Errors
    /// If there are none, their numbers differ, one of them is not below the number of classes, or one result cannot
    /// hold the counts of (classes · classes) pairs (4 GiB: 23,170 classes).
    pub fn new(labels: &Array1<usize>, predictions: &Array1<usize>, class_names: Vec<String>) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::argument("Confusion, labels", "at least 1", 0));
        }
        if labels.len() != predictions.len() {
            let expected = format!("one for each of the {} labels", labels.len());
            return Err(Error::expected(ErrorKind::Shape, "Confusion, predictions", expected, predictions.len()));
        }
        let classes = class_names.len();
        for (what, values) in [("label", labels), ("prediction", predictions)] {
            if let Some((i, class)) = values.iter().enumerate().find(|(_, class)| **class >= classes) {
                let expected = format!("a class below {classes} (the number of class names)");
                return Err(Error::argument(format!("Confusion, {what} {i}"), expected, class));
            }
        }
        limit::check("Confusion", "counts of two values each", &[classes, classes, 2])?;
        Ok(Self { counts: contingency(labels, predictions, (classes, classes)), class_names })
    }

    /// How many of each true class (row) were predicted as each class (column), shape `(classes, classes)`.
    pub fn counts(&self) -> &Array2<usize> {
        &self.counts
    }

    /// The names of the classes.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The fraction of correct predictions.
    pub fn accuracy(&self) -> f64 {
        self.counts.diag().sum() as f64 / self.counts.sum() as f64
    }

    /// The fraction of correct predictions for each true class; `None` for a class that does not occur.
    pub fn class_accuracies(&self) -> Vec<Option<f64>> {
        let rows = self.counts.rows().into_iter().enumerate();
        rows.map(|(class, row)| (row.sum() > 0).then(|| row[class] as f64 / row.sum() as f64)).collect()
    }

    /// The rows as fractions that sum to 1 (0 for a class that does not occur), shape `(classes, classes)`.
    pub fn normalised(&self) -> Array2<f64> {
        let mut shares = self.counts.mapv(|count| count as f64);
        for mut row in shares.rows_mut() {
            row /= row.sum().max(1.0);
        }
        shares
    }

    /// The table with its header: the true class, the counts, the share recognised.
    pub(crate) fn cells(&self) -> Vec<Vec<String>> {
        if self.class_names.len() > MOST_CLASSES {
            return self.mistakes();
        }
        let names = self.class_names.iter().map(|name| cell(name));
        let head = [vec!["true \\ predicted".to_string()], names.collect(), vec!["recognised".to_string()]].concat();
        let rows = self.counts.rows().into_iter().zip(&self.class_names).zip(self.class_accuracies());
        let rows = rows.map(|((row, name), accuracy)| {
            let counts = row.iter().map(usize::to_string).collect();
            [vec![cell(name)], counts, vec![accuracy.map_or("–".into(), percent)]].concat()
        });
        std::iter::once(head).chain(rows).collect()
    }

    /// The most common mistakes with their header: the true class, the predicted one, the count, the share of the
    /// class.
    fn mistakes(&self) -> Vec<Vec<String>> {
        let wrong =
            self.counts.indexed_iter().filter(|&((truth, prediction), &count)| truth != prediction && count > 0);
        let mut wrong: Vec<((usize, usize), usize)> = wrong.map(|(place, &count)| (place, count)).collect();
        wrong.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let rows = wrong.into_iter().take(MISTAKES).map(|((truth, prediction), count)| {
            let share = count as f64 / self.counts.row(truth).sum() as f64;
            [truth, prediction]
                .map(|class| cell(&self.class_names[class]))
                .into_iter()
                .chain([count.to_string(), percent(share)])
                .collect()
        });
        let head = ["true", "predicted", "images", "of the class"].map(String::from).to_vec();
        std::iter::once(head).chain(rows).collect()
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "accuracy {}", percent(self.accuracy()))?;
        let cells = self.cells();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        for row in &cells {
            write!(f, "\n{:w$}", row[0], w = width(0))?;
            for (column, cell) in row.iter().enumerate().skip(1) {
                write!(f, "  {cell:>w$}", w = width(column))?;
            }
        }
        Ok(())
    }
}
