# Every container runs under its tenant's profiles, and the kernel says so.
. /payload/guest/steps.sh

# Every process in every container of the tenants, as the kernel names its confinement.
confined() {
    local uid id pid found=0
    for uid in 1001 1002; do
        for id in $(docker ps -q --filter "label=io.aistack.owner=$uid"); do
            [ "$(docker inspect -f '{{.AppArmorProfile}}' "$id")" = "$(label $uid)" ] ||
                { docker inspect -f 'Docker says {{.Name}} {{.AppArmorProfile}}' "$id"; return 1; }
            for pid in $(docker top "$id" -eo pid | tail -n +2); do
                [ "$(cat "/proc/$pid/attr/apparmor/current")" = "$(label $uid) (enforce)" ] ||
                    { echo "the kernel says $(cat "/proc/$pid/attr/apparmor/current")"; return 1; }
                found=$((found + 1))
            done
        done
    done
    tell "$found processes, all of them confined by their tenant's own stack"
    [ $found -ge 4 ]
}
step containers-are-confined-in-enforce-mode confined

profiles_are_loaded() {
    local uid name
    for uid in 1001 1002; do
        for name in ai-base-$uid ai-platform-$uid; do
            grep -qxF "$name (enforce)" /sys/kernel/security/apparmor/profiles || { echo "$name is not loaded"; return 1; }
            [ "$(stat -c '%U %a' "/etc/apparmor.d/$name")" = 'root 644' ] && [ -s "/run/aistack/apparmor/$name" ] ||
                { ls -l "/etc/apparmor.d/$name" "/run/aistack/apparmor/"; return 1; }
        done
    done
}
step profiles-are-loaded-kept-and-published profiles_are_loaded

# What is refused inside and is allowed inside, in the running service itself.
inside() { docker exec "tenant-1001-redis" sh -c "$1"; }
walls() {
    inside 'id; cat /etc/hostname; echo x >/data/probe && rm /data/probe' || return 1
    refused 'denied' inside 'echo 1 >/proc/sys/kernel/domainname' &&
        refused 'denied' inside 'cat /proc/kcore' &&
        refused 'denied' inside 'cat /sys/kernel/security/apparmor/profiles' &&
        refused 'denied|read-only|Read-only' inside 'echo x >/proc/self/attr/apparmor/exec'
}
step confined-processes-work-and-are-walled-in walls

# The administrator can always end and reach what is confined.
reachable() {
    local pid
    docker exec tenant-1002-redis true && docker kill -s USR2 tenant-1002-redis || true
    docker restart -t 20 tenant-1002-redis && eventually 60 sh -c \
        '[ "$(docker inspect -f "{{.State.Health.Status}}" tenant-1002-redis)" = healthy ]' || return 1
    pid=$(docker inspect -f '{{.State.Pid}}' tenant-1002-redis)
    [ "$(cat "/proc/$pid/attr/apparmor/current")" = "$(label 1002) (enforce)" ]
}
step confined-containers-can-be-stopped-and-restarted reachable
