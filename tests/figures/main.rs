//! Figures: what is drawn, as SVG and PNG, and what is refused; and results as tables in HTML.

mod bar_chart;
mod diagram;
mod figure;
#[path = "../folder/mod.rs"]
mod folder;
mod heatmap;
mod histogram;
mod line_chart;
mod roc_chart;
mod scatter;
mod scatter3d;
mod tables;

use latentlab::Figure;

/// Width, height and the pixels of a PNG, as red, green, blue.
fn decoded(figure: &Figure) -> (u32, u32, Vec<[u8; 3]>) {
    let bytes = figure.to_png().unwrap();
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels.as_chunks().0.to_vec())
}

/// The value of an attribute of an SVG's element.
fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    element.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap()
}
