//! What people and scripts see: data on standard output, everything else on standard error.

mod colour;
mod printer;
mod progress;
mod table;
pub mod terminal;
mod text;
mod time;

pub use colour::{Paint, Tone, When};
pub use printer::Printer;
pub use progress::{Mode, Progress, Word};
pub use table::Table;
pub use text::{clean, plain, safe, size, url};
pub use time::{Span, ago, parse_moment, seconds};
