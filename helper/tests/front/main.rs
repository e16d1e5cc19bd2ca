//! The real `aistack-helper` on a real socket: tenants, strangers and attackers.
//!
//! Needs root, since a policy file is root's; says so and passes where it is not.

mod calls;
mod hostile;
mod log;
mod world;
