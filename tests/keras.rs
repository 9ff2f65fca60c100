//! What Keras has written: its weights, in its files.
//!
//! `tests/reference/keras` was written by Keras. `keras_weights.py` beside it writes more, and starts the first test.

mod folder;
mod memory;
#[allow(dead_code)]
mod mutate;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use folder::Folder;
use latentlab::{
    Autoencoder, Classifier, ErrorKind, Gan, IncompatibleKeys, Result, Sequential, StateDictKeys, Vae,
    ndarray::{ArrayD, IxDyn},
};
use memory::limit_memory;
use mutate::Mutator;

/// Networks whose layers are those of the models in keras_weights.py, by their names there.
fn network(name: &str) -> Sequential {
    let network = match name {
        "pictures" => Sequential::input([2, 6, 5]).conv2d(3, 3).batch_norm().relu().flatten().dense(4),
        "order" => {
            let flat = |network: Sequential| network.batch_norm().prelu().layer_norm();
            let network = Sequential::input([2, 4, 3]).conv2d(4, [2, 1]).groups(2).prelu().dropout(0.5).group_norm(2);
            let network = flat(network.flatten()).dense(5).use_bias(false).leaky_relu(0.2).dense(24);
            flat(network).reshape([4, 2, 3]).conv_transpose2d(3, 3).stride(2).same().layer_norm()
        }
        "sequences" => {
            let network = Sequential::input([5]).embedding(7, 3).lstm(4).return_sequences().prelu();
            network.gru(3).return_sequences().layer_norm().dense(4).gru(2)
        }
        "residual" => Sequential::input([2, 4, 4])
            .skip(|inner| inner.conv2d(2, 3).same().relu().conv2d(2, 3).same())
            .skip_concat(|inner| inner.conv2d(3, 1))
            .global_avg_pool2d()
            .dense(3),
        other => panic!("{other}"),
    };
    network.build().unwrap()
}

fn autoencoder() -> Autoencoder {
    let encoder = Sequential::input([2, 4, 3]).conv2d(2, 2).flatten().dense(3);
    let decoder = Sequential::input([3]).dense(12).relu().reshape([2, 2, 3]).conv_transpose2d(2, [3, 1]).sigmoid();
    Autoencoder::new(encoder, decoder).unwrap()
}

/// The networks inside the network that `whole.keras` holds.
fn inside() -> StateDictKeys {
    StateDictKeys::new().rename("encoder", "layers/sequential").rename("decoder", "layers/sequential_1")
}

/// What a model makes of an input with the weights of a file.
fn run(name: &str, file: &Path, x: &ArrayD<f32>) -> Result<ArrayD<f32>> {
    if !["autoencoder", "whole"].contains(&name) {
        let mut network = network(name);
        network.load_keras(file)?;
        return network.predict(x);
    }
    let mut model = autoencoder();
    match name {
        "whole" => drop(model.load_keras_with(file, &inside())?),
        _ => model.load_keras(file)?,
    }
    model.decoder().predict(&model.encoder().predict(x)?)
}

fn written() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/keras")
}

fn file(name: &str) -> PathBuf {
    written().join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(file(name)).unwrap()
}

#[derive(serde::Deserialize)]
struct Case {
    file: String,
    x: (Vec<usize>, Vec<f32>),
    y: (Vec<usize>, Vec<f32>),
}

fn array((shape, values): &(Vec<usize>, Vec<f32>)) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values.clone()).unwrap()
}

fn cases(folder: &Path) -> BTreeMap<String, Case> {
    serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap()
}

fn difference(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn same_weights(a: &Sequential, b: &Sequential) -> bool {
    a.weight_names().iter().all(|name| a.weights(name).unwrap() == b.weights(name).unwrap())
}

#[test]
fn outputs_are_those_of_keras() {
    let mut folders = vec![written()];
    if let Some(more) = env::var_os("LATENTLAB_KERAS") {
        folders = fs::read_dir(more).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!folders.is_empty());
    }
    let mut largest = BTreeMap::new();
    for folder in &folders {
        let cases = cases(folder);
        assert_eq!(cases.len(), 6);
        for (name, case) in cases {
            let y =
                run(&name, &folder.join(&case.file), &array(&case.x)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let difference = difference(&y, &array(&case.y));
            assert!(difference < 1e-5, "{name}: {difference}");
            let known: &mut f32 = largest.entry(name).or_default();
            *known = known.max(difference);
        }
    }
    for (name, difference) in largest {
        println!("{name:12} largest difference {difference:.1e} ({} models)", folders.len());
    }
}

#[test]
fn chunks_filters_other_floats_and_the_newest_format_are_read() {
    let case = &cases(&written())["pictures"];
    let y = array(&case.y);
    for name in ["packed", "latest"] {
        let got = run("pictures", &file(&format!("pictures.{name}.weights.h5")), &array(&case.x)).unwrap();
        let difference = difference(&got, &y);
        assert!(difference < 1e-5, "{name}: {difference}");
    }
    let error = run("pictures", &file("pictures.halves.weights.h5"), &array(&case.x)).unwrap_err().to_string();
    assert!(error.contains("layers/dense/vars/0 (layer 5, dense): expected floats of 32 or 64 bits, got"), "{error}");
}

#[test]
fn every_model_takes_its_networks_from_attributes() {
    // Keras' autoencoder has networks of the shapes that a classifier, a GAN and a variational autoencoder need.
    let folder = Folder::new("keras");
    let path = folder.write("a.weights.h5", &bytes("autoencoder.weights.h5"));
    let [encoder, decoder] = [autoencoder().encoder().clone(), autoencoder().decoder().clone()];
    // The dense layer of the head is behind the encoder's flattened maps.
    let mut classifier = Classifier::new(encoder.take(2), Sequential::input([12]).dense(3)).unwrap();
    let keys = StateDictKeys::new().rename("head/layers/dense", "encoder/layers/dense").strict(false);
    let incompatible = classifier.load_keras_with(&path, &keys).unwrap();
    assert!(incompatible.missing.is_empty(), "{incompatible}");
    assert!(incompatible.unexpected.iter().all(|key| key.starts_with("decoder/")), "{incompatible}");
    let mut ours = autoencoder();
    ours.load_keras(&path).unwrap();
    let x = array(&cases(&written())["autoencoder"].x);
    let code = ours.encoder().predict(&x).unwrap();
    let logits = classifier.head().predict(&classifier.encoder().predict(&x).unwrap()).unwrap();
    // The same weights, whose products a flatten before the dense layer sums in another order.
    assert!(logits.shape() == code.shape() && (logits - &code).iter().all(|difference| difference.abs() < 1e-5));

    let mut vae = Vae::new(encoder.take(2), decoder.clone()).unwrap();
    let error = vae.load_keras(&path).unwrap_err().to_string();
    assert!(error.contains(r#"missing keys: "heads/layers/dense/vars/0", "heads/layers/dense/vars/1""#), "{error}");
    let mut gan = Gan::new(decoder, encoder.flatten().dense(1)).unwrap();
    let keys = StateDictKeys::new().rename("generator", "decoder").rename("discriminator", "encoder").strict(false);
    assert_eq!(
        gan.load_keras_with(&path, &keys).unwrap().missing,
        ["encoder/layers/dense_1/vars/0".to_string(), "encoder/layers/dense_1/vars/1".into()]
    );
    assert_eq!(gan.generator().predict(&code).unwrap(), ours.decoder().predict(&code).unwrap());

    // An encoder by itself, from a file that holds more.
    let mut encoder = autoencoder().encoder().clone();
    let keys = StateDictKeys::new().rename("", "encoder");
    let error = encoder.load_keras_with(&path, &keys).unwrap_err().to_string();
    assert!(error.contains(r#"unexpected keys: "decoder/layers/conv2d_transpose/vars/0""#), "{error}");
    let before = encoder.clone();
    assert_ne!(before.predict(&x).unwrap(), code);
    assert_ne!(encoder.load_keras_with(&path, &keys.strict(false)).unwrap(), IncompatibleKeys::default());
    assert_eq!(encoder.predict(&x).unwrap(), code);
}

#[test]
fn what_does_not_fit_is_told_by_name() {
    let refused = |network: Sequential, file: &Path| {
        let mut network = network.build().unwrap();
        let before = network.clone();
        let error = network.load_keras(file).unwrap_err();
        assert!(same_weights(&network, &before));
        error
    };
    let pictures = file("pictures.weights.h5");
    let wider = Sequential::input([2, 6, 5]).conv2d(3, 3).batch_norm().relu().flatten().dense(7);
    let error = refused(wider, &pictures);
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: expected the weights of this sequential, got another one\n\
             layers/dense/vars/0 (layer 5, dense): expected the shape [36, 7], got [36, 4]\n\
             layers/dense/vars/1 (layer 5, dense): expected the shape [7], got [4]",
            pictures.display()
        )
    );
    let deeper = Sequential::input([2, 6, 5]).conv2d(3, 3).relu().conv2d(3, 1).flatten().dense(4);
    let error = refused(deeper, &pictures).to_string();
    assert!(error.contains(r#"missing keys: "layers/conv2d_1/vars/0", "layers/conv2d_1/vars/1""#), "{error}");
    assert!(error.contains(r#"unexpected keys: "layers/batch_normalization/vars/0", "#), "{error}");

    // No file of Keras' can have these.
    for (network, expected) in [
        (
            Sequential::input([24]).reshape([2, 3, 4]).conv2d(1, 1),
            "load_keras, layer 1, reshape: expected a reshape of",
        ),
        (Sequential::input([2, 3, 4]).reshape([4, 3, 2]).conv2d(1, 1), "got [4, 3, 2] from [2, 3, 4]"),
        (Sequential::input([2, 3, 4]).flatten().skip(|inner| inner.dense(24)), "layer 2, skip: expected a dense layer"),
        (Sequential::input([2, 3, 4]).flatten().group_norm(2), "layer 2, group_norm: expected a dense layer before it"),
        (Sequential::input([2, 3, 4]).flatten().repeat_vector(2).gru(1), "got flattened [2, 3, 4]"),
    ] {
        let error = network.build().unwrap().load_keras(&pictures).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert!(error.to_string().contains(expected), "{error}");
    }

    let folder = Folder::new("keras-foreign");
    let what = "expected weights of Keras 3 (.weights.h5 or .keras), got ";
    for (bytes, got) in [
        (vec![], ""),
        (b"PK\x03\x04 no archive".to_vec(), ""),
        (b"\x89HDF\r\n\x1a\n".to_vec(), ""),
        (bytes("cases.json"), ""),
        (bytes("pictures.weights.h5")[..4000].to_vec(), ""),
    ] {
        let path = folder.write("a.weights.h5", &bytes);
        let error = refused(network("pictures"), &path);
        assert_eq!(error.kind(), ErrorKind::Weights);
        assert!(error.to_string().contains(&format!("{what}{got}")), "{error}");
    }
    let error = refused(network("pictures"), &folder.0).to_string();
    assert!(error.ends_with(&format!("{what}a folder")), "{error}");
    assert_eq!(refused(network("pictures"), &folder.file("none")).kind(), ErrorKind::Io);
}

#[test]
fn no_damaged_file_panics_or_changes_the_model() {
    const MUTATIONS: u64 = 12_000;
    limit_memory();
    let folder = Folder::new("keras-damaged");
    let path = folder.file("a");
    let files = ["pictures", "pictures.packed", "pictures.latest"].map(|name| bytes(&format!("{name}.weights.h5")));
    let keras = bytes("whole.keras");
    let mut mutator = Mutator::new(18);
    let mut read = 0;
    let (mut network, mut model) = (network("pictures"), autoencoder());
    for number in 0..MUTATIONS as usize {
        let which = number % 4;
        let other = &files[(which + 1) % 3];
        let damaged = mutator.damage(files.get(which).unwrap_or(&keras), other);
        fs::write(&path, damaged).unwrap();
        let before = network.clone();
        let result = match which {
            3 => model.load_keras_with(&path, &inside()).map(drop),
            _ => network.load_keras(&path),
        };
        match result {
            Ok(()) => read += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
                assert!(same_weights(&network, &before));
            }
        }
    }
    println!("Keras' files: {MUTATIONS} damaged, {} refused, {read} read", MUTATIONS - read);
    // HDF5 of the first version has no sums: a changed weight is another weight.
    assert!(read > 0 && read < MUTATIONS / 2, "{read}");
}
