//! The results of a task: numbers, tables, figures and text, as they are stored and shown.

use latentlab::{Figure, Result};
use serde::{Deserialize, Serialize};

/// A task that is done.
#[derive(Serialize, Deserialize)]
pub struct Finished {
    pub title: String,
    pub seconds: f64,
    #[serde(alias = "findings")]
    pub items: Vec<Item>,
}

/// In the order in which the page shows them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    Text(String),
    Number(Number),
    Table {
        caption: String,
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Figure {
        caption: String,
        /// As HTML that needs nothing else: an `svg`, or an `img` that holds its PNG.
        html: String,
    },
}

/// A number of ours, and the report's where it has one.
#[derive(Clone, Serialize, Deserialize)]
pub struct Number {
    pub name: String,
    pub report: Option<f64>,
    /// None where it is not finite.
    pub ours: Option<f64>,
    pub condition: Option<Condition>,
    /// Whether it is a share, to be shown in per cent.
    pub share: bool,
    /// How many decimals are shown.
    pub decimals: usize,
    pub setting: String,
    pub seed: u64,
    /// How long what led to it took, mostly a training.
    pub seconds: f64,
}

/// The condition that a number should meet.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    AtLeast(f64),
    AtMost(f64),
}

impl Number {
    /// A loss or a count, shown with `decimals` decimals.
    pub fn new(name: impl Into<String>, ours: f64, decimals: usize) -> Self {
        Self {
            name: name.into(),
            report: None,
            ours: Some(ours).filter(|ours| ours.is_finite()),
            condition: None,
            share: false,
            decimals,
            setting: String::new(),
            seed: 0,
            seconds: 0.0,
        }
    }

    /// A share in \[0, 1\], shown as a percentage.
    pub fn share(name: impl Into<String>, ours: f64) -> Self {
        Self { share: true, ..Self::new(name, ours, 2) }
    }

    /// The report's number.
    pub fn report(self, report: f64) -> Self {
        Self { report: Some(report), ..self }
    }

    pub fn at_least(self, limit: f64) -> Self {
        Self { condition: Some(Condition::AtLeast(limit)), ..self }
    }

    pub fn at_most(self, limit: f64) -> Self {
        Self { condition: Some(Condition::AtMost(limit)), ..self }
    }

    /// The settings that led to it.
    pub fn setting(self, setting: impl Into<String>, seed: u64, seconds: f64) -> Self {
        Self { setting: setting.into(), seed, seconds, ..self }
    }

    /// Whether the condition holds, if there is one.
    pub fn is_met(&self) -> Option<bool> {
        self.condition.map(|condition| match (condition, self.ours) {
            (Condition::AtLeast(limit), Some(ours)) => ours >= limit,
            (Condition::AtMost(limit), Some(ours)) => ours <= limit,
            (_, None) => false,
        })
    }

    /// A value of this kind as text.
    pub fn text(&self, value: f64) -> String {
        match self.share {
            true => format!("{:.*} %", self.decimals, 100.0 * value),
            false => format!("{value:.*}", self.decimals),
        }
    }
}

/// A figure as HTML: SVG or PNG, whichever is smaller.
pub fn figure_html(figure: &Figure) -> Result<String> {
    use base64::Engine;
    let (svg, png) = (figure.to_svg()?, figure.to_png()?);
    let png = base64::engine::general_purpose::STANDARD.encode(png);
    Ok(if svg.len() <= png.len() { svg } else { format!("<img alt=\"\" src=\"data:image/png;base64,{png}\">") })
}
