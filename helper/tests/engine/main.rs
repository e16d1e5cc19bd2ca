//! The gateway as tenants meet it: hostile requests through its real socket, with a Docker behind
//! it that only records, and the real docker command with the real dockerd.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr
)]

#[path = "../floods/mod.rs"]
mod as_user;
mod clients;
mod costly;
mod dockerd;
mod floods;
mod hostile;
mod images;
mod lasting;
mod layers;
mod ordinary;
#[path = "../recorded/mod.rs"]
mod recorded;
mod supported;
mod test_host;
mod versions;
