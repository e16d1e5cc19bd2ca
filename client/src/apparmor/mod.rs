//! The tenant's AppArmor profiles: how their containers are confined.

mod standing;

pub use standing::Standing;
