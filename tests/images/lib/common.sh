# What the builder's scripts share: where things are, which images are current, how steps report.
# Sourced, never run; everything here runs as root.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

images=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/host.sh
. "$images/../lib/host.sh"

# What is copied into an image must not depend on the habits of who builds it.
umask 022

cache=$test_cache/images
release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The names of all recipes, those that take longest first. `standin` is a layer and no image of its own.
recipe_names() {
    local recipe slow="open-webui flowise n8n litellm openclaw chroma postgres pgvector"
    for recipe in $slow; do
        [ -f "$images/$recipe/recipe" ] && echo "$recipe"
    done
    for recipe in "$images"/*/recipe; do
        recipe=$(basename "$(dirname "$recipe")")
        case " $slow standin " in *" $recipe "*) ;; *) echo "$recipe" ;; esac
    done
}

# What only building needs of the host.
need_builder() {
    need_packages debootstrap=debootstrap unshare=util-linux
    # A package without a command: asked for by a name that no command has.
    [ -e "$keyring" ] || need_packages debian-archive-keyring=debian-archive-keyring
}

# Reads the recipe of image $1 into reference, packages and others.
read_recipe() {
    [ -f "$images/$1/recipe" ] || die "there is no image recipe named $1 in tests/images"
    also=() tools=() heavy='' standin=''
    # shellcheck disable=SC1090
    . "$images/$1/recipe"
}

# The hash of everything that the image $1 is made from.
inputs_of() {
    local sources=("$1" lib/base lib/enter lib/image lib/host-settings)
    read_recipe "$1"
    sources+=("${also[@]}")
    [ -z "$standin" ] || sources+=(standin)
    (
        cd "$images" || exit
        dpkg --print-architecture
        find "${sources[@]}" -type f ! -name check -print0 | sort -z | xargs -0 sha256sum
        find "${sources[@]}" -type f ! -name check -perm -100 | sort
    ) | sha256sum | cut -c1-32
}

# True when the image of recipe $1 is there and was made from these inputs, or was not made here at all:
# an official image stays what it is.
is_current() {
    local ours inputs
    read_recipe "$1"
    { read -r ours && read -r inputs; } < <(host_docker image inspect --format \
        '{{index .Config.Labels "aistack.test-image"}}
{{index .Config.Labels "aistack.test-image.inputs"}}' "$reference" 2>/dev/null) || return 1
    [ "$ours" != true ] || [ "$inputs" = "$(inputs_of "$1")" ]
}

# step WHO WHAT COMMAND…: runs the command with its output in $log, says how long it took, shows a sign
# of life every 20 seconds, and on failure shows the end of the log. Never call it for its status: the
# command would then run on after its first failure.
step() {
    local who=$1 what=$2 start=$SECONDS heartbeat status
    shift 2
    printf '== %s\n' "$what" >>"$log"
    (while sleep 20 && kill -0 $$ 2>/dev/null; do say "$who: $what: still running, $((SECONDS - start)) s"; done) &
    heartbeat=$!
    set +e
    (
        set -e
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    kill "$heartbeat"
    wait "$heartbeat" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        say "$who: $what: failed after $((SECONDS - start)) s with status $status; the end of $log:" >&2
        tail -n 30 "$log" | sed 's/^/    /' >&2
        return "$status"
    fi
    say "$who: $what ($((SECONDS - start)) s)"
}

# Puts the folder $1 into memory where there is plenty: hundreds of thousands of small files are made and
# removed much faster there. Needs a mount name space of one's own.
work_in_memory() {
    local available
    available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    [ "$available" -lt $((12 * 1024 * 1024)) ] || mount -t tmpfs -o mode=700,size=6g,nr_inodes=0 aistack-images "$1"
}
