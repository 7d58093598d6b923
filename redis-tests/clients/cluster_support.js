// SPDX-License-Identifier: Apache-2.0
// What the tests of cluster modes share.
"use strict";

const readline = require("node:readline");

const RECOVERY_MS_MAX = 10_000;
const ANSWER_MS_MAX = 3000;

const lines = readline.createInterface({ input: process.stdin });

// Prints the word, upon which who started this kills a node, or starts it again, and says so.
function ask(word) {
  return new Promise((resolve) => {
    lines.once("line", resolve);
    console.log(word);
  });
}

// Tries until it succeeds; gives the milliseconds that this took. An answer that does not come
// counts as a failure.
async function insist(action) {
  const started = Date.now();
  for (;;) {
    try {
      await withinSeconds(action());
      return Date.now() - started;
    } catch (error) {
      if (Date.now() - started > RECOVERY_MS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

function withinSeconds(promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("no answer")), ANSWER_MS_MAX).unref();
  });
  return Promise.race([promise, late]);
}

module.exports = { ask, insist, withinSeconds };
