//! Noisy copies.

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::Dataset;
use crate::{
    error::{Error, Result},
    random,
};

/// A kind of noise for [`Dataset::with_noise`].
///
/// | noise | what happens to a value |
/// |---|---|
/// | [`gaussian`](Self::gaussian) | a random number of mean 0 and this standard deviation is added |
/// | [`salt_and_pepper`](Self::salt_and_pepper) | this share become 0 or 1, at even odds |
/// | [`masking`](Self::masking) | this share become 0 (Vincent et al. 2010) |
///
/// Each value has its own chance, so that in a colour image a pixel may change in one channel;
/// [`whole_pixels`](Self::whole_pixels) gives all channels of a pixel the same.
///
/// ```
/// use latentlab::{Dataset, ImageGrid, Noise};
///
/// let digits = Dataset::built_in_digits(10, 0)?;
/// let noisy = digits.with_noise(Noise::gaussian(0.3).clipped(), 0)?;
/// let peppered = digits.with_noise(Noise::salt_and_pepper(0.2), 0)?;
/// let rows = [("clipped", noisy.images()), ("salt and pepper", peppered.images())];
/// let figure = ImageGrid::rows(rows).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    kind: Kind,
    is_clipped: bool,
    in_whole_pixels: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Gaussian { standard_deviation: f32 },
    SaltAndPepper { share: f32 },
    Masking { share: f32 },
}

impl Noise {
    fn of(kind: Kind) -> Self {
        Self { kind, is_clipped: false, in_whole_pixels: false }
    }

    /// Gaussian noise of mean 0 and this standard deviation, in grey values.
    pub fn gaussian(standard_deviation: f32) -> Self {
        Self::of(Kind::Gaussian { standard_deviation })
    }

    /// This share of the values, from 0 to 1, becomes black (0) or white (1).
    pub fn salt_and_pepper(share: f32) -> Self {
        Self::of(Kind::SaltAndPepper { share })
    }

    /// This share of the values, from 0 to 1, becomes 0.
    pub fn masking(share: f32) -> Self {
        Self::of(Kind::Masking { share })
    }

    /// Brings the result back into \[0, 1\].
    pub fn clipped(self) -> Self {
        Self { is_clipped: true, ..self }
    }

    /// Gives all channels of a pixel the same noise.
    pub fn whole_pixels(self) -> Self {
        Self { in_whole_pixels: true, ..self }
    }

    fn check(self) -> Result<()> {
        match self.kind {
            Kind::Gaussian { standard_deviation: value } if !(value >= 0.0 && value.is_finite()) => {
                Err(Error::argument("with_noise", "a standard deviation of at least 0", value))
            }
            Kind::SaltAndPepper { share } | Kind::Masking { share } if !(0.0..=1.0).contains(&share) => {
                Err(Error::argument("with_noise", "a share from 0 to 1", share))
            }
            _ => Ok(()),
        }
    }

    /// A value with noise.
    fn added(self, value: f32, random: &mut random::Random) -> f32 {
        let noisy = match self.kind {
            Kind::Gaussian { standard_deviation } => {
                value + standard_deviation * random.sample::<f32, _>(StandardNormal)
            }
            // One draw, whichever way it goes: another share changes no other value's draw.
            Kind::SaltAndPepper { share } => match random.r#gen::<f32>() {
                draw if draw < share / 2.0 => 0.0,
                draw if draw < share => 1.0,
                _ => value,
            },
            Kind::Masking { share } => {
                if random.r#gen::<f32>() < share {
                    0.0
                } else {
                    value
                }
            }
        };
        if self.is_clipped { noisy.clamp(0.0, 1.0) } else { noisy }
    }
}

/// Gaussian noise of this standard deviation.
impl From<f32> for Noise {
    fn from(standard_deviation: f32) -> Self {
        Self::gaussian(standard_deviation)
    }
}

/// Gaussian noise of this standard deviation.
impl From<f64> for Noise {
    fn from(standard_deviation: f64) -> Self {
        Self::gaussian(standard_deviation as f32)
    }
}

impl Dataset {
    /// The images with noise: a standard deviation for Gaussian noise of mean 0 (in grey values, not clipped), which is
    /// what [`TrainConfig::input_noise`](crate::TrainConfig::input_noise) adds in training, or any [`Noise`]. An
    /// image's noise depends on the seed and its index, not on the number of images.
    ///
    /// # Errors
    /// When the standard deviation is negative or not finite, or so large that a value becomes infinite, or a share is
    /// not from 0 to 1.
    ///
    /// ```
    /// use latentlab::{Dataset, ImageGrid};
    ///
    /// let digits = Dataset::built_in_digits(10, 0)?;
    /// let noisy = digits.with_noise(0.3, 0)?;
    /// let figure = ImageGrid::rows([("original", digits.images()), ("noisy", noisy.images())]).figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn with_noise(&self, noise: impl Into<Noise>, seed: u64) -> Result<Self> {
        self.noisy(noise.into(), seed)
    }

    fn noisy(&self, noise: Noise, seed: u64) -> Result<Self> {
        noise.check()?;
        let mut images = self.images().clone();
        let [channels, height, width] = self.image_shape();
        let plane = if noise.in_whole_pixels { height * width } else { channels * height * width };
        let values = images.as_slice_mut().unwrap_or_default();
        values.par_chunks_mut(channels * height * width).enumerate().for_each(|(index, image)| {
            for channel in image.chunks_mut(plane) {
                let mut random = random::stream(seed, index as u64);
                channel.iter_mut().for_each(|value| *value = noise.added(*value, &mut random));
            }
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

    #[test]
    fn shares_of_values_become_black_or_white() {
        let share = |data: &Dataset, value: f32| {
            data.values().iter().filter(|v| **v == value).count() as f32 / data.values().len() as f32
        };
        // 20,000 values: a share's deviation is at most 0.0035.
        let peppered = grey().with_noise(Noise::salt_and_pepper(0.4), 1).unwrap();
        for (value, expected) in [(0.0, 0.2), (1.0, 0.2), (0.5, 0.6)] {
            assert!((share(&peppered, value) - expected).abs() < 0.015, "{value}: {}", share(&peppered, value));
        }
        let masked = grey().with_noise(Noise::masking(0.3), 1).unwrap();
        assert!((share(&masked, 0.0) - 0.3).abs() < 0.015 && share(&masked, 0.0) + share(&masked, 0.5) == 1.0);
        assert_eq!(share(&grey().with_noise(Noise::masking(1.0), 1).unwrap(), 0.0), 1.0);
        assert_eq!(grey().with_noise(Noise::masking(0.0), 1).unwrap().values(), grey().values());
        for noise in [Noise::masking(-0.1), Noise::salt_and_pepper(1.1), Noise::masking(f32::NAN)] {
            let error = grey().with_noise(noise, 0).unwrap_err().to_string();
            assert!(error.starts_with("with_noise: expected a share from 0 to 1, got "), "{error}");
        }
    }

    #[test]
    fn noise_is_clipped_and_shared_by_channels_on_request() {
        let noisy = grey().with_noise(Noise::gaussian(1.0), 2).unwrap();
        let clipped = grey().with_noise(Noise::gaussian(1.0).clipped(), 2).unwrap();
        assert!(noisy.values().iter().zip(clipped.values()).all(|(noisy, clipped)| noisy.clamp(0.0, 1.0) == *clipped));
        assert!(noisy.values().iter().any(|value| *value < 0.0));
        let colored = Dataset::new(Array4::from_elem((4, 3, 9, 9), 0.5), Array1::zeros(4), ["a"]).unwrap();
        let noise = Noise::salt_and_pepper(0.5);
        let same = colored.with_noise(noise.whole_pixels(), 0).unwrap();
        let other = colored.with_noise(noise, 0).unwrap();
        let channel = |data: &Dataset, channel| data.images().slice(s![.., channel, .., ..]).to_owned();
        assert!(channel(&same, 0) == channel(&same, 1) && channel(&other, 0) != channel(&other, 1));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let noisy = || grey().with_noise(Noise::salt_and_pepper(0.5), 3).unwrap();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(noisy);
        assert_eq!(alone.values(), noisy().values());
    }
}
