//! The front door with a real HAProxy, in a network namespace of its own: who is reached by which hello, and
//! what nobody notices when tenants come and go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it does not run"
)]

mod admin_socket;
mod changes;
mod hello;
mod routing;
mod test_host;
