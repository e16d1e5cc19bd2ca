//! Keys of the manifest that an entry declares.

use super::super::Catalog;
use super::super::entry::Entry;
use super::Error;
use super::names::quoted;
use super::when::exclude;
use crate::env_file::is_key;
use crate::keys;

/// Well formed, and no other service's; services that are never together may share them.
pub(super) fn check(catalog: &Catalog, entry: &Entry, earlier: &[&Entry], found: &mut Vec<Error>) {
    let own = declared(entry);
    for (at, key) in own.iter().enumerate() {
        if !is_key(key) || **key != key.to_ascii_uppercase() {
            found.push((quoted(key), format!("{key:?} is not a key of the manifest")));
        }
        let other = earlier.iter().find(|other| {
            other.declares(key) && !exclude(entry.when.as_ref(), other.when.as_ref())
        });
        if let Some(other) = other {
            let message = format!("{key:?} is declared by {} already", other.name);
            found.push((quoted(key), message));
        }
        if own.iter().skip(at + 1).any(|later| later == key)
            || keys::BASE.iter().any(|base| base.key == key.as_str())
        {
            found.push((quoted(key), format!("{key:?} is declared twice")));
        }
    }
    for port in &entry.ports {
        let fixed = keys::PORTS.iter().copied();
        let ports = earlier.iter().flat_map(|other| &other.ports);
        let clash = fixed
            .chain(ports.map(|port| (port.key.as_str(), port.offset)))
            .chain(
                entry
                    .ports
                    .iter()
                    .map(|port| (port.key.as_str(), port.offset)),
            )
            .find(|(key, offset)| (*key == port.key) != (*offset == port.offset));
        if let Some((other, offset)) = clash {
            let message = format!(
                "port {} has offset {}, and {other} has {offset}",
                port.key, port.offset
            );
            found.push((quoted(&port.key), message));
        }
    }
    for database in super::names::databases(entry) {
        if !catalog.is_key(&database.password) {
            let message = format!("{:?} is not a key of the manifest", database.password);
            found.push((quoted(&database.password), message));
        }
    }
}

fn declared(entry: &Entry) -> Vec<&String> {
    let ports = entry.ports.iter().map(|port| &port.key);
    let secrets = entry.secrets.iter().map(|secret| &secret.key);
    let settings = entry.settings.iter().map(|setting| &setting.key);
    ports.chain(secrets).chain(settings).collect()
}
