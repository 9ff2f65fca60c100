//! What other programs read and write: PyTorch's state_dict, tables, TensorBoard.
//!
//! `tests/reference/state_dicts` was written by PyTorch. `state_dicts.py` and `results.py` beside it compare with
//! PyTorch, NumPy, pandas and TensorBoard themselves; they start the tests whose names begin with what they ask for.

mod folder;
#[allow(dead_code)]
mod mutate;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use folder::Folder;
use latentlab::{
    Autoencoder, Classifier, Codes, Csv, Dataset, ErrorKind, Gan, GanConfig, History, IncompatibleKeys, Result,
    Sequential, Space, StateDictKeys, Study, Tensor, TrainConfig, Tsne, Vae, Watch, embed,
    ndarray::{ArrayD, array},
    read_npy, read_npz, train_ae, train_gan, tsne, write_npy,
};
use mutate::Mutator;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

/// A model whose layers are those of a module in state_dicts.py.
#[derive(Clone)]
enum Case {
    Network(Sequential),
    Named(Sequential),
    Autoencoder(Box<Autoencoder>),
}

/// The keys of `Named` there.
fn named() -> StateDictKeys {
    StateDictKeys::new().rename("0", "features.conv1").rename("1", "features.bn1").rename("4", "fc")
}

impl Case {
    fn load(&mut self, path: &Path) {
        match self {
            Self::Network(network) => network.load_pytorch(path).unwrap(),
            Self::Named(network) => drop(network.load_pytorch_with(path, &named()).unwrap()),
            Self::Autoencoder(autoencoder) => autoencoder.load_pytorch(path).unwrap(),
        }
    }

    fn save(&self, path: &Path) {
        match self {
            Self::Network(network) => network.save_pytorch(path).unwrap(),
            Self::Named(network) => network.save_pytorch_with(path, &named()).unwrap(),
            Self::Autoencoder(autoencoder) => autoencoder.save_pytorch(path).unwrap(),
        }
    }

    fn run(&self, x: &ArrayD<f32>) -> ArrayD<f32> {
        match self {
            Self::Network(network) | Self::Named(network) => network.predict(x).unwrap(),
            Self::Autoencoder(model) => model.decoder().predict(&model.encoder().predict(x).unwrap()).unwrap(),
        }
    }
}

/// The layers of each module there, with weights of this seed.
fn cases(seed: u64) -> Vec<(&'static str, Case)> {
    let network = |network: Sequential| Case::Network(network.seed(seed).build().unwrap());
    let encoder = Sequential::input([1, 4, 4]).flatten().dense(6).relu().dense(2);
    let decoder = Sequential::input([2]).dense(6).relu().dense(16).sigmoid().reshape([1, 4, 4]);
    let named = Sequential::input([1, 4, 4]).conv2d(3, 3).batch_norm().epsilon(1e-5).relu().flatten().dense(4);
    vec![
        (
            "dense",
            network(
                Sequential::input([1, 4, 4])
                    .flatten()
                    .dense(9)
                    .batch_norm()
                    .leaky_relu(0.2)
                    .dense(5)
                    .use_bias(false)
                    .prelu()
                    .dropout(0.5)
                    .dense(6)
                    .group_norm(3)
                    .softmax(),
            ),
        ),
        (
            "pictures",
            network(
                Sequential::input([2, 9, 8])
                    .conv2d(6, [3, 2])
                    .stride([2, 1])
                    .padding(1)
                    .batch_norm()
                    .epsilon(1e-5)
                    .relu()
                    .conv2d(6, 3)
                    .padding(1)
                    .groups(3)
                    .use_bias(false)
                    .max_pool2d(2)
                    .conv_transpose2d(4, 3)
                    .stride(2)
                    .padding(1)
                    .output_padding(1)
                    .prelu()
                    .conv_transpose2d(6, [2, 3])
                    .groups(2)
                    .conv2d(3, 2)
                    .dilation(2)
                    .layer_norm()
                    .group_norm(3)
                    .flatten()
                    .dense(3),
            ),
        ),
        ("lstm", network(Sequential::input([5, 3]).lstm(4).return_sequences().lstm(3).dense(2))),
        ("gru", network(Sequential::input([5, 3]).gru(4).return_sequences().dense(4).gru(3))),
        ("words", network(Sequential::input([6]).embedding(7, 3).layer_norm().dense(4).flatten().dense(2))),
        (
            "skips",
            network(
                Sequential::input([4, 5, 5])
                    .skip(|inner| {
                        let normalised = inner.conv2d(4, 3).padding(1).batch_norm().epsilon(1e-5);
                        normalised.relu().skip(|inner| inner.conv2d(4, 1))
                    })
                    .relu()
                    .skip_concat(|inner| inner.conv2d(2, 3).padding(1))
                    .conv2d(1, 1),
            ),
        ),
        ("autoencoder", Case::Autoencoder(Box::new(Autoencoder::new(encoder, decoder).unwrap().seed(seed)))),
        ("named", Case::Named(named.seed(seed).build().unwrap())),
    ]
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/state_dicts").join(name)
}

fn array_of(value: &Value) -> ArrayD<f32> {
    let (shape, values): (Vec<usize>, Vec<f32>) = serde_json::from_value(value.clone()).unwrap();
    ArrayD::from_shape_vec(shape, values).unwrap()
}

/// Type, shape and bytes of each tensor of a file; not of the counts of batches, which are 0 in ours.
fn tensors(path: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let owned = |(name, tensor): (String, TensorView<'_>)| {
        let is_count = name.ends_with("num_batches_tracked");
        let data = if is_count { Vec::new() } else { tensor.data().to_vec() };
        (name, (tensor.dtype(), tensor.shape().to_vec(), data))
    };
    SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter().map(owned).collect()
}

fn keys(path: &Path) -> Vec<String> {
    tensors(path).into_keys().collect()
}

#[test]
fn weights_of_pytorch_give_its_outputs_and_go_back_as_they_came() {
    let folder = Folder::new("state-dicts");
    let known: Value = serde_json::from_str(&fs::read_to_string(reference("cases.json")).unwrap()).unwrap();
    assert_eq!(known.as_object().unwrap().len(), cases(0).len());
    for (name, mut case) in cases(1) {
        let (theirs, ours) = (reference(&format!("{name}.safetensors")), folder.file("ours.safetensors"));
        let (x, y) = (array_of(&known[name]["x"]), array_of(&known[name]["y"]));
        let before = case.run(&x);
        assert!((&before - &y).iter().any(|difference| difference.abs() > 1e-2), "{name}");
        case.load(&theirs);
        let after = case.run(&x);
        assert_eq!(after.shape(), y.shape(), "{name}");
        for (got, expected) in after.iter().zip(&y) {
            assert!((got - expected).abs() < 1e-5, "{name}: expected {y}, got {after}");
        }
        // PyTorch wrote these bytes, so it reads them.
        case.save(&ours);
        assert_eq!(tensors(&ours), tensors(&theirs), "{name}");
        assert!(fs::read(&ours).unwrap().windows(15).any(|part| part == br#"{"format":"pt"}"#), "{name}");
    }
}

/// For tests/reference/state_dicts.py.
#[test]
fn state_dicts_of_the_folder() {
    let Some(folder) = env::var_os("LATENTLAB_STATE_DICTS").map(PathBuf::from) else { return };
    for seed in 0..5 {
        for (name, mut case) in cases(seed) {
            let file = |end: &str| folder.join(format!("{name}.{seed}.{end}"));
            let x = read_npy(file("x.npy")).unwrap();
            case.save(&file("ours.safetensors"));
            write_npy(file("ours.npy"), &case.run(&x)).unwrap();
            case.load(&file("theirs.safetensors"));
            write_npy(file("theirs.npy"), &case.run(&x)).unwrap();
        }
    }
}

fn distances(x: &Tensor, weights: &[Tensor]) -> Tensor {
    x.matmul(&weights[0])
}

#[test]
fn every_model_has_keys_of_its_own() {
    let folder = Folder::new("state-dict-keys");
    let path = folder.file("model.safetensors");
    let encoder = || Sequential::input([1, 2, 2]).flatten().dense(3);
    let decoder = || Sequential::input([2]).dense(4).reshape([1, 2, 2]);
    let of = |names: &[&str]| -> Vec<String> {
        names.iter().flat_map(|name| ["bias", "weight"].map(|what| format!("{name}.{what}"))).collect()
    };
    Vae::new(encoder(), decoder()).unwrap().save_pytorch(&path).unwrap();
    assert_eq!(keys(&path), of(&["decoder.0", "encoder.1", "heads.0"]));
    Classifier::new(encoder(), Sequential::input([3]).dense(2)).unwrap().save_pytorch(&path).unwrap();
    assert_eq!(keys(&path), of(&["encoder.1", "head.0"]));
    Gan::new(decoder(), encoder().dense(1)).unwrap().save_pytorch(&path).unwrap();
    assert_eq!(keys(&path), of(&["discriminator.1", "discriminator.2", "generator.0"]));
    // Weights of one's own have the names that they were given.
    let own = Sequential::input([3]).relu().map_with("distances", [("centres", vec![3, 2])], distances);
    own.save_pytorch(&path).unwrap();
    assert_eq!(tensors(&path)["1.centres"].1, [3, 2]);
    let mut other = own.clone().seed(1);
    other.load_pytorch(&path).unwrap();
    assert_eq!(other.weights("2.centres").unwrap(), own.weights("2.centres").unwrap());
}

#[test]
fn renames_are_of_keys_and_of_their_beginnings() {
    let folder = Folder::new("state-dict-renames");
    let path = folder.file("network.safetensors");
    let network = Sequential::input([2]).dense(2).dense(2).use_bias(false).build().unwrap();
    let saved = |keys_of: StateDictKeys| {
        network.save_pytorch_with(&path, &keys_of).unwrap();
        let mut other = network.clone().seed(9);
        assert_eq!(other.load_pytorch_with(&path, &keys_of).unwrap(), IncompatibleKeys::default());
        assert_eq!(other.weights("2.weight").unwrap(), network.weights("2.weight").unwrap());
        keys(&path)
    };
    let new = StateDictKeys::new;
    assert_eq!(saved(new()), ["0.bias", "0.weight", "1.weight"]);
    assert_eq!(saved(new().rename("", "module")), ["module.0.bias", "module.0.weight", "module.1.weight"]);
    assert_eq!(saved(new().rename("0", "").rename("1", "fc")), ["bias", "fc.weight", "weight"]);
    let longest = new().rename("0.weight", "w").rename("", "all").rename("0", "first");
    assert_eq!(saved(longest), ["all.1.weight", "first.bias", "w"]);
    assert_eq!(saved(new().rename("1.weight", "a").rename("1.weight", "b"))[2], "b", "the last one counts");

    let refused = |keys: StateDictKeys| {
        let error = network.save_pytorch_with(&path, &keys).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
        error.to_string()
    };
    let known = r#""0.weight", "0.bias", "1.weight""#;
    let expected = format!("expected a key of the model, or its beginning ({known})");
    for key in ["2", "0.w", "0.weight.", "0.weight.data", "00"] {
        assert_eq!(refused(new().rename(key, "a")), format!("StateDictKeys::rename: {expected}, got {key:?}"));
    }
    let twice = refused(new().rename("1", "0"));
    assert_eq!(
        twice,
        "StateDictKeys::rename: expected another key for \"1.weight\" than for \"0.weight\", got \"0.weight\""
    );
}

#[test]
fn a_state_dict_that_does_not_fit_is_refused_by_name() {
    let folder = Folder::new("state-dict-refused");
    let path = folder.file("weights.safetensors");
    let network = |units| Sequential::input([4]).dense(units).relu().dense(2).batch_norm().build().unwrap();
    let (theirs, mut ours) = (network(3), network(5));
    let weights = |network: &Sequential| -> Vec<ArrayD<f32>> {
        network.weight_names().iter().map(|name| network.weights(name).unwrap()).collect()
    };
    let before = weights(&ours);
    let keys = StateDictKeys::new().rename("2", "fc").rename("3.gamma", "3.gamma");
    assert!(theirs.save_pytorch_with(&path, &keys).is_err(), "PyTorch calls it weight");
    theirs.save_pytorch_with(&path, &StateDictKeys::new().rename("2", "fc").rename("3.weight", "scale")).unwrap();
    let error = ours.load_pytorch(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    let expected = format!(
        "{}: expected the state_dict of this sequential, got another one
missing keys: \"2.weight\", \"2.bias\", \"3.weight\"
unexpected keys: \"fc.bias\", \"fc.weight\", \"scale\"
size mismatch for 0.weight (layer 1, dense): expected [5, 4], got [3, 4]
size mismatch for 0.bias (layer 1, dense): expected [5], got [3]",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    // A shape is never ignored, as in PyTorch.
    let error = ours.load_pytorch_with(&path, &StateDictKeys::new().strict(false)).unwrap_err().to_string();
    assert!(!error.contains("keys") && error.contains("size mismatch for 0.weight"), "{error}");
    assert_eq!(weights(&ours), before);

    // What is there is taken, the rest stays.
    let mut partly = network(3).seed(7);
    let before = partly.weights("3.weight").unwrap();
    let incompatible = partly.load_pytorch_with(&path, &StateDictKeys::new().strict(false)).unwrap();
    assert_eq!(incompatible.missing, ["2.weight", "2.bias", "3.weight"]);
    assert_eq!(incompatible.unexpected, ["fc.bias", "fc.weight", "scale"]);
    assert_eq!(
        incompatible.to_string(),
        "missing keys: \"2.weight\", \"2.bias\", \"3.weight\"\nunexpected keys: \"fc.bias\", \"fc.weight\", \"scale\""
    );
    assert_eq!(IncompatibleKeys::default().to_string(), "all keys match");
    assert_eq!(partly.weights("1.weight").unwrap(), theirs.weights("1.weight").unwrap());
    assert_eq!(partly.weights("3.weight").unwrap(), before);

    // In a model with its network; of a long list the beginning.
    let mut autoencoder = Autoencoder::tiny(2).unwrap();
    let live = autoencoder.live();
    Autoencoder::tiny(2).unwrap().seed(3).save_pytorch(folder.file("other")).unwrap();
    autoencoder.load_pytorch(folder.file("other")).unwrap();
    let shown = live.model().encoder().weights("2.weight").unwrap();
    assert_eq!(shown, Autoencoder::tiny(2).unwrap().seed(3).encoder().weights("2.weight").unwrap());
    let error = autoencoder.load_pytorch(&path).unwrap_err().to_string();
    assert!(error.contains("this autoencoder") && error.contains("missing keys: \"encoder.1.weight\""), "{error}");
    Autoencoder::tiny(3).unwrap().save_pytorch(&path).unwrap();
    let error = autoencoder.load_pytorch(&path).unwrap_err().to_string();
    assert!(error.contains("(encoder, layer 4, dense): expected [2, "), "{error}");
    let deep = (0..20).fold(Sequential::input([2]), |network, _| network.dense(2));
    let error = deep.clone().load_pytorch(&path).unwrap_err().to_string();
    assert!(error.contains("\"4.bias\", and 30 more\n"), "{error}");
    assert!(Sequential::input([2]).dense(0).save_pytorch(&path).unwrap_err().to_string().starts_with("layer 1, dense"));
}

/// A file of one tensor.
fn write_tensor(path: &Path, key: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
    let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    fs::write(path, safetensors::serialize([(key, view)], None).unwrap()).unwrap();
}

#[test]
fn floats_of_every_size_are_read_and_nothing_else() {
    let folder = Folder::new("state-dict-types");
    let path = folder.file("one.safetensors");
    let mut network = Sequential::input([2]).dense(1).use_bias(false).build().unwrap();
    let mut read = |dtype, bytes: &[u8]| {
        write_tensor(&path, "0.weight", dtype, &[1, 2], bytes);
        network.load_pytorch(&path).map(|()| network.weights("1.weight").unwrap().into_raw_vec_and_offset().0)
    };
    // 1.5 and −2
    let bytes = |halves: [u16; 2]| halves.map(u16::to_le_bytes).concat();
    assert_eq!(read(Dtype::F16, &bytes([0x3e00, 0xc000])).unwrap(), [1.5, -2.0]);
    assert_eq!(read(Dtype::BF16, &bytes([0x3fc0, 0xc000])).unwrap(), [1.5, -2.0]);
    assert_eq!(read(Dtype::F32, &[1.5_f32, -2.0].map(f32::to_le_bytes).concat()).unwrap(), [1.5, -2.0]);
    assert_eq!(read(Dtype::F64, &[1.5_f64, -2.0].map(f64::to_le_bytes).concat()).unwrap(), [1.5, -2.0]);
    for (dtype, bytes, expected) in [
        (Dtype::F64, [1.0, 1e300].map(f64::to_le_bytes).concat(), "expected finite values, got inf at value 1"),
        (Dtype::F16, bytes([0x7e00, 0]), "expected finite values, got NaN at value 0"),
        (Dtype::I64, [1, 2].map(i64::to_le_bytes).concat(), "expected floats of 16, 32 or 64 bits, got I64"),
    ] {
        let error = read(dtype, &bytes).unwrap_err().to_string();
        assert!(error.ends_with(&format!("0.weight (layer 1, dense): {expected}")), "{error}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let folder = Folder::new("state-dict-files");
    let own = folder.file("own");
    let mut network = Sequential::input([2]).dense(1).build().unwrap();
    network.save(&own).unwrap();
    let mut error = |bytes: &[u8]| {
        let path = folder.write("file", bytes);
        let error = network.load_pytorch(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
        error.to_string()
    };
    let expected = "expected a safetensors file with PyTorch's state_dict, got";
    assert!(error(b"").contains(expected) && error(b"text").contains(expected));
    for pickle in
        [&b"PK\x03\x04\x00\x00\x08\x08\x00\x00weights/data.pkl"[..], b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]
    {
        let error = error(pickle);
        assert!(error.contains("got a file of torch.save. In Python, safetensors.torch.save_file("), "{error}");
    }
    let error = error(&fs::read(own).unwrap());
    assert!(error.ends_with("got a file that latentlab's own save has written. Its own load reads it"), "{error}");
    assert!(network.load_pytorch(&folder.0).unwrap_err().to_string().ends_with("got a folder"));
    assert_eq!(network.load_pytorch(folder.file("none")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn damaged_state_dicts_give_weights_or_errors() {
    let folder = Folder::new("state-dict-damaged");
    let path = folder.file("weights.safetensors");
    let whole = ["skips", "lstm"].map(|name| fs::read(reference(&format!("{name}.safetensors"))).unwrap());
    let Some(Case::Network(mut network)) = cases(0).into_iter().find(|case| case.0 == "skips").map(|case| case.1)
    else {
        panic!("it is a network")
    };
    let (mut mutator, mut read) = (Mutator::new(5), 0);
    let lenient = StateDictKeys::new().strict(false);
    for number in 0..3000 {
        fs::write(&path, mutator.damage(&whole[0], &whole[1])).unwrap();
        let loaded = if number % 2 == 0 {
            network.load_pytorch(&path)
        } else {
            network.load_pytorch_with(&path, &lenient).map(drop)
        };
        read += usize::from(loaded.is_ok());
        assert!(network.parameter_count() > 0 && network.predict(&ArrayD::zeros(vec![1, 4, 5, 5])).is_ok());
    }
    // A changed bit of a weight is another weight.
    assert!((100..2900).contains(&read), "{read} of 3000 read");
}

fn history(folder: &Path) -> (History, Autoencoder, Dataset) {
    let (train, test) = Dataset::built_in_digits(120, 0).unwrap().split(80, 40).unwrap();
    let mut autoencoder = Autoencoder::tiny(3).unwrap();
    let config = TrainConfig::new().epochs(3).validation(&test).watch([Watch::GradientNorms]).progress_every(0);
    let history = train_ae(&mut autoencoder, &train, &config.tensorboard(folder)).unwrap();
    (history, autoencoder, test)
}

#[test]
fn histories_become_tables_and_arrays() {
    let folder = Folder::new("exchange-history");
    let (mut history, ..) = history(&folder.file("runs"));
    let (csv, npz) = (folder.file("history.csv"), folder.file("history.npz"));
    history.validation_loss[1] = f64::NAN;
    history.save_csv(&csv).unwrap();
    history.save_npz(&npz).unwrap();
    let mut reader = csv::Reader::from_path(&csv).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    assert_eq!(header[..5], ["epoch", "loss", "validation_loss", "learning_rate", "seconds"]);
    assert_eq!(header[5], "gradient_norms/encoder, layer 2, dense");
    let rows: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    for (row, loss) in rows.iter().zip(&history.loss) {
        assert_eq!(row[1].parse::<f64>().unwrap(), *loss, "to the last bit");
    }
    assert_eq!(rows[1][2], "");
    let loss = read_npz(&npz, "loss").unwrap();
    assert_eq!(
        loss.iter().copied().collect::<Vec<_>>(),
        history.loss.iter().map(|loss| *loss as f32).collect::<Vec<_>>()
    );
    assert_eq!(read_npz(&npz, "gradient_norms/encoder, layer 2, dense").unwrap().shape(), [3]);

    let mut gan = Gan::new(
        Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28]),
        Sequential::input([1, 28, 28]).flatten().dense(1).sigmoid(),
    )
    .unwrap();
    let config = GanConfig::new().epochs(2).progress_every(0).tensorboard(folder.file("gan"));
    let history = train_gan(&mut gan, &Dataset::built_in_digits(20, 0).unwrap(), &config).unwrap();
    history.save_csv(&csv).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    assert!(text.starts_with("epoch,generator_loss,discriminator_loss,seconds\n1,"), "{text}");
    history.save_npz(&npz).unwrap();
    assert_eq!(read_npz(&npz, "discriminator_loss").unwrap().len(), 2);
    let (_, events) = events(&folder.file("gan/train")).remove(0);
    assert!(events.iter().any(|event| holds(event, "epoch_discriminator_loss")));
}

fn codes() -> Codes {
    let names = ["a,\t\"b\"\n", "plain"].map(String::from).to_vec();
    Codes::new(array![[0.5, -1e-20], [3.0, 1e30], [0.1, 7.0]], array![1, 0, 1], names).unwrap()
}

#[test]
fn codes_become_tables_arrays_and_embeddings() {
    let folder = Folder::new("exchange-codes");
    let (csv, npz, codes) = (folder.file("codes.csv"), folder.file("codes.npz"), codes());
    codes.save_csv(&csv).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    assert_eq!(
        text,
        "latent_1,latent_2,label,class\n0.5,-1e-20,1,plain\n3.0,1e30,0,\"a,\t\"\"b\"\"\n\"\n0.1,7.0,1,plain\n"
    );
    let read = Csv::new(&csv).label("class").without(["label"]).read().unwrap();
    assert_eq!(read.to_rows(), *codes.points());
    codes.save_npz(&npz).unwrap();
    assert_eq!(read_npz(&npz, "points").unwrap(), codes.points().clone().into_dyn());
    assert_eq!(read_npz(&npz, "labels").unwrap(), array![1.0, 0.0, 1.0].into_dyn());
    assert_eq!(Dataset::from_npz(&npz, "points", "labels").unwrap().labels(), codes.labels());

    let projector = folder.file("a/new/folder");
    codes.save_projector(&projector).unwrap();
    let read = |name: &str| fs::read_to_string(projector.join(name)).unwrap();
    assert_eq!(read("vectors.tsv"), "0.5\t-1e-20\n3.0\t1e30\n0.1\t7.0\n");
    assert_eq!(read("metadata.tsv"), "class\tlabel\nplain\t1\na,\\t\"b\"\\n\t0\nplain\t1\n");
    assert!(read("projector_config.pbtxt").contains(r#"tensor_path: "vectors.tsv""#));
    let error = codes.take(0).save_projector(&projector).unwrap_err().to_string();
    assert_eq!(error, "save_projector, codes: expected at least 1, got none");
    let error = codes.save_projector("").unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Io, "an empty path"));
    fs::write(folder.file("file"), "").unwrap();
    assert!(codes.save_projector(folder.file("file")).unwrap_err().to_string().contains("cannot create it"));
}

/// A study of five trials: complete, pruned, failed and running ones.
fn study() -> Result<Study> {
    let space = Space::new().float("rate", 1e-5, 1e-1).log().choice("units, of \"all\"", ["few", "many"]);
    let study = Study::minimize(space)?.progress_every(0).trials(5);
    for value in [0.25, 0.125, f64::NAN, 0.5] {
        let trial = study.ask()?.expect("five trials");
        trial.report(1, value)?;
        study.tell(trial, value)?;
    }
    Ok(study)
}

#[test]
fn studies_become_tables() {
    let folder = Folder::new("exchange-study");
    let (csv, study) = (folder.file("study.csv"), study().unwrap());
    let running = study.ask().unwrap();
    study.save_csv(&csv).unwrap();
    let mut reader = csv::Reader::from_path(&csv).unwrap();
    let header: Vec<&str> = reader.headers().unwrap().iter().collect();
    assert_eq!(header, ["number", "value", "state", "seconds", "params_rate", "params_units, of \"all\""]);
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    let column = |index: usize| rows.iter().map(|row| &row[index]).collect::<Vec<_>>();
    assert_eq!(column(0), ["1", "2", "3", "4", "5"]);
    assert_eq!(column(1), ["0.25", "0.125", "", "0.5", ""]);
    assert_eq!(column(2), ["complete", "complete", "failed", "complete", "running"]);
    for (row, record) in rows.iter().zip(study.records()) {
        assert_eq!(row[4].parse::<f64>().unwrap(), record.float("rate").unwrap(), "to the last bit");
        assert_eq!(&row[5], record.text("units, of \"all\"").unwrap());
    }
    drop(running);
}

/// The records of each event file of a run, in the order of their names.
fn events(run: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let records = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = u64::from_le_bytes(*length) as usize;
            records.push(after[4..4 + length].to_vec());
            rest = &after[4 + length + 4..];
        }
        assert!(rest.is_empty());
        (path.file_name().unwrap().to_str().unwrap().to_string(), records)
    };
    files.into_iter().map(records).collect()
}

fn holds(record: &[u8], text: &str) -> bool {
    record.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_training_writes_its_curves_for_tensorboard() {
    let folder = Folder::new("exchange-tensorboard");
    let runs = folder.file("runs/first");
    let (history, ..) = history(&runs);
    for (run, loss, tags) in [
        (
            "train",
            &history.loss,
            &["epoch_learning_rate", "epoch_seconds", "gradient_norms/encoder, layer 2, dense"][..],
        ),
        ("validation", &history.validation_loss, &[]),
    ] {
        let files = events(&runs.join(run));
        let [(name, records)] = &files[..] else { panic!("{files:?}") };
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        assert!(holds(&records[0], "brain.Event:2"));
        assert_eq!(records.len(), 1 + 3);
        for (index, record) in records[1..].iter().enumerate() {
            assert!(holds(record, &format!("\x10{}", char::from(index as u8 + 1))), "the step");
            // Field 1, the tag; field 2, a float.
            let value = [&b"\x0a\x0aepoch_loss\x15"[..], &(loss[index] as f32).to_le_bytes()[..]].concat();
            assert!(record.windows(value.len()).any(|part| part == value), "{run}: the loss of epoch {}", index + 1);
            assert!(tags.iter().all(|tag| holds(record, tag)));
        }
    }
}

#[test]
fn a_resumed_training_continues_its_curves() {
    let folder = Folder::new("exchange-resume");
    let (runs, file) = (folder.file("runs"), folder.file("checkpoint.safetensors"));
    let (digits, model) = (Dataset::built_in_digits(20, 0).unwrap(), || Autoencoder::tiny(2).unwrap());
    let config = TrainConfig::new().epochs(2).progress_every(0).tensorboard(&runs).checkpoint(&file);
    train_ae(&mut model(), &digits, &config).unwrap();
    train_ae(&mut model(), &digits, &config.clone().epochs(3).resume(&file)).unwrap();
    let records: Vec<usize> = events(&runs.join("train")).iter().map(|(_, records)| records.len()).collect();
    assert_eq!(records, [1 + 2, 1 + 1]);

    // What cannot be written is an error before the first epoch, and nothing has changed.
    fs::write(folder.file("full"), "").unwrap();
    let mut autoencoder = model();
    let error = train_ae(&mut autoencoder, &digits, &config.clone().tensorboard(folder.file("full"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(autoencoder.encoder().weights("2.weight").unwrap(), model().encoder().weights("2.weight").unwrap());
    assert_eq!(
        train_ae(&mut autoencoder, &digits, &config.clone().tensorboard("")).unwrap_err().place(),
        "an empty path"
    );

    // Later it is a warning: here the validation's folder, which is made with its first value.
    let blocked = folder.file("blocked");
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("validation"), "").unwrap();
    let config = config.tensorboard(&blocked).validation(&digits);
    let history = train_ae(&mut model(), &digits, &config).unwrap();
    let [warning] = &history.warnings[..] else { panic!("{:?}", history.warnings) };
    assert!(warning.starts_with("after epoch 1: ") && warning.ends_with("goes on without TensorBoard"), "{warning}");
    assert_eq!(history.epochs(), 2);
}

/// A Parquet file's rows, by the names of its columns, as JSON.
#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path) -> Vec<Value> {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::Field,
    };
    let value = |(name, field): (&String, &Field)| {
        let value = match field {
            Field::Null => Value::Null,
            Field::Long(value) => (*value).into(),
            Field::Double(value) => (*value).into(),
            Field::Float(value) => (*value).into(),
            Field::Str(text) => text.as_str().into(),
            other => panic!("{other:?}"),
        };
        (name.clone(), value)
    };
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| Value::Object(row.unwrap().get_column_iter().map(value).collect())).collect()
}

#[cfg(feature = "parquet")]
#[test]
fn results_become_parquet() {
    let folder = Folder::new("exchange-parquet");
    let path = folder.file("a.parquet");
    let (mut history, autoencoder, test) = history(&folder.file("runs"));
    history.validation_loss[1] = f64::NAN;
    history.accuracy = vec![0.5];
    history.save_parquet(&path).unwrap();
    let rows = parquet_rows(&path);
    assert_eq!(rows.len(), 3);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["epoch"], index + 1);
        assert_eq!(row["loss"], history.loss[index]);
        assert_eq!(row["validation_loss"].as_f64(), Some(history.validation_loss[index]).filter(|loss| !loss.is_nan()));
        assert_eq!(row["accuracy"].as_f64(), history.accuracy.get(index).copied());
        assert_eq!(row["gradient_norms/encoder, layer 2, dense"], history.gradient_norms[0].1[index]);
    }
    assert_eq!(rows[0].as_object().unwrap().len(), 1 + history_columns(&folder, &history));
    let twice = ("twice".to_string(), vec![1.0]);
    history.gradient_norms = vec![twice.clone(), twice];
    let error = history.save_parquet(&path).unwrap_err().to_string();
    assert!(error.contains(r#"expected columns with different names, got "gradient_norms/twice" twice"#), "{error}");
    History::default().save_parquet(&path).unwrap();
    assert_eq!(parquet_rows(&path).len(), 0);

    let codes = embed(&autoencoder, &test).unwrap();
    codes.save_parquet(&path).unwrap();
    let rows = parquet_rows(&path);
    assert_eq!(rows.len(), 40);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["latent_3"], codes.points()[[index, 2]]);
        assert_eq!(
            (&row["label"], &row["class"]),
            (&codes.labels()[index].into(), &codes.labels()[index].to_string().into())
        );
    }

    let study = study().unwrap();
    let running = study.ask().unwrap();
    study.save_parquet(&path).unwrap();
    let rows = parquet_rows(&path);
    assert_eq!(
        rows.iter().map(|row| row["value"].as_f64()).collect::<Vec<_>>(),
        [Some(0.25), Some(0.125), None, Some(0.5), None]
    );
    for (row, record) in rows.iter().zip(study.records()) {
        assert_eq!(row["number"], record.number);
        assert_eq!((&row["state"], &row["seconds"]), (&record.state.to_string().into(), &record.seconds.into()));
        assert_eq!(row["params_rate"], record.float("rate").unwrap());
        assert_eq!(row["params_units, of \"all\""], record.settings["units, of \"all\""].to_string());
    }
    drop(running);
}

/// How many curves a CSV file has.
#[cfg(feature = "parquet")]
fn history_columns(folder: &Folder, history: &History) -> usize {
    let path = folder.file("a.csv");
    history.save_csv(&path).unwrap();
    csv::Reader::from_path(path).unwrap().headers().unwrap().len() - 1
}

/// For tests/reference/results.py.
#[test]
fn results_in_the_folder() {
    let Some(folder) = env::var_os("LATENTLAB_RESULTS").map(PathBuf::from) else { return };
    let (history, autoencoder, test) = history(&folder.join("runs"));
    history.save_csv(folder.join("history.csv")).unwrap();
    history.save_npz(folder.join("history.npz")).unwrap();
    let codes = embed(&autoencoder, &test).unwrap();
    codes.save_csv(folder.join("codes.csv")).unwrap();
    codes.save_npz(folder.join("codes.npz")).unwrap();
    codes.save_projector(folder.join("projector")).unwrap();
    let plane = tsne(&codes, &Tsne::new().perplexity(5.0).iterations(50).early_exaggeration(12.0, 20)).unwrap();
    plane.codes().save_csv(folder.join("plane.csv")).unwrap();
    let study = study().unwrap();
    study.save_csv(folder.join("study.csv")).unwrap();
    #[cfg(feature = "parquet")]
    {
        history.save_parquet(folder.join("history.parquet")).unwrap();
        codes.save_parquet(folder.join("codes.parquet")).unwrap();
        study.save_parquet(folder.join("study.parquet")).unwrap();
    }
}
