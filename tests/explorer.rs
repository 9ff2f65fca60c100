//! The explorer's size and its decoding; its pages are then used in a browser by `tests/browser/explorer.js`.

use latentlab::{
    Autoencoder, Classifier, Dataset, Explore, Sequential, TrainConfig, Tsne, decode, draw, embed, explore,
    ndarray::{Array1, Array4, Axis},
    train_ae, train_classifier,
};
use std::{fs, path::Path};

fn page(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What the library decodes of the first codes, as greys from 0 to 255, for the browser to compare.
fn write_decoded(autoencoder: &Autoencoder, images: &Dataset, name: &str) {
    let codes = embed(autoencoder, images).unwrap();
    let few = codes.take(12);
    let decoded = decode(autoencoder, few.points()).unwrap();
    let rows = |values: Vec<String>| format!("[{}]", values.join(","));
    let code = |row: usize| rows(few.points().row(row).iter().map(|value| format!("{value:?}")).collect());
    let pixels = decoded
        .outer_iter()
        .map(|image| rows(image.iter().map(|value| format!("{}", (255.0 * value.clamp(0.0, 1.0)).round())).collect()));
    let text =
        format!("{{\"codes\":{},\"pixels\":{}}}", rows((0..few.len()).map(code).collect()), rows(pixels.collect()));
    fs::write(page(&format!("{name}.json")), text).unwrap();
}

/// Garments compress worse than digits. 2,000 of the real ones take 0.96 MB.
#[test]
fn two_thousand_garments_take_one_megabyte_at_most() {
    let garments = Dataset::built_in_garments(2_500, 0).unwrap();
    for latent_dim in [2, 16] {
        let mut autoencoder = Autoencoder::tiny(latent_dim).unwrap();
        train_ae(&mut autoencoder, &garments.take(500), &TrainConfig::new().epochs(3).progress_every(0)).unwrap();
        let explorer = explore(&autoencoder, &garments).unwrap();
        assert!(explorer.to_string().starts_with("2,000 of 2,500 images"), "{explorer}");
        let size = explorer.to_html().len();
        assert!((200_000..=1_000_000).contains(&size), "{latent_dim} numbers: {size} bytes");
        explorer.save(page(&format!("explorer-{latent_dim}.html"))).unwrap();
        write_decoded(&autoencoder, &garments, &format!("explorer-{latent_dim}"));
    }
}

#[test]
fn a_map_by_tsne_can_be_saved_too() {
    let (autoencoder, digits) = (Autoencoder::tiny(8).unwrap(), Dataset::built_in_digits(300, 0).unwrap());
    let map = Explore::new().tsne(&Tsne::new().iterations(300).progress_every(0)).clusters(10);
    let map = map.of(&autoencoder, &digits).unwrap();
    map.save(page("explorer-tsne.html")).unwrap();
    assert!(map.to_string().ends_with("placed by t-SNE"));
}

/// Every kind of layer that the presets' decoders have, briefly trained.
#[test]
fn the_presets_are_decoded_in_the_page() {
    let digits = Dataset::built_in_digits(120, 1).unwrap();
    let presets = [
        ("deep-dense", Autoencoder::deep_dense(2).unwrap()),
        ("convolutional", Autoencoder::convolutional(2).unwrap()),
        ("strided", Autoencoder::strided([12, 24, 48], 128, 10).unwrap()),
        ("wide", Autoencoder::wide().unwrap()),
    ];
    for (name, mut autoencoder) in presets {
        train_ae(&mut autoencoder, &digits.take(50), &TrainConfig::new().epochs(1).progress_every(0)).unwrap();
        save_to_compare(&autoencoder, &digits.take(50), name);
    }
}

fn save_to_compare(autoencoder: &Autoencoder, images: &Dataset, name: &str) {
    let explorer = explore(autoencoder, images).unwrap();
    assert!(explorer.to_html().contains("\"decoder\":{"), "{name}");
    explorer.save(page(&format!("explorer-decoder-{name}.html"))).unwrap();
    write_decoded(autoencoder, images, &format!("explorer-decoder-{name}"));
}

/// All other layers that the page knows, with odd sizes, and with weights so large that each makes a difference.
#[test]
fn every_layer_is_decoded_in_the_page() {
    let encoder = Sequential::input([1, 10, 14]).flatten().dense(3);
    let decoder = Sequential::input([3])
        .seed(3)
        .dense(60)
        .selu()
        .batch_norm()
        .dropout(0.3)
        .reshape([4, 3, 5])
        .conv_transpose2d(5, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .elu(0.7)
        .up_sample2d([2, 3])
        .conv2d(4, [3, 5])
        .same()
        .softplus()
        .up_sample2d([1, 2])
        .bilinear()
        .gelu()
        .max_pool2d([1, 2])
        .conv_transpose2d(8, 3)
        .groups(2)
        .same()
        .up_sample2d(2)
        .max_pool2d(2)
        .conv2d(12, 3)
        .groups(4)
        .same()
        .conv2d(6, 3)
        .dilation(2)
        .stride(2)
        .padding(2)
        .use_bias(false)
        .silu()
        .max_pool2d([2, 3])
        .stride([2, 1])
        .flatten()
        .tanh()
        .reshape([6, 3, 13])
        .conv_transpose2d(4, 3)
        .same()
        .leaky_relu(0.3)
        .conv_transpose2d(1, [4, 2])
        .stride([3, 1])
        .hard_sigmoid();
    save_with_large_weights("layers", encoder, decoder, 3.2);
}

#[test]
fn poolings_norms_and_connections_are_decoded_in_the_page() {
    let encoder = Sequential::input([1, 10, 14]).flatten().dense(3);
    let residual = |inner: Sequential| inner.conv2d(8, 3).same().prelu().group_norm(2).conv2d(8, 3).same();
    let decoder = Sequential::input([3])
        .seed(5)
        .dense(96)
        .layer_norm()
        .prelu()
        .reshape([8, 3, 4])
        .skip(|inner| residual(inner).skip_concat(|inner| inner.max_pool2d(1)).conv2d(8, 1))
        .zero_pad2d([[1, 2], [0, 3]])
        .up_sample2d(2)
        .avg_pool2d([2, 3])
        .stride([1, 2])
        .prelu()
        .crop2d([[1, 0], [0, 1]])
        .conv2d(12, 3)
        .same()
        .layer_norm()
        .pixel_shuffle(2)
        .group_norm(3)
        .prelu()
        .skip_concat(|inner| inner.zero_pad2d(2).conv2d(4, 5).skip(|inner| inner.tanh().conv2d(4, 1)))
        .avg_pool2d([2, 1])
        .zero_pad2d([0, 2])
        .conv2d(1, 3)
        .same()
        .sigmoid();
    save_with_large_weights("connections", encoder.clone(), decoder, 3.0);
    let pooled = Sequential::input([3]).seed(6).dense(96).reshape([6, 4, 4]).tanh().global_max_pool2d();
    let pooled = pooled.dense(60).reshape([15, 2, 2]).global_avg_pool2d().prelu().dense(140).sigmoid();
    save_with_large_weights("global-pools", encoder, pooled.reshape([1, 10, 14]), 3.0);
}

/// Decoders that draw row by row, from the same code at each row.
#[test]
fn recurrent_layers_are_decoded_in_the_page() {
    let encoder = Sequential::input([1, 10, 14]).flatten().dense(3);
    let repeated = || Sequential::input([3]).seed(4).repeat_vector(10);
    let lstm = repeated().lstm(9).return_sequences().layer_norm().dense(14).prelu().skip(|inner| inner.dense(14));
    save_with_large_weights("lstm", encoder.clone(), lstm.sigmoid().reshape([1, 10, 14]), 2.0);
    let gru = repeated().gru(9).return_sequences().gru(7).dense(140).sigmoid().reshape([1, 10, 14]);
    save_with_large_weights("gru", encoder, gru, 2.0);
}

/// An autoencoder whose decoder's weights are so much larger than at the start that each layer makes a difference, and
/// whose factors differ from channel to channel.
fn save_with_large_weights(name: &str, encoder: Sequential, decoder: Sequential, factor: f32) {
    let mut decoder = decoder.build().unwrap();
    for name in decoder.weight_names().into_iter().filter(|name| name.contains("weight")) {
        let larger = decoder.weights(&name).unwrap() * factor;
        decoder.set_weights(&name, &larger).unwrap();
    }
    let is_factor = |name: &String| ["gamma", "beta", "slope"].iter().any(|kind| name.ends_with(kind));
    for name in decoder.weight_names().into_iter().filter(is_factor) {
        let mut values = decoder.weights(&name).unwrap();
        values.iter_mut().enumerate().for_each(|(index, value)| *value += 0.2 * (index % 5) as f32 - 0.4);
        decoder.set_weights(&name, &values).unwrap();
    }
    let autoencoder = Autoencoder::new(encoder, decoder).unwrap();
    let values = |index: [usize; 4]| ((index[0] * 37 + index[2] * 11 + index[3] * 7) % 29) as f32 / 29.0;
    let images = Array4::from_shape_fn((40, 1, 10, 14), |(n, c, y, x)| values([n, c, y, x]));
    let images = Dataset::new(images, Array1::from_shape_fn(40, |n| n % 2), ["even", "odd"]).unwrap();
    let decoded = decode(&autoencoder, embed(&autoencoder, &images).unwrap().points()).unwrap();
    let spread = decoded.mapv(|value| value.clamp(0.0, 1.0)).std_axis(Axis(0), 0.0).mean().unwrap();
    assert!(spread > 0.02, "{name}: all images are nearly the same: {spread}");
    save_to_compare(&autoencoder, &images, name);
}

/// What encoder and classifier make of a few images stands beside the page, for the browser's test to compare.
#[test]
fn a_page_to_draw_on_can_be_saved() {
    let digits = Dataset::built_in_digits(600, 0).unwrap();
    let config = TrainConfig::new().epochs(6).progress_every(0);
    let mut autoencoder = Autoencoder::convolutional(8).unwrap();
    train_ae(&mut autoencoder, &digits, &config).unwrap();
    let mut classifier = Classifier::dense(autoencoder.encoder(), 10).unwrap();
    train_classifier(&mut classifier, &digits, &config).unwrap();
    draw(&autoencoder, &digits.take(100)).unwrap().save(page("explorer-draw-nearest.html")).unwrap();
    let explorer = Explore::new().classifier(&classifier).of(&autoencoder, &digits.take(300)).unwrap();
    explorer.save(page("explorer-draw.html")).unwrap();

    let few = digits.take(5);
    let codes = embed(&autoencoder, &few).unwrap();
    let network = classifier.encoder().then(classifier.head()).softmax();
    let shares = network.predict(&few.images().clone().into_dyn()).unwrap();
    let text = |values: Vec<f32>| format!("[{}]", values.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
    let rows = (0..few.len()).map(|row| {
        let image = few.images().index_axis(Axis(0), row);
        let [image, code] = [text(image.iter().copied().collect()), text(codes.points().row(row).to_vec())];
        let shares = text(shares.index_axis(Axis(0), row).iter().copied().collect());
        format!("{{\"image\":{image},\"code\":{code},\"shares\":{shares}}}")
    });
    let spread = codes.points().iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let rows = rows.collect::<Vec<_>>().join(",");
    fs::write(page("explorer-draw.json"), format!("{{\"spread\":{spread},\"rows\":[{rows}]}}")).unwrap();
}
