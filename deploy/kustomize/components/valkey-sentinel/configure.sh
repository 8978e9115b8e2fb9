#!/bin/sh
# Writes the settings of a node's Valkey and Sentinel to /data before they start. Both programs note in their file who
# is the primary and which sentinels there are: that is kept, and all else is written anew, so that a change of the
# settings or of the password reaches a node when it starts.
set -eu
umask 077
SECRET=/etc/valkey-secret/auth.conf
FIRST=state-0.state-nodes
OWN=$NODE.state-nodes
cd "${DATA:-/data}"

# Prints the lines of a file that match, none where there is no file yet.
kept() {
    if [ -e "$1" ]; then sed -n -E "/$2/p" "$1"; fi
}

# Prints the password as another setting, quoted as the secret has it.
password_as() {
    sed -n "s/^requirepass /$1 /p" "$SECRET"
}

# A primary's file has no such line. At the very first start the first node is the primary.
role() {
    if [ -e valkey.conf ]; then
        kept valkey.conf '^replicaof '
    elif [ "$OWN" != "$FIRST" ]; then
        echo "replicaof $FIRST 6379"
    fi
}

watched() {
    if [ -e sentinel.conf ]; then
        kept sentinel.conf '^sentinel (monitor|myid|(config|leader|current)-epoch|known-(replica|sentinel)) '
    else
        echo "sentinel monitor state $FIRST 6379 2"
    fi
}

if [ -z "$(password_as requirepass)" ]; then
    echo "$SECRET has no line \"requirepass PASSWORD\"" >&2
    exit 1
fi
{
    echo "include /etc/valkey/valkey.conf"
    echo "include /etc/sentinel/replication.conf"
    echo "replica-announce-ip $OWN"
    password_as masterauth
    role
} >valkey.conf.new
{
    echo "include /etc/sentinel/sentinel.conf"
    echo "sentinel announce-ip $OWN"
    password_as "sentinel auth-pass state"
    watched
} >sentinel.conf.new
mv valkey.conf.new valkey.conf
mv sentinel.conf.new sentinel.conf
