//! The privileged side of aistack, shared by its three binaries.
//!
//! - `aistack-helper` ([`front`], [`ops`]): identify, decide, audit, act, for each gRPC call.
//! - `aistack-mount` ([`mount`]): one typed request from the helper, one mount or unmount.
//! - `aistack-engine` ([`engine`]): the vetted Docker Engine API.
//!
//! [`apparmor`] loads profiles for the first and names them for the last; [`peer`], [`accept`], [`audit`], [`policy_store`], [`daemon`], [`sandbox`] and [`docker`] are
//! what they have in common.

pub mod accept;
pub mod admin;
mod admission;
pub mod apparmor;
pub mod audit;
pub mod cli;
pub mod daemon;
pub mod docker;
pub mod engine;
pub mod front;
pub mod guard;
mod hex;
pub mod ingress;
mod locks;
pub mod mount;
pub mod ops;
pub mod own_dir;
pub mod peer;
pub mod policy_store;
pub mod printable;
pub mod rate;
pub mod safe_path;
pub mod sandbox;
mod seldom;
pub mod service_name;
