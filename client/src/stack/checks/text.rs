//! What passes from step to step: captured values and cookies, put into the texts of a request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::desired::{Request, Secrets};
use crate::ui;

use super::wire::{Answer, Outgoing};

/// Of an answer, so much is shown, characters.
const EXCERPT: usize = 200;
/// A capture that starts so takes a cookie instead of a place in the answer.
const COOKIE: &str = "cookie:";

/// What one user of a service knows.
pub(super) struct HttpSession {
    captured: BTreeMap<String, Value>,
    cookies: BTreeMap<String, String>,
    /// Of the manifest, and what the service gave.
    pub(super) secrets: Secrets,
}

/// How a captured value is written where it stands.
#[derive(Clone, Copy)]
enum Place {
    Path,
    Header,
    Json,
    Form,
    Plain,
}

impl HttpSession {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self {
            captured: BTreeMap::new(),
            cookies: BTreeMap::new(),
            secrets: secrets.clone(),
        }
    }

    /// The request of a step.
    ///
    /// # Errors
    /// A value that no step captured.
    pub(super) fn fill(&self, step: &Request) -> Result<Outgoing, String> {
        let mut headers = Vec::new();
        for (name, value) in &step.headers {
            headers.push((name.clone(), self.put(value, Place::Header)?));
        }
        let place = body_place(step);
        if matches!(place, Place::Json) && content_type(step).is_none() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter();
            let pairs: Vec<String> = pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            headers.push(("cookie".to_owned(), pairs.join("; ")));
        }
        Ok(Outgoing {
            method: step.method.clone(),
            path: self.put(&step.path, Place::Path)?,
            headers,
            body: self.put(&step.body, place)?,
        })
    }

    /// Text that an answer must hold, filled in.
    pub(super) fn wanted(&self, text: &str) -> Result<String, String> {
        self.put(text, Place::Plain)
    }

    fn put(&self, text: &str, place: Place) -> Result<String, String> {
        const OPEN: &str = "${step:";
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((name, after)) = after.split_once('}') else {
                break;
            };
            let value = self.captured.get(name);
            let value = value.ok_or_else(|| format!("no step before it captured `{name}`"))?;
            filled.push_str(before);
            filled.push_str(&written(value, place));
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Keeps the cookies of an answer.
    pub(super) fn take_cookies(&mut self, answer: &Answer) {
        for cookie in &answer.cookies {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let Some((name, value)) = pair.trim().split_once('=') else {
                continue;
            };
            let attributes = attributes.to_ascii_lowercase().replace(' ', "");
            let ended = attributes
                .split(';')
                .any(|attribute| attribute == "max-age=0" || attribute.contains("1970"));
            if ended || value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.secrets.add(value);
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Keeps what a step wants of its answer.
    ///
    /// # Errors
    /// What the answer does not have.
    pub(super) fn capture(
        &mut self,
        wanted: &BTreeMap<String, String>,
        answer: &Answer,
    ) -> Result<(), String> {
        let mut json = None;
        for (name, place) in wanted {
            let value = if let Some(cookie) = place.strip_prefix(COOKIE) {
                let value = self.cookies.get(cookie);
                let value = value.ok_or_else(|| format!("there is no cookie `{cookie}`"))?;
                Value::String(value.clone())
            } else {
                if json.is_none() {
                    json = Some(parse(answer)?);
                }
                let found = json.as_ref().and_then(|json| json.pointer(place));
                found
                    .ok_or_else(|| format!("the answer has nothing at `{place}`"))?
                    .clone()
            };
            if let Value::String(text) = &value {
                self.secrets.add(text);
            }
            self.captured.insert(name.clone(), value);
        }
        Ok(())
    }

    /// The start of an answer, for people.
    pub(super) fn excerpt(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = self.secrets.mask_quoted(&ui::clean(&words.join(" ")));
        match text.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

fn parse(answer: &Answer) -> Result<Value, String> {
    if !answer.whole {
        return Err("the answer is too long to be read".to_owned());
    }
    serde_json::from_slice(&answer.body).map_err(|_| "the answer is not JSON".to_owned())
}

fn content_type(step: &Request) -> Option<&str> {
    let mut headers = step.headers.iter();
    headers
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.as_str())
}

fn body_place(step: &Request) -> Place {
    match content_type(step) {
        Some(kind) if kind.contains("json") => Place::Json,
        Some("application/x-www-form-urlencoded") => Place::Form,
        None if step.body.trim_start().starts_with(['{', '[']) => Place::Json,
        _ => Place::Plain,
    }
}

/// Text inside of quotes of JSON, percent-encoded, or as it is; other values as JSON writes them.
fn written(value: &Value, place: Place) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (place, value) {
        (Place::Path | Place::Form, _) => percent(&text),
        (Place::Json, Value::String(_)) => {
            let quoted = Value::String(text).to_string();
            quoted
                .get(1..quoted.len() - 1)
                .unwrap_or_default()
                .to_owned()
        }
        _ => text,
    }
}

/// Everything but the unreserved characters of RFC 3986.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
