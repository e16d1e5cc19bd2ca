//! The engine gateway: a strict, vetted subset of the Docker Engine API, per caller.
//!
//! [`vet`] holds the pure part: text in, typed value or refusal out. `http` reads one request from
//! a connection, [`gateway`] says whether its caller may be answered at all, `own` resolves what
//! it names, `handlers` and `create` do it between two audit records, and `views` (pure) takes
//! what is not the caller's out of the answer. `confined` looks at what was started,
//! `disk` at what containers write, and
//! `pulled` keeps which images a tenant has pulled.

mod changing;
mod confined;
mod create;
mod disk;
mod error;
pub mod gateway;
mod guarded;
mod handlers;
mod http;
mod own;
pub mod pulled;
mod reach;
mod request_limit;
pub mod serve;
mod turns;
pub mod vet;
mod views;
