//! A recurrent autoencoder that reads a digit row by row, as a sequence, and writes it again. It has seen only one
//! digit, so that the error of what it writes tells the others.

use latentlab::*;

/// The mean absolute error of each image.
fn errors(autoencoder: &Autoencoder, images: &Dataset) -> Result<Vec<f64>> {
    let difference = reconstruct(autoencoder, images)?.images() - images.images();
    Ok(difference.outer_iter().map(|image| image.iter().map(|d| f64::from(d.abs())).sum::<f64>() / 784.0).collect())
}

pub fn run() -> Result<()> {
    let (train, test) = Dataset::digits()?.split(20_000, 4_000)?;
    let normal = train.of_class(0)?;
    let encoder = Sequential::input([1, 28, 28]).reshape([28, 28]).lstm(64).dense(16);
    let decoder = Sequential::input([16]).repeat_vector(28).lstm(64).return_sequences().dense(28).sigmoid();
    let mut autoencoder = Autoencoder::new(encoder, decoder.reshape([1, 28, 28]))?;
    let config = TrainConfig::new().epochs(30).batch_size(32).learning_rate(0.003).progress_every(10);
    let history = train_ae(&mut autoencoder, &normal, &config)?;
    println!("{} zeros, mean squared error {:.4}", normal.len(), history.final_loss());

    // An anomaly is what it writes worse than 95 % of what it was trained on.
    let mut known = errors(&autoencoder, &normal)?;
    known.sort_by(f64::total_cmp);
    let threshold = known[known.len() * 95 / 100];
    println!("anomalies are those with an error above {threshold:.4}");
    let mut chart = BarChart::new("found, %");
    for (digit, images) in test.by_class().iter().enumerate() {
        let above = errors(&autoencoder, images)?.iter().filter(|error| **error > threshold).count();
        let share = 100.0 * above as f64 / images.len() as f64;
        println!("{digit}: {share:.1} % of {} taken for anomalies", images.len());
        chart = chart.bar(digit.to_string(), share);
    }
    let path = std::env::temp_dir().join("latentlab-recurrent.png");
    row([reconstructions(&autoencoder, &test.one_of_each()?)?, chart.figure()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
