#!/bin/sh
# Starts the proxy with the arguments of the command.
exec litellm "$@"
