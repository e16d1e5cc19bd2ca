//! What a caller sees of Docker's answers about images. Pure.
//!
//! Both are rebuilt field by field: what a later API version adds is not shown until it is known whom
//! it tells of. From 1.51 on `Containers` counts the host's containers, from 1.47 on `Manifests` holds
//! their ids, from 1.53 on `Identity` names every repository that anybody has pulled the image from,
//! and the annotations of a `Descriptor` (1.48) have the name under which somebody has loaded it.

use std::collections::BTreeSet;

use aistack_policy::Grant;
use serde_json::{Map, Value, json};

use super::picked;
use crate::engine::vet::image::ImageRef;

/// What is shown of an image in a list, beside its names.
const LISTED: [&str; 6] = [
    "Id",
    "Created",
    "Size",
    "SharedSize",
    "VirtualSize",
    "Labels",
];

/// What is shown of an inspected image, beside its names.
const INSPECTED: [&str; 12] = [
    "Id",
    "Comment",
    "Created",
    "Author",
    "Config",
    "Architecture",
    "Variant",
    "Os",
    "OsVersion",
    "Size",
    "VirtualSize",
    "RootFS",
];

/// What is shown of a content descriptor.
const DESCRIPTOR: [&str; 4] = ["mediaType", "digest", "size", "platform"];

/// The images that one tenant may see and use: of those that the policy's `images` allow, what it has
/// pulled or runs, and what `local_images` has for it. The others are the host's own, or another
/// tenant's to know of.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Usable<'a> {
    pub(in crate::engine) grant: &'a Grant,
    /// What the tenant has pulled or runs, as normalised references.
    pub(in crate::engine) own: &'a BTreeSet<String>,
}

impl Usable<'_> {
    fn has(&self, image: &ImageRef) -> bool {
        let local = || {
            let mut patterns = self.grant.local_images.iter();
            patterns.any(|pattern| pattern.matches(&image.repository))
        };
        is_allowed(image, self.grant) && (self.own.contains(&image.to_string()) || local())
    }

    /// The images of a list that the tenant may use, with those of their names only.
    pub(in crate::engine) fn images(&self, list: Value) -> Value {
        let Value::Array(items) = list else {
            return Value::Array(Vec::new());
        };
        let images = items.iter().filter_map(|item| self.listed(item));
        Value::Array(images.collect())
    }

    fn listed(&self, image: &Value) -> Option<Value> {
        let mut shown = picked(image, &LISTED);
        self.name(image, &mut shown)?;
        // Clients insist on both. Where Docker has not counted the containers it says -1.
        shown.insert("ParentId".to_owned(), json!(""));
        shown.insert("Containers".to_owned(), json!(-1));
        insert_descriptor(image, &mut shown);
        if let Some(Value::Array(manifests)) = image.get("Manifests") {
            let manifests = manifests.iter().map(manifest).collect();
            shown.insert("Manifests".to_owned(), Value::Array(manifests));
        }
        Some(Value::Object(shown))
    }

    /// An inspected image with those of its names that the tenant may use; `None` when there is none.
    pub(in crate::engine) fn inspected(&self, image: &Value) -> Option<Value> {
        let mut shown = picked(image, &INSPECTED);
        self.name(image, &mut shown)?;
        insert_descriptor(image, &mut shown);
        Some(Value::Object(shown))
    }

    /// The history of an image with this id. Docker names the images that it was made of, and all that have the
    /// same layers, whoever has them.
    pub(in crate::engine) fn history(&self, history: &Value, id: &str) -> Value {
        let layers = history.as_array().into_iter().flatten();
        Value::Array(layers.map(|layer| self.layer(layer, id)).collect())
    }

    fn layer(&self, layer: &Value, id: &str) -> Value {
        let mut shown = picked(layer, &["Created", "CreatedBy", "Size", "Comment"]);
        let own = layer.get("Id").and_then(Value::as_str) == Some(id);
        // Docker's own word for an image that is not there.
        shown.insert("Id".to_owned(), json!(if own { id } else { "<missing>" }));
        let tags = layer.get("Tags").and_then(Value::as_array);
        let tags = tags.into_iter().flatten().filter_map(Value::as_str);
        let usable: Vec<&str> = tags
            .filter(|tag| ImageRef::parse(tag).is_ok_and(|name| self.has(&name)))
            .collect();
        let usable = if usable.is_empty() {
            Value::Null
        } else {
            json!(usable)
        };
        shown.insert("Tags".to_owned(), usable);
        Value::Object(shown)
    }

    /// Puts in the names that the tenant may use; `None` when there is none. A digest is a name of an
    /// image that the tenant may use by a tag of the same repository.
    fn name(&self, image: &Value, shown: &mut Map<String, Value>) -> Option<()> {
        let mut repositories = BTreeSet::new();
        let mut named = false;
        for key in ["RepoTags", "RepoDigests"] {
            let names = image.get(key).and_then(Value::as_array);
            let mut usable = Vec::new();
            for text in names.into_iter().flatten().filter_map(Value::as_str) {
                let Ok(name) = ImageRef::parse(text) else {
                    continue;
                };
                let by_tag = key == "RepoDigests" && repositories.contains(&name.repository);
                if by_tag || self.has(&name) {
                    repositories.insert(name.repository);
                    usable.push(text);
                }
            }
            named |= !usable.is_empty();
            shown.insert(key.to_owned(), json!(usable));
        }
        named.then_some(())
    }
}

/// Between which times the images of a list were made, Unix time.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Created {
    pub(in crate::engine) before: Option<i64>,
    pub(in crate::engine) since: Option<i64>,
    pub(in crate::engine) until: Option<i64>,
}

impl Created {
    /// Those images of a list.
    pub(in crate::engine) fn of(self, mut list: Value) -> Value {
        if let Some(images) = list.as_array_mut() {
            images.retain(|image| {
                let created = image.get("Created").and_then(Value::as_i64).unwrap_or(0);
                self.before.is_none_or(|before| created < before)
                    && self.since.is_none_or(|since| created > since)
                    && self.until.is_none_or(|until| created < until)
            });
        }
        list
    }
}

fn insert_descriptor(image: &Value, shown: &mut Map<String, Value>) {
    if let Some(descriptor) = image.get("Descriptor").filter(|it| it.is_object()) {
        shown.insert("Descriptor".to_owned(), self::descriptor(descriptor));
    }
}

/// A content descriptor without its annotations.
pub(super) fn descriptor(descriptor: &Value) -> Value {
    Value::Object(picked(descriptor, &DESCRIPTOR))
}

/// One manifest of an index, without the containers that are made from it.
fn manifest(manifest: &Value) -> Value {
    let mut shown = picked(manifest, &["ID", "Available", "Size", "Kind"]);
    insert_descriptor(manifest, &mut shown);
    if let Some(data) = manifest.get("ImageData").filter(|it| it.is_object()) {
        let mut data = picked(data, &["Platform", "Size"]);
        data.insert("Containers".to_owned(), json!([]));
        shown.insert("ImageData".to_owned(), Value::Object(data));
    }
    if let Some(data) = manifest.get("AttestationData").filter(|it| it.is_object()) {
        let data = Value::Object(picked(data, &["For"]));
        shown.insert("AttestationData".to_owned(), data);
    }
    Value::Object(shown)
}

/// True when `image`, as [`Usable::inspected`] has left it, has this name.
pub(in crate::engine) fn is_named(image: &Value, name: &ImageRef) -> bool {
    let names = ["RepoTags", "RepoDigests"]
        .into_iter()
        .filter_map(|key| image.get(key)?.as_array());
    let mut names = names.flatten().filter_map(Value::as_str);
    names.any(|other| ImageRef::parse(other).is_ok_and(|other| other == *name))
}

/// True when the policy has this image for the tenant: it may be pulled.
pub(in crate::engine) fn is_allowed(image: &ImageRef, grant: &Grant) -> bool {
    let mut patterns = grant.images.iter();
    patterns.any(|pattern| pattern.matches(&image.repository))
}

#[cfg(test)]
mod tests;
