//! Tables, sequences and colour images of odd sizes, through all that takes images.

use latentlab::{
    Autoencoder, Classifier, Dataset, Gan, GanConfig, Loss, Sequential, TrainConfig, Vae, classify, embed, evaluate,
    explore, generate,
    ndarray::{Array, Array1, Array4, Dimension},
    reconstruct, reconstructions, sample, train_ae, train_classifier, train_gan, train_vae,
};

fn quiet() -> TrainConfig {
    TrainConfig::new().epochs(3).batch_size(16).loss(Loss::MeanSquaredError).progress_every(0)
}

/// Values in [0, 1] that depend on the label of each row.
fn labelled<D: Dimension>(values: Array<f32, D>) -> Dataset {
    let data = Dataset::from_array(values).unwrap();
    let labels = Array1::from_shape_fn(data.len(), |row| row % 2);
    data.with_labels(labels, ["even", "odd"]).unwrap()
}

fn wave(row: usize, at: usize) -> f32 {
    0.5 + 0.4 * ((row % 2) as f32 * 2.0 + (row % 7) as f32 * 0.1 + at as f32 * 0.7).sin()
}

#[test]
fn tables_and_sequences_are_trained_embedded_and_decoded() {
    let table = labelled(Array::from_shape_fn((60, 8), |(row, at)| wave(row, at)));
    let sequences = labelled(Array::from_shape_fn((60, 4, 2), |(row, time, feature)| wave(row, 2 * time + feature)));
    assert_eq!(table.to_rows(), sequences.to_rows());
    for (data, shape) in [(table, &[8][..]), (sequences, &[4, 2])] {
        let encoder = || match shape.len() {
            1 => Sequential::input(shape).dense(12).relu(),
            _ => Sequential::input(shape).flatten().dense(12).relu(),
        };
        let decoder = || match shape.len() {
            1 => Sequential::input([2]).dense(8).sigmoid(),
            _ => Sequential::input([2]).dense(8).sigmoid().reshape(shape),
        };
        let mut autoencoder = Autoencoder::new(encoder().dense(2), decoder()).unwrap();
        let config = quiet().epochs(40).learning_rate(0.02).validation(&data);
        let history = train_ae(&mut autoencoder, &data, &config).unwrap();
        assert!(history.loss[39] < 0.5 * history.loss[0], "{:?}", history.loss);
        assert_eq!(embed(&autoencoder, &data).unwrap().points().dim(), (60, 2));
        let decoded = reconstruct(&autoencoder, &data).unwrap();
        assert_eq!((decoded.to_rows().dim(), decoded.image_shape()), ((60, 8), data.image_shape()));
        let error = (decoded.to_rows() - data.to_rows()).mapv(|error| error * error).mean().unwrap();
        let measured = evaluate(&autoencoder, &data, Loss::MeanSquaredError).unwrap();
        assert!((f64::from(error) - measured).abs() < 1e-6, "{error} {measured}");
        let file = tempfile::NamedTempFile::new().unwrap();
        autoencoder.save(file.path()).unwrap();
        let restored = reconstruct(&Autoencoder::load(file.path()).unwrap(), &data).unwrap();
        assert_eq!(restored.images(), decoded.images());

        let mut vae = Vae::new(encoder(), decoder()).unwrap();
        train_vae(&mut vae, &data, &TrainConfig::new().epochs(2).progress_every(0)).unwrap();
        assert_eq!(sample(&vae, 5, 0).unwrap().dim().0, 5);
        let mut classifier = Classifier::linear(&encoder(), 2).unwrap();
        train_classifier(&mut classifier, &data, &TrainConfig::new().epochs(40).learning_rate(0.02).progress_every(0))
            .unwrap();
        assert!(classify(&classifier, &data).unwrap().accuracy() > 0.9);
        let mut gan = Gan::new(decoder(), Sequential::input(shape).flatten().dense(1)).unwrap();
        train_gan(&mut gan, &data, &GanConfig::new().epochs(1).progress_every(0)).unwrap();
        assert_eq!(generate(&gan, 5, 0).unwrap().dim().0, 5);

        let other = labelled(Array::from_shape_fn((4, 9), |(row, at)| wave(row, at)));
        let error = train_ae(&mut autoencoder, &other, &quiet()).unwrap_err().to_string();
        assert!(error.contains("[1, 1, 9]"), "{error}");
    }
}

#[test]
fn colour_images_of_odd_sizes_are_trained_and_shown() {
    let images = Array4::from_shape_fn((40, 3, 17, 22), |(row, channel, y, x)| {
        let inside = (y as f32 - 8.0).hypot(x as f32 - 5.0 - (row % 12) as f32) < 5.0;
        if inside { [0.9, 0.1 + 0.8 * (row % 2) as f32, 0.2][channel] } else { 0.1 }
    });
    let data = labelled(images);
    let mut autoencoder = Autoencoder::strided_for([3, 17, 22], [6, 8, 8], 16, 2).unwrap();
    let config = quiet().snapshots(&data.take(6), [1, 3]);
    let history = train_ae(&mut autoencoder, &data, &config).unwrap();
    assert!(history.loss[2] < history.loss[0]);
    let figures = [
        data.plot_images(12).unwrap(),
        reconstructions(&autoencoder, &data).unwrap(),
        history.plot_snapshots().unwrap(),
    ];
    for figure in figures {
        let png = figure.to_png().unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        // The text is grey: a strong colour is an image's.
        assert!(pixels.chunks(3).any(|pixel| pixel[0].abs_diff(pixel[2]) > 20), "no colour");
    }
    assert!(explore(&autoencoder, &data).unwrap().to_string().starts_with("40 of 40 images"));
    assert!(data.to_html().contains("data:image/png"));
}
