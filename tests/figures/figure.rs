use latentlab::{ErrorKind, Figure, ImageGrid, LineChart, PALETTE, Scatter, Theme, grid, row};
use ndarray::{Array4, array};

use super::{attribute, decoded, folder::Folder};

fn chart() -> Figure {
    LineChart::new("epoch", "MSE").line("training", &[3.0, 2.0, 1.0]).line("validation", &[3.0, 2.5]).figure().unwrap()
}

fn images(count: usize) -> Figure {
    ImageGrid::new(&Array4::from_elem((count, 1, 28, 28), 0.5), 2).figure().unwrap()
}

/// What an SVG states.
fn size(figure: &Figure) -> (u32, u32) {
    let svg = figure.to_svg().unwrap();
    (attribute(&svg, "width").parse().unwrap(), attribute(&svg, "height").parse().unwrap())
}

#[test]
fn an_svg_holds_every_text_once_and_states_its_size() {
    let figure = chart().title("Loss & <more>");
    let svg = figure.to_svg().unwrap();
    for text in ["Loss &amp; &lt;more&gt;", "epoch", "MSE", "training", "validation", "1.5"] {
        assert_eq!(svg.matches(&format!("\n{text}\n")).count(), 1, "{text} in {svg}");
    }
    let (width, height, _) = decoded(&figure.density(1));
    assert!(svg.starts_with(&format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\"",
        2 * width,
        2 * height
    )));
    assert!(svg.trim_end().ends_with("</svg>"));
}

#[test]
fn a_png_has_the_stated_size_and_something_on_white() {
    let (width, height) = size(&chart());
    for density in 1..=4 {
        let (across, down, pixels) = decoded(&chart().density(density));
        assert_eq!((across, down), (width * density as u32, height * density as u32));
        assert_eq!(pixels[0], [255; 3]);
        assert!(pixels.contains(&PALETTE[0]), "the first line's colour");
    }
    assert_eq!(chart().to_png().unwrap(), chart().density(2).to_png().unwrap());
    for density in [0, 5, usize::MAX] {
        let message = chart().density(density).to_png().unwrap_err().to_string();
        assert_eq!(message, format!("figure, density: expected 1 to 4 pixels for one of the figure, got {density}"));
    }
    let large = images(800).density(4).to_png().unwrap_err().to_string();
    assert!(large.starts_with("figure: expected at most forty million pixels, got 121 × "), "{large}");
}

fn sum(pixel: &[u8; 3]) -> u32 {
    pixel.iter().map(|channel| u32::from(*channel)).sum()
}

#[test]
fn a_dark_figure_has_light_ink_on_dark_and_its_own_palette() {
    let (.., light) = decoded(&chart());
    let (.., dark) = decoded(&chart().theme(Theme::Dark));
    assert_eq!((light[0], dark[0]), ([0xff; 3], [0x11; 3]));
    assert!(dark.contains(&Theme::Dark.palette()[0]) && !dark.contains(&PALETTE[0]));
    assert!(light.contains(&[0x22; 3]) && dark.contains(&[0xe4; 3]), "the ink");
    let mean = |pixels: &[[u8; 3]]| pixels.iter().map(sum).sum::<u32>() / pixels.len() as u32;
    assert!(mean(&light) > 650 && mean(&dark) < 100, "{} and {}", mean(&light), mean(&dark));
    let svg = row([chart(), chart().theme(Theme::Light)]).theme(Theme::Dark).to_svg().unwrap().to_lowercase();
    assert!(!svg.contains("#222222") && svg.contains("#e4e4e4") && svg.contains("#111111"), "all of a row is dark");
    assert!(!chart().theme(Theme::Light).to_svg().unwrap().to_lowercase().contains("#111111"));
}

#[test]
fn images_have_the_right_grey_at_the_right_place() {
    let mut values = Array4::zeros((2, 1, 28, 28));
    values[[0, 0, 0, 0]] = 1.0;
    values[[1, 0, 27, 26]] = 0.5;
    values[[1, 0, 27, 27]] = 7.0; // drawn as white
    values[[1, 0, 26, 27]] = -7.0; // drawn as black
    let (width, _, pixels) = decoded(&ImageGrid::new(&values, 2).figure().unwrap().density(1));
    // Two images of 28 pixels are drawn five times as large, 3 pixels from the edge and from each other.
    assert_eq!(width, 3 + 140 + 3 + 140 + 3);
    let at = |image: u32, x: u32, y: u32| pixels[((3 + y) * width + 3 + image * 143 + x) as usize];
    for (image, x, y, grey) in [
        (0, 0, 0, 255),
        (0, 4, 4, 255),
        (0, 5, 4, 0),
        (0, 4, 5, 0),
        (1, 134, 139, 128),
        (1, 130, 135, 128),
        (1, 139, 139, 255),
        (1, 139, 134, 0),
    ] {
        assert_eq!(at(image, x, y), [grey; 3], "image {image} at {x}, {y}");
    }
    assert_eq!(pixels[(3 * width + 144) as usize], [255; 3], "the gap");
}

#[test]
fn figures_stand_side_by_side() {
    let size = |figure: Figure| size(&figure);
    let ((a, b), (c, d)) = (size(chart()), size(images(2)));
    assert_eq!(size(row([chart(), images(2)])), (a + 16 + c, b.max(d)));
    assert_eq!(size(grid(1, [chart(), images(2)])), (a.max(c), b + 16 + d));
    assert_eq!(size(grid(2, [chart(), images(2), images(2)]).title("x")), (a + 16 + c, 34 + b.max(d) + 16 + d));
    let svg = row([chart().title("left"), images(2).title("right")]).to_svg().unwrap();
    assert_eq!(svg.matches("<image ").count(), 2);
    assert!(svg.contains("left") && svg.contains("right"));
}

#[test]
fn saved_is_what_is_made() {
    let folder = Folder::new("figure");
    chart().save(folder.file("a.svg")).unwrap();
    chart().save(folder.file("a.PNG")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.file("a.svg")).unwrap(), chart().to_svg().unwrap());
    assert_eq!(std::fs::read(folder.file("a.PNG")).unwrap(), chart().to_png().unwrap());
    for (name, got) in [("a.jpg", ".jpg"), ("a", "none")] {
        let error = chart().save(folder.file(name)).unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("expected the file extension .svg or .png, got {got}")),
            "{error}"
        );
    }
    assert_eq!(chart().save(folder.file("absent/a.svg")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2, "nothing unfinished is left");
}

#[test]
fn what_cannot_be_drawn_is_an_error_that_says_so() {
    for (figure, message) in [
        (row([]), "grid of figures: expected at least 1 figure, got none"),
        (grid(0, [chart()]), "grid of figures: expected at least 1 column, got 0"),
        (row([chart(), row([])]), "grid of figures: expected at least 1 figure, got none"),
    ] {
        assert_eq!(figure.to_svg().unwrap_err().to_string(), message);
        assert_eq!(figure.to_png().unwrap_err().to_string(), message);
    }
    let error = images(4_000).to_png().unwrap_err();
    assert!(error.to_string().starts_with("figure: expected at most ten million pixels, got 121 × "), "{error}");
}

#[test]
fn points_at_one_place_and_at_the_ends_of_the_range_are_drawn() {
    let labels = array![0, 9];
    for points in [
        array![[1.0, 1.0], [1.0, 1.0]],
        array![[0.0, 0.0], [0.0, f32::MIN_POSITIVE]],
        array![[f32::MIN, f32::MIN], [f32::MAX, f32::MAX]],
        array![[1e30, -1e-30], [1e30, 1e-30]],
    ] {
        let figure = Scatter::new(&points, &labels).annotate([0.0, 0.0], "A").figure().unwrap();
        assert!(figure.to_svg().is_ok() && figure.to_png().is_ok(), "{points}");
    }
}

#[test]
fn a_figure_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    anywhere(&chart());
    let drawn: Vec<_> = (0..4).map(|_| std::thread::spawn(|| chart().to_png().unwrap())).collect();
    let drawn: Vec<_> = drawn.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(drawn.iter().all(|png| *png == drawn[0]));
}

#[test]
fn images_of_a_plane_have_its_coordinates() {
    let figure = ImageGrid::new(&Array4::zeros((9, 1, 28, 28)), 3).axes([-2.0, 0.0], [2.0, 10.0]).figure().unwrap();
    let svg = figure.to_svg().unwrap();
    for text in ["-2", "0", "2", "10", "latent 1", "latent 2"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    // The lowest value stands below the middle of the first column.
    let before = svg.split("\n-2\n").next().unwrap();
    let x: f64 = attribute(&before[before.rfind("<text").unwrap()..], "x").parse().unwrap();
    let image = &svg[svg.find("<image").unwrap()..];
    let [left, width] = ["x", "width"].map(|name| attribute(image, name).parse::<f64>().unwrap());
    assert!((left + width / 2.0 - x).abs() < 2.0, "{left}, {width}, {x}");
    let wrong = |grid: ImageGrid| grid.figure().unwrap_err().to_string();
    let images = Array4::zeros((4, 1, 2, 2));
    let message = wrong(ImageGrid::new(&images, 2).axes([1.0, 0.0], [1.0, 1.0]));
    assert!(message.starts_with("image grid, axes: expected lowest values below the highest"), "{message}");
    let message = wrong(ImageGrid::rows([("a", &images)]).axes([0.0, 0.0], [1.0, 1.0]));
    assert_eq!(message, "image grid, axes: expected images without names of rows, got rows");
}

#[test]
fn charts_beside_each_other_begin_at_one_height() {
    let two_lines =
        "a title of so many words that it needs more than one line above a chart of the usual width, or three";
    let svg = row([chart().title(two_lines), chart().title("short"), chart()]).to_svg().unwrap();
    // The upright axis of each chart: the first line of ink that is upright.
    let upright = |line: &&str| {
        let points: Vec<&str> = attribute(line, "points").split_whitespace().collect();
        line.contains("#222222") && points.len() == 2 && points[0].split(',').next() == points[1].split(',').next()
    };
    let heights = |line: &str| attribute(line, "points").split(['\u{20}', ',']).nth(1).unwrap().parse::<i32>().unwrap();
    let lines = svg.lines().filter(|line| line.starts_with("<polyline"));
    let tops: Vec<i32> = lines.filter(upright).map(heights).collect();
    let highest = tops.iter().min().unwrap();
    assert_eq!(tops.iter().filter(|top| *top == highest).count(), 3, "{tops:?}");
}
