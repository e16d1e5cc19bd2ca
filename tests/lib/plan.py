"""The stages of `make test`, in the order in which they are begun where there is room for them."""

import os

from stages import Stage

# `load` is the number of processors that a stage keeps busy, roughly; stages run beside each other as long as
# their loads fit into the machine. The order is that of the longest way to the end: the guest needs the
# packages, the packages need the build, and a guest keeps one processor for most of the run.
FIRST = [
    Stage("format", "tests/cargo fmt --all --check", load=0.2),
    Stage("scripts", "tests/stages/scripts", load=0.4),
    Stage("spelling, links", "tests/stages/docs", load=0.1),
    Stage("build", "tests/cargo --bins", load=0.8),
]

GUEST = [
    Stage("images", "tests/get-images", load=0.8),
    Stage("the guest's root", "tests/vm/run --prepare root", load=0.2),
    Stage("the guest's images", "tests/vm/run --prepare disks", load=0.4, after=["images", "the guest's root"]),
    Stage("packages", "tests/stages/packages", load=0.2, after=["build"]),
    Stage("a real kernel: the VM", "tests/vm/run --debs target/deb", load=1.1, after=["packages", "the guest's images"]),
    Stage("Debian 12 and 13", "tests/packaging/check --prepare", load=0.2),
]

if os.environ.get("AISTACK_SKIP_VM") == "1":
    GUEST = [stage for stage in GUEST if "tests/vm/" not in stage.command]
    GUEST.append(Stage("a real kernel: the VM", "echo 'SKIPPED: the guest (AISTACK_SKIP_VM=1)'", load=0))

ENGINE = [
    Stage("the current engine", "tests/engines/get || [ $? -eq 3 ]", load=0.4),
    Stage("suites beside the current engine", "tests/engines/run current gateway networks helper corpora client tenants",
          load=0.6, after=["the current engine", "images", "lints"]),
]

STATIC = [
    Stage("licences, bans, sources", "tests/stages/deny", load=0.2),
    Stage("the tests' own tests", "python3 tests/lib/test_stages.py && python3 tests/engines/test_matrix.py && tests/lib/test-processes && tests/lib/test-steps", load=0.1),
    Stage("lints", "tests/cargo clippy --locked --workspace --all-targets -- -D warnings", after=["build"]),
    Stage("fuzz targets compile", "tests/fuzz --check", load=0.3, after=["lints"]),
    Stage("the VM's own tests", "tests/lib/test-vm", load=0.1),
]

PURE = [
    Stage("tests that need nothing of the host", "tests/stages/cargo-tests quick", after=["lints"]),
]

REAL = [
    Stage("two tenants, start to end", "tests/journey", load=0.6, after=["build", "images"]),
    Stage("unit, property, hostile-client and real-engine tests", "tests/stages/cargo-tests", load=0.8, after=["lints"]),
    Stage("certificates from an authority", "tests/stages/acme", load=0.3, after=["build", "images"]),
    Stage("the front door with Debian 13's HAProxy", "tests/stages/haproxy", load=0.3,
          after=["unit, property, hostile-client and real-engine tests"]),
    Stage("the guard beside ufw and firewalld", "tests/stages/firewalls", load=0.3, after=["build", "Debian 12 and 13"]),
    Stage("visitors of the front door", "tests/stages/visitors", load=0.8, after=["build", "images"]),
    Stage("kills", "tests/kills", load=0.5, after=["build", "images"]),
    Stage("images run as any user", "tests/images/build --check", load=0.6, after=["images"]),
    Stage("packages in Debian 12 and 13", "tests/packaging/check", load=0.4, after=["packages", "Debian 12 and 13"]),
]

PLANS = {"quick": FIRST + STATIC + PURE, "all": FIRST + GUEST + ENGINE[:1] + STATIC + REAL + ENGINE[1:]}
