//! One image through several autoencoders.

use ndarray::{Axis, concatenate};

use super::{Control, Function, columns, figures, image_slider, picked, start};
use crate::{
    analyse::reconstruct,
    data::Dataset,
    error::{Error, Result},
    model::Autoencoder,
    nn::Loss,
    show::ImageGrid,
    train::reconstruction_errors,
};

/// The models whose images a page has room for.
const MOST: usize = 9;
/// The images in a row.
const COLUMNS: usize = 5;

/// Shows a slider that picks one of `images`, and below it the image beside what each of several autoencoders makes of
/// it, with the mean squared error of each.
///
/// There may be 1 to 9 models, whatever the numbers of values in their codes; of a [`Vae`](crate::Vae) give its
/// [`autoencoder`](crate::Vae::autoencoder). What [`interact`](super::interact) says of kernels, threads and saved
/// notebooks holds here too. The models and the images are copied.
///
/// # Errors
/// If there are no models or more than 9, there are no images, or their shape is not that of an encoder's input.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, compare_models};
///
/// let (small, large) = (Autoencoder::tiny(2)?, Autoencoder::tiny(32)?);
/// let test = Dataset::built_in_digits(100, 0)?;
/// compare_models([("2 numbers", &small), ("32 numbers", &large)], &test)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn compare_models<'a, S: Into<String>>(
    models: impl IntoIterator<Item = (S, &'a Autoencoder)>,
    images: &Dataset,
) -> Result<()> {
    let models = models.into_iter().take(MOST + 1).map(|(name, model)| (name.into(), model.clone()));
    let (controls, function) = comparison(models.collect(), images)?;
    start(controls, function)
}

fn comparison(models: Vec<(String, Autoencoder)>, images: &Dataset) -> Result<(Vec<Control>, Function)> {
    if !(1..=MOST).contains(&models.len()) {
        let got = if models.is_empty() { "none" } else { "more" };
        return Err(Error::argument("compare_models", format!("1 to {MOST} models"), got));
    }
    let controls = vec![image_slider("compare_models", images)?];
    for (name, model) in &models {
        model.check_images(images).map_err(|error| error.within(&format!("compare_models, {name:?}")))?;
    }
    let images = images.clone();
    let function = figures(move |values, _| {
        let one = images.select(&[picked(values, &images)?])?;
        let mut all = one.images().clone();
        let mut captions = vec![one.class_names()[one.labels()[0]].clone()];
        for (name, model) in &models {
            all = concatenate![Axis(0), all, *reconstruct(model, &one)?.images()];
            let error = reconstruction_errors(model, &one, Loss::MeanSquaredError)?[0];
            // The number is not parted from its name.
            captions.push(format!("{name}: MSE\u{a0}{error:.4}"));
        }
        ImageGrid::new(&all, columns(images.image_shape(), COLUMNS.min(captions.len()))).captions(captions).figure()
    });
    Ok((controls, function))
}

#[cfg(test)]
mod tests {
    use super::{super::Values, *};

    #[test]
    fn each_model_stands_beside_the_original_with_its_error() {
        let images = Dataset::built_in_digits(7, 0).unwrap();
        let models = [2, 5].map(|dim| (format!("{dim} numbers"), Autoencoder::tiny(dim).unwrap()));
        let (controls, mut function) = comparison(models.to_vec(), &images).unwrap();
        let mut values = Values::new(controls);
        for image in [0, 6] {
            values.set_number(0, image as f64);
            let svg = super::super::tests::svg(&mut function, &mut values);
            assert_eq!(svg.matches("<image ").count(), 3);
            for (name, model) in &models {
                let error = reconstruction_errors(model, &images, Loss::MeanSquaredError).unwrap()[image];
                let caption = format!("{name}: MSE\u{a0}{error:.4}");
                assert!(svg.contains(&caption), "{caption} in {svg}");
            }
            assert!(svg.contains(&format!("\n{}\n", images.class_names()[images.labels()[image]])), "{svg}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let images = Dataset::built_in_digits(3, 0).unwrap();
        let model = |side: usize| {
            let encoder = crate::nn::Sequential::input([1, side, side]).flatten().dense(2);
            let decoder = crate::nn::Sequential::input([2]).dense(side * side).reshape([1, side, side]);
            ("a".to_string(), Autoencoder::new(encoder, decoder).unwrap())
        };
        for (models, images, expected) in [
            (vec![], &images, "compare_models: expected 1 to 9 models, got none"),
            (vec![model(28); 10], &images, "compare_models: expected 1 to 9 models, got more"),
            (vec![model(28)], &images.take(0), "compare_models, images: expected at least 1 image, got none"),
            (
                vec![model(28), model(9)],
                &images,
                "compare_models, \"a\", images: expected [1, 9, 9], the encoder's input, got [1, 28, 28] \
                 (built-in digits, seed 0)",
            ),
        ] {
            assert_eq!(comparison(models, images).map(drop).unwrap_err().to_string(), expected);
        }
    }
}
