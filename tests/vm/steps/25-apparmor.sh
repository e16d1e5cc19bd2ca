# AppArmor: what the deploys of 20 have loaded, and what both profiles allow and deny inside containers.
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

loaded=/sys/kernel/security/apparmor/profiles
names_of() { echo "ai-base-$1 ai-platform-$1 ai-platform-openclaw-$(($1 + 1000))"; }
label_of() { cat "/proc/$(docker inspect -f '{{.State.Pid}}' "$1")/attr/apparmor/current"; }

profiles_are_everywhere() {
    local uid name
    for uid in 1001 1002; do
        for name in $(names_of $uid); do
            grep -qx "$name (enforce)" $loaded && [ "$(stat -c '%u %a' "/etc/apparmor.d/$name")" = "0 644" ] &&
                grep -qE '^[0-9a-f]{64}$' "/run/aistack/apparmor/$name" || { echo "$name"; return 1; }
        done
    done
    as "$USER_A" aistack whoami | grep -i apparmor
}
step apparmor-profiles-are-loaded-stored-and-published profiles_are_everywhere

containers_are_stacked() {
    local uid id
    for uid in 1001 1002; do
        for id in $(docker ps -q --filter "label=io.aistack.owner=$uid"); do
            [ "$(label_of "$id")" = "ai-base-$uid//&ai-platform-$uid (enforce)" ] || { label_of "$id"; return 1; }
        done
    done
}
step apparmor-containers-carry-the-stacked-label containers_are_stacked

# Docker's everyday work on a stacked container, through the gateway and as root.
everyday() {
    local redis=tenant-1001-redis
    as "$USER_A" docker exec $redis sh -c 'sleep 100 & kill -TERM $!; wait $!; [ $? = 143 ] && kill -0 1 && cat /proc/1/environ >/dev/null' || return 1
    as "$USER_A" docker top $redis && as "$USER_A" docker stop -t 20 $redis || return 1
    [ "$(docker inspect -f '{{.State.ExitCode}}' $redis)" = 0 ] || { echo "redis was killed"; return 1; }
    as "$USER_A" docker start $redis && as "$USER_A" docker restart -t 20 $redis || return 1
    docker pause $redis && docker unpause $redis && docker kill $redis && docker start $redis || return 1
    containers_are_stacked
}
step apparmor-exec-stop-start-and-signals-work everyday

# A container of root's with every right that Docker can give, so that AppArmor alone refuses: the guest's
# Python over an empty image. ATTEMPT… -> one line each.
attempts() {
    local label=$1
    shift
    docker image inspect skeleton >/dev/null 2>&1 || {
        mkdir -p /tmp/skeleton/{usr,etc,tmp,home,root,app/data,opt,mnt,var/tmp,run}
        ln -sfn usr/bin /tmp/skeleton/bin && ln -sfn usr/lib /tmp/skeleton/lib
        ln -sfn usr/lib64 /tmp/skeleton/lib64 && ln -sfn usr/sbin /tmp/skeleton/sbin
        tar -C /tmp/skeleton -cf - . | docker import - skeleton >/dev/null
    } || return 1
    mkdir -p /tmp/others/{mine,foreign}
    docker run --rm --cap-add ALL --security-opt seccomp=unconfined --security-opt systempaths=unconfined \
        --security-opt "apparmor=$label" -v /usr:/usr:ro -v /payload/guest/attempts.py:/attempts.py:ro \
        -v /tmp/others/mine:/mnt/data-tenant-1001 -v /tmp/others/foreign:/mnt/data-tenant-1002 \
        -v /tmp/others/foreign:/mnt/data-tenant-100 -v /tmp/others/foreign:/mnt/data-tenant-10010 \
        skeleton /usr/bin/python3 /attempts.py "$@"
}

# Denied by the base, whatever the tenant's profile says.
denied="mount:/mnt EACCES
bind:/mnt EACCES
umount:/dev/shm EPERM
pivot:/mnt EPERM
trace EACCES
write:/proc/sys/kernel/domainname=x EACCES
wopen:/proc/sys/kernel/core_pattern EACCES
wopen:/proc/sysrq-trigger EACCES
wopen:/proc/sys/vm/drop_caches EACCES
read:/proc/kcore EACCES
read:/proc/kallsyms EACCES
wopen:/proc/1/mem EACCES
write:/proc/self/attr/apparmor/current=changeprofile_unconfined EACCES
write:/proc/self/attr/apparmor/exec=exec_docker-default EACCES
write:/proc/self/attr/current=stack_docker-default EACCES
socket:38,5,0 EACCES
socket:17,3,0 EACCES
socket:2,3,1 EACCES
socket:40,1,0 EACCES
mknod:/tmp/null EPERM
unshare EPERM
userns EACCES
chroot:/ EPERM
module EPERM
hostname:x EPERM
list:/mnt/data-tenant-1002 EACCES
list:/mnt/data-tenant-100 EACCES
make:/mnt/data-tenant-10010/x EACCES"
# Allowed by both profiles.
allowed="socket:2,1,0 OK
socket:2,2,0 OK
socket:10,1,0 OK
socket:16,3,0 OK
socket:1,1,0 OK
signals OK
run:/bin/true OK
make:/tmp/x OK
read:/etc/hostname OK
make:/dev/shm/x OK"
platform="$denied
$allowed
list:/mnt/data-tenant-1001 OK
make:/home/x OK
make:/etc/x OK
run-copy:/tmp/copy OK"
openclaw="$denied
$allowed
make:/app/data/x OK
make:/home/x EACCES
make:/root/x EACCES
make:/etc/x EACCES
make:/var/tmp/x EACCES
make:/usr/local/x EROFS
make:/mnt/data-tenant-1001/x EACCES
run-copy:/tmp/copy EACCES
run-copy:/app/data/copy EACCES
run-copy:/dev/shm/copy EACCES"

# table LABEL TABLE: every line of the table is what happens.
table() {
    # shellcheck disable=SC2001 # at the end of each line
    mapfile -t names < <(sed 's/ [A-Z]*$//' <<<"$2")
    diff <(echo "$2") <(attempts "$1" "${names[@]}")
}
step apparmor-services-table table "ai-base-1001//&ai-platform-1001" "$platform"
step apparmor-openclaw-table table "ai-base-1001//&ai-platform-openclaw-2001" "$openclaw"
# The attempts themselves work where nothing confines them: what is denied above is AppArmor's doing.
unconfined_can() {
    local said
    # Before the mounts, which hide it.
    said=$(attempts unconfined list:/mnt/data-tenant-1002 read:/proc/kcore wopen:/proc/1/mem trace socket:38,5,0 socket:17,3,0 \
        socket:2,3,1 mknod:/tmp/null unshare userns chroot:/ run-copy:/tmp/copy umount:/dev/shm mount:/mnt) || return 1
    echo "$said"
    [ -n "$said" ] && ! grep -v ' OK$' <<<"$said"
}
step apparmor-attempts-work-unconfined unconfined_can

# As if the vetter had every hole: a tenant's part that allows it all.
evil_part() {
    apparmor_parser -j0 -K -r <<'EVIL' || return 1
abi <abi/4.0>,
profile ai-platform-1001 flags=(attach_disconnected,mediate_deleted) {
  file,
  mount,
  umount,
  remount,
  pivot_root,
  capability,
  network,
  signal,
  ptrace,
  change_profile,
  userns,
  unix,
  mqueue,
}
EVIL
    table "ai-base-1001//&ai-platform-1001" "$denied" || return 1
    # The part alone is as evil as it looks.
    [ "$(attempts ai-platform-1001 mount:/mnt)" = "mount:/mnt OK" ] || return 1
    apparmor_parser -j0 -K -r </etc/apparmor.d/ai-platform-1001
}
step apparmor-an-evil-part-loosens-nothing evil_part

source=$(base_dir 1001)/apparmor/ai-platform-1001
kernel_lines() { sort $loaded; }
# with_line LINE COMMAND…: the command while the tenant's source has one more rule, then the source as it was.
with_line() {
    local line=$1 status
    shift
    cp -p "$source" /tmp/source && sed -i "\$s/^}/  $line\n}/" "$source" || return 1
    "$@"
    status=$?
    cp -p /tmp/source "$source"
    return $status
}

refuse_mount() {
    local before files
    before=$(kernel_lines)
    files=$(sha256sum /etc/apparmor.d/ai-*)
    with_line "mount," refused "E_RULE" as "$USER_A" aistack apparmor load || return 1
    with_line "capability sys_admin," refused "E_CAP" as "$USER_A" aistack apparmor load || return 1
    with_line 'include "\/etc\/shadow"' refused "E_" as "$USER_A" aistack apparmor load || return 1
    [ "$before" = "$(kernel_lines)" ] && [ "$files" = "$(sha256sum /etc/apparmor.d/ai-*)" ]
}
step apparmor-refused-lines-change-nothing refuse_mount

narrow() {
    local pid
    pid=$(docker inspect -f '{{.State.Pid}}' tenant-1001-redis)
    docker exec tenant-1001-redis cat /etc/hostname || return 1
    as "$USER_A" aistack apparmor load || return 1
    refused "Permission denied" as "$USER_A" docker exec tenant-1001-redis cat /etc/hostname || return 1
    docker exec tenant-1002-redis cat /etc/hostname || { echo "the other tenant was narrowed"; return 1; }
    [ "$pid" = "$(docker inspect -f '{{.State.Pid}}' tenant-1001-redis)" ]
}
narrow_and_back() {
    with_line 'deny \/etc\/hostname r,' narrow && as "$USER_A" aistack apparmor load &&
        as "$USER_A" docker exec tenant-1001-redis cat /etc/hostname && containers_are_stacked
}
step apparmor-a-tenant-narrows-its-running-containers narrow_and_back

# In complain mode nothing is enforced: the gateway must not let such a container run.
complain() {
    apparmor_parser -j0 -K -C -r </etc/apparmor.d/ai-platform-1001 || return 1
    refused "did not come under its AppArmor profile" as "$USER_A" docker restart -t 20 tenant-1001-redis || return 1
    [ "$(docker inspect -f '{{.State.Running}}' tenant-1001-redis)" = false ] || { echo "it runs"; return 1; }
    grep -q '"operation":"container.confine"' /var/log/aistack-engine/engine.jsonl || return 1
    as "$USER_A" aistack apparmor load && as "$USER_A" docker start tenant-1001-redis && containers_are_stacked
}
step apparmor-a-container-that-is-not-confined-is-stopped complain

# Kills in the middle of loads, once the log says that one has begun: the next load ends with what is kept,
# loaded and published.
killed_loads() {
    local round helper when hits=0
    for round in 1 2 3 4 5 6; do
        [ $hits -lt 2 ] || break
        sed -i "\$s/^}/  deny \/opt\/round$round\/** r,\n}/" "$source"
        # It ends when nobody needs it; this starts it again.
        eventually 60 as "$USER_A" aistack whoami || return 1
        helper=$(systemctl show -P MainPID aistack-helper)
        # While a compiler of its own runs: first to look at the text, then to load it.
        when=(--tool-of "$helper")
        [ $hits -eq 0 ] || when+=(--exists /etc/apparmor.d/.ai-platform-1001.tmp)
        ! /payload/tests/lib/kill-at "${when[@]}" /var/log/aistack/helper.jsonl apparmor.load "$helper" -- \
            su - "$USER_A" -c 'aistack apparmor load' || hits=$((hits + 1))
    done
    tell "hit $hits of 2"
    cp -p /tmp/source "$source"
    eventually 60 as "$USER_A" aistack apparmor load || return 1
    profiles_are_everywhere || return 1
    # shellcheck disable=SC2010 # hidden files
    ls -A /etc/apparmor.d /run/aistack/apparmor | grep -F .tmp && return 1
    ! grep -q round /etc/apparmor.d/ai-platform-1001 && containers_are_stacked && [ $hits -eq 2 ]
}
step apparmor-survives-kills-in-the-middle-of-loads killed_loads

no_denials_by_accident() {
    dmesg | grep 'apparmor="DENIED"' | grep -vE 'profile="(ai-|docker-default)' | tail -n 5 | tee /dev/stderr | wc -l | grep -qx 0
}
step apparmor-denies-nobody-else no_denials_by_accident
