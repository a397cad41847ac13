#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Bad input on the RPC socket of a living daemon: one error each, in JSON, and
# other clients see nothing of it. (The unit test has every kind of it.)
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

start_daemon --dev 'n0 vdpasim_net'
python3 - "$rpc" <<'PYTHON'
import json, os, socket, sys

PATH = sys.argv[1]

class Client:
    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(PATH)
        self.sock.settimeout(20)
        self.file = self.sock.makefile('rb')

    def ask(self, line):
        self.sock.sendall(line + b'\n')
        return json.loads(self.file.readline())

    def call(self, method, **params):
        return self.ask(json.dumps({'jsonrpc': '2.0', 'id': 7,
                                    'method': method,
                                    'params': params}).encode())

def check(what, got, want):
    if got != want:
        sys.exit(f'FAIL: {what}: got {got!r}, want {want!r}')

bystander = Client()

def still_fine():
    check('a bystander', list(bystander.call('dev.show')['result']['dev']),
          ['n0'])

bad = Client()
for line, code in [
        (b'hello', -32700), (b'GET / HTTP/1.1', -32700), (b'\0', -32700),
        (b'\xff\xfe', -32700), (b'{' * 10000, -32700), (b'[]', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"dev.add","params":7}', -32602)]:
    check(line[:20], bad.ask(line)['error']['code'], code)
    still_fine()
check('H60', bad.call('dev.vstats.show', name='n0', qidx=2**32)
      ['error']['code'], -32602)
check('H60', bad.call('dev.vstats.show', name='n0', qidx=2**32 - 1)
      ['error']['code'], 34)
check('shutdown', bad.call('shutdown')['error']['code'], 1)

# H63: one byte a write.
for byte in b'{"jsonrpc":"2.0","id":1,"method":"driver.show"}':
    bad.sock.sendall(bytes([byte]))
check('H63', bad.ask(b'')['id'], 1)

# A line without an end is cut off, and only that connection.
flood = Client()
try:
    while True:
        flood.sock.sendall(b'x' * 65536)
except (BrokenPipeError, ConnectionResetError):
    pass
still_fine()

# H70, H91: a thousand connections, half of them in the middle of a request.
before = bystander.call('status')['result']['status']
for i in range(1000):
    c = Client()
    if i % 2:
        c.sock.sendall(b'{"jsonrpc"')
    c.sock.close()
    c.file.close()
still_fine()
while True:
    after = bystander.call('status')['result']['status']
    if after['rpc_connections'] <= before['rpc_connections']:
        break
check('open files', len(os.listdir(f'/proc/{after["pid"]}/fd')) < 60, True)

# More connections than there may be; those that are there go on.
many = [Client() for i in range(200)]
still_fine()
PYTHON
is 'the command, too' "$(vdpakit -j dev show | jq -c '.dev | keys')" '["n0"]'
stop_daemon
