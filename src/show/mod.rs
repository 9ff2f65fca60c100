//! How things look: figures (charts and images as SVG or PNG), HTML tables, and the progress of a run in a notebook.
//!
//! | file | what it holds |
//! |---|---|
//! | `figure` | [`Figure`]: saved as SVG or PNG, put beside others |
//! | `chart` | the trait of the kinds of chart below, and how to add one |
//! | `line_chart`, `histogram`, `roc_chart`, `scatter`, `scatter3d` | kinds of chart |
//! | `bar_chart`, `heatmap`, `image_grid` | further ones |
//! | `diagram`, `diagram_layout` | a network as a picture |
//! | `canvas`, `bitmap` | what charts draw on, and the pixels of a PNG |
//! | `axis`, `frame`, `classes`, `theme`, `palette`, `text`, `font` | parts of charts |
//! | `plots` | figures made directly from data, models and results |
//! | `tables` | data, networks and results as HTML |
//! | `html`, `sparkline`, `sprite_sheet`, `png` | parts of HTML |
//! | `live_progress` | the progress of a run as a notebook shows it |
//! | `explorer` | the interactive scatter |

mod axis;
mod bar_chart;
mod bitmap;
mod canvas;
mod chart;
mod classes;
mod diagram;
mod diagram_layout;
mod explorer;
mod figure;
mod font;
mod frame;
mod heatmap;
mod histogram;
mod html;
mod image_grid;
mod line_chart;
mod live_progress;
mod palette;
mod plots;
mod png;
mod roc_chart;
mod scatter;
mod scatter3d;
mod sparkline;
mod sprite_sheet;
mod tables;
mod text;
mod theme;

pub use bar_chart::BarChart;
pub use explorer::{Explore, Explorer, draw, explore};
pub use figure::{Figure, grid, row};
pub use heatmap::Heatmap;
pub use histogram::Histogram;
pub use html::escape_html;
pub use image_grid::ImageGrid;
pub use line_chart::LineChart;
pub(crate) use live_progress::progress_html;
pub use palette::PALETTE;
pub use plots::reconstructions;
pub(crate) use png::{STATED, shown_size};
pub use roc_chart::RocChart;
pub use scatter::Scatter;
pub use scatter3d::Scatter3d;
pub use theme::{Theme, set_theme};
