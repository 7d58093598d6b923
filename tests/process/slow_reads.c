/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the server by loading_tests.py: each read of a log segment's records takes
   $SLOW_READS milliseconds longer, so that a recovery takes as long as the test needs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 64

static int is_log(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, ".rdlog") != NULL;
}

ssize_t pread(int fd, void* into, size_t bytes, off_t offset) {
  static ssize_t (*real)(int, void*, size_t, off_t);
  if (!real) real = (ssize_t(*)(int, void*, size_t, off_t))dlsym(RTLD_NEXT, "pread");
  const char* pause = getenv("SLOW_READS");
  if (pause && bytes > HEADER_BYTES && is_log(fd)) poll(NULL, 0, atoi(pause));
  return real(fd, into, bytes, offset);
}
