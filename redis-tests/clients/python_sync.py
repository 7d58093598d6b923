#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-redis, synchronous: python_sync.py PORT"""

import sys
import threading
import time

import redis

from checks import Checks, equal, holds

PORT = int(sys.argv[1])
BINARY = bytes(range(256)) * 3 + b"\r\n"


def client(**options):
    return redis.Redis(host="127.0.0.1", port=PORT, socket_timeout=10, **options)


def strings():
    """strings: values, options, binary data, numbers"""
    r = client()
    equal(r.set("k", BINARY), True)
    equal(r.get("k"), BINARY)
    equal(r.set("k", "x", nx=True), None)
    equal(r.set("k", "y", xx=True, get=True), BINARY)
    equal(r.getset("k", "z"), b"y")
    equal(r.append("k", "!"), 2)
    equal(r.getrange("k", 0, -1), b"z!")
    equal(r.setrange("k", 1, "?"), 2)
    equal(r.incr("n", 5), 5)
    equal(r.decr("n"), 4)
    equal(r.incrbyfloat("f", 1.5), 1.5)
    equal(r.mset({"a": 1, "b": 2}), True)
    equal(r.mget("a", "b", "none"), [b"1", b"2", None])
    equal(r.msetnx({"b": 3, "c": 4}), False)
    equal(r.getdel("a"), b"1")
    equal(r.setbit("bits", 7, 1), 0)
    equal(r.bitcount("bits"), 1)
    equal(r.bitpos("bits", 1), 7)
    equal(r.bitfield("bf").set("u8", 0, 255).incrby("u8", 0, 1, "SAT").get("u8", 0).execute(),
          [0, 255, 255])


def hashes_and_sets():
    """hashes and sets come back as Python's own"""
    r = client(decode_responses=True)
    equal(r.hset("h", mapping={"a": 1, "b": "two"}), 2)
    equal(r.hgetall("h"), {"a": "1", "b": "two"})
    equal(r.hmget("h", ["a", "none"]), ["1", None])
    equal(r.hincrby("h", "a", 4), 5)
    equal(r.hdel("h", "a", "none"), 1)
    equal(r.hexists("h", "a"), False)
    equal(r.sadd("s", 1, 2, 3), 3)
    equal(r.smembers("s"), {"1", "2", "3"})
    equal(r.sismember("s", 2), True)
    equal(r.smismember("s", [1, 9]), [1, 0])
    equal(r.sadd("t", 3, 4), 2)
    equal(r.sinter("s", "t"), {"3"})
    equal(r.sunion("s", "t"), {"1", "2", "3", "4"})
    equal(r.sdiffstore("d", "s", "t"), 2)
    holds(r.spop("d") in {"1", "2"}, "SPOP gave no member")


def errors():
    """errors arrive as exceptions of the right class"""
    r = client()
    r.set("str", "v")
    for call, text in ((lambda: r.hget("str", "f"), "WRONGTYPE"),
                       (lambda: r.incr("str"), "not an integer"),
                       (lambda: r.execute_command("NOSUCH", "x"), "unknown command"),
                       (lambda: r.execute_command("GET"), "wrong number of arguments")):
        try:
            call()
        except redis.ResponseError as error:
            holds(text in str(error), "the error is %r" % str(error))
        else:
            raise AssertionError("no error with " + text)


def pipelines():
    """pipelines: plain, transactional, with an error inside"""
    r = client()
    with r.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set("p%d" % i, i)
            pipe.get("p%d" % i)
        replies = pipe.execute()
    equal(replies[1::2], [b"%d" % i for i in range(1000)])
    with r.pipeline() as pipe:
        equal(pipe.set("a", 1).incr("a").get("a").hgetall("none").execute(), [True, 2, b"2", {}])
        pipe.set("str", "v").incr("str").set("after", 1)
        equal(pipe.execute(raise_on_error=False)[2], True)
    equal(r.get("after"), b"1")


def watched():
    """WATCH: a changed key makes execute fail, transaction() tries again"""
    r, other = client(), client()
    r.set("k", 1)
    with r.pipeline() as pipe:
        pipe.watch("k")
        other.set("k", 2)
        pipe.multi()
        pipe.set("k", 3)
        try:
            pipe.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("no WatchError")
    equal(r.get("k"), b"2")

    def increment():
        mine = client()
        for _ in range(50):
            def change(pipe):
                value = int(pipe.get("k"))
                pipe.multi()
                pipe.set("k", value + 1)
            mine.transaction(change, "k")
    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(r.get("k"), b"202")


def messages():
    """pub/sub: channels, patterns, counts"""
    r = client(decode_responses=True)
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe("ch")
    p.psubscribe("c*")
    deadline = time.monotonic() + 5
    while r.publish("ch", "hello") < 2 and time.monotonic() < deadline:
        pass
    got = []
    while len(got) < 2 and time.monotonic() < deadline:
        message = p.get_message(timeout=1)
        if message:
            got.append((message["type"], message["channel"], message["data"]))
    equal(sorted(got[:2]), [("message", "ch", "hello"), ("pmessage", "ch", "hello")])
    equal(r.pubsub_numsub("ch"), [("ch", 1)])
    equal(r.pubsub_channels(), ["ch"])
    equal(r.pubsub_numpat(), 1)
    p.close()


def scans():
    """scan_iter, sscan_iter and hscan_iter see everything once or more"""
    r = client(decode_responses=True)
    with r.pipeline(transaction=False) as pipe:
        for i in range(2000):
            pipe.set("scan:%d" % i, i)
        pipe.sadd("s", *range(2000))
        pipe.hset("h", mapping={"f%d" % i: i for i in range(2000)})
        pipe.execute()
    equal(set(r.scan_iter("scan:*", count=100)), {"scan:%d" % i for i in range(2000)})
    equal(set(r.sscan_iter("s")), {str(i) for i in range(2000)})
    equal(dict(r.hscan_iter("h")), {"f%d" % i: str(i) for i in range(2000)})
    equal(set(r.scan_iter(_type="hash")), {"h"})


def deadlines():
    """deadlines: relative, absolute, GETEX, PERSIST"""
    r = client()
    r.set("k", "v", ex=100)
    holds(90 < r.ttl("k") <= 100, "TTL is %r" % r.ttl("k"))
    equal(r.persist("k"), True)
    equal(r.ttl("k"), -1)
    equal(r.expireat("k", 4102444800), True)
    equal(r.execute_command("EXPIRETIME", "k"), 4102444800)
    equal(r.getex("k", px=50), b"v")
    deadline = time.monotonic() + 5
    while r.exists("k") and time.monotonic() < deadline:
        time.sleep(0.01)
    equal(r.get("k"), None)


def threads_share_a_pool():
    """threads on one connection pool lose no increment"""
    r = client()

    def work():
        for _ in range(300):
            r.incr("shared")
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(r.get("shared"), b"2400")


def administration():
    """INFO, CONFIG, CLIENT, databases, SAVE, time, memory as the client parses them"""
    r = client(decode_responses=True, client_name="tester")
    info = r.info()
    holds(info["redis_version"] >= "7", "redis_version %r" % info["redis_version"])
    for name in ("used_memory", "connected_clients", "uptime_in_seconds", "role", "loading"):
        holds(name in info, "no %s in INFO" % name)
    equal(r.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
    equal(r.config_set("slowlog-max-len", 128), True)
    holds(r.client_list()[0]["addr"], "no addr in CLIENT LIST")
    equal(r.client_getname(), "tester")
    holds(r.client_id() > 0, "client id")
    equal(r.echo("x"), "x")
    holds(len(r.time()) == 2, "TIME")
    holds(r.memory_usage("none") is None, "MEMORY USAGE of nothing")
    holds(r.command_count() > 100, "COMMAND COUNT")
    equal(r.command()["get"]["arity"], 2)
    r.slowlog_get()
    other = client(db=3)
    other.set("k", "three")
    equal(r.exists("k"), 0)
    equal(other.dbsize(), 1)
    holds(r.info("keyspace")["db3"]["keys"] == 1, "keyspace of INFO")
    equal(r.ping(), True)


def monitor():
    """monitor() yields the commands of others"""
    r = client()
    with r.monitor() as m:
        r.set("seen", "by monitor")
        for _ in range(10):
            command = m.next_command()["command"]
            if "seen" in command:
                break
        equal(command, "SET seen by monitor")


def main():
    checks = Checks()
    for check in (strings, hashes_and_sets, errors, pipelines, watched, messages, scans,
                  deadlines, threads_share_a_pool, administration, monitor):
        client().flushall()
        checks.run(check)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
