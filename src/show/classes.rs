//! The classes that occur among labels: their names, their colours, their legend.

use std::collections::BTreeMap;

use ndarray::Array1;

use super::canvas::{Canvas, Point, px};
use super::frame::{Entry, Mark};
use super::palette::PALETTE;
use super::text::{self, HPos, LINE, SMALL, VPos};
use super::theme::{INK, PAPER, Paint};
use crate::error::{Error, ErrorKind, Result};

/// The most classes that a legend names, the largest.
const NAMED: usize = 47;
/// The width of a name among the points.
const NAME_WIDTH: f64 = 90.0;

/// Refuses labels that are not one for each point, or that have no name. There may be any number of classes.
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
    /// By label: the number of its points, and its colour.
    classes: BTreeMap<usize, (usize, Paint)>,
}

impl<'a> Classes<'a> {
    pub(super) fn new(labels: &Array1<usize>, names: Option<&'a [String]>) -> Self {
        Self::painted(labels, names, Paint::class)
    }

    /// The same for the numbers of clusters.
    pub(super) fn of_clusters(labels: &Array1<usize>, names: Option<&'a [String]>) -> Self {
        Self::painted(labels, names, Paint::cluster)
    }

    fn painted(labels: &Array1<usize>, names: Option<&'a [String]>, paint: impl Fn(usize, usize) -> Paint) -> Self {
        let mut classes = BTreeMap::new();
        for label in labels {
            classes.entry(*label).or_insert((0, INK)).0 += 1;
        }
        // A class has the same colour in all figures as long as its label is one of the first ten.
        let by_label = classes.keys().all(|label| *label < PALETTE.len());
        let count = classes.len();
        for (rank, (label, (_, color))) in classes.iter_mut().enumerate() {
            *color = if by_label { paint(*label, PALETTE.len()) } else { paint(rank, count) };
        }
        Self { names, classes }
    }

    /// The labels that occur.
    pub(super) fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        self.classes.keys().copied()
    }

    pub(super) fn color(&self, label: usize) -> Paint {
        self.classes.get(&label).map_or(INK, |(_, color)| *color)
    }

    pub(super) fn name(&self, label: usize) -> String {
        self.names.and_then(|names| names.get(label)).map_or_else(|| label.to_string(), String::clone)
    }

    /// Whether there are too many for colours alone to tell them apart.
    pub(super) fn are_many(&self) -> bool {
        self.classes.len() > PALETTE.len()
    }

    /// The labels that occur most often, at most `most` of them.
    fn largest(&self, most: usize) -> Vec<usize> {
        let mut labels: Vec<usize> = self.labels().collect();
        labels.sort_by_key(|label| std::cmp::Reverse(self.classes[label].0));
        labels.truncate(most);
        labels
    }

    /// A line for each class, or for each of the largest.
    pub(super) fn legend(&self) -> Vec<Entry> {
        let mut named = self.largest(NAMED);
        named.sort_unstable();
        let entry = |label: &usize| Entry { text: self.name(*label), mark: Mark::Dot(self.color(*label)) };
        let mut legend: Vec<Entry> = named.iter().map(entry).collect();
        match self.classes.len() - named.len() {
            0 => {}
            more => legend.push(Entry { text: format!("… and {more} others"), mark: Mark::Space }),
        }
        legend
    }

    /// If there are many classes, writes their names among their points, the largest first, where they do not touch; of
    /// all classes, if they are `wanted`: those that would touch another one are moved a little.
    /// `places`: by label, the middle of its points in units of the canvas.
    pub(super) fn draw_names(&self, canvas: &Canvas<'_>, places: &BTreeMap<usize, Point>, wanted: bool) {
        let mut taken: Vec<[Point; 2]> = Vec::new();
        for label in self.largest(if self.are_many() || wanted { 2 * NAMED } else { 0 }) {
            let Some(&place) = places.get(&label) else { continue };
            let name = text::fitting(&self.name(label), SMALL, NAME_WIDTH);
            let (width, height) = (px(text::width(&name, SMALL) + 4.0), px(SMALL * LINE));
            let around = |(x, y): Point| [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)];
            let is_free = |at: &Point| {
                let behind = around(*at);
                !taken.iter().any(|other| {
                    behind[0].0 < other[1].0
                        && other[0].0 < behind[1].0
                        && behind[0].1 < other[1].1
                        && other[0].1 < behind[1].1
                })
            };
            let (across, down) = canvas.size();
            let inside = |at: i32, length: i32, size: i32| at.min(size - length / 2).max(length / 2);
            let moved = |(x, y): (i32, i32)| {
                (inside(place.0 + x * width / 2, width, across), inside(place.1 + y * height, height, down))
            };
            let near = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-2, 0), (2, 0), (0, -2), (0, 2)].map(moved);
            let near = &near[..if wanted { near.len() } else { 1 }];
            let found = near.iter().copied().find(is_free);
            let Some((x, y)) = found.or(wanted.then_some(place)) else { continue };
            let behind = around((x, y));
            canvas.rectangle(behind, PAPER.mix(0.75));
            text::draw(canvas, &name, &text::style(SMALL, HPos::Center, VPos::Center), (x, y));
            taken.push(behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn only_classes_that_occur_count() {
        let names: Vec<String> = (0..47).map(|class| format!("class {class}")).collect();
        let labels = array![3, 40, 40, 17];
        check_classes("scatter", &labels, 4, Some(&names)).unwrap();
        let classes = Classes::new(&labels, Some(&names));
        assert_eq!(classes.labels().collect::<Vec<_>>(), [3, 17, 40]);
        assert_eq!([3, 17, 40].map(|label| classes.color(label)), [0, 1, 2].map(|rank| Paint::class(rank, 3)));
        let texts: Vec<String> = classes.legend().into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["class 3", "class 17", "class 40"]);
        let few = Classes::new(&array![9, 2], None);
        assert_eq!((few.color(9), few.color(2)), (Paint::class(9, 10), Paint::class(2, 10)), "as in every figure");
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
