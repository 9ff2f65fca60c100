//! How things look: figures (charts, image grids and scatters, as SVG or PNG), tables in HTML, the progress of a run in a notebook.

mod axis;
mod bar_chart;
mod bitmap;
mod classes;
mod explorer;
mod figure;
mod font;
mod frame;
mod heatmap;
mod html;
mod image_grid;
mod line_chart;
mod live_progress;
mod palette;
mod plots;
mod png;
mod scatter;
mod scatter3d;
mod sparkline;
mod sprite_sheet;
mod tables;
mod text;

pub use bar_chart::BarChart;
pub use explorer::{Explore, Explorer, explore};
pub use figure::{Figure, grid, row};
pub use heatmap::Heatmap;
pub use html::escape_html;
pub use image_grid::ImageGrid;
pub use line_chart::LineChart;
pub(crate) use live_progress::progress_html;
pub use palette::PALETTE;
pub use plots::reconstructions;
pub use scatter::Scatter;
pub use scatter3d::Scatter3d;
