//! Sparse autoencoders with more units in the code than they need: without a penalty, with L1, and with the
//! Kullback-Leibler divergence of each unit's mean from a target (Ng 2011, "Sparse autoencoder", CS294A).

use latentlab::*;

pub fn run() -> Result<()> {
    let (train, test) = Dataset::garments()?.split(10_000, 2_000)?;
    let encoder = || Sequential::input([1, 28, 28]).flatten().dense(100).relu().dense(300).sigmoid();
    let decoder = || Sequential::input([300]).dense(100).relu().dense(784).reshape([1, 28, 28]);
    let config = TrainConfig::new().epochs(10).batch_size(64).optimizer(Optimizer::nadam()).progress_every(0);

    // A penalty belongs to a training, or to a layer.
    let models = [
        ("no penalty", encoder(), config.clone()),
        ("L1", encoder(), config.clone().code_penalty(Penalty::l1(1e-4))),
        ("KL, target 0.1", encoder().activity_penalty(Penalty::kl_sparsity(0.1, 5e-3)), config),
    ];
    let mut chart = LineChart::new("unit, sorted", "mean activation");
    for (name, encoder, config) in models {
        let mut autoencoder = Autoencoder::new(encoder, decoder())?;
        let history = train_ae(&mut autoencoder, &train, &config)?;
        let codes = embed(&autoencoder, &test)?;
        let values = codes.points();
        let quiet = values.iter().filter(|value| **value < 0.1).count() as f64 / values.len() as f64;
        let mut means: Vec<f64> =
            values.columns().into_iter().map(|unit| f64::from(unit.mean().unwrap_or(0.0))).collect();
        means.sort_by(f64::total_cmp);
        let error = evaluate(&autoencoder, &test, Loss::MeanSquaredError)?;
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let loss = history.final_loss();
        println!(
            "{name}: loss {loss:.4}, test error {error:.4}, mean activation {mean:.3}, {:.0} % below 0.1",
            quiet * 100.0
        );
        chart = chart.line(name, &means);
    }
    let path = std::env::temp_dir().join("latentlab-sparse.png");
    chart.figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
