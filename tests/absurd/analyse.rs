//! Codes, clusters, projections, predictions.

use std::path::Path;

use latentlab::{
    Clustering, Codes, Confusion, KMeans, Pca, PcaMethod, Predictions, PrincipalComponents, Result, Tsne,
    TsneEmbedding, TsneMethod, classify, code_grid, decode, embed, generate, interpolate, kmeans_accuracy,
    ndarray::{Array1, Array2, array},
    pca, random_codes, reconstruct, roc_curve, sample, tsne,
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

fn quiet() -> Tsne {
    Tsne::new().iterations(20).progress_every(0)
}

fn some() -> Codes {
    codes_of(points(40, 3, 1.0))
}

fn embedded(settings: Tsne) {
    if let Some(embedding) = either(tsne(&some(), &settings)) {
        shown(&embedding);
    }
}

/// Predictions for the data sets that the classifier accepts.
fn predictions() -> Vec<Predictions> {
    datasets().iter().chain([&digits(30)]).filter_map(|images| either(classify(&classifier(), images))).collect()
}

fn clusterings(check: impl Fn(&Clustering)) {
    let odd = codes();
    for codes in odd.iter().filter(|codes| codes.points().ncols() < 100) {
        for clusters in [1, 2, codes.len()] {
            if let Some(clustering) = either(KMeans::new(clusters).runs(2).fit(codes)) {
                check(&clustering);
            }
        }
    }
}

fn confusions() -> Vec<Confusion> {
    let texts = texts();
    let all = Array1::from_iter(0..texts.len());
    let pairs = [
        (array![0], array![0], names(1)),
        (array![0, 1], array![1, 0], names(2)),
        (array![1_999], array![1], names(2_000)),
        (all.clone(), all.mapv(|label| (label + 1) % texts.len()), texts.clone()),
    ];
    pairs.into_iter().map(|(labels, predicted, names)| Confusion::new(&labels, &predicted, names).unwrap()).collect()
}

fn components(check: impl Fn(&PrincipalComponents, &Codes)) {
    for codes in codes() {
        for count in [1, 2] {
            if let Some(components) = either(pca(&codes, count)) {
                check(&components, &codes);
            }
        }
    }
}

/// Paths and files from which nothing can be loaded.
fn loads(name: &str, load: impl Fn(&Path) -> Result<()>) {
    let garbage = Garbage::new(name);
    for path in [paths(), garbage.files("safetensors")].concat() {
        refused(load(&path));
    }
}

pub fn rows() -> Table {
    vec![
        (
            "Codes::new",
            Call(|| {
                for (n, dim, labels, classes) in [(0, 0, 0, 0), (3, 0, 3, 1), (3, 2, 2, 1), (3, 2, 3, 0), (0, 2, 3, 1)]
                {
                    refused(Codes::new(Array2::zeros((n, dim)), Array1::zeros(labels), names(classes)));
                }
                for label in [2, usize::MAX, 1 << 32] {
                    refused(Codes::new(Array2::zeros((1, 2)), array![label], names(2)));
                }
                for value in FLOATS {
                    let codes = Codes::new(Array2::from_elem((2, 2), value), array![0, 1], names(2));
                    assert_eq!(codes.is_ok(), value.is_finite(), "{value}");
                }
                codes().iter().for_each(shown);
            }),
        ),
        ("Codes::of_pixels", Call(|| datasets().iter().for_each(|images| shown(&Codes::of_pixels(images))))),
        ("Codes::points", Nothing("valid codes")),
        ("Codes::labels", Nothing("valid codes")),
        ("Codes::class_names", Nothing("valid codes")),
        ("Codes::len", Nothing("valid codes")),
        ("Codes::is_empty", Nothing("valid codes")),
        ("Codes::latent_dim", Nothing("valid codes")),
        (
            "Codes::class_means",
            Call(|| {
                codes().iter().for_each(|codes| drop(either(codes.class_means())));
                let wide = Codes::new(Array2::zeros((1, 5_000)), array![0], names(100_000)).unwrap();
                refused(wide.class_means());
            }),
        ),
        (
            "Codes::take",
            Call(|| {
                for n in SIZES {
                    codes().iter().for_each(|codes| shown(&codes.take(n)));
                }
            }),
        ),
        (
            "Codes::select",
            Call(|| {
                for index in SIZES {
                    codes().iter().for_each(|codes| drop(either(codes.select(&[index, 0]))));
                }
                refused(codes_of(points(3, 5_000, 1.0)).select(&vec![0; 100_000]));
            }),
        ),
        (
            "Codes::per_class",
            Call(|| {
                for n in SIZES {
                    codes().iter().for_each(|codes| shown(&codes.per_class(n)));
                }
            }),
        ),
        (
            "Codes::indices_per_class",
            Call(|| {
                for n in SIZES {
                    codes().iter().for_each(|codes| drop(codes.indices_per_class(n)));
                }
            }),
        ),
        ("Codes::scatter", Call(|| codes().iter().for_each(|codes| drawn(codes.scatter())))),
        ("Codes::evcxr_display", Call(|| codes().iter().for_each(Codes::evcxr_display))),
        ("embed", Call(|| datasets().iter().for_each(|images| drop(either(embed(&autoencoder(), images)))))),
        (
            "decode",
            Call(|| {
                for value in FLOATS {
                    let images = decode(&autoencoder(), &Array2::from_elem((2, 2), value));
                    assert_eq!(images.is_ok(), value.is_finite(), "{value}");
                }
                for shape in [(0, 0), (0, 2), (2, 0), (1, 1), (3, 100_000)] {
                    either(decode(&autoencoder(), &Array2::zeros(shape)));
                }
                refused(decode(&autoencoder(), &Array2::zeros((100_000, 2))));
                either(decode(&autoencoder(), &points(2, 6, 1.0).t().to_owned()));
            }),
        ),
        (
            "reconstruct",
            Call(|| datasets().iter().for_each(|images| drop(either(reconstruct(&autoencoder(), images))))),
        ),
        (
            "classify",
            Call(|| {
                for predictions in predictions() {
                    shown(&predictions);
                }
            }),
        ),
        ("Predictions::labels", Nothing("valid predictions")),
        ("Predictions::true_labels", Nothing("valid predictions")),
        ("Predictions::probabilities", Nothing("valid predictions")),
        ("Predictions::class_names", Nothing("valid predictions")),
        ("Predictions::confidences", Call(|| predictions().iter().for_each(|p| drop(p.confidences())))),
        ("Predictions::accuracy", Call(|| predictions().iter().for_each(|p| _ = p.accuracy()))),
        ("Predictions::confusion", Call(|| predictions().iter().for_each(|p| drop(either(p.confusion()))))),
        ("Predictions::evcxr_display", Call(|| predictions().iter().for_each(Predictions::evcxr_display))),
        (
            "random_codes",
            Call(|| {
                for n in SIZES {
                    for dim in SIZES {
                        SEEDS.iter().for_each(|seed| drop(either(random_codes(n.min(dim), n.max(dim), *seed))));
                    }
                }
                refused(random_codes(usize::MAX, usize::MAX, 0));
            }),
        ),
        (
            "sample",
            Call(|| {
                for n in SIZES {
                    either(sample(&vae(), n, u64::MAX));
                }
            }),
        ),
        (
            "generate",
            Call(|| {
                for n in SIZES {
                    either(generate(&gan(), n, u64::MAX));
                }
            }),
        ),
        (
            "interpolate",
            Call(|| {
                for steps in SIZES {
                    either(interpolate(&[0.0, 1.0], &[1.0, 0.0], steps));
                    refused(interpolate(&[], &[], steps));
                    refused(interpolate(&[1.0], &[1.0, 2.0], steps));
                }
                for value in FLOATS {
                    let codes = interpolate(&[value, 0.0], &[0.0, -value], 5);
                    assert_eq!(
                        codes.is_ok_and(|codes| codes.iter().all(|x| x.is_finite())),
                        value.is_finite(),
                        "{value}"
                    );
                }
            }),
        ),
        (
            "code_grid",
            Call(|| {
                for size in SIZES {
                    either(code_grid([0.0; 2], [1.0; 2], size));
                }
                for low in FLOATS {
                    for high in FLOATS {
                        if let Some(codes) = either(code_grid([low, 0.0], [high, 1.0], 3)) {
                            assert!(codes.iter().all(|value| value.is_finite()), "{low} to {high}");
                        }
                    }
                }
            }),
        ),
        (
            "kmeans_accuracy",
            Call(|| {
                for codes in codes() {
                    for clusters in SIZES.into_iter().filter(|clusters| *clusters < 100 || *clusters > codes.len()) {
                        either(kmeans_accuracy(&codes, clusters));
                    }
                }
            }),
        ),
        (
            "KMeans::new",
            Call(|| {
                for clusters in SIZES {
                    either(KMeans::new(clusters).fit(&some()));
                }
            }),
        ),
        (
            "KMeans::runs",
            Call(|| {
                for runs in SIZES {
                    either(KMeans::new(3).runs(runs).stop_handle(&soon()).fit(&some()));
                }
            }),
        ),
        (
            "KMeans::seed",
            Call(|| {
                for seed in SEEDS {
                    either(KMeans::new(3).seed(seed).fit(&some()));
                }
            }),
        ),
        (
            "KMeans::max_iterations",
            Call(|| {
                for iterations in SIZES {
                    either(KMeans::new(3).max_iterations(iterations).stop_handle(&soon()).fit(&some()));
                }
            }),
        ),
        (
            "KMeans::stop_handle",
            Call(|| {
                let stopped = latentlab::StopHandle::new();
                stopped.stop();
                for codes in codes() {
                    either(KMeans::new(codes.len()).runs(usize::MAX).stop_handle(&stopped).fit(&codes));
                }
            }),
        ),
        (
            "KMeans::fit",
            Call(|| {
                clusterings(|clustering| {
                    assert!(clustering.centroids().iter().all(|value| value.is_finite()));
                    assert!(clustering.inertia().is_finite());
                });
            }),
        ),
        ("Clustering::accuracy", Call(|| clusterings(|c| assert!((0.0..=1.0).contains(&c.accuracy()))))),
        (
            "Clustering::one_to_one_accuracy",
            Call(|| {
                clusterings(|c| assert!((0.0..=1.0).contains(&c.one_to_one_accuracy())));
            }),
        ),
        ("Clustering::nmi", Call(|| clusterings(|c| assert!((0.0..=1.0).contains(&c.nmi()))))),
        ("Clustering::ari", Call(|| clusterings(|c| assert!(c.ari() <= 1.0)))),
        ("Clustering::chance", Call(|| clusterings(|c| assert!((0.0..=1.0).contains(&c.chance()))))),
        ("Clustering::assignments", Nothing("a valid clustering")),
        ("Clustering::centroids", Nothing("a valid clustering")),
        ("Clustering::inertia", Nothing("a valid clustering")),
        ("Clustering::contingency", Nothing("a valid clustering")),
        ("Clustering::cluster_sizes", Call(|| clusterings(|c| drop(c.cluster_sizes())))),
        ("Clustering::cluster_labels", Nothing("a valid clustering")),
        ("Clustering::recognised", Nothing("a valid clustering")),
        (
            "Clustering::to_html",
            Call(|| {
                clusterings(|c| assert!(!c.to_html().contains("<script")));
                clusterings(shown);
            }),
        ),
        (
            "Clustering::predict",
            Call(|| clusterings(|c| codes().iter().for_each(|codes| drop(either(c.predict(codes)))))),
        ),
        (
            "Clustering::save",
            Call(|| {
                let clustering = kmeans_accuracy(&some(), 2).unwrap();
                paths().iter().for_each(|path| _ = either(clustering.save(path)));
            }),
        ),
        ("Clustering::load", Call(|| loads("clustering", |path| Clustering::load(path).map(drop)))),
        ("Clustering::evcxr_display", Call(|| clusterings(|c| c.evcxr_display()))),
        (
            "Confusion::new",
            Call(|| {
                refused(Confusion::new(&array![], &array![], names(0)));
                refused(Confusion::new(&array![0], &array![], names(1)));
                for class in SIZES {
                    either(Confusion::new(&array![class], &array![0], names(2)));
                    either(Confusion::new(&array![0], &array![class], names(2)));
                }
                refused(Confusion::new(&array![0], &array![0], names(100_000)));
                confusions().iter().for_each(shown);
            }),
        ),
        ("Confusion::counts", Nothing("a valid confusion matrix")),
        ("Confusion::class_names", Nothing("a valid confusion matrix")),
        (
            "Confusion::accuracy",
            Call(|| confusions().iter().for_each(|c| assert!((0.0..=1.0).contains(&c.accuracy())))),
        ),
        ("Confusion::class_accuracies", Call(|| confusions().iter().for_each(|c| drop(c.class_accuracies())))),
        (
            "Confusion::normalised",
            Call(|| {
                confusions()
                    .iter()
                    .for_each(|c| assert!(c.normalised().iter().all(|share| (0.0..=1.0).contains(share))));
            }),
        ),
        ("Confusion::to_html", Call(|| confusions().iter().for_each(|c| assert!(!c.to_html().contains("<script"))))),
        ("Confusion::plot", Call(|| confusions().iter().for_each(|c| drawn(c.plot())))),
        ("Confusion::evcxr_display", Call(|| confusions().iter().for_each(Confusion::evcxr_display))),
        (
            "roc_curve",
            Call(|| {
                refused(roc_curve(&[], &[]));
                refused(roc_curve(&[true], &[1.0, 2.0]));
                refused(roc_curve(&[true; 3], &[1.0; 3]));
                for score in NUMBERS {
                    either(roc_curve(&[true, false, true], &[score, 1.0, -score])).iter().for_each(shown);
                }
                let long: Vec<f64> = (0..1_000_000).map(|i| f64::from(i % 1_000)).collect();
                let truth: Vec<bool> = (0..1_000_000).map(|i| i % 3 == 0).collect();
                either(roc_curve(&truth, &long)).iter().for_each(|roc| drawn(roc.plot()));
            }),
        ),
        ("RocCurve::false_positive_rates", Nothing("a valid curve")),
        ("RocCurve::true_positive_rates", Nothing("a valid curve")),
        ("RocCurve::thresholds", Nothing("a valid curve")),
        ("RocCurve::auc", Nothing("a valid curve")),
        ("RocCurve::plot", Nothing("a valid curve; see roc_curve")),
        ("RocCurve::evcxr_display", Call(|| roc_curve(&[true, false], &[0.0, 0.0]).unwrap().evcxr_display())),
        (
            "pca",
            Call(|| {
                for codes in codes() {
                    for count in SIZES {
                        either(pca(&codes, count));
                    }
                }
                refused(pca(&codes_of(points(3, 40_000, 1.0)), 1));
            }),
        ),
        ("Pca::new", Call(|| SIZES.iter().for_each(|count| drop(either(Pca::new(*count).fit(&some())))))),
        (
            "Pca::method",
            Call(|| {
                for codes in codes().iter().filter(|codes| codes.latent_dim() < 100) {
                    for count in SIZES {
                        either(Pca::new(count).method(PcaMethod::Linfa).fit(codes));
                    }
                }
            }),
        ),
        (
            "Pca::fit",
            Call(|| {
                for method in [PcaMethod::Covariance, PcaMethod::Linfa] {
                    refused(Pca::new(1).method(method).fit(&codes_of(Array2::zeros((1, 2)))));
                    refused(Pca::new(3).method(method).fit(&codes_of(Array2::zeros((9, 2)))));
                }
            }),
        ),
        ("PrincipalComponents::mean", Nothing("valid components")),
        ("PrincipalComponents::components", Nothing("valid components")),
        (
            "PrincipalComponents::explained_variance",
            Call(|| {
                components(|pca, _| {
                    assert!(pca.explained_variance().iter().all(|value| value.is_finite()));
                    shown(pca);
                });
            }),
        ),
        (
            "PrincipalComponents::explained_variance_ratio",
            Call(|| {
                components(|pca, _| {
                    assert!(pca.explained_variance_ratio().iter().all(|share| (0.0..=1.001).contains(share)))
                });
            }),
        ),
        (
            "PrincipalComponents::transform",
            Call(|| {
                components(|pca, _| codes().iter().for_each(|codes| drop(either(pca.transform(codes)))));
            }),
        ),
        (
            "PrincipalComponents::inverse_transform",
            Call(|| {
                components(|pca, _| codes().iter().for_each(|codes| drop(either(pca.inverse_transform(codes)))));
            }),
        ),
        (
            "PrincipalComponents::save",
            Call(|| components(|pca, _| paths().iter().for_each(|path| _ = either(pca.save(path))))),
        ),
        ("PrincipalComponents::load", Call(|| loads("components", |path| PrincipalComponents::load(path).map(drop)))),
        ("PrincipalComponents::evcxr_display", Call(|| components(|pca, _| pca.evcxr_display()))),
        (
            "tsne",
            Call(|| {
                for codes in codes() {
                    either(tsne(&codes, &quiet()));
                    either(tsne(&codes, &quiet().method(TsneMethod::Linfa)));
                }
            }),
        ),
        ("Tsne::new", Nothing("nothing")),
        (
            "Tsne::perplexity",
            Call(|| {
                for perplexity in NUMBERS {
                    embedded(quiet().perplexity(perplexity));
                    embedded(quiet().perplexity(perplexity).method(TsneMethod::Linfa));
                }
            }),
        ),
        (
            "Tsne::iterations",
            Call(|| {
                for iterations in SIZES {
                    embedded(quiet().iterations(iterations).stop_handle(&soon()));
                }
                for iterations in [0, 10_001, usize::MAX] {
                    refused(tsne(&some(), &quiet().iterations(iterations).method(TsneMethod::Linfa)));
                }
            }),
        ),
        ("Tsne::seed", Call(|| SEEDS.iter().for_each(|seed| embedded(quiet().seed(*seed).random_start())))),
        (
            "Tsne::random_start",
            Call(|| {
                codes().iter().for_each(|codes| drop(either(tsne(codes, &quiet().random_start()))));
            }),
        ),
        ("Tsne::method", Call(|| embedded(quiet().method(TsneMethod::Linfa)))),
        (
            "Tsne::stop_handle",
            Call(|| {
                let stopped = latentlab::StopHandle::new();
                stopped.stop();
                codes()
                    .iter()
                    .for_each(|codes| drop(either(tsne(codes, &quiet().iterations(usize::MAX).stop_handle(&stopped)))));
            }),
        ),
        ("Tsne::progress_every", Call(|| SIZES.iter().for_each(|every| embedded(quiet().progress_every(*every))))),
        (
            "Tsne::early_exaggeration",
            Call(|| {
                for factor in NUMBERS {
                    SIZES.iter().for_each(|count| embedded(quiet().early_exaggeration(factor, *count)));
                }
            }),
        ),
        ("Tsne::exaggeration", Call(|| NUMBERS.iter().for_each(|factor| embedded(quiet().exaggeration(*factor))))),
        ("Tsne::learning_rate", Call(|| NUMBERS.iter().for_each(|rate| embedded(quiet().learning_rate(*rate))))),
        (
            "Tsne::initial",
            Call(|| {
                for value in FLOATS {
                    embedded(quiet().initial(&Array2::from_elem((40, 2), value)));
                }
                for shape in [(0, 0), (40, 0), (40, 3), (39, 2), (2, 40)] {
                    refused(tsne(&some(), &quiet().initial(&Array2::zeros(shape))));
                }
            }),
        ),
        ("Tsne::fit", Call(|| codes().iter().for_each(|codes| drop(either(quiet().fit(codes)))))),
        ("TsneEmbedding::codes", Nothing("a valid embedding")),
        ("TsneEmbedding::divergence", Nothing("a valid embedding")),
        ("TsneEmbedding::perplexity", Nothing("a valid embedding")),
        ("TsneEmbedding::iterations", Nothing("a valid embedding")),
        ("TsneEmbedding::seconds", Nothing("a valid embedding")),
        (
            "TsneEmbedding::transform",
            Call(|| {
                let odd = codes();
                for known in odd.iter().filter(|codes| codes.len() >= 4) {
                    let embedding = tsne(known, &quiet()).unwrap();
                    odd.iter().for_each(|codes| drop(either(embedding.transform(codes))));
                }
            }),
        ),
        (
            "TsneEmbedding::save",
            Call(|| {
                let embedding = tsne(&some(), &quiet()).unwrap();
                paths().iter().for_each(|path| _ = either(embedding.save(path)));
            }),
        ),
        ("TsneEmbedding::load", Call(|| loads("embedding", |path| TsneEmbedding::load(path).map(drop)))),
        ("TsneEmbedding::scatter", Call(|| drawn(tsne(&some(), &quiet()).unwrap().scatter()))),
        ("TsneEmbedding::evcxr_display", Call(|| tsne(&some(), &quiet()).unwrap().evcxr_display())),
    ]
}
