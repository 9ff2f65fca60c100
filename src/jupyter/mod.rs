//! How values and errors are shown in a notebook.
//!
//! The Rust kernel, evcxr, reads what a cell prints: plain lines become the cell's text, and a block between
//! `EVCXR_BEGIN_CONTENT <media type>` and `EVCXR_END_CONTENT` becomes its rich output, one for each media type. With
//! the relay of `latentlab kernel` the library has a separate channel and writes no blocks: nothing that a cell prints
//! can be taken for a figure or an error of the library, and none of them is lost in what is printed. Nothing here
//! needs a notebook: everywhere else the blocks are just text on the standard output.

mod display;
mod errors;
pub(crate) mod interact;
mod values;
#[doc(hidden)]
pub mod variables;

pub use crate::channel::protocol::ERROR_MEDIA_TYPE;
pub use crate::show::escape_html;
pub use display::{display, display_html};
pub use errors::{install_error_display, print_line, show_failure};
