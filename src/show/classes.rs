//! The classes that are there: their names, their colours, their legend.

use std::collections::BTreeMap;

use ndarray::Array1;
use plotters::prelude::*;

use super::figure::{Area, Drawn, px};
use super::frame::{Entry, Mark};
use super::palette::{self, INK, PALETTE};
use super::text::{self, HPos, LINE, SMALL, VPos};
use crate::error::{Error, ErrorKind, Result};

/// A legend names so many classes at most, the largest.
const NAMED: usize = 47;
/// The room for a name beside the points.
const BESIDE: f64 = 90.0;

/// Refuses labels that are not one for each point, or that have no name. Only the classes that are there count, and there may be any number.
pub(super) fn check_classes(
    chart: &str,
    labels: &Array1<usize>,
    points: usize,
    names: Option<&[String]>,
) -> Result<()> {
    let wrong = |kind, what: String, expected: String, got: usize| {
        Err(Error::expected(kind, format!("{chart}, {what}"), expected, got))
    };
    if labels.len() != points {
        return wrong(ErrorKind::Shape, "labels".into(), format!("{points}, one for each point"), labels.len());
    }
    let Some(names) = names else { return Ok(()) };
    match labels.iter().enumerate().find(|(_, label)| **label >= names.len()) {
        Some((index, label)) => {
            let expected = format!("a class below {} (the number of names)", names.len());
            wrong(ErrorKind::Argument, format!("label {index}"), expected, *label)
        }
        None => Ok(()),
    }
}

/// The classes that occur among labels.
pub(super) struct Classes<'a> {
    names: Option<&'a [String]>,
    /// By label: how many there are, and in which colour they are drawn.
    there: BTreeMap<usize, (usize, RGBColor)>,
}

impl<'a> Classes<'a> {
    pub(super) fn new(labels: &Array1<usize>, names: Option<&'a [String]>) -> Self {
        let mut there = BTreeMap::new();
        for label in labels {
            there.entry(*label).or_insert((0, INK)).0 += 1;
        }
        // The same class has the same colour in all figures as long as ten colours are enough for its number.
        let by_label = there.keys().all(|label| *label < PALETTE.len());
        let count = there.len();
        for (rank, (label, (_, color))) in there.iter_mut().enumerate() {
            *color = if by_label { palette::color(*label) } else { palette::color_of(rank, count) };
        }
        Self { names, there }
    }

    /// The labels that occur.
    pub(super) fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        self.there.keys().copied()
    }

    pub(super) fn color(&self, label: usize) -> RGBColor {
        self.there.get(&label).map_or(INK, |(_, color)| *color)
    }

    pub(super) fn name(&self, label: usize) -> String {
        self.names.and_then(|names| names.get(label)).map_or_else(|| label.to_string(), String::clone)
    }

    /// Whether there are so many that colours alone do not tell them apart.
    pub(super) fn are_many(&self) -> bool {
        self.there.len() > PALETTE.len()
    }

    /// The labels that occur most often, at most so many.
    fn largest(&self, most: usize) -> Vec<usize> {
        let mut labels: Vec<usize> = self.labels().collect();
        labels.sort_by_key(|label| std::cmp::Reverse(self.there[label].0));
        labels.truncate(most);
        labels
    }

    /// A line for each class, or for each of the largest.
    pub(super) fn legend(&self) -> Vec<Entry> {
        let mut named = self.largest(NAMED);
        named.sort_unstable();
        let entry = |label: &usize| Entry { text: self.name(*label), mark: Mark::Dot(self.color(*label)) };
        let mut legend: Vec<Entry> = named.iter().map(entry).collect();
        match self.there.len() - named.len() {
            0 => {}
            more => legend.push(Entry { text: format!("… and {more} others"), mark: Mark::Space }),
        }
        legend
    }

    /// Where there are many classes, their names beside their points, the largest first, as far as there is room between them.
    /// `places`: a label and the middle of its points, in the canvas' units.
    pub(super) fn draw_names<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        places: &BTreeMap<usize, (i32, i32)>,
    ) -> Drawn<DB> {
        let mut taken: Vec<[(i32, i32); 2]> = Vec::new();
        for label in self.largest(if self.are_many() { 2 * NAMED } else { 0 }) {
            let Some(&(x, y)) = places.get(&label) else { continue };
            let name = text::fitting(&self.name(label), SMALL, BESIDE);
            let (width, height) = (px(text::width(&name, SMALL) + 4.0), px(SMALL * LINE));
            let behind = [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)];
            let touches = |other: &[(i32, i32); 2]| {
                behind[0].0 < other[1].0
                    && other[0].0 < behind[1].0
                    && behind[0].1 < other[1].1
                    && other[0].1 < behind[1].1
            };
            if taken.iter().any(touches) {
                continue;
            }
            area.draw(&Rectangle::new(behind, WHITE.mix(0.75).filled()))?;
            text::draw(area, &name, &text::style(SMALL, HPos::Center, VPos::Center), (x, y))?;
            taken.push(behind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn only_the_classes_that_are_there_count() {
        let names: Vec<String> = (0..47).map(|class| format!("class {class}")).collect();
        let labels = array![3, 40, 40, 17];
        check_classes("scatter", &labels, 4, Some(&names)).unwrap();
        let classes = Classes::new(&labels, Some(&names));
        assert_eq!(classes.labels().collect::<Vec<_>>(), [3, 17, 40]);
        assert_eq!([3, 17, 40].map(|label| classes.color(label)), [0, 1, 2].map(palette::color));
        let texts: Vec<String> = classes.legend().into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["class 3", "class 17", "class 40"]);
        let few = Classes::new(&array![9, 2], None);
        assert_eq!((few.color(9), few.color(2)), (palette::color(9), palette::color(2)), "as in every figure");
    }

    #[test]
    fn many_classes_have_a_legend_of_the_largest() {
        let labels = Array1::from_iter((0..300).flat_map(|class| vec![class; 1 + usize::from(class % 7 == 0)]));
        let legend = Classes::new(&labels, None).legend();
        assert_eq!(legend.len(), NAMED + 1);
        assert_eq!(legend[0].text, "0");
        assert_eq!(legend[NAMED].text, "… and 253 others");
        assert!(["7", "14", "294"].iter().all(|name| legend.iter().any(|entry| entry.text == *name)));
    }
}
