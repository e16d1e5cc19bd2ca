//! The engine gateway: a strict, vetted subset of the Docker Engine API, per caller.
//!
//! [`vet`] holds the pure part: text in, typed value or refusal out. Everything that talks to a
//! socket stands beside it in this module.

pub mod vet;
