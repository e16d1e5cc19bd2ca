//! The tenant's AppArmor profiles: their sources in `BASE_DIR/apparmor`, which the tenant may edit,
//! and how containers are confined by them.

mod confinement;
mod rejected;
mod sources;

pub use confinement::Confinement;
pub use rejected::RejectedSource;
pub use sources::{Edition, Source, sources, sources_in};

#[cfg(test)]
pub(crate) use confinement::tests::who as who_for_tests;
