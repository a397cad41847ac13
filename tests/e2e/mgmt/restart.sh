#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon is killed and started again the moment it is gone, as a service
# manager does: what the kernel still holds for the dead one (a disk's file and
# its lock, listening sockets) is waited for.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

truncate -s 1M "$work/disk"
for kind in auto epoll; do
	python3 - "$vdpakitd" "$work" $kind <<'PYTHON' || die "--loop $kind"
import os, select, socket, subprocess, sys

vdpakitd, work, kind = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(f'{work}/notify.{kind}')
args = [vdpakitd, '--socket', f'{work}/rpc.sock', '--preload',
        f'{work}/preload.sock', '--loop', kind]
for i in range(3):
    disk = f'path {work}/disk read_only on' if i else f'path {work}/rw'
    args += ['--dev', f'd{i} blk backend file {disk} '
             f'bind vhost_user path {work}/d{i}.sock']
with open(f'{work}/rw', 'wb') as file:
    file.truncate(1 << 20)
env = dict(os.environ, NOTIFY_SOCKET=notify.getsockname())
for i in range(20):
    with open(f'{work}/log', 'wb') as log:
        daemon = subprocess.Popen(args, env=env, stderr=log)
    end = os.pidfd_open(daemon.pid)
    ready, _, _ = select.select([notify, end], [], [], 60)
    if notify not in ready or not notify.recv(4096).startswith(b'READY=1'):
        daemon.kill()
        with open(f'{work}/log', encoding='utf-8') as log:
            sys.exit(f'start {i}: {log.read()}')
    os.close(end)
    daemon.kill()
    daemon.wait()
PYTHON
done
