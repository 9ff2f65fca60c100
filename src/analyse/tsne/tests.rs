use ndarray::{Array1, Array2, array};
use rand::Rng;

use super::*;

/// `n` points in `classes` clouds of `dim` values; the same clouds for every `stream`.
fn clouds(n: usize, classes: usize, dim: usize, stream: u64) -> Codes {
    let mut random = random::stream(9, 0);
    let centers = Array2::from_shape_fn((classes, dim), |_| 4.0 * random.sample::<f32, _>(StandardNormal));
    let mut random = random::stream(9, stream);
    let points =
        Array2::from_shape_fn((n, dim), |(i, j)| centers[[i % classes, j]] + random.sample::<f32, _>(StandardNormal));
    let names = (0..classes).map(|class| class.to_string()).collect();
    Codes::new(points, Array1::from_iter((0..n).map(|i| i % classes)), names).unwrap()
}

fn quiet() -> Tsne {
    Tsne::new().progress_every(0)
}

/// The share of points of which the nearest among `others` (not itself) has the same label.
fn nearest_agrees(codes: &Codes, others: &Codes) -> f64 {
    let hits = codes.points().rows().into_iter().zip(codes.labels()).filter(|(point, label)| {
        let away = |other: ndarray::ArrayView1<f32>| (&other - point).mapv(|x| x * x).sum();
        let distances = others.points().rows().into_iter().map(away).zip(others.labels()).filter(|(d, _)| *d > 0.0);
        distances.min_by(|a, b| a.0.total_cmp(&b.0)).is_some_and(|(_, nearest)| nearest == *label)
    });
    hits.count() as f64 / codes.len() as f64
}

#[test]
fn clouds_stay_together_however_many_points() {
    for n in [50, 300, 1200] {
        let codes = clouds(n, 5, 8, 1);
        for settings in [quiet(), quiet().random_start()] {
            let embedding = tsne(&codes, &settings).unwrap();
            assert!(nearest_agrees(embedding.codes(), embedding.codes()) > 0.98, "{n}: {embedding}");
            assert!(embedding.divergence() < 1.2, "{n}: {embedding}"); // at the start it is about 4 for 1,200 points
        }
    }
}

#[test]
fn the_seed_decides_not_the_number_of_threads() {
    let codes = clouds(700, 4, 6, 1);
    let with_threads = |threads: usize, settings: Tsne| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let embedding = tsne(&codes, &settings.iterations(120)).unwrap();
            let placed = embedding.place(&clouds(50, 4, 6, 2)).unwrap();
            (embedding.codes().points().clone(), embedding.divergence().to_bits(), placed.points().clone())
        })
    };
    for settings in [quiet(), quiet().random_start()] {
        let one = with_threads(1, settings.clone());
        assert_eq!(one, with_threads(4, settings.clone()));
        assert_ne!(one, with_threads(4, settings.seed(1)));
    }
}

#[test]
fn as_good_as_linfa() {
    let codes = clouds(400, 6, 10, 1);
    let ours = tsne(&codes, &quiet()).unwrap();
    let theirs = tsne(&codes, &quiet().method(TsneMethod::Linfa)).unwrap();
    assert!(ours.divergence() < 1.05 * theirs.divergence(), "{ours}\n{theirs}");
    assert!(nearest_agrees(theirs.codes(), theirs.codes()) > 0.98);
}

#[test]
fn new_points_find_their_cloud() {
    let (known, new) = (clouds(1000, 6, 10, 1), clouds(200, 6, 10, 2));
    let embedding = tsne(&known, &quiet()).unwrap();
    let placed = embedding.place(&new).unwrap();
    assert_eq!(placed.labels(), new.labels());
    assert!(nearest_agrees(&placed, embedding.codes()) > 0.98);
    // Alone a point finds the same place.
    assert_eq!(embedding.place(&new.take(1)).unwrap().points(), placed.take(1).points());

    // The points of the embedding itself find back to about where they are.
    let points = embedding.codes().points();
    let moved = embedding.place(&known).unwrap().points() - points;
    let size = |x: &Array2<f32>| (x.mapv(|x| x * x).sum() / x.nrows() as f32).sqrt();
    assert!(size(&moved) < 0.1 * size(points), "{} of {}", size(&moved), size(points));

    let error = embedding.place(&clouds(2, 2, 3, 1)).unwrap_err().to_string();
    assert_eq!(error, "TsneEmbedding::place: expected codes of 10 values, got 3");
}

#[test]
fn odd_codes_are_embedded_all_the_same() {
    let labels = || Array1::zeros(60);
    let names = || vec!["a".to_string()];
    let mut random = random::stream(2, 0);
    let line = Array2::from_shape_fn((60, 1), |_| random.gen_range(0.0..1.0));
    for points in [line.clone(), Array2::ones((60, 3)), &line * 2.0_f32.powi(100), &line * 2.0_f32.powi(-140)] {
        for settings in [quiet(), quiet().random_start(), quiet().perplexity(1.0)] {
            let embedding = tsne(&Codes::new(points.clone(), labels(), names()).unwrap(), &settings).unwrap();
            assert!(embedding.divergence().is_finite(), "{embedding}");
        }
    }
    // Pairs that nothing holds together fly apart.
    for perplexity in [1.0, 2.0] {
        let embedding = tsne(&clouds(800, 5, 8, 1), &quiet().perplexity(perplexity)).unwrap();
        assert!(nearest_agrees(embedding.codes(), embedding.codes()) > 0.95, "{embedding}");
    }
    let four = Codes::new(array![[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0]], Array1::zeros(4), names()).unwrap();
    assert_eq!(tsne(&four, &quiet()).unwrap().perplexity(), 1.0);
}

#[test]
fn settings_out_of_range_are_refused() {
    let table = [
        (3, quiet(), "tsne, codes: expected at least 4, got 3"),
        (40, quiet().iterations(0), "tsne, iterations: expected at least 1, got 0"),
        (
            40,
            quiet().perplexity(30.0),
            "tsne, perplexity: expected a number from 1 to 13.0 (a third of the other 39 points), got 30",
        ),
        (
            40,
            quiet().perplexity(f64::NAN),
            "tsne, perplexity: expected a number from 1 to 13.0 (a third of the other 39 points), got NaN",
        ),
    ];
    for (n, settings, message) in table {
        assert_eq!(tsne(&clouds(n, 2, 3, 1), &settings).unwrap_err().to_string(), message);
    }
    let one_value = tsne(&clouds(40, 2, 1, 1), &quiet().method(TsneMethod::Linfa)).unwrap_err();
    assert!(one_value.to_string().starts_with("tsne, linfa: "), "{one_value}");
}
