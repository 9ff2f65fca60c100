//! An interactive scatter of codes: what each point is, and what the decoder draws where there is none.

mod maps;
mod network;
mod page;

use std::{fmt, path::Path};

use self::maps::{First, Maps};
use self::page::{PIXELS, Page};
use super::classes::check_classes;
use crate::{
    analyse::{KMeans, Tsne, decode, embed},
    data::Dataset,
    error::{Error, ErrorKind, Result},
    format::thousands,
    model::{Autoencoder, Classifier},
};

/// Larger images are too large for some browsers.
const MOST_PIXELS: usize = 1 << 24;

/// An interactive map of codes, for pointer, finger or keyboard: each point shows its image, its reconstruction, its
/// label, its code and its nearest neighbours, and a probe shows what the decoder draws at any place between them.
///
/// The decoder itself runs in the page, with weights in as few bits as keep every pixel within one of 255 greys of
/// [`decode`](crate::decode). If it is too large for that, or has a layer that is a function of your own, images
/// decoded beforehand over a plane are mixed; a line below the image says so.
///
/// Codes of two numbers are shown as they are; of longer ones, the plane of their first two principal components and
/// any two of their numbers, side by side, and a scatter of three of them that turns. What is marked with a lasso on
/// one map is marked on all, and its images are listed; entries of the legend show and hide their class. [`Explore`]
/// has settings: a map by t-SNE, colours by cluster. As the last expression of a notebook cell it is shown, and stays
/// in the notebook; [`save`](Explorer::save) writes a web page.
///
/// A [`Vae`](crate::Vae) is explored by its [`autoencoder`](crate::Vae::autoencoder).
///
/// # Errors
/// If the images' shape is not that of the encoder's input, they are neither grey (one channel) nor in colour (three),
/// there are none, or a code has only one number.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Vae, explore};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let explorer = explore(&Autoencoder::tiny(2)?, &digits)?;
/// println!("{explorer}");
/// let file = std::env::temp_dir().join("latentlab-doc-explorer.html");
/// explorer.save(&file)?;
/// # std::fs::remove_file(file).ok();
///
/// let vae = Vae::strided([4, 8, 16], 32, 2)?;
/// explore(&vae.autoencoder(), &digits)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn explore(autoencoder: &Autoencoder, images: &Dataset) -> Result<Explorer> {
    Explore::new().of(autoencoder, images)
}

/// An [explorer](explore) with a board to draw on, with mouse, finger or keys: the model reconstructs the drawing while
/// it grows, and places it on the maps among the codes of `images`. [`Explore::classifier`] also tells what it takes it
/// for; without one, the labels of the nearest codes are counted.
///
/// The drawing becomes an image as MNIST's digits did (LeCun et al. 1998): its longer side 20 of 28 pixels, its centre
/// of mass in the middle. Encoder and decoder run in the page, which needs no kernel.
///
/// # Errors
/// As [`explore`], and if the images are not grey, or the encoder has a layer that is a function of your own.
///
/// ```
/// use latentlab::{Autoencoder, Classifier, Dataset, Explore, draw};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let autoencoder = Autoencoder::tiny(2)?; // usually a trained one
/// let file = std::env::temp_dir().join("latentlab-doc-draw.html");
/// draw(&autoencoder, &digits)?.save(&file)?;
/// # std::fs::remove_file(file).ok();
///
/// let classifier = Classifier::linear(autoencoder.encoder(), 10)?;
/// Explore::new().classifier(&classifier).of(&autoencoder, &digits)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn draw(autoencoder: &Autoencoder, images: &Dataset) -> Result<Explorer> {
    Explore::new().draw().of(autoencoder, images)
}

/// The settings of an [`Explorer`].
///
/// | setting | default | range |
/// |---|---|---|
/// | [`points`](Self::points) | 2,000, fewer if images are larger than 28 × 28 or in colour | 1 to 21,399 images of 28 × 28 |
/// | [`pca`](Self::pca) or [`tsne`](Self::tsne) first | codes of two numbers as they are, others by `pca` | |
/// | [`clusters`](Self::clusters) | none | 1 to the number of images shown |
/// | [`draw`](Self::draw) | no board to draw on | |
/// | [`classifier`](Self::classifier) | none | one of the images' classes |
/// | [`grid`](Self::grid) | 20, less for images over 204 × 204 | 2 to 64, at most 2²⁴ pixels |
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Explore, Tsne};
///
/// let (autoencoder, digits) = (Autoencoder::tiny(8)?, Dataset::built_in_digits(100, 0)?);
/// let map = Explore::new().points(60).tsne(&Tsne::new().iterations(300).progress_every(0)).of(&autoencoder, &digits)?;
/// assert!(map.to_string().starts_with("60 of 100 images by their codes of 8 numbers, placed by t-SNE"));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explore {
    points: Option<usize>,
    first: First,
    tsne: Option<Tsne>,
    clusters: Option<usize>,
    draw: bool,
    classifier: Option<Classifier>,
    grid: Option<usize>,
}

impl Default for Explore {
    fn default() -> Self {
        Self::new()
    }
}

impl Explore {
    /// The defaults in the table above.
    pub fn new() -> Self {
        Self {
            points: None,
            first: First::Default,
            tsne: None,
            clusters: None,
            draw: false,
            classifier: None,
            grid: None,
        }
    }

    /// How many images are shown, evenly spaced over the data set; all if it has fewer. 2,000 take at most 1 MB, more
    /// in proportion.
    pub fn points(self, points: usize) -> Self {
        Self { points: Some(points), ..self }
    }

    /// Puts the map of the first two principal components first. The probe decodes points of their plane. Real codes
    /// lie beside it, the farther the less of the variance the two components explain; the axes say how much.
    pub fn pca(self) -> Self {
        Self { first: First::Pca, ..self }
    }

    /// Adds a map by t-SNE, and puts it first. It has no inverse, so there the probe only finds the nearest point.
    pub fn tsne(self, settings: &Tsne) -> Self {
        Self { first: First::Tsne, tsne: Some(settings.clone()), ..self }
    }

    /// Clusters the codes by [k-means](KMeans), to be coloured by cluster or by label.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, Explore};
    ///
    /// let explorer = Explore::new().clusters(10).of(&Autoencoder::tiny(4)?, &Dataset::built_in_digits(100, 0)?)?;
    /// assert!(explorer.to_html().contains("cluster 10"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn clusters(self, clusters: usize) -> Self {
        Self { clusters: Some(clusters), ..self }
    }

    /// Adds a board to draw on, as [`draw`] has it. The page may be larger by the weights of the encoder.
    pub fn draw(self) -> Self {
        Self { draw: true, ..self }
    }

    /// Adds a board to draw on, and tells what this classifier takes a drawing for.
    pub fn classifier(self, classifier: &Classifier) -> Self {
        Self { draw: true, classifier: Some(classifier.clone()), ..self }
    }

    /// How many points across and down a plane are decoded beforehand, where the decoder cannot run in the page;
    /// between them the probe mixes the nearest four.
    pub fn grid(self, grid: usize) -> Self {
        Self { grid: Some(grid), ..self }
    }

    /// Embeds and decodes the images, and puts everything together.
    ///
    /// # Errors
    /// As [`explore`] or [`draw`], if a setting is out of its range, or if the classifier is for other images or
    /// classes.
    pub fn of(&self, autoencoder: &Autoencoder, images: &Dataset) -> Result<Explorer> {
        let shown = self.selection(images)?;
        let grid = self.grid_for(images.image_shape())?;
        let codes = embed(autoencoder, &shown)?;
        check_classes("explorer", codes.labels(), codes.len(), Some(codes.class_names()))?;
        let clusters = self.clusters.map(|clusters| KMeans::new(clusters).fit(&codes)).transpose()?;
        let page = Page {
            autoencoder,
            reconstructions: shown.with_images(decode(autoencoder, codes.points())?)?,
            maps: Maps::new(&codes, self.first, self.tsne.as_ref())?,
            clusters: clusters.map(|clustering| clustering.assignments().clone()),
            has_board: self.draw,
            classifier: self.classifier.as_ref(),
            grid,
            total: images.len(),
            originals: shown,
            codes,
        };
        let (count, total, latent_dim) = (thousands(page.codes.len()), thousands(page.total), page.codes.latent_dim());
        let placed = match page.maps.shown[0] {
            "pca" => "on the plane of two principal components",
            "tsne" => "by t-SNE",
            _ => "as they are",
        };
        let sentence = format!("{count} of {total} images by their codes of {latent_dim} numbers, placed {placed}");
        Ok(Explorer { html: page.html(&sentence)?, sentence })
    }

    /// How many places across and down are decoded, as one image.
    fn grid_for(&self, [_, height, width]: [usize; 3]) -> Result<usize> {
        let most = (MOST_PIXELS / (height * width).max(1)).isqrt().min(64);
        let grid = self.grid.unwrap_or(most.min(20));
        if !(2..=most).contains(&grid) {
            let expected = format!("2 to {most} places of {height} × {width} pixels");
            let error = Error::expected(ErrorKind::Argument, "explorer, grid", expected, grid);
            return Err(if most < 2 { error.hint("Make the images smaller first") } else { error });
        }
        Ok(grid)
    }

    /// Evenly spaced images: data sets are often sorted by class.
    fn selection(&self, images: &Dataset) -> Result<Dataset> {
        let [channels, height, width] = images.image_shape();
        let wrong = |kind, what: &str, expected: String, got: String| {
            Err(Error::expected(kind, format!("explorer, {what}"), expected, got))
        };
        if ![1, 3].contains(&channels) {
            let got = format!("{:?}", images.image_shape());
            let expected = "grey ones, [1, height, width], or colour ones, [3, height, width]";
            return wrong(ErrorKind::Shape, "images", expected.into(), got);
        }
        if images.is_empty() {
            return wrong(ErrorKind::Argument, "images", "at least 1".into(), "none".into());
        }
        let (size, total) = (height * width, images.len());
        let most = MOST_PIXELS / size;
        let count = self.points.unwrap_or((PIXELS / (channels * size)).clamp(1, 2_000)).min(total);
        if count == 0 || count > most {
            let expected = format!("1 to {most} of {height} × {width} pixels");
            return wrong(ErrorKind::Argument, "points", expected, count.to_string());
        }
        images.select(&Vec::from_iter((0..count).map(|index| index * total / count)))
    }
}

/// An interactive scatter of codes, made by [`explore`]: a web page with everything in it, which needs no server, no
/// network and no kernel.
///
/// Where no script runs (in a notebook that is not trusted, or on GitHub) an image of the scatter is shown instead.
/// `Display` says in a sentence what it shows.
#[derive(Clone)]
pub struct Explorer {
    html: String,
    sentence: String,
}

impl Explorer {
    /// The figure as a part of a page, at most 1 MB for 2,000 images of 28 × 28.
    pub fn to_html(&self) -> &str {
        &self.html
    }

    /// Writes it to a file ending in `.html`, a page for any browser: all of it, or nothing.
    ///
    /// # Errors
    /// If the file has another extension or cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
        if extension != "html" {
            let got = if extension.is_empty() { "none".into() } else { format!(".{extension}") };
            let place = path.display().to_string();
            return Err(Error::expected(ErrorKind::Argument, place, "the file extension .html", got));
        }
        crate::file::write_whole(path, page::document(&self.html, &self.sentence).as_bytes())
    }
}

impl fmt::Display for Explorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4};

    use super::*;
    use crate::nn::Sequential;

    fn digits(count: usize) -> Dataset {
        Dataset::built_in_digits(count, 0).unwrap()
    }

    fn dense(latent_dim: usize) -> Autoencoder {
        let encoder = Sequential::input([1, 28, 28]).flatten().dense(latent_dim);
        let decoder = Sequential::input([latent_dim]).dense(784).sigmoid().reshape([1, 28, 28]);
        Autoencoder::new(encoder, decoder).unwrap()
    }

    /// The text under a name in the script's data.
    fn given<'a>(explorer: &'a Explorer, name: &str) -> &'a str {
        let (_, rest) = explorer.to_html().split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split_once('"').unwrap().0
    }

    #[test]
    fn an_image_comes_before_the_script_and_nothing_is_fetched() {
        let explorer = explore(&dense(2), &digits(60)).unwrap();
        let (still, script) = explorer.to_html().split_once("<script>").unwrap();
        assert!(
            still.contains("<img alt=\"60 of 60 images by their codes of 2 numbers, placed as they are\""),
            "{still}"
        );
        assert!(still.contains("src=\"data:image/png;base64,"));
        let code = script.strip_suffix("</script>\n").unwrap();
        assert!(!code.contains("</") && !code.contains("<!--"), "the script would end before its end");
        // The only URL is SVG's namespace.
        let urls: Vec<&str> =
            explorer.to_html().match_indices("http").map(|(at, _)| &explorer.to_html()[at..][..26]).collect();
        assert_eq!(urls, ["http://www.w3.org/2000/svg"]);
    }

    #[test]
    fn different_explorers_have_different_names() {
        let name = |data: &Dataset| {
            let html = explore(&dense(2), data).unwrap().to_html().to_string();
            html.split('"').nth(1).unwrap().to_string()
        };
        assert_ne!(name(&digits(30)), name(&digits(31)));
        assert_eq!(name(&digits(30)), name(&digits(30)));
    }

    #[test]
    fn labels_are_those_of_evenly_spaced_images() {
        let sorted = digits(100).select(&{
            let mut indices: Vec<usize> = (0..100).collect();
            indices.sort_by_key(|index| digits(100).labels()[*index]);
            indices
        });
        let sorted = sorted.unwrap();
        let explorer = Explore::new().points(25).of(&dense(2), &sorted).unwrap();
        use base64::Engine;
        let labels = base64::engine::general_purpose::STANDARD.decode(given(&explorer, "of")).unwrap();
        let labels: Vec<u8> = labels.as_chunks::<2>().0.iter().map(|[low, _]| *low).collect();
        let expected: Vec<u8> = (0..25).map(|index| sorted.labels()[4 * index] as u8).collect();
        assert_eq!(labels, expected);
        assert_eq!((labels.len(), labels[0], labels[24]), (25, 0, 9));
    }

    #[test]
    fn maps_stand_in_their_order() {
        let shown = |settings: Explore, latent_dim: usize| {
            let explorer = settings.of(&dense(latent_dim), &digits(60)).unwrap();
            let (_, rest) = explorer.to_html().split_once("\"shown\":[").unwrap();
            (rest.split_once(']').unwrap().0.to_string(), explorer.to_string())
        };
        let tsne = Tsne::new().iterations(20).progress_every(0);
        for (settings, latent_dim, maps, placed) in [
            (Explore::new(), 2, r#""codes""#, "as they are"),
            (Explore::new().pca(), 2, r#""pca","codes""#, "on the plane of two principal components"),
            (Explore::new(), 8, r#""pca","codes""#, "on the plane of two principal components"),
            (Explore::new().tsne(&tsne), 2, r#""tsne","codes""#, "by t-SNE"),
            (Explore::new().tsne(&tsne), 8, r#""tsne","pca","codes""#, "by t-SNE"),
            (
                Explore::new().tsne(&tsne).pca(),
                8,
                r#""pca","codes","tsne""#,
                "on the plane of two principal components",
            ),
        ] {
            let (got, sentence) = shown(settings, latent_dim);
            assert_eq!(got, maps);
            assert!(sentence.ends_with(&format!("codes of {latent_dim} numbers, placed {placed}")), "{sentence}");
        }
    }

    fn own(x: &crate::Tensor) -> crate::Tensor {
        x.square()
    }

    /// One with a decoder that has a layer which the page does not know.
    fn with_own_layer(image: [usize; 3]) -> Autoencoder {
        let pixels = image.iter().product();
        let encoder = Sequential::input(image).flatten().dense(2);
        Autoencoder::new(
            encoder,
            Sequential::input([2]).dense(8).map("own", own).dense(pixels).sigmoid().reshape(image),
        )
        .unwrap()
    }

    #[test]
    fn the_decoder_is_in_the_page_or_a_line_says_why_it_is_not() {
        let here = explore(&dense(8), &digits(60)).unwrap();
        assert!(here.to_html().contains("\"decoder\":{\"bits\":"));
        assert!(given(&here, "note").starts_with("Decoded in this page, with weights of "), "{}", given(&here, "note"));
        let mixed = explore(&with_own_layer([1, 28, 28]), &digits(60)).unwrap();
        assert!(mixed.to_html().contains("\"decoder\":null") && mixed.to_html().contains("\"decoded\":{\"axes\":"));
        let note = "The decoder has a layer that the page cannot run (own): mixed from the nearest four of 20 × 20 \
                    decoded codes.";
        assert_eq!(given(&mixed, "note"), note);
        let wide = Sequential::input([2]).dense(1500).relu().dense(784).sigmoid().reshape([1, 28, 28]);
        let large = Autoencoder::new(dense(2).encoder().clone(), wide).unwrap();
        let large = explore(&large, &digits(60)).unwrap();
        assert!(given(&large, "note").starts_with("The decoder is too large for the page: mixed"));
        assert!(large.to_html().len() < 1_000_000, "{}", large.to_html().len());
    }

    #[test]
    fn images_of_any_size_are_shown() {
        let images = Array4::from_shape_fn((20, 1, 6, 9), |(n, _, y, x)| ((n * y + x) % 7) as f32 / 7.0);
        let data = Dataset::new(images, Array1::from_shape_fn(20, |n| n % 2), ["</script>", "b"]).unwrap();
        let encoder = Sequential::input([1, 6, 9]).flatten().dense(2);
        let decoder = Sequential::input([2]).dense(54).reshape([1, 6, 9]);
        let explorer = explore(&Autoencoder::new(encoder, decoder).unwrap(), &data).unwrap();
        assert!(explorer.to_html().contains("\"height\":6") && explorer.to_html().contains("\\u003c/script>"));
    }

    #[test]
    fn colour_stays_colour() {
        let images =
            Array4::from_shape_fn((30, 3, 16, 16), |(n, c, y, x)| ((n + y * x) % 7) as f32 / 7.0 * [1.0, 0.5, 0.0][c]);
        let data = Dataset::new(images, Array1::zeros(30), ["a"]).unwrap();
        let explorer = explore(&with_own_layer([3, 16, 16]), &data).unwrap();
        use base64::Engine;
        for name in ["originals", "reconstructions", "images"] {
            let file = given(&explorer, name).strip_prefix("data:image/png;base64,").unwrap();
            let file = base64::engine::general_purpose::STANDARD.decode(file).unwrap();
            let reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            assert_eq!(reader.info().color_type, png::ColorType::Rgb, "{name}");
        }
    }

    #[test]
    fn only_classes_that_occur_are_sent() {
        let labels = Array1::from_iter((0..30).map(|index| [3, 500, 40][index % 3]));
        let names = (0..700).map(|class| format!("class {class}\nEVCXR_END_CONTENT"));
        let data = Dataset::new(digits(30).images().clone(), labels, names).unwrap();
        let explorer = explore(&dense(2), &data).unwrap();
        let (_, rest) = explorer.to_html().split_once("\"label\":{").unwrap();
        let (_, rest) = rest.split_once("\"names\":[").unwrap();
        let names: Vec<&str> = rest.split_once(']').unwrap().0.split(',').collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names[2].starts_with("\"class 500") && !explorer.to_html().contains("EVCXR_END_CONTENT"), "{names:?}");
    }

    #[test]
    fn each_wrong_input_is_named() {
        let double = Dataset::new(Array4::zeros((3, 2, 28, 28)), Array1::zeros(3), ["a"]).unwrap();
        let small = Dataset::new(Array4::zeros((3, 1, 8, 8)), Array1::zeros(3), ["a"]).unwrap();
        let colored = Dataset::new(Array4::zeros((9, 3, 8, 8)), Array1::zeros(9), ["a"]).unwrap();
        let own = Sequential::input([1, 28, 28]).flatten().dense(4).map("own", own).dense(2);
        let unknown = Autoencoder::new(own, dense(2).decoder().clone()).unwrap();
        let mut broken = dense(2);
        let encoder = crate::model::Model::trained_mut(&mut broken).remove(0);
        encoder.parameters_mut().for_each(|values| *values = std::sync::Arc::new(vec![f32::NAN; values.len()]));
        let of =
            |settings: Explore, model: &Autoencoder, data: &Dataset| settings.of(model, data).unwrap_err().to_string();
        let plain = Explore::new;
        for (error, expected) in [
            (of(plain(), &dense(2), &digits(9).take(0)), "explorer, images: expected at least 1, got none"),
            (
                of(plain(), &dense(2), &double),
                "explorer, images: expected grey ones, [1, height, width], or colour ones, [3, height, width], \
                 got [2, 28, 28]",
            ),
            (
                of(plain(), &dense(2), &small),
                "images: expected [1, 28, 28], the encoder's input, got [1, 8, 8] (arrays)",
            ),
            (
                of(plain().points(0), &dense(2), &digits(9)),
                "explorer, points: expected 1 to 21399 of 28 × 28 pixels, got 0",
            ),
            (
                of(plain().grid(1), &dense(2), &digits(9)),
                "explorer, grid: expected 2 to 64 places of 28 × 28 pixels, got 1",
            ),
            (
                of(plain().clusters(10), &dense(2), &digits(9)),
                "KMeans, clusters: expected a number from 1 to 9 (the number of points), got 10",
            ),
            (
                of(plain().draw(), &with_own_layer([3, 8, 8]), &colored),
                "explorer, draw: expected grey images, [1, height, width], got [3, 8, 8]",
            ),
            (
                of(plain().draw(), &unknown, &digits(9)),
                "explorer, draw: expected an encoder that the page can run, got one that has a layer that the page \
                 cannot run (own)",
            ),
            (
                of(plain().classifier(&Classifier::linear(dense(2).encoder(), 3).unwrap()), &dense(2), &digits(9)),
                "images: expected 3 classes, as many as the head has outputs, got 10 (built-in digits, seed 0). \
                 Dataset::of_classes keeps some classes and renumbers them",
            ),
            (
                of(plain(), &dense(1), &digits(9)),
                "explorer: expected codes of at least 2 numbers, for the two axes, got 1",
            ),
            (of(plain(), &dense(8), &digits(1)), "pca, codes: expected at least 2, got 1"),
            (of(plain().tsne(&Tsne::new()), &dense(2), &digits(3)), "tsne, codes: expected at least 4, got 3"),
            (of(plain(), &broken, &digits(9)), "Codes, point 0, value 0: expected a finite number, got NaN"),
        ] {
            assert_eq!(error, expected);
        }
        let error = explore(&dense(2), &digits(9)).unwrap().save("map.png").unwrap_err();
        assert_eq!(error.to_string(), "map.png: expected the file extension .html, got .png");
    }
}
