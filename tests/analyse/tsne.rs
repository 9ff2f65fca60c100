use latentlab::{Codes, StopHandle, Tsne, TsneEmbedding, TsneMethod, tsne};
use ndarray::{Array1, Array2, array};
use rand::Rng;
use rand_distr::StandardNormal;

use super::random;

/// `n` points in `classes` clouds of `dim` values; the same clouds for every `stream`.
fn clouds(n: usize, classes: usize, dim: usize, stream: u64) -> Codes {
    let mut normal = random(9);
    let centers = Array2::from_shape_fn((classes, dim), |_| 4.0 * normal.sample::<f32, _>(StandardNormal));
    let mut normal = random(stream);
    let points =
        Array2::from_shape_fn((n, dim), |(i, j)| centers[[i % classes, j]] + normal.sample::<f32, _>(StandardNormal));
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
            let placed = embedding.transform(&clouds(50, 4, 6, 2)).unwrap();
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
fn the_defaults_are_those_in_the_table() {
    let codes = clouds(300, 4, 6, 1);
    let points = |settings: Tsne| tsne(&codes, &settings.iterations(300)).unwrap().codes().points().clone();
    let explicit = quiet().early_exaggeration(12.0, 250).exaggeration(1.0).perplexity(30.0).seed(0);
    assert_eq!(points(quiet()), points(explicit));
    // Absurd rates stay finite.
    assert!(tsne(&codes, &quiet().learning_rate(1e9).exaggeration(1e6)).unwrap().divergence().is_finite());
    for other in [
        quiet().early_exaggeration(4.0, 250),
        quiet().early_exaggeration(12.0, 100),
        quiet().exaggeration(2.0),
        quiet().learning_rate(200.0),
    ] {
        assert_ne!(points(quiet()), points(other));
    }
}

#[test]
fn an_embedding_continues_from_given_points() {
    let codes = clouds(600, 5, 8, 1);
    let first = tsne(&codes, &quiet().iterations(500)).unwrap();
    let on =
        |settings: Tsne| tsne(&codes, &settings.initial(first.codes().points()).early_exaggeration(1.0, 0)).unwrap();
    let second = on(quiet().iterations(300));
    assert!(second.divergence() <= first.divergence() + 1e-3, "{first}\n{second}");
    let moved = (second.codes().points() - first.codes().points()).mapv(f32::abs).mean().unwrap();
    let size = first.codes().points().mapv(f32::abs).mean().unwrap();
    assert!(moved < 0.5 * size, "{moved} of {size}");
    // Exaggeration draws the points of a cluster together.
    let spread = |embedding: &TsneEmbedding| {
        let (points, means) = (embedding.codes().points(), embedding.codes().class_means().unwrap());
        let away = |(row, label): (ndarray::ArrayView1<f32>, &usize)| (&row - &means.row(*label)).mapv(|x| x * x).sum();
        points.rows().into_iter().zip(embedding.codes().labels()).map(away).sum::<f32>()
    };
    assert!(spread(&on(quiet().iterations(300).exaggeration(4.0))) < 0.7 * spread(&second));
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
    let placed = embedding.transform(&new).unwrap();
    assert_eq!(placed.labels(), new.labels());
    assert!(nearest_agrees(&placed, embedding.codes()) > 0.98);
    // Alone a point finds the same place.
    assert_eq!(embedding.transform(&new.take(1)).unwrap().points(), placed.take(1).points());

    // The points of the embedding itself find back to about where they are.
    let points = embedding.codes().points();
    let moved = embedding.transform(&known).unwrap().points() - points;
    let size = |x: &Array2<f32>| (x.mapv(|x| x * x).sum() / x.nrows() as f32).sqrt();
    assert!(size(&moved) < 0.1 * size(points), "{} of {}", size(&moved), size(points));

    let error = embedding.transform(&clouds(2, 2, 3, 1)).unwrap_err().to_string();
    assert_eq!(error, "TsneEmbedding::transform: expected codes of 10 values, got 3");
}

#[test]
fn odd_codes_are_embedded_all_the_same() {
    let labels = || Array1::zeros(60);
    let names = || vec!["a".to_string()];
    let mut random = random(2);
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
            "tsne, perplexity: expected a number from 1 to 13 (a third of the other 39 points), got 30",
        ),
        (
            40,
            quiet().perplexity(f64::NAN),
            "tsne, perplexity: expected a number from 1 to 13 (a third of the other 39 points), got NaN",
        ),
    ];
    for (n, settings, message) in table {
        assert_eq!(tsne(&clouds(n, 2, 3, 1), &settings).unwrap_err().to_string(), message);
    }
    let shifted = |by: f32| Array2::from_elem((40, 2), by);
    for (settings, message) in [
        (quiet().early_exaggeration(0.5, 10), "early_exaggeration: expected a factor from 1 to 1000000, got 0.5"),
        (quiet().exaggeration(f64::INFINITY), "exaggeration: expected a factor from 1 to 1000000, got inf"),
        (quiet().learning_rate(0.0), "learning_rate: expected a number above 0, at most 1000000000, got 0"),
        (quiet().learning_rate(f64::NAN), "learning_rate: expected a number above 0, at most 1000000000, got NaN"),
        (quiet().initial(&Array2::zeros((39, 2))), "initial: expected points of shape [40, 2], got [39, 2]"),
        (quiet().initial(&shifted(f32::NAN)), "initial: expected values of at most 10000, got NaN"),
        (quiet().initial(&shifted(1e5)), "initial: expected values of at most 10000, got 100000"),
    ] {
        let error = tsne(&clouds(40, 2, 3, 1), &settings).unwrap_err().to_string();
        assert_eq!(error, format!("tsne, {message}"));
    }
    let linfa = || quiet().method(TsneMethod::Linfa);
    for (name, settings) in [
        ("early_exaggeration", linfa().early_exaggeration(12.0, 250)),
        ("exaggeration", linfa().exaggeration(1.0)),
        ("learning_rate", linfa().learning_rate(200.0)),
        ("seed", linfa().seed(1)),
        ("initial", linfa().initial(&shifted(0.0))),
        ("stop_handle", linfa().stop_handle(&StopHandle::new())),
        ("progress_every", linfa().progress_every(10)),
    ] {
        let error = tsne(&clouds(40, 2, 3, 1), &settings).unwrap_err().to_string();
        let expected = "expected TsneMethod::Grid, got TsneMethod::Linfa, which has no such setting";
        assert_eq!(error, format!("tsne, {name}: {expected}"));
    }
    let equal = Codes::new(Array2::ones((4, 3)), Array1::zeros(4), vec!["a".into()]).unwrap();
    for (codes, settings, message) in [
        (
            clouds(40, 2, 1, 1),
            linfa(),
            "tsne, linfa, codes: expected at least 2 values a code, got 1. TsneMethod::Grid takes any codes",
        ),
        (
            equal,
            linfa(),
            "tsne, linfa, codes: expected codes that differ, got equal ones. TsneMethod::Grid takes any codes",
        ),
        (
            clouds(40, 2, 3, 1),
            linfa().iterations(usize::MAX),
            "tsne, iterations: expected at most 10000 with TsneMethod::Linfa, which cannot be stopped, \
             got 18446744073709551615",
        ),
    ] {
        assert_eq!(tsne(&codes, &settings).unwrap_err().to_string(), message);
    }
}

#[test]
fn the_greatest_perplexity_that_an_error_offers_is_taken() {
    for n in 4..80 {
        let codes = clouds(n, 2, 3, 1);
        let most = (n - 1) as f64 / 3.0;
        let error = tsne(&codes, &quiet().perplexity(most + 0.004)).unwrap_err().to_string();
        let offered = error.split(" to ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let offered: f64 = offered.parse().unwrap();
        assert!(offered <= most && most - offered < 0.01, "{error}");
        assert!(quiet().perplexity(offered).iterations(1).fit(&codes).is_ok());
    }
}

/// Whatever the codes: in linfa's tree a NaN would overflow the stack, which ends the process.
#[test]
fn linfa_embeds_any_codes_that_differ() {
    let mut random = random(4);
    let mut uniform = |n, dim| Array2::from_shape_fn((n, dim), |_| random.gen_range(-1.0_f32..1.0));
    let wide = uniform(40, 784);
    let mut outlier = uniform(60, 5);
    outlier.row_mut(7).fill(1e6);
    let (square, doubled) = (array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], uniform(30, 3));
    let doubled = ndarray::concatenate(ndarray::Axis(0), &[doubled.view(), doubled.view()]).unwrap();
    let mut nearly_equal = Array2::ones((50, 4));
    nearly_equal[[3, 2]] = 1.0 + f32::EPSILON;
    let axes = Array2::eye(90) * 30.0;
    for (name, points) in [
        ("as images", wide.clone()),
        ("huge", &wide * 3e38),
        ("tiny", &wide * 1e-38),
        ("an outlier", outlier),
        ("a square", square),
        ("doubled", doubled),
        ("nearly equal", nearly_equal),
        ("all equally far", axes),
    ] {
        let n = points.nrows();
        let codes = Codes::new(points, Array1::zeros(n), vec!["a".into()]).unwrap();
        for settings in [quiet(), quiet().perplexity(1.0)] {
            let settings = settings.method(TsneMethod::Linfa).iterations(300);
            let embedding = tsne(&codes, &settings).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(embedding.divergence().is_finite(), "{name}: {embedding}");
        }
    }
}

#[test]
fn codes_far_from_all_find_a_place_in_their_direction() {
    let known = clouds(300, 4, 3, 1);
    let embedding = tsne(&known, &quiet().iterations(400)).unwrap();
    let far = |scale: f32| {
        let points = known.points().slice(ndarray::s![..8, ..]).mapv(|x| x / 10.0) * scale;
        embedding.transform(&Codes::new(points, Array1::zeros(8), vec!["a".into()]).unwrap()).unwrap().points().clone()
    };
    let away = far(1e6);
    for scale in [1e20, 1e30, 3e38] {
        let moved = (far(scale) - &away).mapv(f32::abs);
        assert!(moved.iter().all(|x| *x < 1.0), "{scale}: {moved}");
    }
}

#[test]
fn codes_of_any_size_are_embedded() {
    let codes = clouds(60, 3, 4, 1);
    for scale in [2.0_f32.powi(124), 2.0_f32.powi(-145)] {
        let scaled = Codes::new(codes.points() * scale, codes.labels().clone(), codes.class_names().to_vec()).unwrap();
        let embedding = tsne(&scaled, &quiet()).unwrap();
        assert!(nearest_agrees(embedding.codes(), embedding.codes()) > 0.9, "{scale}: {embedding}");
    }
    let poles =
        Codes::new(array![[3e38, 3e38], [-3e38, -3e38], [3e38, -3e38], [1.0, 1.0]], Array1::zeros(4), vec!["a".into()]);
    assert!(tsne(&poles.unwrap(), &quiet()).unwrap().divergence().is_finite());
}
