//! Figures: charts, image grids and scatters, as SVG or PNG.

mod axis;
mod bar_chart;
mod bitmap;
mod classes;
mod explorer;
mod figure;
mod font;
mod frame;
mod heatmap;
mod image_grid;
mod line_chart;
mod palette;
mod results;
mod scatter;
mod scatter3d;
mod text;

pub use bar_chart::BarChart;
pub use explorer::{Explore, Explorer, explore};
pub use figure::{Figure, grid, row};
pub use heatmap::Heatmap;
pub use image_grid::ImageGrid;
pub use line_chart::LineChart;
pub use palette::PALETTE;
pub use results::reconstructions;
pub use scatter::Scatter;
pub use scatter3d::Scatter3d;
