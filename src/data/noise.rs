//! Noisy copies.

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::Dataset;
use crate::{
    error::{Error, Result},
    random,
};

impl Dataset {
    /// The images with Gaussian noise of mean 0 and this standard deviation (in grey values) added, not clipped: what
    /// [`TrainConfig::input_noise`](crate::TrainConfig::input_noise) adds in training, to show and measure it. An
    /// image's noise depends on the seed and its index, not on the number of images.
    ///
    /// # Errors
    /// When the standard deviation is negative or not finite, or so large that a value becomes infinite.
    ///
    /// ```
    /// use latentlab::{Dataset, ImageGrid};
    ///
    /// let digits = Dataset::built_in_digits(10, 0)?;
    /// let noisy = digits.with_noise(0.3, 0)?;
    /// let figure = ImageGrid::rows([("original", digits.images()), ("noisy", noisy.images())]).figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn with_noise(&self, standard_deviation: f32, seed: u64) -> Result<Self> {
        if !(standard_deviation >= 0.0 && standard_deviation.is_finite()) {
            let expected = "a standard deviation of at least 0";
            return Err(Error::argument("with_noise", expected, standard_deviation));
        }
        let mut images = self.images().clone();
        let size: usize = self.image_shape().iter().product();
        let values = images.as_slice_mut().unwrap_or_default();
        values.par_chunks_mut(size).enumerate().for_each(|(index, image)| {
            let mut random = random::stream(seed, index as u64);
            image.iter_mut().for_each(|value| *value += standard_deviation * random.sample::<f32, _>(StandardNormal));
        });
        self.with_images(images).map_err(|error| error.within("with_noise"))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4, s};

    use super::*;

    fn grey() -> Dataset {
        Dataset::new(Array4::from_elem((50, 1, 20, 20), 0.5), Array1::zeros(50), ["a"]).unwrap()
    }

    #[test]
    fn noise_has_mean_zero_and_the_wanted_deviation() {
        let noisy = grey().with_noise(2.0, 0).unwrap();
        // 20,000 values: the mean's own deviation is 0.014, that of the deviation 0.01.
        assert!((noisy.mean() - 0.5).abs() < 0.06, "{}", noisy.mean());
        assert!((noisy.std() - 2.0).abs() < 0.04, "{}", noisy.std());
        assert_eq!(grey().with_noise(0.0, 0).unwrap().images(), grey().images());
    }

    #[test]
    fn noise_depends_on_the_seed_and_the_index() {
        let noisy = grey().with_noise(1.0, 3).unwrap();
        assert_eq!(grey().take(7).with_noise(1.0, 3).unwrap().images(), noisy.take(7).images());
        assert_ne!(grey().with_noise(1.0, 4).unwrap().images(), noisy.images());
        assert_ne!(noisy.images().slice(s![0, .., .., ..]), noisy.images().slice(s![1, .., .., ..]));
    }

    #[test]
    fn negative_noise_is_refused() {
        let error = grey().with_noise(-0.1, 0).unwrap_err();
        assert_eq!(error.to_string(), "with_noise: expected a standard deviation of at least 0, got -0.1");
        for impossible in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(grey().with_noise(impossible, 0).is_err());
        }
        let error = grey().with_noise(f32::MAX, u64::MAX).unwrap_err().to_string();
        assert!(
            error.starts_with("with_noise, data set, image 0, ") && error.contains("expected a finite value"),
            "{error}"
        );
        assert!(grey().take(0).with_noise(1.0, 0).unwrap().is_empty());
    }
}
