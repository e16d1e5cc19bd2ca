//! The API version that is spoken with an engine: the newest that both know. It is negotiated once, and
//! again when an answer shows that another engine has taken the place.

use std::sync::{Mutex, PoisonError};

use aistack_policy::engine::ApiVersion;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use super::DockerError;

/// What was agreed on with an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Every request goes out under it.
    pub spoken: ApiVersion,
    /// The engine's own version, e.g. `28.5.1`; as it says it, so perhaps no number.
    pub engine: String,
    /// The newest that the engine speaks, which it repeats in each answer.
    newest: ApiVersion,
}

impl Api {
    /// Reads the answer to `/version`.
    ///
    /// # Errors
    /// When it is none of an engine, or one that shares no version with aistack.
    pub(super) fn of(version: &Value) -> Result<Self, DockerError> {
        let text = |key: &str| version.get(key).and_then(Value::as_str).unwrap_or_default();
        let newest = ApiVersion::parse(text("ApiVersion"))
            .ok_or_else(|| super::broke("it does not report its version"))?;
        let oldest = ApiVersion::parse(text("MinAPIVersion"));
        let spoken =
            ApiVersion::negotiated(oldest, newest).ok_or_else(|| DockerError::Version {
                speaks: match oldest {
                    Some(oldest) => format!("{oldest} to {newest}"),
                    None => format!("{newest} and earlier"),
                },
                newest,
            })?;
        Ok(Self {
            spoken,
            engine: text("Version").to_owned(),
            newest,
        })
    }

    /// True when this answer is of an engine that speaks other versions than this one did.
    pub(super) fn is_outdated_by(&self, answer: &Response<Incoming>) -> bool {
        let header = answer.headers().get("api-version");
        let newest = header.and_then(|value| ApiVersion::parse(value.to_str().ok()?));
        newest.is_some_and(|newest| newest != self.newest)
    }
}

/// What was agreed on with the engine that is there now, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Agreed(Mutex<Option<Api>>);

impl Agreed {
    pub(super) fn get(&self) -> Option<Api> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, api: &Api) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(api.clone());
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Forgets `api`, unless something else was agreed on meanwhile.
    pub(super) fn forget_this(&self, api: &Api) {
        let mut agreed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed.as_ref() == Some(api) {
            *agreed = None;
        }
    }
}

/// True when an engine has refused a request for its version, and so has not read more of it (moby,
/// `daemon/server/middleware/version.go`).
pub(super) fn is_refused_version(status: StatusCode, message: &str) -> bool {
    status == StatusCode::BAD_REQUEST
        && message.strip_prefix("client version ").is_some_and(|rest| {
            let (_, words) = rest.split_once(' ').unwrap_or_default();
            words.starts_with("is too new") || words.starts_with("is too old")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_is_agreed_on_or_the_engine_is_named() {
        let of = |version: Value| Api::of(&version);
        let api = of(json!({"Version": "29.0.1", "ApiVersion": "1.52", "MinAPIVersion": "1.44"}));
        let api = api.unwrap();
        assert_eq!(
            (api.spoken, api.engine.as_str()),
            (ApiVersion::v1(52), "29.0.1")
        );
        for (version, words) in [
            (
                json!({"ApiVersion": "1.40", "MinAPIVersion": "1.12"}),
                "this host speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56",
            ),
            (json!({"ApiVersion": "1.21"}), "speaks API 1.21 and earlier"),
            (json!({"ApiVersion": 1.41}), "was cut short"),
            (json!([]), "was cut short"),
        ] {
            let error = of(version.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{version}: {error}");
        }
    }

    #[test]
    fn only_a_refused_version_is_negotiated_again() {
        let refused = |message| is_refused_version(StatusCode::BAD_REQUEST, message);
        // Docker 29.0 and 19.03.
        assert!(refused(
            "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade \
             your client to a newer version"
        ));
        assert!(refused(
            "client version 1.56 is too new. Maximum supported API version is 1.41"
        ));
        for other in [
            "invalid reference format",
            "client version",
            "client version 1.41",
            "",
        ] {
            assert!(!refused(other), "{other}");
        }
        let words = "client version 1.56 is too new.";
        assert!(!is_refused_version(StatusCode::CONFLICT, words));
    }
}
