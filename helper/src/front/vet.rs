//! From a parsed message to the values that an operation works on, and how the audit log shows
//! them.

use aistack_policy::{Refusal, Rule};
use aistack_proto::v1::{ChownRequest, PrepareDirectoriesRequest};
use serde_json::{Value, json};

use crate::ops::{DirOwner, ServiceDir};

/// Directories in one request.
const MAX_DIRECTORIES: usize = 128;

/// Final values, and the same for the audit log.
#[derive(Debug, Clone)]
pub(super) struct Vetted<V> {
    pub(super) value: V,
    pub(super) arguments: Value,
}

/// For methods whose message is empty.
// The signature is that of all vetting functions.
#[expect(clippy::unnecessary_wraps)]
pub(super) fn nothing<Req>(_request: Req) -> Result<Vetted<()>, Refusal> {
    Ok(Vetted {
        value: (),
        arguments: json!({}),
    })
}

pub(super) fn directories(
    request: PrepareDirectoriesRequest,
) -> Result<Vetted<Vec<ServiceDir>>, Refusal> {
    if request.directories.len() > MAX_DIRECTORIES {
        return Err(Refusal::new(
            "TOO_MANY_DIRECTORIES",
            format!("a request may name at most {MAX_DIRECTORIES} directories"),
            Rule::builtin("directories"),
        ));
    }
    let value = request
        .directories
        .into_iter()
        .map(ServiceDir::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let shown: Vec<Value> = value.iter().map(shown).collect();
    Ok(Vetted {
        value,
        arguments: json!({ "directories": shown }),
    })
}

pub(super) fn directory(request: ChownRequest) -> Result<Vetted<ServiceDir>, Refusal> {
    let named = request.directory.ok_or_else(|| {
        Refusal::new(
            "DIRECTORY_NOT_NAMED",
            "the request names no directory",
            Rule::builtin("directories"),
        )
    })?;
    let value = ServiceDir::try_from(named)?;
    let arguments = shown(&value);
    Ok(Vetted { value, arguments })
}

fn shown(dir: &ServiceDir) -> Value {
    let owner = match dir.owner {
        DirOwner::Tenant => "tenant",
        DirOwner::Service => "service",
    };
    json!({ "directory": dir.to_string(), "owner": owner })
}
