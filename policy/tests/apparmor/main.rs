//! The language of AppArmor sources from outside: a corpus with a verdict for each file, properties of
//! every verdict, and what apparmor_parser itself says of what is rendered.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

mod corpus;
mod parser;
mod properties;
mod random;
mod sources;
