//! Formats of other programs.

use latentlab::{Sequential, StateDictKeys};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

/// Keys under all sorts of names.
fn keys() -> Vec<StateDictKeys> {
    let new = StateDictKeys::new;
    let named = texts().into_iter().flat_map(|text| [new().rename("", text.as_str()), new().rename(text, "a")]);
    named.chain([new(), new().strict(false), new().rename("", "").rename("encoder", "")]).collect()
}

/// Files that Keras has not written, and some that it has, of other models.
#[cfg(feature = "keras")]
macro_rules! of_keras {
    ($model:expr => $($load:ident $(, $keys:expr)?);+) => {
        Call(|| {
            let garbage = Garbage::new("keras");
            let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/keras");
            let written = std::fs::read_dir(reference).unwrap().map(|entry| entry.unwrap().path());
            let files = garbage.files("weights.h5").into_iter().chain(paths());
            files.for_each(|path| {
                $(refused($model.$load(&path $(, $keys)?));)+
            });
            written.for_each(|path| {
                $(_ = either($model.$load(&path $(, $keys)?));)+
            });
        })
    };
}

#[cfg(not(feature = "keras"))]
macro_rules! of_keras {
    ($($_:tt)+) => {
        Nothing("it is not there without the feature keras")
    };
}

/// The rows of a type that has a `state_dict` and becomes an ONNX file.
macro_rules! state_dicts {
    ($($name:literal, $model:expr);+ $(;)?) => {
        vec![$(
            (
                concat!($name, "::save_onnx"),
                Call(|| paths().iter().for_each(|path| refused($model.save_onnx(path)))),
            ),
            (
                concat!($name, "::save_pytorch"),
                Call(|| paths().iter().for_each(|path| refused($model.save_pytorch(path)))),
            ),
            (
                concat!($name, "::save_pytorch_with"),
                Call(|| {
                    let garbage = Garbage::new("state-dict");
                    let path = garbage.file("a.safetensors");
                    for keys in keys() {
                        if either($model.save_pytorch_with(&path, &keys)).is_some() {
                            either($model.load_pytorch_with(&path, &keys)).expect("it has just been written");
                        }
                    }
                }),
            ),
            (
                concat!($name, "::load_pytorch"),
                Call(|| {
                    let garbage = Garbage::new("state-dict");
                    let files = garbage.files("safetensors");
                    files.iter().chain(&paths()).for_each(|path| refused($model.load_pytorch(path)));
                    $model.save(garbage.file("own")).unwrap();
                    refused($model.load_pytorch(garbage.file("own")));
                }),
            ),
            (
                concat!($name, "::load_pytorch_with"),
                Call(|| {
                    let garbage = Garbage::new("state-dict");
                    let path = garbage.file("a.safetensors");
                    $model.save_pytorch(&path).unwrap();
                    for keys in keys() {
                        either($model.load_pytorch_with(&path, &keys)).iter().for_each(shown);
                        either($model.load_pytorch_with(&path, &keys.strict(false))).iter().for_each(shown);
                    }
                }),
            ),
            (concat!($name, "::load_keras"), of_keras!($model => load_keras)),
            (
                concat!($name, "::load_keras_with"),
                of_keras!(
                    $model =>
                    load_keras_with, &StateDictKeys::new();
                    load_keras_with, &StateDictKeys::new().rename("", "a").strict(false)
                ),
            ),
        )+]
    };
}

pub fn rows() -> Table {
    let models = state_dicts! {
        "Sequential", encoder();
        "Autoencoder", autoencoder();
        "Vae", vae();
        "Classifier", classifier();
        "Gan", gan();
    };
    let others = vec![
        ("Vae::save_encoder_onnx", Call(|| paths().iter().for_each(|path| refused(vae().save_encoder_onnx(path))))),
        ("StateDictKeys::new", Nothing("nothing")),
        (
            "StateDictKeys::rename",
            Call(|| {
                let garbage = Garbage::new("state-dict-keys");
                let path = garbage.file("a.safetensors");
                for text in texts() {
                    // Too many, equal, and what the format keeps for itself.
                    let many = (0..200).fold(StateDictKeys::new(), |keys, _| keys.rename("1", text.as_str()));
                    either(encoder().save_pytorch_with(&path, &many));
                    refused(encoder().save_pytorch_with(&path, &many.rename("2.weight", "a").rename("2.bias", "a")));
                }
                refused(encoder().save_pytorch_with(&path, &StateDictKeys::new().rename("1.weight", "__metadata__")));
                refused(Sequential::input([2]).dense(0).save_pytorch_with(&path, &StateDictKeys::new()));
            }),
        ),
        ("StateDictKeys::strict", Nothing("a yes or no; see Autoencoder::load_pytorch_with")),
        (
            "Codes::save_csv",
            Call(|| {
                let garbage = Garbage::new("codes-csv");
                codes().iter().for_each(|codes| codes.save_csv(garbage.file("a.csv")).unwrap());
                paths().iter().for_each(|path| _ = either(codes_of(points(3, 2, 1.0)).save_csv(path)));
            }),
        ),
        (
            "Codes::save_parquet",
            of_parquet!({
                let garbage = Garbage::new("codes-parquet");
                codes().iter().for_each(|codes| codes.save_parquet(garbage.file("a.parquet")).unwrap());
                paths().iter().for_each(|path| _ = either(codes_of(points(3, 2, 1.0)).save_parquet(path)));
            }),
        ),
        (
            "Codes::save_npz",
            Call(|| {
                let garbage = Garbage::new("codes-npz");
                codes().iter().for_each(|codes| codes.save_npz(garbage.file("a.npz")).unwrap());
                paths().iter().for_each(|path| _ = either(codes_of(points(3, 2, 1.0)).save_npz(path)));
            }),
        ),
        (
            "Codes::save_projector",
            Call(|| {
                let garbage = Garbage::new("projector");
                codes().iter().for_each(|codes| _ = either(codes.save_projector(garbage.file("folder"))));
                no_folders().iter().for_each(|path| refused(codes_of(points(3, 2, 1.0)).save_projector(path)));
            }),
        ),
    ];
    models.into_iter().chain(others).collect()
}
