//! What the admin runs manually: `aistack-helper policy …`, `guard …`, `ingress …`, `audit …` and `doctor`.

pub mod audit;
pub mod doctor;
pub mod guard;
pub mod ingress;
pub mod policy;
