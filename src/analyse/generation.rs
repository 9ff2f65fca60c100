//! Sampling new images, and codes to decode.

use ndarray::{Array2, Array4, ArrayView1};

use crate::{
    error::{Error, ErrorKind, Result},
    limit,
    model::{Gan, Vae, decoded},
    nn::Sequential,
    random,
};

/// `n` codes drawn from N(0, I), (n, latent_dim), for [`decode`](crate::decode): for the same seed the codes that
/// [`sample`] decodes.
///
/// # Errors
/// If `latent_dim` is 0, or there would be more codes than one result may hold (4 GiB).
///
/// ```
/// use latentlab::{Autoencoder, decode, random_codes};
///
/// let codes = random_codes(20, 2, 0)?; // times the standard deviation of your codes, plus their mean
/// let images = decode(&Autoencoder::tiny(2)?, &codes)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn random_codes(n: usize, latent_dim: usize, seed: u64) -> Result<Array2<f32>> {
    if latent_dim == 0 {
        return Err(Error::argument("random_codes, latent_dim", "at least 1", latent_dim));
    }
    let values = limit::check("random_codes", "codes", &[n, latent_dim])?;
    Array2::from_shape_vec((n, latent_dim), random::normal(values, seed))
        .map_err(|error| Error::new(ErrorKind::Shape, "random_codes", error.to_string()))
}

/// `n` images from a variational autoencoder, (n, channels, height, width): decoded from codes drawn from N(0, I). The
/// same seed gives the same images.
///
/// # Errors
/// If there would be more images than one result may hold (4 GiB).
///
/// ```
/// use latentlab::{ImageGrid, Vae, sample};
///
/// let images = sample(&Vae::strided([4, 8, 16], 32, 2)?, 20, 0)?;
/// let figure = ImageGrid::new(&images, 10).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn sample(vae: &Vae, n: usize, seed: u64) -> Result<Array4<f32>> {
    from_noise("sample", vae.decoder(), n, seed, vae.image_shape())
}

/// `n` images from a generative adversarial network, (n, channels, height, width), generated from noise from N(0, I).
/// The same seed gives the same images.
///
/// # Errors
/// If there would be more images than one result may hold (4 GiB).
///
/// ```
/// use latentlab::{Gan, ImageGrid, generate};
///
/// let images = generate(&Gan::convolutional(100)?, 20, 0)?;
/// let figure = ImageGrid::new(&images, 10).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn generate(gan: &Gan, n: usize, seed: u64) -> Result<Array4<f32>> {
    from_noise("generate", gan.generator(), n, seed, gan.image_shape())
}

fn from_noise(place: &str, network: &Sequential, n: usize, seed: u64, shape: [usize; 3]) -> Result<Array4<f32>> {
    let [channels, height, width] = shape;
    limit::check(place, "images", &[n, channels, height, width])?;
    let values = limit::check(place, "codes", &[n, network.input_shape().iter().product()])?;
    decoded(network, &random::normal(values, seed), n, shape)
}

/// The codes on the straight line from one code to another, both included: (steps, latent_dim), for
/// [`decode`](crate::decode).
///
/// # Errors
/// If the codes have different lengths or none or a value that is not finite, or there are fewer than 2 steps or more
/// than one result may hold (4 GiB).
///
/// ```
/// use latentlab::{interpolate, ndarray::array};
///
/// let codes = interpolate(&[0.0, 4.0], &[1.0, 2.0], 3)?;
/// assert_eq!(codes, array![[0.0, 4.0], [0.5, 3.0], [1.0, 2.0]]);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn interpolate(from: &[f32], to: &[f32], steps: usize) -> Result<Array2<f32>> {
    if from.is_empty() || from.len() != to.len() {
        let got = format!("{} and {}", from.len(), to.len());
        return Err(Error::expected(ErrorKind::Shape, "interpolate", "two codes with equally many values", got));
    }
    if steps < 2 {
        return Err(Error::argument("interpolate, steps", "at least 2", steps));
    }
    for (name, code) in [("from", from), ("to", to)] {
        if let Some(i) = code.iter().position(|value| !value.is_finite()) {
            return Err(Error::argument(format!("interpolate, {name}, value {i}"), "a finite number", code[i]));
        }
    }
    limit::check("interpolate", "codes", &[steps, from.len()])?;
    let (from, to) = (ArrayView1::from(from), ArrayView1::from(to));
    Ok(Array2::from_shape_fn((steps, from.len()), |(step, i)| between(from[i], to[i], step, steps)))
}

/// The codes of a regular grid in the plane, (size · size, 2), row by row from the top left, in the order in which
/// [`ImageGrid`](crate::ImageGrid) with `size` columns shows their images: the first value grows from left to right,
/// the second from bottom to top, both from `lowest` to `highest`.
///
/// # Errors
/// If `size` is below 2 or one result cannot hold the codes (4 GiB), or a bound is not finite or not above the other.
///
/// ```
/// use latentlab::{Autoencoder, ImageGrid, code_grid, decode};
///
/// let codes = code_grid([-3.0, -3.0], [3.0, 3.0], 15)?;
/// assert_eq!((codes[[0, 0]], codes[[0, 1]]), (-3.0, 3.0)); // top left
/// let manifold = ImageGrid::new(&decode(&Autoencoder::tiny(2)?, &codes)?, 15).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn code_grid(lowest: [f32; 2], highest: [f32; 2], size: usize) -> Result<Array2<f32>> {
    if size < 2 {
        return Err(Error::argument("code_grid, size", "at least 2", size));
    }
    let is_range = |(low, high): (&f32, &f32)| low.is_finite() && high.is_finite() && low < high;
    if !lowest.iter().zip(&highest).all(is_range) {
        let got = format!("{lowest:?} and {highest:?}");
        return Err(Error::argument("code_grid", "lowest values below the highest", got));
    }
    limit::check("code_grid", "codes", &[size, size, 2])?;
    Ok(Array2::from_shape_fn((size * size, 2), |(place, axis)| match axis {
        0 => between(lowest[0], highest[0], place % size, size),
        _ => between(lowest[1], highest[1], size - 1 - place / size, size),
    }))
}

/// Linear interpolation, the first and the last step exact.
fn between(from: f32, to: f32, step: usize, steps: usize) -> f32 {
    let t = step as f32 / (steps - 1) as f32;
    from * (1.0 - t) + to * t
}
