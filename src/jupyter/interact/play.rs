//! A walk through the noise of a generative adversarial network.

use ndarray::{Axis, s};

use super::{Control, Function, button, columns, figures, int_slider, start};
use crate::{
    analyse::random_codes,
    error::Result,
    model::{Gan, decoded},
    show::ImageGrid,
};

/// How many walks there are, and in a row of them.
const WALKS: usize = 12;
const COLUMNS: usize = 6;

const ANGLE: &str = "angle, degrees";
const NEW: &str = "new noise";

impl Gan {
    /// Shows a slider that walks through the noise, and below it twelve images that the generator makes on the way,
    /// each between two noises of its own: `a` at 0 degrees and `b` at 90. A button draws new ones.
    ///
    /// The noise at angle φ is a·cos φ + b·sin φ. It is drawn from N(0, I) as `a` and `b` are, so the generator knows
    /// such noise from its training; halfway on the straight line between them it would be shorter by a factor of √2
    /// (White 2016, "Sampling generative networks"). What [`interact`](crate::interact) says of kernels, threads and
    /// saved notebooks holds here too. The generator is copied.
    ///
    /// # Errors
    /// If one result cannot hold the noises (4 GiB).
    ///
    /// ```
    /// use latentlab::Gan;
    ///
    /// let gan = Gan::convolutional(100)?; // train it with `train_gan`
    /// gan.play()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn play(&self) -> Result<()> {
        let (controls, function) = walk(self)?;
        start(controls, function)
    }
}

fn walk(gan: &Gan) -> Result<(Vec<Control>, Function)> {
    let (generator, latent_dim, shape) = (gan.generator().clone(), gan.latent_dim(), gan.image_shape());
    let draw = move |seed: usize| random_codes(2 * WALKS, latent_dim, seed as u64).map(|noises| (seed, noises));
    let (mut drawn, mut noises) = draw(0)?;
    let function = figures(move |values, _| {
        if values.clicks(NEW)? != drawn {
            (drawn, noises) = draw(values.clicks(NEW)?)?;
        }
        let (sin, cos) = (values.float(ANGLE)?.to_radians() as f32).sin_cos();
        let noise = &noises.slice(s![..WALKS, ..]) * cos + &noises.slice(s![WALKS.., ..]) * sin;
        let noise = noise.as_standard_layout();
        let images = decoded(&generator, noise.as_slice().unwrap_or_default(), noise.len_of(Axis(0)), shape)?;
        ImageGrid::new(&images, columns(shape, COLUMNS)).figure()
    });
    Ok((vec![int_slider(ANGLE, 0..=90).start_at(0.0), button(NEW)], function))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{Content, Values},
        *,
    };
    use crate::{analyse::generate, nn::Sequential};

    #[test]
    fn the_ends_are_generated_images_and_a_click_draws_others() {
        let generator = Sequential::input([8]).dense(784).sigmoid().reshape([1, 28, 28]);
        let discriminator = Sequential::input([1, 28, 28]).flatten().dense(1);
        let gan = Gan::new(generator, discriminator).unwrap();
        let (controls, mut function) = walk(&gan).unwrap();
        let mut values = Values::new(controls);
        let mut png = |values: &mut Values| match function(values, &mut |_| true) {
            Ok(Content::Figure(figure)) => figure.to_png().unwrap(),
            _ => panic!("no figure"),
        };
        let figure = |images: ndarray::ArrayView4<f32>| {
            ImageGrid::new(&images.to_owned(), COLUMNS).figure().unwrap().to_png().unwrap()
        };
        let ends = generate(&gan, 2 * WALKS, 0).unwrap();
        let first = png(&mut values);
        assert!(first == figure(ends.slice(s![..WALKS, .., .., ..])));
        values.set_number(0, 45.0);
        let halfway = png(&mut values);
        values.set_number(0, 90.0);
        let last = png(&mut values);
        assert!(last == figure(ends.slice(s![WALKS.., .., .., ..])));
        assert!(halfway != first && halfway != last);
        assert!(values.receive(1, &json!({ "event": "click" })));
        assert!(png(&mut values) == figure(generate(&gan, 2 * WALKS, 1).unwrap().slice(s![WALKS.., .., .., ..])));
    }
}
