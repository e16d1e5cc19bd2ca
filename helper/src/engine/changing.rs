//! Which containers are being changed at this moment. A change goes to its end although its caller
//! is gone; who comes next sees it in the list and can wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Label of a container in a list, with the operation. Docker does not know it, and no caller can
/// set it: the prefix is the gateway's.
const LABEL: &str = "io.aistack.changing";

/// The changes in progress, by full id of the container. There are no more of them than
/// requests.
#[derive(Debug, Default)]
pub(super) struct Changing(Mutex<HashMap<String, Vec<&'static str>>>);

impl Changing {
    /// Notes an operation on a container until the mark is dropped.
    pub(super) fn begin<'c>(&'c self, id: &str, operation: &'static str) -> Mark<'c> {
        self.with(|all| all.entry(id.to_owned()).or_default().push(operation));
        Mark {
            all: self,
            id: id.to_owned(),
            operation,
        }
    }

    /// What is in progress now. Read before the list is, so that a change that ends meanwhile is in it:
    /// the list may be of before its end.
    pub(super) fn now(&self) -> HashMap<String, &'static str> {
        self.with(|all| {
            let first = |(id, operations): (&String, &Vec<&'static str>)| {
                Some((id.clone(), *operations.first()?))
            };
            all.iter().filter_map(first).collect()
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<String, Vec<&'static str>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds the label to the containers of a list that are being changed.
pub(super) fn label(list: &mut Value, changing: &HashMap<String, &'static str>) {
    for container in list.as_array_mut().into_iter().flatten() {
        let id = container.get("Id").and_then(Value::as_str);
        let operation = id.and_then(|id| changing.get(id));
        let Some(operation) = operation.map(|operation| json!(operation)) else {
            continue;
        };
        if let Some(labels) = container.get_mut("Labels").and_then(Value::as_object_mut) {
            labels.insert(LABEL.to_owned(), operation);
        }
    }
}

/// An operation in progress.
#[derive(Debug)]
pub(super) struct Mark<'c> {
    all: &'c Changing,
    id: String,
    operation: &'static str,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.all.with(|all| {
            let Some(operations) = all.get_mut(&self.id) else {
                return;
            };
            if let Some(at) = operations.iter().position(|own| *own == self.operation) {
                operations.remove(at);
            }
            if operations.is_empty() {
                all.remove(&self.id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_marked_as_long_as_one_change_of_it_goes_on() {
        let changing = Changing::default();
        let marked = || {
            let mut list = json!([{"Id": "a", "Labels": {"x": "y"}}, {"Id": "b", "Labels": {}}]);
            label(&mut list, &changing.now());
            let of = |at: &str| list.pointer(at).and_then(Value::as_str).map(str::to_owned);
            assert_eq!(of("/0/Labels/x").as_deref(), Some("y"));
            assert_eq!(of("/1/Labels/io.aistack.changing"), None);
            of("/0/Labels/io.aistack.changing")
        };
        assert_eq!(marked(), None);
        let stop = changing.begin("a", "container.stop");
        let other = changing.begin("a", "container.stop");
        let remove = changing.begin("a", "container.remove");
        assert_eq!(marked().as_deref(), Some("container.stop"));
        drop(stop);
        assert_eq!(marked().as_deref(), Some("container.stop"));
        drop(other);
        assert_eq!(marked().as_deref(), Some("container.remove"));
        drop(remove);
        assert_eq!(marked(), None);
        assert!(changing.with(|all| all.is_empty()), "nothing is kept");
    }
}
