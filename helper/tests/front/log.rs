//! The audit log under a real daemon.
