//! `docker system df` of one tenant: its containers and the images that it may use. There are no volumes and no
//! builds. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::AsOf;
use crate::engine::vet::target::DiskObject;

/// What a tenant's things take.
#[derive(Debug)]
pub(in crate::engine) struct DiskUsage {
    containers: Vec<Value>,
    images: Vec<Value>,
}

impl DiskUsage {
    /// Of the tenant's own lists, that of the containers with sizes.
    pub(in crate::engine) fn count(containers: Value, images: Value) -> Self {
        let (containers, mut images) = (items(containers), items(images));
        for image in &mut images {
            let used = containers.iter().filter(|container| {
                container
                    .get("ImageID")
                    .and_then(Value::as_str)
                    .is_some_and(|id| image.get("Id").and_then(Value::as_str) == Some(id))
            });
            let used = used.count();
            if let Some(fields) = image.as_object_mut() {
                fields.insert("Containers".to_owned(), json!(used));
                // What images share is not counted here; clients take -1 for "not used".
                fields.insert("SharedSize".to_owned(), json!(0));
            }
        }
        Self { containers, images }
    }

    /// As the API has it: lists until 1.51, sums from 1.52 on with the lists beside them unless `verbose`
    /// puts them into the sums (moby, `daemon/server/router/system`).
    pub(in crate::engine) fn shown(
        self,
        as_of: AsOf,
        of: &BTreeSet<DiskObject>,
        verbose: bool,
    ) -> Value {
        let wanted = |object| of.contains(&object);
        let has_sums = as_of.has_disk_sums();
        let mut shown = Map::new();
        if has_sums {
            for (key, object, sum) in [
                (
                    "ContainerUsage",
                    DiskObject::Container,
                    self.of_containers(verbose),
                ),
                ("ImageUsage", DiskObject::Image, self.of_images(verbose)),
                (
                    "VolumeUsage",
                    DiskObject::Volume,
                    Sum::default().shown(verbose.then(Vec::new)),
                ),
                (
                    "BuildCacheUsage",
                    DiskObject::BuildCache,
                    Sum::default().shown(verbose.then(Vec::new)),
                ),
            ] {
                if wanted(object) {
                    shown.insert(key.to_owned(), sum);
                }
            }
        }
        if has_sums && verbose {
            return Value::Object(shown);
        }
        let sizes = self.images.iter().map(|image| number(image, "Size"));
        let layers = sizes.fold(0, u64::saturating_add);
        let images = as_of.images(Value::Array(self.images));
        let containers = as_of.containers(Value::Array(self.containers));
        for (key, object, list) in [
            ("LayersSize", DiskObject::Image, json!(layers)),
            ("Images", DiskObject::Image, images),
            ("Containers", DiskObject::Container, containers),
            ("Volumes", DiskObject::Volume, json!([])),
            ("BuildCache", DiskObject::BuildCache, json!([])),
        ] {
            if wanted(object) {
                shown.insert(key.to_owned(), list);
            }
        }
        Value::Object(shown)
    }

    fn of_containers(&self, verbose: bool) -> Value {
        let mut sum = Sum::default();
        for container in &self.containers {
            let state = container.get("State").and_then(Value::as_str);
            let active = matches!(state, Some("running" | "paused" | "restarting"));
            sum.add(number(container, "SizeRw"), active);
        }
        sum.shown(verbose.then(|| self.containers.clone()))
    }

    fn of_images(&self, verbose: bool) -> Value {
        let mut sum = Sum::default();
        for image in &self.images {
            sum.add(number(image, "Size"), number(image, "Containers") > 0);
        }
        sum.shown(verbose.then(|| self.images.clone()))
    }
}

/// How many there are, in use, and what they take.
#[derive(Default)]
struct Sum {
    total: u64,
    active: u64,
    bytes: u64,
    reclaimable: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64, active: bool) {
        self.total += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if active {
            self.active += 1;
        } else {
            self.reclaimable = self.reclaimable.saturating_add(bytes);
        }
    }

    fn shown(&self, items: Option<Vec<Value>>) -> Value {
        let mut shown = json!({
            "TotalCount": self.total, "ActiveCount": self.active,
            "TotalSize": self.bytes, "Reclaimable": self.reclaimable,
        });
        if let (Some(items), Some(fields)) = (items, shown.as_object_mut()) {
            fields.insert("Items".to_owned(), Value::Array(items));
        }
        shown
    }
}

fn items(list: Value) -> Vec<Value> {
    match list {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn number(of: &Value, key: &str) -> u64 {
    of.get(key).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use aistack_policy::engine::ApiVersion;

    use super::*;

    fn usage() -> DiskUsage {
        DiskUsage::count(
            json!([
                {"Id": "a", "ImageID": "i", "State": "paused", "SizeRw": 5},
                {"Id": "b", "ImageID": "i", "State": "exited", "SizeRw": 7},
                {"Id": "c", "ImageID": "z", "State": "created"},
            ]),
            json!([
                {"Id": "i", "Size": 100, "Containers": -1, "SharedSize": -1},
                {"Id": "j", "Size": 30, "Containers": -1, "SharedSize": -1},
            ]),
        )
    }

    #[test]
    fn it_is_shown_as_each_version_has_it() {
        for minor in 24..=56 {
            let as_of = AsOf(ApiVersion::v1(minor));
            for verbose in [false, true] {
                let shown = usage().shown(as_of, &DiskObject::ALL.into(), verbose);
                let sums = minor >= 52;
                assert_eq!(shown.get("ContainerUsage").is_some(), sums, "{minor}");
                assert_eq!(
                    shown.get("Containers").is_some(),
                    !(sums && verbose),
                    "{minor} {verbose}"
                );
                if sums {
                    let of = |key: &str| shown.pointer(key).and_then(Value::as_u64);
                    assert_eq!(of("/ContainerUsage/TotalCount"), Some(3));
                    assert_eq!(of("/ContainerUsage/ActiveCount"), Some(1));
                    assert_eq!(of("/ContainerUsage/TotalSize"), Some(12));
                    assert_eq!(of("/ContainerUsage/Reclaimable"), Some(7));
                    assert_eq!(of("/ImageUsage/TotalSize"), Some(130));
                    assert_eq!(of("/ImageUsage/Reclaimable"), Some(30));
                    assert_eq!(shown.pointer("/ImageUsage/Items").is_some(), verbose);
                    assert_eq!(of("/VolumeUsage/TotalCount"), Some(0));
                }
                if !(sums && verbose) {
                    assert_eq!(shown["LayersSize"], 130);
                    assert_eq!(shown["Images"][0]["Containers"], 2);
                    assert_eq!(shown["Images"][1]["Containers"], 0);
                    assert_eq!(shown["Images"][0].get("VirtualSize").is_some(), minor < 44);
                }
            }
        }
    }

    #[test]
    fn some_kinds_may_be_requested() {
        use DiskObject::{BuildCache, Container, Image, Volume};
        for (of, expected) in [
            (vec![Image], "ImageUsage Images LayersSize"),
            (
                vec![Volume, BuildCache],
                "BuildCache BuildCacheUsage VolumeUsage Volumes",
            ),
            (
                vec![Container, Image],
                "ContainerUsage Containers ImageUsage Images LayersSize",
            ),
        ] {
            let as_of = AsOf(ApiVersion::v1(52));
            let shown = usage().shown(as_of, &of.into_iter().collect(), false);
            let keys: Vec<&str> = shown
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(keys.join(" "), expected);
        }
    }

    #[test]
    fn sizes_beyond_all_numbers_do_not_overflow() {
        let images = json!([{"Id": "i", "Size": u64::MAX}, {"Id": "j", "Size": u64::MAX}]);
        let usage = DiskUsage::count(json!([]), images);
        let shown = usage.shown(AsOf(ApiVersion::v1(52)), &DiskObject::ALL.into(), false);
        assert_eq!(shown["LayersSize"], u64::MAX);
        assert_eq!(shown["ImageUsage"]["TotalSize"], u64::MAX);
    }
}
