//! Writes profiles. Every byte comes from this crate, but for the paths of the tenant's rules.

use super::abi::Abi;
use super::baseline::{self, Layer};
use super::names::{Kind, Names};
use super::rule::Rule;
use super::sockets::SERVICE_SOCKETS;
use super::words::ALLOWED_CAPABILITIES;

/// A source that was accepted: closed types, with no text of the tenant but validated paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted {
    kind: Kind,
    names: Names,
    rules: Vec<Rule>,
}

impl Vetted {
    pub(super) fn new(kind: Kind, names: Names, rules: Vec<Rule>) -> Self {
        Self { kind, names, rules }
    }

    /// The profile that is loaded in place of the source: the rules in their order, then the
    /// mandatory baseline. The same rules give the same text, letter by letter.
    #[must_use]
    pub fn render(&self, abi: Abi) -> String {
        let own = self.rules.iter().flat_map(Rule::expand);
        let layer = Layer::Tenant(self.kind);
        let baseline = baseline::rules(&self.names, layer, abi);
        profile(self.names.name(self.kind), abi, own, baseline)
    }

    /// The canonical source: what the tenant would write for exactly these rules. It is accepted by
    /// [`super::vet`] again with an equal result, and is at most one byte longer than what was
    /// accepted first (the blank before the brace).
    #[must_use]
    pub fn source(&self) -> String {
        let mut text = format!("profile {} {{\n", self.names.name(self.kind));
        for rule in &self.rules {
            text.push_str(&rule.source());
            text.push('\n');
        }
        text.push_str("}\n");
        text
    }
}

/// The profile `ai-base-<uid>`: wide, but for the mandatory baseline. Containers run under it and
/// the tenant's profile at once ([`Names::label`]), so that the baseline holds even if a tenant's
/// rule should find a way around its own copy.
#[must_use]
pub fn render_base(names: &Names, abi: Abi) -> String {
    let mut wide = vec!["file".to_owned()];
    wide.extend(SERVICE_SOCKETS.map(|socket| format!("network {socket}")));
    wide.extend(ALLOWED_CAPABILITIES.map(|name| format!("capability {name}")));
    let baseline = baseline::rules(names, Layer::Base, abi);
    profile(names.base(), abi, wide, baseline)
}

fn profile(
    name: &str,
    abi: Abi,
    own: impl IntoIterator<Item = String>,
    baseline: Vec<String>,
) -> String {
    let mut text = format!(
        "# {name}: written by aistack; changes made here are lost. Paths are those inside the container.\n\
         {}\n\nprofile {name} flags=(attach_disconnected,mediate_deleted) {{\n",
        abi.line()
    );
    push_rules(&mut text, own);
    text.push_str("  # mandatory baseline\n");
    push_rules(&mut text, baseline);
    text.push_str("}\n");
    text
}

fn push_rules(text: &mut String, rules: impl IntoIterator<Item = String>) {
    for rule in rules {
        text.push_str("  ");
        text.push_str(&rule);
        text.push_str(",\n");
    }
}
