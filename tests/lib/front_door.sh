# A front door and the proxies of two tenants, UIDs 1001 and 1002: HAProxy as the policy renders it, caddy as the
# catalog does, and each machine a network namespace. Sourced after host.sh and steps.sh, as root, with `machines` set to
# the first word of the namespaces' names and `binaries` to the folder with aistack-helper.

caddyfile=client/src/desired/tests/snapshots/aistack__desired__tests__front_door__visitors_come_to_the_address_of_the_proxy_on_ports_that_take_a_proxy_header.snap
caddy_image=docker.io/library/caddy:2.11.4-alpine
dir=$(mktemp -d "/run/$machines-XXXXXX")
chmod 755 "$dir"

remove_machines() {
    local pid space
    for pid in "$dir"/*.pid; do end "$(basename "$pid" .pid)"; done
    for space in host 1001 1002 visitor; do
        ip netns delete "$machines-$space" 2>/dev/null
        rm -rf "/etc/netns/$machines-$space"
    done
    rm -rf "$dir"
}

# `ip netns exec` makes a mount namespace as well, for /etc/hosts. What other tests have mounted at that moment would stay in
# use by the copy there, so it goes.
# shellcheck disable=SC2016 # for the shell there
alone='while read -r _ at _; do case $at in /mnt/aistack-* | /run/aistack-dev-*) umount -l "$at" ;; esac; done </proc/self/mounts
exec "$@"'
inside() { local space=$1; shift; ip netns exec "$machines-$space" sh -c "$alone" sh "$@"; }
background() { # NAME SPACE COMMAND…
    local name=$1 space=$2
    shift 2
    # No function, whose shell would be what is ended.
    ip netns exec "$machines-$space" sh -c "$alone" sh "$@" >"$dir/$name.log" 2>&1 &
    echo $! >"$dir/$name.pid"
}
pid_of() { cat "$dir/$1.pid"; } # NAME
# A step runs in a shell of its own, so what it ends is not always its child.
end() { # NAME
    local pid
    pid=$(pid_of "$1" 2>/dev/null) && kill "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.1; done
}
until_so() { # SECONDS COMMAND…
    local end=$((SECONDS + $1 * $(slowness)))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { "$@"; tail -n 6 "$dir"/*.log | cut -c 1-400; return 1; }
        sleep 0.5
    done
}

# As Docker makes them: the host has the first address of each subnet, and the proxy the last.
networks() {
    local uid address
    ip netns add "$machines-host" && inside host ip link set lo up || return 1
    for uid in 1001 1002; do
        address=$((64 * (uid - 1001)))
        ip netns add "$machines-$uid" && inside $uid ip link set lo up &&
            ip -n "$machines-host" link add "ai-$uid" type veth peer name eth0 netns "$machines-$uid" &&
            inside host ip address add "10.128.0.$((address + 1))/26" dev "ai-$uid" && inside host ip link set "ai-$uid" up &&
            inside $uid ip address add "10.128.0.$((address + 62))/26" dev eth0 && inside $uid ip link set eth0 up &&
            inside $uid ip route add default via "10.128.0.$((address + 1))" || return 1
        mkdir -p "/etc/netns/$machines-$uid"
        echo "127.0.0.1 localhost n8n litellm prometheus" >"/etc/netns/$machines-$uid/hosts"
    done
}

# Tenants from UID 1001 on, of which each of the first two has a domain more; further lines come after them.
write_policy() { # LAST_UID LINE…
    local last=$1
    shift
    printf '%s\n' 'version = 1' '[ingress]' 'enabled = true' '[tenants]' "uids = [\"1001-$last\"]" \
        'domain = "tenant-{uid}.example.com"' '[[tenant]]' 'uid = 1001' 'domains = ["shop-1001.example"]' \
        '[[tenant]]' 'uid = 1002' 'domains = ["shop-1002.example"]' "$@" >"$dir/policy.toml"
    chmod 640 "$dir/policy.toml"
}
ingress() { inside host "$binaries/aistack-helper" ingress "$@" --policy "$dir/policy.toml" --dir "$dir/front"; }

front_door() {
    mkdir -p "$dir/front/haproxy"
    chmod 755 "$dir/front"
    write_policy 1002
    ingress render --write || return 1
    background haproxy host haproxy -W -f "$dir/front/haproxy.cfg"
    until_so 20 ingress status
}

caddy_program() {
    local id
    id=$(host_docker create $caddy_image) && host_docker cp "$id:/usr/bin/caddy" "$dir/caddy" && host_docker rm "$id" >/dev/null
}

# The catalog's file for this tenant.
caddyfile_of() { # UID
    sed -e '1,/^---$/d' -e "s/tenant-1001/tenant-$1/g" -e "s/shop\.example/shop-$1.example/g" \
        -e "s#allow .*#allow 10.128.0.$((64 * ($1 - 1001) + 1))/32#" "$caddyfile"
}
start_caddy() { # UID, whose Caddyfile is there
    background "caddy-$1" "$1" env HOME="$dir/$1" XDG_DATA_HOME="$dir/$1/data" XDG_CONFIG_HOME="$dir/$1/config" \
        "$dir/caddy" run --config "$dir/$1/Caddyfile" --adapter caddyfile
}
