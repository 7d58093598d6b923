// SPDX-License-Identifier: Apache-2.0
// node-redis, RESP2 and RESP3: node node_redis.js PORT
"use strict";

const { createClient, RESP_TYPES, WatchError } = require("redis");
const { assert, runChecks, until } = require("./checks");

const url = `redis://127.0.0.1:${process.argv[2]}`;
const binary = Buffer.from([...Array(256).keys(), 13, 10, 0]);

function connect(options) {
  const client = createClient({ url, ...options });
  client.on("error", (error) => console.log(`# client error: ${error.message}`));
  return client.connect();
}

function checksFor(RESP) {
  const options = { RESP };
  let client;
  const name = (text) => `RESP${RESP}: ${text}`;
  const before = async () => {
    client = client ?? await connect(options);
    await client.flushAll();
  };
  const checks = [
    ["values", async () => {
      assert.equal(await client.set("k", "v"), "OK");
      assert.equal(await client.get("k"), "v");
      assert.equal(await client.get("none"), null);
      assert.equal(await client.set("k", "w", { NX: true }), null);
      assert.equal(await client.hSet("h", { a: "1", b: "2" }), 2);
      assert.deepEqual({ ...(await client.hGetAll("h")) }, { a: "1", b: "2" });
      assert.deepEqual({ ...(await client.hGetAll("none")) }, {});
      assert.equal(await client.sAdd("s", ["x", "y"]), 2);
      assert.deepEqual([...(await client.sMembers("s"))].sort(), ["x", "y"]);
      assert.deepEqual(await client.mGet(["k", "none"]), ["v", null]);
      assert.equal(Number(await client.sIsMember("s", "x")), 1);
      assert.equal(await client.incrByFloat("f", 1.5), "1.5");
      assert.equal(await client.type("h"), "hash");
      assert.deepEqual(await client.hRandFieldCount("none", 3), []);
    }],
    ["binary values", async () => {
      await client.set("b", binary);
      const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      assert.deepEqual(await buffers.get("b"), binary);
    }],
    ["commands written without waiting keep their order", async () => {
      const replies = await Promise.all([...Array(1000).keys()].map(() => client.incr("n")));
      assert.deepEqual(replies, [...Array(1000).keys()].map((i) => i + 1));
    }],
    ["transactions", async () => {
      assert.deepEqual(await client.multi().set("k", "1").incr("k").get("k").exec(),
        ["OK", 2, "2"]);
      assert.deepEqual(await client.multi().set("a", "1").get("a").execAsPipeline(), ["OK", "1"]);
      await client.set("str", "v");
      await assert.rejects(client.multi().set("x", "1").incr("str").exec());
      assert.equal(await client.get("x"), "1");
    }],
    ["WATCH", async () => {
      const other = await connect(options);
      await client.watch("k");
      await other.set("k", "2");
      await assert.rejects(client.multi().set("k", "3").exec(), WatchError);
      assert.equal(await client.get("k"), "2");
      await other.close();
    }],
    ["pub/sub", async () => {
      const subscriber = await connect(options);
      const got = [];
      await subscriber.subscribe("a", (message, channel) => got.push([channel, message]));
      await subscriber.pSubscribe("x*", (message, channel) => got.push([channel, message]));
      await subscriber.sSubscribe("shard", (message, channel) => got.push([channel, message]));
      assert.equal(await client.publish("a", "1"), 1);
      assert.equal(await client.publish("xyz", "2"), 1);
      assert.equal(await client.sPublish("shard", "3"), 1);
      await until(async () => got.length === 3);
      assert.deepEqual(got.sort(), [["a", "1"], ["shard", "3"], ["xyz", "2"]]);
      await subscriber.unsubscribe("a");
      await subscriber.pUnsubscribe("x*");
      await subscriber.sUnsubscribe("shard");
      assert.equal(await client.publish("a", "4"), 0);
      await subscriber.close();
    }],
    ["scan iterators", async () => {
      const batch = client.multi();
      for (let i = 0; i < 1000; i += 1) batch.set(`scan:${i}`, `${i}`).sAdd("s", `${i}`);
      await batch.execAsPipeline();
      const seen = new Set();
      for await (const keys of client.scanIterator({ MATCH: "scan:*", COUNT: 50 })) {
        [keys].flat().forEach((key) => seen.add(key));
      }
      assert.equal(seen.size, 1000);
      const members = new Set();
      for await (const page of client.sScanIterator("s")) {
        [page].flat().forEach((member) => members.add(member));
      }
      assert.equal(members.size, 1000);
    }],
    ["errors", async () => {
      await client.set("str", "v");
      await assert.rejects(client.hGet("str", "f"), /WRONGTYPE/);
      await assert.rejects(client.sendCommand(["NOSUCH", "x"]), /unknown command/);
    }],
    ["names, databases, administration", async () => {
      const other = await connect({ ...options, name: "tester", database: 3 });
      assert.equal(await other.clientGetName(), "tester");
      await other.set("k", "three");
      assert.equal(await client.exists("k"), 0);
      assert.deepEqual({ ...(await client.configGet("maxmemory-policy")) },
        { "maxmemory-policy": "noeviction" });
      assert.match(await client.info("server"), /redis_version:7/);
      assert.ok((await client.clientList()).length >= 2);
      assert.ok((await client.commandCount()) > 100);
      await other.close();
    }],
    ["closes", async () => {
      await client.close();
      client = undefined;
    }],
  ];
  return [checks.map(([text, check]) => [name(text), check]), before];
}

(async () => {
  let failed = 0;
  for (const RESP of [2, 3]) {
    failed += await runChecks(...checksFor(RESP));
  }
  process.exit(failed ? 1 : 0);
})();
