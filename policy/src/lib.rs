//! The aistack policy file and every decision that follows from it.
//!
//! Pure: no I/O, no async, no clock. The daemons read the file and pass the text in; what comes
//! out is a [`Policy`], and from it the [`Grant`] of each UID. Nothing else may make a `Grant`.
//!
//! The way of a file: `reader` walks the spanned TOML and refuses what it does not know, `value`
//! parses single values, `file` puts them into the shape of the file with every default filled in,
//! `check` looks at the whole, `policy` answers questions. Each step adds its errors to one list.

#![forbid(unsafe_code)]

pub mod apparmor;
pub mod engine;
pub mod guard;
pub mod image;
pub mod ingress;
pub mod printable;

mod check;
mod disk;
mod error;
mod file;
mod grant;
mod policy;
mod reader;
mod refusal;
mod report;
mod text;
mod value;

pub use disk::{DiskMatch, EBS_MODEL, parse_uuid};
pub use error::{PolicyError, PolicyErrors, PolicyWarning};
pub use grant::{
    AppArmorMode, Format, FrontDoor, Grant, GrantRules, ImagePattern, Ipv4Subnet, Limits,
    NetworkGrant, PortRange, VolumeGrant, VolumeKind, WritableLayer,
};
pub use policy::{MAX_NAMED_TENANTS, MAX_TEXT_BYTES, Policy};
pub use refusal::{Refusal, Rule};
