//! Keys of the file that nothing knows: most are mistyped.

use crate::catalog::Catalog;
use crate::env_file::EnvFile;
use crate::nearest::nearest;

/// A sentence for each key that no service and no reference knows, with the known one it is closest to.
///
/// `incomplete` says that the catalog is without services whose own files have errors: a key that is
/// close to none may be one of theirs.
#[must_use]
pub fn unknown(catalog: &Catalog, file: &EnvFile, incomplete: bool) -> Vec<String> {
    let keys = catalog.keys();
    file.unknown(|key| catalog.is_key(key))
        .filter_map(|key| match nearest(key, keys.iter().copied()) {
            Some(near) => Some(format!(
                "no service knows the key {key} of the .env; did you mean {near}?"
            )),
            None if incomplete => None,
            None => Some(format!("no service knows the key {key} of the .env")),
        })
        .collect()
}
