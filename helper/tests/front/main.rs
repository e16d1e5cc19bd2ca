//! The real `aistack-helper` on a real socket: tenants, strangers and attackers.
//!
//! Needs root, since a policy file is root's; says so and passes where it is not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod calls;
mod hostile;
mod log;
mod raw;
mod versions;
mod whole;
mod work;
mod world;
