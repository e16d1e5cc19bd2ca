//! The commands for the admin: reading the audit log.

pub mod audit;
