//! (to be written)
pub mod vet;
