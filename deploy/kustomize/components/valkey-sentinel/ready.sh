#!/bin/bash
# Succeeds where this node has what the primary has, or is a primary that another node follows. A rolling update and
# a drain wait for that before they take the next node. bash, since the image need not have a client.
exec 3<>/dev/tcp/127.0.0.1/6379 || exit 1
sed -n 's/^requirepass /AUTH /p' /etc/valkey-secret/auth.conf >&3
printf 'INFO replication\r\nQUIT\r\n' >&3
grep -q -E '^(master_link_status:up|min_slaves_good_slaves:[1-9])' <&3
