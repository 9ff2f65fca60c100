//! Data sets.

use std::{fs, path::Path};

use latentlab::{
    Dataset, Normalisation, Result, data_files, fetch_data,
    ndarray::{Array1, Array4, array},
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

/// The first folds of each data set.
fn folds(count: usize, seed: u64, every: usize) {
    for images in datasets() {
        if let Some(folds) = either(images.folds(count, seed)) {
            folds.progress_every(every).take(3).for_each(drop);
        }
    }
}

fn normalised(function: fn(&Normalisation, &Dataset) -> Result<Dataset>) {
    for mean in FLOATS {
        for std in FLOATS {
            let Ok(normalisation) = Normalisation::new(mean, std) else { continue };
            datasets().iter().for_each(|images| drop(either(function(&normalisation, images))));
        }
    }
}

/// Paths and files that are no folder with data.
fn no_folders(open: impl Fn(&Path) -> Result<Dataset>) {
    let garbage = Garbage::new("folders");
    let files = garbage.files("gz");
    fs::write(garbage.file("train-images-idx3-ubyte"), fs::read(&files[2]).unwrap()).unwrap();
    fs::write(garbage.file("train-images-idx3-ubyte.gz"), fs::read(&files[7]).unwrap()).unwrap();
    let folder = files[0].parent().unwrap().to_owned();
    for path in files.iter().chain([&folder]) {
        refused(open(path));
    }
    // Some of these may hold data.
    paths().iter().for_each(|path| drop(either(open(path))));
}

pub fn rows() -> Table {
    vec![
        (
            "Dataset::new",
            Call(|| {
                for shape in [(0, 0, 0, 0), (2, 0, 3, 3), (2, 1, 0, 3), (2, 1, 3, 0), (1, 1, 2, 2), (3, 1, 2, 2)] {
                    refused(Dataset::new(Array4::zeros(shape), array![0, 0], ["a"]));
                }
                for label in [1, usize::MAX, 1 << 32] {
                    refused(Dataset::new(Array4::zeros((1, 1, 2, 2)), array![label], ["a"]));
                }
                for value in FLOATS {
                    let images = Dataset::new(Array4::from_elem((2, 1, 2, 2), value), array![0, 0], texts());
                    assert_eq!(images.is_ok(), value.is_finite(), "{value}");
                }
                // No images of any shape: nothing may overflow.
                for side in SIZES {
                    if let Ok(images) = Array4::from_shape_vec((0, 1, side.min(1 << 31), 2), Vec::new()) {
                        either(Dataset::new(images, Array1::zeros(0), ["a"]));
                    }
                }
                datasets().iter().for_each(shown);
            }),
        ),
        (
            "Dataset::with_images",
            Call(|| {
                for images in datasets() {
                    for shape in [(0, 1, 1, 1), (3, 1, 2, 2), (3, 0, 2, 2), (12, 1, 1, 1)] {
                        either(images.with_images(Array4::zeros(shape)));
                    }
                    either(images.with_images(Array4::from_elem((images.len(), 1, 1, 1), f32::NAN)));
                }
            }),
        ),
        ("Dataset::images", Nothing("a valid data set")),
        ("Dataset::labels", Nothing("a valid data set")),
        ("Dataset::class_names", Nothing("a valid data set")),
        ("Dataset::source", Nothing("a valid data set")),
        ("Dataset::len", Nothing("a valid data set")),
        ("Dataset::is_empty", Nothing("a valid data set")),
        ("Dataset::image_shape", Nothing("a valid data set")),
        (
            "Dataset::to_html",
            Call(|| {
                datasets().iter().for_each(|images| assert!(!images.to_html().contains("<script")));
            }),
        ),
        ("Dataset::mean", Call(|| datasets().iter().for_each(|images| _ = images.mean()))),
        ("Dataset::std", Call(|| datasets().iter().for_each(|images| _ = images.std()))),
        (
            "Dataset::with_noise",
            Call(|| {
                for images in datasets() {
                    for deviation in FLOATS {
                        if let Some(noisy) = either(images.with_noise(deviation, u64::MAX)) {
                            assert!(noisy.images().iter().all(|value| value.is_finite()), "{deviation}");
                        }
                    }
                }
            }),
        ),
        ("Dataset::digits", Call(|| shown(&Dataset::digits().unwrap().take(1)))),
        ("Dataset::garments", Call(|| shown(&Dataset::garments().unwrap().take(1)))),
        ("Dataset::mnist", Call(|| drop(either(Dataset::mnist())))),
        ("Dataset::mnist_from", Call(|| no_folders(|path| Dataset::mnist_from(path)))),
        ("Dataset::fashion_mnist_from", Call(|| no_folders(|path| Dataset::fashion_mnist_from(path)))),
        ("Dataset::fashion_mnist", Call(|| drop(either(Dataset::fashion_mnist())))),
        (
            "Dataset::built_in_digits",
            Call(|| {
                for n in SIZES {
                    either(Dataset::built_in_digits(if n == 100_000 { 100 } else { n }, u64::MAX));
                }
            }),
        ),
        (
            "Dataset::built_in_garments",
            Call(|| {
                for n in SIZES {
                    either(Dataset::built_in_garments(if n == 100_000 { 100 } else { n }, u64::MAX));
                }
            }),
        ),
        (
            "Dataset::from_idx",
            Call(|| {
                let garbage = Garbage::new("idx");
                let paths = [paths(), garbage.files("idx"), garbage.files("gz"), garbage.files("zip")].concat();
                for images in &paths {
                    refused(Dataset::from_idx(images, images));
                    refused(Dataset::from_idx(images, &paths[0]));
                }
            }),
        ),
        (
            "Dataset::split",
            Call(|| {
                for images in datasets() {
                    for train in SIZES {
                        SIZES.iter().for_each(|test| drop(either(images.split(train, *test))));
                    }
                }
            }),
        ),
        (
            "Dataset::take",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|n| shown(&images.take(*n)));
                }
            }),
        ),
        (
            "Dataset::shuffled",
            Call(|| {
                for images in datasets() {
                    SEEDS.iter().for_each(|seed| shown(&images.shuffled(*seed)));
                }
            }),
        ),
        (
            "Dataset::batches",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|size| drop(either(images.batches(*size))));
                }
            }),
        ),
        ("Dataset::one_of_each", Call(|| datasets().iter().for_each(|images| drop(either(images.one_of_each()))))),
        ("Dataset::by_class", Call(|| datasets().iter().for_each(|images| drop(images.by_class())))),
        (
            "Dataset::of_class",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|label| drop(either(images.of_class(*label))));
                }
            }),
        ),
        (
            "Dataset::of_classes",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|label| drop(either(images.of_classes(&[*label, 0, 0]))));
                    either(images.of_classes(&[]));
                }
            }),
        ),
        (
            "Dataset::with_class_names",
            Call(|| {
                for images in datasets() {
                    either(images.with_class_names([""; 0]));
                    either(images.with_class_names(texts())).iter().for_each(shown);
                    either(images.with_class_names(names(100_000))).iter().for_each(shown);
                }
            }),
        ),
        (
            "Dataset::select",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|index| drop(either(images.select(&[*index, 0]))));
                    either(images.select(&[]));
                }
                refused(digits(2).select(&vec![0; 1_000_000]));
            }),
        ),
        (
            "Dataset::folds",
            Call(|| {
                SIZES.iter().for_each(|count| folds(*count, 0, 0));
                SEEDS.iter().for_each(|seed| folds(2, *seed, 0));
            }),
        ),
        (
            "Dataset::plot_images",
            Call(|| {
                for images in datasets() {
                    SIZES.iter().for_each(|n| drop(either(images.plot_images(*n))));
                    drawn(images.plot_images(3));
                }
            }),
        ),
        ("Dataset::evcxr_display", Call(|| datasets().iter().for_each(Dataset::evcxr_display))),
        ("Folds::progress_every", Call(|| SIZES.iter().for_each(|every| folds(2, 0, *every)))),
        (
            "Normalisation::new",
            Call(|| {
                for mean in FLOATS {
                    for std in FLOATS {
                        let is_sound = mean.is_finite() && std.is_finite() && std > 0.0;
                        assert_eq!(either(Normalisation::new(mean, std)).is_some(), is_sound, "{mean} {std}");
                    }
                }
            }),
        ),
        ("Normalisation::fit", Call(|| datasets().iter().for_each(|images| _ = either(Normalisation::fit(images))))),
        ("Normalisation::mean", Nothing("a valid normalisation")),
        ("Normalisation::std", Nothing("a valid normalisation")),
        ("Normalisation::transform", Call(|| normalised(Normalisation::transform))),
        ("Normalisation::inverse_transform", Call(|| normalised(Normalisation::inverse_transform))),
        ("data_files", Call(|| drop(format!("{:?}", data_files())))),
        ("fetch_data", Call(|| _ = either(fetch_data()))),
    ]
}
