//! One catalog entry, rendered for one tenant.

use std::collections::BTreeMap;

use aistack_proto::v1::{DirectoryKind, DirectoryOwner, ServiceDirectory};

use super::body::Container;
use super::image::ImageName;
use super::names::Scope;
use super::{Check, ConfigFile, DesiredError, DesiredService, Endpoint, Provision, World, mistake};
use crate::catalog::{CheckEntry, Database, Entry, Owner, Rotation};
use crate::desired::Phase;

/// What one entry adds to the stack.
pub(super) struct Rendered {
    pub(super) directories: Vec<ServiceDirectory>,
    pub(super) files: Vec<ConfigFile>,
    pub(super) service: DesiredService,
}

/// Renders an entry, or says everything that is in the way.
pub(super) fn render(world: &World<'_>, entry: &Entry) -> Result<Rendered, Vec<DesiredError>> {
    let scope = Scope::new(world, entry);
    let mut errors = Vec::new();
    let mut keep = |error: DesiredError| errors.push(error);
    for secret in &entry.secrets {
        if world.settings.get(&secret.key) == Some("") {
            keep(mistake(&secret.key, empty_secret(secret.change)));
        }
    }
    let (image, capabilities) = image(world, entry).map_err(&mut keep).unwrap_or_default();
    let config = render_map(scope, &entry.config, &mut keep);
    let environment = render_map(scope, &entry.environment, &mut keep);
    let container = container(scope, image, capabilities, &config, environment)
        .map_err(&mut keep)
        .unwrap_or_default();
    let provisions = provisions(world, entry)
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
        container: format!("{}{}", world.grant.container_prefix, entry.name),
        image: container.image.clone(),
        needs: needs(world, entry),
        body: container.body(),
        fingerprint: container.fingerprint(),
        start_timeout: entry.start_timeout.0,
        provisions,
        endpoints,
        checks,
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
        "is empty; put back the value that the data was made with, or run `aistack init`"
    } else {
        "is empty; run `aistack init` to make one"
    }
}

fn render_map(
    scope: Scope<'_>,
    templates: &BTreeMap<String, crate::catalog::Template>,
    keep: &mut impl FnMut(DesiredError),
) -> BTreeMap<String, String> {
    let mut rendered = BTreeMap::new();
    for (name, template) in templates {
        match scope.render(template) {
            Ok(text) => {
                rendered.insert(name.clone(), text);
            }
            Err(error) => keep(error),
        }
    }
    rendered
}

/// The image, and the capabilities that its stock binary needs.
fn image(world: &World<'_>, entry: &Entry) -> Result<(String, Vec<String>), DesiredError> {
    let key = entry.image_key();
    let other = world.settings.get(&key).filter(|image| !image.is_empty());
    let asked = other.unwrap_or(&entry.image);
    let image = ImageName::parse(asked)
        .map_err(|why| mistake(&key, format!("{asked:?} is no image reference: {why}")))?;
    let grant = world.grant;
    if !grant.images.iter().any(|pattern| image.matches(pattern)) {
        let given = grant.images.join(", ");
        let message = format!("the policy's images do not have {image}; they are {given}");
        return Err(world.refusal(&key, "images", message));
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
         do not have; set {key} to an image whose binary has no file capability",
        missing.join(", ")
    );
    Err(world.refusal(&key, "capabilities", message))
}

fn container(
    scope: Scope<'_>,
    image: String,
    capabilities: Vec<String>,
    config: &BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
) -> Result<Container, DesiredError> {
    let Scope { world, entry, .. } = scope;
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
        command: scope.render_all(&entry.command)?,
        environment,
        config: config.clone(),
        user: format!("{uid}:{gid}"),
        capabilities,
        mounts: mounts(world, entry),
        read_only: entry.filesystem.read_only,
        tmpfs: tmpfs.collect(),
        ports: ports
            .map(|port| Ok((port.container, world.port(&port.key)?)))
            .collect::<Result<_, _>>()?,
        address: world.setting("LOCALHOST")?.to_owned(),
        network: world.setting("DOCKER_NETWORK")?.to_owned(),
        memory: bytes(limits.memory.0),
        pids: i64::from(limits.pids),
        nano_cpus: i64::from(limits.cpus.millis) * 1_000_000,
        shm: limits.shm.map(|shm| bytes(shm.0)),
        health: scope.render_all(&entry.health.command)?,
        health_times: [
            entry.health.interval.0,
            entry.health.timeout.0,
            entry.health.start_period.0,
        ],
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

fn mounts(world: &World<'_>, entry: &Entry) -> Vec<(String, String, bool)> {
    mounted(entry)
        .map(|(kind, folder, target)| {
            let source = format!("{}/{folder}/{}", world.grant.base_dir, entry.name);
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
        .map(|(kind, _, _)| ServiceDirectory {
            service: entry.name.clone(),
            kind: kind.into(),
            owner: owner.into(),
        })
        .collect()
}

/// What the entry says; the proxy also waits for every service that it publishes.
fn needs(world: &World<'_>, entry: &Entry) -> Vec<String> {
    let mut needs = entry.needs.clone();
    if entry.phase == Phase::Ingress {
        let sites = world.entries.iter().filter(|other| other.site.is_some());
        needs.extend(sites.map(|other| other.name.clone()));
    }
    needs
}

fn provisions(world: &World<'_>, entry: &Entry) -> Result<Vec<Provision>, DesiredError> {
    let mut provisions = Vec::new();
    for database in &entry.databases {
        let password = world.setting(&database.password)?;
        provisions.push(Provision {
            provider: database.provider.clone(),
            title: format!("database {}", database.name),
            command: psql(),
            stdin: database_sql(database, password),
        });
    }
    Ok(provisions)
}

/// Over loopback, where the image asks its own superuser for no password.
fn psql() -> Vec<String> {
    let words = "psql -X -q -h 127.0.0.1 -U postgres -d postgres -v ON_ERROR_STOP=1";
    words.split(' ').map(str::to_owned).collect()
}

/// Makes role and database where they are missing and sets the password. Neither the server's log
/// nor an error message gets to see the statement with the password.
fn database_sql(database: &Database, password: &str) -> String {
    use std::fmt::Write as _;

    let name = &database.name;
    let literal = sql_literal(password);
    let mut sql = format!(
        "\\set VERBOSITY terse\n\
         SET log_min_error_statement = panic;\n\
         SET log_statement = 'none';\n\
         SELECT 'CREATE ROLE \"{name}\" LOGIN' WHERE NOT EXISTS \
         (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec\n\
         ALTER ROLE \"{name}\" WITH LOGIN PASSWORD {literal};\n\
         SELECT 'CREATE DATABASE \"{name}\" OWNER \"{name}\"' WHERE NOT EXISTS \
         (SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"
    );
    if !database.extensions.is_empty() {
        let _ = writeln!(
            sql,
            "\\connect \"{name}\"\nSET client_min_messages = warning;"
        );
    }
    for extension in &database.extensions {
        let _ = writeln!(sql, "CREATE EXTENSION IF NOT EXISTS \"{extension}\";");
    }
    sql
}

/// A string constant of SQL for any text, whatever `standard_conforming_strings` says.
fn sql_literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

/// Its own ports, and its host name behind the proxy.
fn endpoints(scope: Scope<'_>) -> Result<Vec<Endpoint>, DesiredError> {
    let Scope { world, entry, .. } = scope;
    let mut endpoints = Vec::new();
    for port in &entry.ports {
        endpoints.push(Endpoint {
            scheme: port.scheme.clone(),
            host: world.setting("LOCALHOST")?.to_owned(),
            port: world.port(&port.key)?,
            proxied: false,
        });
    }
    if entry.site.is_some()
        && let Some(key) = world.catalog.proxy_port("https")
    {
        endpoints.push(Endpoint {
            scheme: "https".to_owned(),
            host: scope.public_host(entry)?,
            port: world.port(key)?,
            proxied: true,
        });
    }
    Ok(endpoints)
}

/// Its own checks, and for a service with a site one through the proxy.
fn checks(scope: Scope<'_>) -> Result<Vec<Check>, DesiredError> {
    let Scope { world, entry, .. } = scope;
    let mut checks = Vec::new();
    for asked in &entry.checks {
        checks.push(match asked {
            CheckEntry::Http {
                title,
                port,
                path,
                header,
                expect,
            } => Check::Http {
                title: title.clone(),
                port: world.port(port)?,
                host: None,
                path: path.clone(),
                header: match header {
                    Some((name, value)) => Some((name.clone(), scope.render(value)?)),
                    None => None,
                },
                expect: expect.clone(),
            },
            CheckEntry::Exec {
                title,
                command,
                stdin,
                expect,
            } => Check::Exec {
                title: title.clone(),
                command: scope.render_all(command)?,
                stdin: match stdin {
                    Some(stdin) => scope.render(stdin)?,
                    None => String::new(),
                },
                expect: expect.clone(),
            },
        });
    }
    if let Some(site) = &entry.site
        && let Some(key) = world.catalog.proxy_port("http")
    {
        let host = scope.public_host(entry)?;
        checks.push(Check::Http {
            title: format!("answers through the proxy as {host}"),
            port: world.port(key)?,
            host: Some(host),
            path: site.check.clone(),
            header: None,
            expect: vec![200],
        });
    }
    Ok(checks)
}
