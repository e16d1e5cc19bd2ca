# Both packages with apt, a policy, three users.
. /payload/guest/steps.sh

# The engine that this run is about, started by systemd, and what the containers' confinement rests on.
engine_is_the_wanted_one() {
    local kind driver api
    kind=$(cat /payload/guest/engine)
    driver=$(docker info --format '{{.Driver}} {{.DriverStatus}}')
    api=$(docker version --format '{{.Server.APIVersion}}')
    tell "API $api, ${driver%% *}, $(docker info --format '{{.CgroupDriver}} cgroup v{{.CgroupVersion}}, {{.SecurityOptions}}')"
    case $kind in
        debian) grep -q '^overlay2 ' <<<"$driver" ;;
        current) grep -q '^overlayfs .*io\.containerd\.snapshotter\.v1' <<<"$driver" &&
            [ "$(printf '1.56\n%s\n' "$api" | sort -V | head -n 1)" = 1.56 ] ;;
    esac || { echo "not the $kind engine: API $api, $driver"; return 1; }
    [ "$(docker info --format '{{.CgroupVersion}}')" = 2 ] &&
        docker info --format '{{.SecurityOptions}}' | grep name=apparmor | grep name=seccomp &&
        [ "$(readlink "/proc/$(systemctl show -P MainPID docker.service)/exe")" = "$(readlink -f "$(command -v dockerd)")" ]
}
step docker-is-the-engine-of-this-run engine_is_the_wanted_one

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
    systemd-analyze verify /usr/lib/systemd/system/aistack-*.{service,socket,path} 2>&1 | grep aistack && return 1
    systemctl is-enabled aistack-helper.socket aistack-engine.socket aistack-mount.socket
}
step units-are-well units_are_well
