//! A recurrent autoencoder that reads a digit row by row, as a sequence, and writes it again. It has seen only one
//! digit, so that the error of what it writes tells the others.

use latentlab::*;

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
    let absolute = Loss::of("mean absolute error", |output, target| (output - target).abs().mean());
    let mut known = reconstruction_errors(&autoencoder, &normal, absolute)?;
    known.sort_by(f64::total_cmp);
    let threshold = known[known.len() * 95 / 100];
    println!("anomalies are those with an error above {threshold:.4}");
    let errors = reconstruction_errors(&autoencoder, &test, absolute)?;
    let of = |digit: usize| errors.iter().zip(test.labels()).filter(move |(_, label)| **label == digit);
    let mut chart = BarChart::new("found, %");
    for digit in 0..10 {
        let (above, all) = (of(digit).filter(|(error, _)| **error > threshold).count(), of(digit).count());
        let share = 100.0 * above as f64 / all as f64;
        println!("{digit}: {share:.1} % of {all} taken for anomalies");
        chart = chart.bar(digit.to_string(), share);
    }
    let is_anomaly: Vec<bool> = test.labels().iter().map(|label| *label != 0).collect();
    println!("zeros and the other digits: {}", roc_curve(&is_anomaly, &errors)?);
    let values = |digits: std::ops::Range<usize>| digits.flat_map(of).map(|(error, _)| *error).collect::<Vec<_>>();
    let histogram =
        Histogram::new("mean absolute error").series("zeros", &values(0..1)).series("others", &values(1..10));
    let histogram = histogram.density().mark(threshold, format!("threshold {threshold:.3}")).figure()?;
    let path = std::env::temp_dir().join("latentlab-recurrent.png");
    row([reconstructions(&autoencoder, &test.one_of_each()?)?, histogram, chart.figure()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
