# What the demo and the tests need of the host: root for single steps, packages, a Docker Engine.
# Sourced, never run. Everything it changes on the host it says.

# Everything that tests and demo keep from one run to the next. May be removed at any time; CONTRIBUTING.md
# says what is in it and what bounds it.
test_cache=${AISTACK_TEST_CACHE:-/var/cache/aistack-tests}
# Who can never be root keeps a cache of their own.
[ -n "${AISTACK_TEST_CACHE:-}" ] || [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    test_cache=${XDG_CACHE_HOME:-$HOME/.cache}/aistack-tests

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { say "error: $*" >&2; exit 1; }

# Runs one command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo ${AISTACK_TEST_CACHE:+env "AISTACK_TEST_CACHE=$AISTACK_TEST_CACHE"} "$@"
    else
        die "this step needs root and there is no sudo: $*"
    fi
}

# Runs nextest so that it starts every test as root, also where the caller is not.
tests_as_root() { # COMMAND…
    local target
    target=$(rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
    if [ "$(id -u)" -eq 0 ]; then "$@"; else env "CARGO_TARGET_${target}_RUNNER=$PWD/tests/lib/as-root" "$@"; fi
}

# own_folder DIR: a folder of the caller's in the cache.
own_folder() { [ -w "$1" ] || mkdir -p "$1" 2>/dev/null || { as_root mkdir -p "$(dirname "$1")" && as_root install -d -o "$(id -u)" "$1"; }; }

# need_packages COMMAND=PACKAGE…: installs the Debian package of each command, or file by its full name, that is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing Debian packages: ${missing[*]}"
    # Two stages of a run may want some at once, and apt does not wait for its lists. A run that is ended does not
    # take apt with it, which would leave the machine half configured.
    as_root setsid --wait flock /run/lock/aistack-apt sh -c 'export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null && apt-get install -y -qq "$@" >/dev/null' sh "${missing[@]}"
}

# In a mount namespace of one's own: lets go of the copies of tenants' volumes and of what a test has mounted, which
# would keep in use what is unmounted outside.
forget_volumes() { awk '$2 ~ "/aistack-" && $2 !~ "/aistack-tests/" { print $2 }' /proc/self/mounts | xargs -r umount -l; }

# How many times slower this machine is at the moment than one with nothing else to do that limits in seconds
# were made for: such a machine counts to 300,000 in 0.7 s.
slowness() {
    local began i
    began=$(date +%s%3N)
    for ((i = 0; i < 300000; i++)); do :; done
    echo $((1 + ($(date +%s%3N) - began) / 700))
}

DOCKER_SOCKET=/run/docker.sock

# The docker command as root on the engine itself: for setting up and removing a test host, never for a tenant.
host_docker() { as_root docker -H "unix://$DOCKER_SOCKET" "$@"; }
docker_answers() { host_docker version >/dev/null 2>&1; }

# Starts a Docker Engine where none runs. Leaves the marker $1 behind when it did: whose PID it has, or
# that systemd has it.
start_docker() {
    local marker=$1 i pid
    docker_answers && return
    if [ -d /run/systemd/system ]; then
        say "starting docker.service"
        as_root systemctl start docker
        echo systemd | as_root tee "$marker" >/dev/null
    else
        say "starting dockerd (log: /var/log/aistack-dockerd.log)"
        as_root sh -c 'setsid dockerd >/var/log/aistack-dockerd.log 2>&1 </dev/null & echo $! >"$1"' sh "$marker" 9<&-
    fi
    for i in $(seq 240); do
        docker_answers && return
        # It may not be dockerd yet, but it is there.
        pid=$(as_root cat "$marker")
        [ "$pid" = systemd ] || [ -d "/proc/$pid" ] || break
        sleep 0.5
    done
    die "Docker does not answer on $DOCKER_SOCKET; see /var/log/aistack-dockerd.log"
}

docker_is_alive() { # MARKER
    local pid
    pid=$(as_root cat "$1" 2>/dev/null)
    [ "$pid" = systemd ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]
}

# Stops the Docker Engine that start_docker started, and no other.
stop_docker() {
    local marker=$1 pid
    pid=$(as_root cat "$marker" 2>/dev/null) || return 0
    if [ "$pid" = systemd ]; then
        say "stopping docker.service, which this started"
        as_root systemctl stop docker docker.socket
    elif docker_is_alive "$marker"; then
        say "stopping the Docker Engine that this started (PID $pid)"
        as_root kill -TERM "$pid"
        timeout 60 sh -c 'while [ "$(cat /proc/'"$pid"'/comm 2>/dev/null)" = dockerd ]; do sleep 0.2; done' || true
    fi
    as_root rm -f "$marker"
}
