//! Files of weights: what comes back, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use latentlab::{Autoencoder, ErrorKind, Sequential, ndarray::ArrayD};

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("latentlab-weights-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

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

fn prediction_bits(network: &Sequential) -> Vec<u32> {
    let x = ArrayD::from_shape_fn(vec![7, 1, 4, 4], |i| ((i[0] * 16 + i[2] * 4 + i[3]) as f32 * 0.7).sin());
    network.predict(&x).unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_network_predicts_the_same_bits_in_another_process() {
    const FILE: &str = "LATENTLAB_TEST_NETWORK";
    if let Some(path) = std::env::var_os(FILE) {
        println!("bits {:?}", prediction_bits(&Sequential::load(path).unwrap()));
        return;
    }
    let folder = Folder::new("process");
    let path = folder.file("network.safetensors");
    network().save(&path).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_network_predicts_the_same_bits_in_another_process", "--nocapture"])
        .env(FILE, &path)
        .output()
        .unwrap();
    let expected = format!("bits {:?}", prediction_bits(&network()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(&expected), "{text}");
}

#[test]
fn the_same_network_is_the_same_file_and_nothing_else_is_left() {
    let folder = Folder::new("same");
    network().save(folder.file("a.safetensors")).unwrap();
    network().save(folder.file("b.safetensors")).unwrap();
    network().save(folder.file("b.safetensors")).unwrap();
    assert_eq!(fs::read(folder.file("a.safetensors")).unwrap(), fs::read(folder.file("b.safetensors")).unwrap());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
}

#[test]
fn an_autoencoder_comes_back_whole() {
    let folder = Folder::new("autoencoder");
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
    let folder = Folder::new("damaged");
    let good = folder.file("good.safetensors");
    network().save(&good).unwrap();
    let bytes = fs::read(&good).unwrap();
    let text = |from: &str, to: &str| {
        // Replaces text in the header and corrects the header's length.
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
        assert!(header.contains(from), "{header}");
        let header = header.replace(from, to);
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat()
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
        ("one bit", flipped, "its weights are damaged"),
        ("another program's", text("latentlab", "something"), "got safetensors of another program"),
        ("later version", text(r#"\"version\":1"#, r#"\"version\":9"#), "expected format version 1, got 9"),
        ("unknown layer", text(r#"\"layer\":\"softmax\""#, r#"\"layer\":\"softer\""#), "its architecture is damaged"),
        ("other units", text(r#"\"units\":9"#, r#"\"units\":8"#), "layer 2, dense: expected weights [16, 8] of F32"),
        (
            "terabytes",
            text(r#"\"units\":9"#, r#"\"units\":9000000000000"#),
            "layer 2, dense: expected at most 1073741824 weights",
        ),
        ("bad shape", text(r#"\"shape\":[2,3]"#, r#"\"shape\":[2,4]"#), "layer 7, reshape: 6 values cannot become"),
        ("missing tensor", text("network.2.bias", "network.2.buas"), "expected weights network.2.bias, got none"),
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
fn a_failed_save_says_where() {
    let error = network().save(Path::new("/no/such/folder/network.safetensors")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("/no/such/folder/network.safetensors: cannot write it"), "{error}");
}
