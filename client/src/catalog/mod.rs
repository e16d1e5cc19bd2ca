//! The catalog: one TOML file a service in `client/catalog/`, embedded, strictly typed.

/// Every service that this version knows.
#[derive(Debug, Clone)]
pub struct Catalog {}

impl Catalog {
    /// The embedded catalog. A broken entry cannot be shipped: a test loads every one.
    #[must_use]
    pub fn embedded() -> Self {
        Self {}
    }

    /// Names of all services, in catalog order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}
