//! The weight of the KL divergence in variational autoencoders.

use ndarray::{Array1, Array2};

use super::{Control, Function, button, columns, figures, selection_slider, start};
use crate::{
    analyse::{reconstruct, sample},
    data::Dataset,
    error::{Error, Result},
    model::{Vae, encoded},
    nn::Loss,
    show::{ImageGrid, Scatter, grid, row},
    train::evaluate,
};

/// The models that can be told apart in a chart.
const MOST: usize = 10;
/// The images and the samples that are shown.
const IMAGES: usize = 5;
const SAMPLES: usize = 10;

const BETA: &str = "β";
const NEXT: &str = "other images and samples";

/// Shows a slider over variational autoencoders that were trained with different weights β of the KL divergence, and
/// below it what the chosen one does: some of `images` with their reconstructions, samples from N(0, I), and where it
/// stands among the others between reconstruction and divergence. A button takes the next images and draws new samples.
///
/// The reconstruction is the mean squared error of what the decoder makes of the mean codes; the KL divergence of the
/// codes' distributions from N(0, I) is in nats an image. Both are means over all of `images`. What
/// [`interact`](super::interact) says of kernels, threads and saved notebooks holds here too. The models and the images
/// are copied.
///
/// # Errors
/// If there are no models or more than 10, a β is not a finite number from 0 on or occurs twice, there are no images,
/// their shape is not that of an encoder's input, or an error or a divergence is not finite.
///
/// ```
/// use latentlab::{Dataset, Vae, compare_beta};
///
/// let test = Dataset::built_in_garments(100, 0)?;
/// let model = |seed| Ok(Vae::strided([4, 8, 16], 32, 2)?.seed(seed)); // `train_vae` with `kl_weight(beta)`
/// let (weak, strong) = (model(0)?, model(1)?);
/// compare_beta([(0.01, &weak), (1.0, &strong)], &test)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn compare_beta<'a>(models: impl IntoIterator<Item = (f64, &'a Vae)>, images: &Dataset) -> Result<()> {
    let models = models.into_iter().take(MOST + 1).map(|(beta, vae)| (beta, vae.clone()));
    let (controls, function) = comparison(models.collect(), images)?;
    start(controls, function)
}

fn comparison(mut models: Vec<(f64, Vae)>, images: &Dataset) -> Result<(Vec<Control>, Function)> {
    if !(1..=MOST).contains(&models.len()) {
        let got = if models.is_empty() { "none" } else { "more" };
        return Err(Error::argument("compare_beta", format!("1 to {MOST} models"), got));
    }
    if let Some((beta, _)) = models.iter().find(|(beta, _)| !(beta.is_finite() && *beta >= 0.0)) {
        return Err(Error::argument("compare_beta, β", "finite numbers from 0 on", beta));
    }
    models.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(twice) = models.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::argument("compare_beta, β", "each once", format!("{} twice", twice[0].0)));
    }
    if images.is_empty() {
        return Err(Error::argument("compare_beta, images", "at least 1 image", "none"));
    }
    let measured = |(beta, vae): &(f64, Vae)| measures(vae, images).map_err(|error| error.within(&named(*beta)));
    let measures: Vec<[f64; 2]> =
        models.iter().map(measured).collect::<Result<_>>().map_err(|error| error.within("compare_beta"))?;
    let points = Array2::from(measures.iter().map(|all| all.map(|value| value as f32)).collect::<Vec<_>>());
    let chart = Scatter::new(&points, &Array1::from_iter(0..models.len()))
        .names(models.iter().map(|(beta, _)| named(*beta)))
        .axis_names("KL divergence, nats an image", "reconstruction, mean squared error");
    chart.figure().map_err(|error| error.within("compare_beta"))?;
    let names: Vec<String> = models.iter().map(|(beta, _)| beta.to_string()).collect();
    let images = images.clone();
    let controls = vec![selection_slider(BETA, names.clone()), button(NEXT)];
    let function = figures(move |values, _| {
        let chosen = values.text(BETA)?;
        let index = names.iter().position(|name| name == chosen).unwrap_or(0);
        let ((beta, vae), [kl, error], clicks) = (&models[index], measures[index], values.clicks(NEXT)?);
        let next = |image: usize| (clicks.wrapping_mul(IMAGES).wrapping_add(image)) % images.len();
        let some = images.select(&(0..IMAGES.min(images.len())).map(next).collect::<Vec<_>>())?;
        let came_back = reconstruct(&vae.autoencoder(), &some)?;
        let rows = ImageGrid::rows([("input", some.images()), ("output", came_back.images())]).figure()?;
        let samples = ImageGrid::new(&sample(vae, SAMPLES, clicks as u64)?, columns(vae.image_shape(), IMAGES));
        let all = chart.clone().annotate([kl as f32, error as f32], named(*beta)).figure()?;
        let made = grid(1, [rows.title("Reconstructions"), samples.figure()?.title("Samples from N(0, I)")]);
        Ok(row([made, all]).title(format!("{}: mean squared error {error:.4}, KL {kl:.2} nats an image", named(*beta))))
    });
    Ok((controls, function))
}

fn named(beta: f64) -> String {
    format!("β = {beta}")
}

/// The KL divergence of the codes' distributions from N(0, I), ½ Σ (μ² + σ² − ln σ² − 1), and the mean squared error of
/// the reconstructions: means over the images.
fn measures(vae: &Vae, images: &Dataset) -> Result<[f64; 2]> {
    let error = evaluate(&vae.autoencoder(), images, Loss::MeanSquaredError)?;
    let features = encoded(vae.encoder(), images, 0..images.len())?;
    let heads = vae.heads().run(&features, images.len())?;
    let of_image = |head: &[f32]| {
        let (means, log_variances) = head.split_at(vae.latent_dim());
        let pairs = means.iter().zip(log_variances).map(|(mean, log)| (f64::from(*mean), f64::from(*log)));
        pairs.map(|(mean, log)| 0.5 * (mean * mean + log.exp() - log - 1.0)).sum::<f64>()
    };
    let kl = heads.chunks(2 * vae.latent_dim()).map(of_image).sum::<f64>() / images.len() as f64;
    Ok([kl, error])
}

#[cfg(test)]
mod tests {
    use super::{super::Values, *};
    use crate::{
        nn::Sequential,
        train::{TrainConfig, train_vae},
    };
    use serde_json::json;

    fn vae(seed: u64) -> Vae {
        let encoder = Sequential::input([1, 28, 28]).flatten().dense(16).relu();
        let decoder = Sequential::input([2]).dense(16).relu().dense(784).sigmoid().reshape([1, 28, 28]);
        Vae::new(encoder, decoder).unwrap().seed(seed)
    }

    /// What training measures on the same images, whose reconstruction is of drawn codes.
    #[test]
    fn the_divergence_is_that_of_training() {
        let (images, mut vae) = (Dataset::built_in_digits(60, 0).unwrap(), vae(0));
        let config = TrainConfig::new().epochs(3).batch_size(20).progress_every(0).validation(&images);
        let history = train_vae(&mut vae, &images, &config).unwrap();
        let [kl, error] = measures(&vae, &images).unwrap();
        assert!((kl - history.validation_kl[2]).abs() < 1e-4 * kl, "{kl} and {:?}", history.validation_kl);
        let drawn = history.validation_reconstruction[2];
        assert!((error - drawn).abs() < 0.1 * drawn, "{error} and {drawn}");
    }

    #[test]
    fn the_slider_picks_a_model_in_the_order_of_beta() {
        let images = Dataset::built_in_digits(20, 0).unwrap();
        let models = vec![(10.0, vae(1)), (0.5, vae(2))];
        let (controls, mut function) = comparison(models.clone(), &images).unwrap();
        let mut values = Values::new(controls);
        let mut svg = |values: &mut Values| super::super::tests::svg(&mut function, values);
        for (index, (beta, vae)) in models.iter().rev().enumerate() {
            values.set_number(0, index as f64);
            let svg = svg(&mut values);
            let [kl, error] = measures(vae, &images).unwrap();
            let title = format!("β = {beta}: mean squared error {error:.4}, KL {kl:.2} nats an image");
            assert!(svg.contains(&title), "{title} in {svg}");
            assert_eq!(svg.matches("<image ").count(), 2 * IMAGES + SAMPLES);
        }
        let before = svg(&mut values);
        assert!(values.receive(1, &json!({ "event": "click" })) && svg(&mut values) != before);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let images = Dataset::built_in_digits(3, 0).unwrap();
        for (models, images, expected) in [
            (vec![], &images, "compare_beta: expected 1 to 10 models, got none"),
            (vec![(f64::NAN, vae(0))], &images, "compare_beta, β: expected finite numbers from 0 on, got NaN"),
            (vec![(1.0, vae(0)), (1.0, vae(1))], &images, "compare_beta, β: expected each once, got 1 twice"),
            (vec![(1.0, vae(0))], &images.take(0), "compare_beta, images: expected at least 1 image, got none"),
            (
                vec![(1.0, Vae::strided([4, 8, 16], 8, 2).unwrap())],
                &Dataset::new(ndarray::Array4::zeros((2, 1, 9, 9)), ndarray::array![0, 0], ["a"]).unwrap(),
                "compare_beta, β = 1, images: expected [1, 28, 28], the encoder's input, got [1, 9, 9] (arrays)",
            ),
        ] {
            assert_eq!(comparison(models, images).map(drop).unwrap_err().to_string(), expected);
        }
    }
}
