//! What the admin runs by hand: `aistack-helper policy …`, `audit …` and `ingress …`.

pub mod audit;
pub mod ingress;
pub mod policy;
