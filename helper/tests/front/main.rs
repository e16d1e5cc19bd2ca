//! The real `aistack-helper` on a real socket: tenants, strangers and attackers.
//!
//! Needs root, since a policy file is root's; says so and passes where it is not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, prints what it measured and says what it skips"
)]

mod calls;
mod hostile;
mod log;
mod raw;
mod world;
