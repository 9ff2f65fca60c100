use latentlab::{Codes, KMeans, StopHandle, kmeans_accuracy};
use linfa::DatasetBase;
use linfa::traits::{Fit, Transformer};
use ndarray::{Array1, Array2, array};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// `n` points around each of `classes` corners of a square grid with the given spacing; the noise lies within ±1.
fn blobs(classes: usize, n: usize, spacing: f32) -> Codes {
    let mut random = Xoshiro256Plus::seed_from_u64(7);
    let labels = Array1::from_iter((0..classes * n).map(|i| i % classes));
    let points = Array2::from_shape_fn((classes * n, 2), |(i, axis)| {
        let corner = if axis == 0 { labels[i] % 4 } else { labels[i] / 4 };
        spacing * corner as f32 + random.gen_range(-1.0..1.0)
    });
    Codes::new(points, labels, (0..classes).map(|class| class.to_string()).collect()).unwrap()
}

#[test]
fn separate_blobs_are_found() {
    let codes = blobs(10, 30, 20.0);
    let clustering = kmeans_accuracy(&codes, 10).unwrap();
    for measure in [clustering.accuracy(), clustering.one_to_one_accuracy(), clustering.nmi(), clustering.ari()] {
        assert!((measure - 1.0).abs() < 1e-12, "{measure}");
    }
    assert_eq!(clustering.cluster_sizes(), [30; 10]);
    let means = codes.class_means().unwrap();
    for (centroid, class) in clustering.centroids().rows().into_iter().zip(clustering.cluster_labels()) {
        let gap = &centroid - &means.row(class.unwrap());
        assert!(gap.iter().all(|x| x.abs() < 1e-3), "{centroid} is not the mean {}", means.row(class.unwrap()));
    }
    // Uniform noise within ±1 has the variance 1/3 on each of the two axes.
    let spread = clustering.inertia() / codes.len() as f64;
    assert!((spread - 2.0 / 3.0).abs() < 0.05, "{spread}");
}

#[test]
fn as_good_as_linfa() {
    let codes = blobs(10, 200, 1.5);
    let points = codes.points().mapv(f64::from);
    let linfa = linfa_clustering::KMeans::params_with_rng(10, Xoshiro256Plus::seed_from_u64(0)).n_runs(10);
    let linfa = linfa.fit(&DatasetBase::from(points.view())).unwrap();
    let (ours, theirs) = (kmeans_accuracy(&codes, 10).unwrap().inertia(), linfa.transform(&points).sum());
    assert!((ours / theirs - 1.0).abs() < 0.01, "{ours} and {theirs}");
}

#[test]
fn scale_does_not_matter() {
    let codes = blobs(6, 40, 1.5);
    let expected = kmeans_accuracy(&codes, 6).unwrap();
    for scale in [2.0_f32.powi(-120), 2.0_f32.powi(120)] {
        let scaled = Codes::new(codes.points() * scale, codes.labels().clone(), codes.class_names().to_vec());
        assert_eq!(kmeans_accuracy(&scaled.unwrap(), 6).unwrap().assignments(), expected.assignments());
    }
}

#[test]
fn the_seed_decides_not_the_number_of_threads() {
    let codes = blobs(6, 500, 1.0);
    let with_threads = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| KMeans::new(6).runs(1).max_iterations(3).seed(seed).fit(&codes).unwrap())
    };
    let (one, four, other) = (with_threads(1, 5), with_threads(4, 5), with_threads(4, 6));
    assert_eq!(one.centroids(), four.centroids());
    assert_eq!(one.assignments(), four.assignments());
    assert_eq!(one.inertia().to_bits(), four.inertia().to_bits());
    assert_ne!(one.centroids(), other.centroids());
}

#[test]
fn known_points_are_predicted_as_they_were_assigned() {
    let codes = blobs(10, 200, 1.5);
    for scale in [1.0, 2.0_f32.powi(120), 2.0_f32.powi(-120)] {
        let scaled = Codes::new(codes.points() * scale, codes.labels().clone(), codes.class_names().to_vec());
        let scaled = scaled.unwrap();
        let clustering = KMeans::new(7).runs(2).fit(&scaled).unwrap();
        assert_eq!(clustering.predict(&scaled).unwrap(), clustering.assignments());
        for (i, &cluster) in clustering.assignments().iter().enumerate().step_by(50) {
            let distance = |cluster: usize| {
                let gap = (&scaled.points().row(i) - &clustering.centroids().row(cluster)) / scale;
                gap.mapv(|x| x * x).sum()
            };
            assert!((0..7).all(|other| distance(cluster) <= distance(other) + 1e-4), "{i}");
        }
    }
    let clustering = KMeans::new(3).fit(&codes).unwrap();
    assert!(clustering.predict(&codes.take(0)).unwrap().is_empty());
    let wide = Codes::new(Array2::zeros((1, 3)), array![0], vec!["a".into()]).unwrap();
    let error = clustering.predict(&wide).unwrap_err().to_string();
    assert_eq!(error, "Clustering::predict: expected codes of 2 values, got 3");
}

#[test]
fn more_runs_are_never_worse() {
    let codes = blobs(10, 30, 2.5);
    let inertia = |runs, seed| KMeans::new(10).runs(runs).seed(seed).fit(&codes).unwrap().inertia();
    let ratios = Vec::from_iter((0..20).map(|seed| inertia(10, seed) / inertia(1, seed)));
    assert!(ratios.iter().all(|ratio| *ratio <= 1.0) && ratios.iter().any(|ratio| *ratio < 0.99), "{ratios:?}");
}

#[test]
fn any_number_of_runs_can_be_stopped() {
    let (codes, stop) = (blobs(4, 40, 2.0), StopHandle::new());
    let handle = stop.clone();
    let timer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        handle.stop();
    });
    let clustering = KMeans::new(4).runs(usize::MAX).max_iterations(usize::MAX).stop_handle(&stop).fit(&codes).unwrap();
    timer.join().unwrap();
    assert_eq!(clustering.centroids().dim(), (4, 2));
}

#[test]
fn sums_are_counted_before_they_are_made() {
    let names = (0..100_000).map(|class| class.to_string()).collect();
    let codes = Codes::new(Array2::zeros((20_000, 1)), Array1::zeros(20_000), names).unwrap();
    let error = kmeans_accuracy(&codes, 20_000).unwrap_err().to_string();
    assert!(error.starts_with("KMeans, clusters: expected at most 4 GiB for one result, got 14.9 GiB"), "{error}");
    let wide = Codes::new(Array2::zeros((40_000, 2_000)), Array1::zeros(40_000), vec!["a".into()]).unwrap();
    let error = KMeans::new(40_000).runs(1).fit(&wide).unwrap_err().to_string();
    assert!(error.contains("sums of two values each"), "{error}");
}

#[test]
fn trivial_codes_have_their_limits() {
    let names = || vec!["a".to_string(), "b".to_string()];
    let constant = Codes::new(Array2::ones((4, 3)), array![0, 1, 1, 1], names()).unwrap();
    let clustering = kmeans_accuracy(&constant, 2).unwrap();
    assert_eq!(clustering.cluster_sizes(), [4, 0]);
    assert_eq!(clustering.cluster_labels(), [Some(1), None]);
    assert_eq!((clustering.accuracy(), clustering.chance()), (0.75, 0.75));
    assert_eq!((clustering.nmi(), clustering.ari(), clustering.inertia()), (0.0, 0.0, 0.0));

    let one_class = Codes::new(array![[0.0], [1.0]], array![1, 1], names()).unwrap();
    let clustering = kmeans_accuracy(&one_class, 1).unwrap();
    assert_eq!((clustering.accuracy(), clustering.nmi(), clustering.ari()), (1.0, 1.0, 1.0));
    assert_eq!(clustering.centroids(), array![[0.5]]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let codes = blobs(2, 2, 9.0);
    let table = [
        (KMeans::new(0), 4, "KMeans, clusters: expected a number from 1 to 4 (the number of points), got 0"),
        (KMeans::new(5), 4, "KMeans, clusters: expected a number from 1 to 4 (the number of points), got 5"),
        (KMeans::new(1), 0, "KMeans, codes: expected at least 1 point, got 0"),
        (KMeans::new(1).runs(0), 4, "KMeans, runs: expected at least 1, got 0"),
        (KMeans::new(1).max_iterations(0), 4, "KMeans, max_iterations: expected at least 1, got 0"),
    ];
    for (kmeans, n, message) in table {
        assert_eq!(kmeans.fit(&codes.take(n)).unwrap_err().to_string(), message);
    }
}
