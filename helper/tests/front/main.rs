//! The real `aistack-helper` on a real socket: tenants, strangers and attackers.
//!
//! Needs root, since a policy file is root's; says so and passes where it is not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../floods/mod.rs"]
mod as_user;
mod budget;
mod calls;
mod doctor;
mod floods;
mod hanging;
mod hostile;
mod log;
mod raw;
#[path = "../recorded/mod.rs"]
mod recorded;
mod supported;
mod test_host;
mod versions;
mod whole;
mod work;
