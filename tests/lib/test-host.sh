# A test host is one set of daemons with a policy of its own and two tenants. The demo is one test host,
# the journey test another; each has its own users, sockets, ports, networks and files, so that they can
# run side by side. Sourced after host.sh, with TEST_HOST set.

TEST_HOST_DIR=/opt/aistack-$TEST_HOST    # binaries, policy, state, audit, daemon logs
TEST_HOST_RUN=/run/aistack-$TEST_HOST    # sockets
USER_A=aistack-$TEST_HOST-a
USER_B=aistack-$TEST_HOST-b
USER_ENGINE=aistack-$TEST_HOST-engine # the unprivileged user of the gateway, in group docker
BASE_TEMPLATE="/mnt/aistack-$TEST_HOST-{uid}"

HELPER_SOCKET=$TEST_HOST_RUN/helper.sock
ENGINE_SOCKET=$TEST_HOST_RUN/engine/engine.sock
MOUNT_SOCKET=$TEST_HOST_RUN/mount.sock

base_dir() { echo "${BASE_TEMPLATE/\{uid\}/$1}"; }
uid_of() { id -u "$1"; }

# --- making ------------------------------------------------------------------------------------

# For tests: a second run with the same test host would take the first one's away, so it is turned back.
# The lock is descriptor 9, which nothing that outlives the run may inherit.
lock_test_host() {
    local file=/run/lock/aistack-test-host-$TEST_HOST
    as_root touch "$file" && exec 9<"$file" || die "cannot open $file"
    flock -n 9 || die "another run has test host '$TEST_HOST' (its lock is $file); let it end first"
}

# What is missing on this host, and a Docker Engine; test_host_down stops the one that this starts.
test_host_prepare() { tests/prerequisites && as_root mkdir -p "$TEST_HOST_DIR" && start_docker "$TEST_HOST_DIR/started-docker"; }

test_host_install() {
    local from=$1
    as_root mkdir -p "$TEST_HOST_DIR"/{bin,state,audit,engine-audit,engine-state,log} "$TEST_HOST_RUN"
    as_root chmod 755 "$TEST_HOST_DIR" "$TEST_HOST_DIR/bin" "$TEST_HOST_RUN"
    as_root chmod 700 "$TEST_HOST_DIR/state" "$TEST_HOST_DIR/audit" "$TEST_HOST_DIR/engine-audit" "$TEST_HOST_DIR/engine-state"
    as_root install -m 755 "$from"/{aistack,aistack-helper,aistack-mount,aistack-engine} "$TEST_HOST_DIR/bin/"
}

# Two users next to each other whose UIDs, and the service UIDs 1000 above, nobody has.
test_host_users() {
    # Two test hosts that are made at once must not find the same numbers free.
    local uid lock=/run/lock/aistack-test-host-users
    as_root touch "$lock" && exec 6<"$lock" && flock 6
    if ! id "$USER_A" >/dev/null 2>&1; then
        for uid in $(seq 21001 2 21999); do
            # One of several that is there is enough for getent to print it, not for its exit status.
            [ -n "$(getent passwd "$uid" $((uid + 1)) $((uid + 1000)) $((uid + 1001)); getent group "$uid" $((uid + 1)))" ] || break
        done
        say "creating users $USER_A ($uid), $USER_B ($((uid + 1))) and $USER_ENGINE"
        as_root groupadd -g "$uid" "$USER_A"
        as_root useradd -m -s /bin/bash -u "$uid" -g "$uid" "$USER_A"
        as_root groupadd -g $((uid + 1)) "$USER_B"
        as_root useradd -m -s /bin/bash -u $((uid + 1)) -g $((uid + 1)) "$USER_B"
    fi
    id "$USER_ENGINE" >/dev/null 2>&1 ||
        as_root useradd -r -M -s /usr/sbin/nologin -G docker "$USER_ENGINE"
    exec 6<&-
    as_root chown "$USER_ENGINE" "$TEST_HOST_DIR/engine-audit" "$TEST_HOST_DIR/engine-state"
    local user
    for user in "$USER_A" "$USER_B"; do tenant_profile | as_root tee "/home/$user/.profile" >/dev/null; done
}

# So that `su - USER` is ready for `aistack` and `docker`.
tenant_profile() {
    cat <<PROFILE
export PATH="$TEST_HOST_DIR/bin:/usr/local/bin:/usr/bin:/bin"
export AISTACK_HELPER_SOCKET=$HELPER_SOCKET AISTACK_ENGINE_SOCKET=$ENGINE_SOCKET
export DOCKER_HOST=unix://$ENGINE_SOCKET
PROFILE
}

# The first run of 200 ports from $1 on where nothing listens.
free_port_block() {
    local first=$1 busy
    busy=$(ss -Htln | awk '{sub(/.*:/, "", $4); print $4}')
    while echo "$busy" | awk -v a="$first" '$1>=a && $1<a+200 {hit=1} END {exit !hit}'; do
        first=$((first + 200))
    done
    echo "$first"
}

# TEST_HOST_LIMITS and TEST_HOST_SIZE say what a tenant may use and how large its volume is.
test_host_policy() {
    local first_port=$1 pool=$2 limits=${TEST_HOST_LIMITS:-} ingress=""
    [ -z "${TEST_HOST_DOOR:-}" ] || ingress="[ingress]
enabled      = true
addresses    = [\"$TEST_HOST_DOOR\"]
"
    [ -n "$limits" ] || limits='{ memory = "12G", cpus = 8, pids = 8192, containers = 40 }'
    [ -e "$TEST_HOST_DIR/policy.toml" ] && return
    say "writing $TEST_HOST_DIR/policy.toml"
    as_root tee "$TEST_HOST_DIR/policy.toml" >/dev/null <<POLICY
version = 1
$ingress
[tenants]
uids         = ["$(uid_of "$USER_A")-$(uid_of "$USER_B")"]
base_dir     = "$BASE_TEMPLATE"
domain       = "tenant-{uid}.example.test"
network      = { name = "aistack-$TEST_HOST-{uid}", pool = "$pool", prefix = 26 }
ports        = { first = $(free_port_block "$first_port"), per_tenant = 100 }
service_uids = { offset = 1000, count = 1 }
volume       = { kind = "loop", fs = "ext4", format = "if-blank", size = "${TEST_HOST_SIZE:-8G}" }
apparmor     = "if-available"
capabilities = ["NET_BIND_SERVICE"]
$(sed -n '/^images = \[/,/^]/p' packaging/policy.example.toml)
# Loaded by the tests for everybody, and pulled by nobody. What has no registry is named, as an admin would.
$(sed -n '/^images = \[/,/^]/{s/^images = /local_images = /; s#"docker.io/library/\*"#"docker.io/library/redis", "docker.io/library/postgres", "docker.io/library/caddy"#; p}' packaging/policy.example.toml)
limits       = $limits
POLICY
    as_root chgrp "$(id -g "$USER_ENGINE")" "$TEST_HOST_DIR/policy.toml"
    as_root chmod 640 "$TEST_HOST_DIR/policy.toml"
}

# --- daemons -----------------------------------------------------------------------------------

# daemon NAME COMMAND…: runs it in the background as root, its PID in log/NAME.pid.
daemon() {
    local name=$1
    shift
    as_root sh -c 'name=$1; dir=$2; shift 2; setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null & echo $! >"$dir/log/$name.pid"' \
        sh "$name" "$TEST_HOST_DIR" "$@" 9<&-
}

daemon_pid() { as_root cat "$TEST_HOST_DIR/log/$1.pid" 2>/dev/null; }
daemon_runs() {
    local pid
    # A killed process that nobody has reaped yet still takes signals, so its state is read.
    pid=$(daemon_pid "$1") && [ -n "$pid" ] && grep -qsE '^State:[[:space:]]+[RSDTtI]' "/proc/$pid/status"
}

# A signal to a HAProxy that is just starting is lost, so one may not be enough.
end_daemon() { # NAME
    local pid _
    pid=$(daemon_pid "$1") && [ -n "$pid" ] || return 0
    for _ in $(seq 20); do
        daemon_runs "$1" || return 0
        as_root kill "$pid" 2>/dev/null || true
        sleep 0.25
    done
    as_root kill -KILL "$pid" 2>/dev/null || true
}

start_mount() { daemon mount "$TEST_HOST_DIR/bin/aistack-mount" serve --socket "$MOUNT_SOCKET"; }
start_helper() {
    daemon helper "$TEST_HOST_DIR/bin/aistack-helper" serve --policy "$TEST_HOST_DIR/policy.toml" \
        --socket "$HELPER_SOCKET" --state-dir "$TEST_HOST_DIR/state" --audit-dir "$TEST_HOST_DIR/audit" \
        --docker-socket "$DOCKER_SOCKET" --mount-socket "$MOUNT_SOCKET"
}
# The gateway is not root: it has the Docker socket through its group and no capability.
# Its socket is made in a directory of its own user, which only root could have made.
start_engine() {
    as_root install -d -m 755 -o "$USER_ENGINE" "$TEST_HOST_RUN/engine"
    daemon engine setpriv --reuid "$USER_ENGINE" --regid "$(id -g "$USER_ENGINE")" --init-groups \
        --bounding-set=-all --inh-caps=-all --no-new-privs \
        "$TEST_HOST_DIR/bin/aistack-engine" serve --policy "$TEST_HOST_DIR/policy.toml" \
        --socket "$ENGINE_SOCKET" --docker-socket "$DOCKER_SOCKET" --audit-dir "$TEST_HOST_DIR/engine-audit" \
        --state-dir "$TEST_HOST_DIR/engine-state"
}
start_daemon() { # NAME: unless it runs; waits until it listens
    local name=$1 socket
    case $name in helper) socket=$HELPER_SOCKET ;; engine) socket=$ENGINE_SOCKET ;; mount) socket=$MOUNT_SOCKET ;; esac
    daemon_runs "$name" && return
    "start_$name"
    for _ in $(seq 100); do
        # Flag 00010000 is a socket that listens; one that is bound only refuses.
        as_root awk -v s="$socket" '$4 == "00010000" && $8 == s {found=1} END {exit !found}' /proc/net/unix &&
            daemon_runs "$name" && return
        sleep 0.1
    done
    as_root tail -n 20 "$TEST_HOST_DIR/log/$name.log" >&2
    die "aistack-$name did not start; its log is $TEST_HOST_DIR/log/$name.log"
}

test_host_daemons() {
    local name
    for name in mount helper engine; do start_daemon $name; done
    say "daemons run: aistack-mount, aistack-helper (root), aistack-engine ($USER_ENGINE)"
    [ -z "${TEST_HOST_DOOR:-}" ] || start_front_door
}

# --- network guard -----------------------------------------------------------------------------

# The table that the policy of this test host asks for, under a name of its own and about no bridge and no user but those
# of its tenants: it touches no other test host, no other test and no aistack that is installed here.
guard_table() {
    local a b
    a=$(uid_of "$USER_A") b=$(uid_of "$USER_B")
    as_root "$TEST_HOST_DIR/bin/aistack-helper" guard render --policy "$TEST_HOST_DIR/policy.toml" 2>/dev/null |
        sed "s/^\(\(delete \)\{0,1\}table inet aistack\)\b/\1-$TEST_HOST/; s/\"ai-\*\"/{ \"ai-$a\", \"ai-$b\" }/
            s/skuid @metadata_uids accept/skuid != { $a, $b, $((a + 1000)), $((b + 1000)) } accept/"
}
guard_stands() { as_root nft list table inet "aistack-$TEST_HOST" >/dev/null 2>&1; }
test_host_guard() {
    if guard_table | as_root nft -f -; then
        say "network guard in force: table inet aistack-$TEST_HOST"
    else
        say "this kernel takes no network guard: who reaches whom is not tried"
    fi
}
# The first line makes it where there is none.
guard_down() {
    PATH="$PATH:/usr/sbin" command -v nft >/dev/null && guard_stands || return 0
    printf 'table inet aistack-%s\ndelete table inet aistack-%s\n' "$TEST_HOST" "$TEST_HOST" | as_root nft -f -
}

# --- the front door -------------------------------------------------------------------------------

# TEST_HOST_DOOR is the loopback address that visitors come to, on ports 80 and 443; without it there is no front door.
start_front_door() {
    as_root install -d -m 755 "$TEST_HOST_RUN/front"
    as_root install -d -m 700 "$TEST_HOST_RUN/front/haproxy"
    front_door render --write && daemon front-door /usr/sbin/haproxy -W -f "$TEST_HOST_RUN/front/haproxy.cfg"
    for _ in $(seq 100); do
        front_door status && return
        sleep 0.1
    done >/dev/null
    as_root tail -n 20 "$TEST_HOST_DIR/log/front-door.log" >&2
    die "HAProxy did not start; its log is $TEST_HOST_DIR/log/front-door.log"
}
front_door() { as_root "$TEST_HOST_DIR/bin/aistack-helper" ingress "$@" --policy "$TEST_HOST_DIR/policy.toml" --dir "$TEST_HOST_RUN/front"; }

# What DNS does elsewhere.
name_sites() { # SITE…
    local user site
    for user in "$USER_A" "$USER_B"; do
        for site in "$@"; do
            echo "$TEST_HOST_DOOR $site.tenant-$(uid_of "$user").example.test # test host $TEST_HOST"
        done
    done | as_root tee -a /etc/hosts >/dev/null
}
forget_sites() { as_root sed -i "/ # test host $TEST_HOST$/d" /etc/hosts; }

# As nobody in particular, who trusts no authority but the tenant's own.
visit() { # USER SITE PATH
    local uid root
    uid=$(uid_of "$1")
    root=$TEST_HOST_RUN/root-$uid.crt
    as_root install -m 644 "$(base_dir "$uid")/data/caddy/caddy/pki/authorities/local/root.crt" "$root"
    as_root setpriv --reuid 65534 --regid 65534 --clear-groups curl --silent --show-error --fail --max-time 20 \
        --output /dev/null --cacert "$root" "https://$2.tenant-$uid.example.test$3"
}

# n8n and Grafana of a tenant, as people see them before they sign in.
browse() { # USER
    local uid domain
    uid=$(uid_of "$1")
    domain=tenant-$uid.example.test
    visit "$1" n8n / || return 1 # which also copies the root of the tenant's authority
    # Where Grafana is the stand-in of tests/images it has no form, but refuses whoever has not signed in.
    tests/browser "$TEST_HOST_RUN/root-$uid.crt" "https://n8n.$domain/" '<input[^>]* type="password"' \
        "https://grafana.$domain/" '<input[^>]* name="password"|Unauthorized'
}

# --- tenants -----------------------------------------------------------------------------------

# Sets become to the words before a command that make it run as that user and nobody else: no groups, no new
# privileges, clean environment.
become_tenant() { # USER
    local uid
    uid=$(uid_of "$1")
    become=(setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all
        env -i -C "/home/$1" HOME="/home/$1" USER="$1" LANG=C.UTF-8 TERM="${TERM:-dumb}"
        PATH="$TEST_HOST_DIR/bin:/usr/local/bin:/usr/bin:/bin" DOCKER_HOST="unix://$ENGINE_SOCKET"
        AISTACK_HELPER_SOCKET="$HELPER_SOCKET" AISTACK_ENGINE_SOCKET="$ENGINE_SOCKET")
}

as_tenant() { # USER COMMAND…
    local become user=$1
    shift
    become_tenant "$user"
    as_root "${become[@]}" "$@"
}

# init and deploy, each line marked with the tenant.
tenant_up() {
    local user=$1 mark=$2
    { as_tenant "$user" aistack init --preset minimal --vector-db pgvector --no-input && as_tenant "$user" aistack deploy --yes --no-input; } 2>&1 |
        sed -u "s/^/[$mark] /"
    return "${PIPESTATUS[0]}"
}

# --- taking away -------------------------------------------------------------------------------

test_host_down() {
    local user uid name
    say "removing test host '$TEST_HOST': containers, networks, mounts, loop devices, users, files"
    for user in "$USER_A" "$USER_B"; do
        uid=$(uid_of "$user" 2>/dev/null) || continue
        docker_answers && remove_docker_objects "$uid"
    done
    forget_sites
    for name in front-door engine helper mount; do end_daemon "$name"; done
    for user in "$USER_A" "$USER_B"; do
        uid=$(uid_of "$user" 2>/dev/null) || continue
        as_root pkill -KILL -u "$uid" 2>/dev/null
        remove_volume "$uid"
        as_root userdel -r "$user" 2>/dev/null
        as_root groupdel "$user" 2>/dev/null
    done
    guard_down
    as_root pkill -KILL -u "$USER_ENGINE" 2>/dev/null
    as_root userdel "$USER_ENGINE" 2>/dev/null
    as_root rm -rf "$TEST_HOST_RUN" "$TEST_HOST_DIR"
}

remove_volume() {
    local base loop
    base=$(base_dir "$1")
    while mountpoint -q "$base"; do as_root umount "$base" || break; done
    loop=$(as_root losetup -nO NAME -j "$TEST_HOST_DIR/state/volumes/$1.img" 2>/dev/null)
    [ -n "$loop" ] && as_root losetup -d "$loop" 2>/dev/null
    [ -d "$base" ] && as_root rmdir "$base"
}

remove_docker_objects() {
    local owner="label=io.aistack.owner=$1" ids
    ids=$(host_docker ps -aq --filter "$owner")
    # shellcheck disable=SC2086 # as many as there are
    [ -n "$ids" ] && host_docker rm -f -v $ids >/dev/null
    ids=$(host_docker network ls -q --filter "$owner")
    # shellcheck disable=SC2086 # as many as there are
    [ -n "$ids" ] && host_docker network rm $ids >/dev/null
    return 0
}
