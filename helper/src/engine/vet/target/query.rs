//! A query string, read once: no key twice (but [`REPEATED`]), every key known, every value typed.

use std::collections::{BTreeMap, BTreeSet};

use aistack_policy::Refusal;
use aistack_policy::engine::ApiVersion;
use serde::Deserialize;

use super::super::json::{shown, strict};
use super::bad_query;

/// Parameters of a request, at most.
const MAX_PARAMETERS: usize = 32;

/// The key that may come more than once, with another value each time: Docker's Go client names each type
/// of `system/df` in a parameter of its own.
const REPEATED: &str = "type";

/// What is left of a query. Each value is taken by its name; what nobody took is refused at the end.
#[derive(Debug)]
pub(super) struct Query {
    /// By key; several values below [`REPEATED`] only.
    values: BTreeMap<String, BTreeSet<String>>,
    /// The API version that the caller asks for.
    version: ApiVersion,
}

/// A platform as Docker writes it from API 1.46 on (OCI image index, `platform`).
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Platform {
    architecture: String,
    os: String,
    variant: String,
}

/// This host's architecture in the words of OCI, and its variant.
const OWN_ARCHITECTURE: (&str, &str) = if cfg!(target_arch = "aarch64") {
    ("arm64", "v8")
} else {
    ("amd64", "")
};

impl Query {
    pub(super) fn parse(text: &str, version: ApiVersion) -> Result<Self, Refusal> {
        let mut values = BTreeMap::<String, BTreeSet<String>>::new();
        let mut count = 0;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key)?;
            let may_repeat = key == REPEATED;
            let twice = bad_query(&format!("\"{}\" is given twice", shown(&key)));
            let of_key = values.entry(key).or_default();
            if !(of_key.is_empty() || may_repeat) || !of_key.insert(decode(value)?) {
                return Err(twice);
            }
            count += 1;
            if count > MAX_PARAMETERS {
                return Err(bad_query("it has too many parameters"));
            }
        }
        Ok(Self { values, version })
    }

    /// A value as it is, empty when it is absent.
    pub(super) fn take(&mut self, name: &str) -> String {
        let value = self.values.remove(name);
        value
            .and_then(|mut values| values.pop_first())
            .unwrap_or_default()
    }

    /// The values of [`REPEATED`], none when it is absent.
    pub(super) fn take_repeated(&mut self) -> BTreeSet<String> {
        self.values.remove(REPEATED).unwrap_or_default()
    }

    /// True when the caller's API version has what came with `since`.
    pub(super) fn is_since(&self, since: ApiVersion) -> bool {
        self.version >= since
    }

    /// A value that the API has from `since` on. Docker ignores it under older versions; here it is
    /// refused, so that nobody believes that it was heard.
    pub(super) fn take_since(&mut self, name: &str, since: ApiVersion) -> Result<String, Refusal> {
        let value = self.take(name);
        if value.is_empty() || self.is_since(since) {
            return Ok(value);
        }
        Err(bad_query(&format!(
            "{name} exists since API {since}, and this request uses {}",
            self.version
        )))
    }

    /// A platform in JSON that must be this host's, which a caller gets in any case.
    pub(super) fn own_platform(&mut self, name: &str, since: ApiVersion) -> Result<(), Refusal> {
        let text = self.take_since(name, since)?;
        if text.is_empty() {
            return Ok(());
        }
        let platform: Platform = strict(text.as_bytes())?;
        let (architecture, variant) = OWN_ARCHITECTURE;
        let own = platform.os == "linux"
            && platform.architecture == architecture
            && (platform.variant.is_empty() || platform.variant == variant);
        if own {
            return Ok(());
        }
        Err(bad_query(&format!("{name} does not match this host's")))
    }

    /// Docker takes everything for true but the empty text, 0, no, false and none; here it must be
    /// one of the usual words.
    pub(super) fn bool(&mut self, name: &str) -> Result<bool, Refusal> {
        self.bool_or(name, false)
    }

    /// As [`Query::bool`], with what an absent value means.
    pub(super) fn bool_or(&mut self, name: &str, absent: bool) -> Result<bool, Refusal> {
        match self.take(name).as_str() {
            "" => Ok(absent),
            "0" | "false" | "False" => Ok(false),
            "1" | "true" | "True" => Ok(true),
            _ => Err(bad_query(&format!("{name} is neither true nor false"))),
        }
    }

    /// A switch that is read and changes nothing.
    pub(super) fn drop_bool(&mut self, name: &str) -> Result<(), Refusal> {
        self.bool(name).map(drop)
    }

    pub(super) fn must_be_false(&mut self, name: &str) -> Result<(), Refusal> {
        if self.bool(name)? {
            return Err(bad_query(&format!("{name} is not supported")));
        }
        Ok(())
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u32>, Refusal> {
        let text = self.take(name);
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number
            .map(Some)
            .ok_or_else(|| bad_query(&format!("{name} is not a number")))
    }

    /// A number where -1 and 0 mean "all".
    pub(super) fn limit(&mut self, name: &str) -> Result<Option<u32>, Refusal> {
        let is_minus_one = |values: &BTreeSet<String>| values.contains("-1");
        if self.values.get(name).is_some_and(is_minus_one) {
            self.take(name);
            return Ok(None);
        }
        Ok(self.number(name)?.filter(|limit| *limit > 0))
    }

    /// A Unix time: digits, with an optional fraction.
    pub(super) fn time(&mut self, name: &str) -> Result<String, Refusal> {
        let text = self.take(name);
        let (seconds, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        let digits = |part: &str| {
            (1..=20).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if text.is_empty() || digits(seconds) && digits(fraction) {
            return Ok(text);
        }
        Err(bad_query(&format!("{name} is not a Unix time")))
    }

    /// One of a few words.
    pub(super) fn literal(&mut self, name: &str, allowed: &[&str]) -> Result<String, Refusal> {
        let text = self.take(name);
        if allowed.contains(&text.as_str()) {
            return Ok(text);
        }
        Err(bad_query(&format!(
            "{name}=\"{}\" is not supported",
            shown(&text)
        )))
    }

    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(bad_query(&format!("unknown parameter \"{}\"", shown(name)))),
        }
    }
}

/// Percent-decodes one part; what it says is text without control characters.
fn decode(part: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_pair(rest.next(), rest.next())
                .ok_or_else(|| bad_query("it has an invalid percent encoding"))?,
            b';' => return Err(bad_query("it has a semicolon")),
            0x21..=0x7e => byte,
            _ => return Err(bad_query("it has characters that must be encoded")),
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| bad_query("it is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(bad_query("it has a control character"));
    }
    Ok(text)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
