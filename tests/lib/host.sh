# What the demo and the tests need of the host: root for single steps, packages, a Docker Engine.
# Sourced, never run. Everything it changes on the host it says.

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { say "error: $*" >&2; exit 1; }

# Runs one command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this step needs root and there is no sudo: $*"
    fi
}

# need_packages COMMAND=PACKAGE…: installs the Debian package of each command that is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing Debian packages: ${missing[*]}"
    # Two stages of a run may want some at once, and apt does not wait for its lists.
    as_root flock /run/lock/aistack-apt sh -c 'export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null && apt-get install -y -qq "$@" >/dev/null' sh "${missing[@]}"
}

DOCKER_SOCKET=/run/docker.sock

# The docker command as root on the engine itself: for making and removing the world, never for a tenant.
host_docker() { as_root docker -H "unix://$DOCKER_SOCKET" "$@"; }
docker_answers() { host_docker version >/dev/null 2>&1; }

# Starts a Docker Engine where none runs. Leaves the marker $1 behind when it did.
start_docker() {
    local marker=$1 i
    docker_answers && return
    if [ -d /run/systemd/system ]; then
        say "starting docker.service"
        as_root systemctl start docker
    else
        say "starting dockerd (log: /var/log/aistack-dockerd.log)"
        as_root sh -c 'setsid dockerd >/var/log/aistack-dockerd.log 2>&1 </dev/null &' 9<&-
    fi
    as_root touch "$marker"
    for i in $(seq 60); do
        docker_answers && return
        sleep 0.5
    done
    die "Docker does not answer on $DOCKER_SOCKET; see /var/log/aistack-dockerd.log"
}

# Stops the Docker Engine that start_docker started, and no other.
stop_docker() {
    local marker=$1
    as_root test -e "$marker" || return 0
    say "stopping the Docker Engine that this started"
    if [ -d /run/systemd/system ]; then
        as_root systemctl stop docker docker.socket
    else
        as_root pkill -TERM -x dockerd || true
        timeout 30 sh -c 'while pgrep -x dockerd >/dev/null; do sleep 0.2; done' || true
    fi
    as_root rm -f "$marker"
}
