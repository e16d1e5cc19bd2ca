//! What the verbs share: who calls, with what, and the steps that touch sockets and files.

pub mod atomic;
pub mod checks;
pub mod choice;
pub mod configs;
pub mod deployed_on;
pub mod deployer;
pub mod diagnose;
pub mod gate;
pub mod graph;
pub mod guard;
pub mod images;
pub mod kept;
pub mod leftovers;
pub mod listeners;
pub mod lock;
pub mod look;
pub mod mounts;
pub mod mover;
pub mod pace;
pub mod pairs;
pub mod profiles;
pub mod prompt;
pub mod provisions;
pub mod reserve;
pub mod restore;
pub mod session;
pub mod setup;
mod slowness;
pub mod store;
pub mod takedown;
pub mod tls;

pub use pace::Pace;
pub use session::{Context, Session};
