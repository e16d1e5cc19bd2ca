# kill -9 of each daemon in the middle of an operation; then the same operation succeeds.
. /payload/guest/steps.sh

# Processes of one daemon. The kill is systemd's, so that no other program of that name is hit.
kill_daemon() { systemctl kill --kill-whom=all -s KILL "aistack-$1.service" 2>/dev/null || true; }

# What carol has after init: her volume, her directories, her network.
carol_has_everything() {
    mountpoint -q "$(base_dir 1003)" && [ "$(stat -c '%u %a' "$(base_dir 1003)/config/.env")" = '1003 600' ] &&
        docker network inspect aistack-vm-1003 >/dev/null
}

# init_killed DAEMON DELAY…: for each delay, a fresh init, the kill so long after it began, and init again.
init_killed() {
    local daemon=$1 delay init interrupted=0
    shift
    for delay in "$@"; do
        as $USER_C aistack init --preset minimal --no-input >/tmp/init.log 2>&1 & init=$!
        sleep "$delay"
        kill_daemon "$daemon"
        wait $init || { interrupted=$((interrupted + 1)); tail -n 2 /tmp/init.log; }
        eventually 60 as $USER_C aistack init --preset minimal --no-input && carol_has_everything || return 1
        as $USER_C aistack destroy --purge --confirm tenant-1003 --no-input || return 1
        ! mountpoint -q "$(base_dir 1003)" || { echo "destroy left the volume mounted"; return 1; }
    done
    tell "$interrupted of $# were cut off in the middle"
}
LIMIT=300 step init-survives-a-killed-helper init_killed helper 0.8 1.8
LIMIT=300 step init-survives-a-killed-mount-worker init_killed mount 0.8 1.8

deploy_killed() {
    local daemon=$1 delay deploy interrupted=0
    shift
    for delay in "$@"; do
        as $USER_B aistack deploy --yes --no-input --recreate redis >/tmp/deploy.log 2>&1 & deploy=$!
        sleep "$delay"
        kill_daemon "$daemon"
        wait $deploy || { interrupted=$((interrupted + 1)); tail -n 2 /tmp/deploy.log; }
        eventually 120 as $USER_B aistack deploy --yes --no-input redis || return 1
        [ "$(docker ps --filter name=tenant-1002-redis -q | wc -l)" = 1 ] || { docker ps -a; return 1; }
    done
    tell "$interrupted of $# were cut off in the middle"
}
LIMIT=300 step deploy-survives-a-killed-gateway deploy_killed engine 1.5 4

# A record that was being written when its daemon was killed is mended, and the chain still holds.
audit_holds() {
    aistack-helper audit verify --audit-dir /var/log/aistack && aistack-helper audit verify --audit-dir /var/log/aistack-engine
}
step audit-chains-hold-after-kills audit_holds
