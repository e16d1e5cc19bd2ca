# The network guard: who reaches tenant A, what containers and users reach, and that it is there whenever it should be.
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

guard_says() { says "$1" "$2" aistack-helper guard status; }
whoami_says() { as "$USER_A" aistack whoami --json | python3 -c "import json, sys; sys.exit(json.load(sys.stdin)['guard']['state'] != '$1')"; }
# By the daemons' own units, sockets, sandboxes and AppArmor profiles.
everybody_sees_it() {
    systemctl is-active aistack-guard.service aistack-guard.path && guard_says 'is in force' 0 &&
        whoami_says in-force && says 'network guard +in force' 0 as "$USER_A" aistack whoami &&
        eventually 120 says 'ok +guard' 0 as "$USER_A" aistack doctor && ! as "$USER_A" aistack status | grep 'network guard'
}
vital guard-is-in-force-and-everybody-sees-it everybody_sees_it
hardened() {
    tell "$(systemd-analyze security --no-pager aistack-guard.service | tail -n 1)"
    # A path unit whose service is started too often for systemd's taste ends.
    [ "$(systemctl show -P StartLimitIntervalUSec aistack-guard aistack-guard-reload | xargs)" = "0 0" ]
}
step guard-units-are-hardened hardened

# Without it B finds what there is, or else the scan proves nothing.
# Fewer ports than elsewhere: the emulator takes some ms for each.
scan() { SCAN_PORTS="20-110 443" /payload/tests/demo/scan vm; }
LIMIT=600 step guard-scans-find-nothing-open scan
scan_without() {
    systemctl stop aistack-guard && ! nft list table inet aistack || return 1
    whoami_says none && guard_says 'not in force' 1 && eventually 120 says 'warning +guard' 0 as "$USER_A" aistack doctor || return 1
    says '127\.0\.0\.1:51[0-9]+' 0 setpriv --reuid 1002 --regid 1002 --clear-groups python3 /payload/tests/lib/scan 127.0.0.1 -- 5100-5199
}
there_again() { scan_without; local status=$?; systemctl start aistack-guard && whoami_says in-force && return $status; }
step guard-stopped-is-seen-and-the-scan-finds-what-is-there there_again

# The internet, a LAN and a cloud's metadata service, on the other end of a cable.
ip netns add outside && ip link add out0 type veth peer name eth0 netns outside && ip address add 192.168.77.1/24 dev out0 &&
    ip link set out0 up && ip -n outside link set lo up && ip -n outside address add 192.168.77.2/24 dev eth0 &&
    ip -n outside link set eth0 up && ip -n outside address add 203.0.113.5/32 dev lo && ip -n outside address add 169.254.169.254/32 dev lo &&
    ip route add 203.0.113.0/24 via 192.168.77.2 && ip route add 169.254.169.254/32 via 192.168.77.2 &&
    systemd-run -q --unit outside ip netns exec outside python3 -m http.server 80
systemd-run -q --unit hosts-own python3 -m http.server 7777

# open|closed ADDRESS PORT COMMAND…: whether the command's python connects there.
reaches() {
    local expected=$1 to=$2 port=$3 found
    shift 3
    found=$("$@" python3 /payload/tests/lib/scan "$to" -- "$port" 2>/dev/null) || { echo "no scan: $*"; return 1; }
    [ "$([ -n "$found" ] && echo open || echo closed)" = "$expected" ] || { echo "$to:$port is not $expected for: $*"; return 1; }
}
container() { nsenter -t "$(docker inspect -f '{{.State.Pid}}' "tenant-1001-redis")" -n "$@"; }
by() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
# egress PRIVATE PUBLIC: from A's container; what no word of egress opens, too.
egress() {
    reaches "$1" 192.168.77.2 80 container && reaches "$2" 203.0.113.5 80 container && reaches closed 169.254.169.254 80 container &&
        reaches closed 10.128.0.1 7777 container && reaches closed 192.168.77.1 7777 container
}
outside_is_there() { eventually 30 reaches open 192.168.77.2 80 env && eventually 30 reaches open 10.128.0.1 7777 env && reaches open 169.254.169.254 80 env; }
vital guard-outside-is-there outside_is_there
step guard-containers-reach-the-internet-and-no-private-network egress closed open
users_metadata() { reaches closed 169.254.169.254 80 by 1001 && reaches closed 169.254.169.254 80 by 54321 && reaches open 203.0.113.5 80 by 1001; }
step guard-users-reach-no-metadata-address users_metadata
policy_line() { sed "s/^apparmor /$1\n&/" /payload/guest/policy.toml >/etc/aistack/policy.toml; }
# with_egress WORD PRIVATE PUBLIC: the guard follows a changed policy without anybody's command; the daemons have nothing to
# do with it, and find the old policy again at the end.
with_egress() {
    local status
    policy_line "egress = $1" && eventually 60 guard_says 'is in force' 0 && egress "$2" "$3"
    status=$?
    cp /payload/guest/policy.toml /etc/aistack/policy.toml && eventually 60 guard_says 'is in force' 0 && return $status
}
# with_policy_line LINE COMMAND…: a changed policy is in force for all.
with_policy_line() {
    local line=$1 status
    shift
    policy_line "$line"
    eventually 60 guard_says 'is in force' 0 && systemctl try-reload-or-restart aistack-helper aistack-engine && eventually 30 whoami_says in-force && "$@"
    status=$?
    cp /payload/guest/policy.toml /etc/aistack/policy.toml && systemctl try-reload-or-restart aistack-helper aistack-engine &&
        eventually 60 guard_says 'is in force' 0 && eventually 30 whoami_says in-force && return $status
}
step guard-egress-none with_egress '"none"' closed closed
step guard-egress-all with_egress '"all"' open open
step guard-egress-list with_egress '["192.168.77.0\/24"]' open closed

# Removed by somebody: reported, not started where the policy requires it, and right again with the next reload.
removed() {
    nft delete table inet aistack
    guard_says 'no table inet aistack' 1 && whoami_says none && says 'network guard: not in force' 3 as "$USER_A" aistack status &&
        refused 'network guard' as "$USER_A" docker restart -t 20 tenant-1001-redis &&
        [ "$(docker inspect -f '{{.State.Running}}' tenant-1001-redis)" = true ] || return 1
    systemctl reload aistack-guard && whoami_says in-force && as "$USER_A" docker restart -t 20 tenant-1001-redis
}
step guard-removed-is-reported-and-comes-back with_policy_line 'guard = "required"' removed
edited() {
    nft insert rule inet aistack output accept && guard_says 'was modified' 1 && systemctl reload aistack-guard && guard_says 'is in force' 0
}
step guard-edited-is-reported-and-comes-back edited
# Docker's own rules go with a flush, and come back with Docker. nftables.service of Debian begins with one.
flushed() {
    nft flush ruleset && guard_says 'no table inet aistack' 1 && whoami_says none && systemctl reload aistack-guard && guard_says 'is in force' 0
}
step guard-flushed-is-reported-and-comes-back flushed
nftables_restarted() {
    nft list table inet aistack >/dev/null && systemctl start nftables.service && systemctl restart nftables.service &&
        eventually 30 guard_says 'is in force' 0 && whoami_says in-force; local status=$?
    systemctl stop nftables.service
    eventually 30 systemctl start aistack-guard && return $status
}
step guard-comes-back-after-nftables-flushed-everything nftables_restarted

# With the drop-in of docs/admin.md Docker does not start where the guard cannot be applied, and applies it where it can.
docker_restarted() {
    local running drop_in=/run/systemd/system/docker.service.d/aistack-guard.conf
    running=$(docker ps --format '{{.Names}}' | sort)
    mkdir -p "$(dirname $drop_in)"
    printf '[Service]\nExecStartPre=/usr/sbin/aistack-helper guard apply\n' >$drop_in
    nft delete table inet aistack && chmod a-x /usr/sbin/nft && systemctl daemon-reload && ! systemctl restart docker
    local refused=$?
    chmod a+x /usr/sbin/nft
    # Its own restart may come first.
    systemctl reset-failed docker
    systemctl start docker || return 1
    guard_says 'is in force' 0 && [ $refused -eq 0 ] || return 1
    rm $drop_in && systemctl daemon-reload
    eventually 180 eval '[ "$running" = "$(docker ps --filter health=healthy --format "{{.Names}}" | sort)" ]' || return 1
    # The whole scan was made above; these are new containers.
    guard_says 'is in force' 0 && whoami_says in-force && reaches open "$(address)" 6379 by 1001 && reaches closed "$(address)" 6379 by 1002
}
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' tenant-1001-redis; }
LIMIT=900 step guard-lets-docker-restart-and-is-there-afterwards docker_restarted

# What the daemons do to ask the kernel is in their AppArmor profiles; these complain only.
no_complaints() {
    ! dmesg | grep -E 'apparmor="(ALLOWED|DENIED)".*profile="aistack-' | grep -E 'network|socket|sendmsg|family='
}
step guard-is-queried-within-the-profiles no_complaints
gone() { systemctl stop outside hosts-own && ip netns delete outside; }
step guard-outside-is-gone gone
