use latentlab::Heatmap;
use ndarray::{Array2, array};

use super::attribute;

#[test]
fn each_count_is_in_its_cell_and_dark_is_much() {
    let heatmap = Heatmap::new(&array![[90, 10], [0, 7]]).names(["shirt", "coat"]).axis_names("true", "predicted");
    let svg = heatmap.figure().unwrap().to_svg().unwrap();
    for (text, times) in
        [("90", 1), ("10", 1), ("0", 0), ("7", 1), ("shirt", 2), ("coat", 2), ("true", 1), ("predicted", 1)]
    {
        assert_eq!(svg.matches(&format!("\n{text}\n")).count(), times, "{text} in {svg}");
    }
    assert_eq!(fills(&svg)[2..4], ["#FFFFFF", "#08306B"], "none and all of the second row");
    let shades = Heatmap::new(&array![[0, 98, 2], [50, 50, 0], [0, 0, 1]]).figure().unwrap().to_svg().unwrap();
    let red = |fill: &&str| u8::from_str_radix(&fill[1..3], 16).unwrap();
    let shades: Vec<u8> = fills(&shades).iter().map(red).collect();
    let [none, few, half, all] = [0, 2, 3, 8].map(|cell| shades[cell]);
    assert!(none > few && none - few > 10 && few > half && half > all);
}

/// The colours of the cells, row by row.
fn fills(svg: &str) -> Vec<&str> {
    let cells = svg.lines().filter(|line| line.starts_with("<rect") && line.contains("stroke=\"none\""));
    cells.skip(1).map(|cell| attribute(cell, "fill")).collect()
}

#[test]
fn names_have_to_fit() {
    let counts = Array2::zeros((3, 2));
    for (heatmap, expected) in [
        (Heatmap::new(&Array2::zeros((0, 2))), "heatmap, counts: expected 1 to 500 rows and columns, got (0, 2)"),
        (Heatmap::new(&counts).names(["a", "b"]), "heatmap, row names: expected 3, one for each row, got 2"),
        (Heatmap::new(&counts).names(["a", "b", "c"]), "heatmap, column names: expected 2, one for each column, got 3"),
    ] {
        assert_eq!(heatmap.figure().unwrap_err().to_string(), expected);
    }
    let heatmap = Heatmap::new(&counts).column_names(["x", "y"]).names(["a", "b", "c"]);
    assert!(heatmap.figure().unwrap().to_png().is_ok(), "names in any order, and a row without counts");
    assert!(
        Heatmap::new(&Array2::from_elem((3, 3), usize::MAX)).figure().unwrap().to_png().is_ok(),
        "sums beyond any number"
    );
    let error = Heatmap::new(&Array2::zeros((501, 2))).figure().unwrap_err().to_string();
    assert!(
        error.starts_with("heatmap, counts: expected 1 to 500 rows and columns, got (501, 2). Draw a part"),
        "{error}"
    );
}
