//! The network guard's rules with packets, in network namespaces: what is allowed passes, what is not
//! is refused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod egress;
mod front_door;
mod host;
mod owners;
mod table;
