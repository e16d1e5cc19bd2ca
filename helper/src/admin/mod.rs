//! What the admin runs by hand: `aistack-helper policy …`, `aistack-helper audit …` and
//! `aistack-helper doctor`.

pub mod audit;
pub mod doctor;
pub mod policy;
