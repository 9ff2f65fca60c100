//! What building a network promises: shapes, numbers of parameters, and messages that name the mistake.

use crate::nn::{init::Init, sequential::Sequential};

#[test]
fn mistakes_name_the_layer() {
    let image = || Sequential::input([1, 28, 28]);
    let table = [
        (Sequential::input([]), "input: expected a shape of positive sizes such as [1, 28, 28], got []"),
        (Sequential::input([3, 0]), "input: expected a shape of positive sizes such as [1, 28, 28], got [3, 0]"),
        (image().dense(5), "layer 1, dense: expected a flat input [k], got [1, 28, 28]; put .flatten() before it"),
        (image().softmax(), "layer 1, softmax: expected a flat input [k], got [1, 28, 28]; put .flatten() before it"),
        (image().flatten().relu().dense(0).relu(), "layer 3, dense: expected at least 1 unit, got 0"),
        (image().flatten().reshape([28, 27]), "layer 2, reshape: 784 values cannot become [28, 27] (756)"),
        (image().reshape([usize::MAX, 2]), &format!("layer 1, reshape: 784 values cannot become [{}, 2]", usize::MAX)),
        (image().dropout(1.0), "layer 1, dropout: expected a rate in [0, 1), got 1"),
        (image().dropout(f32::NAN), "layer 1, dropout: expected a rate in [0, 1), got NaN"),
        (image().leaky_relu(-0.1), "layer 1, leaky_relu: expected a slope in (0, 1], got -0.1"),
        (image().elu(0.0), "layer 1, elu: expected an alpha above 0, got 0"),
        (
            image().embedding(5, 2),
            "layer 1, embedding: expected a flat input [k], got [1, 28, 28]; put .flatten() before it",
        ),
        (
            image().flatten().embedding((1 << 24) + 1, 2),
            "layer 2, embedding: expected a vocabulary of 1 to 16777216, got 16777217",
        ),
        (image().flatten().embedding(3, 0), "layer 2, embedding: expected vectors of at least 1 value, got 0"),
        (
            image().lstm(2),
            "layer 1, lstm: expected a sequence [time, features], got [1, 28, 28]; put .reshape([time, features]) \
             before it",
        ),
        (image().reshape([28, 28]).gru(0), "layer 2, gru: expected at least 1 unit, got 0"),
        (
            image().relu().return_sequences(),
            "after layer 1, .return_sequences(): expected an lstm or gru before it, got relu",
        ),
        (
            image().repeat_vector(2),
            "layer 1, repeat_vector: expected a flat input [k], got [1, 28, 28]; put .flatten() before it",
        ),
        (image().flatten().repeat_vector(0), "layer 2, repeat_vector: expected to repeat at least once, got 0"),
        (
            image().flatten().dense(1 << 40),
            "layer 2, dense: expected at most 4 GiB for one result, got 4 TiB (one sample: 1099511627776 values). \
             The environment variable LATENTLAB_MAX_BYTES allows more: a number of bytes, read once",
        ),
        (image().flatten().dense(0).seed(3), "layer 2, dense: expected at least 1 unit, got 0"),
    ];
    for (network, expected) in table {
        assert_eq!(network.build().unwrap_err().to_string(), expected);
    }
}

#[test]
fn seeds_and_initialisation_can_be_said_before_or_after_the_layers() {
    let weights = |network: Sequential| network.parameters().map(|p| p.to_vec()).collect::<Vec<_>>();
    let before = Sequential::input([4]).seed(5).init(Init::KaimingUniform).dense(3).dense(2);
    let after = Sequential::input([4]).dense(3).dense(2).init(Init::KaimingUniform).seed(5);
    assert_eq!(weights(before.clone()), weights(after));
    assert_ne!(weights(before.clone()), weights(before.seed(6)));
}

#[test]
fn the_summary_is_keras() {
    let network = Sequential::input([1, 28, 28]).flatten().dense(50).relu().dense(2).relu();
    let expected = [
        "Model: \"sequential\"",
        "_____________________________________________________________",
        " Layer                       Output Shape             Param #",
        "=============================================================",
        " input                       (None, 1, 28, 28)              0",
        "  1 flatten                  (None, 784)                    0",
        "  2 dense                    (None, 50)                39,250",
        "  3 relu                     (None, 50)                     0",
        "  4 dense                    (None, 2)                    102",
        "  5 relu                     (None, 2)                      0",
        "=============================================================",
        "Total params: 39,352",
    ];
    assert_eq!(network.summary().to_string().lines().collect::<Vec<_>>(), expected);
    let html = network.summary().to_html();
    for part in [
        ">Output Shape</th>",
        "><b>input</b></td>",
        "> 2 dense</td>",
        ">(None, 50)</td>",
        ">39,250</td>",
        "Total params: 39,352</p>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(network.dense(0).summary().to_string().contains("unfinished: layer 6, dense: expected at least 1 unit"));
}

#[test]
fn shapes_and_parameters_are_those_of_the_formulas() {
    let maps = || Sequential::input([3, 11, 8]);
    let table: [(Sequential, &[usize], usize); 54] = [
        (maps().conv2d(5, 3), &[5, 9, 6], 9 * 3 * 5 + 5),
        (maps().conv2d(5, [1, 4]), &[5, 11, 5], 4 * 3 * 5 + 5),
        (maps().conv2d(5, 3).same(), &[5, 11, 8], 140),
        (maps().conv2d(5, 3).same().stride(2), &[5, 6, 4], 140),
        (maps().conv2d(5, 3).stride(2).same(), &[5, 6, 4], 140),
        (maps().conv2d(5, 3).stride([2, 3]), &[5, 5, 2], 140),
        (maps().conv2d(5, 3).stride(2).padding(1), &[5, 6, 4], 140),
        (maps().conv2d(5, 3).padding([0, 2]), &[5, 9, 10], 140),
        (maps().conv2d(5, [11, 8]), &[5, 1, 1], 88 * 15 + 5),
        (maps().conv_transpose2d(5, 3), &[5, 13, 10], 140),
        (maps().conv_transpose2d(5, 3).stride(2), &[5, 23, 17], 140),
        (maps().conv_transpose2d(5, 3).stride(2).same(), &[5, 22, 16], 140),
        (maps().conv_transpose2d(5, 3).stride(2).padding(1), &[5, 21, 15], 140),
        (maps().conv_transpose2d(5, 3).stride(2).padding(1).output_padding(1), &[5, 22, 16], 140),
        (maps().conv_transpose2d(5, 2).stride([3, 4]), &[5, 32, 30], 65),
        (maps().conv2d(5, 3).dilation(2), &[5, 7, 4], 140),
        (maps().conv2d(5, 3).dilation([5, 1]).stride(2), &[5, 1, 3], 140),
        (maps().conv2d(5, 3).dilation(3).same().stride(2), &[5, 6, 4], 140),
        (maps().conv2d(6, 3).groups(3), &[6, 9, 6], 9 * 6 + 6),
        (maps().conv2d(3, 3).groups(3).same(), &[3, 11, 8], 9 * 3 + 3),
        (maps().conv_transpose2d(5, 3).dilation([2, 3]).stride(2), &[5, 25, 21], 140),
        (maps().conv_transpose2d(6, 3).groups(3).stride(2).same(), &[6, 22, 16], 9 * 2 * 3 + 6),
        (maps().up_sample2d([2, 1]).bilinear(), &[3, 22, 8], 0),
        (maps().conv2d(8, 1).pixel_shuffle(2), &[2, 22, 16], 32),
        (maps().pixel_shuffle(1), &[3, 11, 8], 0),
        (maps().max_pool2d(2), &[3, 5, 4], 0),
        (maps().max_pool2d([3, 2]).stride([1, 5]), &[3, 9, 2], 0),
        (maps().max_pool2d([11, 8]), &[3, 1, 1], 0),
        (maps().avg_pool2d(2), &[3, 5, 4], 0),
        (maps().avg_pool2d([3, 2]).stride([1, 5]), &[3, 9, 2], 0),
        (maps().up_sample2d(3), &[3, 33, 24], 0),
        (maps().up_sample2d([1, 2]), &[3, 11, 16], 0),
        (maps().batch_norm(), &[3, 11, 8], 12),
        (maps().batch_norm().momentum(0.9).epsilon(1e-5), &[3, 11, 8], 12),
        (maps().flatten().batch_norm(), &[264], 4 * 264),
        (maps().flatten().dense(7).reshape([7, 1, 1]).conv2d(2, 1), &[2, 1, 1], 264 * 7 + 7 + 16),
        (maps().elu(1.0).gelu().silu().softplus().hard_sigmoid(), &[3, 11, 8], 0),
        (maps().prelu(), &[3, 11, 8], 3),
        (maps().flatten().prelu(), &[264], 264),
        (maps().global_avg_pool2d(), &[3], 0),
        (maps().global_max_pool2d(), &[3], 0),
        (maps().zero_pad2d(2), &[3, 15, 12], 0),
        (maps().zero_pad2d([[1, 0], [0, 3]]), &[3, 12, 11], 0),
        (maps().crop2d([5, 3]), &[3, 1, 2], 0),
        (maps().layer_norm(), &[3, 11, 8], 2 * 264),
        (maps().layer_norm().epsilon(1e-3), &[3, 11, 8], 2 * 264),
        (maps().reshape([33, 8]).layer_norm(), &[33, 8], 2 * 8),
        (maps().group_norm(3), &[3, 11, 8], 2 * 3),
        (maps().flatten().embedding(5, 2), &[264, 2], 10),
        (maps().reshape([33, 8]).dense(5), &[33, 5], 8 * 5 + 5),
        (maps().reshape([33, 8]).lstm(5), &[5], 4 * 5 * (8 + 5 + 2)),
        (maps().reshape([33, 8]).lstm(5).return_sequences(), &[33, 5], 4 * 5 * (8 + 5 + 2)),
        (maps().reshape([33, 8]).gru(5), &[5], 3 * 5 * (8 + 5 + 2)),
        (maps().flatten().repeat_vector(2), &[2, 264], 0),
    ];
    for (number, (network, shape, parameters)) in table.into_iter().enumerate() {
        let network = network.build().unwrap();
        assert_eq!((network.output_shape(), network.parameter_count()), (shape, parameters), "row {number}");
        let (summary, name) = (network.summary(), network.nodes().last().unwrap().layer.name());
        let last = summary.rows().last().unwrap();
        assert_eq!((last.kind.as_str(), &last.output_shape[..]), (name, shape), "row {number}");
        let y = network.run(&vec![1.0; 2 * 264], 2).unwrap();
        assert_eq!(y.len(), 2 * shape.iter().product::<usize>(), "row {number}");
    }
}

#[test]
fn mistakes_in_layers_of_feature_maps_say_what_does_not_fit() {
    let maps = || Sequential::input([3, 5, 8]);
    let flat = || Sequential::input([264]);
    let no_feature_maps = |layer: &str| {
        let hint = "put .reshape([channels, height, width]) before it";
        format!("layer 1, {layer}: expected an input [channels, height, width], got [264]; {hint}")
    };
    let table = [
        (flat().conv2d(4, 3), &no_feature_maps("conv2d") as &str),
        (flat().conv_transpose2d(4, 3), &no_feature_maps("conv_transpose2d")),
        (flat().max_pool2d(2), &no_feature_maps("max_pool2d")),
        (flat().avg_pool2d(2), &no_feature_maps("avg_pool2d")),
        (flat().pixel_shuffle(2), &no_feature_maps("pixel_shuffle")),
        (flat().up_sample2d(2), &no_feature_maps("up_sample2d")),
        (flat().global_avg_pool2d(), &no_feature_maps("global_avg_pool2d")),
        (flat().global_max_pool2d(), &no_feature_maps("global_max_pool2d")),
        (flat().zero_pad2d(1), &no_feature_maps("zero_pad2d")),
        (flat().crop2d(1), &no_feature_maps("crop2d")),
        (maps().crop2d([[2, 3], [0, 0]]), "layer 1, crop2d: 5 rows and 0 columns cut off leave nothing of [3, 5, 8]"),
        (maps().group_norm(0), "layer 1, group_norm: expected groups that divide 3 channels, got 0"),
        (maps().group_norm(2), "layer 1, group_norm: expected groups that divide 3 channels, got 2"),
        (maps().layer_norm().epsilon(0.0), "layer 1, layer_norm: expected an epsilon above 0, got 0"),
        (maps().relu().epsilon(0.1), "after layer 1, .epsilon(): expected a normalisation before it, got relu"),
        (
            Sequential::input([2, 3]).group_norm(1),
            "layer 1, group_norm: expected [k] or [channels, height, width], got [2, 3]",
        ),
        (
            Sequential::input([2, 3]).batch_norm(),
            "layer 1, batch_norm: expected [k] or [channels, height, width], got [2, 3]",
        ),
        (maps().conv2d(4, 6), "layer 1, conv2d: a kernel of [6, 6] does not fit into 5 pixels (input [3, 5, 8])"),
        (
            maps().conv2d(4, 10).padding(1),
            "layer 1, conv2d: a kernel of [10, 10] does not fit into 7 pixels (input [3, 5, 8])",
        ),
        (maps().conv2d(0, 3), "layer 1, conv2d: expected at least 1 filter, got 0"),
        (maps().conv_transpose2d(0, 3), "layer 1, conv_transpose2d: expected at least 1 filter, got 0"),
        (
            maps().conv2d(4, 3).dilation(3),
            "layer 1, conv2d: a kernel of [3, 3], which spans [7, 7], does not fit into 5 pixels (input [3, 5, 8])",
        ),
        (maps().conv2d(4, 3).dilation([1, 0]), "layer 1, conv2d: expected a dilation of at least 1, got [1, 0]"),
        (maps().conv2d(3, 3).groups(0), "layer 1, conv2d: expected at least 1 group, got 0"),
        (
            maps().conv_transpose2d(4, 3).groups(3),
            "layer 1, conv_transpose2d: expected a number of groups that divides the 3 channels and the 4 filters, got \
             3",
        ),
        (
            maps().relu().groups(3),
            "after layer 1, .groups(): expected a conv2d or conv_transpose2d before it, got relu",
        ),
        (
            maps().dilation(3),
            "after layer 0, .dilation(): expected a conv2d or conv_transpose2d before it, got nothing",
        ),
        (maps().relu().bilinear(), "after layer 1, .bilinear(): expected an up_sample2d before it, got relu"),
        (maps().pixel_shuffle(2), "layer 1, pixel_shuffle: expected a number of channels that 2² divides, got 3"),
        (maps().pixel_shuffle(0), "layer 1, pixel_shuffle: expected a factor of at least 1, got 0"),
        (maps().conv2d(4, [3, 0]), "layer 1, conv2d: expected a kernel of at least 1, got [3, 0]"),
        (maps().conv2d(4, 3).stride([0, 1]), "layer 1, conv2d: expected a stride of at least 1, got [0, 1]"),
        (
            maps().conv_transpose2d(4, 3).stride(0),
            "layer 1, conv_transpose2d: expected a stride of at least 1, got [0, 0]",
        ),
        (maps().max_pool2d(2).stride(0), "layer 1, max_pool2d: expected a stride of at least 1, got [0, 0]"),
        (maps().up_sample2d([2, 0]), "layer 1, up_sample2d: expected a factor of at least 1, got [2, 0]"),
        (
            maps().conv_transpose2d(4, 3).output_padding(1),
            "layer 1, conv_transpose2d: expected an output padding below the stride [1, 1], got [1, 1]",
        ),
        (
            maps().conv_transpose2d(4, 3).stride([2, 3]).output_padding([2, 0]),
            "layer 1, conv_transpose2d: expected an output padding below the stride [2, 3], got [2, 0]",
        ),
        (maps().batch_norm().momentum(1.5), "layer 1, batch_norm: expected a momentum in [0, 1], got 1.5"),
        (maps().batch_norm().momentum(f32::NAN), "layer 1, batch_norm: expected a momentum in [0, 1], got NaN"),
        (maps().batch_norm().epsilon(0.0), "layer 1, batch_norm: expected an epsilon above 0, got 0"),
        (maps().batch_norm().epsilon(f32::INFINITY), "layer 1, batch_norm: expected an epsilon above 0, got inf"),
        (maps().relu().same(), "after layer 1, .same(): expected a conv2d or conv_transpose2d before it, got relu"),
        (maps().stride(2), "after layer 0, .stride(): expected a convolution or pooling before it, got nothing"),
        (
            maps().max_pool2d(2).padding(1),
            "after layer 1, .padding(): expected a conv2d or conv_transpose2d before it, got max_pool2d",
        ),
        (
            maps().conv2d(4, 3).output_padding(1),
            "after layer 1, .output_padding(): expected a conv_transpose2d before it, got conv2d",
        ),
        (maps().conv2d(4, 3).momentum(0.5), "after layer 1, .momentum(): expected a batch_norm before it, got conv2d"),
        // A modifier fixes the layer right before it, and no other.
        (
            maps().conv2d(4, 6).relu().same(),
            "layer 1, conv2d: a kernel of [6, 6] does not fit into 5 pixels (input [3, 5, 8])",
        ),
        (
            maps().conv2d(4, 6).stride(2),
            "layer 1, conv2d: a kernel of [6, 6] does not fit into 5 pixels (input [3, 5, 8])",
        ),
        (
            maps().conv2d(4, usize::MAX),
            &format!(
                "layer 1, conv2d: a kernel of [{0}, {0}] does not fit into 5 pixels (input [3, 5, 8])",
                usize::MAX
            ),
        ),
    ];
    for (network, expected) in table {
        // The mistake stays, whatever seed the weights would have been drawn from.
        assert_eq!(network.clone().seed(5).build().unwrap_err().to_string(), expected);
        assert_eq!(network.build().unwrap_err().to_string(), expected);
    }
    let nothing_left = maps().conv_transpose2d(4, 3).padding(4).build().unwrap_err().to_string();
    assert!(nothing_left.starts_with("layer 1, conv_transpose2d: a padding of "), "{nothing_left}");
    assert!(nothing_left.ends_with(" leaves nothing of 7 pixels"), "{nothing_left}");
}

#[test]
fn a_word_mends_the_layer_before_it() {
    let shape = |network: Sequential| network.build().unwrap().output_shape().to_vec();
    let maps = || Sequential::input([3, 5, 8]);
    assert_eq!(shape(maps().conv2d(4, 6).same()), [4, 5, 8]);
    assert_eq!(shape(maps().conv2d(4, 6).padding(1)), [4, 2, 5]);
    assert_eq!(shape(maps().conv2d(4, 6).seed(3).same().relu()), [4, 5, 8]);
    assert_eq!(shape(maps().max_pool2d(2).stride(0).stride(1)), [3, 4, 7]);
    assert_eq!(shape(maps().conv_transpose2d(4, 3).output_padding(1).stride(2)), [4, 12, 18]);
    assert_eq!(shape(maps().batch_norm().epsilon(-1.0).epsilon(1e-5).relu()), [3, 5, 8]);
}

#[test]
fn words_after_a_layer_leave_its_weights_as_they_are() {
    let weights = |network: Sequential| network.parameters().map(|p| p.to_vec()).collect::<Vec<_>>();
    let plain = Sequential::input([3, 9, 9]).conv2d(4, 3).batch_norm().conv_transpose2d(2, 3).seed(8);
    let modified = Sequential::input([3, 9, 9]).conv2d(4, 3).same().stride(2).batch_norm().momentum(0.5);
    let modified = modified.conv_transpose2d(2, 3).stride(2).padding(1).output_padding(1).seed(8);
    assert_eq!(weights(plain.clone()), weights(modified));
    // Batch normalisation starts from γ 1, β 0, mean 0 and variance 1, whatever the seed.
    let parameters = weights(plain);
    assert_eq!(parameters[2..6], [vec![1.0; 4], vec![0.0; 4], vec![0.0; 4], vec![1.0; 4]]);
}
