// SPDX-License-Identifier: Apache-2.0
// node-redis in its cluster mode: node cluster_node_redis.js PORT PORT PORT (cluster ports of one
// ring)
"use strict";

const { createCluster } = require("redis");
const { assert, runChecks } = require("./checks");
const { ask, insist, withinSeconds } = require("./cluster_support");

const ports = process.argv.slice(2).map(Number);
const keys = [...Array(300).keys()].map((i) => `key-${i}`);

async function connect(options = {}) {
  const cluster = createCluster({
    rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
    defaults: { socket: { connectTimeout: 2000 } },
    ...options,
  });
  cluster.on("error", () => {});
  cluster.on("node-error", () => {});
  await cluster.connect();
  return cluster;
}

async function main() {
  const redis = await connect();
  const checks = [
    ["a master at each cluster port, every slot of one of them", async () => {
      assert.equal(redis.masters.length, 3);
      assert.equal(redis.replicas.length, 0);
      assert.equal(redis.slots.filter((shard) => shard?.master).length, 16384);
    }],
    ["values of all slots, written without waiting", async () => {
      const done = await Promise.all(keys.map((key) => redis.set(key, `of ${key}`)));
      assert.ok(done.every((reply) => reply === "OK"));
      const values = await Promise.all(keys.map((key) => redis.get(key)));
      assert.deepEqual(values, keys.map((key) => `of ${key}`));
    }],
    ["transactions of one slot", async () => {
      const replies = await redis.multi().set("{t}a", "1").incr("{t}a").get("{t}a").exec();
      assert.deepEqual(replies, ["OK", 2, "2"]);
      await assert.rejects(redis.mGet(["a", "b"]), /CROSSSLOT/);
      assert.equal(await redis.del("{t}a"), 1);
    }],
    ["RESP3, and reads by replicas if there were any", async () => {
      const reading = await connect({ RESP: 3, useReplicas: true });
      const values = await Promise.all(keys.map((key) => reading.get(key)));
      assert.deepEqual(values, keys.map((key) => `of ${key}`));
      reading.destroy();
    }],
    // node-redis asks for the map again upon MOVED only (its issue 2806), which the slots of living
    // nodes never give: for those of the dead one it waits, and a new client has to be made.
    ["a node is killed: a new client is served all slots within seconds", async () => {
      await ask("kill");
      let longest = 0;
      let client = await connect();
      for (const key of keys) {
        longest = Math.max(longest, await insist(async () => {
          try {
            await withinSeconds(client.set(key, "after"));
          } catch (error) {
            client.destroy();
            client = await connect();
            throw error;
          }
        }));
      }
      client.destroy();
      console.log(`# longest pause of node-redis: ${(longest / 1000).toFixed(2)} s`);
    }],
    ["the node is back: the old client is served all slots, too", async () => {
      await ask("start");
      await Promise.all(keys.map((key) => insist(() => redis.append(key, "!"))));
      const fresh = await connect();
      const values = await Promise.all(keys.map((key) => fresh.get(key)));
      assert.ok(values.every((value) => value.startsWith("after!")));
      fresh.destroy();
    }],
  ];
  const failed = await runChecks(checks, async () => {});
  process.exit(failed ? 1 : 0);
}

main().catch((error) => {
  console.log(`not ok - connect: ${error.stack}`);
  process.exit(1);
});
