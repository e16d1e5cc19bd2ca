//! The closed list of methods, each with its name in the log, its rule, and whether it changes
//! anything. There is no wildcard: a new method does not compile until it has all three.

use aistack_policy::{Grant, Rule};

/// The full name of the gRPC service.
pub(super) const SERVICE: &str = "aistack.helper.v1.Helper";

/// A method of the gRPC service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each is the method of the same name in helper.proto
pub enum Method {
    WhoAmI,
    CheckEngine,
    MountVolume,
    UnmountVolume,
    GrowVolume,
    PrepareDirectories,
    Chown,
    LoadAppArmor,
    UnloadAppArmor,
    CreateNetwork,
    RemoveNetwork,
}

impl Method {
    /// The method behind an HTTP/2 path, `None` for everything else.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path
            .strip_prefix('/')?
            .strip_prefix(SERVICE)?
            .strip_prefix('/')?;
        Some(match name {
            "WhoAmI" => Self::WhoAmI,
            "CheckEngine" => Self::CheckEngine,
            "MountVolume" => Self::MountVolume,
            "UnmountVolume" => Self::UnmountVolume,
            "GrowVolume" => Self::GrowVolume,
            "PrepareDirectories" => Self::PrepareDirectories,
            "Chown" => Self::Chown,
            "LoadAppArmor" => Self::LoadAppArmor,
            "UnloadAppArmor" => Self::UnloadAppArmor,
            "CreateNetwork" => Self::CreateNetwork,
            "RemoveNetwork" => Self::RemoveNetwork,
            _ => return None,
        })
    }

    /// Name of the operation in the audit log.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::WhoAmI => "whoami",
            Self::CheckEngine => "engine.check",
            Self::MountVolume => "volume.mount",
            Self::UnmountVolume => "volume.unmount",
            Self::GrowVolume => "volume.grow",
            Self::PrepareDirectories => "directories.prepare",
            Self::Chown => "directories.chown",
            Self::LoadAppArmor => "apparmor.load",
            Self::UnloadAppArmor => "apparmor.unload",
            Self::CreateNetwork => "network.create",
            Self::RemoveNetwork => "network.remove",
        }
    }

    /// The rule of the grant that allows it.
    #[must_use]
    pub fn rule(self, grant: &Grant) -> &Rule {
        match self {
            Self::WhoAmI | Self::CheckEngine => &grant.rules.uid,
            Self::MountVolume | Self::UnmountVolume | Self::GrowVolume => &grant.rules.volume,
            Self::PrepareDirectories => &grant.rules.base_dir,
            Self::Chown => &grant.rules.service_uids,
            Self::LoadAppArmor | Self::UnloadAppArmor => &grant.rules.apparmor,
            Self::CreateNetwork | Self::RemoveNetwork => &grant.rules.network,
        }
    }

    /// Whether it may change anything: then it is audited and runs alone for its UID.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::WhoAmI | Self::CheckEngine => false,
            Self::MountVolume
            | Self::UnmountVolume
            | Self::GrowVolume
            | Self::PrepareDirectories
            | Self::Chown
            | Self::LoadAppArmor
            | Self::UnloadAppArmor
            | Self::CreateNetwork
            | Self::RemoveNetwork => true,
        }
    }
}

impl Method {
    /// Whether it counts against the rate of changes: what writes a record, and what the engine writes a
    /// line of its log for.
    pub(super) fn counts_as_change(self) -> bool {
        self.changes() || self == Self::CheckEngine
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    // The few fields of google.protobuf.FileDescriptorSet (descriptor.proto) that name methods.
    #[derive(Clone, PartialEq, Message)]
    struct FileSet {
        #[prost(message, repeated, tag = "1")]
        files: Vec<File>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "6")]
        services: Vec<Service>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Service {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        methods: Vec<Named>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }

    #[test]
    fn every_method_of_the_contract_has_a_rule_and_an_operation_of_its_own() {
        let set = FileSet::decode(aistack_proto::DESCRIPTORS).unwrap();
        let mut operations = BTreeSet::new();
        let mut methods = 0;
        for file in &set.files {
            for service in &file.services {
                let full = format!("{}.{}", file.package, service.name);
                assert_eq!(full, SERVICE, "a service that the front does not serve");
                for named in &service.methods {
                    let path = format!("/{full}/{}", named.name);
                    let method = Method::of(&path).unwrap_or_else(|| panic!("{path} has no rule"));
                    assert_eq!(format!("{method:?}"), named.name);
                    operations.insert(method.operation());
                    methods += 1;
                }
            }
        }
        assert_eq!(methods, 11, "the contract's methods were not enumerated");
        assert_eq!(operations.len(), methods);
    }

    #[test]
    fn nothing_but_the_exact_path_is_a_method() {
        for path in [
            "",
            "/",
            "WhoAmI",
            "/WhoAmI",
            "/aistack.helper.v1.Helper",
            "/aistack.helper.v1.Helper/",
            "/aistack.helper.v1.Helper/whoami",
            "/aistack.helper.v1.Helper/WhoAmI/",
            "//aistack.helper.v1.Helper/WhoAmI",
            "/aistack.helper.v1.Helper//WhoAmI",
            "/aistack.helper.v2.Helper/WhoAmI",
            "/aistack.helper.v1.Helper/%57hoAmI",
        ] {
            assert_eq!(Method::of(path), None, "{path}");
        }
    }
}
