#!/bin/sh
# Starts Redis in /data. A first argument that is an option or a configuration file means redis-server.
set -eu

case ${1:-} in
-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ]; then
    # Root hands the server to its own user, where it may.
    if [ "$(id -u)" -eq 0 ] && [ "${SKIP_DROP_PRIVS:-}" != 1 ] && setpriv --dump | grep -q 'bounding set:.*setuid'; then
        [ "${SKIP_FIX_PERMS:-}" = 1 ] || find . ! -user redis -exec chown redis {} +
        exec setpriv --reuid redis --regid redis --clear-groups "$0" "$@"
    fi
    # What Redis stores is for its own user alone.
    [ "$(umask)" != 0022 ] || umask 0077
    # The network of a container is closed already: Redis' own check for that is off, as in the official
    # image. An option of the caller's comes later and wins.
    shift
    case ${1:-} in
    '' | -*) set -- redis-server --protected-mode no "$@" ;;
    *)
        config=$1
        shift
        set -- redis-server "$config" --protected-mode no "$@"
        ;;
    esac
fi
exec "$@"
