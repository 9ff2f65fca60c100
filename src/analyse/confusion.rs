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

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn confusion() -> Confusion {
        let names = ["Bag", "A<B&C", "Coat"].map(String::from).to_vec();
        Confusion::new(&array![0, 0, 0, 0, 1, 1], &array![0, 0, 0, 2, 1, 0], names).unwrap()
    }

    #[test]
    fn shares_are_of_the_true_class() {
        let confusion = confusion();
        assert_eq!(confusion.counts(), array![[3, 0, 1], [1, 1, 0], [0, 0, 0]]);
        assert_eq!(confusion.accuracy(), 4.0 / 6.0);
        assert_eq!(confusion.class_accuracies(), [Some(0.75), Some(0.5), None]);
        assert_eq!(confusion.normalised(), array![[0.75, 0.0, 0.25], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]);
    }

    #[test]
    fn the_table_lines_up() {
        let expected = "\
accuracy 66.67 %

true \\ predicted  Bag  A<B&C  Coat  recognised
Bag                 3      0     1     75.00 %
A<B&C               1      1     0     50.00 %
Coat                0      0     0           –";
        assert_eq!(confusion().to_string(), expected);
        let html = confusion().to_html();
        assert!(html.contains(">A&lt;B&amp;C</td><td style=\"text-align: right; padding: 2px 8px\">1</td>"), "{html}");
    }

    #[test]
    fn of_many_classes_the_most_common_mistakes_are_shown() {
        let names = Vec::from_iter((0..200).map(|class| format!("class {class}")));
        let confusion = Confusion::new(&array![7, 7, 7, 9, 9, 3], &array![7, 8, 8, 9, 4, 3], names).unwrap();
        let expected = "\
accuracy 50.00 %

true     predicted  images  of the class
class 7    class 8       2       66.67 %
class 9    class 4       1       50.00 %";
        assert_eq!(confusion.to_string(), expected);
        assert_eq!(confusion.to_html().matches("<tr>").count(), 3);
    }

    #[test]
    fn counts_are_counted_before_they_are_made() {
        let names = Vec::from_iter((0..100_000).map(|class| class.to_string()));
        let error = Confusion::new(&array![0], &array![0], names).unwrap_err().to_string();
        let expected = "Confusion: expected at most 4 GiB for one result, got 74.5 GiB \
                        (counts of two values each: 100000 × 100000 × 2 values)";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn any_name_fits_into_the_table() {
        let names = vec!["x".repeat(70_000), "a\nb\u{1}latentlab {}".to_string()];
        let text = Confusion::new(&array![0, 1], &array![0, 1], names).unwrap().to_string();
        assert!(text.lines().all(|line| line.chars().count() < 200) && text.lines().count() == 5, "{text}");
        assert!(!text.contains('\u{1}'), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let names = || vec!["a".to_string(), "b".to_string()];
        for (labels, predictions, message) in [
            (array![], array![], "Confusion, labels: expected at least 1, got 0"),
            (array![0, 1], array![0], "Confusion, predictions: expected one for each of the 2 labels, got 1"),
            (
                array![0, 2],
                array![0, 1],
                "Confusion, label 1: expected a class below 2 (the number of class names), got 2",
            ),
            (
                array![0, 1],
                array![3, 1],
                "Confusion, prediction 0: expected a class below 2 (the number of class names), got 3",
            ),
        ] {
            assert_eq!(Confusion::new(&labels, &predictions, names()).unwrap_err().to_string(), message);
        }
    }
}
