//! Everything that can be wrong in an entry although its TOML has the right shape.

use std::collections::BTreeMap;

use super::entry::{CheckEntry, Entry};
use super::template::{List, Name, Template};
use super::{Catalog, CatalogError};
use crate::desired::image::ImageName;
use crate::env_file::is_key;
use crate::manifest::keys;

/// A mistake: what to look for in the file to find its place, and what it is.
type Mistake = (String, String);

/// What the TOML parser found.
pub(super) fn syntax_error(name: &str, text: &str, error: &toml::de::Error) -> CatalogError {
    let start = error.span().map_or(0, |span| span.start);
    place(name, text, start, error.message().to_owned())
}

/// Every mistake in every entry.
pub(super) fn mistakes(catalog: &Catalog, sources: &[(&str, &str)]) -> Vec<CatalogError> {
    let mut errors = Vec::new();
    for (name, text) in sources {
        let Some(entry) = catalog.get(name) else {
            continue;
        };
        let mut found = Vec::new();
        names(entry, &mut found);
        mounts(entry, &mut found);
        needs(catalog, entry, &mut found);
        keys_of(catalog, entry, &mut found);
        templates(catalog, entry, &mut found);
        for (needle, message) in found {
            let start = text.find(&needle).unwrap_or(0);
            errors.push(place(name, text, start, message));
        }
    }
    errors
}

fn place(name: &str, text: &str, start: usize, message: String) -> CatalogError {
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    CatalogError {
        file: format!("{name}.toml"),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn names(entry: &Entry, found: &mut Vec<Mistake>) {
    if !is_label(&entry.name) {
        let message = format!("{:?} is no name of a service", entry.name);
        found.push((String::new(), message));
    }
    match ImageName::parse(&entry.image) {
        Ok(image) if image.to_string() == entry.image && !entry.image.ends_with(":latest") => {}
        _ => found.push((
            entry.image.clone(),
            format!(
                "{:?} is no full image reference with a pinned tag",
                entry.image
            ),
        )),
    }
    if let Some(site) = &entry.site
        && !is_label(&site.host)
    {
        found.push((
            site.host.clone(),
            format!("{:?} is no host label", site.host),
        ));
    }
    for name in entry.environment.keys().filter(|name| !is_key(name)) {
        found.push((name.clone(), format!("{name:?} is no name of a variable")));
    }
    for database in &entry.databases {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !database.name.bytes().all(plain) || database.name.is_empty() {
            let message = format!("{:?} is no plain database name", database.name);
            found.push((database.name.clone(), message));
        }
    }
    for name in entry.config.keys() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            found.push((name.clone(), format!("{name:?} is no plain file name")));
        }
    }
}

fn mounts(entry: &Entry, found: &mut Vec<Mistake>) {
    let mounts = [&entry.mounts.etc, &entry.mounts.data, &entry.mounts.logs];
    let targets: Vec<&String> = mounts
        .into_iter()
        .flatten()
        .chain(entry.filesystem.tmpfs.keys())
        .collect();
    for target in &targets {
        let sound = target.len() > 1
            && target.starts_with('/')
            && target
                .split('/')
                .skip(1)
                .all(|part| !matches!(part, "" | "." | ".."));
        if !sound {
            let message = format!("{target:?} is no absolute path of a directory");
            found.push(((*target).clone(), message));
        }
        let nested = |other: &&&String| {
            target
                .strip_prefix(other.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(outer) = targets.iter().find(nested) {
            let message = format!("{target:?} is mounted inside {outer:?}");
            found.push(((*target).clone(), message));
        }
    }
    if entry.config.is_empty() != entry.mounts.etc.is_none() {
        let message = "`config` and `mounts.etc` go together".to_owned();
        found.push(("[mounts]".to_owned(), message));
    }
}

fn needs(catalog: &Catalog, entry: &Entry, found: &mut Vec<Mistake>) {
    for need in &entry.needs {
        let message = match catalog.get(need) {
            None => format!("it needs {need:?}, which is no service"),
            Some(other) if other.when.is_some() => {
                format!("it needs {need:?}, which not every stack has")
            }
            Some(other) if reaches(catalog, other, &entry.name, 0) => {
                format!("it needs {need:?}, which needs {}", entry.name)
            }
            Some(_) => continue,
        };
        found.push((format!("{need:?}"), message));
    }
    for database in &entry.databases {
        if !entry.needs.contains(&database.provider) {
            let message = format!(
                "its database is in {:?}, which it does not need",
                database.provider
            );
            found.push((database.provider.clone(), message));
        }
    }
    if entry.site.is_some() && catalog.proxy_port("https").is_none() {
        let message = "it has a site, and no service of phase ingress speaks https".to_owned();
        found.push(("[site]".to_owned(), message));
    }
}

/// True when `from` needs `service`, directly or not.
fn reaches(catalog: &Catalog, from: &Entry, service: &str, depth: usize) -> bool {
    depth < 64
        && from.needs.iter().any(|need| {
            need == service
                || catalog
                    .get(need)
                    .is_some_and(|next| reaches(catalog, next, service, depth + 1))
        })
}

/// Keys that the entry declares: well formed, and declared once in the whole catalog.
fn keys_of(catalog: &Catalog, entry: &Entry, found: &mut Vec<Mistake>) {
    let declared = |entry: &'_ Entry| -> Vec<String> {
        let ports = entry.ports.iter().map(|port| port.key.clone());
        let secrets = entry.secrets.iter().map(|secret| secret.key.clone());
        let settings = entry.settings.iter().map(|setting| setting.key.clone());
        ports.chain(secrets).chain(settings).collect()
    };
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for key in catalog.entries().iter().flat_map(declared) {
        *count.entry(key).or_default() += 1;
    }
    for key in declared(entry) {
        if !is_key(&key) || key != key.to_ascii_uppercase() {
            found.push((key.clone(), format!("{key:?} is no key of the manifest")));
        }
        if count.get(&key).is_some_and(|count| *count > 1)
            || keys::BASE.iter().any(|base| base.key == key)
        {
            found.push((key.clone(), format!("{key:?} is declared twice")));
        }
    }
    for port in &entry.ports {
        let offsets = catalog.port_keys();
        let clash = offsets
            .iter()
            .find(|(key, offset)| (*key == port.key) != (*offset == port.offset));
        if let Some((other, offset)) = clash {
            let message = format!(
                "port {} has offset {}, and {other} has {offset}",
                port.key, port.offset
            );
            found.push((port.key.clone(), message));
        }
    }
    if let Some(when) = &entry.when
        && !catalog.is_key(&when.key)
    {
        found.push((
            when.key.clone(),
            format!("{:?} is no key of the manifest", when.key),
        ));
    }
}

/// Every name in every template has a value where it stands.
fn templates(catalog: &Catalog, entry: &Entry, found: &mut Vec<Mistake>) {
    for (place, template) in placed(entry) {
        for name in template.names() {
            if let Some(why) = unknown(catalog, entry, name, place) {
                found.push((format!("{name}}}"), format!("`${{{name}}}`: {why}")));
            }
        }
    }
    for asked in &entry.checks {
        if let CheckEntry::Http {
            port: Some(port), ..
        } = asked
            && !entry.ports.iter().any(|own| own.key == *port)
        {
            let message = format!("{port:?} is no port of this service");
            found.push((format!("{port:?}"), message));
        }
    }
    for database in &entry.databases {
        if !catalog.is_key(&database.password) {
            let message = format!("{:?} is no key of the manifest", database.password);
            found.push((database.password.clone(), message));
        }
    }
}

/// Every template of an entry.
fn placed(entry: &Entry) -> Vec<(Place, &Template)> {
    let mut plain: Vec<&Template> = entry
        .entrypoint
        .iter()
        .chain(&entry.command)
        .chain(entry.environment.values())
        .chain(&entry.health.command)
        .collect();
    for asked in &entry.checks {
        match asked {
            CheckEntry::Http { steps, .. } => {
                for step in steps {
                    plain.extend([&step.path].into_iter().chain(step.headers.values()));
                    plain.extend(step.body.iter().chain(&step.contains));
                    let keys = step.s3.iter();
                    plain.extend(keys.flat_map(|keys| [&keys.access_key, &keys.secret_key]));
                }
            }
            CheckEntry::Exec { command, stdin, .. } => plain.extend(command.iter().chain(stdin)),
        }
    }
    let each = [&entry.each.site, &entry.each.scrape].into_iter().flatten();
    let plain = plain.into_iter().map(|template| (Place::Plain, template));
    plain
        .chain(
            entry
                .config
                .values()
                .map(|template| (Place::Config, template)),
        )
        .chain(each.map(|template| (Place::Each, template)))
        .collect()
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Config,
    Each,
}

fn unknown(catalog: &Catalog, entry: &Entry, name: &Name, place: Place) -> Option<String> {
    match name {
        Name::Key(key) => (!catalog.is_key(key)).then(|| "no such key of the manifest".to_owned()),
        Name::Uid | Name::Gid | Name::Step(_) => None,
        Name::Host(service) | Name::Port(service) => {
            let other = catalog
                .get(service)
                .filter(|_| *service == entry.name || related(entry).any(|name| name == service));
            match (name, other) {
                (_, None) => Some("no service that this one needs or comes after".to_owned()),
                (Name::Port(_), Some(other)) if other.ports.is_empty() => {
                    Some("that service has no port".to_owned())
                }
                _ => None,
            }
        }
        Name::Url => entry.site.is_none().then(|| "it has no [site]".to_owned()),
        Name::Each(list) => {
            let defined = match list {
                List::Site => &entry.each.site,
                List::Scrape => &entry.each.scrape,
                List::Route => &entry.each.route,
            };
            (place != Place::Config || defined.is_none())
                .then(|| "lists stand in `config`, with their template in [each]".to_owned())
        }
        Name::Item(_) => (place != Place::Each).then(|| "stands in [each] only".to_owned()),
    }
}

/// Every service that the entry names as one that it has to do with.
fn related(entry: &Entry) -> impl Iterator<Item = &String> {
    let variants = entry.variants.iter().flat_map(|variant| &variant.needs);
    entry
        .needs
        .iter()
        .chain(&entry.after)
        .chain(&entry.network_of)
        .chain(variants)
}
