#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three nodes of one ring on this machine, until Ctrl-C: `make ring`.

    run_ring.py SERVER DATA

Each node has its settings in conf/ring/nodeN.conf, its data in DATA/nodeN and its log beside it.
"""
import os
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODES = (1, 2, 3)

GREETING = """
Three nodes form a ring: ports 7001, 7002 and 7003, each key on all three.

  write by one, read by another   redis-cli -p 7001 set hello world; redis-cli -p 7002 get hello
  see the ring                    redis-cli -p 7001 ring.status
  as a cluster client             redis-cli -c -p 7011 set hello world     (7011, 7012, 7013)
  lose a node                     kill -9 {victim}      (7003; writes go on)
  have it back                    {command}
  data and logs                   {data}
  to stop all                     Ctrl-C
"""


def main():
    server, data = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    processes, commands = [], []
    for number in NODES:
        folder = os.path.join(data, f"node{number}")
        os.makedirs(folder, exist_ok=True)
        commands.append([server, os.path.join(ROOT, "conf", "ring", f"node{number}.conf"),
                         "--dir", folder])
        with open(os.path.join(data, f"node{number}.log"), "ab") as log:
            processes.append(subprocess.Popen(commands[-1], stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=subprocess.STDOUT, start_new_session=True))
    print(GREETING.format(victim=processes[-1].pid, command=" ".join(commands[-1]), data=data),
          flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()


if __name__ == "__main__":
    main()
