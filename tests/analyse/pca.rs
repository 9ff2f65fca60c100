use latentlab::{Codes, Pca, PcaMethod, PrincipalComponents, pca};
use ndarray::{Array, Array1, Array2, Axis, array};
use rand::Rng;

use super::random;

/// `n` points whose coordinates vary less and less, mixed with each other, far from zero.
fn codes(n: usize, dim: usize) -> Codes {
    let mut random = random(5);
    let mixing = Array::from_shape_fn((dim, dim), |_| random.gen_range(-1.0..1.0));
    let points = Array::from_shape_fn((n, dim), |(_, j)| random.gen_range(-1.0_f32..1.0) / (1 + j) as f32);
    Codes::new(points.dot(&mixing) + 10.0, Array1::zeros(n), vec!["a".into()]).unwrap()
}

#[test]
fn both_methods_find_the_same_components() {
    let codes = codes(500, 6);
    for scale in [1.0, 2.0_f32.powi(100), 2.0_f32.powi(-100)] {
        let scaled = Codes::new(codes.points() * scale, codes.labels().clone(), codes.class_names().to_vec());
        let scaled = scaled.unwrap();
        let [ours, theirs] =
            [PcaMethod::Covariance, PcaMethod::Linfa].map(|method| Pca::new(3).method(method).fit(&scaled).unwrap());
        for k in 0..3 {
            let same = ours.components().row(k).dot(&theirs.components().row(k)); // signs agree, too
            assert!((same - 1.0).abs() < 1e-5, "component {k}: {same}");
            for get in [PrincipalComponents::explained_variance, PrincipalComponents::explained_variance_ratio] {
                assert!((get(&ours)[k] / get(&theirs)[k] - 1.0).abs() < 1e-4);
            }
        }
        assert!((ours.mean() - theirs.mean()).iter().all(|x| x.abs() < 1e-5 * scale));
    }
}

/// On codes like these linfa-reduction alone panics or gives fewer components.
#[test]
fn linfa_finds_components_or_says_why_not() {
    let linfa = |points: Array2<f32>, components| {
        let n = points.nrows();
        let codes = Codes::new(points, Array1::zeros(n), vec!["a".into()]).unwrap();
        Pca::new(components).method(PcaMethod::Linfa).fit(&codes)
    };
    let random = codes(300, 8).points().clone();
    let mut dead = random.clone(); // units that never fire
    dead.slice_mut(ndarray::s![.., 2..5]).fill(0.0);
    assert_eq!(linfa(dead.clone(), 5).unwrap().components().dim(), (5, 8));
    let error = linfa(dead, 6).unwrap_err().to_string();
    assert!(error.starts_with("pca, linfa, components: expected at most 5 (the directions in which"), "{error}");
    let error = linfa(Array2::ones((9, 3)), 1).unwrap_err().to_string();
    assert!(error.starts_with("pca, linfa, codes: expected codes that differ, got equal ones"), "{error}");
    for (name, points) in [
        ("many", random.broadcast((50, 300, 8)).unwrap().to_owned().into_shape_with_order((15_000, 8)).unwrap()),
        ("huge", &random * 1e37),
        ("tiny", &random * 1e-40),
        ("more values than codes", codes(20, 60).points().clone()),
        ("one value", random.slice(ndarray::s![.., ..1]).to_owned()),
        ("two codes", array![[1.0, 2.0], [3.0, 5.0]]),
        ("axes", Array2::eye(40)),
        ("an outlier", {
            let mut points = random.clone();
            points.row_mut(7).fill(1e9);
            points
        }),
    ] {
        for count in 1..=points.nrows().min(points.ncols()) {
            match linfa(points.clone(), count) {
                Ok(found) => {
                    let products = found.components().dot(&found.components().t());
                    let gap = (products - Array2::<f32>::eye(count)).mapv(f32::abs).fold(0.0_f32, |a, b| a.max(*b));
                    assert!(gap < 1e-3, "{name}, {count}: {gap}");
                }
                Err(error) => assert!(error.place().starts_with("pca, linfa"), "{name}, {count}: {error}"),
            }
        }
        assert!(linfa(points, 1).is_ok(), "{name}");
    }
}

#[test]
fn all_components_lose_nothing() {
    let codes = codes(100, 7);
    let whole = pca(&codes, 7).unwrap();
    assert!((whole.explained_variance_ratio().iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let back = whole.inverse_transform(&whole.transform(&codes).unwrap()).unwrap();
    assert!((back.points() - codes.points()).iter().all(|x| x.abs() < 1e-4));
    let coordinates = whole.transform(&codes).unwrap();
    for (variance, expected) in coordinates.points().var_axis(Axis(0), 1.0).iter().zip(whole.explained_variance()) {
        assert!((f64::from(*variance) / expected - 1.0).abs() < 1e-3);
    }
}

#[test]
fn threads_and_scale_do_not_matter() {
    let codes = codes(3000, 20);
    let with_threads = |threads: usize, codes: &Codes| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pca(codes, 4).unwrap())
    };
    let (one, three) = (with_threads(1, &codes), with_threads(3, &codes));
    assert_eq!(one.components(), three.components());
    assert_eq!(one.explained_variance(), three.explained_variance());
    let huge = codes.points() * 2.0_f32.powi(120);
    let huge = Codes::new(huge, codes.labels().clone(), codes.class_names().to_vec()).unwrap();
    assert_eq!(pca(&huge, 4).unwrap().components(), one.components());
}

#[test]
fn out_of_range_is_refused() {
    let few = Codes::new(array![[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], array![0, 0], vec!["a".into()]).unwrap();
    assert_eq!(pca(&few, 2).unwrap().explained_variance_ratio(), [0.0, 0.0]);
    for (codes, count, message) in [
        (few.take(1), 1, "pca, codes: expected at least 2, got 1"),
        (few.clone(), 0, "pca, components: expected a number from 1 to 2 (2 codes of 3 values), got 0"),
        (few.clone(), 3, "pca, components: expected a number from 1 to 2 (2 codes of 3 values), got 3"),
    ] {
        assert_eq!(pca(&codes, count).unwrap_err().to_string(), message);
    }
    let wrong = pca(&few, 1).unwrap().inverse_transform(&few).unwrap_err();
    assert_eq!(wrong.to_string(), "PrincipalComponents::inverse_transform: expected codes of 1 values, got 3");
}

#[test]
fn the_greatest_and_the_smallest_numbers_are_as_good_as_others() {
    let square = array![[1.0_f32, 1.0], [-1.0, -1.0], [0.5, -0.5], [-0.5, 0.5]];
    let of = |points: Array2<f32>| Codes::new(points, Array1::zeros(4), vec!["a".into()]).unwrap();
    for scale in [3e38_f32, 1e-44] {
        let codes = of(&square * scale);
        let components = pca(&codes, 2).unwrap();
        let ratios = components.explained_variance_ratio();
        assert!((ratios[0] - 0.8).abs() < 0.05 && (ratios[1] - 0.2).abs() < 0.05, "{scale}: {ratios:?}");
        let variance = components.explained_variance()[0] / f64::from(scale).powi(2);
        assert!((variance - 4.0 / 3.0).abs() < 0.1, "{scale}: {variance}");
    }
    // 3e38 · √2 is beyond single precision.
    let codes = of(&square * 3e38);
    let error = pca(&codes, 2).unwrap().transform(&codes).unwrap_err().to_string();
    let expected = "PrincipalComponents::transform, code 0, value 0: expected a value of at most 3.4028235e38, \
                    got a greater one. Divide the codes by a number first";
    assert_eq!(error, expected);
    let half = of(&square * 2e38);
    let components = pca(&half, 2).unwrap();
    let back = components.inverse_transform(&components.transform(&half).unwrap()).unwrap();
    assert!((back.points() / 2e38 - &square).iter().all(|x| x.abs() < 1e-5), "{}", back.points());
}

#[test]
fn covariances_are_counted_before_they_are_computed() {
    let wide = Codes::new(Array2::ones((2, 60_000)), array![0, 0], vec!["a".into()]).unwrap();
    let error = pca(&wide, 1).unwrap_err().to_string();
    assert!(error.starts_with("pca, codes: expected at most 4 GiB for one result, got 93.9 GiB"), "{error}");
}

#[test]
fn the_table_lines_up() {
    let line = Codes::new(array![[1.0, 1.0], [3.0, 1.0]], array![0, 0], vec!["a".into()]).unwrap();
    let expected = "\
component   variance    share   together
        1     2.0000 100.00 %   100.00 %
        2     0.0000   0.00 %   100.00 %";
    assert_eq!(pca(&line, 2).unwrap().to_string(), expected);
}
