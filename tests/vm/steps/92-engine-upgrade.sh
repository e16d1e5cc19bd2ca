# The engine goes from Debian's package to Docker's, over several years of versions, beneath running stacks: what
# happens to most hosts some day. Nobody logs in and nobody runs a command of aistack's before all is back.
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

containers() { docker ps -a --no-trunc --format '{{.ID}} {{.Names}}' --filter label=io.aistack.owner | sort; }

upgraded() {
    local api
    containers >"$progress/containers-before"
    DEBIAN_FRONTEND=noninteractive apt-get install -y /payload/engine/*.deb || return 1
    # What Debian's engine was is gone; the gateway was not stopped for it.
    ! dpkg-query -f '${Status}\n' -W docker.io 2>/dev/null | grep -q '^install ok' &&
        systemctl is-active docker.service containerd.service aistack-engine.socket || return 1
    api=$(docker version --format '{{.Server.APIVersion}}')
    tell "$(docker version --format 'Docker {{.Server.Version}}'), API $api, $(docker info --format '{{.Driver}}')"
    [ "$(printf '1.56\n%s\n' "$api" | sort -V | head -n 1)" = 1.56 ]
}
LIMIT=400 vital the-current-engine-takes-over-from-debians upgraded

same_containers() {
    diff "$progress/containers-before" <(containers) || return 1
    eventually 240 sh -c "[ \"\$(docker ps -q --filter health=healthy --filter label=io.aistack.owner | wc -l)\" = $(wc -l <"$progress/containers-before") ]"
}
LIMIT=300 step the-same-containers-are-healthy-on-the-current-engine same_containers

# As 20, 25 and 81 found them on Debian's engine: no root, no rights, seccomp, both profiles, the tenant's volume.
confined() {
    local uid id pid status
    for uid in 1001 1002; do
        for id in $(docker ps -q --filter "label=io.aistack.owner=$uid"); do
            pid=$(docker inspect -f '{{.State.Pid}}' "$id")
            status=$(cat "/proc/$pid/status")
            grep -qP "^Uid:\t$uid\t$uid\t$uid\t$uid$" <<<"$status" && grep -qP '^CapEff:\t0{16}$' <<<"$status" &&
                grep -qP '^NoNewPrivs:\t1$' <<<"$status" && grep -qP '^Seccomp:\t2$' <<<"$status" &&
                [ "$(cat "/proc/$pid/attr/apparmor/current")" = "$(label $uid) (enforce)" ] ||
                { echo "$id: $(cat "/proc/$pid/attr/apparmor/current") $status"; return 1; }
        done
        [ "$(docker exec "tenant-$uid-redis" stat -fc %T /data)" = ext2/ext3 ] || return 1
    done
}
step containers-are-confined-on-the-current-engine confined
guarded() { systemctl is-active aistack-guard && says 'is in force' 0 aistack-helper guard status; }
step guard-is-in-force-on-the-current-engine guarded

# The gateway finds out by itself what the new engine speaks.
tenants_work() {
    eventually 60 as "$USER_A" docker version && as "$USER_A" aistack status &&
        says "nothing to do" 0 as "$USER_A" aistack deploy --yes --no-input "${STACK_A[@]}" &&
        as "$USER_A" docker restart -t 20 tenant-1001-redis && confined
}
LIMIT=400 step tenants-work-on-the-current-engine tenants_work
