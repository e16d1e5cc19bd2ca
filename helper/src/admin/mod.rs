//! What the admin runs by hand: `aistack-helper policy …`, `guard …`, `ingress …`, `audit …` and `doctor`.

pub mod audit;
pub mod doctor;
pub mod guard;
pub mod ingress;
pub mod policy;
