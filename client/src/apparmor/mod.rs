//! The tenant's AppArmor profiles: their sources in `BASE_DIR/apparmor`, which the tenant may edit,
//! and how containers are confined by them.

mod refused;
mod sources;
mod standing;

pub use refused::Refused;
pub use sources::{Edition, Source, sources, sources_in};
pub use standing::Standing;

#[cfg(test)]
pub(crate) use standing::tests::who as who_for_tests;
