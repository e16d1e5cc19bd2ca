//! Every name in every template has a value where it stands.

use std::collections::BTreeSet;

use super::super::Catalog;
use super::super::entry::{CheckEntry, Entry, Variant};
use super::super::template::{Item, List, Name, Template};
use super::Error;
use super::edges::hard;
use super::when::implies;
use crate::keys;

pub(super) fn check(catalog: &Catalog, entry: &Entry, found: &mut Vec<Error>) {
    for (place, template) in placed(entry) {
        for name in template.names() {
            if let Some(why) = unknown(catalog, entry, name, place) {
                found.push((format!("{name}}}"), format!("`${{{name}}}`: {why}")));
            }
        }
        for key in template.raw_in_urls().filter(|key| catalog.is_secret(key)) {
            let why = format!("`${{{key}}}`: a secret in a URL is written `${{urlencode:{key}}}`");
            found.push((format!("{key}}}"), why));
        }
    }
}

/// Where a template stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    Plain,
    Variant(&'a Variant),
    Config,
    Each(List),
    Step,
}

/// Every template of an entry.
fn placed(entry: &Entry) -> Vec<(Place<'_>, &Template)> {
    let plain = entry
        .entrypoint
        .iter()
        .chain(&entry.command)
        .chain(entry.environment.values())
        .chain(&entry.health.command)
        .chain(entry.vector_db.as_ref().map(|db| &db.url));
    let mut all: Vec<(Place<'_>, &Template)> =
        plain.map(|template| (Place::Plain, template)).collect();
    for variant in &entry.variants {
        let templates = variant.environment.values();
        all.extend(templates.map(|template| (Place::Variant(variant), template)));
    }
    for check_entry in &entry.checks {
        match check_entry {
            CheckEntry::Http { steps, .. } => {
                for step in steps {
                    let templates = [&step.path].into_iter().chain(step.headers.values());
                    let keys = step.s3.iter();
                    let keys = keys.flat_map(|keys| [&keys.access_key, &keys.secret_key]);
                    let templates = templates
                        .chain(&step.body)
                        .chain(&step.contains)
                        .chain(keys);
                    all.extend(templates.map(|template| (Place::Step, template)));
                }
            }
            CheckEntry::Exec { command, stdin, .. } => {
                let templates = command.iter().chain(stdin);
                all.extend(templates.map(|template| (Place::Plain, template)));
            }
        }
    }
    let config = entry.config.values();
    all.extend(config.map(|template| (Place::Config, template)));
    let each = &entry.each;
    for (list, template) in [
        (List::Site, &each.site),
        (List::Scrape, &each.scrape),
        (List::Route, &each.route),
        (List::FrontDoor, &each.front_door),
        (List::PublicName, &each.public_name),
    ] {
        let template = template.as_ref();
        all.extend(template.map(|template| (Place::Each(list), template)));
    }
    all
}

fn unknown(catalog: &Catalog, entry: &Entry, name: &Name, place: Place<'_>) -> Option<String> {
    match name {
        Name::Key(key) if !catalog.is_key(key) => Some("no such key of the manifest".to_owned()),
        Name::Key(key) if !has_key(catalog, entry, key, place) => Some(
            "it is a key of a service that this one does not need, so not every manifest has it"
                .to_owned(),
        ),
        Name::Key(_) | Name::Uid | Name::Gid => None,
        Name::Step(_) => (!matches!(place, Place::Step))
            .then(|| "stands in the steps of a check only".to_owned()),
        Name::Host(service) | Name::Port(service) | Name::UrlOf(service) => {
            let mut related = hard(entry).chain(&entry.after);
            let known = *service == entry.name || related.any(|name| name == service);
            match (name, catalog.get(service).filter(|_| known)) {
                (_, None) => Some("no service that this one needs or comes after".to_owned()),
                (Name::Port(_), Some(other)) if other.ports.is_empty() => {
                    Some("that service has no port".to_owned())
                }
                (Name::UrlOf(_), Some(other)) if other.site.is_none() => {
                    Some("that service has no [site]".to_owned())
                }
                _ => None,
            }
        }
        Name::Url => entry.site.is_none().then(|| "it has no [site]".to_owned()),
        Name::Each(list @ (List::Route | List::PublicName)) => {
            let defined = entry.each.template(*list).is_some();
            let sound = matches!(place, Place::Each(List::Site)) && defined;
            (!sound).then(|| "stands in [each] site, with its own template in [each]".to_owned())
        }
        Name::Each(list) => {
            let defined = entry.each.template(*list);
            (!matches!(place, Place::Config) || defined.is_none())
                .then(|| "lists stand in `config`, with their template in [each]".to_owned())
        }
        Name::Item(item) => match (place, item) {
            (Place::Each(list), item) => {
                (!has(list, *item)).then(|| "this list has none".to_owned())
            }
            _ => Some("stands in [each] only".to_owned()),
        },
    }
}

/// True when what a list has comes with this.
fn has(list: List, item: Item) -> bool {
    match item {
        Item::Service => list != List::FrontDoor,
        Item::Upstream => !matches!(list, List::FrontDoor | List::PublicName),
        Item::Host => matches!(list, List::Site | List::Route | List::PublicName),
        Item::Path => matches!(list, List::Route | List::Scrape),
        Item::Url => list == List::PublicName,
        Item::Source => list == List::FrontDoor,
    }
}

/// True when every manifest with this service, or with its variant, has the key.
fn has_key(catalog: &Catalog, entry: &Entry, key: &str, place: Place<'_>) -> bool {
    if keys::BASE.iter().any(|base| base.key == key)
        || keys::PORTS.iter().any(|(port, _)| *port == key)
    {
        return true;
    }
    let mut conditions = vec![entry.when.as_ref()];
    let mut queue: Vec<&str> = vec![&entry.name];
    if let Place::Variant(variant) = place {
        conditions.push(Some(&variant.when));
        queue.extend(variant.needs.iter().map(String::as_str));
    }
    let decided = catalog.entries().iter().filter(|other| {
        let when = other.when.as_ref();
        when.is_some_and(|when| conditions.iter().any(|own| implies(*own, when)))
    });
    queue.extend(decided.map(|other| other.name.as_str()));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(other) = queue.pop().and_then(|name| catalog.get(name)) {
        if other.declares(key) {
            return true;
        }
        if seen.insert(&other.name) {
            let needs = other.needs.iter().chain(&other.network_of);
            queue.extend(needs.map(String::as_str));
        }
    }
    false
}
