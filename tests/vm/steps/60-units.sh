# systemd starts the daemons when they are needed, and a broken policy never leaves the host without them.
. /payload/guest/steps.sh

active() { systemctl is-active --quiet "$1"; }
activation() {
    systemctl stop aistack-helper.service aistack-engine.service aistack-mount.service || return 1
    ! active aistack-helper && as $USER_A aistack whoami && active aistack-helper || return 1
    ! active aistack-engine && as $USER_A docker ps && active aistack-engine
}
step sockets-start-the-daemons activation

# Socket modes and owners: everybody may ask the helper and the gateway, only root the mount worker.
sockets() {
    stat -c '%n %U %a' /run/aistack /run/aistack/*.sock
    [ "$(stat -c '%U %a' /run/aistack/{helper,engine,mount}.sock | tr '\n' ,)" = 'root 666,root 666,root 600,' ] &&
        [ "$(stat -c '%U %a' /run/aistack)" = 'root 755' ] &&
        refused denied as $USER_A python3 -c "import socket; socket.socket(socket.AF_UNIX).connect('/run/aistack/mount.sock')"
}
step sockets-have-the-right-modes sockets

idle_exit() {
    systemctl start aistack-helper.service && eventually 150 sh -c '! systemctl is-active --quiet aistack-helper' || return 1
    [ "$(systemctl show -P Result aistack-helper)" = success ] && as $USER_A aistack whoami
}
LIMIT=200 step helper-ends-when-idle-and-comes-back idle_exit

broken_policy() {
    local status=0
    as $USER_A aistack whoami >/dev/null || return 1
    echo 'uids = nonsense' >>/etc/aistack/policy.toml
    refused . systemctl reload aistack-helper || status=1
    as $USER_A aistack whoami || { echo "a refused reload took the helper away"; status=1; }
    systemctl restart aistack-helper & local restart=$!
    sleep 5
    # Nobody is served under a policy that is not one; callers wait in the socket.
    ! timeout 10 setpriv --reuid 1001 --regid 1001 --clear-groups aistack whoami || status=1
    cp /payload/guest/policy.toml /etc/aistack/policy.toml
    eventually 60 as $USER_A aistack whoami || status=1
    kill $restart 2>/dev/null
    return $status
}
step broken-policy-is-refused-and-mended broken_policy

# What each daemon may do, for whoever reads the log; a unit that lost its walls fails.
exposure() {
    local unit score
    for unit in aistack-helper aistack-engine aistack-mount; do
        score=$(systemd-analyze security --no-pager "$unit.service" | sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
        tell "$unit: exposure $score of 10"
        [ -n "$score" ] || return 1
    done
    systemd-analyze security --no-pager --threshold=30 aistack-engine.service >/dev/null &&
        systemd-analyze security --no-pager --threshold=40 aistack-helper.service >/dev/null
}
step daemons-are-walled-in exposure
