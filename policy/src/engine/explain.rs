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
    /// Everything that was read, with what it means. What does not work is reported by
    /// [`judge`](super::judge).
    #[must_use]
    pub fn explained(&self) -> Vec<Fact> {
        let fact = |name, value: String, means| Fact { name, value, means };
        let mut facts = vec![
            fact(
                "engine",
                self.name(),
                "aistack only depends on its API version",
            ),
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
                    "nothing changes containers after aistack has vetted them"
                },
            ),
            fact(
                "cdi directories",
                none_or(&self.cdi_dirs),
                if self.cdi_dirs.is_empty() {
                    "no devices are described for containers"
                } else {
                    "containers get these devices only by requests that aistack refuses"
                },
            ),
            fact(
                "address pools",
                if self.address_pools.is_empty() {
                    "Docker's own".to_owned()
                } else {
                    self.address_pools.join(", ")
                },
                "other networks use these; the tenants' use `network.pool`",
            ),
            fact(
                "insecure registries",
                none_or(&self.insecure_registries),
                if self.insecure_registries.is_empty() {
                    "every registry except on this host is verified"
                } else {
                    "images from these registries are not protected in transit"
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
                    "nothing else authorizes aistack's requests"
                } else {
                    "they see aistack's requests and may refuse more of them"
                },
            ),
            fact(
                "swarm",
                on(self.swarm).to_owned(),
                "tenants cannot use it; aistack does not manage containers of swarm services",
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
                "requested",
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
                "containers keep running while Docker is down, and cannot be listed then"
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
                "connections from this host to a published port pass a root process"
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
            means: "aistack chooses the version, whatever version a tenant uses",
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
            means: "they limit memory, CPUs and processes of each container; each has its own cgroup \
                    namespace",
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
                "a service runs as its tenant's UID, enforced by the kernel",
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
            Seccomp::Unknown => ("unsaid", "it was not read"),
            Seccomp::Off => ("off", "containers may use every system call"),
            Seccomp::Default => (
                "Docker's own",
                "containers cannot use the system calls that it blocks",
            ),
            Seccomp::File(file) => (
                file.as_str(),
                "this file decides which system calls are allowed; aistack does not read it",
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
            ("on", "the tenants' profiles confine their containers")
        } else {
            (
                "off",
                "no profile confines a container; with `apparmor = \"required\"` in the policy \
                 none is created",
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
                "Docker uses its own tables, and there is no chain DOCKER-USER: put rules for containers \
                 into your own table",
            )
        } else {
            let value = if self.firewall.is_empty() {
                "iptables (the engine does not say)".to_owned()
            } else {
                self.firewall.clone()
            };
            (value, "put rules for containers into the chain DOCKER-USER")
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
