// SPDX-License-Identifier: Apache-2.0
// ioredis in its cluster mode: node cluster_ioredis.js PORT PORT PORT (cluster ports of one ring)
"use strict";

const Redis = require("ioredis");
const { assert, runChecks, until } = require("./checks");
const { ask, insist } = require("./cluster_support");

const ports = process.argv.slice(2).map(Number);
const nodes = ports.map((port) => ({ port, host: "127.0.0.1" }));
const keys = [...Array(300).keys()].map((i) => `key-${i}`);
const connect = (options = {}) => {
  const cluster = new Redis.Cluster(nodes, {
    redisOptions: { connectTimeout: 2000, maxRetriesPerRequest: 3 }, ...options,
  });
  cluster.on("error", () => {});
  cluster.on("node error", () => {});
  return cluster;
};
const redis = connect();

const checks = [
  ["ready, with a master at each cluster port", async () => {
    await until(() => redis.status === "ready");
    await until(() => redis.nodes("master").length === 3);
    assert.deepEqual(redis.nodes("master").map((node) => node.options.port).sort(), ports.sort());
    assert.equal(redis.nodes("slave").length, 0);
    assert.equal((await redis.cluster("SHARDS")).length, 3);
  }],
  ["values of all slots, written without waiting", async () => {
    const done = await Promise.all(keys.map((key) => redis.set(key, `of ${key}`)));
    assert.ok(done.every((reply) => reply === "OK"));
    const values = await Promise.all(keys.map((key) => redis.get(key)));
    assert.deepEqual(values, keys.map((key) => `of ${key}`));
  }],
  ["transactions and pipelines of one slot", async () => {
    const replies = await redis.multi().set("{t}a", 1).incr("{t}a").get("{t}a").exec();
    assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
    assert.deepEqual(await redis.pipeline().set("{t}b", 2).mget("{t}a", "{t}b").exec(),
      [[null, "OK"], [null, ["2", "2"]]]);
    await assert.rejects(redis.mget("a", "b"), /CROSSSLOT/);
    assert.equal(await redis.del("{t}a", "{t}b"), 2);
  }],
  ["scaleReads: reads by any node that serves them", async () => {
    const reading = connect({ scaleReads: "all" });
    const values = await Promise.all(keys.map((key) => reading.get(key)));
    assert.deepEqual(values, keys.map((key) => `of ${key}`));
    reading.disconnect();
  }],
  ["a node is killed: all slots are served again within seconds", async () => {
    await ask("kill");
    let longest = 0;
    for (const key of keys) {
      longest = Math.max(longest, await insist(() => redis.set(key, "after")));
    }
    console.log(`# longest pause of ioredis: ${(longest / 1000).toFixed(2)} s`);
    await ask("start");
    await Promise.all(keys.map((key) => insist(() => redis.append(key, "!"))));
    const fresh = connect();
    const values = await Promise.all(keys.map((key) => fresh.get(key)));
    assert.ok(values.every((value) => value.startsWith("after!")));
    fresh.disconnect();
  }],
];

runChecks(checks, async () => {}).then((failed) => process.exit(failed ? 1 : 0));
