# A world is one set of daemons with a policy of its own and two tenants. The demo is one world, the
# journey test another; each has its own users, sockets, ports, networks and files, so that they can
# stand side by side. Sourced after host.sh, with WORLD set.

WORLD_DIR=/opt/aistack-$WORLD            # binaries, policy, state, audit, daemon logs
WORLD_RUN=/run/aistack-$WORLD            # sockets
USER_A=aistack-$WORLD-a
USER_B=aistack-$WORLD-b
USER_ENGINE=aistack-$WORLD-engine        # the unprivileged user of the gateway, in group docker
BASE_TEMPLATE="/mnt/aistack-$WORLD-{uid}"

HELPER_SOCKET=$WORLD_RUN/helper.sock
ENGINE_SOCKET=$WORLD_RUN/engine/engine.sock
MOUNT_SOCKET=$WORLD_RUN/mount.sock

base_dir() { echo "${BASE_TEMPLATE/\{uid\}/$1}"; }
uid_of() { id -u "$1"; }

# --- making ------------------------------------------------------------------------------------

# For tests: a second run with the same world would take the first one's away, so it is turned back.
# The lock is descriptor 9, which nothing that outlives the run may inherit.
lock_world() {
    local file=/run/lock/aistack-world-$WORLD
    as_root touch "$file" && exec 9<"$file" || die "cannot open $file"
    flock -n 9 || die "another run has world '$WORLD' (its lock is $file); let it end first"
}

# What is missing on this host, and a Docker Engine; world_down stops the one that this starts.
world_host() { tests/prerequisites && as_root mkdir -p "$WORLD_DIR" && start_docker "$WORLD_DIR/started-docker"; }

world_install() {
    local from=$1
    as_root mkdir -p "$WORLD_DIR"/{bin,state,audit,engine-audit,engine-state,log} "$WORLD_RUN"
    as_root chmod 755 "$WORLD_DIR" "$WORLD_DIR/bin" "$WORLD_RUN"
    as_root chmod 700 "$WORLD_DIR/state" "$WORLD_DIR/audit" "$WORLD_DIR/engine-audit" "$WORLD_DIR/engine-state"
    as_root install -m 755 "$from"/{aistack,aistack-helper,aistack-mount,aistack-engine} "$WORLD_DIR/bin/"
}

# Two users next to each other whose UIDs, and the service UIDs 1000 above, nobody has.
world_users() {
    # Two worlds that are made at once must not find the same numbers free.
    local uid lock=/run/lock/aistack-world-users
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
    as_root chown "$USER_ENGINE" "$WORLD_DIR/engine-audit" "$WORLD_DIR/engine-state"
    local user
    for user in "$USER_A" "$USER_B"; do tenant_profile | as_root tee "/home/$user/.profile" >/dev/null; done
}

# So that `su - USER` is ready for `aistack` and `docker`.
tenant_profile() {
    cat <<PROFILE
export PATH="$WORLD_DIR/bin:/usr/local/bin:/usr/bin:/bin"
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

# WORLD_LIMITS and WORLD_SIZE say what a tenant may use and how large its volume is.
world_policy() {
    local first_port=$1 pool=$2 limits=${WORLD_LIMITS:-} ingress=""
    [ -z "${WORLD_DOOR:-}" ] || ingress="[ingress]
enabled      = true
addresses    = [\"$WORLD_DOOR\"]
"
    [ -n "$limits" ] || limits='{ memory = "12G", cpus = 8, pids = 8192, containers = 40 }'
    [ -e "$WORLD_DIR/policy.toml" ] && return
    say "writing $WORLD_DIR/policy.toml"
    as_root tee "$WORLD_DIR/policy.toml" >/dev/null <<POLICY
version = 1
$ingress
[tenants]
uids         = ["$(uid_of "$USER_A")-$(uid_of "$USER_B")"]
base_dir     = "$BASE_TEMPLATE"
domain       = "tenant-{uid}.example.test"
network      = { name = "aistack-$WORLD-{uid}", pool = "$pool", prefix = 26 }
ports        = { first = $(free_port_block "$first_port"), per_tenant = 100 }
service_uids = { offset = 1000, count = 1 }
volume       = { kind = "loop", fs = "ext4", format = "if-blank", size = "${WORLD_SIZE:-8G}" }
apparmor     = "if-available"
capabilities = ["NET_BIND_SERVICE"]
$(sed -n '/^images = \[/,/^]/p' packaging/policy.example.toml)
# Loaded by the tests for everybody, and pulled by nobody. What has no registry is named, as an admin would.
$(sed -n '/^images = \[/,/^]/{s/^images = /local_images = /; s#"docker.io/library/\*"#"docker.io/library/redis", "docker.io/library/postgres", "docker.io/library/caddy"#; p}' packaging/policy.example.toml)
limits       = $limits
POLICY
    as_root chgrp "$(id -g "$USER_ENGINE")" "$WORLD_DIR/policy.toml"
    as_root chmod 640 "$WORLD_DIR/policy.toml"
}

# --- daemons -----------------------------------------------------------------------------------

# daemon NAME COMMAND…: runs it in the background as root, its PID in log/NAME.pid.
daemon() {
    local name=$1
    shift
    as_root sh -c 'name=$1; dir=$2; shift 2; setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null & echo $! >"$dir/log/$name.pid"' \
        sh "$name" "$WORLD_DIR" "$@" 9<&-
}

daemon_pid() { as_root cat "$WORLD_DIR/log/$1.pid" 2>/dev/null; }
daemon_runs() {
    local pid
    # A killed process that nobody has reaped yet still takes signals, so its state is asked.
    pid=$(daemon_pid "$1") && [ -n "$pid" ] && grep -qsE '^State:[[:space:]]+[RSDTtI]' "/proc/$pid/status"
}

start_mount() { daemon mount "$WORLD_DIR/bin/aistack-mount" serve --socket "$MOUNT_SOCKET"; }
start_helper() {
    daemon helper "$WORLD_DIR/bin/aistack-helper" serve --policy "$WORLD_DIR/policy.toml" \
        --socket "$HELPER_SOCKET" --state-dir "$WORLD_DIR/state" --audit-dir "$WORLD_DIR/audit" \
        --docker-socket "$DOCKER_SOCKET" --mount-socket "$MOUNT_SOCKET"
}
# The gateway is not root: it has the Docker socket through its group and no capability.
# Its socket is made in a directory of its own user, which only root could have made.
start_engine() {
    as_root install -d -m 755 -o "$USER_ENGINE" "$WORLD_RUN/engine"
    daemon engine setpriv --reuid "$USER_ENGINE" --regid "$(id -g "$USER_ENGINE")" --init-groups \
        --bounding-set=-all --inh-caps=-all --no-new-privs \
        "$WORLD_DIR/bin/aistack-engine" serve --policy "$WORLD_DIR/policy.toml" \
        --socket "$ENGINE_SOCKET" --docker-socket "$DOCKER_SOCKET" --audit-dir "$WORLD_DIR/engine-audit" \
        --state-dir "$WORLD_DIR/engine-state"
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
    as_root tail -n 20 "$WORLD_DIR/log/$name.log" >&2
    die "aistack-$name did not start; its log is $WORLD_DIR/log/$name.log"
}

world_daemons() {
    local name
    for name in mount helper engine; do start_daemon $name; done
    say "daemons run: aistack-mount, aistack-helper (root), aistack-engine ($USER_ENGINE)"
    [ -z "${WORLD_DOOR:-}" ] || start_front_door
}

# --- network guard -----------------------------------------------------------------------------

# The table that the policy of this world asks for, under a name of the world's own and about no bridge and no user but
# those of its tenants: other worlds, other tests and an aistack that is installed here are none of its business.
guard_table() {
    local a b
    a=$(uid_of "$USER_A") b=$(uid_of "$USER_B")
    as_root "$WORLD_DIR/bin/aistack-helper" guard render --policy "$WORLD_DIR/policy.toml" 2>/dev/null |
        sed "s/^\(\(delete \)\{0,1\}table inet aistack\)\b/\1-$WORLD/; s/\"ai-\*\"/{ \"ai-$a\", \"ai-$b\" }/
            s/skuid @metadata_uids accept/skuid != { $a, $b, $((a + 1000)), $((b + 1000)) } accept/"
}
guard_stands() { as_root nft list table inet "aistack-$WORLD" >/dev/null 2>&1; }
world_guard() {
    if guard_table | as_root nft -f -; then
        say "network guard in force: table inet aistack-$WORLD"
    else
        say "this kernel takes no network guard: who reaches whom is not tried"
    fi
}
# The first line makes it where there is none.
guard_down() {
    PATH="$PATH:/usr/sbin" command -v nft >/dev/null && guard_stands || return 0
    printf 'table inet aistack-%s\ndelete table inet aistack-%s\n' "$WORLD" "$WORLD" | as_root nft -f -
}

# --- the front door -------------------------------------------------------------------------------

# WORLD_DOOR is the loopback address that visitors come to, on ports 80 and 443; without it there is no front door.
start_front_door() {
    as_root install -d -m 755 "$WORLD_RUN/front"
    as_root install -d -m 700 "$WORLD_RUN/front/haproxy"
    front_door render --write && daemon front-door /usr/sbin/haproxy -W -f "$WORLD_RUN/front/haproxy.cfg"
    for _ in $(seq 100); do
        front_door status && return
        sleep 0.1
    done >/dev/null
    as_root tail -n 20 "$WORLD_DIR/log/front-door.log" >&2
    die "HAProxy did not start; its log is $WORLD_DIR/log/front-door.log"
}
front_door() { as_root "$WORLD_DIR/bin/aistack-helper" ingress "$@" --policy "$WORLD_DIR/policy.toml" --dir "$WORLD_RUN/front"; }

# What DNS does elsewhere.
name_sites() { # SITE…
    local user site
    for user in "$USER_A" "$USER_B"; do
        for site in "$@"; do
            echo "$WORLD_DOOR $site.tenant-$(uid_of "$user").example.test # world $WORLD"
        done
    done | as_root tee -a /etc/hosts >/dev/null
}
forget_sites() { as_root sed -i "/ # world $WORLD$/d" /etc/hosts; }

# As nobody in particular, who trusts no authority but the tenant's own.
visit() { # USER SITE PATH
    local uid root
    uid=$(uid_of "$1")
    root=$WORLD_RUN/root-$uid.crt
    as_root install -m 644 "$(base_dir "$uid")/data/caddy/caddy/pki/authorities/local/root.crt" "$root"
    as_root setpriv --reuid 65534 --regid 65534 --clear-groups curl --silent --show-error --fail --max-time 20 \
        --output /dev/null --cacert "$root" "https://$2.tenant-$uid.example.test$3"
}

# --- tenants -----------------------------------------------------------------------------------

# Sets become to the words before a command that make it run as that user and nobody else: no groups, no new
# privileges, clean environment.
become_tenant() { # USER
    local uid
    uid=$(uid_of "$1")
    become=(setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all
        env -i -C "/home/$1" HOME="/home/$1" USER="$1" LANG=C.UTF-8 TERM="${TERM:-dumb}"
        PATH="$WORLD_DIR/bin:/usr/local/bin:/usr/bin:/bin" DOCKER_HOST="unix://$ENGINE_SOCKET"
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

world_down() {
    local user uid name pid
    say "removing world '$WORLD': containers, networks, mounts, loop devices, users, files"
    for user in "$USER_A" "$USER_B"; do
        uid=$(uid_of "$user" 2>/dev/null) || continue
        docker_answers && remove_docker_objects "$uid"
    done
    forget_sites
    for name in front-door engine helper mount; do
        pid=$(daemon_pid "$name") && [ -n "$pid" ] && as_root kill "$pid" 2>/dev/null
    done
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
    as_root rm -rf "$WORLD_RUN" "$WORLD_DIR"
}

remove_volume() {
    local base loop
    base=$(base_dir "$1")
    while mountpoint -q "$base"; do as_root umount "$base" || break; done
    loop=$(as_root losetup -nO NAME -j "$WORLD_DIR/state/volumes/$1.img" 2>/dev/null)
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
