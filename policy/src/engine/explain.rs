//! What each fact of an engine means for what holds the tenants' containers, for the administrator.

use super::{EngineFacts, Seccomp, has_option};

/// One thing that an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about, e.g. `firewall`.
    pub name: &'static str,
    /// What the engine says, e.g. `nftables`.
    pub value: String,
    /// What that means for the tenants.
    pub means: &'static str,
}

impl EngineFacts {
    /// Everything that was read, with what it means. What does not work is told by
    /// [`judge`](super::judge).
    #[must_use]
    pub fn explained(&self) -> Vec<Fact> {
        let fact = |name, value: String, means| Fact { name, value, means };
        let mut facts = vec![
            fact("engine", self.name(), "it is judged by its API version"),
            self.api(),
            self.images(),
            self.cgroup(),
            self.users(),
            self.seccomp_fact(),
            self.apparmor(),
            self.no_new_privileges(),
            self.live_restore_fact(),
            self.firewall_fact(),
        ];
        facts.extend(self.userland_proxy_fact());
        facts.extend([
            fact(
                "nri plugins",
                on(self.nri).to_owned(),
                if self.nri {
                    "they change containers after aistack has vetted them"
                } else {
                    "nothing changes containers behind aistack"
                },
            ),
            fact(
                "cdi directories",
                none_or(&self.cdi_dirs),
                if self.cdi_dirs.is_empty() {
                    "no devices are described for containers"
                } else {
                    "devices described there reach a container only by requests that aistack refuses"
                },
            ),
            fact(
                "address pools",
                if self.address_pools.is_empty() {
                    "Docker's own".to_owned()
                } else {
                    self.address_pools.join(", ")
                },
                "networks of others come from there; the tenants' come from `network.pool`",
            ),
            fact(
                "insecure registries",
                none_or(&self.insecure_registries),
                if self.insecure_registries.is_empty() {
                    "every registry but one of this host's own must prove who it is"
                } else {
                    "images from these registries are not protected on their way"
                },
            ),
            fact(
                "default runtime",
                or_unsaid(&self.default_runtime),
                "tenants cannot choose another one",
            ),
            fact(
                "authorization plugins",
                none_or(&self.authorization),
                if self.authorization.is_empty() {
                    "nothing else decides about the requests that aistack makes"
                } else {
                    "they may refuse more than aistack does, and see its requests"
                },
            ),
            fact(
                "swarm",
                on(self.swarm).to_owned(),
                "tenants have no call for it; containers of services are nobody's of aistack",
            ),
        ]);
        facts
    }

    fn no_new_privileges(&self) -> Fact {
        let (value, means) = if has_option(self, "no-new-privileges") {
            (
                "on",
                "it is the default; aistack asks for it in each container anyway",
            )
        } else {
            (
                "asked for",
                "it is not the default; aistack asks for it in each container",
            )
        };
        Fact {
            name: "no-new-privileges",
            value: value.to_owned(),
            means,
        }
    }

    fn live_restore_fact(&self) -> Fact {
        Fact {
            name: "live-restore",
            value: on(self.live_restore).to_owned(),
            means: if self.live_restore {
                "containers run on while Docker is down, and nobody sees them then"
            } else {
                "containers stop with Docker"
            },
        }
    }

    fn userland_proxy_fact(&self) -> Option<Fact> {
        let proxy = self.userland_proxy?;
        Some(Fact {
            name: "userland proxy",
            value: on(proxy).to_owned(),
            means: if proxy {
                "connections from this host to a published port pass a process of root's"
            } else {
                "the kernel alone forwards to published ports"
            },
        })
    }

    fn api(&self) -> Fact {
        let text = |version: Option<super::ApiVersion>| {
            version.map_or("unsaid".to_owned(), |version| version.to_string())
        };
        Fact {
            name: "api",
            value: format!("{} to {}", text(self.oldest), text(self.newest)),
            means: "aistack speaks to it in a version of its own, whatever a tenant asks in",
        }
    }

    fn images(&self) -> Fact {
        let (value, means) = if self.containerd_image_store {
            (
                format!("containerd ({})", self.storage_driver),
                "the id of an image is the digest of its manifest",
            )
        } else {
            (
                or_unsaid(&self.storage_driver),
                "the id of an image is the digest of its configuration",
            )
        };
        Fact {
            name: "image store",
            value,
            means,
        }
    }

    fn cgroup(&self) -> Fact {
        let version = or_unsaid(&self.cgroup_version);
        Fact {
            name: "control groups",
            value: format!(
                "version {version}, driver {}",
                or_unsaid(&self.cgroup_driver)
            ),
            means: "they hold memory, CPUs and processes of each container; each has a cgroup namespace \
                    of its own",
        }
    }

    fn users(&self) -> Fact {
        let (value, means) = if has_option(self, "userns") {
            ("mapped", "refused: a service would not be its tenant's UID")
        } else if self.rootless || has_option(self, "rootless") {
            (
                "rootless",
                "refused: a service would not be its tenant's UID",
            )
        } else {
            (
                "the host's",
                "a service runs as its tenant's UID, and the kernel holds it to that",
            )
        };
        Fact {
            name: "users",
            value: value.to_owned(),
            means,
        }
    }

    fn seccomp_fact(&self) -> Fact {
        let (value, means) = match &self.seccomp {
            Seccomp::Unknown => ("unsaid", "it was not asked"),
            Seccomp::Off => ("off", "containers may use every system call"),
            Seccomp::Default => (
                "Docker's own",
                "containers cannot use the system calls that it leaves out",
            ),
            Seccomp::File(file) => (
                file.as_str(),
                "what containers may use is in this file, and aistack does not read it",
            ),
        };
        Fact {
            name: "seccomp",
            value: value.to_owned(),
            means,
        }
    }

    fn apparmor(&self) -> Fact {
        let (value, means) = if has_option(self, "apparmor") {
            ("on", "the tenants' profiles hold their containers")
        } else {
            (
                "off",
                "no profile holds a container; a policy with `apparmor = \"required\"` refuses to \
                 make one",
            )
        };
        Fact {
            name: "apparmor",
            value: value.to_owned(),
            means,
        }
    }

    fn firewall_fact(&self) -> Fact {
        let (value, means) = if self.firewall.starts_with("nftables") {
            (
                self.firewall.clone(),
                "Docker's rules are in tables of their own, and there is no chain DOCKER-USER: rules for \
                 containers go into a table of yours",
            )
        } else {
            let value = if self.firewall.is_empty() {
                "iptables (the engine does not say)".to_owned()
            } else {
                self.firewall.clone()
            };
            (value, "rules for containers go into the chain DOCKER-USER")
        };
        Fact {
            name: "firewall",
            value,
            means,
        }
    }
}

fn on(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

fn or_unsaid(text: &str) -> String {
    if text.is_empty() { "unsaid" } else { text }.to_owned()
}

fn none_or(list: &[String]) -> String {
    if list.is_empty() {
        return "none".to_owned();
    }
    list.join(", ")
}
