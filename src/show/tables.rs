//! What data, networks and results look like in a notebook: tables, with small images and curves, as HTML.

use super::axis::range;
use super::html::{escape_html, table};
use super::sparkline::sparkline;
use super::sprite_sheet::SpriteSheet;
use super::theme::Paint;
use crate::{
    analyse::{Clustering, Confusion},
    data::{CLASSES_SHOWN, Dataset},
    error::visible,
    format::{cell, percent, thousands},
    nn::{Summary, SummaryRow},
    train::{GanHistory, History, Study},
};

impl Dataset {
    /// What `Display` says as HTML, for a notebook: a table of the classes, and the first images.
    pub fn to_html(&self) -> String {
        const STRIP: usize = 20;
        /// Of the images together: a page of megabytes helps nobody.
        const MOST_PIXELS: usize = 1 << 20;
        let [_, height, width] = self.image_shape();
        let more = self.class_names().len().saturating_sub(CLASSES_SHOWN);
        let more = if more > 0 { format!("<p>and {} more classes</p>", thousands(more)) } else { String::new() };
        let names = self.class_names().iter().take(CLASSES_SHOWN).map(|name| escape_html(&cell(name)));
        let names = std::iter::once(String::new()).chain(names);
        let counts = self.class_counts().into_iter().take(CLASSES_SHOWN).map(thousands);
        let counts = std::iter::once("images".to_string()).chain(counts).collect();
        let few = self.take(STRIP.min(MOST_PIXELS / (height * width)));
        let alternative = format!("the first {} images", few.len());
        format!(
            "<p>{}<br>source: {}</p>{}{more}{}",
            self.size_text(),
            escape_html(&visible(self.source())),
            table(&Vec::from_iter(names), &[counts]),
            SpriteSheet::new(few.images(), STRIP, 32).to_html(1, &alternative).unwrap_or_default(),
        )
    }
}

impl Summary {
    /// The table of `Display` as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let head = ["Layer", "Output Shape", "Param #"].map(String::from);
        let row = |row: &SummaryRow| {
            let label = if row.number == 0 { format!("<b>{}</b>", row.label()) } else { row.label() };
            vec![label, row.shape(), thousands(row.parameters)]
        };
        let rows: Vec<Vec<String>> = self.rows().iter().map(row).collect();
        let totals: Vec<String> = self.totals().iter().map(|line| escape_html(line)).collect();
        let (name, table) = (escape_html(self.name()), table(&head, &rows));
        format!("<p>Model: \"{name}\"</p>{table}<p>{}</p>", totals.join("<br>"))
    }
}

impl History {
    /// What `Display` says and a table with a small chart of each curve as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let loss = format!("loss ({})", self.objective);
        curves(
            &self.to_string(),
            &[
                (loss.as_str(), &self.loss),
                ("validation loss", &self.validation_loss),
                ("accuracy", &self.accuracy),
                ("validation accuracy", &self.validation_accuracy),
                ("reconstruction", &self.reconstruction),
                ("validation reconstruction", &self.validation_reconstruction),
                ("KL divergence", &self.kl),
                ("validation KL divergence", &self.validation_kl),
            ],
        )
    }
}

impl GanHistory {
    /// What `Display` says and a table with a small chart of each curve as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let losses = [("generator loss", &self.generator_loss), ("discriminator loss", &self.discriminator_loss)];
        curves(&self.to_string(), &losses)
    }
}

/// A row for each curve that has values: its chart, its first, last, lowest and highest value.
fn curves(sentence: &str, curves: &[(&str, &Vec<f64>)]) -> String {
    let curves = curves.iter().filter(|(_, values)| !values.is_empty());
    let row = |(name, values): &(&str, &Vec<f64>)| {
        let color = Paint::class(usize::from(name.starts_with("validation")), 2);
        let (least, most) = range(values.iter().copied());
        let numbers = [values[0], values[values.len() - 1], least, most].map(|value| format!("{value:.4}"));
        [vec![escape_html(name), sparkline(values, color)], numbers.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = curves.map(row).collect();
    let head = ["", "", "first epoch", "last epoch", "lowest", "highest"].map(String::from);
    format!("<p>{}</p>{}", escape_html(sentence), table(&head, &rows))
}

impl Study {
    /// How many trials there are, and a table of the best ones, as HTML for a notebook.
    pub fn to_html(&self) -> String {
        let cells = escaped(self.cells());
        let table = if self.records().is_empty() { String::new() } else { table(&cells[0], &cells[1..]) };
        format!("<p>{}</p>{table}<p>{}</p>", self.count(), self.rest())
    }
}

impl Clustering {
    /// The tables of `Display` as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let measures = self.measures().map(|(name, value)| vec![name.to_string(), value]);
        let clusters = escaped(self.cluster_rows().map(Vec::from));
        let head = ["cluster", "points", "took", "purity"].map(String::from);
        table(&[], &measures) + &table(&head, &clusters)
    }
}

impl Confusion {
    /// The table of `Display` as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let cells = escaped(self.cells());
        format!("<p>accuracy {}</p>{}", percent(self.accuracy()), table(&cells[0], &cells[1..]))
    }
}

fn escaped(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    rows.into_iter().map(|row| row.iter().map(|cell| escape_html(cell)).collect()).collect()
}
