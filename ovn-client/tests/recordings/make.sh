#!/bin/sh
# Records sessions with real servers of OVN, for tests/replay.rs:
#
#     cargo build -p ovn-client --examples
#     unshare --net --pid --fork --kill-child sh ovn-client/tests/recordings/make.sh
#
# It needs ovsdb-server, ovsdb-tool and ovn-nbctl, on the path or in the root folder $ROOT, to which
# it then changes, and a network of its own (`unshare`), for the ports are fixed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../../target/debug/examples
folder=$(mktemp -d "${ROOT:-}/tmp/recordings.XXXXXX")
inside=${folder#"${ROOT:-}"}
trap 'rm -rf "$folder"' EXIT
ip link set lo up

ovn() { ${ROOT:+chroot "$ROOT"} "$@"; }
nb() { ovn ovn-nbctl --db="unix:$inside/$server.sock" --timeout=10 "$@"; }
until_true() {
    for _ in $(seq 200); do "$@" && return; sleep 0.1; done
    echo "never: $*" >&2
    exit 1
}
count() { [ "$(grep -c "$1" "$folder/seen")" -ge "$2" ]; }
listens() { grep -q ":$1 00000000:0000 0A" /proc/net/tcp; }

serve() { # server port
    server=$1
    ovn ovsdb-server "$inside/$1.db" --remote="punix:$inside/$1.sock" --remote="ptcp:$2:127.0.0.1" \
        --unixctl="$inside/$1.ctl" --no-chdir -vconsole:off -vsyslog:off &
    until_true [ -S "$folder/$1.sock" ]
}

record() { # recording port: until the client or stop_recording ends it
    "$examples/record" 127.0.0.1:6640 "127.0.0.1:$2" >"$here/$1" &
    recorder=$!
    until_true listens 19F0
}

follow() { # the tables that tests/replay.rs expects
    : >"$folder/seen"
    "$examples/monitor" tcp:127.0.0.1:6640 Load_Balancer Logical_Router >"$folder/seen" &
    client=$!
    until_true count '^connected' 1
}

before() {
    nb lb-add gone 192.0.2.9:80 10.0.0.9:80
    nb lb-add kept 192.0.2.1:80 10.0.0.1:80
    nb lr-add r1
}

during() {
    nb lr-lb-add r1 kept
    nb set Load_Balancer kept 'vips={"192.0.2.1:80"="10.0.0.2:80"}' options:reject=true
    nb lb-del gone
    nb lb-add more 192.0.2.3:80 10.0.0.1:80,10.0.0.2:80
    nb lb-add more2 192.0.2.4:80 10.0.0.1:80 udp
    nb lb-del more2
    until_true count ' deleted$' 2
}

schema=/usr/share/ovn/ovn-nb.ovsschema
ovn ovsdb-tool create "$inside/alone.db" $schema 2>/dev/null
serve alone 6001
before
record standalone 6001
follow
during
kill $client
wait $recorder

# The client stays, its connection ends, and the next one goes on from what was seen.
ovn ovsdb-tool create-cluster "$inside/member.db" $schema tcp:127.0.0.1:7001 2>/dev/null
serve member 6002
until_true nb --no-leader-only show >/dev/null 2>&1
# A server remembers no more changes than it has contents.
nb create Address_Set name=ballast addresses="$(seq -s, -f '10.1.%g.0/24' 0 250)" >/dev/null
before
record clustered 6002
follow
during
kill $recorder
until_true count '^disconnected' 1
nb lb-del more
nb set Load_Balancer kept 'vips={"192.0.2.1:80"="10.0.0.3:80"}'
nb lb-add later 192.0.2.5:80 10.0.0.5:80
record resumed 6002
until_true count '^connected' 2
nb remove Load_Balancer kept options reject
nb lb-del later
until_true count ' deleted$' 4
kill $client
wait $recorder
