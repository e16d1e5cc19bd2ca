//! Signed requests to an S3 store: the signature is in the query (AWS Signature Version 4).

use jiff::Timestamp;
use rusty_s3::Method;
use url::Url;

/// The one region that stores of a single host know.
const REGION: &str = "us-east-1";
/// A signature holds for this long, seconds.
const HOLDS: u64 = 60;

/// Path and query that carry the signature of `keys` (access key, secret key) for `host`, as it
/// stands in the `Host` header.
///
/// # Errors
/// When there is no such method of S3, or host and path are no address. Never holds a key.
pub(super) fn signed(
    method: &str,
    host: &str,
    path: &str,
    keys: &(String, String),
) -> Result<String, String> {
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => return Err(format!("S3 has no method {other}")),
    };
    let url = Url::parse(&format!("http://{host}{path}")).map_err(|error| error.to_string())?;
    let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    query.sort();
    let url = rusty_s3::signing::sign(
        &Timestamp::now(),
        method,
        url,
        &keys.0,
        &keys.1,
        None,
        REGION,
        HOLDS,
        query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
        std::iter::empty(),
    );
    let query = url.query().unwrap_or_default();
    Ok(format!("{}?{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_in_the_query_and_the_secret_is_not() {
        let keys = ("the-access-key".to_owned(), "the-secret-key".to_owned());
        let path = signed("PUT", "127.0.0.1:5107", "/bucket/object?b=2&a=1", &keys).unwrap();
        assert!(path.starts_with("/bucket/object?"), "{path}");
        assert!(path.contains("X-Amz-Signature="), "{path}");
        assert!(path.contains("a=1&b=2"), "{path}");
        assert!(path.contains("the-access-key"), "{path}");
        assert!(!path.contains("the-secret-key"), "{path}");
        assert!(signed("BREW", "127.0.0.1:5107", "/", &keys).is_err());
    }
}
