//! The sources that a tenant starts from.

use super::names::{Kind, Names};

/// The source of a profile as the tenant gets it: to be read and narrowed. [`super::vet`] accepts it.
#[must_use]
pub fn template(kind: Kind, names: &Names) -> String {
    let rules = match kind {
        Kind::Platform => PLATFORM,
        Kind::Openclaw => OPENCLAW,
    };
    let name = names.name(kind);
    let (who, about) = match kind {
        Kind::Platform => ("every service but openclaw", ""),
        Kind::Openclaw => ("openclaw", OPENCLAW_NOTE),
    };
    format!(
        "# {name}: what {who} may do inside its container.\n{INTRODUCTION}{about}\nprofile {name} {{{rules}}}\n"
    )
}

const INTRODUCTION: &str = "\
#
# This file is yours. You may remove rules, add rules, and add `deny` rules, which win over all others.
# One rule a line, each ending with a comma; `#` begins a comment. Paths are those inside the container.
# The name of the profile must stay. What else may be written: docs/apparmor.md.
#
# What is loaded is these rules and a mandatory part that is not in this file and that no rule here can
# lift: no mounts, no kernel settings, no raw sockets, no tracing, no other tenant's directory. Its
# permission for the administrator and Docker to stop a container cannot be taken away either.
";

const OPENCLAW_NOTE: &str = "\
#
# openclaw runs what others send it, so it is confined more strictly than the services: only what is
# named below, no capability, and nothing that it can write can be run.
";

const PLATFORM: &str = "
  # All files of the container. Replace it by single paths to narrow a stack whose files you know.
  file,

  # Internet and local sockets.
  network inet stream,
  network inet dgram,
  network inet6 stream,
  network inet6 dgram,
  network unix,
  # How programs ask for names and addresses (getaddrinfo, getifaddrs).
  network netlink raw,
  network netlink dgram,

  # For programs that start as root and then become a user; elsewhere they grant nothing.
  capability chown,
  capability dac_override,
  capability fowner,
  capability fsetid,
  capability kill,
  capability setgid,
  capability setuid,
  capability setpcap,
  capability net_bind_service,
";

const OPENCLAW: &str = "
  # The image may be read; secrets of other services are not mounted.
  / r,
  /** r,

  # Programs and libraries of the image.
  /{,usr/}{bin,sbin,lib,lib32,lib64,libexec}/** mrix,
  /usr/local/** mrix,
  /opt/** mrix,
  /app/** mrix,

  # Its state and its temporary files: writable, and for that never executable.
  /app/data/{,**} rwlk,
  /tmp/{,**} rwlk,
  /dev/shm/{,**} rwlk,

  # Devices without hardware, terminals, and its own processes.
  /dev/{null,zero,full,random,urandom,tty,console,ptmx} rwk,
  /dev/pts/{,**} rwk,
  /proc/[1-9]*/{comm,oom_score_adj} rw,
  /proc/[1-9]*/task/[1-9]*/comm rw,

  # Internet and local sockets.
  network inet stream,
  network inet dgram,
  network inet6 stream,
  network inet6 dgram,
  network unix,
  network netlink raw,
  network netlink dgram,
";
