# SPDX-License-Identifier: Apache-2.0
"""Hosts for the nodes of a ring, and faults of the network between them.

Two kinds. `Namespaces`: each node in a network namespace with an address of its own; what is cut is
dropped by the kernel, as by a dead switch (blackhole routes), and TCP makes of it what it does.

    node 1  10.213.x.1 ──veth──┐
    node 2  10.213.x.2 ──veth──┼── bridge 10.213.x.254, where the clients are
    node 3  10.213.x.3 ──veth──┘

`Proxies`: all nodes at 127.0.0.1, but announced as 127.1.x.N, where a proxy passes on what comes.
It needs no rights, and can also delay, and reset connections. What is cut is held back, and goes
on when it is healed: nothing that TCP would repeat is lost.

    node 1 at 127.0.0.1:P ──dials──> 127.1.x.2:Q, the proxy ──> node 2 at 127.0.0.1:Q
"""
import asyncio
import os
import random
import re
import shutil
import subprocess
import threading
import time

from support import Server, Skipped, free_port

RING_PORT, CLUSTER_PORT = 16379, 7379  # in a namespace
CLIENTS_HOST = 254


class Hosts:
    """Makes servers, each on a host of its own. A server has besides: `ring_address`, and
    `cluster_address` for cluster clients."""

    can_delay = False

    def __init__(self, scratch):
        self.scratch = scratch
        self.count = 0
        self.subnet = os.getpid() % 250 + 1

    def folder(self):
        self.count += 1
        path = os.path.join(self.scratch, f"node{self.count}")
        os.makedirs(path)
        return path

    def cut_both(self, a, b):
        self.cut(a, b)
        self.cut(b, a)

    def mend_both(self, a, b):
        self.mend(a, b)
        self.mend(b, a)

    def __enter__(self):
        return self


class Namespaces(Hosts):
    def __init__(self, scratch):
        super().__init__(scratch)
        self.bridge = f"rdbr{self.subnet}"
        self.names = []
        self.cuts = set()
        if not shutil.which("ip"):
            raise Skipped("there is no ip command here (iproute2)")
        made = ip("link", "add", self.bridge, "type", "bridge", check=False)
        if made:
            raise Skipped(f"network namespaces are not permitted here: {made}")
        ip("addr", "add", f"{self.address(CLIENTS_HOST)}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")

    def address(self, number):
        return f"10.213.{self.subnet}.{number}"

    def blank(self, *options):
        """A server that is not started yet, on a new host."""
        folder = self.folder()
        name, outside = f"rdns{self.subnet}-{self.count}", f"rdv{self.subnet}-{self.count}"
        refused = ip("netns", "add", name, check=False)
        if refused:
            raise Skipped(f"network namespaces are not permitted here: {refused}")
        self.names.append(name)
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", outside, "master", self.bridge, "up")
        host = self.address(self.count)
        ip("-n", name, "addr", "add", f"{host}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        server = Server(folder, ["--protected-mode", "no", "--ring-port", RING_PORT,
                                 "--cluster-port", CLUSTER_PORT, *options],
                        port=6379, host=host, prefix=["ip", "netns", "exec", name])
        server.namespace = name
        server.ring_address = f"{host}:{RING_PORT}"
        server.cluster_address = (host, CLUSTER_PORT)
        return server

    def cut(self, a, b):
        """Nothing that `a` sends reaches `b` from here on."""
        ip("-n", a.namespace, "route", "replace", "blackhole", f"{b.host}/32")
        self.cuts.add((a, b))

    def mend(self, a, b):
        if (a, b) in self.cuts:
            self.cuts.discard((a, b))
            ip("-n", a.namespace, "route", "del", "blackhole", f"{b.host}/32")

    def __exit__(self, *_):
        for name in self.names:
            ip("netns", "del", name, check=False)
        ip("link", "del", self.bridge, check=False)


def ip(*words, check=True):
    """Runs ip(8); the error text, empty when there was none."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stderr.strip() or "it failed" if done.returncode else ""


class Proxies(Hosts):
    can_delay = True

    def __init__(self, scratch):
        super().__init__(scratch)
        self.servers = []
        self.proxy = Proxy(self.dialler)

    def blank(self, *options):
        folder = self.folder()
        host = f"127.1.{self.subnet}.{self.count}"
        ring_port, cluster_port = free_port(), free_port()
        server = Server(folder, ["--ring-announce", host, "--ring-port", ring_port,
                                 "--cluster-port", cluster_port, *options])
        server.ring_address = f"{host}:{ring_port}"
        server.cluster_address = (host, cluster_port)
        self.servers.append(server)
        self.proxy.listen(host, ring_port, server, of_nodes=True)
        self.proxy.listen(host, cluster_port, server, of_nodes=False)
        return server

    def dialler(self, source_port, target_port):
        """Whose connection it is that comes from this port: by the kernel's table of sockets."""
        with open("/proc/net/tcp") as table:
            row = re.search(rf":{source_port:04X} \w+:{target_port:04X} [^\n]*", table.read())
        inode = row[0].split()[8] if row else None
        for server in self.servers:
            if server.process and server.process.poll() is None:
                if owns(server.process.pid, f"socket:[{inode}]"):
                    return server
        return None

    def cut(self, a, b):
        self.proxy.call(lambda: self.proxy.gate(a, b).clear())

    def mend(self, a, b):
        self.proxy.call(lambda: self.proxy.gate(a, b).set())

    def delay(self, a, b, seconds):
        """What `a` sends to `b` takes so long on average; 0: as ever."""
        self.proxy.delays[a, b] = seconds

    def reset(self):
        """Every connection that there is ends at once."""
        self.proxy.call(self.proxy.reset)

    def __exit__(self, *_):
        self.proxy.close()


def owns(pid, link):
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            try:
                if os.readlink(os.path.join(folder, name)) == link:
                    return True
            except OSError:
                continue  # closed meanwhile
    except OSError:
        pass
    return False


class Proxy:
    """Passes connections on, in a thread of its own."""

    CHUNK_BYTES, CHUNKS_HELD = 1 << 16, 64  # of each connection and way

    def __init__(self, dialler):
        self.dialler = dialler
        self.gates = {}   # (from, to) -> an event that is set while what is sent may pass
        self.delays = {}
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, function):
        """Runs it in the proxy's thread, and waits for it."""
        async def run():
            return function()
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def gate(self, a, b):
        if (a, b) not in self.gates:
            self.gates[a, b] = asyncio.Event()
            self.gates[a, b].set()
        return self.gates[a, b]

    def listen(self, host, port, server, of_nodes):
        """What comes to the port goes on to the server's; `of_nodes`: between two nodes."""
        async def serve(reader, writer):
            source = writer.get_extra_info("peername")[1]
            dialler = None
            if of_nodes:  # the kernel's table may be long: not in the loop's own thread
                dialler = await self.loop.run_in_executor(None, self.dialler, source, port)
            await self.serve(reader, writer, port, dialler, server)
        start = asyncio.start_server(serve, host, port)
        asyncio.run_coroutine_threadsafe(start, self.loop).result(30)

    async def serve(self, reader, writer, port, dialler, server):
        try:
            await self.gate(dialler, server).wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, up_writer}
        self.writers |= both
        try:
            await asyncio.gather(self.pass_on(reader, up_writer, dialler, server),
                                 self.pass_on(up_reader, writer, server, dialler))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.writers -= both
            for one in both:
                one.transport.abort()

    async def pass_on(self, reader, writer, a, b):
        """From a to b: the reading goes on while what was read is on its way."""
        held = asyncio.Queue(self.CHUNKS_HELD)
        sending = asyncio.ensure_future(self.send(held, writer, a, b))
        try:
            while data := await reader.read(self.CHUNK_BYTES):
                delay = self.delays.get((a, b), 0)
                await held.put((time.monotonic() + delay * random.uniform(.5, 1.5), data))
            raise ConnectionResetError("one end is closed: so is the other")
        finally:
            sending.cancel()

    async def send(self, held, writer, a, b):
        while True:
            due, data = await held.get()
            there = asyncio.Event()
            self.loop.call_later(max(0, due - time.monotonic()), there.set)
            await there.wait()
            await self.gate(a, b).wait()
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return  # the reading side hears of it

    def reset(self):
        for writer in self.writers:
            writer.transport.abort()

    async def cancel_all(self):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        self.call(self.reset)
        asyncio.run_coroutine_threadsafe(self.cancel_all(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
