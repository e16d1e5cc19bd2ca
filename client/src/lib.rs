//! The aistack command as a library: pure parts first, the verbs on top.

pub mod apparmor;
pub mod catalog;
pub mod desired;
pub mod doctor;
pub mod engine;
pub mod env_file;
pub mod exit;
pub mod failure;
pub mod guard;
pub mod helper;
pub mod manifest;
pub mod nearest;
pub mod patience;
pub mod plan;
pub mod run;
pub mod selection;
mod socket;
pub mod ui;
pub mod verbs;
