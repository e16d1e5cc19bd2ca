//! Loading and unloading a tenant's profiles through the operations, on files of the test's own.
//!
//! Profiles are compiled by the real apparmor_parser. Only its last step is replaced, since the
//! kernel that builds this need not have AppArmor: a stand-in keeps the kernel's list in a file.
//! What the kernel itself does is proven in the virtual machine (tests/vm).

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it skips"
)]

mod lasting;
mod loading;
mod sources;
mod test_host;
mod tools;
