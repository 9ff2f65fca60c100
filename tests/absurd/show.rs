//! Figures, and how values show themselves.

use latentlab::{
    BarChart, Classifier, Explore, Figure, Gan, Heatmap, Histogram, ImageGrid, LineChart, Result, RocChart, Scatter,
    Scatter3d, Sequential, Tensor, Tsne, draw, explore, grid, jupyter,
    ndarray::{Array1, Array2, Array4, ArrayD, array},
    reconstructions, roc_curve, row,
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

fn lines() -> LineChart {
    LineChart::new("x", "y").line("a", &[1.0, 3.0, 2.0])
}

fn histogram() -> Histogram {
    Histogram::new("x").series("a", &[1.0, 3.0, 2.0])
}

/// One number among others, and any two.
fn series() -> Vec<Vec<f64>> {
    let mut series = vec![vec![], vec![f64::NAN; 5], vec![1.0; 2_000]];
    series.extend(NUMBERS.map(|number| vec![number]));
    series.extend(NUMBERS.map(|number| vec![1.0, number, 2.0]));
    series.extend(NUMBERS.iter().flat_map(|a| NUMBERS.iter().map(move |b| vec![*a, *b])));
    series
}

fn plain() -> Scatter {
    Scatter::new(&points(6, 2, 1.0), &array![0, 1, 0, 1, 0, 1])
}

fn solid() -> Scatter3d {
    Scatter3d::new(&points(6, 3, 1.0), &array![0, 1, 0, 1, 0, 1])
}

fn images(n: usize) -> Array4<f32> {
    digits(n).images().clone()
}

fn figure() -> Figure {
    lines().figure().unwrap()
}

fn quickly(figure: Result<Figure>) {
    if let Some(figure) = either(figure) {
        either(figure.to_svg());
    }
}

pub fn rows() -> Table {
    vec![
        (
            "BarChart::new",
            Call(|| {
                drawn(BarChart::new("").figure());
                texts().iter().for_each(|text| drawn(BarChart::new(text.as_str()).bar("a", 1.0).figure()));
            }),
        ),
        (
            "BarChart::bar",
            Call(|| {
                texts()
                    .iter()
                    .for_each(|text| drawn(BarChart::new("x").bar(text.as_str(), 1.0).bar("b", 2.0).figure()));
                for a in NUMBERS {
                    NUMBERS.iter().for_each(|b| quickly(BarChart::new("x").bar("a", a).bar("b", *b).figure()));
                }
            }),
        ),
        (
            "BarChart::bar_with_error",
            Call(|| {
                for value in NUMBERS {
                    NUMBERS.iter().for_each(|e| quickly(BarChart::new("x").bar_with_error("a", value, *e).figure()));
                }
            }),
        ),
        (
            "BarChart::baseline",
            Call(|| {
                let bar = || BarChart::new("x").bar("a", 1.0);
                NUMBERS.iter().for_each(|value| quickly(bar().baseline("chance", *value).figure()));
                texts().iter().for_each(|text| drawn(bar().baseline(text.as_str(), 2.0).figure()));
            }),
        ),
        (
            "BarChart::figure",
            Call(|| {
                for bars in [50, 51, 100_000] {
                    drawn(
                        (0..bars)
                            .fold(BarChart::new("x"), |chart, bar| chart.bar(bar.to_string(), bar as f64))
                            .figure(),
                    );
                }
            }),
        ),
        (
            "Histogram::new",
            Call(|| {
                drawn(Histogram::new("").figure());
                texts().iter().for_each(|text| drawn(Histogram::new(text.as_str()).series("a", &[1.0, 2.0]).figure()));
            }),
        ),
        (
            "Histogram::series",
            Call(|| {
                series().iter().for_each(|values| quickly(histogram().series("a", values).figure()));
                texts().iter().for_each(|text| drawn(histogram().series(text.as_str(), &[1.0]).figure()));
                drawn((0..100).fold(histogram(), |chart, n| chart.series(n.to_string(), &[1.0])).figure());
                drawn(histogram().series("long", &vec![0.5; 1_000_000]).figure());
            }),
        ),
        ("Histogram::bins", Call(|| SIZES.iter().for_each(|bins| quickly(histogram().bins(*bins).figure())))),
        (
            "Histogram::density",
            Call(|| series().iter().for_each(|v| quickly(Histogram::new("x").series("a", v).density().figure()))),
        ),
        (
            "Histogram::log_y",
            Call(|| series().iter().for_each(|v| quickly(Histogram::new("x").series("a", v).log_y().figure()))),
        ),
        (
            "Histogram::mark",
            Call(|| {
                NUMBERS.iter().for_each(|x| quickly(histogram().mark(*x, "here").figure()));
                texts().iter().for_each(|text| drawn(histogram().mark(2.0, text.as_str()).figure()));
            }),
        ),
        ("Histogram::figure", Nothing("the chart alone; see the rows of what it is made of")),
        ("RocChart::new", Call(|| drawn(RocChart::new().figure()))),
        (
            "RocChart::curve",
            Call(|| {
                let roc = roc_curve(&[true, false], &[1.0, 1.0]).unwrap();
                texts().iter().for_each(|text| drawn(RocChart::new().curve(text.as_str(), &roc).figure()));
                drawn((0..100).fold(RocChart::new(), |chart, n| chart.curve(n.to_string(), &roc)).figure());
            }),
        ),
        ("RocChart::figure", Nothing("the chart alone; see RocChart::curve")),
        ("LineChart::steps", Call(|| series().iter().for_each(|v| quickly(lines().steps("b", v).figure())))),
        (
            "LineChart::runs",
            Call(|| {
                quickly(lines().runs("b", &[]).figure());
                series().iter().for_each(|v| quickly(lines().runs("b", &[v.clone(), vec![1.0; 3]]).log_y().figure()));
            }),
        ),
        (
            "LineChart::runs_with_error_bars",
            Call(|| {
                quickly(lines().runs_with_error_bars("b", &[]).figure());
                let runs = |v: &Vec<f64>| lines().runs_with_error_bars("b", &[v.clone(), vec![1.0; 3]]);
                series().iter().for_each(|v| quickly(runs(v).log_y().figure()));
            }),
        ),
        (
            "LineChart::error_bars",
            Call(|| {
                quickly(LineChart::new("x", "y").error_bars(&[1.0]).figure());
                for errors in series() {
                    let values = vec![1.0; errors.len()];
                    quickly(LineChart::new("x", "y").dots("a", &values).error_bars(&errors).figure());
                    quickly(LineChart::new("x", "y").line("a", &values).error_bars(&errors).log_y().figure());
                    quickly(lines().error_bars(&errors).figure());
                }
            }),
        ),
        (
            "LineChart::band",
            Call(|| {
                for a in series() {
                    quickly(LineChart::new("x", "y").line("a", &a).band(&a, &a).figure());
                    quickly(LineChart::new("x", "y").line("a", &a).band(&vec![-1.0; a.len()], &a).log_y().figure());
                    quickly(lines().band(&a, &[1.0; 3]).figure());
                }
            }),
        ),
        (
            "LineChart::baseline",
            Call(|| {
                NUMBERS.iter().for_each(|value| quickly(lines().baseline("chance", *value).figure()));
                NUMBERS.iter().for_each(|value| quickly(lines().baseline("chance", *value).log_y().figure()));
                texts().iter().for_each(|text| drawn(lines().baseline(text.as_str(), 2.0).figure()));
                drawn((0..200).fold(lines(), |chart, n| chart.baseline(n.to_string(), f64::from(n))).figure());
            }),
        ),
        (
            "LineChart::new",
            Call(|| {
                drawn(LineChart::new("", "").figure());
                texts()
                    .iter()
                    .for_each(|t| drawn(LineChart::new(t.as_str(), t.as_str()).line("a", &[1.0, 2.0]).figure()));
            }),
        ),
        (
            "LineChart::line",
            Call(|| {
                series().iter().for_each(|values| quickly(LineChart::new("x", "y").line("a", values).figure()));
                texts().iter().for_each(|text| drawn(lines().line(text.as_str(), &[1.0]).figure()));
                drawn((0..1_000).fold(lines(), |chart, line| chart.line(line.to_string(), &[1.0, 2.0])).figure());
                drawn(lines().line("long", &vec![0.5; 1_000_000]).figure());
            }),
        ),
        (
            "LineChart::dots",
            Call(|| {
                series().iter().for_each(|values| quickly(lines().dots("a", values).figure()));
                texts().iter().for_each(|text| drawn(lines().dots(text.as_str(), &[1.0]).figure()));
            }),
        ),
        (
            "LineChart::crosses",
            Call(|| {
                series().iter().for_each(|values| quickly(lines().crosses("a", values).figure()));
                texts().iter().for_each(|text| drawn(lines().crosses(text.as_str(), &[1.0]).figure()));
            }),
        ),
        (
            "LineChart::x_values",
            Call(|| {
                series().iter().for_each(|values| quickly(lines().x_values(values).figure()));
                for a in NUMBERS {
                    NUMBERS.iter().for_each(|b| quickly(lines().x_values(&[a, 1.0, *b]).figure()));
                }
            }),
        ),
        (
            "LineChart::mark",
            Call(|| {
                NUMBERS.iter().for_each(|x| quickly(lines().mark(*x, "here").figure()));
                texts().iter().for_each(|text| drawn(lines().mark(2.0, text.as_str()).figure()));
                drawn((0..1_000).fold(lines(), |chart, mark| chart.mark(mark as f64, "m")).figure());
            }),
        ),
        (
            "LineChart::log_y",
            Call(|| {
                series().iter().for_each(|v| quickly(LineChart::new("x", "y").line("a", v).log_y().figure()));
            }),
        ),
        (
            "LineChart::log_x",
            Call(|| {
                quickly(lines().log_x().figure());
                series().iter().for_each(|values| quickly(lines().x_values(values).log_x().figure()));
            }),
        ),
        ("LineChart::figure", Nothing("the chart alone; see the rows of what it is made of")),
        (
            "Scatter::new",
            Call(|| {
                for (n, dim, labels) in [(0, 0, 0), (0, 2, 0), (3, 1, 3), (3, 3, 3), (3, 2, 2), (3, 2, 0), (0, 2, 3)] {
                    drawn(Scatter::new(&Array2::zeros((n, dim)), &Array1::zeros(labels)).figure());
                }
                for label in SIZES {
                    drawn(Scatter::new(&Array2::zeros((1, 2)), &array![label]).figure());
                }
                for a in FLOATS {
                    FLOATS
                        .iter()
                        .for_each(|b| quickly(Scatter::new(&array![[a, *b], [0.0, 1.0]], &array![0, 0]).figure()));
                }
                drawn(Scatter::new(&points(1_000, 2, 1.0), &Array1::from_iter(0..1_000)).figure());
            }),
        ),
        (
            "Scatter::of",
            Call(|| {
                codes().iter().for_each(|codes| drawn(Scatter::of(codes).figure()));
            }),
        ),
        (
            "Scatter::names",
            Call(|| {
                drawn(plain().names([""; 0]).figure());
                drawn(plain().names(texts()).figure());
                drawn(plain().names(names(100_000)).figure());
            }),
        ),
        (
            "Scatter::axis_names",
            Call(|| {
                texts().iter().for_each(|text| drawn(plain().axis_names(text.as_str(), text.as_str()).figure()));
            }),
        ),
        (
            "Scatter::crosses",
            Call(|| {
                for n in [0, 1, 6, 7, 10_000] {
                    drawn(plain().crosses(&vec![true; n], "a", "b").figure());
                }
                texts()
                    .iter()
                    .for_each(|text| drawn(plain().crosses(&[true; 6], text.as_str(), text.as_str()).figure()));
            }),
        ),
        (
            "Scatter::class_means",
            Call(|| {
                drawn(Scatter::new(&Array2::zeros((0, 2)), &array![]).class_means().figure());
                drawn(Scatter::new(&Array2::from_elem((2, 2), f32::MAX), &array![0, 9]).class_means().figure());
                drawn(Scatter::new(&Array2::zeros((1, 2)), &array![usize::MAX]).class_means().figure());
            }),
        ),
        (
            "Scatter::equal_axes",
            Call(|| {
                for x in FLOATS {
                    for y in FLOATS {
                        let points = array![[0.0, 0.0], [x, y]];
                        quickly(Scatter::new(&points, &array![0, 1]).equal_axes(true).figure());
                    }
                }
            }),
        ),
        (
            "Scatter::cluster_colors",
            Call(|| {
                drawn(plain().cluster_colors().figure());
                let far = Array1::from_iter((0..600).map(|index| usize::MAX - index));
                drawn(Scatter::new(&Array2::zeros((600, 2)), &far).cluster_colors().class_labels().figure());
            }),
        ),
        (
            "Scatter::class_labels",
            Call(|| {
                drawn(plain().class_labels().figure());
                let many = Array1::from_iter(0..600);
                drawn(Scatter::new(&Array2::zeros((600, 2)), &many).class_labels().figure());
            }),
        ),
        (
            "Scatter::annotate",
            Call(|| {
                for a in FLOATS {
                    FLOATS.iter().for_each(|b| quickly(plain().annotate([a, *b], "here").figure()));
                }
                texts().iter().for_each(|text| drawn(plain().annotate([0.5, 0.5], text.as_str()).figure()));
            }),
        ),
        ("Scatter::figure", Nothing("the chart alone; see the rows of what it is made of")),
        (
            "Scatter3d::new",
            Call(|| {
                for (n, dim, labels) in [(0, 0, 0), (0, 3, 0), (3, 2, 3), (3, 4, 3), (3, 3, 2), (0, 3, 3)] {
                    drawn(Scatter3d::new(&Array2::zeros((n, dim)), &Array1::zeros(labels)).figure());
                }
                for label in SIZES {
                    drawn(Scatter3d::new(&Array2::zeros((1, 3)), &array![label]).figure());
                }
                for a in FLOATS {
                    FLOATS.iter().for_each(|b| {
                        quickly(Scatter3d::new(&array![[a, *b, 1.0], [0.0, 1.0, 0.0]], &array![0, 0]).figure());
                    });
                }
            }),
        ),
        (
            "Scatter3d::names",
            Call(|| {
                drawn(solid().names([""; 0]).figure());
                drawn(solid().names(texts()).figure());
            }),
        ),
        (
            "Scatter3d::axis_names",
            Call(|| {
                texts().iter().for_each(|t| drawn(solid().axis_names(t.as_str(), t.as_str(), t.as_str()).figure()));
            }),
        ),
        (
            "Scatter3d::view",
            Call(|| {
                for azimuth in NUMBERS {
                    NUMBERS.iter().for_each(|elevation| quickly(solid().view(azimuth, *elevation).figure()));
                }
            }),
        ),
        ("Scatter3d::figure", Nothing("the chart alone; see the rows of what it is made of")),
        (
            "Heatmap::new",
            Call(|| {
                for shape in [(0, 0), (0, 5), (5, 0), (1, 1), (1, 2_000), (300, 300)] {
                    drawn(Heatmap::new(&Array2::zeros(shape)).figure());
                    drawn(Heatmap::new(&Array2::from_elem(shape, usize::MAX)).figure());
                }
                drawn(Heatmap::new(&array![[0, usize::MAX], [1, 2]]).figure());
            }),
        ),
        (
            "Heatmap::names",
            Call(|| {
                drawn(Heatmap::new(&Array2::zeros((2, 2))).names([""; 0]).figure());
                drawn(Heatmap::new(&Array2::eye(texts().len())).names(texts()).figure());
            }),
        ),
        (
            "Heatmap::column_names",
            Call(|| {
                drawn(Heatmap::new(&Array2::zeros((2, 2))).column_names(names(100_000)).figure());
                drawn(Heatmap::new(&Array2::zeros((1, texts().len()))).column_names(texts()).figure());
            }),
        ),
        (
            "Heatmap::axis_names",
            Call(|| {
                texts()
                    .iter()
                    .for_each(|t| drawn(Heatmap::new(&Array2::eye(2)).axis_names(t.as_str(), t.as_str()).figure()));
            }),
        ),
        ("Heatmap::figure", Nothing("the chart alone; see the rows of what it is made of")),
        (
            "ImageGrid::new",
            Call(|| {
                for columns in SIZES {
                    drawn(ImageGrid::new(&images(3), columns).figure());
                }
                for shape in [
                    (0, 1, 28, 28),
                    (2, 0, 5, 5),
                    (2, 1, 0, 5),
                    (2, 1, 5, 0),
                    (2, 3, 5, 5),
                    (1, 1, 1, 20_000),
                    (1, 1, 2_000, 2_000),
                ] {
                    either(ImageGrid::new(&Array4::zeros(shape), 3).figure()).map(|figure| either(figure.to_png()));
                }
                FLOATS
                    .iter()
                    .for_each(|value| drawn(ImageGrid::new(&Array4::from_elem((1, 1, 2, 2), *value), 1).figure()));
                either(ImageGrid::new(&Array4::zeros((60_000, 1, 4, 4)), 1).figure())
                    .map(|figure| either(figure.to_png()));
            }),
        ),
        (
            "ImageGrid::rows",
            Call(|| {
                drawn(ImageGrid::rows(Vec::<(&str, &Array4<f32>)>::new()).figure());
                let (few, none, small) = (images(3), images(0), Array4::zeros((3, 1, 2, 2)));
                drawn(ImageGrid::rows([("a", &few), ("b", &none)]).figure());
                drawn(ImageGrid::rows([("a", &few), ("b", &small)]).figure());
                drawn(ImageGrid::rows(texts().into_iter().map(|text| (text, &few))).figure());
            }),
        ),
        (
            "ImageGrid::axes",
            Call(|| {
                for low in FLOATS {
                    for high in FLOATS {
                        quickly(ImageGrid::new(&images(4), 2).axes([low, 0.0], [high, 1.0]).figure());
                        quickly(ImageGrid::new(&images(1), 1).axes([0.0, low], [1.0, high]).figure());
                    }
                }
            }),
        ),
        (
            "ImageGrid::captions",
            Call(|| {
                drawn(ImageGrid::new(&images(3), 2).captions([""; 0]).figure());
                drawn(ImageGrid::new(&images(3), 2).captions(names(100_000)).figure());
                drawn(ImageGrid::new(&images(texts().len()), 4).captions(texts()).figure());
            }),
        ),
        (
            "ImageGrid::column_names",
            Call(|| {
                drawn(ImageGrid::new(&images(3), 2).column_names([""; 0]).figure());
                drawn(ImageGrid::new(&images(texts().len()), texts().len()).column_names(texts()).figure());
            }),
        ),
        ("ImageGrid::figure", Nothing("the grid alone; see the rows of what it is made of")),
        (
            "row",
            Call(|| {
                drawn(Ok(row([])));
                drawn(Ok(row(vec![figure(); 100])));
                either((0..100_000).fold(figure(), |inner, _| row([inner])).to_svg());
            }),
        ),
        (
            "grid",
            Call(|| {
                for columns in SIZES {
                    either(grid(columns, []).to_svg());
                    either(grid(columns, [figure(), figure(), figure()]).to_svg());
                }
                either((0..100).fold(figure(), |inner, _| grid(2, [inner.clone(), inner])).to_svg());
            }),
        ),
        ("Figure::title", Call(|| texts().iter().for_each(|text| drawn(Ok(figure().title(text.as_str())))))),
        ("Figure::theme", Nothing("one of two themes")),
        ("Figure::density", Call(|| SIZES.iter().for_each(|density| _ = either(figure().density(*density).to_png())))),
        ("Theme::palette", Nothing("a theme alone")),
        ("set_theme", Nothing("one of two themes")),
        ("Figure::save", Call(|| paths().iter().for_each(|path| refused(figure().save(path))))),
        ("Figure::to_svg", Nothing("the figure alone; see the rows of the charts")),
        ("Figure::to_png", Nothing("the figure alone; see the rows of the charts")),
        ("Figure::show", Call(|| _ = either(figure().title("\u{1}latentlab {}\n").show()))),
        ("Figure::evcxr_display", Call(|| figure().title("\u{1}latentlab {}\n").evcxr_display())),
        (
            "reconstructions",
            Call(|| {
                datasets().iter().for_each(|images| drawn(reconstructions(&autoencoder(), images)));
            }),
        ),
        ("Autoencoder::diagram", Call(|| drawn(autoencoder().diagram()))),
        (
            "Autoencoder::diagram_of",
            Call(|| datasets().iter().for_each(|images| drawn(autoencoder().diagram_of(images)))),
        ),
        ("Vae::diagram", Call(|| drawn(vae().diagram()))),
        ("Vae::diagram_of", Call(|| datasets().iter().for_each(|images| drawn(vae().diagram_of(images))))),
        ("Classifier::diagram", Call(|| drawn(Classifier::convolutional(2).unwrap().diagram()))),
        (
            "Classifier::diagram_of",
            Call(|| {
                let classifier = Classifier::convolutional(2).unwrap();
                datasets().iter().for_each(|images| drawn(classifier.diagram_of(images)));
            }),
        ),
        ("Gan::diagram", Call(|| drawn(Gan::convolutional(2).unwrap().diagram()))),
        (
            "Sequential::diagram",
            Call(|| {
                fn same(x: &Tensor) -> Tensor {
                    x.clone()
                }
                drawn(Sequential::input([0]).diagram());
                drawn(Sequential::input([2, 2, 2, 2]).diagram());
                drawn(Sequential::input([1 << 24]).diagram());
                drawn(Sequential::input([1, 1 << 24, 1]).diagram());
                drawn(Sequential::input([2]).skip(|inner| inner).diagram());
                drawn(Sequential::input([2]).dense(1).dense(0).diagram());
                for layers in [299, 300, 3_000] {
                    drawn((0..layers).fold(Sequential::input([1]), |network, _| network.relu()).diagram());
                    drawn((0..layers).fold(Sequential::input([1]), |network, _| network.dense(1)).diagram());
                }
                for depth in [1, 7, 8, 9, 20] {
                    let deep = (0..depth).fold(Sequential::input([2]).dense(2), |inside, _| {
                        Sequential::input([2]).skip(move |_| inside)
                    });
                    drawn(deep.diagram());
                    drawn(deep.diagram_of(&ArrayD::zeros(vec![1, 2])));
                }
                for text in texts() {
                    drawn(Sequential::input([2]).map(text.leak(), same).diagram());
                }
            }),
        ),
        (
            "Sequential::diagram_of",
            Call(|| {
                let network = Sequential::input([2]).dense(3).relu();
                for shape in [vec![], vec![0], vec![2], vec![0, 2], vec![1, 2], vec![5, 2], vec![1, 3], vec![1, 2, 1]] {
                    FLOATS.iter().for_each(|value| {
                        drawn(network.diagram_of(&ArrayD::from_elem(shape.clone(), *value)));
                    });
                }
                for shape in [vec![1, 300, 2, 1], vec![1, 1, 1, 3_000], vec![1, 3, 500, 7], vec![1, 2, 70_000]] {
                    drawn(Sequential::input(&shape[1..]).relu().diagram_of(&ArrayD::ones(shape)));
                }
            }),
        ),
        (
            "explore",
            Call(|| {
                for images in datasets() {
                    if let Some(explorer) = either(explore(&autoencoder(), &images)) {
                        shown(&explorer);
                        assert!(!explorer.to_html().contains("<script>alert"));
                    }
                }
            }),
        ),
        ("Explore::new", Nothing("nothing")),
        (
            "Explore::points",
            Call(|| {
                SIZES.iter().for_each(|n| drop(either(Explore::new().points(*n).of(&autoencoder(), &digits(12)))));
            }),
        ),
        (
            "Explore::pca",
            Call(|| {
                datasets().iter().for_each(|images| drop(either(Explore::new().pca().of(&autoencoder(), images))));
            }),
        ),
        (
            "Explore::tsne",
            Call(|| {
                for perplexity in NUMBERS {
                    let tsne = Tsne::new().iterations(5).perplexity(perplexity).progress_every(0);
                    either(Explore::new().tsne(&tsne).of(&autoencoder(), &digits(12)));
                }
            }),
        ),
        (
            "draw",
            Call(|| {
                for images in datasets() {
                    if let Some(explorer) = either(draw(&autoencoder(), &images)) {
                        assert!(!explorer.to_html().contains("<script>alert"));
                    }
                }
            }),
        ),
        ("Explore::draw", Call(|| drop(either(Explore::new().draw().points(1).of(&autoencoder(), &digits(12)))))),
        (
            "Explore::classifier",
            Call(|| {
                for classes in [1, 2, 10, 4000] {
                    let classifier = Classifier::linear(autoencoder().encoder(), classes).unwrap();
                    either(Explore::new().classifier(&classifier).of(&autoencoder(), &digits(12)));
                }
            }),
        ),
        (
            "Explore::clusters",
            Call(|| {
                SIZES.iter().for_each(|n| drop(either(Explore::new().clusters(*n).of(&autoencoder(), &digits(12)))));
            }),
        ),
        (
            "Explore::grid",
            Call(|| {
                SIZES.iter().for_each(|n| drop(either(Explore::new().grid(*n).of(&autoencoder(), &digits(12)))));
            }),
        ),
        (
            "Explore::of",
            Call(|| {
                datasets().iter().for_each(|images| drop(either(Explore::new().grid(2).of(&autoencoder(), images))));
            }),
        ),
        ("Explorer::to_html", Nothing("what explore made")),
        (
            "Explorer::save",
            Call(|| {
                let explorer = explore(&autoencoder(), &digits(4)).unwrap();
                paths().iter().for_each(|path| refused(explorer.save(path)));
            }),
        ),
        ("Explorer::show", Call(|| explore(&autoencoder(), &digits(4)).unwrap().show())),
        ("Explorer::evcxr_display", Call(|| explore(&autoencoder(), &digits(4)).unwrap().evcxr_display())),
        (
            "jupyter::display",
            Call(|| {
                jupyter::display(&[]);
                for text in texts() {
                    jupyter::display(&[(text.as_str(), text.as_str()), ("text/plain", "")]);
                    jupyter::display(&[("application/json", text.as_str())]);
                }
            }),
        ),
        ("jupyter::display_html", Call(|| texts().iter().for_each(|text| jupyter::display_html(text, text)))),
        (
            "jupyter::escape_html",
            Call(|| {
                texts().iter().for_each(|text| assert!(!jupyter::escape_html(text).contains(['<', '>', '"', '\''])));
            }),
        ),
        ("jupyter::install_error_display", Nothing("nothing")),
        (
            "jupyter::print_line",
            Call(|| {
                for place in texts() {
                    texts().iter().for_each(|text| jupyter::print_line(&place, format_args!("{text}")));
                }
            }),
        ),
        ("jupyter::show_failure", Call(|| texts().iter().for_each(|text| jupyter::show_failure(text, text)))),
    ]
}
