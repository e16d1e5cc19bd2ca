//! Keys of the manifest that no catalog entry declares, and what a key's name tells.

/// Which services the stack has.
pub const SERVICES: &str = "SERVICES";
/// Which vector database it has.
pub const VECTOR_DB: &str = "VECTOR_DB";
/// What a new manifest has as its [`VECTOR_DB`].
pub const DEFAULT_VECTOR_DB: &str = "qdrant";
/// How many times as long everything may take as the catalog says.
pub const TIME_SCALE: &str = "TIME_SCALE";

/// A key that describes the tenant.
#[derive(Debug, Clone, Copy)]
pub struct BaseKey {
    /// Its name.
    pub key: &'static str,
    /// For people, above the key in the manifest.
    pub comment: Option<&'static str>,
}

const fn key(key: &'static str) -> BaseKey {
    let comment = None;
    BaseKey { key, comment }
}

const fn headed(key: &'static str, comment: &'static str) -> BaseKey {
    let comment = Some(comment);
    BaseKey { key, comment }
}

/// The keys of a tenant, in the order of the file.
pub const BASE: &[BaseKey] = &[
    headed(
        "BASE_DIR",
        "What the host's policy gives this tenant; `aistack whoami` shows it.",
    ),
    key("DOCKER_NETWORK"),
    key("DOMAIN_NAME"),
    headed("LOCALHOST", "Ports are published on this address only."),
    key("TENANT_NAME"),
    headed("STACK_USER_UID", "Containers run as these users."),
    key("STACK_USER_GID"),
    key("OPENCLAW_UID"),
    key("OPENCLAW_GID"),
    key("APPARMOR_PROFILE_DIR"),
    headed(
        VECTOR_DB,
        "qdrant, weaviate, chroma, milvus, pgvector or none.",
    ),
    headed(
        SERVICES,
        "Services of the stack; what they need comes with them. `aistack add` and `remove` change it.",
    ),
    key("PORT_RANGE_START"),
    headed(
        "TAILSCALE_AUTH_KEY",
        "From your tailnet's admin page; empty for no tailnet.",
    ),
    key("TAILSCALE_HOSTNAME"),
    headed(
        TIME_SCALE,
        "1 to 20: on a slow machine, the factor by which services may take longer to start and to answer.",
    ),
];

/// Ports with a fixed place in the tenant's range, whether this version has the service or not.
pub const PORTS: &[(&str, u16)] = &[
    ("PROMETHEUS_PORT", 0),
    ("GRAFANA_PORT", 1),
    ("N8N_PORT", 2),
    ("DIFY_PORT", 3),
    ("ANYTHINGLLM_PORT", 4),
    ("LITELLM_PORT", 5),
    ("OPENWEBUI_PORT", 6),
    ("MINIO_S3_PORT", 7),
    ("MINIO_CONSOLE_PORT", 8),
    ("SIGNAL_PORT", 9),
    ("OPENCLAW_PORT", 10),
    ("FLOWISE_PORT", 11),
];

/// Ports in a tenant's range that belong to this catalog; those behind are for the tenant's own
/// services and for ports that had to move.
pub const CATALOG_OFFSETS: u16 = 40;

/// True when a key looks like it holds a secret, whoever declared it.
#[must_use]
pub fn is_secret_name(key: &str) -> bool {
    ["PASSWORD", "SECRET", "TOKEN", "_KEY"]
        .iter()
        .any(|mark| key.contains(mark))
}
