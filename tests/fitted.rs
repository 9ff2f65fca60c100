//! Fitted models in files: what is loaded predicts what was saved, to the bit.

mod folder;

use std::fs;

use folder::Folder;
use latentlab::{
    Clustering, Codes, Dataset, ErrorKind, KMeans, Pca, PcaMethod, PrincipalComponents, Tsne, TsneEmbedding,
};

/// Codes to fit, and new ones.
fn codes() -> (Codes, Codes) {
    let (known, new) = Dataset::built_in_digits(160, 3).unwrap().split(120, 40).unwrap();
    (Codes::of_pixels(&known), Codes::of_pixels(&new))
}

#[test]
fn a_clustering_comes_back() {
    let (folder, (known, new)) = (Folder::new("fitted-clustering"), codes());
    let path = folder.file("clusters.safetensors");
    let clustering = KMeans::new(7).runs(2).fit(&known).unwrap();
    clustering.save(&path).unwrap();
    let loaded = Clustering::load(&path).unwrap();
    assert_eq!(loaded.to_string(), clustering.to_string());
    assert_eq!((loaded.centroids(), loaded.assignments()), (clustering.centroids(), clustering.assignments()));
    assert_eq!((loaded.contingency(), loaded.recognised()), (clustering.contingency(), clustering.recognised()));
    assert_eq!(loaded.inertia().to_bits(), clustering.inertia().to_bits());
    assert_eq!(loaded.predict(&new).unwrap(), clustering.predict(&new).unwrap());
    assert_eq!(loaded.predict(&known).unwrap(), clustering.assignments());
    let bytes = fs::read(&path).unwrap();
    loaded.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "the same clustering is the same file");
}

#[test]
fn principal_components_come_back() {
    let (folder, (known, new)) = (Folder::new("fitted-components"), codes());
    let path = folder.file("components.safetensors");
    for method in [PcaMethod::Covariance, PcaMethod::Linfa] {
        let components = Pca::new(5).method(method).fit(&known).unwrap();
        components.save(&path).unwrap();
        let loaded = PrincipalComponents::load(&path).unwrap();
        assert_eq!(loaded.to_string(), components.to_string());
        assert_eq!((loaded.mean(), loaded.components()), (components.mean(), components.components()));
        assert_eq!(loaded.explained_variance(), components.explained_variance());
        assert_eq!(loaded.transform(&new).unwrap().points(), components.transform(&new).unwrap().points());
    }
}

#[test]
fn an_embedding_comes_back() {
    let (folder, (known, new)) = (Folder::new("fitted-embedding"), codes());
    let path = folder.file("embedding.safetensors");
    let embedding = Tsne::new().iterations(60).progress_every(0).fit(&known).unwrap();
    embedding.save(&path).unwrap();
    let loaded = TsneEmbedding::load(&path).unwrap();
    assert_eq!(loaded.to_string(), embedding.to_string());
    assert_eq!(loaded.codes().points(), embedding.codes().points());
    assert_eq!(loaded.codes().labels(), embedding.codes().labels());
    assert_eq!(loaded.transform(&new).unwrap().points(), embedding.transform(&new).unwrap().points());
    assert_eq!(loaded.scatter().unwrap().to_svg().unwrap(), embedding.scatter().unwrap().to_svg().unwrap());
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let (folder, (known, _)) = (Folder::new("fitted-kinds"), codes());
    let path = folder.file("components.safetensors");
    Pca::new(2).fit(&known).unwrap().save(&path).unwrap();
    let error = Clustering::load(&path).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    let expected = "expected a clustering that latentlab has saved, got a model of kind principal components";
    assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
    assert_eq!(TsneEmbedding::load(folder.file("none")).map(drop).unwrap_err().kind(), ErrorKind::Io);
}
