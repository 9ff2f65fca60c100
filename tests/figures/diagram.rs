use latentlab::{Autoencoder, Classifier, Dataset, Figure, Gan, Result, Sequential, Summary, Vae, reconstruct};
use ndarray::{ArrayD, arr2, array};

use super::{attribute, decoded};

/// The lines of text in an SVG.
fn texts(figure: &Figure) -> Vec<String> {
    let svg = figure.to_svg().unwrap();
    let text = |part: &str| part.split_once('>').map(|(_, text)| text.split('<').next().unwrap().trim().to_string());
    svg.split("<text").skip(1).filter_map(text).collect()
}

/// The corners of an SVG's polygons.
fn polygons(figure: &Figure) -> Vec<Vec<[i32; 2]>> {
    let svg = figure.to_svg().unwrap();
    let point = |point: &str| point.split_once(',').map(|(x, y)| [x.parse().unwrap(), y.parse().unwrap()]);
    let corners = |part: &str| attribute(part, "points").split(' ').filter_map(point).collect();
    svg.split("<polygon").skip(1).map(corners).collect()
}

/// The heights of the blocks' fronts: the upright rectangles among the polygons.
fn fronts(figure: &Figure) -> Vec<[i32; 2]> {
    let upright = |p: &&Vec<[i32; 2]>| p.len() == 4 && p[0][1] == p[1][1] && p[1][0] == p[2][0] && p[2][1] == p[3][1];
    polygons(figure).iter().filter(upright).map(|p| [p[1][0] - p[0][0], p[2][1] - p[1][1]]).collect()
}

fn presets() -> Vec<(Summary, Result<Figure>)> {
    let autoencoders = [
        Autoencoder::tiny(2),
        Autoencoder::deep_dense(32),
        Autoencoder::convolutional(2),
        Autoencoder::strided([24, 48, 96], 128, 10),
        Autoencoder::wide(),
        Autoencoder::convolutional_for([3, 64, 32], 16),
    ];
    let vaes = [Vae::strided([16, 32, 64], 64, 2), Vae::convolutional(2)];
    let autoencoders = autoencoders.into_iter().map(Result::unwrap).map(|model| (model.summary(), model.diagram()));
    let vaes = vaes.into_iter().map(Result::unwrap).map(|model| (model.summary(), model.diagram()));
    let (classifier, gan) = (Classifier::convolutional(10).unwrap(), Gan::convolutional(100).unwrap());
    let others = [(classifier.summary(), classifier.diagram()), (gan.summary(), gan.diagram())];
    autoencoders.chain(vaes).chain(others).collect()
}

/// The whole number before a word.
fn count(text: &str, word: &str) -> Option<usize> {
    text.strip_suffix(word).map(|number| number.trim().replace(',', "").parse().unwrap())
}

#[test]
fn every_preset_is_drawn_with_all_its_layers_and_parameters_and_no_wider_than_a_page() {
    for (summary, figure) in presets() {
        let figure = figure.unwrap();
        let (name, texts) = (summary.name(), texts(&figure));
        for row in summary.rows() {
            let label = if row.number == 0 { "input".into() } else { format!("{} {}", row.number, row.kind) };
            assert!(texts.contains(&label), "{name}: no {label} in {texts:?}");
            let shape: Vec<String> = row.output_shape.iter().map(|side| with_separators(*side)).collect();
            assert!(texts.contains(&shape.join(" × ")), "{name}: no {shape:?} in {texts:?}");
            let is_heading = |text: &String| text.starts_with(&row.network);
            assert!(texts.iter().any(is_heading), "{name}: no {:?} in {texts:?}", row.network);
        }
        let layers =
            texts.iter().filter(|text| text.starts_with(char::is_numeric) && text.contains(char::is_alphabetic));
        let layers = layers.filter(|text| !text.contains("param")).count();
        assert_eq!(layers, summary.rows().iter().filter(|row| row.number > 0).count(), "{name}: {texts:?}");
        let parameters: usize = texts.iter().filter_map(|text| count(text, " params")).sum();
        assert_eq!(parameters, summary.total(), "{name}");
        let svg = figure.to_svg().unwrap();
        let width: u32 = attribute(&svg, "width").parse().unwrap();
        assert!((300..=960).contains(&width), "{name}: {width}");
    }
}

fn with_separators(number: usize) -> String {
    let digits = number.to_string();
    if digits.len() > 3 { format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]) } else { digits }
}

#[test]
fn blocks_are_to_scale() {
    let network = Sequential::input([1, 28, 28]).conv2d(4, 3).same().max_pool2d(2).flatten().build().unwrap();
    let fronts = fronts(&network.diagram().unwrap());
    // Input, convolution, pooling, flatten; two units a pixel of the figure, and 28 + 0.3 · 28 rows in 110 pixels.
    let pixel = 110.0 / (1.3 * 28.0);
    let expected = [28.0, 28.0, 14.0, 784f64.sqrt()].map(|height| (2.0 * pixel * height).round() as i32);
    assert_eq!(fronts.len(), 4);
    for (front, height) in fronts.iter().zip(expected) {
        assert!((front[1] - height).abs() <= 1, "{front:?}, expected {height}");
    }
    assert!((fronts[1][0] - 2 * fronts[0][0]).abs() <= 1, "four channels are twice as wide as one: {fronts:?}");
}

#[test]
fn layers_that_keep_the_shape_are_slices_and_skips_are_drawn_around_what_they_skip() {
    let network = Sequential::input([4, 8, 8])
        .conv2d(4, 3)
        .same()
        .batch_norm()
        .relu()
        .skip(|inner| inner.relu().conv2d(4, 3).same().skip(|inner| inner.conv2d(4, 1)))
        .skip_concat(|inner| inner.conv2d(2, 1))
        .flatten()
        .build()
        .unwrap();
    let figure = network.diagram().unwrap();
    let texts = texts(&figure);
    for text in ["1 conv2d", "3 relu", "4.1 relu", "4.2 conv2d", "4.3.1 conv2d", "4.3 skip", "4 skip", "5 skip_concat"]
    {
        assert!(texts.iter().any(|known| known == text), "no {text} in {texts:?}");
    }
    assert!(texts.contains(&"6 × 8 × 8".into()), "two further channels: {texts:?}");
    let parameters: usize = texts.iter().filter_map(|text| count(text, " params")).sum();
    assert_eq!(parameters, network.parameter_count());
    // An activation that a skip begins with is a block of its own: the skip starts before it.
    assert_eq!(fronts(&figure).len(), 1 + 3 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1);
    // A circle of ink and one of white for each of three merges, and a dot where each skip starts.
    assert_eq!(figure.to_svg().unwrap().matches("<circle").count(), 3 * 2 + 3);
}

#[test]
fn feature_maps_tell_negative_values_from_positive_ones_and_go_through_skips() {
    let mut network = Sequential::input([3]).skip(|inner| inner.dense(3)).relu().build().unwrap();
    let twice = arr2(&[[2.0_f32, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]);
    network.set_weights("1.1.weight", &twice).unwrap();
    let input = array![[1.0_f32, -1.0, 0.5], [9.0, 9.0, 9.0]].into_dyn();
    let figure = network.diagram_of(&input).unwrap();
    let texts = texts(&figure);
    for (layer, range) in [("input", "−1 to 1"), ("1.1 dense", "−2 to 2"), ("1 skip", "−3 to 3"), ("2 relu", "0 to 3")]
    {
        let at = texts.iter().position(|text| text == layer).unwrap_or_else(|| panic!("{layer} in {texts:?}"));
        assert_eq!(texts[at + 1..at + 3], ["3", range], "{layer} in {texts:?}");
    }
    // Of the input: white is 1, light blue -1, a middle grey 0.5; four cells, the last one of which is empty.
    let (_, _, pixels) = decoded(&figure.density(1));
    let many = |color: [u8; 3]| pixels.iter().filter(|pixel| **pixel == color).count();
    let (blue, grey, black) = (many([0x4d, 0xa6, 0xff]), many([128; 3]), many([0; 3]));
    let cell = 28 * 28;
    assert_eq!((blue, black), (3 * cell, cell), "black is what the ReLU made of the negative value");
    assert!((4 * cell..4 * cell + cell / 4).contains(&grey), "{grey}: the edges of letters have some of that grey");
}

#[test]
fn models_show_what_they_make_of_an_image() {
    let digits = Dataset::built_in_digits(3, 0).unwrap();
    let autoencoder = Autoencoder::tiny(8).unwrap();
    let range = |values: &[f32]| values.iter().copied().fold(f32::MIN, f32::max);
    let made = reconstruct(&autoencoder, &digits.take(1)).unwrap();
    let highest = format!("{:.2e}", range(made.images().as_slice().unwrap())).parse::<f64>().unwrap();
    let texts = texts(&autoencoder.diagram_of(&digits).unwrap());
    assert_eq!(texts.iter().filter(|text| **text == format!("0 to {highest}")).count(), 2, "{highest}: {texts:?}");
    let vae = Vae::strided([4, 8, 16], 16, 2).unwrap();
    vae.diagram_of(&digits).unwrap().to_png().unwrap();
    Classifier::convolutional(10).unwrap().diagram_of(&digits).unwrap().to_png().unwrap();
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let message = |figure: Result<Figure>| figure.err().unwrap().to_string();
    let wrong = Sequential::input([4]).conv2d(4, 3);
    assert!(message(wrong.diagram()).starts_with("layer 1, conv2d: "), "{}", message(wrong.diagram()));
    let long = (0..300).fold(Sequential::input([2]), |network, _| network.dense(2));
    assert_eq!(
        message(long.diagram()),
        "diagram: expected a network of at most 300 blocks, got more. Draw a part of it: network.take(n), \
         network.split_at(n)"
    );
    let network = Sequential::input([2]).dense(2);
    assert_eq!(
        message(network.diagram_of(&ArrayD::zeros(vec![0, 2]))),
        "diagram_of: expected at least 1 input, got none"
    );
    assert!(message(network.diagram_of(&ArrayD::zeros(vec![1, 3]))).contains("expected an input of shape (n, 2)"));
    let garments = Dataset::built_in_garments(1, 0).unwrap();
    let small = Autoencoder::strided_for([1, 9, 9], [2, 2, 2], 2, 2).unwrap();
    assert!(message(small.diagram_of(&garments)).contains("expected [1, 9, 9], the encoder's input"));
    assert!(message(Autoencoder::tiny(2).unwrap().diagram_of(&garments.take(0))).contains("at least 1 input"));
}
