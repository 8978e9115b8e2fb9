#!/bin/sh
# podman as it is; or, on a host with both trees of control groups, of which crun refuses the second, in a mount
# namespace without that one. What one call mounts for the next is shared: network namespaces, as `ip netns` has them,
# and volumes.
set -e
here=$(cd "$(dirname "$0")" && pwd)
if [ -d /sys/fs/cgroup/unified ]; then
    # Such a host seldom lets a container raise its limits.
    CONTAINERS_CONF=$here/images/containers.conf
    export CONTAINERS_CONF
    for shared in /run/netns /var/lib/containers/storage/volumes; do
        if ! findmnt --noheadings "$shared" >/dev/null; then
            mkdir -p "$shared"
            mount --bind "$shared" "$shared"
            mount --make-shared "$shared"
        fi
    done
    exec unshare --mount --propagation unchanged sh -c \
        'mount --make-rprivate /sys/fs/cgroup && umount /sys/fs/cgroup/unified && exec podman "$@"' podman "$@"
fi
exec podman "$@"
