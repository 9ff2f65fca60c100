//! The real MNIST and Fashion-MNIST, if the environment variable `LATENTLAB_DATA` names a folder with both.

use latentlab::ndarray::s;
use latentlab::{DataFileState, Dataset, ErrorKind, data_files, fetch_data};

/// Whether there are real data to test with; prints a line if not.
fn real_data() -> bool {
    let named = std::env::var_os("LATENTLAB_DATA").is_some_and(|value| !value.is_empty() && value != "built-in");
    if !named {
        println!("skipped: LATENTLAB_DATA names no folder with MNIST and Fashion-MNIST");
    }
    named
}

/// Checks what is known about a collection from its publication: counts, first labels, and mean and standard deviation
/// of the training pixels.
fn check(data: &Dataset, first_train: [usize; 5], first_test: [usize; 5], mean: f32, std: f32) {
    assert_eq!(data.images().dim(), (70_000, 1, 28, 28));
    assert!(data.images().iter().all(|value| (0.0..=1.0).contains(value)));
    assert_eq!(data.labels().slice(s![..5]).to_vec(), first_train);
    assert_eq!(data.labels().slice(s![60_000..60_005]).to_vec(), first_test);
    let train = data.take(60_000);
    assert!((train.mean() - mean).abs() < 5e-5 && (train.std() - std).abs() < 5e-5, "{} {}", train.mean(), train.std());
}

#[test]
fn mnist_is_mnist() {
    if real_data() {
        let digits = Dataset::digits().unwrap();
        assert!(digits.source().starts_with("MNIST, 70,000 images from "), "{}", digits.source());
        check(&digits, [5, 0, 4, 1, 9], [7, 2, 1, 0, 4], 0.1307, 0.3081);
        assert_eq!(digits.of_class(1).unwrap().len(), 7_877);
    }
}

#[test]
fn fashion_mnist_is_fashion_mnist() {
    if real_data() {
        let garments = Dataset::garments().unwrap();
        assert!(garments.source().starts_with("Fashion-MNIST, 70,000 images from "), "{}", garments.source());
        check(&garments, [9, 0, 0, 3, 0], [9, 2, 1, 1, 6], 0.2860, 0.3530);
        assert!(garments.by_class().iter().all(|class| class.len() == 7_000));
    }
}

#[test]
fn a_folder_is_opened_whatever_the_variable_says() {
    if real_data() {
        let files = data_files();
        let folder = |file: usize| files[file].path.parent().unwrap();
        assert_eq!(Dataset::mnist_from(folder(0)).unwrap().images(), Dataset::mnist().unwrap().images());
        let garments = Dataset::fashion_mnist_from(folder(4)).unwrap();
        assert_eq!(garments.labels(), Dataset::fashion_mnist().unwrap().labels());
        // Each other's files are not taken for their own.
        let error = Dataset::mnist_from(folder(4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().starts_with("mnist_from: expected a folder that holds MNIST"), "{error}");
        assert!(error.to_string().contains("there: the files of Fashion-MNIST"), "{error}");
    }
}

#[test]
fn the_files_are_sound_and_read_singly() {
    if real_data() {
        let files = data_files();
        assert_eq!(files.len(), 8);
        assert!(files.iter().all(|file| matches!(file.state, DataFileState::Sound { .. })), "{files:?}");
        fetch_data().unwrap(); // nothing to do

        let test = Dataset::from_idx(&files[2].path, &files[3].path).unwrap();
        assert_eq!(test.images(), Dataset::mnist().unwrap().images().slice(s![60_000.., .., .., ..]));
        let error = Dataset::from_idx(&files[2].path, &files[1].path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
    }
}

/// The eight files of both collections, linked into a new folder under other names and in other folders.
#[cfg(unix)]
fn relinked(name: &str, place: impl Fn(&str, &str) -> String) -> Option<std::path::PathBuf> {
    let root = std::env::temp_dir().join(format!("latentlab-real-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    for file in data_files() {
        let target = root.join(place(&file.collection, &file.path.file_name()?.to_string_lossy()));
        std::fs::create_dir_all(target.parent()?).ok()?;
        std::os::unix::fs::symlink(std::path::absolute(&file.path).ok()?, target).ok()?;
    }
    Some(root)
}

/// Whether this test passes in a process whose `LATENTLAB_DATA` is `root`.
#[cfg(unix)]
fn passes_with(test: &str, root: &std::path::Path) -> bool {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let status = command.args(["--exact", test]).env("LATENTLAB_DATA", root).status().unwrap();
    let _ = std::fs::remove_dir_all(root);
    status.success()
}

#[cfg(unix)]
#[test]
fn dotted_names_and_the_folders_of_libraries_are_read() {
    if real_data() {
        let dotted = |name: &str| name.replace("-idx", ".idx");
        let kaggle = relinked("dotted", |collection, name| format!("{collection}/{}", dotted(name))).unwrap();
        assert!(passes_with("the_files_are_sound_and_read_singly", &kaggle));
        let torchvision =
            relinked("raw", |collection, name| format!("{}/raw/{name}", collection.replace('-', ""))).unwrap();
        assert!(passes_with("the_files_are_sound_and_read_singly", &torchvision));
    }
}
