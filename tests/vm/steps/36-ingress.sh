# The front door: its units follow the policy, nobody opens a tenant's site by name, and the guard is in force beside it.
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

site=n8n.tenant-1001.example.test
proxy=10.128.0.62
# with_front_door [LINE]: the guest's policy with a front door, and one more line for tenant 1001.
with_front_door() {
    sed "s/^\[tenants\]/[ingress]\nenabled = true\n\n&/; s/^uid = 1001/&\n${1:-}/" /payload/guest/policy.toml >/etc/aistack/policy.toml
}
says_routes() { says "runs, $1 domains as the policy says" 0 aistack-helper ingress status; }
guarded() { says 'is in force' 0 aistack-helper guard status; }

# No command of anybody's: the units see the policy.
starts() {
    systemctl is-active aistack-ingress.path && [ "$(systemctl is-active aistack-ingress)" = inactive ] || return 1
    with_front_door && eventually 60 systemctl is-active aistack-ingress && eventually 30 says_routes 3 && eventually 30 guarded || return 1
    # Debian's own instance beside it.
    systemctl is-active haproxy && haproxy -v | head -n 1 && tell "$(haproxy -v | head -n 1)"
}
vital ingress-starts-when-the-policy-enables-it starts

by() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
# opens ADDRESS URL COMMAND…: the command's curl opens it there and shows who answered and for whom.
opens() {
    local at=$1 url=$2
    shift 2
    says '^a [0-9.]+$' 0 "$@" curl -sS --max-time 60 --cacert /run/proxy.crt --connect-to "::$at:" "$url"
}
open() { [ -n "$(python3 /payload/tests/lib/scan "$1" -- "$2")" ]; }
closed() {
    local said
    said=$("${@:3}" python3 /payload/tests/lib/scan "$1" -- "$2") && [ -z "$said" ] || { echo "not closed: $*"; return 1; }
}

# What A's container has of caddy: its address, its ports and a certificate.
has_proxy() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$site" \
        -addext "subjectAltName=DNS:$site,DNS:n8n.shop.example" -keyout /run/proxy.key -out /run/proxy.crt &&
        cat /run/proxy.key /run/proxy.crt >/run/proxy.pem && chmod 600 /run/proxy.pem || return 1
    in_container ip address add $proxy/26 dev eth0 &&
        systemd-run -q --unit proxy nsenter -t "$(container_pid)" -n python3 /payload/guest/proxy.py a $proxy /run/proxy.pem &&
        eventually 30 open $proxy 9443
}
container_pid() { docker inspect -f '{{.State.Pid}}' tenant-1001-redis; }
in_container() { nsenter -t "$(container_pid)" -n "$@"; }
vital ingress-tenant-has-a-proxy has_proxy

reached() {
    opens 127.0.0.1 "https://$site/" by 65534 && opens 127.0.0.1 "http://$site/" by 65534 || return 1
    [ "$(by 65534 curl -s -o /dev/null -w '%{http_code}' -H 'Host: n8n.nobody.example' http://127.0.0.1/)" = 421 ] || return 1
    # Past the front door it is shut: for others, and for HAProxy's user anywhere else.
    closed $proxy 9443 by 65534 && closed $proxy 9443 by 1002 && closed 10.128.0.1 6379 by "$(id -u aistack-ingress)" &&
        closed $proxy 6379 by "$(id -u aistack-ingress)"
}
step ingress-leads-nobody-to-the-tenant-by-name reached
# n8n asks for its own public name.
from_inside() { opens 10.128.0.1 "https://$site/" in_container && closed 10.128.0.1 22 in_container; }
step ingress-opens-for-the-tenants-own-containers from_inside

worker() { local master; master=$(systemctl show -P MainPID aistack-ingress); cat "/proc/$master/task/$master/children"; }
replaced() {
    local before
    before=$(worker)
    [ -n "$before" ] && with_front_door 'domains = ["shop.example"]' && eventually 60 says_routes 4 || return 1
    opens 127.0.0.1 https://n8n.shop.example/ by 65534 && [ "$before" = "$(worker)" ]
}
step ingress-routes-are-replaced-in-the-same-process replaced

hardened() {
    tell "$(systemd-analyze security --no-pager aistack-ingress.service | tail -n 1)"
    [ "$(systemctl show -P User aistack-ingress)" = aistack-ingress ] && [ "$(stat -c '%U %a' /run/aistack-ingress /run/aistack-ingress/haproxy | xargs)" = 'root 755 aistack-ingress 700' ] &&
        [ "$(grep CapEff "/proc/$(worker | xargs)/status" | cut -f 2)" = 0000000000000400 ]
}
step ingress-units-are-hardened hardened

stops() {
    cp /payload/guest/policy.toml /etc/aistack/policy.toml
    eventually 60 eval '[ "$(systemctl is-active aistack-ingress)" = inactive ]' && closed 127.0.0.1 443 env && eventually 30 guarded || return 1
    systemctl stop proxy && in_container ip address delete $proxy/26 dev eth0 && rm /run/proxy.*
    [ -z "$(systemctl list-units --failed --no-legend 'aistack*')" ]
}
step ingress-stops-when-the-policy-has-none stops
