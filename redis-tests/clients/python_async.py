#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-redis, asyncio: python_async.py PORT"""

import asyncio
import sys

import redis.asyncio as redis
from redis.exceptions import ResponseError, WatchError

from checks import Checks, equal

PORT = int(sys.argv[1])
BINARY = bytes(range(256)) + b"\r\n\x00"


def client(**options):
    return redis.Redis(host="127.0.0.1", port=PORT, socket_timeout=10, **options)


async def values():
    """values of every kind, binary too"""
    async with client() as r:
        equal(await r.set("k", BINARY), True)
        equal(await r.get("k"), BINARY)
        equal(await r.hset("h", mapping={"a": 1, "b": 2}), 2)
        equal(await r.hgetall("h"), {b"a": b"1", b"b": b"2"})
        equal(await r.sadd("s", "x", "y"), 2)
        equal(await r.smembers("s"), {b"x", b"y"})
        equal(await r.incrbyfloat("f", 0.1), 0.1)
        equal(await r.get("none"), None)


async def concurrent():
    """five hundred increments at the same time, over a pool"""
    async with client(max_connections=50) as r:
        pool = asyncio.Semaphore(50)

        async def increment():
            async with pool:
                return await r.incr("n")
        replies = await asyncio.gather(*[increment() for _ in range(500)])
        equal(sorted(replies), list(range(1, 501)))


async def pipelines():
    """pipelines and transactions"""
    async with client() as r:
        async with r.pipeline(transaction=False) as pipe:
            for i in range(500):
                pipe.incr("p")
            equal(await pipe.execute(), list(range(1, 501)))
        async with r.pipeline(transaction=True) as pipe:
            equal(await pipe.set("a", 5).incr("a").get("a").execute(), [True, 6, b"6"])


async def watched():
    """WATCH fails when another client changes the key"""
    async with client() as r, client() as other:
        await r.set("k", 1)
        async with r.pipeline() as pipe:
            await pipe.watch("k")
            await other.set("k", 2)
            pipe.multi()
            pipe.set("k", 3)
            try:
                await pipe.execute()
            except WatchError:
                pass
            else:
                raise AssertionError("no WatchError")
        equal(await r.get("k"), b"2")


async def messages():
    """pub/sub in a task of its own"""
    async with client(decode_responses=True) as r:
        p = r.pubsub()
        await p.subscribe("ch")
        await p.psubscribe("c*")
        got = []

        async def read():
            async for message in p.listen():
                got.append((message["type"], message["data"]))
                if message["data"] == "end" and message["type"] == "pmessage":
                    return
        task = asyncio.create_task(read())
        while await r.publish("ch", "warm-up") < 2:
            await asyncio.sleep(0.01)
        for i in range(20):
            await r.publish("ch", str(i))
        await r.publish("ch", "end")
        await asyncio.wait_for(task, 10)
        equal([data for kind, data in got if kind == "message" and data.isdigit()],
              [str(i) for i in range(20)])
        await p.close()


async def scans():
    """scan_iter sees every key"""
    async with client(decode_responses=True) as r:
        await r.mset({"scan:%d" % i: i for i in range(1500)})
        seen = {key async for key in r.scan_iter("scan:*", count=50)}
        equal(seen, {"scan:%d" % i for i in range(1500)})


async def errors():
    """errors arrive as exceptions"""
    async with client() as r:
        await r.set("str", "v")
        try:
            await r.sadd("str", "x")
        except ResponseError as error:
            equal(str(error).startswith("WRONGTYPE"), True)
        else:
            raise AssertionError("no error")


async def main():
    checks = Checks()
    for check in (values, concurrent, pipelines, watched, messages, scans, errors):
        async with client() as r:
            await r.flushall()
        await checks.run_async(check)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
