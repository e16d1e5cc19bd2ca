//! What the admin runs by hand: `aistack-helper policy …` and `aistack-helper audit …`.

pub mod audit;
pub mod policy;
