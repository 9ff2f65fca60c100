//! ROC curves with their areas.

use super::axis::Axis;
use super::canvas::{Canvas, px};
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, draw_baseline, draw_line};
use super::theme::{INK, PAPER, Paint};
use crate::analyse::RocCurve;
use crate::error::{Error, Result};

/// ROC curves of one score, or of several, with the area under each beside its name. The dashed diagonal is chance.
///
/// ```
/// use latentlab::{RocChart, roc_curve};
///
/// let truth = [false, false, true, true];
/// let figure = RocChart::new()
///     .curve("squared error", &roc_curve(&truth, &[0.1, 0.4, 0.35, 0.8])?)
///     .curve("1 - SSIM", &roc_curve(&truth, &[0.1, 0.2, 0.3, 0.4])?)
///     .figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct RocChart {
    curves: Vec<(String, RocCurve)>,
    operating_point: Option<[f64; 2]>,
}

/// More names would reach the curves.
const MOST_CURVES: usize = 8;
/// The sides of the plot, and the space between the names and its corner, in pixels.
const SIDE: u32 = 360;
const SPACE: u32 = 10;

impl RocChart {
    /// A chart without curves yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a curve; its name is written in the chart, behind the area.
    pub fn curve(mut self, name: impl Into<String>, curve: &RocCurve) -> Self {
        self.curves.push((name.into(), curve.clone()));
        self
    }

    /// Marks the false and the true positive rate of one threshold.
    pub(crate) fn operating_point(self, rates: [f64; 2]) -> Self {
        Self { operating_point: Some(rates), ..self }
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no curves or more than 8.
    pub fn figure(&self) -> Result<Figure> {
        if !(1..=MOST_CURVES).contains(&self.curves.len()) {
            let error = Error::argument("ROC chart", format!("1 to {MOST_CURVES} curves"), self.curves.len());
            return Err(if self.curves.is_empty() { error } else { error.hint("Draw several charts") });
        }
        Ok(Figure::new(self.clone()))
    }

    fn frame(&self) -> Frame {
        let axis = || Axis::linear((0.0, 1.0), 0.0, 5);
        let names = ("false positive rate", "true positive rate");
        Frame::new((SIDE, SIDE), (axis(), names.0), (axis(), names.1), Legend::new(Vec::new()))
    }

    /// The names, in the corner that a curve better than chance leaves free.
    fn names(&self) -> Legend {
        let mark = |index| Mark::Line(index, Paint::class(index, self.curves.len()), false);
        let entry = |(index, (name, curve)): (usize, &(String, RocCurve))| {
            let name = if name.is_empty() { String::new() } else { format!(": {name}") };
            Entry { text: format!("AUC {:.3}{name}", curve.auc()), mark: mark(index) }
        };
        Legend::new(self.curves.iter().enumerate().map(entry).collect())
    }
}

impl Chart for RocChart {
    fn kind(&self) -> &'static str {
        "ROC chart"
    }

    fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    fn points(&self) -> usize {
        self.curves.iter().map(|(_, curve)| curve.thresholds().len()).sum()
    }

    fn prefers_svg(&self) -> bool {
        self.points() <= 10_000
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let frame = self.frame();
        let plot = frame.draw(canvas);
        draw_baseline(&plot.canvas, [plot.place(0.0, 0.0), plot.place(1.0, 1.0)]);
        for (index, (_, curve)) in self.curves.iter().enumerate() {
            let points = curve.false_positive_rates().into_iter().zip(curve.true_positive_rates());
            let places: Vec<_> = points.map(|(x, y)| plot.place(x, y)).collect();
            draw_line(&plot.canvas, &places, index, Paint::class(index, self.curves.len()));
        }
        let names = self.names();
        let corner = |length: u32| SIDE.saturating_sub(length + SPACE);
        let area = plot.canvas.part(corner(names.width), corner(names.height), (names.width, names.height));
        let (width, height) = area.size();
        area.rectangle([(-px(4), -px(4)), (width, height)], PAPER.mix(0.8));
        names.draw(&area);
        if let Some([x, y]) = self.operating_point {
            let place = plot.place(x, y);
            plot.canvas.circle(place, px(7), INK);
            plot.canvas.circle(place, px(4.5), PAPER);
        }
    }
}
