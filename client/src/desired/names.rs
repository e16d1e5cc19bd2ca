//! What the names in a template stand for.

use super::{DesiredError, Inputs, invalid};
use crate::catalog::{Entry, Item, List, Name, Owner, Route, Scrape, Site, Template};

/// The service whose template is rendered, and in `[each]` the one it is rendered for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) entry: &'a Entry,
    item: Option<Listed<'a>>,
}

/// What an `[each]` template is rendered for.
#[derive(Clone, Copy)]
enum Listed<'a> {
    Site(&'a Entry, &'a Site),
    Route(&'a Entry, &'a Route),
    Scrape(&'a Entry, &'a Scrape),
    FrontDoor,
    /// A site by one of its domains.
    PublicName(&'a Entry, &'a str),
}

impl<'a> Scope<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>, entry: &'a Entry) -> Self {
        let item = None;
        Self {
            inputs,
            entry,
            item,
        }
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
        let grant = self.inputs.grant;
        match self.entry.user {
            Owner::Tenant => Ok((grant.uid, grant.gid)),
            Owner::Service => grant
                .service_uids
                .first()
                .map(|uid| (*uid, *uid))
                .ok_or_else(|| {
                    let message = format!("the policy gives no UID for {}", self.entry.name);
                    self.inputs.refusal("OPENCLAW_UID", "service_uids", message)
                }),
        }
    }

    /// The public host name of a service.
    pub(super) fn public_host(self, of: &Entry) -> Result<String, DesiredError> {
        let site = of.site.as_ref().ok_or_else(|| no_value(&Name::Url))?;
        Ok(format!(
            "{}.{}",
            site.host,
            self.inputs.setting("DOMAIN_NAME")?
        ))
    }

    fn value(self, name: &Name) -> Result<String, DesiredError> {
        match name {
            Name::Key(key) => self.inputs.setting(key).map(str::to_owned),
            Name::Uid => Ok(self.ids()?.0.to_string()),
            Name::Gid => Ok(self.ids()?.1.to_string()),
            Name::Host(service) => Ok(self.inputs.host(service).to_owned()),
            Name::Port(service) => self
                .inputs
                .catalog
                .get(service)
                .and_then(|other| other.ports.first())
                .map(|port| port.container.to_string())
                .ok_or_else(|| no_value(name)),
            Name::Url => self.url(),
            Name::UrlOf(service) => {
                let other = self.inputs.catalog.get(service);
                let other = other.ok_or_else(|| no_value(name))?;
                Scope::new(self.inputs, other).url()
            }
            Name::Each(list) => self.each(*list),
            Name::Item(item) => self.item(*item),
            // Known only when the check is made.
            Name::Step(step) => Ok(format!("${{step:{step}}}")),
        }
    }

    /// Public address; the port is left out where it is the scheme's own. A stack without a proxy
    /// has its published port only.
    fn url(self) -> Result<String, DesiredError> {
        let Self { inputs, entry, .. } = self;
        let host = self.public_host(entry)?;
        match (inputs.proxy("https"), entry.ports.first()) {
            (Some(proxy), _) => Ok(https(&host, inputs.public_port(proxy)?)),
            (None, Some(own)) => {
                let (address, port) = (inputs.setting("LOCALHOST")?, inputs.port(&own.key)?);
                Ok(format!("{}://{address}:{port}", own.scheme))
            }
            (None, None) => Ok(format!("https://{host}")),
        }
    }

    fn each(self, list: List) -> Result<String, DesiredError> {
        let each = &self.entry.each;
        let template = each.template(list);
        let template = template.ok_or_else(|| no_value(&Name::Each(list)))?;
        self.listed(list)
            .into_iter()
            .map(|item| {
                let item = Some(item);
                Scope { item, ..self }.render(template)
            })
            .collect()
    }

    /// Everything that a list has in this stack.
    fn listed(self, list: List) -> Vec<Listed<'a>> {
        let entries = &self.inputs.entries;
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        match (list, self.item) {
            (List::Site, _) => entries
                .iter()
                .filter_map(|entry| Some(Listed::Site(entry, entry.site.as_ref()?)))
                .collect(),
            (List::Scrape, _) => entries
                .iter()
                .filter_map(|entry| Some(Listed::Scrape(entry, entry.scrape.as_ref()?)))
                .collect(),
            (List::Route, Some(Listed::Site(entry, site))) => site
                .routes
                .iter()
                .filter(|route| has(&route.service))
                .map(|route| Listed::Route(entry, route))
                .collect(),
            (List::FrontDoor, _) => {
                let door = self.inputs.grant.front_door.iter();
                door.map(|_| Listed::FrontDoor).collect()
            }
            (List::PublicName, Some(Listed::Site(entry, _))) => {
                let domains = self.inputs.domains();
                let behind = domains.filter(|_| self.inputs.grant.front_door.is_some());
                behind
                    .map(|domain| Listed::PublicName(entry, domain))
                    .collect()
            }
            (List::Route | List::PublicName, _) => Vec::new(),
        }
    }

    fn item(self, item: Item) -> Result<String, DesiredError> {
        let missing = || no_value(&Name::Item(item));
        match self.item.ok_or_else(missing)? {
            Listed::Site(entry, site) => {
                self.listed_service(item, entry, (&entry.name, site.port), None)
            }
            Listed::Route(entry, route) => {
                let upstream = (route.service.as_str(), route.port);
                self.listed_service(item, entry, upstream, Some(&route.path))
            }
            Listed::Scrape(entry, scrape) => {
                self.listed_service(item, entry, (&entry.name, scrape.port), Some(&scrape.path))
            }
            Listed::FrontDoor => match (item, &self.inputs.grant.network) {
                // The host speaks to containers from its own address on their bridge.
                (Item::Source, Some(network)) => Ok(network.gateway.clone()),
                _ => Err(missing()),
            },
            Listed::PublicName(entry, domain) => {
                let site = entry.site.as_ref().ok_or_else(missing)?;
                let host = format!("{}.{domain}", site.host);
                match (item, &self.inputs.grant.front_door) {
                    (Item::Service, _) => Ok(entry.name.clone()),
                    (Item::Host, _) => Ok(host),
                    (Item::Url, Some(door)) => Ok(https(&host, door.https_port)),
                    _ => Err(missing()),
                }
            }
        }
    }

    /// What every list of services has: the service that is queried, with its port, and a path.
    fn listed_service(
        self,
        item: Item,
        of: &Entry,
        (service, port): (&str, u16),
        path: Option<&String>,
    ) -> Result<String, DesiredError> {
        match item {
            Item::Service => Ok(service.to_owned()),
            Item::Host => self.public_host(of),
            Item::Upstream => Ok(format!("{}:{port}", self.inputs.host(service))),
            Item::Path => path.cloned().ok_or_else(|| no_value(&Name::Item(item))),
            Item::Url | Item::Source => Err(no_value(&Name::Item(item))),
        }
    }
}

/// An address, without the port where it is the scheme's own.
fn https(host: &str, port: u32) -> String {
    match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

/// Loading the catalog has made sure that this cannot be; it is an error all the same.
fn no_value(name: &Name) -> DesiredError {
    invalid(
        &name.to_string(),
        "has no value here; the catalog entry is invalid",
    )
}
