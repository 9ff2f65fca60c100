//! What is fused with what, as it is printed, and what a plan makes of several rows.

use ndarray::{ArrayD, Axis, Slice};

use crate::nn::sequential::Sequential;

/// The names of a plan's steps.
fn steps(network: &Sequential) -> Vec<String> {
    let text = network.plan().unwrap().to_string();
    let line = |line: &str| line[8..55].trim().to_string();
    text.lines().skip(2).map(line).filter(|step| !step.is_empty()).collect()
}

fn pooled_maps() -> Sequential {
    Sequential::input([1, 28, 28]).conv2d(32, 3).same().batch_norm().leaky_relu(0.2).max_pool2d(2)
}

#[test]
fn a_plan_prints_its_steps() {
    let network = pooled_maps()
        .flatten()
        .dense(112)
        .relu()
        .reshape([7, 4, 4])
        .up_sample2d(3)
        .conv2d(8, 3)
        .relu()
        .conv_transpose2d(1, 3)
        .stride(2)
        .same()
        .batch_norm()
        .sigmoid()
        .build()
        .unwrap();
    assert_eq!(
        network.plan().unwrap().to_string(),
        "\
Plan for an input of [1, 28, 28]
Layers  Step                                            Output              Multiply-adds
1       conv2d + moments                                [32, 28, 28]              215,168
2-4     batch_norm + leaky_relu + max_pool2d            [32, 14, 14]                    0
5-7     flatten + dense + relu                          [112]                     702,464
8       reshape                                         [7, 4, 4]                       0
9-11    up_sample2d + conv2d + relu                     [8, 10, 10]                14,336
12      conv_transpose2d + moments                      [1, 20, 20]                 6,728
13      batch_norm                                      [1, 20, 20]                     0
14      sigmoid                                         [1, 20, 20]                     0
Total                                                                             938,696"
    );
    let prediction = network.prediction_plan().unwrap();
    assert_eq!(prediction.multiply_adds(), network.plan().unwrap().multiply_adds());
    let text = prediction.to_string();
    for step in ["1-3     conv2d + folded batch_norm + leaky_relu ", "12-13   conv_transpose2d + folded batch_norm "] {
        assert!(text.contains(step), "{text}");
    }
    assert!(!text.contains("moments"), "{text}");
    assert_eq!(format!("{prediction:?}"), text);
}

#[test]
fn layers_are_fused_only_where_a_rule_says_so() {
    let maps = || Sequential::input([2, 8, 8]);
    for (network, expected) in [
        (maps().relu().relu(), vec!["relu", "relu"]),
        (maps().conv2d(2, 3).sigmoid(), vec!["conv2d", "sigmoid"]),
        (maps().conv2d(2, 3).relu().relu().batch_norm(), vec!["conv2d + relu", "relu", "batch_norm"]),
        (maps().conv2d(2, 3).relu().max_pool2d(2), vec!["conv2d + relu", "max_pool2d"]),
        (maps().batch_norm().max_pool2d(2).relu(), vec!["batch_norm + max_pool2d", "relu"]),
        (maps().batch_norm().relu().max_pool2d(2).max_pool2d(2), vec!["batch_norm + relu + max_pool2d", "max_pool2d"]),
        (maps().up_sample2d(2).conv2d(2, 3).stride(2), vec!["up_sample2d", "conv2d"]),
        (maps().up_sample2d(2).conv2d(2, 3).padding(3), vec!["up_sample2d", "conv2d"]),
        (maps().up_sample2d(2).bilinear().conv2d(2, 3), vec!["up_sample2d", "conv2d"]),
        (maps().up_sample2d(2).conv2d(2, 3).dilation(2).relu(), vec!["up_sample2d", "conv2d + relu"]),
        (
            maps().up_sample2d(2).conv2d(2, 3).groups(2).batch_norm(),
            vec!["up_sample2d", "conv2d + moments", "batch_norm"],
        ),
        (maps().up_sample2d(2).up_sample2d(2).conv2d(2, 3), vec!["up_sample2d", "up_sample2d + conv2d"]),
        (maps().up_sample2d(2).conv_transpose2d(2, 3), vec!["up_sample2d", "conv_transpose2d"]),
        (maps().flatten().dense(3).batch_norm().relu(), vec!["flatten + dense", "batch_norm + relu"]),
        (maps().flatten().relu().dense(3), vec!["flatten", "relu", "dense"]),
        (maps().flatten().dense(3).relu().dropout(0.5).relu(), vec!["flatten + dense + relu + dropout", "relu"]),
        (maps().conv2d(2, 3).dropout(0.5).dropout(0.5), vec!["conv2d", "dropout", "dropout"]),
        (maps(), vec![]),
    ] {
        assert_eq!(steps(&network), expected);
    }
}

/// The chain of feature maps takes two of them at once, the dense layers all.
#[test]
fn what_predictions_make_of_a_row_does_not_depend_on_the_others() {
    let network = pooled_maps()
        .conv2d(20, 3)
        .tanh()
        .avg_pool2d(2)
        .flatten()
        .dense(50)
        .relu()
        .dense(36)
        .reshape([4, 3, 3])
        .up_sample2d(3)
        .conv_transpose2d(60, 4)
        .stride(3)
        .relu()
        .build()
        .unwrap();
    let value = |index: usize| ((index * 7919) % 101) as f32 / 50.0 - 1.0;
    let images = ArrayD::from_shape_vec(vec![7, 1, 28, 28], (0..7 * 784).map(value).collect()).unwrap();
    let all = network.predict(&images).unwrap();
    for row in 0..7 {
        let alone = images.slice_axis(Axis(0), Slice::from(row..=row)).to_owned();
        assert_eq!(network.predict(&alone).unwrap(), all.slice_axis(Axis(0), Slice::from(row..=row)), "row {row}");
    }
}

#[test]
fn a_network_with_a_mistake_has_no_plan() {
    let network = Sequential::input([4]).dense(0);
    for plan in [network.plan(), network.prediction_plan()] {
        assert_eq!(plan.unwrap_err().to_string(), "layer 1, dense: expected at least 1 unit, got 0");
    }
}

/// A window's weights that see the feature map, for each place: 7 of 8 places see a tap 1 pixel away, 6 one 2 away.
#[test]
fn multiply_adds_of_spread_convolutions_are_those_that_see_the_feature_map() {
    let maps = || Sequential::input([4, 8, 8]);
    for (network, expected) in [
        (maps().conv2d(6, 3).same(), 22 * 22 * 4 * 6),
        (maps().conv2d(6, 3).same().dilation(2), 20 * 20 * 4 * 6),
        (maps().conv2d(6, 3).same().groups(2), 22 * 22 * 2 * 6),
        (maps().conv2d(4, 3).same().groups(4), 22 * 22 * 4),
        (maps().conv_transpose2d(4, 3).dilation(2).groups(4), 64 * 9 * 4),
    ] {
        assert_eq!(network.plan().unwrap().multiply_adds(), expected);
    }
}
