//! What the names in a template stand for.

use super::{DesiredError, World, mistake};
use crate::catalog::{Entry, Item, List, Name, Owner, Template};

/// The service whose template is rendered, and in `[each]` the one it is rendered for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) entry: &'a Entry,
    item: Option<(List, &'a Entry)>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(world: &'a World<'a>, entry: &'a Entry) -> Self {
        let item = None;
        Self { world, entry, item }
    }

    /// Renders a template of the service.
    pub(super) fn render(self, template: &Template) -> Result<String, DesiredError> {
        template.render(|name| self.value(name))
    }

    /// Renders a list of them.
    pub(super) fn render_all(self, templates: &[Template]) -> Result<Vec<String>, DesiredError> {
        templates
            .iter()
            .map(|template| self.render(template))
            .collect()
    }

    /// The UID and GID that the service runs as.
    pub(super) fn ids(self) -> Result<(u32, u32), DesiredError> {
        let grant = self.world.grant;
        match self.entry.user {
            Owner::Tenant => Ok((grant.uid, grant.gid)),
            Owner::Service => grant
                .service_uids
                .first()
                .map(|uid| (*uid, *uid))
                .ok_or_else(|| {
                    let message = format!("the policy gives no UID for {}", self.entry.name);
                    self.world.refusal("OPENCLAW_UID", "service_uids", message)
                }),
        }
    }

    /// The public host name of a service.
    pub(super) fn public_host(self, of: &Entry) -> Result<String, DesiredError> {
        let site = of.site.as_ref().ok_or_else(|| no_value(&Name::Url))?;
        Ok(format!(
            "{}.{}",
            site.host,
            self.world.setting("DOMAIN_NAME")?
        ))
    }

    fn value(self, name: &Name) -> Result<String, DesiredError> {
        match name {
            Name::Key(key) => self.world.setting(key).map(str::to_owned),
            Name::Uid => Ok(self.ids()?.0.to_string()),
            Name::Gid => Ok(self.ids()?.1.to_string()),
            Name::Host(service) => Ok(service.clone()),
            Name::Port(service) => self
                .world
                .catalog
                .get(service)
                .and_then(|other| other.ports.first())
                .map(|port| port.container.to_string())
                .ok_or_else(|| no_value(name)),
            Name::Url => self.url(),
            Name::Each(list) => self.each(*list),
            Name::Item(item) => self.item(*item),
            // Known only when the check is made.
            Name::Step(step) => Ok(format!("${{step:{step}}}")),
        }
    }

    /// Public address; the port is left out where it is the scheme's own.
    fn url(self) -> Result<String, DesiredError> {
        let key = self.world.catalog.proxy_port("https");
        let port = self.world.port(key.ok_or_else(|| no_value(&Name::Url))?)?;
        let host = self.public_host(self.entry)?;
        Ok(match port {
            443 => format!("https://{host}"),
            _ => format!("https://{host}:{port}"),
        })
    }

    fn each(self, list: List) -> Result<String, DesiredError> {
        let (template, has): (_, fn(&Entry) -> bool) = match list {
            List::Site => (&self.entry.each.site, |entry| entry.site.is_some()),
            List::Scrape => (&self.entry.each.scrape, |entry| entry.scrape.is_some()),
            List::Route => (&self.entry.each.route, |_| false),
        };
        let template = template
            .as_ref()
            .ok_or_else(|| no_value(&Name::Each(list)))?;
        let entries = self.world.entries.iter().filter(|entry| has(entry));
        entries
            .map(|other| {
                let item = Some((list, *other));
                Scope { item, ..self }.render(template)
            })
            .collect()
    }

    fn item(self, item: Item) -> Result<String, DesiredError> {
        let (list, other) = self.item.ok_or_else(|| no_value(&Name::Item(item)))?;
        let site = other.site.as_ref().filter(|_| list == List::Site);
        let scrape = other.scrape.as_ref().filter(|_| list == List::Scrape);
        let port = site
            .map(|site| site.port)
            .or(scrape.map(|scrape| scrape.port));
        let value = match item {
            Item::Service => Some(other.name.clone()),
            Item::Host => Some(self.public_host(other)?),
            Item::Upstream => port.map(|port| format!("{}:{port}", other.name)),
            Item::Path => scrape.map(|scrape| scrape.path.clone()),
        };
        value.ok_or_else(|| no_value(&Name::Item(item)))
    }
}

/// Loading the catalog has made sure that this cannot be; it is an error all the same.
fn no_value(name: &Name) -> DesiredError {
    mistake(
        &name.to_string(),
        "has no value here; the catalog entry is broken",
    )
}
