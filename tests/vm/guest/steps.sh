# The language of the steps. Sourced by every file in steps/.
# shellcheck shell=bash

progress=${progress:-/var/lib/aistack-vm}     # on the root disk: survives a reboot of the guest
export LANG=C.UTF-8

# How many times slower this guest is than those that the limits were made for (guest/run measures it).
slowness=$(cat "$progress/slowness" 2>/dev/null || echo 1)
# The tenants' TIME_SCALE: what an emulated processor is slower than a real one, times that; 20 is the most.
time_scale=$((4 * slowness < 20 ? 4 * slowness : 20))

# step NAME COMMAND…: runs the command or function and prints `NAME passed` or `NAME failed`, with the end
# of its output where it failed. LIMIT=seconds before it sets another time limit; a slower guest gets as many
# times more. A function runs in a
# subshell: what it sets is gone afterwards. NAME stands literally in the file, because tests/vm/run reads
# the files to know which names it must see.
step() {
    local name=$1 began=$SECONDS log status pid watch limit=$((${LIMIT:-240} * slowness))
    shift
    log=$(mktemp /tmp/step.XXXXXX)
    # Process groups of their own, so that what a stuck step has started ends with it.
    set -m
    ("$@") >"$log" 2>&1 </dev/null &
    pid=$!
    (sleep $limit; echo "stopped after $limit s" >>"$log"; kill -KILL -- -$pid) >/dev/null 2>&1 &
    watch=$!
    set +m
    wait $pid 2>/dev/null
    status=$?
    kill -KILL -- -$watch 2>/dev/null
    wait $watch 2>/dev/null
    if [ $status -eq 0 ]; then
        mkdir -p "$progress/passed" && touch "$progress/passed/$name"
        echo "$name passed ($((SECONDS - began)) s)"
        sed -n 's/^NOTE: /    /p' "$log"
    else
        echo "$name failed (exit $status, $((SECONDS - began)) s)"
        tail -n "${TAIL:-60}" "$log" | sed 's/^/    /'
    fi
    rm -f "$log"
    return $status
}

# vital NAME COMMAND…: a step without which the rest of its file makes no sense; its failure ends the file. Other files
# run all the same, unless they say that they need it.
vital() {
    step "$@" && return
    echo "LEFT OUT: the rest of $(basename "$0" .sh), because $1 failed"
    exit 1
}

# needs NAME…: the rest of the file makes no sense without those steps of other files; where one of them has not passed,
# the rest is left out.
needs() {
    local name
    for name in "$@"; do
        [ ! -e "$progress/passed/$name" ] || continue
        echo "LEFT OUT: what of $(basename "$0" .sh) needs $name, which has not passed"
        exit 1
    done
}

# tell TEXT: in a step that passes, a line that is worth reading (a figure, a version).
tell() { printf 'NOTE: %s\n' "$*"; }

# then_reboot [reboot|power-cut]: the guest comes up again after this file, and goes on with the next one.
then_reboot() { echo "${1:-reboot}" >"$progress/again"; }

# as USER COMMAND…: as that user, in a login shell.
as() {
    local user=$1
    shift
    su - "$user" -c "export DOCKER_HOST=unix:///run/aistack/engine.sock NO_COLOR=1; $(printf '%q ' "$@")"
}

# says PATTERN EXIT COMMAND…: the command must end so and say so.
says() {
    local pattern=$1 expected=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    printf '%s\n' "$output"
    [ $status -eq "$expected" ] || { echo "exit code $status, not $expected: $*"; return 1; }
    grep -Eq -- "$pattern" <<<"$output" || { echo "does not say /$pattern/: $*"; return 1; }
}

# refused PATTERN COMMAND…: the command must fail and say so.
refused() {
    local pattern=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf '%s\nworked, and should not have: %s\n' "$output" "$*"
        return 1
    fi
    printf '%s\n' "$output"
    grep -Eq -- "$pattern" <<<"$output" || { echo "does not say /$pattern/: $*"; return 1; }
}

# all COMMAND -- COMMAND -- …: every command in turn, until one fails, which is then named.
all() {
    local command=()
    while [ $# -gt 0 ]; do
        if [ "$1" = -- ]; then
            "${command[@]}" || { echo "failed: ${command[*]}"; return 1; }
            command=()
        else
            command+=("$1")
        fi
        shift
    done
    [ ${#command[@]} -eq 0 ] || "${command[@]}" || { echo "failed: ${command[*]}"; return 1; }
}

# eventually SECONDS COMMAND…: the command works within that time, or more in a slower guest.
eventually() {
    local until=$((SECONDS + $1 * slowness)) output
    shift
    while ! output=$("$@" 2>&1); do
        [ $SECONDS -lt $until ] || { printf '%s\nnot in time: %s\n' "$output" "$*"; return 1; }
        sleep 1
    done
}

# The NVMe volume N, as the policy names it and as the kernel shows it.
volume_id() { printf 'vol-%017d' "$1"; }
volume_serial() { printf 'vol%017d' "$1"; }
volume_device() {
    local controller
    for controller in /sys/class/nvme/nvme*; do
        [ "$(tr -d ' ' <"$controller/serial")" = "$(volume_serial "$1")" ] || continue
        echo "/dev/$(basename "$controller")n1"
        return
    done
    return 1
}

. "$(dirname "${BASH_SOURCE[0]}")/test-host.sh"
