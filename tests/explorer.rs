//! The explorer's size; its pages are then used in a browser by `tests/browser/explorer.js`.

use latentlab::{Autoencoder, Dataset, Explore, TrainConfig, Tsne, explore, train_ae};
use std::path::Path;

/// Garments compress worse than digits. 2,000 of the real ones take 0.96 MB.
#[test]
fn two_thousand_garments_take_one_megabyte_at_most() {
    let garments = Dataset::built_in_garments(2_500, 0).unwrap();
    let page = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for latent_dim in [2, 16] {
        let mut autoencoder = Autoencoder::tiny(latent_dim).unwrap();
        train_ae(&mut autoencoder, &garments.take(500), &TrainConfig::new().epochs(3).progress_every(0)).unwrap();
        let explorer = explore(&autoencoder, &garments).unwrap();
        assert!(explorer.to_string().starts_with("2,000 of 2,500 images"), "{explorer}");
        let size = explorer.to_html().len();
        assert!((500_000..=1_000_000).contains(&size), "{latent_dim} numbers: {size} bytes");
        explorer.save(page(&format!("explorer-{latent_dim}.html"))).unwrap();
    }
}

#[test]
fn a_map_by_tsne_can_be_saved_too() {
    let (autoencoder, digits) = (Autoencoder::tiny(8).unwrap(), Dataset::built_in_digits(300, 0).unwrap());
    let map = Explore::new().tsne(&Tsne::new().iterations(300).progress_every(0)).of(&autoencoder, &digits).unwrap();
    map.save(Path::new(env!("CARGO_TARGET_TMPDIR")).join("explorer-tsne.html")).unwrap();
    assert!(map.to_string().ends_with("placed by t-SNE"));
}
