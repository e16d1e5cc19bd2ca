# The suites that need an engine. Sourced; each runs beside the engine of a line and says what passed.
# shellcheck shell=bash

engine_suites="gateway networks helper corpora client tenants journey kills pair"

# Test binaries of the workspace, built as `make test` builds them.
cargo_suite() { # FILTERSET
    tests_as_root tests/cargo nextest run --locked --offline --workspace --profile engines --run-ignored all \
        --success-output immediate "${engine_tests[@]}" -E "$1"
}
# Only these are built.
engine_tests=(--test engine --test ops --test front --test vet_corpus_dockerd)

run_suite() { # SUITE
    case $1 in
        # The gateway before the engine: hostile and ordinary requests, the docker commands, compose and docker-py.
        gateway) cargo_suite "package(aistack-helper) & binary(engine) & test(/^(dockerd|dockerd_images|clients|ordinary)::/)" ;;
        networks) cargo_suite "package(aistack-helper) & binary(ops) & test(/^network::/)" ;;
        helper) cargo_suite "package(aistack-helper) & binary(front) & test(/^whole::/)" ;;
        # The engine holds what the gateway decided, for every case of the corpora.
        corpora) cargo_suite "binary(vet_corpus_dockerd)" ;;
        client) cargo_suite "package(aistack) & binary(engine)" ;;
        # The journey in small, and whole: two tenants, start to end, with the probes of the demo.
        tenants) tests/engines/tenants ;;
        journey) tests/journey ;;
        kills) tests/kills ;;
        pair) tests/pair ;;
        *) die "there is no suite '$1'; there are: $engine_suites" ;;
    esac
}

# What the suites need of the tests' images, where it is not all of them: `tenants` deploys these two.
suite_images() { # SUITE…
    case " $* " in *" journey "* | *" pair "*) return ;; esac
    sed -n 's#^image *= *"docker.io/library/\([^"]*\)".*#\1#p' client/catalog/{redis,postgres}.toml | paste -sd ' '
}
