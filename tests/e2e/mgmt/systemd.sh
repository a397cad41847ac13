#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What systemd and the daemon say to each other: sockets, readiness, log levels.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

cat >"$work/systemd" <<'PYTHON'
# Plays systemd: binds sockets and a notification socket, starts the daemon as
# a unit's, and prints its notifications. argv: work folder, kinds, command...
import os, signal, socket, sys

work, kinds, command = sys.argv[1], sys.argv[2], sys.argv[3:]
types = {'stream': socket.SOCK_STREAM, 'seqpacket': socket.SOCK_SEQPACKET,
         'dgram': socket.SOCK_DGRAM}
note = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
note.bind(f'{work}/notify')
socks = []
for kind in kinds.split():
    s = socket.socket(socket.AF_UNIX, types[kind])
    s.bind(f'{work}/{kind}.{len(socks)}')
    if kind != 'dgram':
        s.listen()
    socks.append(s)
log = os.open(f'{work}/log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
pid = os.fork()
if pid == 0:
    high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(socks)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i, inheritable=True)
        os.close(fd)
    os.dup2(log, 2, inheritable=True)
    info = os.fstat(2)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(socks)),
                      NOTIFY_SOCKET=f'{work}/notify',
                      JOURNAL_STREAM=f'{info.st_dev}:{info.st_ino}')
    os.execv(command[0], command)
note.settimeout(20)
for s in socks:
    s.close()

def ended():
    return os.waitpid(pid, os.WNOHANG)[0] != 0

while True:
    try:
        text = note.recv(4096).decode()
    except socket.timeout:
        os.kill(pid, signal.SIGKILL)
        sys.exit('no notification')
    print(text.replace('\n', ' '), flush=True)
    if text.startswith('READY=1'):
        sys.stdin.readline()
        os.kill(pid, signal.SIGTERM)
    elif text.startswith('STOPPING=1'):
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON

mkfifo "$work/go"
python3 "$work/systemd" "$work" 'stream seqpacket' "$vdpakitd" \
	--dev 'n0 vdpasim_net' <"$work/go" >"$work/notes" &
pid=$!
exec 6>"$work/go"
ready()
{
	grep -q READY=1 "$work/notes"
}
wait_for ready
# Our sockets are theirs; both work, and stay when we end.
is 'rpc' "$("$vdpakit" -s "$work/stream.0" -j dev show | jq -c '.dev | keys')" \
	'["n0"]'
LD_PRELOAD=$shim VDPAKIT_SOCKET=$work/seqpacket.1 stat /dev/vhost-vdpa-0 \
	>/dev/null
echo >&6
wait "$pid"
exec 6>&-
[ -e "$work/stream.0" ] || die 'the socket of systemd was removed'
is 'notifications' "$(cat "$work/notes")" "$(printf '%s\n%s' \
	'READY=1 STATUS=1 devices at start' 'STOPPING=1 STATUS=stopping')"
has 'levels' "$(cat "$work/log")" '<6>vdpakitd: ready:'
has 'levels' "$(cat "$work/log")" '<6>vdpakitd: stopping: Terminated'

# What is not ours to listen on is refused.
cat >"$work/refused" <<'PYTHON'
import os, socket, sys
kinds = {'dgram': socket.SOCK_DGRAM, 'stream': socket.SOCK_STREAM}
socks = []
for kind in sys.argv[1].split():
    s = socket.socket(socket.AF_UNIX, kinds[kind])
    s.bind('')
    if kind != 'dgram':
        s.listen()
    socks.append(s)
high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(socks)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(socks)))
os.execv(sys.argv[2], sys.argv[2:])
PYTHON
status_is 1 python3 "$work/refused" dgram "$vdpakitd" --socket "$rpc" \
	--preload "$preload"
has 'a datagram socket' "$err" 'is no listening unix socket'
status_is 1 python3 "$work/refused" 'stream stream' "$vdpakitd" \
	--socket "$rpc" --preload "$preload"
has 'two of a kind' "$err" 'two stream sockets'
