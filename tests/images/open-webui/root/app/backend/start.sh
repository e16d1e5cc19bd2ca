#!/bin/bash
# Starts Open WebUI. Without a key in the environment one is kept in a file beside this script.
cd "$(dirname "$0")" || exit
if [ -z "$WEBUI_SECRET_KEY" ]; then
    [ -e .webui_secret_key ] || head -c 12 /dev/random | base64 >.webui_secret_key || exit
    WEBUI_SECRET_KEY=$(cat .webui_secret_key)
    export WEBUI_SECRET_KEY
fi
exec python -m uvicorn open_webui.main:app --host "${HOST:-0.0.0.0}" --port "${PORT:-8080}" \
    --forwarded-allow-ips "${FORWARDED_ALLOW_IPS:-*}" --workers "${UVICORN_WORKERS:-1}" --ws auto
