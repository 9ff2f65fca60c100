//! Principal component analysis (PCA): its settings, and its two methods.

mod components;
mod covariance;
mod eigen;
mod linfa;

pub use components::PrincipalComponents;

use ndarray::{Array1, Array2};

use super::Codes;
use crate::error::{Error, ErrorKind, Result};

/// The settings of principal component analysis.
///
/// | setting | default | range |
/// |---|---|---|
/// | `components` | | 1 to the number of a code's values (and of the codes) |
/// | [`method`](Self::method) | [`PcaMethod::Covariance`] | |
///
/// Pixels are codes too: [`Codes::of_pixels`]. Codes of any finite size are computed. The same codes give the same bits
/// with any number of threads.
///
/// ```
/// use latentlab::{Codes, Dataset, Pca};
///
/// let (train, test) = Dataset::built_in_digits(200, 0)?.split(150, 50)?;
/// let components = Pca::new(10).fit(&Codes::of_pixels(&train))?;
/// let codes = components.transform(&Codes::of_pixels(&test))?; // (50, 10)
/// let pixels = components.inverse_transform(&codes)?; // (50, 784), as close as 10 components come
/// assert_eq!(codes.latent_dim(), 10);
/// assert_eq!(pixels.latent_dim(), 784);
/// assert!(components.explained_variance_ratio().iter().sum::<f64>() > 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pca {
    components: usize,
    method: PcaMethod,
}

/// How principal components are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PcaMethod {
    /// The eigenvectors of the covariance matrix (scikit-learn's `covariance_eigh`), exactly and on all threads: the
    /// covariance in single precision with double-precision sums, the eigenvectors in double precision.
    #[default]
    Covariance,
    /// The crate linfa-reduction: singular vectors of all codes by an iterative method (LOBPCG), in double precision on
    /// one thread. The codes must vary in as many directions as there are components. Several times as slow.
    Linfa,
}

impl Pca {
    /// The first `components` principal components.
    pub fn new(components: usize) -> Self {
        Self { components, method: PcaMethod::default() }
    }

    /// How the components are computed.
    pub fn method(self, method: PcaMethod) -> Self {
        Self { method, ..self }
    }

    /// Finds the principal components of codes, shape `(n, latent_dim)`.
    ///
    /// # Errors
    /// If there are fewer than 2 codes, the number of components is out of its range, or the matrices are larger than
    /// one result may be (4 GiB: about 7,000 values a code). With [`PcaMethod::Linfa`] also if the codes vary in
    /// fewer directions, or the iterations fail.
    pub fn fit(&self, codes: &Codes) -> Result<PrincipalComponents> {
        let components = self.components;
        let (n, dim) = codes.points().dim();
        if n < 2 {
            return Err(Error::argument("pca, codes", "at least 2", n));
        }
        if components == 0 || components > n.min(dim) {
            let range = format!("a number from 1 to {} ({n} codes of {dim} values)", n.min(dim));
            return Err(Error::argument("pca, components", range, components));
        }
        let found = match self.method {
            PcaMethod::Covariance => covariance::components(codes.points(), components)?,
            PcaMethod::Linfa => linfa::components(codes.points(), components)?,
        };
        let Found { mean, pairs, total, unit } = found;
        // Rounding may leave a variance of zero slightly negative.
        let variances: Vec<f64> = pairs.iter().map(|(value, _)| value.max(0.0)).collect();
        let share = |value: &f64| if total > 0.0 { value / total } else { 0.0 };
        let vectors = pairs.iter().flat_map(|(_, vector)| {
            let largest = vector.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            vector.iter().map(move |value| (value * largest.signum()) as f32)
        });
        let vectors = Array2::from_shape_vec((components, dim), vectors.collect())
            .map_err(|error| Error::new(ErrorKind::Shape, "pca", error.to_string()))?;
        let ratios = variances.iter().map(share).collect();
        let variances = variances.iter().map(|value| value * unit * unit).collect();
        Ok(PrincipalComponents::new(mean, vectors, variances, ratios))
    }
}

/// `Pca::new(components).fit(codes)`: the first [principal components](Pca) of codes.
///
/// # Errors
/// As [`Pca::fit`].
pub fn pca(codes: &Codes, components: usize) -> Result<PrincipalComponents> {
    Pca::new(components).fit(codes)
}

/// What a method finds.
struct Found {
    mean: Array1<f32>,
    /// Variances and directions of length 1, the greatest variance first.
    pairs: Vec<(f64, Vec<f64>)>,
    /// The sum of all variances.
    total: f64,
    /// Variances are in units of its square.
    unit: f64,
}

/// Points times a number, rounded once.
fn scaled(points: &Array2<f32>, scale: f64) -> Array2<f32> {
    points.mapv(|value| (f64::from(value) * scale) as f32)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, Array1, Axis, array};
    use rand::Rng;

    use super::*;
    use crate::random;

    /// `n` points whose coordinates vary less and less, mixed with each other, far from zero.
    fn codes(n: usize, dim: usize) -> Codes {
        let mut random = random::stream(5, 0);
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
            let [ours, theirs] = [PcaMethod::Covariance, PcaMethod::Linfa]
                .map(|method| Pca::new(3).method(method).fit(&scaled).unwrap());
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
}
