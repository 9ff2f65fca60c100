//! Damaged files of weights, checkpoints, fitted models and journals: ten thousand of each kind from a fixed seed.
//! None may panic or allocate more than its size warrants, and none may be read as something other than what was
//! written.

mod folder;
mod memory;
mod mutate;
mod signed;

use std::{fs, path::Path};

use folder::Folder;
use latentlab::{
    Autoencoder, Clustering, Codes, Dataset, ErrorKind, KMeans, Optimizer, PrincipalComponents, Result, Sequential,
    Setting, Space, Study, TrainConfig, TrialRecord, Tsne, TsneEmbedding, ndarray::ArrayD, pca, train_ae,
};
use memory::limit_memory;
use mutate::Mutator;

const MUTATIONS: usize = 10_000;

fn network() -> Sequential {
    Sequential::input([1, 4, 4])
        .flatten()
        .dense(9)
        .leaky_relu(0.2)
        .batch_norm()
        .dropout(0.5)
        .dense(6)
        .tanh()
        .build()
        .unwrap()
}

fn convolutions() -> Sequential {
    let network = Sequential::input([1, 6, 6]).conv2d(3, 3).same().batch_norm().leaky_relu(0.2).max_pool2d(2);
    network.up_sample2d(2).conv_transpose2d(2, 3).stride(2).same().flatten().dense(3).softmax().build().unwrap()
}

fn bytes_of(save: impl Fn(&Path) -> Result<()>, path: &Path) -> Vec<u8> {
    save(path).unwrap();
    fs::read(path).unwrap()
}

/// Predicts with it, if its inputs are small.
fn predict_with(network: &Sequential) {
    if network.input_shape().iter().chain(network.output_shape()).all(|size| *size < 100) {
        let shape = [&[3], network.input_shape()].concat();
        drop(network.predict(&ArrayD::from_elem(shape, 0.5)));
    }
}

/// A JSON text damaged in a number, a name or a word.
fn damaged_text(mutator: &mut Mutator, text: &str) -> String {
    String::from_utf8_lossy(&mutator.damage(text.as_bytes(), text.as_bytes())).into_owned()
}

#[test]
fn no_damaged_file_of_weights_is_read() {
    limit_memory();
    let folder = Folder::new("damaged-weights");
    let path = folder.file("network.safetensors");
    let files = [network(), convolutions()].map(|network| bytes_of(|path| network.save(path), &path));
    let mut mutator = Mutator::new(1);
    for number in 0..MUTATIONS {
        let (file, other) = (&files[number % 2], &files[1 - number % 2]);
        fs::write(&path, mutator.damage(file, other)).unwrap();
        let error = Sequential::load(&path).map(|_| ()).expect_err("a damaged file was read");
        assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
    }
    println!("weights: {MUTATIONS} damaged, {MUTATIONS} refused");
}

#[test]
fn no_header_panics_though_its_hash_is_right() {
    limit_memory();
    let folder = Folder::new("damaged-headers");
    let path = folder.file("network.safetensors");
    let files = [network(), convolutions()].map(|network| bytes_of(|path| network.save(path), &path));
    let mut mutator = Mutator::new(2);
    let mut read = 0;
    for number in 0..MUTATIONS {
        let file = &files[number % 2];
        let header = damaged_text(&mut mutator, &signed::header(file));
        fs::write(&path, signed::with_header(file, &header)).unwrap();
        if let Ok(network) = Sequential::load(&path) {
            predict_with(&network);
            read += 1;
        }
    }
    println!("headers with their hash: {MUTATIONS} changed, {} refused, {read} read", MUTATIONS - read);
    assert!(read > 0 && read < MUTATIONS / 2, "{read}");
}

#[test]
fn no_damaged_file_of_the_first_version_panics() {
    limit_memory();
    let folder = Folder::new("damaged-version1");
    let path = folder.file("network.safetensors");
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/version1/network.safetensors"));
    let file = file.unwrap();
    let mut mutator = Mutator::new(3);
    let mut read = 0;
    for _ in 0..MUTATIONS {
        fs::write(&path, mutator.damage(&file, &file)).unwrap();
        if let Ok(network) = Sequential::load(&path) {
            predict_with(&network);
            read += 1;
        }
    }
    println!("weights of version 1: {MUTATIONS} damaged, {} refused, {read} read", MUTATIONS - read);
    assert!(read < MUTATIONS / 20, "{read}: the seed, a slope, spaces");
}

#[test]
fn no_damaged_checkpoint_is_read() {
    limit_memory();
    let folder = Folder::new("damaged-checkpoints");
    let path = folder.file("checkpoint.safetensors");
    let images = Dataset::built_in_digits(4, 0).unwrap();
    let model = Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(1),
        Sequential::input([1]).dense(784).sigmoid().reshape([1, 28, 28]),
    );
    let model = model.unwrap();
    let config = TrainConfig::new().batch_size(4).progress_every(0).early_stopping(9).snapshots(&images.take(1), [1]);
    let settings = [config.clone(), config.optimizer(Optimizer::sgd())];
    let files = settings.each_ref().map(|config| {
        train_ae(&mut model.clone(), &images, &config.clone().epochs(2).checkpoint(&path)).unwrap();
        fs::read(&path).unwrap()
    });
    let resume = |which: usize, epochs| {
        let config = settings[which].clone().epochs(epochs).resume(&path);
        train_ae(&mut model.clone(), &images, &config)
    };
    for which in [0, 1] {
        fs::write(&path, &files[which]).unwrap();
        assert_eq!(resume(which, 3).unwrap().epochs(), 3);
        fs::write(&path, signed::as_version_1(&files[which])).unwrap();
        assert_eq!(resume(which, 3).unwrap().epochs(), 3, "of the first version");
    }

    let mut mutator = Mutator::new(4);
    for number in 0..MUTATIONS {
        let which = number % 2;
        fs::write(&path, mutator.damage(&files[which], &files[1 - which])).unwrap();
        let error = resume(which, 2).map(|_| ()).expect_err("a damaged checkpoint was read");
        assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
    }
    // With the right hash its claims are checked all the same; then it trains.
    let (mut read, tries) = (0, 2000);
    let first = files.each_ref().map(|file| signed::as_version_1(file));
    for number in 0..2 * tries {
        let which = number % 2;
        let changed = if number < tries {
            signed::with_header(&files[which], &damaged_text(&mut mutator, &signed::header(&files[which])))
        } else {
            signed::with_header_alone(&first[which], &damaged_text(&mut mutator, &signed::header(&first[which])))
        };
        fs::write(&path, changed).unwrap();
        if let Ok(history) = resume(which, 3) {
            assert_eq!((history.seconds.len(), history.learning_rate.len()), (history.epochs(), history.epochs()));
            let _ = history.to_html();
            read += 1;
        }
    }
    println!("checkpoints: {MUTATIONS} damaged, {MUTATIONS} refused; {} with their hash, {read} read", 2 * tries);
    assert!(read > 0 && read < tries, "{read}");
}

fn codes(stream: u64) -> Codes {
    Codes::of_pixels(&Dataset::built_in_digits(12, stream).unwrap())
}

/// Ten thousand damaged files of a fitted model are refused; with the right hash, `load_and_use` may not panic.
fn refuse_damaged(name: &str, save: impl Fn(u64, &Path) -> Result<()>, load_and_use: impl Fn(&Path) -> Result<()>) {
    limit_memory();
    let folder = Folder::new(&format!("damaged-{name}"));
    let path = folder.file("fitted.safetensors");
    let files = [0, 1].map(|stream| bytes_of(|path| save(stream, path), &path));
    files.iter().for_each(|file| {
        fs::write(&path, file).unwrap();
        load_and_use(&path).unwrap();
    });
    network().save(&path).unwrap();
    let error = load_and_use(&path).unwrap_err().to_string();
    assert!(error.contains("that latentlab has saved, got a model of kind sequential"), "{error}");
    let mut mutator = Mutator::new(8);
    for number in 0..MUTATIONS {
        fs::write(&path, mutator.damage(&files[number % 2], &files[1 - number % 2])).unwrap();
        let error = load_and_use(&path).expect_err("a damaged file was read");
        assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
    }
    let (mut read, tries) = (0, 2000);
    for number in 0..tries {
        let file = &files[number % 2];
        let header = damaged_text(&mut mutator, &signed::header(file));
        fs::write(&path, signed::with_header(file, &header)).unwrap();
        read += usize::from(load_and_use(&path).is_ok());
    }
    println!("{name}: {MUTATIONS} damaged, {MUTATIONS} refused; {tries} with their hash, {read} read");
    assert!(read > 0 && read < tries, "{read}");
}

#[test]
fn no_damaged_clustering_is_read() {
    refuse_damaged(
        "clusterings",
        |stream, path| KMeans::new(3).runs(1).fit(&codes(stream))?.save(path),
        |path| {
            let clustering = Clustering::load(path)?;
            drop((clustering.to_string(), clustering.accuracy(), clustering.one_to_one_accuracy()));
            let _ = clustering.predict(&codes(2));
            Ok(())
        },
    );
}

#[test]
fn no_damaged_principal_components_are_read() {
    refuse_damaged(
        "components",
        |stream, path| pca(&codes(stream), 2)?.save(path),
        |path| {
            let components = PrincipalComponents::load(path)?;
            let _ = components.transform(&codes(2)).and_then(|codes| components.inverse_transform(&codes));
            drop(components.to_string());
            Ok(())
        },
    );
}

#[test]
fn no_damaged_embedding_is_read() {
    refuse_damaged(
        "embeddings",
        |stream, path| Tsne::new().iterations(20).progress_every(0).fit(&codes(stream))?.save(path),
        |path| {
            let embedding = TsneEmbedding::load(path)?;
            let _ = embedding.transform(&codes(2));
            drop(embedding.to_string());
            Ok(())
        },
    );
}

fn space() -> Space {
    let space = Space::new().float("x", -1.0, 1.0).float("rate", 1e-5, 1.0).log().integer("filters", 4, 64);
    space.choice("optimizer", ["adam", "radam", "sgd"])
}

fn open(path: &Path, space: Space) -> Result<Study> {
    Study::minimize(space)?.progress_every(0).journal(path)
}

/// A study's records without times.
fn known(study: &Study) -> Vec<TrialRecord> {
    let mut records = study.records();
    records.iter_mut().for_each(|record| record.seconds = 0.0);
    records
}

fn journal(path: &Path, space: Space, trials: usize) -> Vec<u8> {
    let study = open(path, space).unwrap();
    for number in 1..=trials {
        let trial = study.ask().unwrap().unwrap();
        for epoch in 1..=2 {
            trial.report(epoch, number as f64 / epoch as f64).unwrap();
        }
        let value = if number == 3 { f64::NAN } else { (number as f64 * 0.7).sin() };
        study.tell(trial, value).unwrap();
    }
    drop(study);
    fs::read(path).unwrap()
}

#[test]
fn a_damaged_journal_is_refused_and_unchanged_or_cut_at_an_incomplete_line() {
    limit_memory();
    let folder = Folder::new("damaged-journals");
    let path = folder.file("study.jsonl");
    let grid = || Space::new().choice("a", [1, 2, 3]).integer("b", 1, 5).grid();
    let spaces: [&dyn Fn() -> Space; 2] = [&space, &grid];
    let files = spaces.map(|space| {
        let file = journal(&path, space(), 12);
        fs::remove_file(&path).unwrap();
        file
    });
    // The study's records after each line.
    let states: Vec<Vec<Vec<TrialRecord>>> = (files.iter().zip(spaces))
        .map(|(file, space)| {
            let ends = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            let state = |end| {
                fs::write(&path, &file[..end]).unwrap();
                known(&open(&path, space()).unwrap())
            };
            [0].into_iter().chain(ends).map(state).collect()
        })
        .collect();
    let mut mutator = Mutator::new(5);
    let [mut whole, mut earlier] = [0, 0];
    for number in 0..MUTATIONS {
        let which = number % 2;
        let damaged = mutator.damage(&files[which], &files[1 - which]);
        fs::write(&path, &damaged).unwrap();
        match open(&path, spaces[which]()) {
            Ok(study) => {
                let now = known(&study);
                let at = states[which].iter().position(|state| *state == now);
                assert!(at.is_some(), "another study: {}", String::from_utf8_lossy(&damaged));
                // Only an incomplete last line is missing, or lines that a cut removed.
                if now == *states[which].last().unwrap() {
                    whole += 1
                } else {
                    earlier += 1
                }
                // The study goes on, and its journal stays readable.
                if number % 10 == 0
                    && let Some(trial) = study.ask().unwrap()
                {
                    study.tell(trial, 1.0).unwrap();
                    assert_eq!(known(&open(&path, spaces[which]()).unwrap()), known(&study));
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Data, "{error}");
                assert!(fs::read(&path).unwrap() == damaged, "a refused file was changed");
            }
        }
    }
    println!("journals: {MUTATIONS} damaged, {} refused, {whole} whole, {earlier} cut", MUTATIONS - whole - earlier);
    assert!(whole + earlier < MUTATIONS / 2, "{whole} {earlier}");
}

#[test]
fn a_damaged_journal_of_the_first_version_gives_only_what_its_space_has() {
    limit_memory();
    let folder = Folder::new("damaged-journals-1");
    let path = folder.file("study.jsonl");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/version1/study.jsonl");
    let original = fs::read(original).unwrap();
    fs::write(&path, &original).unwrap();
    let study = open(&path, space()).unwrap();
    assert_eq!((study.records().len(), study.best().unwrap().number), (30, 30));
    let trial = study.ask().unwrap().unwrap();
    study.tell(trial, 0.5).unwrap();
    let kept = folder.file("study.jsonl.old");
    assert!(fs::read(&kept).unwrap() == original, "it stays as it was");
    assert_eq!(open(&path, space()).unwrap().records().len(), 31);
    drop(study);

    let mut mutator = Mutator::new(6);
    let mut read = 0;
    for number in 0..MUTATIONS {
        let damaged = mutator.damage(&original, &original);
        fs::write(&path, &damaged).unwrap();
        let _ = fs::remove_file(&kept);
        let Ok(study) = open(&path, space()) else {
            assert!(fs::read(&path).unwrap() == damaged && !kept.exists(), "a refused file was changed");
            continue;
        };
        read += 1;
        for record in study.records() {
            assert!((-1.0..=1.0).contains(&record.float("x").unwrap()));
            assert!((1e-5..=1.0).contains(&record.float("rate").unwrap()));
            assert!((4..=64).contains(&record.integer("filters").unwrap()));
            assert!(["adam", "radam", "sgd"].map(Setting::from).contains(&record.settings["optimizer"]));
        }
        if number % 10 == 0 && study.ask().unwrap().is_some() {
            let _ = (study.importance(), study.to_string(), study.to_html());
        }
    }
    println!("journals of version 1: {MUTATIONS} damaged, {} refused, {read} read", MUTATIONS - read);
}
