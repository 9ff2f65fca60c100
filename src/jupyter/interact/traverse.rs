//! A slider for each number of an autoencoder's code.

use ndarray::{Array2, Axis, concatenate};

use super::{Control, Function, Values, figures, image_slider, picked, slider, start};
use crate::{
    analyse::{decode, embed},
    data::Dataset,
    error::Result,
    model::Autoencoder,
    show::ImageGrid,
    train::Live,
};

/// The sliders that a page has room for.
const SLIDERS: usize = 16;

/// Shows a slider for each latent number of an autoencoder, and the image that its decoder makes of them: a latent
/// traversal. The first slider picks one of `images`, whose code the others then take.
///
/// Each slider goes from the lowest to the highest value among the codes of `images`. Of more than 16 latent numbers,
/// the 16 that vary most have a slider; the others stay as the image's code has them. What
/// [`interact`](super::interact) says of kernels, threads and saved notebooks holds here too. The images are copied.
///
/// It shows the autoencoder, or what a [`Live`] view is of, as it is when a slider moves: while another cell trains it,
/// with the weights of after the last batch. The ranges of the sliders stay those of the codes at the beginning. Give
/// it a clone to keep to the weights of now.
///
/// # Errors
/// If there are no images, or their shape is not that of the encoder's input.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, traverse};
///
/// let (autoencoder, test) = (Autoencoder::tiny(2)?, Dataset::built_in_digits(100, 0)?);
/// traverse(&autoencoder, &test)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn traverse(autoencoder: impl Into<Live<Autoencoder>>, images: &Dataset) -> Result<()> {
    traverse_live(autoencoder.into(), images)
}

fn traverse_live(live: Live<Autoencoder>, images: &Dataset) -> Result<()> {
    let (controls, function) = traversal(live, images)?;
    start(controls, function)
}

fn traversal(live: Live<Autoencoder>, images: &Dataset) -> Result<(Vec<Control>, Function)> {
    let mut controls = vec![image_slider("traverse", images)?];
    let codes = embed(&live.model(), images)?;
    let moved = most_varied(codes.points());
    controls.extend(moved.iter().map(|latent| latent_slider(*latent, codes.points(), &codes.axis_name(*latent))));
    let images = images.clone();
    let mut before: Option<Values> = None;
    let function = figures(move |values, _| {
        let (autoencoder, picture) = (live.model(), images.select(&[picked(values, &images)?])?);
        let encoded = embed(&autoencoder, &picture)?;
        let mut code = encoded.points().row(0).to_owned();
        let is_another = before.as_ref().is_none_or(|before| values.changes(before) == [0]);
        for (index, latent) in moved.iter().enumerate() {
            if is_another {
                values.set_number(index + 1, f64::from(code[*latent]));
            } else {
                code[*latent] = values.code()[[0, index]];
            }
        }
        before = Some(values.clone());
        let both = concatenate![Axis(0), *encoded.points(), code.insert_axis(Axis(0))];
        let made = decode(&autoencoder, &both)?;
        let all = concatenate![Axis(0), *picture.images(), made];
        let label = &picture.class_names()[picture.labels()[0]];
        let captions = [label.as_str(), "reconstruction", "sliders"];
        ImageGrid::new(&all, 3).captions(captions).figure()
    });
    Ok((controls, function))
}

/// The latent numbers with the largest variance, in order.
fn most_varied(codes: &Array2<f32>) -> Vec<usize> {
    let variance = codes.mapv(f64::from).var_axis(Axis(0), 0.0);
    let mut latent: Vec<usize> = (0..codes.ncols()).collect();
    latent.sort_by(|a, b| variance[*b].total_cmp(&variance[*a]));
    latent.truncate(SLIDERS);
    latent.sort_unstable();
    latent
}

/// From the lowest to the highest value; around it if there is only one.
fn latent_slider(latent: usize, codes: &Array2<f32>, name: &str) -> Control {
    let column = codes.column(latent);
    let lowest = f64::from(column.fold(f32::INFINITY, |a, b| a.min(*b)));
    let highest = f64::from(column.fold(f32::NEG_INFINITY, |a, b| a.max(*b)));
    let first = f64::from(column[0]);
    let range = if lowest < highest { lowest..=highest } else { first - 1.0..=first + 1.0 };
    slider(name, range).start_at(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_sets_the_sliders_and_they_are_read_otherwise() {
        let (autoencoder, images) = (Autoencoder::tiny(2).unwrap(), Dataset::built_in_digits(5, 0).unwrap());
        let (controls, mut function) = traversal((&autoencoder).into(), &images).unwrap();
        let codes = embed(&autoencoder, &images).unwrap();
        let mut called = |values: &mut Values| function(values, &mut |_| true).map(drop).unwrap();
        let start = Values::new(controls);
        let mut picked = start.clone();
        called(&mut picked);
        picked.set_number(0, 4.0);
        called(&mut picked);
        assert_eq!(picked.code().row(0), codes.points().row(4));
        // As without widgets: the last image, and then the first one with the lowest value of a slider.
        let mut low = start.clone();
        low.set_number(1, -1e9);
        let lowest = codes.points().column(0).fold(f32::INFINITY, |a, b| a.min(*b));
        called(&mut low);
        assert_eq!(low.code()[[0, 0]], lowest);
    }
}
