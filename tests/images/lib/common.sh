# What the builder's scripts share: where things are, how they report, what the host passes on.
# Sourced, never run; everything here runs as root.

images=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$images/../lib/host.sh"

cache=${AISTACK_IMAGE_CACHE:-/var/cache/aistack-images}
release=trixie

# The names of all recipes, those that take longest first.
recipe_names() {
    local recipe
    for recipe in n8n litellm postgres pgvector redis prometheus caddy; do
        [ -f "$images/$recipe/recipe" ] && echo "$recipe"
    done
    return 0
}

# Reads the recipe of image $1 into reference, packages and others.
read_recipe() {
    [ -f "$images/$1/recipe" ] || die "there is no image recipe named $1 in tests/images"
    also=()
    . "$images/$1/recipe"
}

# The hash of everything that the image $1 is made from.
inputs_of() {
    local sources=("$1" lib/base lib/enter lib/image lib/common.sh)
    read_recipe "$1"
    sources+=("${also[@]}")
    (
        cd "$images"
        dpkg --print-architecture
        find "${sources[@]}" -type f ! -name check -print0 | sort -z | xargs -0 sha256sum
        find "${sources[@]}" -type f ! -name check -printf '%p %m\n' | sort
    ) | sha256sum | cut -c1-32
}

# True when the image of recipe $1 is there and was made from these inputs.
is_current() {
    local have
    have=$(host_docker image inspect --format '{{index .Config.Labels "aistack.test-image.inputs"}}' "$reference" 2>/dev/null) || return 1
    [ "$have" = "$(inputs_of "$1")" ]
}

# step WHO WHAT COMMAND…: runs the command with its output in $log, says how long it took, shows a sign
# of life every 20 seconds, and on failure shows the end of the log.
step() {
    local who=$1 what=$2 start=$SECONDS pid status=0
    shift 2
    printf '== %s\n' "$what" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    (
        while sleep 20; do say "$who: $what: still running, $((SECONDS - start)) s"; done
    ) &
    local heartbeat=$!
    wait "$pid" || status=$?
    kill "$heartbeat" 2>/dev/null
    wait "$heartbeat" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        say "$who: $what: failed after $((SECONDS - start)) s with status $status; the end of $log:" >&2
        tail -n 30 "$log" | sed "s/^/    /" >&2
        return "$status"
    fi
    say "$who: $what ($((SECONDS - start)) s)"
}

# Writes to folder $1 what the host needs to reach its package registries: proxies, certificates and
# the clients' own settings. The folder is only mounted while an image is built, never copied into it.
pass_host_settings() {
    local to=$1 name file bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    {
        env | grep -iE '^(https?_proxy|no_proxy|all_proxy|pip_[a-z_]+|npm_config_[a-z_]+)=' || true
    } >"$to/env"
    apt-config dump | grep -E '^Acquire::(https?|Check-[A-Za-z-]+|Retries|ForceIPv[46])\b' |
        grep -vE 'Auto-Detect|SslCert|SslKey|CaInfo|CaPath|""' >"$to/apt.conf" || true
    if [ -s "$bundle" ]; then
        cp "$bundle" "$to/ca.crt"
        echo 'Acquire::https::CaInfo "/run/build/ca.crt";' >>"$to/apt.conf"
        for name in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS npm_config_cafile; do
            echo "$name=/run/build/ca.crt" >>"$to/env"
        done
    fi
    for file in "${PIP_CONFIG_FILE:-}" ~/.config/pip/pip.conf ~/.pip/pip.conf /etc/pip.conf; do
        [ -f "$file" ] || continue
        cp "$file" "$to/pip.conf"
        echo "PIP_CONFIG_FILE=/run/build/pip.conf" >>"$to/env"
        break
    done
    if [ -f ~/.npmrc ]; then
        cp ~/.npmrc "$to/npmrc"
        echo "npm_config_userconfig=/run/build/npmrc" >>"$to/env"
    fi
    cat >>"$to/apt.conf" <<'APT'
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Options { "--force-unsafe-io"; "--force-confnew";
    "--path-exclude=/usr/share/doc/*"; "--path-exclude=/usr/share/man/*"; "--path-exclude=/usr/share/info/*";
    "--path-exclude=/usr/share/locale/*"; "--path-exclude=/usr/share/lintian/*"; };
APT
}
