# Both packages with apt, a policy, three users.
. /payload/guest/steps.sh

install_packages() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y /payload/debs/*.deb || return 1
    tell "$(dpkg-query -f '${Package} ${Version}  ' -W aistack aistack-helper)"
}
vital packages-install install_packages

nobody_is_a_tenant() {
    useradd -m -s /bin/bash -u 1001 alice && useradd -m -s /bin/bash -u 1002 bob &&
        useradd -m -s /bin/bash -u 1003 carol || return 1
    refused "policy|tenant" as alice aistack whoami
}
step shipped-policy-allows-nobody nobody_is_a_tenant

allow_tenants() {
    cp /payload/guest/policy.toml /etc/aistack/policy.toml &&
        aistack-helper policy check /etc/aistack/policy.toml &&
        systemctl try-reload-or-restart aistack-helper aistack-engine &&
        eventually 30 as alice aistack whoami && as bob aistack whoami
}
vital policy-allows-tenants allow_tenants

units_are_well() {
    local failed
    failed=$(systemctl list-units --failed --no-legend)
    [ -z "$failed" ] || { echo "$failed"; return 1; }
    systemd-analyze verify /usr/lib/systemd/system/aistack-*.{service,socket} 2>&1 | grep aistack && return 1
    systemctl is-enabled aistack-helper.socket aistack-engine.socket aistack-mount.socket
}
step units-are-well units_are_well
