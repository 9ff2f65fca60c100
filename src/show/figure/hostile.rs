//! Every kind of figure with names that are hard to draw: all text lies on the canvas, every SVG is XML, and every
//! character leaves ink.

use ndarray::{Array1, Array2, Array4};

use super::*;
use crate::analyse::roc_curve;
use crate::nn::Sequential;
use crate::show::{BarChart, Heatmap, Histogram, ImageGrid, LineChart, RocChart, Scatter, Scatter3d};

/// Every kind of figure with `classes` classes and this text in each name and caption.
fn figures(name: &str, classes: usize) -> Vec<(&'static str, Figure)> {
    let named = |index: usize| format!("{name} {index}");
    let names: Vec<String> = (0..classes).map(named).collect();
    let points = |columns: usize| {
        Array2::from_shape_fn((3 * classes, columns), |(i, j)| ((i * (37 + 11 * j)) % 101) as f32 - 1e-3 * i as f32)
    };
    let labels = Array1::from_shape_fn(3 * classes, |index| index % classes);
    let images = Array4::from_shape_fn((12, 1, 8, 8), |(n, _, y, x)| ((n + x * y) % 7) as f32 / 6.0);
    let counts = Array2::from_shape_fn((classes, classes), |(i, j)| if i == j { 12_345 } else { (i * j) % 3 });

    let mut lines = LineChart::new(name, name);
    for (index, name) in names.iter().enumerate() {
        lines = lines.line(name, &[1.0, f64::NAN, 1e-9 * index as f64, 150.0]);
    }
    let marked = lines.clone().mark(1.0, name).mark(1.1, name).mark(3.9, name).x_values(&[1.0, 2.0, 3.0, 4.0]);
    let far = LineChart::new(name, name).line(name, &[1e-90, 2e-90]).x_values(&[1_234_567_890.0, 1_234_567_891.0]);
    let mut bars = BarChart::new(name);
    for index in 0..classes.min(50) {
        bars = bars.bar(named(index), [-1.5e-80, 1.0, 123_456.0][index % 3]);
    }
    let mut histogram = Histogram::new(name).mark(1.0, name).mark(1.1, name);
    for (index, name) in names.iter().enumerate().take(10) {
        histogram = histogram.series(name, &[1.0, f64::NAN, 3.5, index as f64]);
    }
    let roc = roc_curve(&[true, false, true], &[0.5, 0.4, 0.3]).unwrap();
    let rocs = names.iter().take(8).fold(RocChart::new(), |chart, name| chart.curve(name, &roc));
    let scatter = Scatter::new(&points(2), &labels).names(&names).axis_names(name, name);
    let noted = scatter.clone().annotate([100.0, 100.0], name).annotate([0.0, -1.0], name);
    let crossed = noted.class_means().crosses(&vec![true; 3 * classes], name, name);
    let space = |azimuth, elevation| {
        let scatter = Scatter3d::new(&points(3), &labels).names(&names).axis_names(name, name, name);
        scatter.view(azimuth, elevation).figure().unwrap().title(name)
    };
    let heatmap = Heatmap::new(&counts).names(&names).axis_names(name, name);
    let captioned = ImageGrid::new(&images, 6).captions((0..12).map(named)).column_names((0..6).map(named));
    let rows = ImageGrid::rows([(name, &images), (name, &images)]).column_names((0..12).map(named));
    let network = Sequential::input([4]).map(name.to_string().leak(), |x| x.clone()).dense(2).diagram();
    let figure = lines.figure().unwrap();
    vec![
        ("network", network.unwrap().title(name)),
        ("lines", figure.clone().title(name)),
        ("marked lines", marked.figure().unwrap()),
        ("far numbers", far.figure().unwrap()),
        ("bars", bars.figure().unwrap().title(name)),
        ("histogram", histogram.figure().unwrap().title(name)),
        ("ROC curves", rocs.figure().unwrap().title(name)),
        ("scatter", scatter.figure().unwrap().title(name)),
        ("noted scatter", crossed.figure().unwrap()),
        ("space", space(35.0, 25.0)),
        ("space from above", space(200.0, 90.0)),
        ("space from the side", space(-60.0, 0.0)),
        ("heatmap", heatmap.figure().unwrap().title(name)),
        ("images", captioned.figure().unwrap().title(name)),
        ("image rows", rows.figure().unwrap().title(name)),
        ("row", row([figure.clone().title(name), captioned.figure().unwrap().title(name)]).title(name)),
        ("grid", grid(2, [figure.clone(), figure.title(name), rows.figure().unwrap()]).title(name)),
    ]
}

fn hard_names() -> Vec<String> {
    vec![
        "T-shirt/top".into(),
        String::new(),
        "very long ".repeat(20),
        "an_identifier_without_a_space".repeat(7),
        "W".repeat(200),
        "お".repeat(40),
        "Потери при обучении и проверке автокодировщика, среднее по пяти повторениям".into(),
        "👨‍👩‍👧 e\u{301}\u{308} שלום עולם مرحبا क्षि".into(),
        "<b>&\"'</b>]]> <!-- --> &amp; ‖x‖² ≤ ά".into(),
        "a\nb\r\tc\u{0}\u{1}\u{8}\u{b}\u{1b}[2J\u{7f}\u{85}\u{9f}\u{202e}\u{2028}\u{fffe}\u{ffff}\u{1fffe}".into(),
        "\nEVCXR_BEGIN_CONTENT text/html\n<script>\nEVCXR_END_CONTENT\n\u{1}latentlab {}".into(),
    ]
}

/// A text and its bounds: left, top, right, bottom.
type Written = (String, [f64; 4]);

fn texts(figure: &Figure) -> ((u32, u32), Vec<Written>) {
    let measured = figure.measured().unwrap();
    let written = |shape: &Shape| match shape {
        Shape::Text(text, at) => Some(written(&text.0, &text.1, *at)),
        _ => None,
    };
    let size = (measured.size.0 * DETAIL, measured.size.1 * DETAIL);
    (size, figure.shapes(&measured).iter().filter_map(written).collect())
}

fn written(text: &str, style: &TextStyle<'_>, (x, y): (i32, i32)) -> Written {
    let size = style.font.get_size() / text::PLOTTERS_SIZE;
    let width = f64::from(crate::show::font::width(text)) * size;
    let left = match style.pos.h_pos {
        HPos::Left => 0.0,
        HPos::Center => -width / 2.0,
        HPos::Right => -width,
    };
    let baseline = text::baseline(style.pos.v_pos) * size;
    let turned = |[left, top, right, bottom]: [f64; 4]| match style.font.get_transform() {
        FontTransform::Rotate270 => [top, -right, bottom, -left],
        _ => [left, top, right, bottom],
    };
    let [left, top, right, bottom] = turned([left, baseline - 0.75 * size, left + width, baseline + 0.24 * size]);
    let (x, y) = (f64::from(x), f64::from(y));
    (text.into(), [x + left, y + top, x + right, y + bottom])
}

#[test]
fn all_text_lies_on_the_canvas() {
    let mut count = 0;
    for (name, classes) in hard_names().iter().flat_map(|name| [(name, 3), (name, 26)]) {
        for (kind, figure) in figures(name, classes) {
            let ((width, height), texts) = texts(&figure);
            assert!(!texts.is_empty());
            for (text, [left, top, right, bottom]) in texts {
                assert!(
                    left >= -0.5 && top >= -0.5 && right <= f64::from(width) + 0.5 && bottom <= f64::from(height) + 0.5,
                    "{kind} of {classes}: {text:?} at {left:.1}, {top:.1} to {right:.1}, {bottom:.1} of {width} × \
                     {height}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn no_text_covers_another() {
    for name in ["T-shirt/top", "a name of thirty characters 12", &hard_names()[2], &hard_names()[3]] {
        for (kind, figure) in figures(name, 10) {
            // In 3-D and among points, where texts are is not ours to choose.
            if kind.contains("space") || kind == "noted scatter" {
                continue;
            }
            let (_, texts) = texts(&figure);
            for (index, (text, [left, top, right, bottom])) in texts.iter().enumerate() {
                for (other, [l, t, r, b]) in &texts[..index] {
                    let (across, down) = (right.min(*r) - left.max(*l), bottom.min(*b) - top.max(*t));
                    assert!(across < 1.0 || down < 4.0, "{kind}: {text:?} on {other:?}, {across} × {down}");
                }
            }
        }
    }
}

#[test]
fn names_of_usual_length_are_written_whole() {
    for (kind, figure) in figures("Ankle boot, high", 10) {
        assert!(texts(&figure).1.iter().all(|(text, _)| !text.contains('…')), "{kind}");
    }
}

/// What is wrong with a text as XML 1.0 without a document type, if anything.
fn wrong_xml(text: &str) -> Option<String> {
    let forbidden =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if let Some(c) = text.chars().find(|c| forbidden(*c)) {
        return Some(format!("{c:?}"));
    }
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-:".contains(c));
    let references = |text: &str| {
        text.split('&').skip(1).all(|rest| {
            let name = rest.split_once(';').map_or("", |(name, _)| name);
            ["amp", "lt", "gt", "quot", "apos", "#39"].contains(&name)
        })
    };
    let (mut rest, mut open, mut roots) = (text, Vec::new(), 0);
    while let Some((before, after)) = rest.split_once('<') {
        if before.contains("]]>") || !references(before) || (open.is_empty() && !before.trim().is_empty()) {
            return Some(before.into());
        }
        if let Some(end) = after.strip_prefix('/') {
            let (name, behind) = end.split_once('>')?;
            if open.pop() != Some(name) {
                return Some(format!("</{name}>"));
            }
            rest = behind;
            continue;
        }
        let name = after.split([' ', '>', '/']).next().filter(|name| is_name(name));
        let Some(name) = name else { return Some(after.into()) };
        let mut inside = &after[name.len()..];
        while let Some(attribute) = inside.strip_prefix(' ') {
            let value = attribute.split_once("=\"").filter(|(name, _)| is_name(name));
            let Some((value, behind)) = value.and_then(|(_, rest)| rest.split_once('"')) else {
                return Some(attribute.into());
            };
            if value.contains('<') || !references(value) {
                return Some(value.into());
            }
            inside = behind;
        }
        roots += usize::from(open.is_empty());
        rest = match (inside.strip_prefix("/>"), inside.strip_prefix('>')) {
            (Some(behind), _) => behind,
            (_, Some(behind)) => {
                open.push(name);
                behind
            }
            _ => return Some(inside.into()),
        };
    }
    (!open.is_empty() || roots != 1 || !rest.trim().is_empty())
        .then(|| format!("{open:?}, {roots} roots, {rest:?} at its end"))
}

#[test]
fn every_svg_is_xml_without_marks_of_the_kernel() {
    for broken in
        ["<a>\u{1}</a>", "<a>&x;</a>", "<a><b></a>", "<a b=\"<\"/>", "<a/><b/>", "<a b='1'/>", "x<a/>", "<a b=\"1>"]
    {
        assert!(wrong_xml(broken).is_some(), "{broken}");
    }
    assert_eq!(wrong_xml("<a b=\"1\"><c/>&amp; x</a>\n"), None);
    for name in hard_names() {
        for (kind, figure) in figures(&name, 11) {
            let svg = figure.to_svg().unwrap();
            assert_eq!(wrong_xml(&svg), None, "{kind}, {name:?}");
            assert!(!svg.contains("EVCXR_") && !svg.contains('\u{1}'), "{kind}");
            let line = figure.describe();
            assert!(!line.contains(|c: char| c.is_control()) && !line.contains("EVCXR_BEGIN"), "{line}");
        }
    }
}

/// How many pixels are darker than grey.
fn ink(figure: &Figure) -> usize {
    let (_, _, pixels, _) = figure.clone().density(1).to_pixels().unwrap();
    pixels.as_chunks::<3>().0.iter().filter(|pixel| pixel.iter().all(|value| *value < 128)).count()
}

#[test]
fn every_character_of_a_title_leaves_ink() {
    let blank = BarChart::new("").bar("", 1.0).figure().unwrap();
    let without = ink(&blank);
    for title in ["お", "き", "П", "ά", "‖", "🦀", "名", "한", "א", "م", "क", "\u{13000}", "e\u{301}", "∇", "\u{1}"]
    {
        assert!(ink(&blank.clone().title(title)) >= without + 4, "{title}");
    }
    assert!(ink(&blank.clone().title("e\u{301}")) > ink(&blank.clone().title("e")), "an accent");
    assert!(ink(&blank.clone().title("お".repeat(4))) > without + 40, "four boxes, or letters");
}

#[test]
fn any_number_of_classes_is_drawn() {
    for classes in [1, 10, 11, 26, 47, 62, 300] {
        let labels = Array1::from_shape_fn(2 * classes, |index| index % classes);
        let points = |columns| Array2::from_shape_fn((2 * classes, columns), |(i, j)| ((i * (7 + j)) % 31) as f32);
        let counts = Array2::from_shape_fn((classes, classes), |(i, j)| usize::from(i == j) * 5 + (i + j) % 2);
        for figure in [
            Scatter::new(&points(2), &labels).class_means().figure(),
            Scatter3d::new(&points(3), &labels).figure(),
            Heatmap::new(&counts).figure(),
        ] {
            let figure = figure.unwrap();
            let (width, height) = figure.measured().unwrap().size;
            assert!(width < 1_300 && height < 1_200, "{classes}: {width} × {height}");
            assert!(figure.to_png().is_ok() && wrong_xml(&figure.to_svg().unwrap()).is_none(), "{classes}");
        }
    }
    let labels = ndarray::array![25, 3, usize::MAX];
    assert!(Scatter::new(&Array2::zeros((3, 2)), &labels).figure().unwrap().to_png().is_ok());
}

#[test]
fn too_many_figures_are_refused_before_they_are_measured() {
    let chart = || LineChart::new("x", "y").line("a", &[1.0, 2.0]).figure().unwrap();
    let message = |figure: Figure| figure.to_svg().unwrap_err().to_string();
    let panels = std::iter::repeat_with(chart).take(100_000);
    assert_eq!(
        message(row(panels)),
        "grid of figures: expected at most 1000 figures, got 100000. Show fewer things at once"
    );
    assert!(message(row(std::iter::repeat_with(chart).take(900))).starts_with("figure: expected at most ten million"));
    let deep = (0..100_000).fold(chart(), |figure, _| row([figure]));
    assert!(
        message(deep.clone())
            .starts_with("grid of figures: expected rows and grids at most 16 deep in each other, got 17")
    );
    assert!(deep.to_png().is_err() && deep.describe() == "Figure(1 figures, \"without a title\")");
    let nested = (0..16).fold(chart(), |figure, _| row([figure]).title("t"));
    assert!(nested.to_png().is_ok() && nested.to_svg().unwrap().matches("\nt\n").count() == 16);
    assert!(grid(usize::MAX, [chart()]).to_png().is_ok());

    let images = Array4::zeros((1_000_000, 1, 1, 1));
    let many = ImageGrid::new(&images, 1).figure().unwrap();
    assert!(message(many).starts_with("figure: expected at most ten million pixels, got 62 × 59000003"));
    let labels = Array1::zeros(200_000);
    let crowd = Scatter::new(&Array2::zeros((200_000, 2)), &labels).figure().unwrap();
    assert!(crowd.to_svg().unwrap().len() < 200_000 * 4 * TEXT_OF_A_POINT, "what a point takes");
    let line = LineChart::new("x", "y").line("a", &vec![0.5; 1_000_000]).figure().unwrap();
    assert!(line.to_svg().unwrap().len() < 20_000_000);
}

#[test]
fn the_legend_counts_gaps() {
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    let chart = LineChart::new("x", "y").line("loss", &[nan, 1.0, 0.5, infinite, -infinite]).line("b", &[1.0, 1.0]);
    let svg = chart.dots("c", &[nan, 1.0]).figure().unwrap().to_svg().unwrap();
    assert_eq!(svg.matches("NaN or infinite").count(), 1);
    assert!(svg.contains("\n(3 NaN or infinite)\n"), "{svg}");
}
