//! What the admin runs manually: `aistack-helper policy …`, `guard …`, `audit …` and `doctor`.

pub mod audit;
pub mod doctor;
pub mod guard;
pub mod policy;
