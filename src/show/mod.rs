//! Figures: charts, image grids and scatters, as SVG or PNG.

mod axis;
mod bitmap;
mod figure;
mod frame;
mod image_grid;
mod line_chart;
mod palette;
mod results;
mod scatter;
mod text;

pub use figure::{Figure, grid, row};
pub use image_grid::ImageGrid;
pub use line_chart::LineChart;
pub use palette::PALETTE;
pub use results::reconstructions;
pub use scatter::Scatter;
