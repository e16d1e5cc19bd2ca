//! What the verbs share: who calls, with what, and the steps that touch sockets and files.

pub mod backups;
pub mod choice;
pub mod engine;
pub mod guard;
pub mod lock;
pub mod pace;
pub mod profiles;
pub mod reserve;
pub mod service_files;
pub mod session;
pub mod setup;
pub mod store;

pub use pace::Pace;
pub use session::{Context, Session};
