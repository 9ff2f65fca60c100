//! Files of weights: what comes back, and what is refused.

mod folder;
#[allow(dead_code)]
mod signed;

use std::{fs, path::Path, process::Command};

use folder::Folder;
use latentlab::{Autoencoder, Dataset, ErrorKind, Sequential, TrainConfig, embed, ndarray::ArrayD, train_ae};

fn network() -> Sequential {
    Sequential::input([1, 4, 4])
        .flatten()
        .dense(9)
        .selu()
        .dropout(0.5)
        .dense(6)
        .leaky_relu(0.2)
        .reshape([2, 3])
        .flatten()
        .dense(5)
        .tanh()
        .softmax()
        .seed(11)
        .build()
        .unwrap()
}

/// Every layer of pictures, with every word that changes one.
fn picture_network() -> Sequential {
    Sequential::input([1, 4, 4])
        .conv2d(6, [3, 2])
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .max_pool2d(2)
        .stride(1)
        .conv2d(5, 3)
        .stride([2, 1])
        .padding(1)
        .batch_norm()
        .momentum(0.9)
        .epsilon(1e-5)
        .relu()
        .up_sample2d([2, 3])
        .bilinear()
        .up_sample2d([1, 2])
        .conv2d(4, 2)
        .dilation([2, 1])
        .pixel_shuffle(2)
        .conv2d(4, 1)
        .conv2d(6, 2)
        .groups(2)
        .conv_transpose2d(4, 3)
        .stride(2)
        .padding(1)
        .output_padding([0, 1])
        .batch_norm()
        .conv_transpose2d(2, 3)
        .stride(2)
        .same()
        .flatten()
        .batch_norm()
        .dense(3)
        .seed(12)
        .build()
        .unwrap()
}

/// The layers of which the others have none.
fn sequence_network() -> Sequential {
    Sequential::input([1, 4, 4])
        .zero_pad2d([[0, 1], [2, 0]])
        .crop2d([[0, 1], [2, 0]])
        .conv2d(4, 3)
        .same()
        .use_bias(false)
        .group_norm(2)
        .epsilon(1e-3)
        .prelu()
        .layer_norm()
        .gelu()
        .reshape([16, 4])
        .lstm(5)
        .return_sequences()
        .dense(3)
        .use_bias(false)
        .silu()
        .gru(4)
        .elu(0.5)
        .repeat_vector(3)
        .gru(6)
        .return_sequences()
        .layer_norm()
        .lstm(4)
        .softplus()
        .hard_sigmoid()
        .reshape([4, 1, 1])
        .global_avg_pool2d()
        .seed(13)
        .build()
        .unwrap()
}

fn networks() -> [(&'static str, Sequential); 3] {
    [("network", network()), ("pictures", picture_network()), ("sequences", sequence_network())]
}

fn prediction_bits(network: &Sequential) -> Vec<u32> {
    let x = ArrayD::from_shape_fn(vec![7, 1, 4, 4], |i| ((i[0] * 16 + i[2] * 4 + i[3]) as f32 * 0.7).sin());
    network.predict(&x).unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_network_predicts_the_same_bits_in_another_process() {
    const FOLDER: &str = "LATENTLAB_TEST_NETWORKS";
    let file = |name: &str| format!("{name}.safetensors");
    if let Some(folder) = std::env::var_os(FOLDER) {
        for (name, _) in networks() {
            let restored = Sequential::load(Path::new(&folder).join(file(name))).unwrap();
            println!("{name} {:?}", prediction_bits(&restored));
        }
        return;
    }
    let folder = Folder::new("weights-process");
    for (name, network) in networks() {
        network.save(folder.file(&file(name))).unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_network_predicts_the_same_bits_in_another_process", "--nocapture"])
        .env(FOLDER, &folder.0)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for (name, network) in networks() {
        assert!(text.contains(&format!("{name} {:?}", prediction_bits(&network))), "{name}: {text}");
    }
}

#[test]
fn the_words_of_a_layer_come_back_with_it() {
    let folder = Folder::new("weights-words");
    let (first, second) = (folder.file("first.safetensors"), folder.file("second.safetensors"));
    let words = Sequential::input([3]).embedding(7, 2).gru(1).build().unwrap();
    let mut files = String::new();
    for (name, network) in networks().into_iter().chain([("words", words)]) {
        network.save(&first).unwrap();
        let restored = Sequential::load(&first).unwrap();
        assert_eq!(restored.summary().to_string(), network.summary().to_string());
        restored.save(&second).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap(), "{name}");
        files += &String::from_utf8_lossy(&fs::read(&first).unwrap());
    }
    for words in [
        r#"\"kernel\":[3,2],\"stride\":[1,1],\"padding\":\"same\""#,
        r#"\"stride\":[2,1],\"padding\":{\"explicit\":[1,1]}"#,
        r#"\"momentum\":0.9,\"epsilon\":0.00001"#,
        r#"\"size\":[2,2],\"stride\":[1,1]"#,
        r#"\"factor\":[2,3],\"interpolation\":\"bilinear\"}"#,
        r#"\"factor\":[1,2]}"#,
        r#"\"padding\":\"valid\",\"dilation\":[2,1]}"#,
        r#"\"padding\":\"valid\",\"groups\":2}"#,
        r#"\"output_padding\":[0,1]"#,
        r#"\"layer\":\"pad2d\",\"kind\":\"crop\",\"sides\":[[0,1],[2,0]]"#,
        r#"\"layer\":\"norm\",\"kind\":\"group\",\"groups\":2,\"epsilon\":0.001"#,
        r#"\"layer\":\"recurrent\",\"cell\":\"lstm\",\"units\":5,\"sequences\":true"#,
        r#"\"layer\":\"recurrent\",\"cell\":\"gru\",\"units\":4,\"sequences\":false"#,
        r#"\"layer\":\"embedding\",\"vocabulary\":7,\"dim\":2"#,
        r#"\"layer\":\"repeat_vector\",\"times\":3"#,
        r#"\"function\":\"elu\",\"alpha\":0.5"#,
    ] {
        assert!(files.contains(words), "{words} in {files}");
    }
}

#[test]
fn running_statistics_come_back_bit_for_bit() {
    let folder = Folder::new("weights-statistics");
    let (first, second) = (folder.file("first.safetensors"), folder.file("second.safetensors"));
    let mut trained = Autoencoder::new(
        Sequential::input([1, 28, 28]).conv2d(3, 3).stride(4).batch_norm().relu().flatten().dense(2).batch_norm(),
        Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap();
    let untrained = trained.clone();
    let images = Dataset::built_in_digits(50, 0).unwrap();
    train_ae(&mut trained, &images, &TrainConfig::new().epochs(1).progress_every(0)).unwrap();
    trained.save(&first).unwrap();
    let restored = Autoencoder::load(&first).unwrap();
    restored.save(&second).unwrap();
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    let codes = |autoencoder: &Autoencoder| embed(autoencoder, &images).unwrap().points().clone();
    assert_eq!(codes(&restored), codes(&trained));
    assert_ne!(codes(&untrained), codes(&trained));
}

#[test]
fn the_same_network_is_the_same_file_and_nothing_else_is_left() {
    let folder = Folder::new("weights-same");
    network().save(folder.file("a.safetensors")).unwrap();
    network().save(folder.file("b.safetensors")).unwrap();
    network().save(folder.file("b.safetensors")).unwrap();
    assert_eq!(fs::read(folder.file("a.safetensors")).unwrap(), fs::read(folder.file("b.safetensors")).unwrap());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
}

#[test]
fn an_autoencoder_comes_back_whole() {
    let folder = Folder::new("weights-autoencoder");
    let path = folder.file("tiny.safetensors");
    let autoencoder = Autoencoder::tiny(4).unwrap().seed(3);
    autoencoder.save(&path).unwrap();
    let restored = Autoencoder::load(&path).unwrap();
    assert_eq!(restored.summary().to_string(), autoencoder.summary().to_string());
    let x = ArrayD::from_elem(vec![2, 1, 28, 28], 0.5);
    assert_eq!(restored.encoder().predict(&x).unwrap(), autoencoder.encoder().predict(&x).unwrap());
}

#[test]
fn damaged_and_foreign_files_are_errors() {
    let folder = Folder::new("weights-damaged");
    let good = folder.file("good.safetensors");
    network().save(&good).unwrap();
    let bytes = fs::read(&good).unwrap();
    // Damage that the hash does not show: by another program, or by a later version of this one.
    let text = |from: &str, to: &str| {
        let header = signed::header(&bytes);
        assert!(header.contains(from), "{header}");
        signed::with_header(&bytes, &header.replace(from, to))
    };
    let outer = |from: &str, to: &str| {
        let outer = signed::outer(&bytes).to_string();
        assert!(outer.contains(from), "{outer}");
        let moved = signed::with_outer(&bytes, &outer.replace(from, to));
        if moved[8..].starts_with(b"{\"__metadata__\":{\"latentlab") {
            signed::with_header(&moved, &signed::header(&moved))
        } else {
            moved
        }
    };
    let foreign = "expected a file of weights that latentlab has saved";
    let flipped = {
        let mut bytes = bytes.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], foreign),
        ("text", b"hello, this is not a file of weights".to_vec(), foreign),
        ("short", bytes[..bytes.len() - 5].to_vec(), foreign),
        ("header cut", bytes[..40].to_vec(), foreign),
        ("absurd header length", [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat(), foreign),
        ("one bit", flipped, "it is damaged (its SHA-256 is not the one noted when it was saved)"),
        ("more", [&bytes[..], b"more"].concat(), foreign),
        ("another program's", outer("latentlab", "something"), "got safetensors of another program"),
        ("later version", text(r#""version":2"#, r#""version":9"#), "expected format version 2, got 9"),
        ("no version", text(r#""version":2,"#, ""), "expected format version 2, got none"),
        ("version before", text(r#""version":2"#, r#""version":1"#), "its weights are damaged"),
        ("unknown layer", text(r#""layer":"softmax""#, r#""layer":"softer""#), "its architecture is damaged"),
        ("unknown word", text(r#""units":9"#, r#""units":9,"groups":3"#), "its architecture is damaged, or of a later"),
        (
            "another network",
            text(
                r#""networks":["#,
                r#""networks":[{"name":"a","input":[1],"init":"glorot_uniform","seed":0,"layers":[]},"#,
            ),
            "holds more",
        ),
        ("other units", text(r#""units":9"#, r#""units":8"#), "layer 2, dense: expected weights [16, 8] of F32"),
        ("terabytes", text(r#""units":9"#, r#""units":9000000000000"#), "layer 2, dense: expected at most "),
        ("slope", text(r#""slope":0.2"#, r#""slope":-1e30"#), "layer 6, leaky_relu: expected a slope"),
        ("bad shape", text(r#""shape":[2,3]"#, r#""shape":[2,4]"#), "layer 7, reshape: 6 values cannot become"),
        ("missing tensor", outer("network.2.bias", "network.2.buas"), "expected weights network.2.bias, got none"),
    ];
    for (name, bytes, expected) in table {
        let path = folder.file("bad.safetensors");
        fs::write(&path, bytes).unwrap();
        let error = Sequential::load(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights, "{name}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{name}: {error}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    let error = Autoencoder::load(&good).unwrap_err().to_string();
    assert!(error.contains("expected the weights of a model of kind autoencoder, got sequential"), "{error}");
    assert_eq!(Sequential::load(folder.file("none")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn what_is_no_file_of_its_size_is_not_read() {
    let folder = Folder::new("weights-size");
    let path = folder.file("sparse.safetensors");
    network().save(&path).unwrap();
    // A terabyte that costs nothing on the disk.
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let error = Sequential::load(&path).unwrap_err().to_string();
    assert!(error.contains("got 1099511627776 bytes of a file whose header tells of "), "{error}");
    for (path, got) in [(folder.0.as_path(), "a folder"), (Path::new("/dev/zero"), "no file")] {
        let error = Sequential::load(path).unwrap_err().to_string();
        assert!(error.ends_with(&format!("that latentlab has saved, got {got}")), "{error}");
    }
}

#[test]
fn files_of_the_first_version_are_read() {
    let folder = Folder::new("weights-version");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/version1/network.safetensors");
    assert_eq!(prediction_bits(&Sequential::load(&path).unwrap()), prediction_bits(&network()));
    // And the other tests make such files as it did.
    let new = folder.file("new.safetensors");
    network().save(&new).unwrap();
    let (old, made) = (fs::read(path).unwrap(), signed::as_version_1(&fs::read(new).unwrap()));
    assert_eq!(signed::outer(&made), signed::outer(&old));
    assert_eq!(signed::tensors(&made), signed::tensors(&old));
}

#[test]
fn a_failed_save_says_where() {
    let error = network().save(Path::new("/no/such/folder/network.safetensors")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("/no/such/folder/network.safetensors: cannot write it"), "{error}");
}
