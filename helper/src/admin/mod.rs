//! What the admin runs by hand: `aistack-helper policy …`, `guard …`, `audit …` and `doctor`.

pub mod audit;
pub mod doctor;
pub mod guard;
pub mod policy;
