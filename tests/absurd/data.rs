//! Data sets.

use std::{fs, path::Path};

use latentlab::{
    Augmentation, Csv, Dataset, Noise, Normalisation, Result, Scaler, data_files, fetch_data,
    ndarray::{Array1, Array2, Array3, Array4, ArrayD, array},
    read_npy, read_npz, write_npy, write_npz,
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

fn scaled(fit: fn(&Dataset) -> Result<Scaler>) {
    let table = |value: f32| Dataset::from_array(array![[value, 1.0], [-value, f32::MIN_POSITIVE]]);
    let all = || datasets().into_iter().chain(FLOATS.into_iter().filter_map(|value| either(table(value))));
    for scaler in all().filter_map(|data| either(fit(&data))) {
        for data in all() {
            either(scaler.transform(&data));
            either(scaler.inverse_transform(&data));
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

/// All images with a change.
fn augmented(augmentation: Augmentation) {
    for images in datasets() {
        either(images.augmented(&augmentation, u64::MAX)).iter().for_each(shown);
    }
}

/// All images with a noise.
fn noisy(noise: Noise) {
    for images in datasets() {
        if let Some(noisy) = either(images.with_noise(noise, u64::MAX)) {
            assert!(noisy.images().iter().all(|value| value.is_finite()), "{noise:?}");
        }
    }
}

/// Files that hold something else, and paths where nothing is.
fn no_files(endings: &[&str], read: impl Fn(&Path) -> Result<Dataset>) {
    let garbage = Garbage::new("files");
    for path in endings.iter().flat_map(|ending| garbage.files(ending)).chain(paths()) {
        either(read(&path)).iter().for_each(shown);
    }
}

/// A table that can be read.
fn table_with(read: impl Fn(Csv) -> Result<Dataset>) {
    let garbage = Garbage::new("table");
    for text in ["a,b,c\n1,2,x\n3,4,y\n", "1,2,3\n4,5,6\n", "a;b\n1;2\n", "x\n1\n"] {
        let path = garbage.file("table.csv");
        fs::write(&path, text).unwrap();
        either(read(Csv::new(&path))).iter().for_each(shown);
    }
}

pub fn rows() -> Table {
    vec![
        (
            "Dataset::from_array",
            Call(|| {
                for shape in [&[][..], &[0], &[3], &[0, 0], &[0, 3], &[3, 0], &[2, 3], &[2, 3, 4, 5], &[1; 7]] {
                    either(Dataset::from_array(ArrayD::zeros(shape))).iter().for_each(shown);
                }
                for value in FLOATS {
                    assert_eq!(either(Dataset::from_array(array![[value]])).is_some(), value.is_finite(), "{value}");
                }
            }),
        ),
        ("Augmentation::new", Call(|| augmented(Augmentation::new()))),
        ("Augmentation::flip_horizontal", Call(|| augmented(Augmentation::new().flip_horizontal()))),
        ("Augmentation::flip_vertical", Call(|| augmented(Augmentation::new().flip_vertical()))),
        (
            "Augmentation::rotate",
            Call(|| FLOATS.iter().for_each(|degrees| augmented(Augmentation::new().rotate(*degrees)))),
        ),
        (
            "Augmentation::shift",
            Call(|| SIZES.iter().for_each(|pixels| augmented(Augmentation::new().shift(*pixels).rotate(9.0)))),
        ),
        (
            "Augmentation::crop",
            Call(|| {
                for side in SIZES {
                    augmented(Augmentation::new().crop(side, 1));
                    augmented(Augmentation::new().crop(1, side).shift(1));
                }
            }),
        ),
        (
            "Augmentation::brightness",
            Call(|| FLOATS.iter().for_each(|most| augmented(Augmentation::new().brightness(*most)))),
        ),
        (
            "Augmentation::fill",
            Call(|| FLOATS.iter().for_each(|value| augmented(Augmentation::new().shift(1).rotate(9.0).fill(*value)))),
        ),
        (
            "Dataset::augmented",
            Call(|| SEEDS.iter().for_each(|seed| _ = digits(2).augmented(&Augmentation::new(), *seed))),
        ),
        ("Noise::gaussian", Call(|| FLOATS.iter().for_each(|value| noisy(Noise::gaussian(*value))))),
        ("Noise::salt_and_pepper", Call(|| FLOATS.iter().for_each(|value| noisy(Noise::salt_and_pepper(*value))))),
        ("Noise::masking", Call(|| FLOATS.iter().for_each(|value| noisy(Noise::masking(*value))))),
        ("Noise::clipped", Call(|| FLOATS.iter().for_each(|value| noisy(Noise::gaussian(*value).clipped())))),
        ("Noise::whole_pixels", Call(|| FLOATS.iter().for_each(|value| noisy(Noise::masking(*value).whole_pixels())))),
        (
            "Dataset::with_labels",
            Call(|| {
                for images in datasets() {
                    for label in SIZES {
                        either(images.with_labels(Array1::from_elem(images.len(), label), texts()));
                        either(images.with_labels(array![label], ["a"; 2]));
                    }
                    either(images.with_labels(Array1::zeros(images.len()), std::iter::repeat("a")));
                }
            }),
        ),
        (
            "Dataset::with_image_shape",
            Call(|| {
                for images in datasets() {
                    for side in SIZES {
                        either(images.with_image_shape([1, side, 1])).iter().for_each(shown);
                        either(images.with_image_shape([side; 3])).iter().for_each(shown);
                    }
                }
            }),
        ),
        (
            "Dataset::to_rows",
            Call(|| datasets().iter().for_each(|images| assert_eq!(images.to_rows().nrows(), images.len()))),
        ),
        (
            "Dataset::one_hot",
            Call(|| {
                datasets().iter().for_each(|images| drop(either(images.one_hot())));
                let many = Dataset::from_array(Array2::zeros((1_000, 1))).unwrap();
                refused(many.with_labels(Array1::zeros(1_000), names(100_000)).unwrap().one_hot());
            }),
        ),
        (
            "Dataset::shuffled_batches",
            Call(|| {
                for images in datasets() {
                    for size in SIZES {
                        let batches = either(images.shuffled_batches(size, u64::MAX));
                        batches.into_iter().flatten().take(3).for_each(|batch| shown(&batch));
                    }
                }
            }),
        ),
        (
            "Dataset::image_folder",
            Call(|| {
                no_folders(|path| Dataset::image_folder(path, [3, 2, 2]));
                no_files(&["png", "jpg", ""], |path| Dataset::image_folder(path, [1, 2, 2]));
                let garbage = Garbage::new("pictures");
                let folder = garbage.files("png")[0].parent().unwrap().to_owned();
                for side in SIZES {
                    refused(Dataset::image_folder(&folder, [1, side, side]));
                    refused(Dataset::image_folder(&folder, [side, 2, 2]));
                }
            }),
        ),
        (
            "Dataset::image_pairs",
            Call(|| no_files(&["png"], |path| Dataset::image_pairs(path, path, [1, 2, 2]).map(|pair| pair.0))),
        ),
        ("Dataset::cifar10_from", Call(|| no_folders(|path| Dataset::cifar10_from(path)))),
        ("Dataset::cifar100_from", Call(|| no_folders(|path| Dataset::cifar100_from(path)))),
        ("Dataset::from_npy", Call(|| no_files(&["npy", "npz"], |path| Dataset::from_npy(path)))),
        (
            "Dataset::from_npz",
            Call(|| {
                for name in texts() {
                    no_files(&["npz"], |path| Dataset::from_npz(path, &name, "y"));
                }
            }),
        ),
        ("read_npy", Call(|| paths().iter().for_each(|path| drop(either(read_npy(path)))))),
        (
            "read_npz",
            Call(|| {
                paths().iter().for_each(|path| drop(either(read_npz(path, "x"))));
                let garbage = Garbage::new("npz");
                let path = garbage.file("arrays.npz");
                write_npz(&path, [("x", &Array1::zeros(2))]).unwrap();
                texts().iter().for_each(|name| refused(read_npz(&path, name)));
            }),
        ),
        (
            "write_npy",
            Call(|| {
                paths().iter().for_each(|path| _ = either(write_npy(path, &Array3::zeros((0, 1, 2)))));
                let garbage = Garbage::new("npy");
                let path = garbage.file("array.npy");
                for value in FLOATS {
                    write_npy(&path, &ArrayD::from_elem(vec![], value)).unwrap();
                    let read = read_npy(&path).unwrap();
                    assert_eq!(read.iter().next().unwrap().to_bits(), value.to_bits());
                }
            }),
        ),
        (
            "write_npz",
            Call(|| {
                let garbage = Garbage::new("npz");
                let array = Array1::zeros(2);
                for name in texts() {
                    if either(write_npz(garbage.file("a.npz"), [(&name[..], &array)])).is_some() {
                        assert_eq!(
                            read_npz(garbage.file("a.npz"), &name).unwrap(),
                            array.clone().into_dyn(),
                            "{name:?}"
                        );
                    }
                    refused(write_npz(garbage.file("a.npz"), [(&name[..], &array); 2]));
                }
                paths().iter().for_each(|path| _ = either(write_npz(path, [("a", &array)])));
            }),
        ),
        ("Csv::new", Call(|| no_files(&["csv", "xlsx"], |path| Csv::new(path).read()))),
        ("Csv::label", Call(|| texts().iter().for_each(|text| table_with(|csv| csv.label(text).read())))),
        (
            "Csv::without",
            Call(|| {
                table_with(|csv| csv.without(texts()).read());
                table_with(|csv| csv.without(SIZES).read());
            }),
        ),
        ("Csv::header", Call(|| [true, false].iter().for_each(|header| table_with(|csv| csv.header(*header).read())))),
        (
            "Csv::delimiter",
            Call(|| {
                for delimiter in ['\0', '\n', '\r', '"', '1', '.', '\t', ';', 'é', '\u{10ffff}'] {
                    table_with(|csv| csv.delimiter(delimiter).read());
                }
            }),
        ),
        ("Csv::read", Call(|| table_with(|csv| csv.read()))),
        (
            "Csv::read_by",
            Call(|| {
                for text in texts() {
                    table_with(|csv| csv.read_by([&text, &text]).map(|[data, _]| data));
                    table_with(|csv| csv.label("c").read_by([&text]).map(|[data]| data));
                }
                table_with(|csv| csv.read_by([0, 0, usize::MAX]).map(|[data, ..]| data));
                table_with(|csv| csv.read_by([""; 0]).and_then(|[]| csv.read()));
            }),
        ),
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
        ("Scaler::standard", Call(|| scaled(Scaler::standard))),
        ("Scaler::min_max", Call(|| scaled(Scaler::min_max))),
        ("Scaler::transform", Nothing("see Scaler::standard")),
        ("Scaler::inverse_transform", Nothing("see Scaler::standard")),
        ("Normalisation::fit", Call(|| datasets().iter().for_each(|images| _ = either(Normalisation::fit(images))))),
        ("Normalisation::mean", Nothing("a valid normalisation")),
        ("Normalisation::std", Nothing("a valid normalisation")),
        ("Normalisation::transform", Call(|| normalised(Normalisation::transform))),
        ("Normalisation::inverse_transform", Call(|| normalised(Normalisation::inverse_transform))),
        ("data_files", Call(|| drop(format!("{:?}", data_files())))),
        ("fetch_data", Call(|| _ = either(fetch_data()))),
    ]
}
