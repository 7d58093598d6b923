# SPDX-License-Identifier: Apache-2.0
"""Three nodes of a ring, and a Redis primary with two replicas, for the benchmarks of the ring."""
import os
import socket
import subprocess
import sys
import tempfile

from bench_servers import OURS, wait_until

BASE_PORT = int(os.environ.get("BENCH_PORT", 7591)) + 20
CLUSTER_PORTS_ABOVE = 2000  # of a node's cluster port, if it has one, over its plain one


class Process:
    """A server; what it writes goes to its directory."""

    def __init__(self, port, command):
        self.port = port
        self.dir = tempfile.mkdtemp(prefix="bench_ring_", dir=os.environ.get("BENCH_DIR"))
        self.line = [*command, "--port", str(port), "--dir", self.dir]
        self.start()

    def start(self):
        with open(os.path.join(self.dir, "output"), "ab") as log:
            self.process = subprocess.Popen(self.line, stdout=log, stderr=log)

    def command(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as s:
            s.sendall(b"".join([b"*%d\r\n" % len(words)] +
                               [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
            reader = s.makefile("rb")
            line = reader.readline().decode().strip()
            if line.startswith("$") and line != "$-1":
                return reader.read(int(line[1:])).decode()
            return line

    def listens(self):
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def answers(self):
        try:
            return not self.command("GET", "no-such-key").startswith("-")
        except OSError:
            return False

    def info(self, section, field):
        for line in self.command("INFO", section).splitlines():
            if line.startswith(field + ":"):
                return int(line.split(":")[1])
        return 0

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, name):
        subprocess.run(["kill", f"-{name}", str(self.process.pid)], check=True)

    def kill(self):
        self.signal("CONT")
        self.process.kill()
        self.process.wait()


class Group:
    """Three processes that hold the same data."""

    @staticmethod
    def port_of(kind, number):
        return BASE_PORT + (10 if kind == "redis" else 0) + number

    def __init__(self, kind, fsync, *options, per_node=((), (), ())):
        """`per_node`: further options of each node."""
        self.kind = kind
        ports = [self.port_of(kind, number) for number in range(3)]
        if kind == "redis":
            command = ["redis-server", "--appendonly", "yes", "--save", "", "--appendfsync", fsync]
            self.nodes = [Process(ports[0], command)]
            wait_until(self.nodes[0].answers, 60)
            self.nodes += [Process(port, command + ["--replicaof", f"127.0.0.1 {ports[0]}"])
                           for port in ports[1:]]
            # Connected is not enough: until the first copy is there, WAIT counts nobody.
            ready = wait_until(lambda: self.nodes[0].command("INFO", "replication").count(
                "state=online") == 2, 60)
        else:
            seeds = ",".join(f"127.0.0.1:{port + 1000}" for port in ports)
            self.nodes = [Process(port, [OURS, "--appendfsync", fsync, "--ring-port",
                                         str(port + 1000), "--ring-bootstrap", "3", "--ring-seeds",
                                         seeds, *options, *more])
                          for port, more in zip(ports, per_node)]
            ready = wait_until(lambda: all(node.answers() for node in self.nodes), 60)
        if not ready:
            sys.exit(f"the three of {kind} did not come up")

    def cpu_seconds(self):
        return sum(node.cpu_seconds() for node in self.nodes)

    def signal(self, name):
        for node in self.nodes:
            node.signal(name)

    def remove(self):
        for node in self.nodes:
            node.kill()
            subprocess.run(["rm", "-rf", node.dir], check=True)
