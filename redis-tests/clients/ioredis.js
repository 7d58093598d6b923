// SPDX-License-Identifier: Apache-2.0
// ioredis: node ioredis.js PORT
"use strict";

const Redis = require("ioredis");
const { assert, runChecks, until } = require("./checks");

const port = Number(process.argv[2]);
const connect = (options = {}) => new Redis({ port, host: "127.0.0.1", ...options });
const redis = connect();
const binary = Buffer.from([...Array(256).keys(), 13, 10, 0]);

const checks = [
  ["ready after INFO, with a name and a database", async () => {
    const other = connect({ connectionName: "tester", db: 3 });
    await new Promise((resolve, reject) => {
      other.once("ready", resolve);
      other.once("error", reject);
    });
    assert.equal(await other.client("GETNAME"), "tester");
    await other.set("k", "three");
    assert.equal(await redis.exists("k"), 0);
    await other.quit();
  }],
  ["values, binary too", async () => {
    assert.equal(await redis.set("k", "v"), "OK");
    assert.equal(await redis.get("k"), "v");
    await redis.set("b", binary);
    assert.deepEqual(await redis.getBuffer("b"), binary);
    assert.equal(await redis.get("none"), null);
    assert.equal(await redis.hset("h", { a: 1, b: "two" }), 2);
    assert.deepEqual(await redis.hgetall("h"), { a: "1", b: "two" });
    assert.deepEqual(await redis.hgetall("none"), {});
    assert.equal(await redis.sadd("s", 1, 2, 3), 3);
    assert.deepEqual((await redis.smembers("s")).sort(), ["1", "2", "3"]);
    assert.deepEqual(await redis.mget("k", "none"), ["v", null]);
    assert.equal(await redis.incrbyfloat("f", 1.5), "1.5");
    assert.equal(await redis.set("k", "w", "EX", 100, "NX"), null);
  }],
  ["commands written without waiting keep their order", async () => {
    const replies = await Promise.all([...Array(1000).keys()].map(() => redis.incr("n")));
    assert.deepEqual(replies, [...Array(1000).keys()].map((i) => i + 1));
  }],
  ["auto pipelining", async () => {
    const auto = connect({ enableAutoPipelining: true });
    const replies = await Promise.all([...Array(300).keys()].map(() => auto.incr("n")));
    assert.deepEqual(replies, [...Array(300).keys()].map((i) => i + 1));
    await auto.quit();
  }],
  ["pipelines with an error inside", async () => {
    const replies = await redis.pipeline().set("k", "v").incr("k").get("k").exec();
    assert.equal(replies[0][1], "OK");
    assert.match(replies[1][0].message, /not an integer/);
    assert.equal(replies[2][1], "v");
  }],
  ["transactions", async () => {
    assert.deepEqual(await redis.multi().set("k", 1).incr("k").hgetall("none").exec(),
      [[null, "OK"], [null, 2], [null, {}]]);
    await assert.rejects(redis.multi().set("k").exec(), /EXECABORT/);
    const plain = connect();
    await plain.multi({ pipeline: false });
    assert.equal(await plain.get("k"), "QUEUED");
    assert.deepEqual(await plain.exec(), [[null, "2"]]);
    await plain.quit();
  }],
  ["WATCH", async () => {
    const other = connect();
    await redis.set("k", 1);
    await redis.watch("k");
    await other.set("k", 2);
    assert.equal(await redis.multi().set("k", 3).exec(), null);
    await redis.watch("k");
    assert.deepEqual(await redis.multi().incr("k").exec(), [[null, 3]]);
    await other.quit();
  }],
  ["pub/sub", async () => {
    const subscriber = connect();
    const got = [];
    subscriber.on("message", (channel, message) => got.push(["message", channel, message]));
    subscriber.on("pmessage", (pattern, channel, message) => got.push([pattern, channel, message]));
    assert.equal(await subscriber.subscribe("a", "b"), 2);
    await subscriber.psubscribe("x*");
    assert.equal(await redis.publish("a", "1"), 1);
    assert.equal(await redis.publish("xyz", "2"), 1);
    await until(async () => got.length === 2);
    assert.deepEqual(got, [["message", "a", "1"], ["x*", "xyz", "2"]]);
    await subscriber.unsubscribe("a", "b");
    assert.equal(await redis.publish("a", "3"), 0);
    await subscriber.quit();
  }],
  ["scan streams", async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 1000; i += 1) {
      pipeline.set(`scan:${i}`, i).sadd("s", i).hset("h", `f${i}`, i);
    }
    await pipeline.exec();
    const seen = new Set();
    for await (const keys of redis.scanStream({ match: "scan:*", count: 50 })) {
      keys.forEach((key) => seen.add(key));
    }
    assert.equal(seen.size, 1000);
    const members = new Set();
    for await (const page of redis.sscanStream("s")) page.forEach((m) => members.add(m));
    assert.equal(members.size, 1000);
    const fields = new Set();
    for await (const page of redis.hscanStream("h")) page.forEach((f) => fields.add(f));
    assert.ok(fields.has("f999"));
  }],
  ["errors", async () => {
    await redis.set("str", "v");
    await assert.rejects(redis.hget("str", "f"), /WRONGTYPE/);
    await assert.rejects(redis.call("NOSUCH", "x"), /unknown command/);
  }],
  ["monitor", async () => {
    const monitor = await connect().monitor();
    const seen = [];
    monitor.on("monitor", (time, args) => seen.push(args));
    await redis.set("seen", "by monitor");
    await until(async () => seen.some((args) => args[1] === "seen"));
    monitor.disconnect();
  }],
  ["keyspace notifications of expired keys", async () => {
    await redis.config("SET", "notify-keyspace-events", "Ex");
    const subscriber = connect();
    const got = [];
    subscriber.on("message", (channel, message) => got.push(message));
    await subscriber.subscribe("__keyevent@0__:expired");
    await redis.set("short", "v", "PX", 30);
    await until(async () => got.includes("short"));
    await redis.config("SET", "notify-keyspace-events", "");
    await subscriber.quit();
  }],
  ["reconnects after CLIENT KILL", async () => {
    const victim = connect({ retryStrategy: () => 20 });
    const id = await victim.client("ID");
    await redis.client("KILL", "ID", id);
    await until(async () => (await victim.ping()) === "PONG");
    assert.notEqual(await victim.client("ID"), id);
    await victim.quit();
  }],
];

runChecks(checks, () => redis.flushall()).then(async (failed) => {
  await redis.quit();
  process.exit(failed ? 1 : 0);
});
