# A higher version of the same packages, while stacks run.
. /payload/guest/steps.sh
needs packages-install

started() { docker ps -q | xargs docker inspect -f '{{.Name}} {{.State.Pid}} {{.State.StartedAt}}' | sort; }
sockets() { stat -c '%n %i %Z' /run/aistack/*.sock; }
upgrade() {
    local before sockets_before
    before=$(started)
    sockets_before=$(sockets)
    DEBIAN_FRONTEND=noninteractive apt-get install -y /payload/upgrade/*.deb || return 1
    diff <(echo "$before") <(started) && diff <(echo "$sockets_before") <(sockets) || return 1
    dpkg-query -f '${Package} ${Version} ${Status}\n' -W aistack aistack-helper
    [ "$(dpkg-query -f '${Version} ${Status}\n' -W aistack aistack-helper | grep -c 'upgrade install ok installed')" = 2 ]
}
step upgrade-leaves-stacks-and-sockets-alone upgrade
guarded() { systemctl is-active aistack-guard && says 'is in force' 0 aistack-helper guard status; }
step upgrade-leaves-the-guard-in-force guarded
step policy-of-the-admin-stays cmp /payload/guest/policy.toml /etc/aistack/policy.toml
needs two-tenants-deploy-at-once
works() { as "$USER_A" aistack whoami && says "nothing to do" 0 as "$USER_A" aistack deploy --yes --no-input "${STACK_A[@]}"; }
step tenants-work-after-the-upgrade works
