//! What a variational autoencoder promises: its loss has two parts, its weight matters, the seed decides.

use latentlab::{Autoencoder, Dataset, ErrorKind, Loss, Sequential, TrainConfig, Vae, reconstruct, sample, train_vae};

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().progress_every(0).loss(Loss::BinaryCrossEntropy)
}

fn dense() -> Vae {
    Vae::new(
        Sequential::input([1, 28, 28]).flatten().dense(64).relu(),
        Sequential::input([2]).dense(64).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap()
}

fn bits(vae: &Vae) -> Vec<u32> {
    let reconstructions = reconstruct(&vae.autoencoder(), &digits(9)).unwrap();
    sample(vae, 9, 4).unwrap().iter().chain(reconstructions.images()).map(|v| v.to_bits()).collect()
}

#[test]
fn it_learns_both_parts_of_its_loss() {
    let (train, test) = digits(1200).split(1000, 200).unwrap();
    let run = |beta: f64| {
        let mut vae = dense().seed(1);
        let config = config().epochs(15).batch_size(50).kl_weight(beta).validation(&test);
        train_vae(&mut vae, &train, &config).unwrap()
    };
    let history = run(1.0);
    for (loss, (reconstruction, kl)) in [
        (&history.loss, (&history.reconstruction, &history.kl)),
        (&history.validation_loss, (&history.validation_reconstruction, &history.validation_kl)),
    ] {
        assert_eq!(loss.len(), 15);
        let sums = reconstruction.iter().zip(kl).map(|(reconstruction, kl)| reconstruction + kl / 784.0);
        assert!(loss.iter().zip(sums).all(|(loss, sum)| (loss - sum).abs() < 1e-9));
        assert!(loss[14] < 0.8 * loss[0], "{loss:?}");
    }
    let free = run(0.0);
    let bound = run(20.0);
    assert!(
        bound.kl[14] < 0.5 * history.kl[14] && free.kl[14] > 2.0 * history.kl[14],
        "{history:?} {free:?} {bound:?}"
    );
    assert!(free.reconstruction[14] < history.reconstruction[14]);
    assert!(history.reconstruction[14] < bound.reconstruction[14]);
}

#[test]
fn the_seed_decides_and_the_threads_do_not() {
    let images = digits(150);
    for vae in [dense(), Vae::convolutional(3).unwrap(), Vae::strided([4, 8, 16], 32, 2).unwrap()] {
        let train = |seed, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut vae = vae.clone();
                let config = config().epochs(2).batch_size(70).seed(seed).input_noise(0.1).validation(&images);
                let history = train_vae(&mut vae, &images, &config).unwrap();
                (bits(&vae), history.loss, history.kl, history.validation_loss)
            })
        };
        let one = train(0, 1);
        assert!(one == train(0, 3));
        assert!(one != train(1, 3));
    }
}

#[test]
fn samples_depend_on_their_seed_alone() {
    let vae = dense();
    assert_eq!(sample(&vae, 4, 1).unwrap(), sample(&vae, 4, 1).unwrap());
    assert_ne!(sample(&vae, 4, 1).unwrap(), sample(&vae, 4, 2).unwrap());
    assert_eq!(sample(&vae, 0, 1).unwrap().dim(), (0, 1, 28, 28));
}

#[test]
fn a_file_gives_the_same_images() {
    let path = std::env::temp_dir().join(format!("latentlab-vae-{}.safetensors", std::process::id()));
    for vae in [dense().seed(3), Vae::convolutional(2).unwrap()] {
        vae.save(&path).unwrap();
        assert_eq!(bits(&Vae::load(&path).unwrap()), bits(&vae));
        assert_eq!(Autoencoder::load(&path).unwrap_err().kind(), ErrorKind::Weights);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn it_has_the_autoencoders_parameters_and_a_head_more() {
    for latent_dim in [2, 3] {
        let plain = Autoencoder::strided([16, 32, 64], 64, latent_dim).unwrap().parameter_count();
        let vae = Vae::strided([16, 32, 64], 64, latent_dim).unwrap();
        assert_eq!(vae.parameter_count(), plain + 65 * latent_dim);
        assert_eq!(vae.autoencoder().parameter_count(), plain);
    }
}

#[test]
fn mistakes_are_explained() {
    let image = || Sequential::input([1, 28, 28]);
    let decoder = || Sequential::input([2]).dense(784).reshape([1, 28, 28]);
    let table = [
        (Vae::new(image(), decoder()), "heads, layer 1, dense: expected a flat input [k], got [1, 28, 28]"),
        (Vae::new(image().flatten().dense(0), decoder()), "encoder, layer 2, dense: expected at least 1 unit, got 0"),
        (
            Vae::new(image().flatten(), Sequential::input([2, 1, 1]).flatten().dense(784).reshape([1, 28, 28])),
            "vae: decoder input is [2, 1, 1], but a code must be flat: [latent_dim]",
        ),
        (
            Vae::new(image().flatten(), Sequential::input([2]).dense(784)),
            "vae: encoder input is [1, 28, 28], but the decoder's output (layer 1, dense) is [784]",
        ),
    ];
    for (vae, expected) in table {
        let error = vae.unwrap_err().to_string();
        assert!(error.starts_with(expected), "expected {expected}, got {error}");
    }
    let error = train_vae(&mut dense(), &digits(20), &config().kl_weight(f64::NAN)).unwrap_err().to_string();
    assert_eq!(error, "TrainConfig::kl_weight: expected a number of at least 0, got NaN");
}
