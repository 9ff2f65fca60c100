//! Names with control characters, marks of the relay and the kernel, or far too many letters: text, HTML and figures
//! show them in one line, and nothing in them controls a terminal, a page or the kernel.

use latentlab::{
    BarChart, Codes, Confusion, Dataset, Figure, LineChart, Space, Study, explore, kmeans_accuracy,
    ndarray::{Array4, arr1, array},
};

fn names() -> [String; 4] {
    [
        "a\r\n\u{1}latentlab {\"content\": 5}\n\u{1b}[2J\u{0}\u{b}\u{85}\u{202e}\u{2028}\u{fffe}\u{ffff}".into(),
        "\nEVCXR_BEGIN_CONTENT text/html\n<b>\nEVCXR_END_CONTENT\nEVCXR_EXECUTION_COMPLETE".into(),
        "<script>alert(\"x\")</script>]]>&amp;'".into(),
        "x".repeat(70_000),
    ]
}

fn check(what: &str, shown: &str) {
    for (number, line) in shown.lines().enumerate() {
        let hidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}' | '\u{fffe}' | '\u{ffff}');
        assert_eq!(line.chars().find(|c| hidden(*c)), None, "{what}, line {number}: {line:?}");
        for mark in ["EVCXR_BEGIN", "EVCXR_END", "EVCXR_EXEC"] {
            assert!(!line.contains(mark), "{what}, line {number}: {line}");
        }
    }
    assert!(shown.len() < 40_000 || shown.contains("data:image/png"), "{what}: {} bytes", shown.len());
}

fn check_html(what: &str, html: &str) {
    check(what, html);
    assert!(!html.contains("<script>alert"), "{what}: {html}");
}

fn check_figure(what: &str, figure: Figure) {
    check(what, &format!("{figure:?}"));
    check_html(what, &figure.to_svg().unwrap());
    assert!(figure.to_png().is_ok());
}

fn data() -> Dataset {
    let images = Array4::from_shape_fn((8, 1, 4, 4), |(n, _, y, x)| ((n + x * y) % 5) as f32 / 4.0);
    Dataset::new(images, arr1(&[0, 1, 2, 3, 0, 1, 2, 3]), names()).unwrap()
}

#[test]
fn data_sets_and_their_images() {
    check("data set", &data().to_string());
    check_html("data set", &data().to_html());
    check_figure("images", data().plot_images(8).unwrap());
}

#[test]
fn tables_of_the_analysis() {
    let labels = arr1(&[0, 1, 2, 3]);
    let confusion = Confusion::new(&labels, &arr1(&[1, 1, 2, 0]), names().to_vec()).unwrap();
    check("confusion", &confusion.to_string());
    check_html("confusion", &confusion.to_html());
    check_figure("confusion", confusion.plot().unwrap());
    let points = array![[0.0, 1.0], [5.0, 5.0], [9.0, 1.0], [4.0, -8.0]];
    let codes = Codes::new(points, labels, names().to_vec()).unwrap();
    check_figure("codes", codes.scatter().unwrap());
    let clustering = kmeans_accuracy(&codes, 2).unwrap();
    check("clustering", &clustering.to_string());
    check_html("clustering", &clustering.to_html());
}

#[test]
fn studies() {
    for name in names() {
        // Names that a study refuses are told as well as those that it takes.
        let space = Space::new().float(&*name, 0.0, 1.0).choice("choice", names().map(|name| name + "!"));
        let study = match Study::minimize(space) {
            Ok(study) => study.trials(5).progress_every(0),
            Err(error) => {
                check("study", &error.to_string());
                continue;
            }
        };
        while let Some(trial) = study.ask().unwrap() {
            let error = trial.integer(&name).unwrap_err().to_string();
            check("trial", &error.replace(&"x".repeat(70_000), "x"));
            let value = trial.float(&name).unwrap();
            study.tell(trial, value).unwrap();
        }
        check("study", &study.to_string());
        check_html("study", &study.to_html());
        check("record", &study.best().unwrap().to_string());
        check_figure("study", study.plot().unwrap());
        check_figure("importance", study.plot_importance().unwrap());
    }
}

#[test]
fn errors_are_one_line() {
    for name in names() {
        let line = LineChart::new(&*name, &*name).line(&*name, &[f64::NAN]);
        let bar = BarChart::new(&*name).bar(&*name, f64::NAN);
        for error in [line.figure().unwrap_err(), bar.figure().unwrap_err()] {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            check("error", &error.to_string().replace(&"x".repeat(70_000), "x"));
        }
        let path = std::env::temp_dir().join("absent").join(name.replace(['\0', '/'], "")).join("a.svg");
        let figure = LineChart::new("x", "y").line("a", &[1.0]).figure().unwrap();
        let error = figure.save(path).unwrap_err().to_string();
        check("path", &error.replace(&"x".repeat(70_000), "x"));
        check("figure", &format!("{:?}", figure.title(name)).replace(&"x".repeat(70_000), "x"));
    }
}

#[test]
fn the_explorer() {
    let images = Array4::from_shape_fn((8, 1, 28, 28), |(n, _, y, x)| ((n + x * y) % 5) as f32 / 4.0);
    let data =
        Dataset::new(images, arr1(&[0, 1, 2, 3, 0, 1, 2, 3]), names().map(|name| name.replace("xxx", ""))).unwrap();
    let explorer = explore(&latentlab::Autoencoder::tiny(2).unwrap(), &data).unwrap();
    check_html("explorer", explorer.to_html());
}
