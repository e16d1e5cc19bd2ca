//! Templates in entries: text with `${…}`.
//!
//! `${KEY}` is a value of the manifest, `${json:KEY}` the same as a quoted string of JSON, YAML,
//! redis.conf or a Caddyfile, `${urlencode:KEY}` the same as a part of a URL (RFC 3986, section 2.1), and
//! `${bcrypt:KEY}` its bcrypt hash, which does not change while the value does not. Lower-case names are worked out: `${uid}`, `${gid}`,
//! `${host:SERVICE}` and `${port:SERVICE}` (where other containers find it), `${url}` (where users
//! find this service, through the proxy), `${url:SERVICE}` (the same of another), `${each:site}` and `${each:scrape}` (the entry's `[each]`
//! template for every service with that table), and in those `${item.service}`, `${item.host}`,
//! `${item.upstream}`, `${item.path}`; `${each:route}` inside a site's template stands for its
//! routes, and `${each:public_name}` for the names it has at the host's front door (`${item.host}`,
//! `${item.url}`). `${each:front_door}` is rendered where there is one (`${item.source}`). `${step:NAME}` stands in the steps of a check only, for what an earlier step captured.
//! `$${` writes `${`; any other `$` is itself.

use std::fmt;

use bcrypt::{Version, hash_with_salt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::env_file::is_key;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name { name: Name, form: Form },
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Json,
    UrlEncode,
    Bcrypt,
}

/// Rounds of bcrypt as a power of two. A secret of the manifest is random, so that nobody finds it by
/// trying, and every plan computes the hash.
const BCRYPT_COST: u32 = 8;

/// What is not `unreserved` in RFC 3986, section 2.3.
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Form {
    fn write(self, value: String) -> String {
        match self {
            Self::Plain => value,
            Self::Json => serde_json::Value::String(value).to_string(),
            Self::UrlEncode => utf8_percent_encode(&value, NOT_UNRESERVED).to_string(),
            Self::Bcrypt => bcrypt(&value),
        }
    }
}

/// The hash of `value` with a salt that follows from it: the same value gives the same hash, and with
/// it the same container. Empty where there is none.
fn bcrypt(value: &str) -> String {
    let digest = Sha256::new_with_prefix("aistack bcrypt salt\0")
        .chain_update(value)
        .finalize();
    let mut salt = [0; 16];
    for (to, from) in salt.iter_mut().zip(digest) {
        *to = from;
    }
    hash_with_salt(value, BCRYPT_COST, salt)
        .map(|parts| parts.format_for_version(Version::TwoB))
        .unwrap_or_default()
}

/// What a template may name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A key of the manifest.
    Key(String),
    /// The UID that the service runs as.
    Uid,
    /// The GID that the service runs as.
    Gid,
    /// The name that other containers find a service by.
    Host(String),
    /// The first port of a service in its container.
    Port(String),
    /// Public address of this service, without a final slash.
    Url,
    /// Public address of another service.
    UrlOf(String),
    /// One rendering for every service that has this table.
    Each(List),
    /// A property of the service that an `[each]` template is rendered for.
    Item(Item),
    /// What an earlier step of a check captured.
    Step(String),
}

/// Tables that make lists over services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// `[site]`: host names of the proxy.
    Site,
    /// `[scrape]`: where metrics are read.
    Scrape,
    /// `[[site.route]]`: paths of one site.
    Route,
    /// Once where the host has a front door, else never.
    FrontDoor,
    /// Names by which visitors come to one site through the front door.
    PublicName,
}

/// Properties of one service in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// Its name.
    Service,
    /// Its public host name.
    Host,
    /// Its public address.
    Url,
    /// The address that visitors of the front door come from.
    Source,
    /// `service:port` on the tenant's network.
    Upstream,
    /// Its metrics path.
    Path,
}

impl Template {
    /// The text, each name replaced by what `value` gives for it.
    ///
    /// # Errors
    /// The first name that has no value.
    pub fn render<E>(
        &self,
        mut value: impl FnMut(&Name) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Name { name, form } => text.push_str(&form.write(value(name)?)),
            }
        }
        Ok(text)
    }

    /// Keys whose values become a part of a URL as they are: no blank and no quote stands between
    /// them and the `://`.
    pub fn raw_in_urls(&self) -> impl Iterator<Item = &str> {
        let mut in_url = false;
        self.pieces.iter().filter_map(move |piece| match piece {
            Piece::Text(text) => {
                let ends = |c: char| c.is_whitespace() || "'\"`;".contains(c);
                let word = text.rsplit(ends).next().unwrap_or_default();
                in_url = word.contains("://") || (in_url && word.len() == text.len());
                None
            }
            Piece::Name {
                name: Name::Url | Name::UrlOf(_),
                ..
            } => {
                in_url = true;
                None
            }
            Piece::Name { name, form } => match name {
                Name::Key(key) if in_url && *form == Form::Plain => Some(key.as_str()),
                _ => None,
            },
        })
    }

    /// Every name in it.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name { name, .. } => Some(name),
            Piece::Text(_) => None,
        })
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = after;
                continue;
            }
            plain.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                return Err("a `${` is never closed".to_owned());
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            let (form, inside) = match inside.split_once(':') {
                Some(("json", inside)) => (Form::Json, inside),
                Some(("urlencode", inside)) => (Form::UrlEncode, inside),
                Some(("bcrypt", inside)) => (Form::Bcrypt, inside),
                _ => (Form::Plain, inside),
            };
            let name = Name::parse(inside)
                .ok_or_else(|| format!("`${{{inside}}}` is not a name that a template can use"))?;
            pieces.push(Piece::Name { name, form });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        Some(match text {
            "uid" => Self::Uid,
            "gid" => Self::Gid,
            "url" => Self::Url,
            "each:site" => Self::Each(List::Site),
            "each:scrape" => Self::Each(List::Scrape),
            "each:route" => Self::Each(List::Route),
            "each:front_door" => Self::Each(List::FrontDoor),
            "each:public_name" => Self::Each(List::PublicName),
            "item.service" => Self::Item(Item::Service),
            "item.host" => Self::Item(Item::Host),
            "item.url" => Self::Item(Item::Url),
            "item.source" => Self::Item(Item::Source),
            "item.upstream" => Self::Item(Item::Upstream),
            "item.path" => Self::Item(Item::Path),
            key if is_key(key) && key.chars().all(upper) => Self::Key(key.to_owned()),
            other => match other.split_once(':')? {
                ("host", service) => Self::Host(service.to_owned()),
                ("port", service) => Self::Port(service.to_owned()),
                ("url", service) => Self::UrlOf(service.to_owned()),
                ("step", name) => Self::Step(name.to_owned()),
                _ => return None,
            },
        })
    }
}

/// As a template writes it, without `${` and `}`.
impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => out.write_str(key),
            Self::Uid => out.write_str("uid"),
            Self::Gid => out.write_str("gid"),
            Self::Url => out.write_str("url"),
            Self::Host(service) => write!(out, "host:{service}"),
            Self::Port(service) => write!(out, "port:{service}"),
            Self::UrlOf(service) => write!(out, "url:{service}"),
            Self::Each(List::Site) => out.write_str("each:site"),
            Self::Each(List::Scrape) => out.write_str("each:scrape"),
            Self::Each(List::Route) => out.write_str("each:route"),
            Self::Each(List::FrontDoor) => out.write_str("each:front_door"),
            Self::Each(List::PublicName) => out.write_str("each:public_name"),
            Self::Step(name) => write!(out, "step:{name}"),
            Self::Item(Item::Service) => out.write_str("item.service"),
            Self::Item(Item::Host) => out.write_str("item.host"),
            Self::Item(Item::Url) => out.write_str("item.url"),
            Self::Item(Item::Source) => out.write_str("item.source"),
            Self::Item(Item::Upstream) => out.write_str("item.upstream"),
            Self::Item(Item::Path) => out.write_str("item.path"),
        }
    }
}
