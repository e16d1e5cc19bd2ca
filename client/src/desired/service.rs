//! One catalog entry, rendered for one tenant.

use std::collections::BTreeMap;

use aistack_proto::v1::{DirectoryKind, DirectoryOwner, ServiceDirectory};

use super::body::Container;
use super::names::Scope;
use super::provision::provisions;
use super::reach::{checks, endpoints};
use super::{
    ConfigFile, DesiredError, DesiredService, Inputs, Locked, Renewal, StartLimits, invalid,
};
use crate::catalog::{Entry, Owner, Phase, Rotation, Template};
use crate::selection;
use aistack_policy::image::ImageRef;

/// What one entry adds to the stack.
pub(super) struct Rendered {
    pub(super) directories: Vec<ServiceDirectory>,
    pub(super) files: Vec<ConfigFile>,
    pub(super) service: DesiredService,
}

/// Renders an entry, or says everything that is in the way.
pub(super) fn render(inputs: &Inputs<'_>, entry: &Entry) -> Result<Rendered, Vec<DesiredError>> {
    let scope = Scope::new(inputs, entry);
    let mut errors = Vec::new();
    let mut keep = |error: DesiredError| errors.push(error);
    for secret in &entry.secrets {
        if inputs.settings.get(&secret.key) == Some("") {
            keep(invalid(&secret.key, empty_secret(secret.change)));
        }
    }
    let (reference, capabilities) = image(inputs, entry).map_err(&mut keep).unwrap_or_default();
    let locked = inputs.locks.holding(&entry.name, &reference);
    let image = match locked.map(Locked::pinned) {
        Some(Ok(pinned)) => pinned,
        Some(Err(why)) => {
            keep(invalid(&entry.image_key(), format!("its lock: {why}")));
            reference.clone()
        }
        None => reference.clone(),
    };
    let config = render_map(scope, &entry.config.iter().collect(), &mut keep);
    let mut environment = vector_db(scope).map_err(&mut keep).unwrap_or_default();
    environment.extend(render_map(scope, &own_environment(scope), &mut keep));
    let container = container(scope, image, capabilities, &config, environment)
        .map_err(&mut keep)
        .unwrap_or_default();
    let provisions = provisions(inputs, entry)
        .map_err(&mut keep)
        .unwrap_or_default();
    let endpoints = endpoints(scope).map_err(&mut keep).unwrap_or_default();
    let checks = checks(scope).map_err(&mut keep).unwrap_or_default();
    if !errors.is_empty() {
        return Err(errors);
    }
    let service = DesiredService {
        name: entry.name.clone(),
        phase: entry.phase,
        container: format!("{}{}", inputs.grant.container_prefix, entry.name),
        image: container.image.clone(),
        reference,
        locked: locked.cloned(),
        needs: needs(inputs, entry),
        after: after(inputs, entry),
        network_of: entry.network_of.clone(),
        body: container.body(),
        fingerprint: container.fingerprint(),
        start_limits: StartLimits {
            timeout: inputs.time_scale.stretch(entry.start_timeout.0),
            exits: entry.start_exits.get().into(),
            scale: inputs.time_scale,
        },
        provisions,
        endpoints,
        checks,
        renewal: entry.upgrade.renew_within.map(|within| Renewal {
            within: within.0,
            key: entry.image_key(),
        }),
    };
    Ok(Rendered {
        directories: directories(entry),
        files: config
            .into_iter()
            .map(|(name, content)| ConfigFile {
                service: entry.name.clone(),
                name,
                content,
            })
            .collect(),
        service,
    })
}

fn empty_secret(change: Rotation) -> &'static str {
    if change.bound_to_data() {
        "is empty; restore the value that the data was made with, or run `aistack init`"
    } else {
        "is empty; run `aistack init` to make one"
    }
}

fn render_map(
    scope: Scope<'_>,
    templates: &BTreeMap<&String, &Template>,
    keep: &mut impl FnMut(DesiredError),
) -> BTreeMap<String, String> {
    let mut rendered = BTreeMap::new();
    for (name, template) in templates {
        match scope.render(template) {
            Ok(text) => {
                rendered.insert((*name).clone(), text);
            }
            Err(error) => keep(error),
        }
    }
    rendered
}

/// The entry's variables, and those of its variants that hold, which win.
fn own_environment(scope: Scope<'_>) -> BTreeMap<&String, &Template> {
    let variants = scope.inputs.variants(scope.entry);
    let variants = variants.flat_map(|variant| &variant.environment);
    scope.entry.environment.iter().chain(variants).collect()
}

/// Where the vector database is, for a service that uses one.
fn vector_db(scope: Scope<'_>) -> Result<BTreeMap<String, String>, DesiredError> {
    let Scope { inputs, entry, .. } = scope;
    let mut entries = inputs.entries.iter().filter(|_| entry.uses_vector_db);
    let found = entries.find_map(|other| other.vector_db.as_ref().map(|db| (*other, db)));
    let Some((other, db)) = found else {
        return Ok(BTreeMap::new());
    };
    let values = [
        ("VECTORDB_HOST", inputs.host(&other.name).to_owned()),
        ("VECTORDB_PORT", db.port.to_string()),
        ("VECTORDB_URL", Scope::new(inputs, other).render(&db.url)?),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The image, and the capabilities that its stock binary needs.
fn image(inputs: &Inputs<'_>, entry: &Entry) -> Result<(String, Vec<String>), DesiredError> {
    let key = entry.image_key();
    let other = inputs.settings.get(&key).filter(|image| !image.is_empty());
    let requested = other.unwrap_or(&entry.image);
    let image = ImageRef::parse(requested).map_err(|why| {
        invalid(
            &key,
            format!("{requested:?} is not an image reference: {why}"),
        )
    })?;
    let grant = inputs.grant;
    if !grant.images.iter().any(|pattern| image.matches(pattern)) {
        let given = grant.images.join(", ");
        let message = format!("the policy's images do not have {image}; they are {given}");
        return Err(inputs.refusal(&key, "images", message));
    }
    let missing: Vec<&str> = entry
        .capabilities
        .iter()
        .filter(|capability| !grant.capabilities.contains(capability))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok((image.to_string(), entry.capabilities.clone()));
    }
    // Another image may have a binary without file capabilities; it is tried without.
    if image.to_string() != entry.image {
        return Ok((image.to_string(), Vec::new()));
    }
    let message = format!(
        "the binary in {image} starts only with the capability {}, which the policy's capabilities \
         do not have; ask the administrator to add it, or set {key} to an image whose binary has \
         no file capability",
        missing.join(", ")
    );
    Err(inputs.refusal(&key, "capabilities", message))
}

fn container(
    scope: Scope<'_>,
    image: String,
    capabilities: Vec<String>,
    config: &BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
) -> Result<Container, DesiredError> {
    let Scope { inputs, entry, .. } = scope;
    let (uid, gid) = scope.ids()?;
    let limits = &entry.limits;
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let tmpfs = entry.filesystem.tmpfs.iter().map(|(path, size)| {
        let options = format!("rw,noexec,nosuid,nodev,size={},mode=1777", size.0);
        (path.clone(), options)
    });
    let ports = entry.ports.iter();
    Ok(Container {
        service: entry.name.clone(),
        image,
        entrypoint: scope.render_all(&entry.entrypoint)?,
        command: scope.render_all(&entry.command)?,
        environment,
        config: config.clone(),
        user: format!("{uid}:{gid}"),
        capabilities,
        mounts: mounts(inputs, entry),
        read_only: entry.filesystem.read_only,
        tmpfs: tmpfs.collect(),
        ports: ports
            .map(|port| Ok((port.container, inputs.port(&port.key)?)))
            .collect::<Result<_, _>>()?,
        address: inputs.setting("LOCALHOST")?.to_owned(),
        network: inputs.setting("DOCKER_NETWORK")?.to_owned(),
        network_address: entry
            .each
            .front_door
            .as_ref()
            .and(inputs.grant.front_door.as_ref())
            .map(|door| door.proxy.clone()),
        joins: entry
            .network_of
            .as_ref()
            .map(|owner| format!("{}{owner}", inputs.grant.container_prefix)),
        memory: bytes(limits.memory.0),
        pids: i64::from(limits.pids),
        nano_cpus: i64::from(limits.cpus.millis) * 1_000_000,
        shm: limits.shm.map(|shm| bytes(shm.0)),
        health: scope.render_all(&entry.health.command)?,
        health_times: [
            entry.health.interval.0,
            entry.health.timeout.0,
            entry.health.start_period.0,
        ]
        .map(|time| inputs.time_scale.stretch_probe(time)),
        health_retries: i64::from(entry.health.retries),
        stop_signal: entry.stop.signal.clone(),
        stop_grace: bytes(entry.stop.grace.0.as_secs()),
    })
}

/// Directories of the service with where they appear: kind, folder below the volume, target.
fn mounted(entry: &Entry) -> impl Iterator<Item = (DirectoryKind, &'static str, &String)> {
    [
        (DirectoryKind::Etc, "etc", &entry.mounts.etc),
        (DirectoryKind::Data, "data", &entry.mounts.data),
        (DirectoryKind::Logs, "logs", &entry.mounts.logs),
    ]
    .into_iter()
    .filter_map(|(kind, folder, target)| target.as_ref().map(|target| (kind, folder, target)))
}

fn mounts(inputs: &Inputs<'_>, entry: &Entry) -> Vec<(String, String, bool)> {
    mounted(entry)
        .map(|(kind, folder, target)| {
            let other = entry.mounts.data_of.as_ref();
            let whose = other.filter(|_| kind == DirectoryKind::Data);
            let whose = whose.unwrap_or(&entry.name);
            let source = format!("{}/{folder}/{whose}", inputs.grant.base_dir);
            (source, target.clone(), kind == DirectoryKind::Etc)
        })
        .collect()
}

fn directories(entry: &Entry) -> Vec<ServiceDirectory> {
    let owner = match entry.user {
        Owner::Tenant => DirectoryOwner::Tenant,
        Owner::Service => DirectoryOwner::Service,
    };
    mounted(entry)
        // The other service has it prepared.
        .filter(|(kind, ..)| *kind != DirectoryKind::Data || entry.mounts.data_of.is_none())
        .map(|(kind, _, _)| ServiceDirectory {
            service: entry.name.clone(),
            kind: kind.into(),
            owner: owner.into(),
        })
        .collect()
}

/// What the entry and its variants that hold say, and the service whose network it shares.
fn needs(inputs: &Inputs<'_>, entry: &Entry) -> Vec<String> {
    let value = |key: &str| inputs.settings.get(key).map(str::to_owned);
    let needs = selection::needs(entry, &value);
    needs.into_iter().map(str::to_owned).collect()
}

/// What the entry says and the stack has, the vector database for its users, and for the proxy
/// every service that it publishes.
fn after(inputs: &Inputs<'_>, entry: &Entry) -> Vec<String> {
    let publishes = |other: &Entry| entry.phase == Phase::Ingress && other.site.is_some();
    let reads = |other: &Entry| entry.uses_vector_db && other.vector_db.is_some();
    let others = inputs.entries.iter().filter(|other| {
        other.name != entry.name
            && (entry.after.contains(&other.name) || publishes(other) || reads(other))
    });
    let needs = needs(inputs, entry);
    let names = others.map(|other| other.name.clone());
    names.filter(|name| !needs.contains(name)).collect()
}
