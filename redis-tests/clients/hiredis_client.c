// SPDX-License-Identifier: Apache-2.0
// hiredis: hiredis_client PORT. Prints "ok - name" or "not ok - name: reason" for each check.

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static char reason[512];

// Fails the running check with a text, once.
#define EXPECT(condition)                                                       \
  do {                                                                          \
    if (!(condition) && reason[0] == '\0') {                                    \
      snprintf(reason, sizeof reason, "line %d: %s", __LINE__, #condition);     \
    }                                                                           \
  } while (0)

static redisContext* Connect(int port) {
  struct timeval timeout = {10, 0};
  redisContext* context = redisConnectWithTimeout("127.0.0.1", port, timeout);
  if (context == NULL || context->err) {
    printf("not ok - connect: %s\n", context ? context->errstr : "out of memory");
    exit(1);
  }
  redisSetTimeout(context, timeout);
  return context;
}

// Sends one command; a lost connection ends the program.
static redisReply* Call(redisContext* context, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  redisReply* reply = redisvCommand(context, format, arguments);
  va_end(arguments);
  if (reply == NULL) {
    printf("not ok - connection: %s\n", context->errstr);
    exit(1);
  }
  return reply;
}

static int IsText(const redisReply* reply, int type, const char* text) {
  return reply->type == type && reply->len == strlen(text) &&
         memcmp(reply->str, text, strlen(text)) == 0;
}

static void Values(redisContext* c) {
  redisReply* reply = Call(c, "SET %s %s", "k", "v");
  EXPECT(IsText(reply, REDIS_REPLY_STATUS, "OK"));
  freeReplyObject(reply);
  char binary[258];
  for (int i = 0; i < 258; ++i) binary[i] = (char)i;
  freeReplyObject(Call(c, "SET %b %b", binary, (size_t)40, binary, sizeof binary));
  reply = Call(c, "GET %b", binary, (size_t)40);
  EXPECT(reply->type == REDIS_REPLY_STRING && reply->len == sizeof binary);
  EXPECT(memcmp(reply->str, binary, sizeof binary) == 0);
  freeReplyObject(reply);
  reply = Call(c, "GET nothing");
  EXPECT(reply->type == REDIS_REPLY_NIL);
  freeReplyObject(reply);
  reply = Call(c, "INCRBY n 41");
  EXPECT(reply->type == REDIS_REPLY_INTEGER && reply->integer == 41);
  freeReplyObject(reply);
  reply = Call(c, "HSET h f v g w");
  EXPECT(reply->integer == 2);
  freeReplyObject(reply);
  reply = Call(c, "HGETALL h");
  EXPECT(reply->type == REDIS_REPLY_ARRAY && reply->elements == 4);
  freeReplyObject(reply);
  reply = Call(c, "HGET k f");
  EXPECT(reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0);
  freeReplyObject(reply);
}

static void Pipelines(redisContext* c) {
  const int count = 10000;
  for (int i = 0; i < count; ++i) redisAppendCommand(c, "INCR pipeline");
  for (int i = 0; i < count; ++i) {
    redisReply* reply = NULL;
    if (redisGetReply(c, (void**)&reply) != REDIS_OK) {
      printf("not ok - connection: %s\n", c->errstr);
      exit(1);
    }
    EXPECT(reply->type == REDIS_REPLY_INTEGER && reply->integer == i + 1);
    freeReplyObject(reply);
  }
}

static void Transactions(redisContext* c) {
  freeReplyObject(Call(c, "SET k 1"));
  freeReplyObject(Call(c, "MULTI"));
  redisReply* reply = Call(c, "INCR k");
  EXPECT(IsText(reply, REDIS_REPLY_STATUS, "QUEUED"));
  freeReplyObject(reply);
  freeReplyObject(Call(c, "GET k"));
  reply = Call(c, "EXEC");
  EXPECT(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2);
  EXPECT(reply->elements == 2 && reply->element[0]->integer == 2);
  EXPECT(reply->elements == 2 && IsText(reply->element[1], REDIS_REPLY_STRING, "2"));
  freeReplyObject(reply);
}

static void Watch(redisContext* c) {
  redisContext* other = Connect(c->tcp.port);
  freeReplyObject(Call(c, "WATCH k"));
  freeReplyObject(Call(other, "SET k changed"));
  freeReplyObject(Call(c, "MULTI"));
  freeReplyObject(Call(c, "SET k mine"));
  redisReply* reply = Call(c, "EXEC");
  EXPECT(reply->type == REDIS_REPLY_NIL);
  freeReplyObject(reply);
  reply = Call(c, "GET k");
  EXPECT(IsText(reply, REDIS_REPLY_STRING, "changed"));
  freeReplyObject(reply);
  redisFree(other);
}

static void Messages(redisContext* c) {
  redisContext* subscriber = Connect(c->tcp.port);
  freeReplyObject(Call(subscriber, "SUBSCRIBE ch"));
  for (int i = 0; i < 100; ++i) {
    redisReply* reply = Call(c, "PUBLISH ch %d", i);
    EXPECT(reply->integer == 1);
    freeReplyObject(reply);
  }
  for (int i = 0; i < 100; ++i) {
    redisReply* reply = NULL;
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d", i);
    if (redisGetReply(subscriber, (void**)&reply) != REDIS_OK) {
      EXPECT(!"a message is missing");
      break;
    }
    EXPECT(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3);
    EXPECT(reply->elements == 3 && IsText(reply->element[2], REDIS_REPLY_STRING, wanted));
    freeReplyObject(reply);
  }
  redisFree(subscriber);
}

static void Scans(redisContext* c) {
  for (int i = 0; i < 1000; ++i) redisAppendCommand(c, "SADD s member:%d", i);
  for (int i = 0; i < 1000; ++i) {
    redisReply* reply = NULL;
    if (redisGetReply(c, (void**)&reply) == REDIS_OK) freeReplyObject(reply);
  }
  static char seen[1000];
  memset(seen, 0, sizeof seen);
  char cursor[32] = "0";
  do {
    redisReply* reply = Call(c, "SSCAN s %s COUNT 37", cursor);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
      EXPECT(!"SSCAN gives a cursor and members");
      freeReplyObject(reply);
      return;
    }
    snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
    for (size_t i = 0; i < reply->element[1]->elements; ++i) {
      int number = atoi(reply->element[1]->element[i]->str + strlen("member:"));
      if (number >= 0 && number < 1000) seen[number] = 1;
    }
    freeReplyObject(reply);
  } while (strcmp(cursor, "0") != 0);
  for (int i = 0; i < 1000; ++i) EXPECT(seen[i]);
}

static void LargeValues(redisContext* c) {
  const size_t size = 20 * 1000 * 1000;
  char* value = malloc(size);
  for (size_t i = 0; i < size; ++i) value[i] = (char)(i * 31 + i / 4096);
  freeReplyObject(Call(c, "SET large %b", value, size));
  redisReply* reply = Call(c, "GET large");
  EXPECT(reply->type == REDIS_REPLY_STRING && reply->len == size);
  EXPECT(reply->len == size && memcmp(reply->str, value, size) == 0);
  freeReplyObject(reply);
  free(value);
}

static void Run(redisContext* c, const char* name, void (*check)(redisContext*)) {
  reason[0] = '\0';
  freeReplyObject(Call(c, "FLUSHALL"));
  check(c);
  if (reason[0] == '\0') {
    printf("ok - %s\n", name);
  } else {
    ++failures;
    printf("not ok - %s: %s\n", name, reason);
  }
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  redisContext* c = Connect(atoi(argv[1]));
  Run(c, "values", Values);
  Run(c, "a pipeline of 10,000", Pipelines);
  Run(c, "transactions", Transactions);
  Run(c, "WATCH", Watch);
  Run(c, "pub/sub", Messages);
  Run(c, "scans", Scans);
  Run(c, "a value of 20 MB", LargeValues);
  redisFree(c);
  return failures ? 1 : 0;
}
