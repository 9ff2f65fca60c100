//! The explorer in HTML: an image, and a script that takes its place.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::{Array2, Axis as Dimension, s};
use serde_json::{Value, json};

use super::plane::Plane;
use crate::{
    analyse::Codes,
    data::Dataset,
    error::Result,
    format::cell,
    show::{
        ImageGrid, Scatter, axis::Axis, classes::Classes, figure::grid, html::escape_html, palette::hex, png::data_url,
        sprite_sheet::SpriteSheet,
    },
};

/// The values of the originals for which a page has space: 2,000 grey images of 28 × 28.
pub(super) const PIXELS: usize = 2_000 * 28 * 28;
/// The most bytes of a page with that many values; more may take more in proportion.
const BYTES: usize = 1_000_000;
/// How many greys the images may have: as many as the bytes allow. Sixteen are enough for images of this size, and keep
/// notebooks small.
const LEVELS: [usize; 7] = [4, 6, 8, 10, 12, 14, 16];
/// The greys of what is decoded beforehand: smooth images, which are mixed with each other.
const DECODED_LEVELS: usize = 16;
/// How many numbers of a long code are shown.
const VALUES: usize = 8;
/// How many originals are shown above their reconstructions in the image that is seen where no script runs.
const EXAMPLES: usize = 8;

/// What a page shows.
pub(super) struct Page {
    pub originals: Dataset,
    pub reconstructions: Dataset,
    pub codes: Codes,
    pub plane: Plane,
    /// How many images the data set has, of which some are shown.
    pub total: usize,
}

impl Page {
    pub fn html(&self, sentence: &str) -> Result<String> {
        let (still, mut data) = (self.still(sentence)?, self.data()?);
        let rest = still.len() + data.to_string().len() + STYLE.len() + SCRIPT.len() + 2_000;
        let bytes = (BYTES * self.originals.values().len()).div_ceil(PIXELS).max(BYTES);
        let [originals, reconstructions] = self.sheets(bytes.saturating_sub(rest))?;
        data["originals"] = originals.into();
        data["reconstructions"] = reconstructions.into();
        // A script must not hold its own end tag.
        let [data, style] = [data, Value::from(STYLE)].map(|value| value.to_string().replace('<', "\\u003c"));
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let name = format!("latentlab-explorer-{:016x}", hasher.finish());
        Ok(format!(
            "<div id=\"{name}\" data-lm-suppress-shortcuts=\"true\">{still}</div>\n<script>\n\
             for (const host of document.querySelectorAll('#{name}:not([data-live])')) \
             ({SCRIPT})(host, {data}, {style});\n</script>\n"
        ))
    }

    /// What is seen where no script runs.
    fn still(&self, sentence: &str) -> Result<String> {
        let [x, y] = &self.plane.names;
        let scatter =
            Scatter::new(&self.plane.places, self.codes.labels()).names(self.codes.class_names()).axis_names(x, y);
        let few = [&self.originals, &self.reconstructions].map(|images| images.take(EXAMPLES));
        let images = ImageGrid::rows([("original", few[0].images()), ("reconstruction", few[1].images())]);
        let file = grid(1, [scatter.figure()?, images.figure()?]).to_small_png()?;
        let sentence = escape_html(sentence);
        Ok(format!(
            "<img alt=\"{sentence}\" style=\"max-width: 100%\" src=\"{}\"><p>{sentence}. \
             To move in it, open the notebook in Jupyter and trust it.</p>",
            data_url(&file)
        ))
    }

    /// All but the images.
    fn data(&self) -> Result<Value> {
        let Plane { places, axes, names, note, decoded, .. } = &self.plane;
        let [_, height, width] = self.originals.image_shape();
        let axis = |(Axis { low, high, ticks }, name): (&Axis, &String)| {
            let name = cell(name);
            json!({ "name": name, "low": low, "high": high, "ticks": ticks })
        };
        let decoded = decoded.as_ref().map(|images| {
            let grid = images.dim().0.isqrt();
            Ok(json!({ "grid": grid, "images": SpriteSheet::new(images, grid, DECODED_LEVELS).url()? }))
        });
        // Only the classes that occur are sent, and the labels number them.
        let classes = Classes::new(self.codes.labels(), Some(self.codes.class_names()));
        let there: Vec<usize> = classes.labels().collect();
        let label = |label: &usize| there.binary_search(label).unwrap_or_default() as u16;
        let labels: Vec<u8> = self.codes.labels().iter().flat_map(|of_point| label(of_point).to_le_bytes()).collect();
        let class_names: Vec<String> = there.iter().map(|label| cell(&classes.name(*label))).collect();
        let colors: Vec<String> = there.iter().map(|label| hex(classes.color(*label))).collect();
        Ok(json!({
            "width": width,
            "height": height,
            "total": self.total,
            "count": self.codes.len(),
            "labels": STANDARD.encode(labels),
            "classes": class_names,
            "colors": colors,
            "axes": axes.iter().zip(names).map(axis).collect::<Vec<Value>>(),
            "places": packed(places, axes.each_ref().map(|axis| [axis.low, axis.high]).as_slice()),
            "codes": self.values(),
            "decoded": decoded.transpose()?,
            "note": note,
        }))
    }

    /// The first numbers of the codes, each in 65,536 steps from the lowest to the highest value of its dimension.
    fn values(&self) -> Value {
        let values = self.codes.points().slice(s![.., ..VALUES.min(self.codes.latent_dim())]).to_owned();
        let least = values.fold_axis(Dimension(0), f64::INFINITY, |least, value| least.min(f64::from(*value)));
        let most = values.fold_axis(Dimension(0), f64::NEG_INFINITY, |most, value| most.max(f64::from(*value)));
        let ranges: Vec<[f64; 2]> = least.iter().zip(&most).map(|(least, most)| [*least, *most]).collect();
        json!({ "length": self.codes.latent_dim(), "ranges": ranges, "values": packed(&values, &ranges) })
    }

    /// Originals and reconstructions with as many greys as the bytes allow.
    fn sheets(&self, bytes: usize) -> Result<[String; 2]> {
        let columns = self.codes.len().isqrt().max(1);
        let with = |levels: usize| -> Result<[String; 2]> {
            let address = |images: &Dataset| SpriteSheet::new(images.images(), columns, levels).url();
            let (originals, reconstructions) =
                rayon::join(|| address(&self.originals), || address(&self.reconstructions));
            Ok([originals?, reconstructions?])
        };
        let mut best = with(LEVELS[0])?;
        let (mut low, mut high) = (1, LEVELS.len());
        while low < high {
            let middle = (low + high) / 2;
            let sheets = with(LEVELS[middle])?;
            if sheets[0].len() + sheets[1].len() <= bytes {
                (best, low) = (sheets, middle + 1);
            } else {
                high = middle;
            }
        }
        Ok(best)
    }
}

/// Values (n, m) as little-endian numbers of two bytes: where each lies in the range of its column.
fn packed(values: &Array2<f32>, ranges: &[[f64; 2]]) -> String {
    let number = |((_, column), value): ((usize, usize), &f32)| {
        let [low, high] = ranges[column];
        let share = if high > low { (f64::from(*value) - low) / (high - low) } else { 0.0 };
        (share * f64::from(u16::MAX)).round() as u16
    };
    STANDARD.encode(values.indexed_iter().flat_map(|entry| number(entry).to_le_bytes()).collect::<Vec<u8>>())
}

const STYLE: &str = include_str!("explorer.css");
const SCRIPT: &str = include_str!("explorer.js");

/// A complete page.
pub(super) fn document(html: &str, title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>:root {{ color-scheme: light dark }} body {{ margin: 1rem }}</style>\n{html}</html>\n",
        escape_html(title)
    )
}
