//! ONNX files: their structure, and what is refused. `tests/reference/onnx_models.py` has ONNX's checker and
//! onnxruntime read the same files; it starts `files_for_onnxruntime`.

mod folder;
#[path = "../src/exchange/onnx/messages.rs"]
mod messages;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use folder::Folder;
use latentlab::{
    Autoencoder, Classifier, Dataset, DfdxTensor, ErrorKind, Gan, GanConfig, Penalty, Result, Sequential, Tensor,
    TrainConfig, Vae, classify,
    ndarray::{ArrayD, Axis, Ix4, s},
    train_ae, train_classifier, train_gan, train_vae, write_npy,
};
use messages::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Outputs by name.
type Outputs = Vec<(&'static str, ArrayD<f32>)>;
type Save = dyn Fn(&Path) -> Result<()>;
type Run = dyn Fn(&ArrayD<f32>) -> Outputs;

/// A model, or a part of one, in a row of the table of layers and models.
struct Case {
    row: &'static str,
    name: String,
    input: &'static str,
    shape: Vec<usize>,
    save: Box<Save>,
    run: Box<Run>,
}

impl Case {
    fn network(row: &'static str, name: &str, network: Sequential) -> Self {
        let (name, shape, to_save) = (name.into(), network.input_shape().to_vec(), network.clone());
        let save = Box::new(move |path: &Path| to_save.save_onnx(path));
        let run = Box::new(move |x: &ArrayD<f32>| vec![("output", network.predict(x).unwrap())]);
        Self { row, name, input: "input", shape, save, run }
    }

    /// Numbers that its input may have.
    fn x(&self, rows: usize, random: &mut Xoshiro256PlusPlus) -> ArrayD<f32> {
        let value = |_: &_| match self.row {
            "embedding" => random.gen_range(0..7) as f32,
            _ if self.input == "images" => random.gen_range(0.0..1.0),
            _ => random.gen_range(-3.0..3.0),
        };
        let shape = [&[rows], &self.shape[..]].concat();
        ArrayD::<f32>::zeros(shape).map(value)
    }
}

/// A network whose weights and statistics are all different.
fn shaken(network: Sequential) -> Sequential {
    let mut network = network.seed(1).build().unwrap();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    for name in network.weight_names() {
        let values = network.weights(&name).unwrap();
        let shaken = values.map(|value| match name.rsplit('.').next() {
            Some("running_variance") => random.gen_range(0.3..2.0),
            _ => value + random.gen_range(-0.2..0.2),
        });
        network.set_weights(&name, &shaken).unwrap();
    }
    network
}

type Add = fn(Sequential) -> Sequential;

/// Every layer with its settings; the first text is its row in the table.
fn layers() -> Vec<Case> {
    let maps: &[usize] = &[4, 9, 8];
    let even: &[usize] = &[4, 8, 8];
    let flat: &[usize] = &[6];
    let steps: &[usize] = &[5, 6];
    let rows: Vec<(&str, &str, &[usize], Add)> = vec![
        ("dense", "", flat, |x| x.dense(3)),
        ("dense", "no bias", flat, |x| x.dense(3).use_bias(false)),
        ("dense", "sequence", steps, |x| x.dense(3)),
        ("dense", "sequence, no bias", steps, |x| x.dense(3).use_bias(false)),
        ("conv2d", "", maps, |x| x.conv2d(3, 3)),
        ("conv2d", "no bias", maps, |x| x.conv2d(3, [1, 2]).use_bias(false)),
        ("conv2d", "same", maps, |x| x.conv2d(3, 3).same()),
        ("conv2d", "same, even kernel", maps, |x| x.conv2d(3, [2, 4]).same()),
        ("conv2d", "same, stride 2, odd and even size", maps, |x| x.conv2d(3, 3).stride(2).same()),
        ("conv2d", "same, stride [3, 2], kernel [5, 2]", maps, |x| x.conv2d(3, [5, 2]).stride([3, 2]).same()),
        ("conv2d", "same, kernel below the stride", maps, |x| x.conv2d(3, 1).stride([2, 3]).same()),
        ("conv2d", "stride that leaves pixels out", even, |x| x.conv2d(3, 3).stride(2)),
        ("conv2d", "padding and stride", even, |x| x.conv2d(3, 3).padding([1, 2]).stride([2, 3])),
        ("conv2d", "padding beyond the kernel", maps, |x| x.conv2d(3, 2).padding([3, 4])),
        ("conv2d", "dilation", maps, |x| x.conv2d(3, 3).dilation([2, 3])),
        ("conv2d", "dilation, same, stride", maps, |x| x.conv2d(3, [3, 2]).dilation([2, 3]).stride(2).same()),
        ("conv2d", "groups", maps, |x| x.conv2d(6, 3).groups(2).padding(1)),
        ("conv2d", "depthwise", maps, |x| x.conv2d(8, 3).groups(4).same()),
        ("conv_transpose2d", "", maps, |x| x.conv_transpose2d(3, 3)),
        ("conv_transpose2d", "no bias, stride", maps, |x| x.conv_transpose2d(3, [2, 3]).stride(2).use_bias(false)),
        ("conv_transpose2d", "same", maps, |x| x.conv_transpose2d(3, 3).same()),
        ("conv_transpose2d", "same, stride 2", maps, |x| x.conv_transpose2d(3, 3).stride(2).same()),
        ("conv_transpose2d", "same, even kernel", maps, |x| x.conv_transpose2d(3, [4, 2]).stride([2, 1]).same()),
        ("conv_transpose2d", "same, stride 3, kernel 5", maps, |x| x.conv_transpose2d(3, 5).stride(3).same()),
        ("conv_transpose2d", "same, kernel below the stride", maps, |x| {
            x.conv_transpose2d(3, [1, 2]).stride([2, 3]).same()
        }),
        ("conv_transpose2d", "same, output padding", maps, |x| {
            x.conv_transpose2d(3, 3).stride(2).same().output_padding([1, 0])
        }),
        ("conv_transpose2d", "same, output padding of the stride", maps, |x| {
            x.conv_transpose2d(3, [1, 3]).stride(2).same().output_padding(1)
        }),
        ("conv_transpose2d", "the same, no bias", maps, |x| {
            x.conv_transpose2d(3, 2).stride(3).same().output_padding(2).use_bias(false)
        }),
        ("conv_transpose2d", "padding and output padding", maps, |x| {
            x.conv_transpose2d(3, 3).stride([2, 3]).padding(1).output_padding([1, 2])
        }),
        ("conv_transpose2d", "dilation", maps, |x| x.conv_transpose2d(3, 3).dilation([2, 1]).stride([1, 2])),
        ("conv_transpose2d", "dilation, same", maps, |x| x.conv_transpose2d(3, [3, 2]).dilation(2).stride(2).same()),
        ("conv_transpose2d", "groups", maps, |x| x.conv_transpose2d(6, 3).groups(2).stride(2).same()),
        ("conv_transpose2d", "depthwise", maps, |x| x.conv_transpose2d(4, 3).groups(4)),
        ("batch_norm", "", maps, |x| x.batch_norm()),
        ("batch_norm", "ε of PyTorch", maps, |x| x.batch_norm().momentum(0.9).epsilon(1e-5)),
        ("batch_norm", "flat", flat, |x| x.batch_norm()),
        ("batch_norm", "behind a convolution", maps, |x| x.conv2d(3, 3).use_bias(false).batch_norm().relu()),
        ("batch_norm", "behind a transposed convolution", maps, |x| {
            x.conv_transpose2d(4, 3).groups(2).stride(2).same().batch_norm().leaky_relu(0.2)
        }),
        ("batch_norm", "behind a dense layer", flat, |x| x.dense(5).batch_norm()),
        ("max_pool2d", "", even, |x| x.max_pool2d(2)),
        ("max_pool2d", "pixels left out", maps, |x| x.max_pool2d([2, 3])),
        ("max_pool2d", "stride", maps, |x| x.max_pool2d(3).stride([2, 1])),
        ("avg_pool2d", "", even, |x| x.avg_pool2d(2)),
        ("avg_pool2d", "pixels left out", maps, |x| x.avg_pool2d([2, 3])),
        ("avg_pool2d", "stride", maps, |x| x.avg_pool2d(3).stride([1, 2])),
        ("global_avg_pool2d", "", maps, |x| x.global_avg_pool2d()),
        ("global_max_pool2d", "", maps, |x| x.global_max_pool2d()),
        ("up_sample2d", "nearest", maps, |x| x.up_sample2d([2, 3])),
        ("up_sample2d", "nearest, before a convolution", maps, |x| x.up_sample2d(3).conv2d(2, 3).same()),
        ("up_sample2d", "bilinear", maps, |x| x.up_sample2d([2, 3]).bilinear()),
        ("up_sample2d", "bilinear, one pixel", &[2, 1, 1], |x| x.up_sample2d([5, 1]).bilinear()),
        ("pixel_shuffle", "", &[8, 3, 4], |x| x.pixel_shuffle(2)),
        ("zero_pad2d", "", maps, |x| x.zero_pad2d([[1, 0], [2, 3]])),
        ("crop2d", "", maps, |x| x.crop2d([[1, 0], [2, 3]])),
        ("relu", "", maps, |x| x.relu()),
        ("leaky_relu", "", flat, |x| x.leaky_relu(0.2)),
        ("selu", "", flat, |x| x.selu()),
        ("elu", "", maps, |x| x.elu(0.7)),
        ("tanh", "", flat, |x| x.tanh()),
        ("sigmoid", "", steps, |x| x.sigmoid()),
        ("softplus", "", flat, |x| x.softplus()),
        ("hard_sigmoid", "", flat, |x| x.hard_sigmoid()),
        ("gelu", "", maps, |x| x.gelu()),
        ("silu", "", maps, |x| x.silu()),
        ("prelu", "maps", maps, |x| x.prelu()),
        ("prelu", "flat", flat, |x| x.prelu()),
        ("prelu", "sequence", steps, |x| x.prelu()),
        ("softmax", "", flat, |x| x.softmax()),
        ("layer_norm", "flat", flat, |x| x.layer_norm()),
        ("layer_norm", "sequence", steps, |x| x.layer_norm().epsilon(1e-3)),
        ("layer_norm", "maps", maps, |x| x.layer_norm()),
        ("group_norm", "maps", maps, |x| x.group_norm(2)),
        ("group_norm", "each channel", maps, |x| x.group_norm(4).epsilon(1e-2)),
        ("group_norm", "flat", flat, |x| x.group_norm(3)),
        ("dropout", "", flat, |x| x.dense(4).dropout(0.5).relu()),
        ("dropout", "alone", flat, |x| x.dropout(0.5)),
        ("activity_penalty", "", flat, |x| x.dense(4).activity_penalty(Penalty::l1(1e-3))),
        ("flatten", "maps", maps, |x| x.flatten()),
        ("flatten", "sequence", steps, |x| x.flatten()),
        ("flatten", "flat", flat, |x| x.flatten()),
        ("reshape", "to maps", &[24], |x| x.reshape([2, 3, 4]).conv2d(2, 2)),
        ("reshape", "to a sequence", maps, |x| x.reshape([8, 36])),
        ("reshape", "to four axes", maps, |x| x.reshape([2, 2, 9, 8]).relu().flatten()),
        ("embedding", "", flat, |x| x.embedding(7, 3)),
        ("lstm", "last state", steps, |x| x.lstm(4)),
        ("lstm", "all states", steps, |x| x.lstm(3).return_sequences().lstm(2).return_sequences()),
        ("gru", "last state", steps, |x| x.gru(4)),
        ("gru", "all states", steps, |x| x.gru(3).return_sequences().dense(4).gru(2).return_sequences()),
        ("repeat_vector", "", flat, |x| x.repeat_vector(3)),
        ("repeat_vector", "before a GRU", flat, |x| x.repeat_vector(3).gru(4)),
        ("skip", "maps", maps, |x| x.skip(|inner| inner.conv2d(4, 3).same().batch_norm().relu().conv2d(4, 1)).relu()),
        ("skip", "one in another", flat, |x| x.skip(|x| x.dense(6).skip(|x| x.tanh().dense(6)).relu())),
        ("skip", "nothing inside", flat, |x| x.skip(|x| x.dropout(0.5))),
        ("skip_concat", "maps", maps, |x| {
            x.zero_pad2d([[0, 1], [0, 0]])
                .skip_concat(|x| x.max_pool2d(2).conv2d(3, 3).same().up_sample2d(2))
                .conv2d(2, 1)
        }),
        ("skip_concat", "flat", flat, |x| x.skip_concat(|x| x.dense(2))),
        ("skip_concat", "sequence", steps, |x| x.skip_concat(|x| x.gru(2).return_sequences())),
        ("no layer", "", maps, |x| x),
        // Settings at their bounds.
        ("conv2d", "padding and stride of many pixels", &[2, 1, 1], |x| x.conv2d(1, 1).padding(100).stride(50)),
        ("conv2d", "dilation of many pixels", &[2, 3, 1], |x| x.conv2d(1, 2).dilation(90).padding(90)),
        ("zero_pad2d", "none", maps, |x| x.zero_pad2d(0).crop2d(0)),
        ("skip_concat", "nothing inside, four axes", &[2, 1, 3, 2], |x| x.skip_concat(|x| x)),
        ("reshape", "to no axes", &[1], |x| x.reshape([]).relu()),
    ];
    let case = |(row, name, shape, add): (&'static str, &str, &[usize], Add)| {
        Case::network(row, name, shaken(add(Sequential::input(shape))))
    };
    rows.into_iter().map(case).collect()
}

fn autoencoder(name: &str, model: Autoencoder) -> Vec<Case> {
    let row = "Autoencoder";
    let parts = [("encoder", model.encoder()), ("decoder", model.decoder())];
    let part = |(part, network): (&str, &Sequential)| Case::network(row, &format!("{name}, {part}"), network.clone());
    let mut cases = Vec::from(parts.map(part));
    let (shape, to_save) = (model.encoder().input_shape().to_vec(), model.clone());
    let run = move |x: &ArrayD<f32>| {
        let latent = model.encoder().predict(x).unwrap();
        let reconstruction = model.decoder().predict(&latent).unwrap();
        vec![("latent", latent), ("reconstruction", reconstruction)]
    };
    let save = Box::new(move |path: &Path| to_save.save_onnx(path));
    cases.push(Case { row, name: name.into(), input: "images", shape, save, run: Box::new(run) });
    cases
}

fn vae(name: &str, model: Vae) -> Vec<Case> {
    let (row, shape) = ("Vae", model.encoder().input_shape().to_vec());
    let decoder = Case::network(row, &format!("{name}, decoder"), model.decoder().clone());
    let [whole, encoder, to_run] = [0; 3].map(|_| model.clone());
    let code = move |x: &ArrayD<f32>| {
        let both = to_run.heads().predict(&to_run.encoder().predict(x).unwrap()).unwrap();
        let (mean, log_variance) = both.view().split_at(Axis(1), to_run.latent_dim());
        vec![("mean", mean.to_owned()), ("log_variance", log_variance.to_owned())]
    };
    let encoded = code.clone();
    let run = move |x: &ArrayD<f32>| {
        let mut outputs = code(x);
        outputs.push(("reconstruction", model.decoder().predict(&outputs[0].1).unwrap()));
        outputs
    };
    let encoder = Case {
        row,
        name: format!("{name}, encoder"),
        input: "images",
        shape: shape.clone(),
        save: Box::new(move |path| encoder.save_encoder_onnx(path)),
        run: Box::new(encoded),
    };
    let save = Box::new(move |path: &Path| whole.save_onnx(path));
    vec![encoder, decoder, Case { row, name: name.into(), input: "images", shape, save, run: Box::new(run) }]
}

fn classifier(name: &str, model: Classifier) -> Case {
    let (shape, to_save) = (model.encoder().input_shape().to_vec(), model.clone());
    let run = move |x: &ArrayD<f32>| {
        let logits = model.head().predict(&model.encoder().predict(x).unwrap()).unwrap();
        let (images, rows) = (x.clone().into_dimensionality::<Ix4>().unwrap(), x.shape()[0]);
        let names: Vec<String> = (0..model.classes()).map(|class| class.to_string()).collect();
        let images = Dataset::new(images, vec![0; rows].into(), names).unwrap();
        let probabilities = classify(&model, &images).unwrap().probabilities().clone().into_dyn();
        vec![("logits", logits), ("probabilities", probabilities)]
    };
    let save = Box::new(move |path: &Path| to_save.save_onnx(path));
    Case { row: "Classifier", name: name.into(), input: "images", shape, save, run: Box::new(run) }
}

fn gan(name: &str, model: Gan) -> Vec<Case> {
    let row = "Gan";
    let parts = [("generator", model.generator()), ("discriminator", model.discriminator())];
    let part = |(part, network): (&str, &Sequential)| Case::network(row, &format!("{name}, {part}"), network.clone());
    let mut cases = Vec::from(parts.map(part));
    let (shape, to_save) = (vec![model.latent_dim()], model.clone());
    let run = move |x: &ArrayD<f32>| {
        let images = model.generator().predict(x).unwrap();
        let score = model.discriminator().predict(&images).unwrap();
        vec![("images", images), ("score", score)]
    };
    let save = Box::new(move |path: &Path| to_save.save_onnx(path));
    cases.push(Case { row, name: name.into(), input: "noise", shape, save, run: Box::new(run) });
    cases
}

/// Every model, after two steps of training, so that statistics are not what they start from.
fn models() -> Vec<Case> {
    let digits = Dataset::built_in_digits(32, 0).unwrap();
    let config = TrainConfig::new().epochs(1).batch_size(16).progress_every(0);
    let trained = |mut model: Autoencoder| {
        train_ae(&mut model, &digits, &config).unwrap();
        model
    };
    let mut cases = Vec::new();
    for (name, model) in [
        ("tiny", Autoencoder::tiny(2)),
        ("deep_dense", Autoencoder::deep_dense(3)),
        ("convolutional", Autoencoder::convolutional(2)),
        ("strided", Autoencoder::strided([8, 16, 32], 64, 4)),
        ("wide", Autoencoder::wide()),
    ] {
        cases.extend(autoencoder(name, trained(model.unwrap())));
    }
    let encoder = shaken(Sequential::input([6, 4]).lstm(8).dense(3));
    let decoder = shaken(Sequential::input([3]).repeat_vector(6).gru(8).return_sequences().dense(4));
    cases.extend(autoencoder("of sequences", Autoencoder::new(encoder, decoder).unwrap()));
    let (encoder, decoder) = (shaken(Sequential::input([5]).dropout(0.1)), shaken(Sequential::input([5])));
    cases.extend(autoencoder("without layers", Autoencoder::new(encoder, decoder).unwrap()));
    for (name, model) in [("strided", Vae::strided([8, 16, 32], 64, 3)), ("convolutional", Vae::convolutional(2))] {
        let mut model = model.unwrap();
        train_vae(&mut model, &digits, &config).unwrap();
        cases.extend(vae(name, model));
    }
    let encoder = Autoencoder::tiny(4).unwrap().encoder().clone();
    for (name, model) in [
        ("convolutional", Classifier::convolutional(10)),
        ("linear", Classifier::linear(&encoder, 10)),
        ("dense", Classifier::dense(&encoder, 10)),
    ] {
        let mut model = model.unwrap();
        train_classifier(&mut model, &digits, &config).unwrap();
        cases.push(classifier(name, model));
    }
    let mut model = Gan::convolutional(8).unwrap();
    train_gan(&mut model, &digits, &GanConfig::new().epochs(1).batch_size(16).progress_every(0)).unwrap();
    cases.extend(gan("convolutional", model));
    cases
}

/// For tests/reference/onnx_models.py: each file with inputs of 1 and of 7 rows, and what they become here.
#[test]
fn files_for_onnxruntime() {
    let Some(folder) = env::var_os("LATENTLAB_ONNX").map(PathBuf::from) else { return };
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut list = Vec::new();
    for (number, case) in layers().into_iter().chain(models()).enumerate() {
        let place = folder.join(number.to_string());
        fs::create_dir(&place).unwrap();
        (case.save)(&place.join("model.onnx")).unwrap();
        for rows in [1, 7] {
            let x = case.x(rows, &mut random);
            write_npy(place.join(format!("{rows}.{}.npy", case.input)), &x).unwrap();
            for (name, y) in (case.run)(&x) {
                write_npy(place.join(format!("{rows}.{name}.npy")), &y).unwrap();
            }
        }
        list.push(serde_json::json!([number.to_string(), case.row, case.name]));
    }
    fs::write(folder.join("cases.json"), serde_json::to_string(&list).unwrap()).unwrap();
}

fn read(path: &Path) -> GraphProto {
    let model = ModelProto::decode(&fs::read(path).unwrap()[..]).unwrap();
    assert_eq!((model.ir_version, &model.producer_name[..]), (8, "latentlab"));
    assert_eq!(model.producer_version, env!("CARGO_PKG_VERSION"));
    let [set] = &model.opset_import[..] else { panic!("one set of operators") };
    assert_eq!((&set.domain[..], set.version), ("", 17));
    model.graph.unwrap()
}

fn graph(network: &Sequential) -> GraphProto {
    let folder = Folder::new("onnx-graph");
    network.save_onnx(folder.file("a.onnx")).unwrap();
    read(&folder.file("a.onnx"))
}

/// The sizes of a tensor as text.
fn sizes(value: &ValueInfoProto) -> Vec<String> {
    let of_tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
    assert_eq!(of_tensor.elem_type, 1, "{value:?}");
    let size = |dim: messages::DimensionProto| match (dim.dim_value, dim.dim_param) {
        (Some(size), None) => size.to_string(),
        (None, Some(name)) => name,
        other => panic!("{other:?}"),
    };
    of_tensor.shape.unwrap().dim.into_iter().map(size).collect()
}

fn with_batch(shape: &[usize]) -> Vec<String> {
    ["batch".into()].into_iter().chain(shape.iter().map(usize::to_string)).collect()
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    assert_eq!(tensor.data_type, 1);
    tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn constant<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    graph.initializer.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> &'a AttributeProto {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn operators(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|node| &node.op_type[..]).collect()
}

/// What every reader relies on.
fn check(graph: &GraphProto) {
    let mut known: BTreeSet<&str> = graph.input.iter().map(|input| &input.name[..]).collect();
    for tensor in &graph.initializer {
        assert!(known.insert(&tensor.name), "{} twice", tensor.name);
        let values = tensor.dims.iter().product::<i64>() as usize;
        let bytes = BTreeMap::from([(1, 4), (7, 8)])[&tensor.data_type];
        assert_eq!(tensor.raw_data.len(), values * bytes, "{}", tensor.name);
    }
    let mut names = BTreeSet::new();
    for node in &graph.node {
        assert!(names.insert(&node.name), "{} twice", node.name);
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            assert!(known.contains(&input[..]), "{}: {input} does not come before it", node.name);
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            assert!(known.insert(output), "{output} twice");
        }
        for attribute in &node.attribute {
            let ints = i32::from(!attribute.ints.is_empty()) * 7;
            let types = [(attribute.f.is_some(), 1), (attribute.i.is_some(), 2), (attribute.s.is_some(), 3)];
            let types: i32 = types.into_iter().filter(|(has, _)| *has).map(|(_, number)| number).sum();
            assert_eq!(types + ints, attribute.r#type, "{}, {}", node.name, attribute.name);
        }
    }
    let mut described = BTreeSet::new();
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        assert!(known.contains(&value.name[..]) && described.insert(&value.name), "{}", value.name);
        assert_eq!(sizes(value)[0], "batch", "{}", value.name);
    }
}

#[test]
fn every_layer_is_a_graph_for_any_number_of_rows() {
    let folder = Folder::new("onnx-layers");
    let [first, second] = ["first.onnx", "second.onnx"].map(|name| folder.file(name));
    let mut named = BTreeSet::new();
    for case in layers() {
        (case.save)(&first).unwrap();
        (case.save)(&second).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap(), "the same bytes");
        let graph = read(&first);
        check(&graph);
        let y = &(case.run)(&ArrayD::zeros([&[1], &case.shape[..]].concat()))[0].1;
        let ([input], [output]) = (&graph.input[..], &graph.output[..]) else { panic!("{}", case.name) };
        assert_eq!((&input.name[..], sizes(input)), ("input", with_batch(&case.shape)));
        assert_eq!((&output.name[..], sizes(output)), ("output", with_batch(&y.shape()[1..])), "{}", case.name);
        named.insert(case.row);
    }
    // The names that the layers give themselves, but for those that take them from the user.
    let mut known = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nn");
    let files = fs::read_dir(source.join("layers")).unwrap().map(|entry| entry.unwrap().path());
    for path in files.chain([source.join("penalty.rs")]) {
        let text = fs::read_to_string(&path).unwrap();
        let names =
            text.split_once("fn name(&self) -> &'static str {").and_then(|(_, rest)| rest.split_once("\n    }\n"));
        let quoted = names.into_iter().flat_map(|(names, _)| names.split('"').skip(1).step_by(2));
        known.extend(quoted.map(String::from));
    }
    assert!(known.len() > 35, "{known:?}");
    let without: Vec<&String> = known.iter().filter(|name| !named.contains(&name[..])).collect();
    assert!(without.is_empty(), "no case for {without:?}");
}

#[test]
fn weights_are_in_the_layouts_of_onnx() {
    let network = shaken(
        Sequential::input([2, 6, 5])
            .conv2d(4, [3, 2])
            .stride(2)
            .same()
            .batch_norm()
            .conv_transpose2d(3, 2)
            .stride(2)
            .output_padding([1, 0])
            .layer_norm()
            .flatten()
            .dense(7),
    );
    let graph = graph(&network);
    let operators = operators(&graph);
    assert_eq!(operators, ["Conv", "BatchNormalization", "ConvTranspose", "LayerNormalization", "Flatten", "Gemm"]);
    // The names of weights are the network's, those of tensors have the layer's name.
    let names: Vec<&str> = graph.initializer.iter().map(|tensor| &tensor.name[..]).collect();
    assert_eq!(names, network.weight_names());
    assert_eq!(graph.node[1].input[..2], ["1.conv2d", "2.gamma"]);
    assert_eq!(graph.node[1].output, ["2.batch_norm"]);
    let shapes: Vec<(&str, Vec<String>)> = graph.value_info.iter().map(|v| (&v.name[..], sizes(v))).collect();
    assert_eq!(shapes[0], ("1.conv2d", with_batch(&[4, 3, 3])));
    assert_eq!(shapes.len(), 5, "the last one is the output");

    let ints = |node: usize, name: &str| attribute(&graph.node[node], name).ints.clone();
    // Of an odd padding the larger half is at the bottom and on the right.
    assert_eq!((ints(0, "pads"), ints(0, "strides")), (vec![0, 0, 1, 1], vec![2, 2]));
    assert_eq!((ints(2, "pads"), ints(2, "output_padding")), (vec![0; 4], vec![1, 0]));
    assert_eq!(attribute(&graph.node[1], "epsilon").f, Some(1e-3));
    let [kernel, ours] = ["1.weight"; 2].map(|name| (constant(&graph, name), network.weights(name).unwrap()));
    assert_eq!((&kernel.0.dims[..], ours.1.shape()), (&[4, 2, 3, 2][..], &[3, 2, 2, 4][..]));
    assert_eq!(floats(kernel.0), Vec::from_iter(ours.1.permuted_axes(vec![3, 2, 0, 1]).iter().copied()));
    assert_eq!(constant(&graph, "3.weight").dims, [4, 3, 2, 2]);
    assert_eq!(constant(&graph, "4.gamma").dims, [3, 7, 6]);
    assert_eq!(floats(constant(&graph, "6.weight")), network.weights("6.weight").unwrap().into_raw_vec_and_offset().0);
    assert_eq!(constant(&graph, "6.weight").dims, [126, 7]);

    // Inside a skip connection layers have numbers of their own.
    let network = shaken(Sequential::input([3]).relu().skip(|inner| inner.dense(3).tanh()));
    let graph = self::graph(&network);
    assert_eq!(graph.node[1].output, ["2.1.dense"]);
    assert_eq!(graph.node[3].input, ["1.relu", "2.2.tanh"]);
    assert_eq!(graph.initializer[0].name, "2.1.weight");
}

#[test]
fn gates_are_in_the_order_of_onnx() {
    let network = shaken(Sequential::input([4, 2]).lstm(3));
    let graph = graph(&network);
    assert_eq!(operators(&graph), ["Transpose", "LSTM", "Squeeze"]);
    assert_eq!((graph.node[1].output.len(), &graph.node[1].output[0][..]), (2, ""));
    let (weight, ours) = (constant(&graph, "1.weight_ih"), network.weights("1.weight_ih").unwrap());
    assert_eq!(weight.dims, [1, 12, 2]);
    let weight = ArrayD::from_shape_vec(vec![12, 2], floats(weight)).unwrap();
    // Input, output, forget, cell of input, forget, cell, output.
    for (gate, of_ours) in [0, 3, 1, 2].into_iter().enumerate() {
        let rows = weight.slice(s![3 * gate..3 * (gate + 1), ..]);
        assert_eq!(rows, ours.slice(s![.., 3 * of_ours..3 * (of_ours + 1)]).t(), "{gate}");
    }
    let biases = floats(constant(&graph, "1.bias"));
    assert_eq!(biases[3..6], network.weights("1.bias_ih").unwrap().as_slice().unwrap()[9..12]);
    assert_eq!(biases[12..15], network.weights("1.bias_hh").unwrap().as_slice().unwrap()[..3]);
    let network = shaken(Sequential::input([4, 2]).gru(3).return_sequences());
    let graph = self::graph(&network);
    assert_eq!(operators(&graph), ["Transpose", "GRU", "Squeeze", "Transpose"]);
    assert_eq!(attribute(&graph.node[1], "linear_before_reset").i, Some(1));
    let state = floats(constant(&graph, "1.weight_hh"));
    assert_eq!(state[0], network.weights("1.weight_hh").unwrap()[[0, 3]], "update before reset");
}

#[test]
fn models_have_inputs_and_outputs_by_name() {
    let folder = Folder::new("onnx-models");
    let path = folder.file("model.onnx");
    let encoder = || Sequential::input([1, 2, 2]).flatten().dense(3).relu();
    let decoder = || Sequential::input([2]).dense(4).dropout(0.5).reshape([1, 2, 2]);
    let saved = |saved: Result<()>| {
        saved.unwrap();
        let graph = read(&path);
        check(&graph);
        let named = |values: &[ValueInfoProto]| -> Vec<String> {
            values.iter().map(|value| format!("{} {}", value.name, sizes(value)[1..].join("×"))).collect()
        };
        (named(&graph.input), named(&graph.output))
    };
    let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let of = |input: &str, outputs: &[&str]| (texts(&[input]), texts(outputs));

    let model = Autoencoder::new(encoder().dense(2), decoder()).unwrap();
    assert_eq!(saved(model.save_onnx(&path)), of("images 1×2×2", &["latent 2", "reconstruction 1×2×2"]));
    let graph = read(&path);
    assert_eq!(operators(&graph), ["Flatten", "Gemm", "Relu", "Gemm", "Gemm", "Reshape"]);
    assert_eq!(graph.node[4].input, ["latent", "decoder.1.weight", "decoder.1.bias"]);
    assert_eq!(graph.node[5].input[0], "decoder.1.dense", "dropout does nothing");
    assert_eq!(saved(model.decoder().save_onnx(&path)), of("input 2", &["output 1×2×2"]));

    let model = Vae::new(encoder(), decoder()).unwrap();
    let outputs = ["mean 2", "log_variance 2", "reconstruction 1×2×2"];
    assert_eq!(saved(model.save_onnx(&path)), of("images 1×2×2", &outputs));
    assert_eq!(read(&path).node[4].output, ["mean", "log_variance"]);
    assert_eq!(saved(model.save_encoder_onnx(&path)), of("images 1×2×2", &outputs[..2]));

    let model = Classifier::new(encoder(), Sequential::input([3]).dense(4)).unwrap();
    assert_eq!(saved(model.save_onnx(&path)), of("images 1×2×2", &["logits 4", "probabilities 4"]));
    let model = Gan::new(decoder(), encoder().dense(1).sigmoid()).unwrap();
    assert_eq!(saved(model.save_onnx(&path)), of("noise 2", &["images 1×2×2", "score 1"]));

    // Where there is nothing to compute, an output is a copy.
    let model = Autoencoder::new(Sequential::input([3]).dropout(0.1), Sequential::input([3])).unwrap();
    assert_eq!(saved(model.save_onnx(&path)), of("images 3", &["latent 3", "reconstruction 3"]));
    assert_eq!(operators(&read(&path)), ["Identity", "Identity"]);
}

fn twice(x: &Tensor) -> Tensor {
    x * 2.0
}

fn scaled(x: &Tensor, weights: &[Tensor]) -> Tensor {
    x * &weights[0]
}

fn same(x: DfdxTensor) -> DfdxTensor {
    x
}

#[test]
fn layers_of_the_user_are_refused_by_number_and_name() {
    let folder = Folder::new("onnx-refused");
    let path = folder.write("model.onnx", b"old");
    let refused = |saved: Result<()>| {
        let error = saved.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let expected = ": expected a layer of the crate, of which ONNX has the operators, got one that is a function";
        error.to_string().split_once(expected).unwrap_or_else(|| panic!("{error}")).0.to_string()
    };
    let input = || Sequential::input([3]);
    assert_eq!(refused(input().relu().map("twice", twice).save_onnx(&path)), "layer 2, twice");
    let with = input().map_with("scaled", [("scale", vec![3])], scaled);
    assert_eq!(refused(with.save_onnx(&path)), "layer 1, scaled");
    assert_eq!(refused(input().dfdx("same", same).save_onnx(&path)), "layer 1, same");
    let inside = input().dense(3).skip(|inner| inner.relu().skip_concat(|x| x.map("twice", twice)).dense(3));
    assert_eq!(refused(inside.save_onnx(&path)), "layer 2, skip, inside, layer 2, skip_concat, inside, layer 1, twice");

    let decoder = || Sequential::input([2]).dense(3).map("twice", twice);
    let model = Autoencoder::new(input().dense(2), decoder()).unwrap();
    assert_eq!(refused(model.save_onnx(&path)), "decoder, layer 2, twice");
    let model = Vae::new(input().map("twice", twice).dense(4), decoder()).unwrap();
    assert_eq!(refused(model.save_onnx(&path)), "encoder, layer 1, twice");
    assert_eq!(refused(model.save_encoder_onnx(&path)), "encoder, layer 1, twice");
    let model = Gan::new(decoder(), input().dense(1)).unwrap();
    assert_eq!(refused(model.save_onnx(&path)), "generator, layer 2, twice");
    assert!(model.discriminator().save_onnx(&path).is_ok());
}

#[test]
fn mistakes_and_paths_are_errors() {
    let folder = Folder::new("onnx-errors");
    let error = Sequential::input([3]).dense(0).save_onnx(folder.file("a.onnx")).unwrap_err();
    assert_eq!(error.to_string(), "layer 1, dense: expected at least 1 unit, got 0");
    assert!(!folder.file("a.onnx").exists());
    let network = Sequential::input([3]).dense(2).build().unwrap();
    for path in [PathBuf::new(), folder.0.clone(), folder.file("none/a.onnx")] {
        let error = network.save_onnx(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        let place = if path.as_os_str().is_empty() { "an empty path".into() } else { path.display().to_string() };
        assert_eq!(error.place(), place);
    }
    network.save_onnx(folder.file("a.onnx")).unwrap();
    assert!(network.predict(&ArrayD::zeros(vec![1, 3])).is_ok());
}
