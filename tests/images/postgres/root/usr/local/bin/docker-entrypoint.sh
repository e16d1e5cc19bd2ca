#!/usr/bin/env bash
# Starts PostgreSQL; where the data folder is empty, makes the cluster, the user and the database first.
set -euo pipefail

# Exports the setting $1 from the environment, or from the file that $1_FILE names, or as $2.
setting() {
    local name=$1 file_name=${1}_FILE value=${2:-}
    if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then
        echo "error: $name and $file_name are both set; only one may be" >&2
        exit 1
    fi
    if [ -n "${!name:-}" ]; then
        value=${!name}
    elif [ -n "${!file_name:-}" ]; then
        value=$(cat "${!file_name}")
    fi
    export "$name=$value"
    unset "$file_name"
}

# initdb asks the system for the name of its user; a user without an entry gets one from a library.
name_this_user() {
    getent passwd "$(id -u)" >/dev/null && return
    NSS_WRAPPER_PASSWD=$(mktemp)
    NSS_WRAPPER_GROUP=$(mktemp)
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "postgres:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
    export NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD=libnss_wrapper.so
}

forget_this_user() {
    [ -n "${NSS_WRAPPER_PASSWD:-}" ] || return 0
    unset LD_PRELOAD
    rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
    unset NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
}

make_cluster() {
    local args=()
    if [ -n "$POSTGRES_INITDB_ARGS" ]; then
        readarray -t args < <(xargs -n 1 printf '%s\n' <<<"$POSTGRES_INITDB_ARGS")
    fi
    [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || args+=(--waldir="$POSTGRES_INITDB_WALDIR")
    # printf is part of the shell: the password is on no command line.
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${args[@]}"
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
}

query() { psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"; }

run_hooks() {
    local hook
    # shellcheck disable=SC1090
    for hook in /docker-entrypoint-initdb.d/*; do
        case $hook in
        *.sh) if [ -x "$hook" ]; then "$hook"; else . "$hook"; fi ;;
        *.sql) query --dbname "$POSTGRES_DB" -f "$hook" ;;
        *.sql.gz) gunzip -c "$hook" | query --dbname "$POSTGRES_DB" ;;
        *.sql.xz) xzcat "$hook" | query --dbname "$POSTGRES_DB" ;;
        *.sql.zst) zstd -dc "$hook" | query --dbname "$POSTGRES_DB" ;;
        esac
    done
}

# The first server listens on its socket alone: nobody can reach a half-made cluster through the network.
fill_cluster() {
    PGUSER=$POSTGRES_USER pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses='' -p ${PGPORT:-5432}" start
    if [ "$POSTGRES_DB" != postgres ]; then
        query --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    run_hooks
    PGUSER=$POSTGRES_USER pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
}

first_start() {
    setting POSTGRES_PASSWORD
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo "error: the cluster is new and has no superuser password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2
        exit 1
    fi
    name_this_user
    make_cluster
    fill_cluster
    forget_this_user
    echo "the cluster is made; starting the server"
}

[[ "${1:-}" != -* ]] || set -- postgres "$@"
if [ "${1:-}" = postgres ]; then
    mkdir -p "$PGDATA"
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -p /run/postgresql
        chown -R postgres "$PGDATA" /run/postgresql
        chmod 3777 /run/postgresql
        chmod 700 "$PGDATA"
        exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
    fi
    chmod 700 "$PGDATA" 2>/dev/null || true
    [ -s "$PGDATA/PG_VERSION" ] || first_start
fi
exec "$@"
