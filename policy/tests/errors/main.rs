//! Every error that a file can have, where it is reported, and in which words.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

mod clashes;
mod containers;
mod doubts;
mod fixtures;
mod guard;
mod shares;
mod text;
mod volumes;

use fixtures::{named, warnings, with};

#[test]
fn the_fixtures_are_sound() {
    assert_eq!(warnings(&with("")), [""; 0]);
    assert_eq!(warnings(&named("")), [""; 0]);
}
