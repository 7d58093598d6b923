#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the JavaScript clients that redis-tests/clients drives, from its lock file, unless they
# are there already.
set -u
cd "$(dirname "$0")/../redis-tests/clients" || exit 1
[ -d node_modules/ioredis ] && [ -d node_modules/redis ] && exit 0
npm ci --no-audit --no-fund --loglevel=error </dev/null
