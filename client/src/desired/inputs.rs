//! What everything is rendered from: settings, catalog and grant, and the questions to them.

use std::path::{Path, PathBuf};

use aistack_proto::v1::Grant;

use super::{DesiredError, FrontDoor, Locks, OWN_ROOT, PublicName, TimeScale, invalid};
use crate::catalog::{Catalog, Entry, Phase, Port, Variant, When};
use crate::env_file::Settings;
use crate::selection;

/// What everything is rendered from.
pub(super) struct Inputs<'a> {
    pub(super) settings: &'a Settings,
    pub(super) catalog: &'a Catalog,
    pub(super) grant: &'a Grant,
    pub(super) locks: &'a Locks,
    pub(super) time_scale: TimeScale,
    /// Services of this stack, in catalog order.
    pub(super) entries: Vec<&'a Entry>,
}

/// Where the root of the proxy's own authority is; `CADDY_TLS` says where certificates come from.
pub(super) fn own_root(settings: &Settings, base_dir: &str) -> Option<PathBuf> {
    let own = settings.get("CADDY_TLS") == Some("internal");
    own.then(|| Path::new(base_dir).join(OWN_ROOT))
}

/// True when the manifest meets a condition.
pub(super) fn holds(when: &When, settings: &Settings) -> bool {
    selection::holds(when, &|key| settings.get(key).map(str::to_owned))
}

impl<'a> Inputs<'a> {
    /// Variants of an entry that hold.
    pub(super) fn variants<'e>(&self, entry: &'e Entry) -> impl Iterator<Item = &'e Variant> {
        let variants = entry.variants.iter();
        variants.filter(|variant| holds(&variant.when, self.settings))
    }

    /// The name that other containers find a service by.
    pub(super) fn host<'n>(&self, service: &'n str) -> &'n str
    where
        'a: 'n,
    {
        let owner = self.catalog.get(service).map(|entry| &entry.network_of);
        owner.and_then(Option::as_deref).unwrap_or(service)
    }

    /// The stack's proxy for a scheme, `http` or `https`: its published port.
    pub(super) fn proxy(&self, scheme: &str) -> Option<&'a Port> {
        self.entries
            .iter()
            .filter(|entry| entry.phase == Phase::Ingress)
            .flat_map(|entry| &entry.ports)
            .find(|port| port.scheme == scheme)
    }

    /// The port that visitors find the proxy's sites on: the front door's, or the one it is published on.
    pub(super) fn public_port(&self, proxy: &Port) -> Result<u32, DesiredError> {
        match &self.grant.front_door {
            Some(door) => Ok(door.https_port),
            None => Ok(self.port(&proxy.key)?.into()),
        }
    }

    /// Every name of every site at the host's front door, where there are a front door and a proxy.
    pub(super) fn front_door(&self) -> Result<Option<FrontDoor>, DesiredError> {
        let (Some(door), Some(proxy)) = (&self.grant.front_door, self.proxy("https")) else {
            return Ok(None);
        };
        let port = |port: u32| {
            let number = u16::try_from(port).ok().filter(|port| *port > 0);
            number.ok_or_else(|| invalid("DOMAIN_NAME", "the front door has no port number"))
        };
        let published = self.port(&proxy.key)?;
        let sites = self.entries.iter().filter_map(|entry| {
            let site = entry.site.as_ref()?;
            Some((&entry.name, &site.host))
        });
        let names = sites.flat_map(|(service, host)| {
            self.domains().map(move |domain| PublicName {
                service: service.clone(),
                host: format!("{host}.{domain}"),
                published,
            })
        });
        Ok(Some(FrontDoor {
            http_port: port(door.http_port)?,
            https_port: port(door.https_port)?,
            names: names.collect(),
        }))
    }

    /// Every domain of the tenant.
    pub(super) fn domains(&self) -> impl Iterator<Item = &str> {
        let more = self.grant.domains.iter();
        std::iter::once(&self.grant.domain)
            .chain(more)
            .map(String::as_str)
    }

    /// A value of the manifest; empty is a value.
    pub(super) fn setting(&self, key: &str) -> Result<&str, DesiredError> {
        self.settings
            .get(key)
            .ok_or_else(|| invalid(key, "is not set; run `aistack init` to add it"))
    }

    /// A published port, from the manifest.
    pub(super) fn port(&self, key: &str) -> Result<u16, DesiredError> {
        self.setting(key)?
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid(key, "is not a port number"))
    }

    /// A refusal by one part of the grant.
    pub(super) fn refusal(
        &self,
        key: &str,
        part: &str,
        message: impl Into<String>,
    ) -> DesiredError {
        let rule = self.grant.rules.get(part).map_or(part, String::as_str);
        DesiredError {
            key: key.to_owned(),
            message: message.into(),
            rule: Some(rule.to_owned()),
            excess: None,
        }
    }
}
