//! The operations and the mount worker against this machine's kernel and Docker, as root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it skips"
)]

mod chown;
mod directories;
mod disk_contents;
mod disk_refusals;
mod disk_volumes;
mod disks;
mod engine;
mod kill;
mod mount;
mod network;
mod refusals;
mod test_host;
