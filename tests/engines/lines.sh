# The engines that the tests run on: the binaries and the settings of each line of the matrix. Sourced after host.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034

# The newest Docker Engine and what it needs, as Go modules. tests/engines/get builds them; docs/engines.md says what
# ran on which.
MOBY=v2.0.0-beta.24       # API 1.56, minimum 1.40
CONTAINERD=v2.4.2
RUNC=v1.5.3

engine_lines="debian-20.10 current current-overlay2-nftables current-1.44 current-userns"

# What the daemon.json of a line holds.
engine_settings() { # LINE
    case $1 in
        debian-20.10 | current) echo '{}' ;;
        current-overlay2-nftables)
            echo '{"storage-driver": "overlay2", "features": {"containerd-snapshotter": false},
                "firewall-backend": "nftables", "userland-proxy": false}'
            ;;
        current-1.44) echo '{"min-api-version": "1.44", "live-restore": true, "no-new-privileges": true}' ;;
        current-userns) echo '{"userns-remap": "nobody:nogroup"}' ;;
        *) die "there is no engine line '$1'; there are: $engine_lines" ;;
    esac
}

# The folder of a line's binaries; empty for those of the machine.
engine_binaries() { # LINE
    case $1 in debian-*) ;; *) tests/engines/get ;; esac
}

# The data root of a line, which is kept with its images from run to run. Lines with the same store share one.
engine_root() { # LINE
    case $1 in current | current-1.44) echo current ;; *) echo "$1" ;; esac
}

# `REFERENCE ID` of those images of the tests and of the catalog that the engine of this machine has; only of the
# references in AISTACK_ENGINE_IMAGES where that is set.
engine_images() {
    local catalog
    catalog=$(sed -n 's#^image *= *"\([^"]*\)".*#\1#p' client/catalog/*.toml | sed 's#^docker.io/##; s#^library/##')
    {
        host_docker images --no-trunc --filter label=aistack.test-image=true --format '{{.Repository}}:{{.Tag}} {{.ID}}'
        host_docker images --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}' |
            awk 'NR == FNR { named[$1]; next } $1 in named' <(echo "$catalog") -
    } | sort -u | awk -v only="${AISTACK_ENGINE_IMAGES:-}" '
        BEGIN { split(only, words, " "); for (i in words) wanted[words[i]] }
        $1 !~ /<none>/ && (only == "" || $1 in wanted)'
}
