//! The sums over all services stay within the grant; when they do not, what each one takes is told,
//! and what would fit.

use super::{DesiredError, World};
use crate::catalog::{Entry, Preset};
use crate::selection::{self, SERVICES, Selection, Sums, cpus, gib};
use crate::ui::{Paint, Table};

/// One of the limits: its heading, what to take of the sums, and how it is written.
type Limit = (&'static str, fn(&Sums) -> u64, fn(u64) -> String);

const LIMITS: [Limit; 4] = [
    (
        "MEMORY",
        |sums| sums.memory_bytes,
        |bytes| gib(bytes) + " of memory",
    ),
    (
        "CPUS",
        |sums| sums.cpu_millis,
        |millis| cpus(millis) + " CPUs",
    ),
    (
        "PROCESSES",
        |sums| sums.pids,
        |pids| format!("{pids} processes"),
    ),
    (
        "CONTAINERS",
        |sums| sums.containers,
        |count| format!("{count} containers"),
    ),
];

/// Every limit that the services exceed. The last one's message goes on with a table and with what
/// would fit, a line each.
pub(super) fn limits(world: &World<'_>, errors: &mut Vec<DesiredError>) {
    let given = Sums::given(&world.grant.limits.unwrap_or_default());
    let needed = Sums::of(world.entries.iter().copied());
    let exceeded: Vec<&Limit> = LIMITS
        .iter()
        .filter(|(_, of, _)| of(&needed) > of(&given))
        .collect();
    let Some((last, _)) = exceeded.split_last() else {
        return;
    };
    for limit in &exceeded {
        let (_, of, written) = limit;
        let (needed, given_text) = (written(of(&needed)), written(of(&given)));
        let given_text = match given_text.split_once(" of ") {
            Some((number, _)) => number.to_owned(),
            None => given_text,
        };
        let mut message = format!("the services need {needed}, and the policy gives {given_text}");
        if limit == last {
            message.push_str(&table(world, &exceeded, given));
            message.push_str(&advice(world, given));
        }
        errors.push(world.refusal("limits", "limits", message));
    }
}

/// What each service takes of what is exceeded, the greediest first.
fn table(world: &World<'_>, exceeded: &[&Limit], given: Sums) -> String {
    let shown: Vec<&&Limit> = exceeded
        .iter()
        .filter(|(heading, ..)| *heading != "CONTAINERS")
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    let number = |limit: &Limit, sums: &Sums| {
        let (_, of, written) = limit;
        let text = written(of(sums));
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            [number, "GiB", ..] => format!("{number} GiB"),
            [number, ..] => (*number).to_owned(),
            [] => text,
        }
    };
    let mut entries: Vec<(&Entry, Sums)> = world
        .entries
        .iter()
        .map(|entry| (*entry, Sums::of([*entry])))
        .collect();
    if let Some((_, of, _)) = shown.first() {
        entries.sort_by_key(|(_, sums)| std::cmp::Reverse(of(sums)));
    }
    let all = Sums::of(world.entries.iter().copied());
    let rows = entries
        .iter()
        .map(|(entry, sums)| (entry.name.as_str(), sums))
        .chain([("together", &all), ("given", &given)]);
    let mut table = Table::plain();
    let cell = |text: &str| (text.to_owned(), None);
    let headings = shown.iter().map(|(heading, ..)| cell(heading));
    table.row([cell("SERVICE")].into_iter().chain(headings));
    for (name, sums) in rows {
        let numbers = shown.iter().map(|limit| cell(&number(limit, sums)));
        table.row([cell(name)].into_iter().chain(numbers));
    }
    let text = table.render(Paint::new(false));
    let lines: Vec<&str> = text.lines().collect();
    format!("\n  {}", lines.join("\n  "))
}

/// What would fit: the smallest preset, and the stack without a few services.
fn advice(world: &World<'_>, given: Sums) -> String {
    let value = |key: &str| world.settings.get(key).map(str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    if let Some(lighter) = selection::lighter(world.catalog, &value, given) {
        let vector_db = lighter.vector_db.map(|name| format!(" --vector-db {name}"));
        lines.push(format!(
            "\nit fits without {}: aistack init --services {}{}",
            lighter.dropped.join(", "),
            lighter.services,
            vector_db.unwrap_or_default(),
        ));
    }
    let minimal = selection::preset(world.catalog, Preset::Minimal);
    let smaller = |key: &str| match key {
        SERVICES => Some(minimal.clone()),
        key => value(key),
    };
    if let Ok(selection) = Selection::of(world.catalog, &smaller)
        && selection.sums().fits(given)
    {
        let memory = gib(selection.sums().memory_bytes);
        lines.push(format!(
            "\nthe smallest preset fits, with {memory} of memory: aistack init --preset minimal"
        ));
    }
    lines.concat()
}
