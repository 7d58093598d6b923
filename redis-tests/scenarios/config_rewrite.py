# SPDX-License-Identifier: Apache-2.0
"""CONFIG REWRITE: what CONFIG SET changed is in the file, the rest of the file stays."""

import os
import re
import tempfile

import servers

FILE = """# a comment that stays
port %d
dir %s
timeout 17

# another comment
maxmemory-policy allkeys-lru
"""


def case_config_rewrite(run):
    """a configuration file is read at the start and rewritten"""
    for side in (run.pair.peer, run.pair.ours):
        if side.binary is None:
            continue
        with tempfile.TemporaryDirectory(prefix="redis-tests-config-") as directory:
            path = os.path.join(directory, "server.conf")
            port = servers.free_port(side.port + 20, side.port + 60)
            with open(path, "w") as file:
                file.write(FILE % (port, directory))
            server = servers.Server(side.name, port, side.binary, directory=directory,
                                    config_file=path)
            server.start()
            try:
                check_rewrite(run, side.name, servers.Connection(port), path)
            finally:
                server.stop()


def check_rewrite(run, name, connection, path):
    def value(parameter):
        return connection.call("CONFIG", "GET", parameter)[1][1][1]

    run.check(value("timeout") == b"17", "%s: timeout of the file is not used" % name)
    run.check(value("maxmemory-policy") == b"allkeys-lru", "%s: policy not used" % name)
    connection.call("CONFIG", "SET", "timeout", "29")
    connection.call("CONFIG", "SET", "slowlog-max-len", "77")
    reply = connection.call("CONFIG", "REWRITE")
    run.check(reply == ("+", b"OK"), "%s: CONFIG REWRITE answered %s" % (name, reply))
    with open(path) as file:
        text = file.read()
    for wanted in ("# a comment that stays", "# another comment", "timeout 29",
                   "maxmemory-policy allkeys-lru", "slowlog-max-len 77"):
        run.check(re.search("^" + re.escape(wanted) + "$", text, re.MULTILINE),
                  "%s: no line %r in the rewritten file:\n%s" % (name, wanted, text))
    run.check(text.count("timeout 29") == 1 and "timeout 17" not in text,
              "%s: the old line is still there:\n%s" % (name, text))
    connection.close()


case_config_rewrite.protocols = (2,)
