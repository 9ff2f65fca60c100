//! The explorer in HTML: an image, and a script that takes its place.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    iter,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::{Array1, Array2, Array4, Axis as Dimension, ShapeError, concatenate, s};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{
    maps::{Map, Maps, axes},
    network::{Packed, within_one_grey},
};
use crate::{
    analyse::{Codes, PrincipalComponents, decode},
    data::Dataset,
    error::{Error, ErrorKind, Result},
    format::cell,
    model::{Autoencoder, Classifier},
    show::{
        ImageGrid, Scatter, axis::range, classes::Classes, figure::grid, html::escape_html, png::data_url,
        sprite_sheet::SpriteSheet, theme::Theme,
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

/// How many rows and columns of codes on each plane are decoded to compare.
const COMPARED: usize = 20;

/// What a page shows.
pub(super) struct Page<'a> {
    pub autoencoder: &'a Autoencoder,
    pub originals: Dataset,
    pub reconstructions: Dataset,
    pub codes: Codes,
    pub maps: Maps,
    pub clusters: Option<Array1<usize>>,
    pub has_board: bool,
    pub classifier: Option<&'a Classifier>,
    /// How many rows and columns are decoded beforehand where the page cannot decode.
    pub grid: usize,
    /// How many images the data set has, of which some are shown.
    pub total: usize,
}

impl Page<'_> {
    pub fn html(&self, sentence: &str) -> Result<String> {
        let still = self.still(sentence)?;
        let bytes = (BYTES * self.originals.values().len()).div_ceil(PIXELS).max(BYTES);
        let left = |data: &Value| {
            let rest =
                still.len() + data.to_string().len() + STYLE.len() + NETWORK.len() + BOARD.len() + SCRIPT.len() + 2_000;
            bytes.saturating_sub(rest)
        };
        let codes = Steps::new(self.codes.points());
        let mut data = self.data(&codes)?;
        let unable = match self.decoder(&codes)? {
            Ok(decoder) => {
                data["decoder"] = decoder.json();
                let bits = decoder.bits;
                let note = "every pixel within one of 255 greys of the library's";
                data["note"] = format!("Decoded in this page, with weights of {bits} bits: {note}.").into();
                match self.sheets([&self.originals], left(&data))? {
                    [Some(originals)] => {
                        data["originals"] = originals.into();
                        None
                    }
                    [None] => Some("is too large for the page".to_string()),
                }
            }
            Err(unable) => Some(unable),
        };
        if let Some(unable) = unable {
            data["decoder"] = Value::Null;
            data["decoded"] = self.decoded()?;
            data["codes"] =
                Steps::new(&self.codes.points().slice(s![.., ..VALUES.min(self.codes.latent_dim())]).to_owned())
                    .json(&self.maps.codes.names);
            let grid = self.grid;
            data["note"] =
                format!("The decoder {unable}: mixed from the nearest four of {grid} × {grid} decoded codes.").into();
            let [originals, reconstructions] = self.sheets([&self.originals, &self.reconstructions], left(&data))?;
            data["originals"] = originals.into();
            data["reconstructions"] = reconstructions.into();
        }
        if self.has_board {
            data["board"] = self.board()?;
        }
        // A script must not hold its own end tag.
        let [data, style] = [data, Value::from(STYLE)].map(|value| value.to_string().replace('<', "\\u003c"));
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let name = format!("latentlab-explorer-{:016x}", hasher.finish());
        Ok(format!(
            "<div id=\"{name}\" data-lm-suppress-shortcuts=\"true\">{still}</div>\n\
             <script>\n{{\n{NETWORK}\n{BOARD}\n{SCRIPT}\n\
             for (const host of document.querySelectorAll('#{name}:not([data-live])'))\n  \
             explore(host, {data}, {style});\n}}\n</script>\n"
        ))
    }

    /// What is seen where no script runs.
    fn still(&self, sentence: &str) -> Result<String> {
        let map = self.maps.first();
        let places = map.points.slice(s![.., ..2]).to_owned();
        let [x, y] = [&map.names[0], &map.names[1]];
        let scatter = Scatter::new(&places, self.codes.labels()).names(self.codes.class_names()).axis_names(x, y);
        let few = [&self.originals, &self.reconstructions].map(|images| images.take(EXAMPLES));
        let images = ImageGrid::rows([("original", few[0].images()), ("reconstruction", few[1].images())]);
        let file = grid(1, [scatter.figure()?, images.figure()?]).density(1).to_png()?;
        let sentence = escape_html(sentence);
        Ok(format!(
            "<img alt=\"{sentence}\" style=\"max-width: 100%\" src=\"{}\"><p>{sentence}. \
             To move in it, open the notebook in Jupyter and trust it.</p>",
            data_url(&file)
        ))
    }

    /// The decoder for the page, or why it has none.
    fn decoder(&self, codes: &Steps) -> Result<std::result::Result<Packed, String>> {
        let (shown, reached) = (codes.restored(), self.maps.reached(COMPARED)?);
        let inputs: Vec<_> = iter::once(&shown).chain(&reached).map(|codes| codes.view()).collect();
        let mut outputs = vec![pixels(self.reconstructions.images())?];
        for codes in &reached {
            outputs.push(pixels(&decode(self.autoencoder, codes)?)?);
        }
        let outputs: Vec<_> = outputs.iter().map(|images| images.view()).collect();
        let [inputs, outputs] = [inputs, outputs].map(|parts| concatenate(Dimension(0), &parts).map_err(shapes));
        Packed::new(self.autoencoder.decoder(), &inputs?, &outputs?, within_one_grey)
    }

    /// What a board to draw on needs: the encoder, and what tells classes.
    fn board(&self) -> Result<Value> {
        let place = "explorer, draw";
        let shape = self.originals.image_shape();
        if shape[0] != 1 {
            let got = format!("{shape:?}");
            return Err(Error::expected(ErrorKind::Shape, place, "grey images, [1, height, width]", got));
        }
        let runs = |what: &str, packed: std::result::Result<Packed, String>| {
            packed.map(|packed| packed.json()).map_err(|unable| {
                let got = format!("one that {unable}");
                Error::expected(ErrorKind::Argument, place, format!("{what} that the page can run"), got)
            })
        };
        let (images, codes) = (pixels(self.originals.images())?, self.codes.points());
        // A code may be off by less than a point of a map is wide.
        let (least, most) = range(codes.iter().copied().map(f64::from));
        let step = (0.002 * (most - least).max(1e-3 * most.abs())) as f32;
        let close = |made: f32, code: f32| (made - code).abs() <= step;
        let encoder = runs("an encoder", Packed::new(self.autoencoder.encoder(), &images, codes, close)?)?;
        let classifier = self.classifier.map(|classifier| {
            classifier.check_images(&self.originals)?;
            let network = classifier.encoder().then(classifier.head()).softmax().build()?;
            let inputs = images.as_standard_layout();
            let shares = network.run(inputs.as_slice().unwrap_or_default(), images.nrows())?;
            let shares = Array2::from_shape_vec((images.nrows(), classifier.classes()), shares).map_err(shapes)?;
            let close = |made: f32, share: f32| (made - share).abs() <= 0.01;
            let network = runs("a classifier", Packed::new(&network, &images, &shares, close)?)?;
            let names: Vec<String> = self.originals.class_names().iter().map(|name| cell(name)).collect();
            Ok(json!({ "network": network, "names": names }))
        });
        Ok(json!({ "encoder": encoder, "classifier": classifier.transpose()? }))
    }

    /// Images decoded beforehand over a plane.
    fn decoded(&self) -> Result<Value> {
        let images = decode(self.autoencoder, &self.maps.grid(self.grid)?)?;
        if let Some(value) = images.iter().find(|value| !value.is_finite()) {
            let expected = "finite grey values decoded";
            return Err(Error::expected(ErrorKind::Argument, "explorer, grid", expected, value));
        }
        let (map, plane) = self.maps.plane();
        let axes = axes(plane).map(|axis| [axis.low, axis.high]);
        let images = SpriteSheet::new(&images, self.grid, DECODED_LEVELS).url()?;
        Ok(json!({ "grid": self.grid, "map": map, "axes": axes, "images": images }))
    }

    /// All but the images and the decoder.
    fn data(&self, codes: &Steps) -> Result<Value> {
        let [channels, height, width] = self.originals.image_shape();
        let map = |map: &Map| Steps::new(&map.points).json(&map.names);
        let components = |components: &PrincipalComponents| {
            let rows: Vec<Vec<f32>> = components.components().rows().into_iter().map(|row| row.to_vec()).collect();
            json!({ "mean": components.mean().to_vec(), "components": rows })
        };
        let clusters = self.clusters.as_ref().map(|clusters| {
            let names: Vec<String> = (1..).map(|number| format!("cluster {number}")).take(1 + most(clusters)).collect();
            classes(&Classes::of_clusters(clusters, Some(&names)), clusters)
        });
        let labels = self.codes.labels();
        let labels = classes(&Classes::new(labels, Some(self.codes.class_names())), labels);
        Ok(json!({
            "width": width,
            "height": height,
            "channels": channels,
            "total": self.total,
            "count": self.codes.len(),
            "groups": { "label": labels, "cluster": clusters },
            "length": self.codes.latent_dim(),
            "codes": codes.json(&self.maps.codes.names),
            "pca": self.maps.pca.as_ref().map(|(_, places)| map(places)),
            "plane": self.maps.pca.as_ref().map(|(plane, _)| components(plane)),
            "tsne": self.maps.tsne.as_ref().map(map),
            "shown": self.maps.shown,
        }))
    }

    /// Images with as many greys as the bytes allow; none of images that need more even with the fewest.
    fn sheets<const N: usize>(&self, images: [&Dataset; N], bytes: usize) -> Result<[Option<String>; N]> {
        let columns = self.codes.len().isqrt().max(1);
        let with = |levels: usize| -> Result<Vec<String>> {
            images.par_iter().map(|images| SpriteSheet::new(images.images(), columns, levels).url()).collect()
        };
        let fits = |sheets: &[String]| sheets.iter().map(String::len).sum::<usize>() <= bytes;
        let mut best = with(LEVELS[0])?;
        if N == 1 && !fits(&best) {
            return Ok([const { None }; N]);
        }
        let (mut low, mut high) = (1, LEVELS.len());
        while low < high {
            let middle = (low + high) / 2;
            let sheets = with(LEVELS[middle])?;
            if fits(&sheets) {
                (best, low) = (sheets, middle + 1);
            } else {
                high = middle;
            }
        }
        let mut best = best.into_iter();
        Ok([(); N].map(|()| best.next()))
    }
}

/// Images as rows of values.
fn pixels(images: &Array4<f32>) -> Result<Array2<f32>> {
    let rows = images.dim().0;
    let flat = images.as_standard_layout().into_owned();
    flat.into_shape_with_order((rows, images.len() / rows.max(1))).map_err(shapes)
}

fn shapes(error: ShapeError) -> Error {
    Error::new(ErrorKind::Shape, "explorer", error.to_string())
}

fn most(labels: &Array1<usize>) -> usize {
    labels.iter().copied().max().unwrap_or(0)
}

/// The classes that occur, and the place among them of each point's.
fn classes(classes: &Classes<'_>, labels: &Array1<usize>) -> Value {
    let there: Vec<usize> = classes.labels().collect();
    let place = |label: &usize| there.binary_search(label).unwrap_or_default() as u16;
    let colors = |theme| there.iter().map(|label| classes.color(*label).hex(theme)).collect::<Vec<String>>();
    let numbers: Vec<u8> = labels.iter().flat_map(|label| place(label).to_le_bytes()).collect();
    json!({
        "of": STANDARD.encode(numbers),
        "names": there.iter().map(|label| cell(&classes.name(*label))).collect::<Vec<String>>(),
        "light": colors(Theme::Light),
        "dark": colors(Theme::Dark),
    })
}

/// Values (n, m), each column in 65,536 steps from its lowest to its highest.
struct Steps {
    ranges: Vec<[f64; 2]>,
    steps: Array2<u16>,
}

impl Steps {
    fn new(values: &Array2<f32>) -> Self {
        let least = values.fold_axis(Dimension(0), f64::INFINITY, |least, value| least.min(f64::from(*value)));
        let most = values.fold_axis(Dimension(0), f64::NEG_INFINITY, |most, value| most.max(f64::from(*value)));
        let ranges: Vec<[f64; 2]> = least.iter().zip(&most).map(|(least, most)| [*least, *most]).collect();
        let steps = Array2::from_shape_fn(values.dim(), |(row, column)| {
            let [low, high] = ranges[column];
            let share = if high > low { (f64::from(values[[row, column]]) - low) / (high - low) } else { 0.0 };
            (share * f64::from(u16::MAX)).round() as u16
        });
        Self { ranges, steps }
    }

    /// The values that the page has.
    fn restored(&self) -> Array2<f32> {
        Array2::from_shape_fn(self.steps.dim(), |(row, column)| {
            let [low, high] = self.ranges[column];
            (low + f64::from(self.steps[[row, column]]) / f64::from(u16::MAX) * (high - low)) as f32
        })
    }

    fn json(&self, names: &[String]) -> Value {
        let bytes: Vec<u8> = self.steps.iter().flat_map(|step| step.to_le_bytes()).collect();
        let names: Vec<String> = names.iter().map(|name| cell(name)).take(self.ranges.len()).collect();
        json!({ "names": names, "ranges": self.ranges, "values": STANDARD.encode(bytes) })
    }
}

const STYLE: &str = include_str!("explorer.css");
const NETWORK: &str = include_str!("network.js");
const BOARD: &str = include_str!("draw.js");
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
