//! What is done to a stack, whichever verb asks for it.

pub mod apply;
pub mod ask;
pub mod checks;
pub mod configs;
pub mod deployed_on;
pub mod deployer;
pub mod diagnose;
pub mod front_door;
pub mod gate;
pub mod graph;
pub mod images;
pub mod leftovers;
pub mod lifecycle;
pub mod listeners;
pub mod look;
pub mod pairs;
pub mod preview;
pub mod provisions;
pub mod refresh;
pub mod report;
pub mod restore;
mod select;
mod slowness;
pub mod stop;
pub mod tls;

pub use select::select;
