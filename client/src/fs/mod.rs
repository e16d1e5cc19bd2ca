//! Files and mounts, whatever they hold.

pub mod atomic;
pub mod mounts;
