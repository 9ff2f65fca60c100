//! AutoRec: an autoencoder that fills a table of ratings, of which it sees a part (Sedhain et al. 2015).

use latentlab::{
    ndarray::{Array2, Axis, Zip},
    *,
};

const FILMS: usize = 600;
const VIEWERS: usize = 400;

pub fn run() -> Result<()> {
    let (ratings, seen) = ratings()?;
    let known = &ratings * &seen;
    let data = Dataset::from_array(known.clone())?;
    let (train_share, unseen) = (seen.mean().unwrap_or(0.0), seen.mapv(|seen| 1.0 - seen));
    println!("{FILMS} films, {VIEWERS} viewers, {:.0} % of the ratings known", 100.0 * train_share);

    let mut autorec = Autoencoder::new(
        Sequential::input([VIEWERS]).dense(32).sigmoid().dropout(0.05),
        Sequential::input([32]).dense(VIEWERS),
    )?;
    let config = TrainConfig::new()
        .epochs(150)
        .progress_every(50)
        .batch_size(32)
        .learning_rate(0.005)
        .loss(Loss::of("error of known ratings", masked))
        .weight_penalty(Penalty::l2(1e-5));
    let history = train_ae(&mut autorec, &data, &config)?;

    let filled = autorec.decoder().predict(&autorec.encoder().predict(&known.clone().into_dyn())?)?;
    let filled = filled.into_dimensionality().map_err(Error::other)?;
    // The mean of a film's known ratings knows nothing of its viewers.
    let means = (known.sum_axis(Axis(1)) / seen.sum_axis(Axis(1))).insert_axis(Axis(1));
    let means = means.broadcast(ratings.dim()).map(|means| means.to_owned()).unwrap_or_default();
    println!("error of ratings that it has not seen: {:.3}", root_mean_square(&filled, &ratings, &unseen));
    println!("of each film's mean: {:.3}", root_mean_square(&means, &ratings, &unseen));
    let path = std::env::temp_dir().join("latentlab-autorec.png");
    history.plot()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}

/// The squared error of the ratings that are known; a rating of 0 is not.
fn masked(output: &Tensor, target: &Tensor) -> Tensor {
    ((output - target) * target.sign()).square().mean()
}

/// Ratings from 1 to 5, a row a film, and a 1 where one is known. They come from three traits of films and viewers, how
/// good a film is, and noise.
fn ratings() -> Result<(Array2<f32>, Array2<f32>)> {
    let liking = random_codes(FILMS, 3, 1)?.dot(&random_codes(VIEWERS, 3, 2)?.t());
    let ratings = liking * 0.6 + random_codes(FILMS, 1, 3)? * 0.5 + random_codes(FILMS, VIEWERS, 4)? * 0.3 + 3.0;
    let seen = random_codes(FILMS, VIEWERS, 5)?.mapv(|x| f32::from(x > 0.5));
    Ok((ratings.mapv(|rating| rating.clamp(1.0, 5.0)), seen))
}

fn root_mean_square(filled: &Array2<f32>, ratings: &Array2<f32>, wanted: &Array2<f32>) -> f32 {
    let errors = Zip::from(filled).and(ratings).and(wanted).map_collect(|a, b, wanted| wanted * (a - b).powi(2));
    (errors.sum() / wanted.sum()).sqrt()
}
