//! The aistack command as a library: pure parts first, the verbs on top.
//!
//! The groups below are the layers of the crate, lowest first. A module may use those of its own group,
//! not in a circle, and those of the groups above its own; `tests/module_graph.rs` checks it.

// Words and tools that know nothing of stacks.
pub mod args;
pub mod env_file;
pub mod exit;
pub mod fs;
pub mod keys;
pub mod nearest;
pub mod patience;
pub mod preset;
mod socket;
pub mod time;

// What a stack can be made of.
pub mod catalog;

// Which services a stack has.
pub mod selection;

// What it says and what it should be.
pub mod desired;
pub mod manifest;

// What has to change.
pub mod plan;

// The two daemons.
pub mod engine;
pub mod guard;
pub mod helper;

// How it is shown.
pub mod error;
pub mod ui;

// Profiles of containers.
pub mod apparmor;

// What is done to a stack, whichever verb asks for it.
pub mod stack;

// One run of the command.
pub mod run;

// What is wrong.
pub mod doctor;

// One verb, one file.
pub mod verbs;

/// Version of this client.
pub const CLIENT_VERSION: &str = env!("CARGO_PKG_VERSION");
