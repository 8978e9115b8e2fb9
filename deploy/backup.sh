#!/bin/sh
# Writes the append-only files of a state store that goes on running, as a tar, to standard output. Its folder is the
# argument, /data in a container. Status 75: Valkey began another file meanwhile, so take it again.
set -eu
cd "${1:-/data}"
list=appendonlydir/appendonly.aof.manifest
before=$(cat "$list")
# As long as the list of the files stays, all but the last are complete; and the last only grows, for which tar has the
# status 1. Valkey drops half a command at its end.
tar --create --file=- --warning=no-file-changed appendonlydir || test $? -eq 1
if [ "$(cat "$list")" != "$before" ]; then
    echo "the files were rewritten meanwhile: take the backup again" >&2
    exit 75
fi
