//! How long the analysis takes on as many codes as the reports have: `cargo bench --bench analyse`.

use criterion::{Criterion, criterion_group, criterion_main};
use latentlab::ndarray::{Array1, Array2};
use latentlab::{Codes, KMeans, Tsne, pca, tsne};
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Ten clouds that touch each other, as the codes of ten digits do.
fn clouds(n: usize, dim: usize) -> Codes {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let centers = Array2::from_shape_fn((10, dim), |_| random.sample::<f32, _>(StandardNormal));
    let points = Array2::from_shape_fn((n, dim), |(i, j)| {
        let noise: f32 = random.sample(StandardNormal);
        centers[[i % 10, j]] + noise
    });
    let names = (0..10).map(|class| class.to_string()).collect();
    Codes::new(points, Array1::from_iter((0..n).map(|i| i % 10)), names).unwrap()
}

fn analyse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analyse");
    group.sample_size(10);
    let codes = clouds(10_000, 10);
    group.bench_function("tsne/10,000×10", |b| b.iter(|| tsne(&codes, &Tsne::new().progress_every(0)).unwrap()));
    let codes = clouds(60_000, 32);
    group.bench_function("k-means/60,000×32", |b| b.iter(|| KMeans::new(10).fit(&codes).unwrap()));
    group.bench_function("pca/60,000×32", |b| b.iter(|| pca(&codes, 2).unwrap()));
    let pixels = clouds(60_000, 784);
    group.bench_function("pca/60,000×784", |b| b.iter(|| pca(&pixels, 2).unwrap()));
}

criterion_group!(benches, analyse);
criterion_main!(benches);
