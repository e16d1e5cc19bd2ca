//! What the admin runs by hand: `aistack-helper policy …`, `guard …` and `audit …`.

pub mod audit;
pub mod guard;
pub mod policy;
