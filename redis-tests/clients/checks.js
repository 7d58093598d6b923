// SPDX-License-Identifier: Apache-2.0
// The output of a client's test: one line "ok - name" or "not ok - name: reason" per check.
"use strict";

const assert = require("node:assert/strict");

const CHECK_SECONDS = 30;

// Runs [name, async function] pairs one after the other; `before` empties the server each time.
async function runChecks(list, before) {
  let failed = 0;
  for (const [name, check] of list) {
    try {
      await before();
      await Promise.race([check(), timeout(CHECK_SECONDS)]);
      console.log(`ok - ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok - ${name}: ${error.stack}`);
    }
  }
  return failed;
}

function timeout(seconds) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not done after ${seconds} s`)), seconds * 1000).unref();
  });
}

// Waits until the async condition holds; fails after `seconds`.
async function until(condition, seconds = 5) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, "the condition never held");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

module.exports = { assert, runChecks, until };
