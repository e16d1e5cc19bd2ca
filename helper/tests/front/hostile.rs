//! Clients that do not play by the rules.
