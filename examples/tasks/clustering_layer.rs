//! Deep embedded clustering: a layer of cluster centres on an encoder, which learns from its own surest assignments
//! (Xie, Girshick and Farhadi 2016).

use latentlab::*;

const CLUSTERS: usize = 10;

pub fn run() -> Result<()> {
    let digits = Dataset::digits()?.take(5_000);
    let mut autoencoder = Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(256).relu().dense(128).relu().dense(10),
        Sequential::input([10]).dense(128).relu().dense(256).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )?;
    train_ae(&mut autoencoder, &digits, &TrainConfig::new().epochs(15).batch_size(128).loss(Loss::MeanSquaredError))?;
    let before = embed(&autoencoder, &digits)?;
    let clusters = KMeans::new(CLUSTERS).fit(&before)?;
    report("k-means on the autoencoder's codes", &clusters);

    let mut encoder = autoencoder.encoder().clone();
    let mut centres = Parameter::new(clusters.centroids());
    let mut adam = Optimizer::adam().init(0.0005)?;
    for epoch in 0..10 {
        // The targets are those of all images, and stay as they are during the epoch.
        let digits = digits.shuffled(epoch);
        let codes = encoder.forward(&Tensor::from(digits.images()));
        let targets = target_distribution(&soft_assignment(&codes, &Tensor::from(centres.to_array())));
        let (mut sum, mut start) = (0.0, 0);
        for batch in digits.batches(256)? {
            let step = Step::new(adam.steps());
            if step.should_stop() {
                break;
            }
            let p = targets.slice(0, start..start + batch.len());
            let q = soft_assignment(&encoder.forward(&step.input(batch.images())), &step.parameter(&centres));
            let divergence = (&p * (p.ln() - q.ln())).sum_axis(-1).mean();
            let [loss] = adam.minimize(step, [divergence], (&mut encoder, &mut centres))?;
            sum += loss * batch.len() as f64;
            start += batch.len();
        }
        println!("epoch {}: divergence {:.3}", epoch + 1, sum / digits.len() as f64);
    }

    let autoencoder = Autoencoder::new(encoder, autoencoder.decoder().clone())?;
    let after = embed(&autoencoder, &digits)?;
    report("k-means after the clustering layer", &KMeans::new(CLUSTERS).fit(&after)?);
    let path = std::env::temp_dir().join("latentlab-clustering-layer.png");
    row([plane(&before)?.title("Codes of the autoencoder"), plane(&after)?.title("Codes after the clustering layer")])
        .save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}

/// How much each code belongs to each centre (n, clusters): Student's t distribution with one degree of freedom.
fn soft_assignment(codes: &Tensor, centres: &Tensor) -> Tensor {
    let near = 1.0 / ((codes.unsqueeze(1) - centres).square().sum_axis(-1) + 1.0);
    &near / near.sum_axis(-1).unsqueeze(-1)
}

/// Assignments that are surer than these, with large clusters made smaller: what these are to become.
fn target_distribution(q: &Tensor) -> Tensor {
    let weight = q.square() / q.sum_axis(0);
    (&weight / weight.sum_axis(-1).unsqueeze(-1)).detach()
}

fn report(name: &str, clusters: &Clustering) {
    let accuracy = 100.0 * clusters.one_to_one_accuracy();
    println!("{name}: accuracy {accuracy:.1} %, normalised mutual information {:.3}", clusters.nmi());
}

/// The codes in the plane of their two first principal components.
fn plane(codes: &Codes) -> Result<Figure> {
    pca(codes, 2)?.transform(codes)?.scatter()
}
