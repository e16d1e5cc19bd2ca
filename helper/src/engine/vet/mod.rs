//! What the gateway takes from a caller: parsed into closed types, decided on, rendered again.
//!
//! Pure: no I/O. Nothing that a caller sent is forwarded as bytes; what reaches Docker is rendered
//! from the typed values of this module.

pub mod create;
pub mod exec;
pub mod existing;
pub mod image;
pub mod json;
pub mod layer;
pub mod target;
pub mod working_dir;
