//! Absurd arguments, values to call functions on, and checks of the results.

use std::{env, fmt::Display, fs, path::PathBuf, thread, time::Duration};

use latentlab::{
    Autoencoder, Classifier, Codes, Dataset, Error, Figure, Gan, Result, Sequential, StopHandle, TrainConfig, Vae,
    ndarray::{Array1, Array2, Array4},
};

pub const SIZES: [usize; 9] = [0, 1, 2, 3, 100_000, 1 << 32, (1 << 32) + 1, usize::MAX / 2 + 1, usize::MAX];
pub const SEEDS: [u64; 4] = [0, 1 << 32, u64::MAX - 1, u64::MAX];
pub const FLOATS: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    f32::EPSILON,
];
pub const NUMBERS: [f64; 15] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e308,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    f64::EPSILON,
    1e-300,
];

pub fn texts() -> Vec<String> {
    [
        "",
        " ",
        "\0",
        "\u{1}latentlab {\"content\": 5}",
        "a\nb\r\n\u{1}latentlab {\"listens\": true}\n",
        "x\nEVCXR_BEGIN_CONTENT text/html\n<script>alert(1)</script>\nEVCXR_END_CONTENT\n",
        "\u{1b}[31m\u{7}\u{7f}\u{9b}",
        "\u{202e}אבג ابجد\u{202c}",
        "👨‍👩‍👧 é お か ά ‖ \u{10ffff}\u{fffe}\u{feff}",
        "<b>&amp;\"']]>--><!--",
        "../..{}%s\\",
    ]
    .into_iter()
    .map(String::from)
    .chain(["x".repeat(65_536), "お".repeat(70_000), "a ".repeat(40_000)])
    .collect()
}

/// Paths where no file can be read or written.
pub fn paths() -> Vec<PathBuf> {
    let missing = env::temp_dir().join("latentlab-no-such-folder").join("file.png");
    let mut paths =
        vec![PathBuf::new(), missing, env::temp_dir(), PathBuf::from("a\0b.png"), PathBuf::from("/dev/full")];
    paths.extend(
        ["png", "svg", "html", "safetensors", "jsonl", "\0", ""].map(|end| PathBuf::from(format!("/proc/none.{end}"))),
    );
    paths.extend([PathBuf::from("x".repeat(5_000) + ".png"), PathBuf::from("/"), PathBuf::from(".")]);
    paths
}

/// Paths that are no folder, and where none can be made.
pub fn no_folders() -> Vec<PathBuf> {
    paths().into_iter().filter(|path| !path.is_dir() && !path.starts_with(env::temp_dir())).collect()
}

/// A folder of files with meaningless content.
pub struct Garbage(tempfile::TempDir);

impl Garbage {
    pub fn new(name: &str) -> Self {
        Self(tempfile::Builder::new().prefix(&format!("latentlab-absurd-{name}-")).tempdir().unwrap())
    }

    pub fn files(&self, end: &str) -> Vec<PathBuf> {
        let contents: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
            b"\x02\0\0\0\0\0\0\0{}",
            b"<!DOCTYPE html><html></html>",
            b"{\"study\":",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        ];
        let write = |(number, content): (usize, &&[u8])| {
            let path = self.file(&format!("{number}.{end}"));
            fs::write(&path, content).unwrap();
            path
        };
        contents.iter().enumerate().map(write).collect()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A value, or a meaningful error.
pub fn either<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(sound).ok()
}

/// A meaningful error.
#[track_caller]
pub fn refused<T>(result: Result<T>) {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => sound(&error),
    }
}

fn sound(error: &Error) {
    let text = error.to_string();
    assert!(!error.place().is_empty() && text.len() > error.place().len() + 4, "{text:?} does not say what is wrong");
    assert_eq!(text, format!("{error:?}"));
    let _ = error.kind();
}

/// A value's text, without control characters, by which the relay between Jupyter and the kernel is addressed.
pub fn shown(value: &impl Display) {
    let text = value.to_string();
    assert!(!text.contains(['\u{1}', '\u{0}']), "control characters in {text:?}");
}

/// A figure, which is drawn in both formats, or an error.
pub fn drawn(figure: Result<Figure>) {
    if let Some(figure) = either(figure) {
        either(figure.to_svg());
        either(figure.to_png());
    }
}

/// A handle that stops after 100 ms.
pub fn soon() -> StopHandle {
    let stop = StopHandle::new();
    let handle = stop.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        handle.stop();
    });
    stop
}

pub fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

/// Data sets without images, with one image, one class, one pixel, the greatest and the smallest values.
pub fn datasets() -> Vec<Dataset> {
    let of = |n: usize, shape: [usize; 3], value: f32| {
        let [channels, height, width] = shape;
        let images =
            Array4::from_shape_fn((n, channels, height, width), |(i, _, y, x)| value * ((i + y + x) % 2) as f32);
        Dataset::new(images, Array1::zeros(n), ["a", "b"]).unwrap()
    };
    let nameless = Dataset::new(Array4::zeros((0, 1, 28, 28)), Array1::zeros(0), [""; 0]).unwrap();
    let odd =
        Dataset::new(Array4::zeros((texts().len(), 1, 28, 28)), Array1::from_iter(0..texts().len()), texts()).unwrap();
    vec![
        digits(12).take(0),
        digits(1),
        digits(12),
        of(6, [1, 28, 28], 1.0),
        of(6, [1, 28, 28], 0.0),
        of(4, [1, 28, 28], f32::MAX),
        of(4, [1, 28, 28], f32::MIN),
        of(4, [1, 28, 28], 1e-45),
        of(3, [1, 1, 1], 1.0),
        of(3, [3, 28, 28], 1.0),
        of(2, [1, 1, 4_000], 1.0),
        nameless,
        odd,
    ]
}

pub fn names(n: usize) -> Vec<String> {
    (0..n).map(|class| class.to_string()).collect()
}

pub fn points(n: usize, dim: usize, scale: f32) -> Array2<f32> {
    Array2::from_shape_fn((n, dim), |(i, j)| scale * (((i * 7 + j * 3) % 11) as f32 / 11.0))
}

pub fn codes_of(points: Array2<f32>) -> Codes {
    let labels = Array1::from_iter((0..points.nrows()).map(|i| i % 2));
    Codes::new(points, labels, names(2)).unwrap()
}

/// Codes without points, with one point, equal points, the greatest and the smallest values, odd names.
pub fn codes() -> Vec<Codes> {
    let count = texts().len();
    vec![
        codes_of(Array2::zeros((0, 2))),
        codes_of(points(1, 2, 1.0)),
        codes_of(points(2, 1, 1.0)),
        codes_of(points(30, 2, 1.0)),
        codes_of(Array2::ones((4, 3))),
        codes_of(Array2::zeros((30, 2))),
        codes_of(points(30, 2, f32::MAX)),
        codes_of(points(30, 3, 1.0).mapv(|x| f32::MAX * (2.0 * x - 1.0))),
        codes_of(points(30, 2, 1e-44)),
        codes_of(points(3, 5_000, 1.0)),
        Codes::new(points(count, 2, 1.0), Array1::from_iter(0..count), texts()).unwrap(),
        Codes::new(points(20, 2, 1.0), Array1::from_elem(20, 49_999), names(50_000)).unwrap(),
    ]
}

pub fn encoder() -> Sequential {
    Sequential::input([1, 28, 28]).flatten().dense(2)
}

pub fn decoder() -> Sequential {
    Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28])
}

pub fn autoencoder() -> Autoencoder {
    Autoencoder::new(encoder(), decoder()).unwrap()
}

pub fn vae() -> Vae {
    Vae::new(Sequential::input([1, 28, 28]).flatten().dense(4).relu(), decoder()).unwrap()
}

pub fn classifier() -> Classifier {
    Classifier::linear(&encoder(), 10).unwrap()
}

pub fn gan() -> Gan {
    Gan::new(decoder(), Sequential::input([1, 28, 28]).flatten().dense(1)).unwrap()
}

pub fn config() -> TrainConfig {
    TrainConfig::new().epochs(1).batch_size(8).progress_every(0)
}
