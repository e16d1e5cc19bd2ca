//! `docs/services.md`, from the embedded catalog.

use std::fmt::Write as _;

use crate::catalog::{Catalog, Entry};
use crate::ui::size;

const HEAD: &str = "\
# The services

This page is generated from the catalog (`client/catalog/*.toml`) by `aistack catalog --markdown`; change it there.

Every service runs as the tenant's own user or service user, without any capability (unless stated), with `no-new-privileges`, \
on the tenant's network, and publishes its ports on 127.0.0.1. Its address for people is `https://HOST.DOMAIN_NAME` through Caddy; \
`aistack url` lists the addresses, `aistack secrets show KEY` shows a password. Its data is in `BASE_DIR/data/SERVICE`, its rendered \
configuration in `BASE_DIR/etc/SERVICE`, its secrets in `BASE_DIR/config/.env`.

To upgrade one, set its `…_IMAGE` key to the newer tag, read its hazards here, and run `aistack deploy`: what does not become healthy \
goes back to what ran before. Data that a newer version has changed does not go back, so copy it first.

";

/// The whole page.
pub(super) fn all() -> String {
    let catalog = Catalog::embedded();
    let mut page = HEAD.to_owned();
    page.push_str("| service | what | memory | chosen by | run for real in the tests |\n|---|---|---|---|---|\n");
    for entry in catalog.entries() {
        let real = entry
            .docs
            .tested
            .split(['.', ':', ';'])
            .next()
            .unwrap_or_default();
        let _ = writeln!(
            page,
            "| [{0}](#{0}) | {1} | {2} | {3} | {4} |",
            entry.name,
            entry.title,
            size(entry.limits.memory.0),
            super::chosen_by(entry),
            real
        );
    }
    for entry in catalog.entries() {
        service(&mut page, entry);
    }
    page
}

fn service(page: &mut String, entry: &Entry) {
    let docs = &entry.docs;
    let _ = write!(
        page,
        "\n## {}\n\n**{}.** {}\n\n",
        entry.name, entry.title, docs.about
    );
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(page, "- {name}: {text}");
        }
    };
    line("Image", &format!("`{}`", entry.image));
    if let Some(site) = &entry.site {
        line("Site", &format!("`https://{}.DOMAIN_NAME`", site.host));
    }
    let ports: Vec<String> = entry
        .ports
        .iter()
        .map(|port| {
            format!(
                "`{}` ({}, {} inside)",
                port.key, port.scheme, port.container
            )
        })
        .collect();
    line("Ports on 127.0.0.1", &ports.join(", "));
    line("First login", &docs.login);
    let secrets: Vec<String> = entry
        .secrets
        .iter()
        .map(|secret| format!("`{}`", secret.key))
        .collect();
    line("Secrets", &secrets.join(", "));
    line("Connected", &docs.wiring);
    let needs: Vec<String> = entry.needs.iter().map(|need| format!("`{need}`")).collect();
    line("Needs", &needs.join(", "));
    line("Left out without", &super::you_give(entry));
    line(
        "May use",
        &format!(
            "{} of memory, {}.{:02} CPUs, {} processes",
            size(entry.limits.memory.0),
            entry.limits.cpus.millis / 1000,
            entry.limits.cpus.millis % 1000 / 10,
            entry.limits.pids
        ),
    );
    let root = if entry.filesystem.read_only {
        "read-only"
    } else {
        "writable"
    };
    line("Root file system", root);
    line("Capabilities", &entry.capabilities.join(", "));
    if let Some(scrape) = &entry.scrape {
        line(
            "Metrics",
            &format!(
                "`{}` on port {}, read by prometheus",
                scrape.path, scrape.port
            ),
        );
    }
    line("Data and restore", &docs.restore);
    for hazard in &entry.upgrade.hazards {
        line("Upgrade", hazard);
    }
    line("Tested", &docs.tested);
    line("Licence", &docs.licence);
    line("Upstream", &docs.homepage);
}

#[cfg(test)]
mod tests {
    /// `INSTA_UPDATE=always cargo test -p aistack --lib markdown` rewrites docs/services.md.
    #[test]
    fn the_page_in_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/services.md");
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            std::fs::write(path, super::all()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(there == super::all(), "docs/services.md is out of date");
    }

    /// What a newcomer asks of a service has an answer.
    #[test]
    fn every_service_says_what_it_is_where_its_data_is_and_what_was_tested() {
        for entry in crate::catalog::Catalog::embedded().entries() {
            let docs = &entry.docs;
            for (what, text) in [
                ("about", &docs.about),
                ("licence", &docs.licence),
                ("homepage", &docs.homepage),
                ("tested", &docs.tested),
            ] {
                assert!(!text.is_empty(), "{}: docs.{what}", entry.name);
            }
            assert!(
                entry.mounts.data.is_none() || !docs.restore.is_empty(),
                "{}: docs.restore",
                entry.name
            );
            assert!(
                entry.site.is_none() || !docs.login.is_empty(),
                "{}: docs.login",
                entry.name
            );
        }
    }
}
