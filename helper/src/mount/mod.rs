//! The mount worker: one typed request from the helper, one mount or unmount.

pub mod wire;
