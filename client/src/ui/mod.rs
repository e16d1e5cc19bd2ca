//! What people and scripts see: data on standard output, everything else on standard error.

mod colour;
pub mod invalid;
mod printer;
mod progress;
pub mod prompt;
mod table;
pub mod terminal;
mod text;

pub use crate::time::{ago, parse_moment, seconds};
pub use colour::{Paint, Tone};
pub use printer::Printer;
pub use progress::{Progress, Word};
pub use table::Table;
pub use text::{clean, plain, safe, size, url};
