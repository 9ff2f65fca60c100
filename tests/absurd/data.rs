//! Data sets.

use latentlab::{
    Dataset, Normalisation, data_files, fetch_data,
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
                // Of no images, any shape: nothing may overflow.
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
        ("Dataset::images", Nothing("the data set alone, which is sound")),
        ("Dataset::labels", Nothing("the data set alone, which is sound")),
        ("Dataset::class_names", Nothing("the data set alone, which is sound")),
        ("Dataset::source", Nothing("the data set alone, which is sound")),
        ("Dataset::len", Nothing("the data set alone, which is sound")),
        ("Dataset::is_empty", Nothing("the data set alone, which is sound")),
        ("Dataset::image_shape", Nothing("the data set alone, which is sound")),
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
        ("Normalisation::of", Call(|| datasets().iter().for_each(|images| _ = either(Normalisation::of(images))))),
        (
            "Normalisation::apply",
            Call(|| {
                for mean in FLOATS {
                    for std in FLOATS {
                        datasets().iter().for_each(|images| drop(either(Normalisation { mean, std }.apply(images))));
                    }
                }
            }),
        ),
        (
            "Normalisation::undo",
            Call(|| {
                for mean in FLOATS {
                    for std in FLOATS {
                        datasets().iter().for_each(|images| drop(either(Normalisation { mean, std }.undo(images))));
                    }
                }
            }),
        ),
        ("data_files", Call(|| drop(format!("{:?}", data_files())))),
        ("fetch_data", Call(|| _ = either(fetch_data()))),
    ]
}
