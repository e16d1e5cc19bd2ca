#!/bin/sh
# The entrypoint that the service file calls by name.
exec /usr/bin/python3 /standin/standin.py
