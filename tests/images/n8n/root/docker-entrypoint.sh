#!/bin/sh
# Starts n8n with the arguments of the command. Certificates in /opt/custom-certificates are trusted too.
if [ -d /opt/custom-certificates ]; then
    export NODE_OPTIONS="--use-openssl-ca ${NODE_OPTIONS:-}" SSL_CERT_DIR=/opt/custom-certificates
fi
exec n8n "$@"
