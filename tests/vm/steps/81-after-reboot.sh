# Nobody logs in and nobody runs a command: everything is back by itself.
. /payload/guest/steps.sh
needs containers-run-before-the-reboot

mounted() { mountpoint "$(base_dir 1001)" && mountpoint "$(base_dir 1002)"; }
step volumes-are-back eventually 60 mounted
running() { diff "$progress/running-before" <(docker ps --format '{{.Names}}' | sort); }
step containers-are-back eventually 120 running
all_healthy() { [ "$(docker ps --filter health=healthy -q | wc -l)" = "$(wc -l <"$progress/running-before")" ]; }
step containers-are-healthy-again eventually 180 all_healthy

# A container that is started before its volume is there would write into the empty directory beneath.
on_the_volume() {
    local uid
    for uid in 1001 1002; do
        [ "$(docker exec "tenant-$uid-redis" stat -fc %T /data)" = ext2/ext3 ] &&
            [ "$(stat -c %d "$(base_dir $uid)/data/redis")" = "$(nsenter -t "$(docker inspect -f '{{.State.Pid}}' "tenant-$uid-redis")" -m stat -c %d /data)" ] || return 1
    done
}
step containers-write-to-their-volumes on_the_volume

failed_units() {
    local said
    said=$(systemctl list-units --failed --no-legend) && echo "$said" && [ -z "$said" ]
}
step no-unit-failed failed_units

# The mount of every volume came before the first container's start.
order() {
    local container docker_at mount_at
    docker_at=$(systemctl show -P ExecMainStartTimestampMonotonic docker.service)
    mount_at=$(systemctl show -P ExecMainExitTimestampMonotonic aistack-boot.service)
    tell "aistack-boot ended $((mount_at / 1000)) ms after the kernel began, Docker started at $((docker_at / 1000)) ms"
    [ "$mount_at" -gt 0 ] && [ "$mount_at" -lt "$docker_at" ]
}
step volumes-are-mounted-before-docker-starts order

still_confined() {
    local uid pid
    for uid in 1001 1002; do
        pid=$(docker inspect -f '{{.State.Pid}}' tenant-$uid-redis)
        [ "$(cat "/proc/$pid/attr/apparmor/current")" = "$(label $uid) (enforce)" ] || { cat "/proc/$pid/attr/apparmor/current"; return 1; }
    done
}
step containers-are-confined-after-the-reboot still_confined

guarded() {
    local docker_at guard_at
    docker_at=$(systemctl show -P ExecMainStartTimestampMonotonic docker.service)
    guard_at=$(systemctl show -P ExecMainExitTimestampMonotonic aistack-guard.service)
    says 'is in force' 0 aistack-helper guard status && says 'network guard +in force' 0 as "$USER_A" aistack whoami &&
        [ "$guard_at" -gt 0 ] && [ "$guard_at" -lt "$docker_at" ]
}
step guard-is-in-force-before-docker-starts guarded
