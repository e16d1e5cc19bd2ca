//! The aistack policy file and every decision that follows from it.
//!
//! Pure: no I/O, no async, no clock. The daemons read the file and hand the text in; what comes
//! out is a [`Policy`], and from it the [`Grant`] of each UID. Nothing else may make a `Grant`.

#![forbid(unsafe_code)]

mod grant;
mod policy;
mod refusal;

pub use grant::{
    AppArmorMode, Format, Grant, GrantRules, ImagePattern, Ipv4Subnet, Limits, NetworkGrant,
    PortRange, VolumeGrant, VolumeKind,
};
pub use policy::{Policy, PolicyError, PolicyErrors, PolicyWarning};
pub use refusal::{Refusal, Rule};
