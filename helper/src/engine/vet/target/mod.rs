//! The request line: which of the offered endpoints a caller means. Everything else is refused
//! without contacting Docker.
//!
//! The raw bytes are matched, never a decoded path: a path with a percent sign, an empty segment or
//! a dot segment is not a path here. The one exception is the name of an image, whose own separators some
//! clients encode. What goes to Docker is rendered from [`Endpoint`], under the API version that is spoken with
//! it, whatever version the caller asks for.

mod container;
mod filters;
mod image_name;
mod images_within;
mod not_offered;
mod ps_args;
mod query;
mod version;

use std::collections::BTreeSet;

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Refusal, Rule};

pub use container::{ContainerCall, LogsQuery, StopQuery};
pub use filters::Filters;
pub use images_within::{ImageReference, ImagesWithin, Moment};
use not_offered::not_offered;
pub use ps_args::PsArgs;
use query::Query;
pub use version::Offered;

use super::image::{ImageRef, Version};
use super::json::shown;
use crate::docker::is_full_id;

/// The longest request target, bytes.
const MAX_TARGET: usize = 8 << 10;

/// The longest reference to a container or network, bytes.
const MAX_REFERENCE: usize = super::create::name::MAX_NAME_AND_ID;

/// What a caller may name as the platform of an image: this host's, which it gets in any case.
const OWN_PLATFORMS: &[&str] = &[
    "",
    "linux",
    if cfg!(target_arch = "aarch64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    },
];

/// One call of the Docker Engine API that the gateway offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET|HEAD /_ping`
    Ping,
    /// `GET /version`
    Version,
    /// `GET /info`
    Info,
    /// `GET /system/df`
    DiskUsage {
        /// Of these.
        of: BTreeSet<DiskObject>,
        /// With each object (API 1.52).
        verbose: bool,
    },
    /// `GET /events`
    Events {
        /// Unix time, or empty.
        since: String,
        /// Unix time, or empty.
        until: String,
        /// The caller's own filters.
        filters: Filters,
    },
    /// `GET /containers/json`
    ListContainers {
        /// Stopped ones too.
        all: bool,
        /// The newest so many.
        limit: Option<u32>,
        /// With what each has written (`docker ps -s`).
        size: bool,
        /// The caller's own filters.
        filters: Filters,
    },
    /// `POST /containers/create`
    CreateContainer {
        /// As the caller wrote it, empty when it did not.
        name: String,
    },
    /// Everything below `/containers/<reference>`.
    Container {
        /// A name, id or start of an id; not resolved.
        reference: String,
        /// What to do with it.
        call: ContainerCall,
    },
    /// `POST /exec/<id>/start`
    StartExec {
        /// Full id.
        id: String,
    },
    /// `GET /exec/<id>/json`
    InspectExec {
        /// Full id.
        id: String,
    },
    /// `POST /exec/<id>/resize`
    ResizeExec {
        /// Full id.
        id: String,
        /// Height, characters.
        height: u32,
        /// Width, characters.
        width: u32,
    },
    /// `GET /images/json`
    ListImages {
        /// With the manifests of each image (API 1.47); the docker command of 29 counts its content so.
        manifests: bool,
        /// When they were made.
        within: Box<ImagesWithin>,
        /// The caller's other filters.
        filters: Filters,
    },
    /// `GET /images/<name>/history`
    ImageHistory {
        /// Not resolved.
        image: ImageReference,
    },
    /// `GET /images/<name>/json`
    InspectImage {
        /// Normalised.
        image: ImageRef,
    },
    /// `GET /images/<id>/json`
    InspectImageById {
        /// Hexadecimal digits that the id starts with, without `sha256:`.
        start: String,
    },
    /// `POST /images/create`
    PullImage {
        /// Normalised.
        image: ImageRef,
    },
    /// `GET /networks`
    ListNetworks {
        /// The caller's own filters.
        filters: Filters,
    },
    /// `GET /networks/<reference>`
    InspectNetwork {
        /// A name or full id.
        reference: String,
    },
    /// `GET /volumes`: there are none.
    ListVolumes,
    /// `GET /volumes/<name>` and `GET /plugins/<name>/json`: tenants have none. `docker inspect` asks
    /// for both when nothing else has the name.
    Absent {
        /// What Docker says of what is not there.
        text: String,
    },
}

/// What `docker system df` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // as the API names them
pub enum DiskObject {
    Container,
    Image,
    Volume,
    BuildCache,
}

impl DiskObject {
    /// Everything that `docker system df` counts.
    pub const ALL: [Self; 4] = [Self::Container, Self::Image, Self::Volume, Self::BuildCache];

    /// By its name in the API.
    fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "container" => Ok(Self::Container),
            "image" => Ok(Self::Image),
            "volume" => Ok(Self::Volume),
            "build-cache" => Ok(Self::BuildCache),
            _ => {
                let refusal = bad_query(&format!("the type \"{}\" is not known", shown(name)));
                Err(refusal.with_hint("use container, image, volume or build-cache"))
            }
        }
    }
}

/// A request line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The API version that the caller asks for; `None` for a path without one.
    pub version: Option<ApiVersion>,
    /// What it asks for.
    pub endpoint: Endpoint,
}

impl Line {
    /// Reads a request line's method and target. A parameter is known from the API version on that
    /// has it.
    ///
    /// # Errors
    /// `BAD_TARGET` and `BAD_QUERY` for what cannot be read in one way only, `BAD_VERSION` for a version
    /// and `ENDPOINT_REFUSED` for an endpoint that is not offered.
    pub fn parse(method: &str, target: &str, offered: Offered) -> Result<Self, Refusal> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (target, ""),
        };
        if target.len() > MAX_TARGET {
            return Err(bad_target("it is longer than 8 KiB"));
        }
        let decoded = image_name::decoded(path);
        let (version, segments) = segments(&decoded, offered)?;
        let mut query = Query::parse(query, version.unwrap_or(offered.unnamed))?;
        let endpoint = Endpoint::read(method, path, &segments, &mut query)?;
        query.finish()?;
        Ok(Self { version, endpoint })
    }
}

impl Endpoint {
    /// Reads a request line's method and target, as far as any version that is ever offered has it.
    ///
    /// # Errors
    /// As [`Line::parse`].
    pub fn parse(method: &str, target: &str) -> Result<Self, Refusal> {
        Line::parse(method, target, Offered::ALL).map(|line| line.endpoint)
    }

    fn read(
        method: &str,
        path: &str,
        segments: &[&str],
        query: &mut Query,
    ) -> Result<Self, Refusal> {
        let endpoint = match (method, segments) {
            ("GET" | "HEAD", ["_ping"]) => Self::Ping,
            ("GET", ["version"]) => Self::Version,
            ("GET", ["info"]) => Self::Info,
            ("GET", ["system", "df"]) => Self::DiskUsage {
                of: disk_objects(query)?,
                // Clients send it under older versions, too, whose lists are whole in any case.
                verbose: query.bool("verbose")?,
            },
            ("GET", ["events"]) => Self::Events {
                since: query.time("since")?,
                until: query.time("until")?,
                filters: Filters::parse(&query.take("filters"), filters::EVENTS)?,
            },
            ("GET", ["networks"]) => {
                let filters = Filters::parse(&query.take("filters"), filters::NETWORKS)?;
                Self::ListNetworks { filters }
            }
            ("GET", ["networks", reference]) => {
                query.drop_bool("verbose")?;
                query.literal("scope", &["", "local"])?;
                Self::InspectNetwork {
                    reference: self::reference(reference)?,
                }
            }
            ("GET", ["volumes"]) => {
                Filters::parse(&query.take("filters"), filters::VOLUMES)?;
                Self::ListVolumes
            }
            ("GET", ["volumes", name]) => Self::Absent {
                text: format!("get {}: no such volume", reference(name)?),
            },
            ("GET", ["plugins", name, "json"]) => Self::Absent {
                text: format!("plugin \"{}\" not found", reference(name)?),
            },
            (_, ["containers", rest @ ..]) => containers(method, path, rest, query)?,
            (_, ["exec", id, action]) => exec(method, path, id, action, query)?,
            (_, ["images", rest @ ..]) => images(method, path, rest, query)?,
            _ => return Err(not_offered(method, path)),
        };
        Ok(endpoint)
    }

    /// The name of the operation in the audit log, for calls that change something or reach into
    /// a container; `None` for those that only read.
    #[must_use]
    pub fn audited(&self) -> Option<&'static str> {
        match self {
            Self::CreateContainer { .. } => Some("container.create"),
            Self::Container { call, .. } => call.audited(),
            Self::StartExec { .. } => Some("exec.start"),
            Self::PullImage { .. } => Some("image.pull"),
            Self::Ping
            | Self::Version
            | Self::Info
            | Self::DiskUsage { .. }
            | Self::Events { .. }
            | Self::ListContainers { .. }
            | Self::InspectExec { .. }
            | Self::ResizeExec { .. }
            | Self::ListImages { .. }
            | Self::ImageHistory { .. }
            | Self::InspectImage { .. }
            | Self::InspectImageById { .. }
            | Self::ListNetworks { .. }
            | Self::InspectNetwork { .. }
            | Self::ListVolumes
            | Self::Absent { .. } => None,
        }
    }

    /// True for reads that cost the host much, of which a UID has one at a time. For `top` Docker runs `ps`
    /// on the host, over all processes where it refuses `-q`; for a size, and for changes, it walks through what
    /// containers have written, and with some storage through all files of their root file systems, the image's, too:
    /// `writable_layer` is no bound of that; for a history it hashes the chain of layers again for each layer, and
    /// copies the list for each step: quadratic in their number (moby, `daemon/images/image_history.go`).
    #[must_use]
    pub fn is_dear(&self) -> bool {
        match self {
            Self::DiskUsage { of, .. } => of.contains(&DiskObject::Container),
            Self::ListContainers { size, .. } => *size,
            Self::Container { call, .. } => matches!(
                call,
                ContainerCall::Top { .. }
                    | ContainerCall::Changes
                    | ContainerCall::Inspect { size: true }
            ),
            Self::ImageHistory { .. } => true,
            _ => false,
        }
    }

    /// True for streams that Docker makes as a whole before it sends the first byte, and holds until the last is
    /// taken (moby `httputils.WriteJSON`): as long as the tenant's files or processes are many. A UID has one
    /// open at a time.
    #[must_use]
    pub fn is_costly_stream(&self) -> bool {
        matches!(
            self,
            Self::Container {
                call: ContainerCall::Top { .. } | ContainerCall::Changes,
                ..
            }
        )
    }

    /// True for calls that count against the rate of changes: what writes a record, and what costs the
    /// host as much.
    #[must_use]
    pub fn counts_as_change(&self) -> bool {
        self.is_dear() || self.audited().is_some()
    }

    /// True for calls that make something on the engine, or let something run: an image, a container, a
    /// process in one. What ends or removes is none of them, so that an engine that is refused can be
    /// cleared.
    #[must_use]
    pub fn makes_something(&self) -> bool {
        matches!(
            self,
            Self::CreateContainer { .. }
                | Self::PullImage { .. }
                | Self::StartExec { .. }
                | Self::Container {
                    call: ContainerCall::Start
                        | ContainerCall::Restart { .. }
                        | ContainerCall::Unpause
                        | ContainerCall::CreateExec,
                    ..
                }
        )
    }

    /// True for what lets the processes of a container run, after what it has written was measured.
    #[must_use]
    pub fn starts_container(&self) -> bool {
        matches!(
            self,
            Self::Container {
                call: ContainerCall::Start | ContainerCall::Restart(_) | ContainerCall::Unpause,
                ..
            }
        )
    }

    /// True when the request has a body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        matches!(
            self,
            Self::CreateContainer { .. }
                | Self::StartExec { .. }
                | Self::Container {
                    call: ContainerCall::CreateExec,
                    ..
                }
        )
    }

    /// True when the connection may become a stream of bytes.
    #[must_use]
    pub fn may_upgrade(&self) -> bool {
        matches!(
            self,
            Self::StartExec { .. }
                | Self::Container {
                    call: ContainerCall::Attach { .. },
                    ..
                }
        )
    }
}

/// The version of a path, and its segments without that. Bytes are compared as they came.
fn segments(path: &str, offered: Offered) -> Result<(Option<ApiVersion>, Vec<&str>), Refusal> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'.' | b'-' | b':' | b'@')
    };
    let below = path
        .strip_prefix('/')
        .ok_or_else(|| bad_target("it does not start with /"))?;
    if !below.bytes().all(plain) {
        return Err(bad_target(
            "the path has characters other than letters, digits and / _ . - : @",
        ));
    }
    let mut segments: Vec<&str> = below.split('/').collect();
    if segments.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(bad_target("the path has an empty or a dot segment"));
    }
    let version = segments.first().and_then(|first| version::read(first));
    if let Some(version) = version {
        offered.check(version)?;
        segments.remove(0);
    }
    Ok((version, segments))
}

fn containers(
    method: &str,
    path: &str,
    rest: &[&str],
    query: &mut Query,
) -> Result<Endpoint, Refusal> {
    match (method, rest) {
        ("GET", ["json"]) => {
            // docker-py sends it; Docker does not read it.
            query.drop_bool("trunc_cmd")?;
            Ok(Endpoint::ListContainers {
                all: query.bool("all")?,
                limit: query.limit("limit")?,
                size: query.bool("size")?,
                filters: Filters::parse(&query.take("filters"), filters::CONTAINERS)?,
            })
        }
        ("POST", ["create"]) => {
            query.literal("platform", OWN_PLATFORMS)?;
            Ok(Endpoint::CreateContainer {
                name: query.take("name"),
            })
        }
        (_, [reference, action @ ..]) => {
            let call = ContainerCall::parse(method, action, query)?
                .ok_or_else(|| not_offered(method, path))?;
            Ok(Endpoint::Container {
                reference: self::reference(reference)?,
                call,
            })
        }
        _ => Err(not_offered(method, path)),
    }
}

fn exec(
    method: &str,
    path: &str,
    id: &str,
    action: &str,
    query: &mut Query,
) -> Result<Endpoint, Refusal> {
    let id = full_id(id)?;
    match (method, action) {
        ("POST", "start") => Ok(Endpoint::StartExec { id }),
        ("GET", "json") => Ok(Endpoint::InspectExec { id }),
        ("POST", "resize") => Ok(Endpoint::ResizeExec {
            id,
            height: query.number("h")?.unwrap_or(0),
            width: query.number("w")?.unwrap_or(0),
        }),
        _ => Err(not_offered(method, path)),
    }
}

fn images(method: &str, path: &str, rest: &[&str], query: &mut Query) -> Result<Endpoint, Refusal> {
    match (method, rest) {
        ("GET", ["json"]) => {
            for name in ["all", "digests", "shared-size", "identity", "only_ids"] {
                query.drop_bool(name)?;
            }
            let mut filters = Filters::parse(&query.take("filters"), filters::IMAGES)?;
            Ok(Endpoint::ListImages {
                manifests: query.bool("manifests")?,
                within: Box::new(ImagesWithin::take(&mut filters)?),
                filters,
            })
        }
        ("POST", ["create"]) => {
            for name in ["fromSrc", "repo", "message", "changes", "inputImage"] {
                query.literal(name, &[""])?;
            }
            query.literal("platform", OWN_PLATFORMS)?;
            Ok(Endpoint::PullImage {
                image: pulled(&query.take("fromImage"), &query.take("tag"))?,
            })
        }
        ("GET", [name @ .., "history"]) if !name.is_empty() => {
            query.own_platform("platform", ApiVersion::v1(48))?;
            Ok(Endpoint::ImageHistory {
                image: ImageReference::parse(&name.join("/"))?,
            })
        }
        ("GET", [name @ .., "json"]) if !name.is_empty() => {
            query.own_platform("platform", ApiVersion::v1(49))?;
            query.drop_bool("manifests")?;
            let name = name.join("/");
            if let Some(start) = start_of_id(&name) {
                return Ok(Endpoint::InspectImageById {
                    start: start.to_owned(),
                });
            }
            Ok(Endpoint::InspectImage {
                image: ImageRef::parse(&name)?,
            })
        }
        _ => Err(not_offered(method, path)),
    }
}

/// What to count: all where no type is named, and under versions before 1.42, where Docker ignores `type`.
/// Docker's Go client sends it there, too, and picks from the answer.
fn disk_objects(query: &mut Query) -> Result<BTreeSet<DiskObject>, Refusal> {
    let names = query.take_repeated();
    let named = names.iter().map(|name| DiskObject::parse(name));
    let named: BTreeSet<DiskObject> = named.collect::<Result<_, _>>()?;
    if named.is_empty() || !query.is_since(ApiVersion::v1(42)) {
        return Ok(DiskObject::ALL.into());
    }
    Ok(named)
}

/// What clients take for an image's id: `docker inspect` and docker-py look images up by it.
fn start_of_id(name: &str) -> Option<&str> {
    let start = name.strip_prefix("sha256:").unwrap_or(name);
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    ((4..=64).contains(&start.len()) && start.bytes().all(hex)).then_some(start)
}

/// Docker takes the tag from `tag`, and from `fromImage` where that is empty.
fn pulled(from: &str, tag: &str) -> Result<ImageRef, Refusal> {
    let image = ImageRef::parse(from)?;
    if tag.is_empty() {
        return Ok(image);
    }
    let separator = if tag.contains(':') { '@' } else { ':' };
    let together = ImageRef::parse(&format!("{}{separator}{tag}", image.repository))?;
    let says_itself = match &image.version {
        Version::Tag(own) => own == "latest" && !from.ends_with(":latest"),
        Version::Digest(_) => false,
    };
    if says_itself || image == together {
        return Ok(together);
    }
    Err(bad_query("fromImage and tag name two different images"))
}

/// A name, an id or the start of one.
fn reference(text: &str) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.len() <= MAX_REFERENCE && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(bad_target("it cannot name an existing object"))
}

fn full_id(text: &str) -> Result<String, Refusal> {
    if is_full_id(text) {
        return Ok(text.to_owned());
    }
    Err(bad_target("an exec needs its full id"))
}

fn bad_target(why: &str) -> Refusal {
    Refusal::new(
        "BAD_TARGET",
        format!("the request's target cannot be read: {why}"),
        Rule::builtin("strict-target"),
    )
}

fn bad_query(why: &str) -> Refusal {
    Refusal::new(
        "BAD_QUERY",
        format!("the request's query cannot be read: {why}"),
        Rule::builtin("strict-query"),
    )
}

#[cfg(test)]
mod tests;
