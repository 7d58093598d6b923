// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>

#include "server/command.h"
#include "server/config_row.h"
#include "server/config_words.h"
#include "tests/server/config_support.h"

namespace redynamo {
namespace {

using config_test::GetAll;
using config_test::Load;
using config_test::Set;
using config_test::Value;

TEST_CASE("config: every name that CONFIG GET * of Redis 7.0 shows is shown") {
  Settings settings;
  const auto all = GetAll(settings, "*");
  std::istringstream names{std::string(config_test::kRedis70Names)};
  int count = 0;
  for (std::string name; names >> name; ++count) {
    CAPTURE(name);
    CHECK(all.contains(name));
  }
  CHECK(count == 192);
}

TEST_CASE("config: defaults are those of Redis 7.0, but for the ones that make us durable") {
  Settings settings;
  const std::map<std::string, std::string> expected = {
      {"port", "6379"},
      {"bind", "* -::*"},
      {"save", "3600 1 300 100 60 10000"},
      {"maxmemory", "0"},
      {"hash-max-ziplist-entries", "512"},
      {"client-query-buffer-limit", "1073741824"},
      {"client-output-buffer-limit",
       "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"},
      {"latency-tracking-info-percentiles", "50 99 99.9"},
      {"oom-score-adj-values", "0 200 800"},
      {"notify-keyspace-events", ""},
      {"shutdown-on-sigint", "default"},
      {"unixsocketperm", "0"},
      {"proc-title-template", "{title} {listen-addr} {server-mode}"},
      {"replicaof", ""},
      {"slaveof", ""},
      {"repl-backlog-size", "1048576"},
      {"list-max-ziplist-size", "-2"},
      // ours
      {"appendonly", "yes"},
      {"appendfsync", "always"},
      {"maxmemory-policy", "page-out"},
      {"checkpoint-log-bytes", "1073741824"},
      {"checkpoint-interval", "60"},
      {"scrub-interval", "604800"},
      {"log-salvage", "no"},
  };
  for (const auto& [name, value] : expected) {
    CAPTURE(name);
    CHECK(Value(settings, name) == value);
  }
  const Config& config = settings.config();
  CHECK(config.appendfsync == AppendFsync::kAlways);
  CHECK(config.maxmemory_policy == MaxmemoryPolicy::kPageOut);
  CHECK(config.proto_max_bulk_len_bytes == 512u << 20);
  CHECK(config.slowlog_log_slower_than_us == 10000);
  CHECK(config.client_output_buffer_limit[kClientPubsub] ==
        OutputBufferLimit{32u << 20, 8u << 20, 60});
  CHECK(config.bind == std::vector<std::string>{"*", "-::*"});
}

TEST_CASE("config: each row is whole: a doc line, one place for its value, a default in range") {
  std::map<std::string, int> names;
  for (const SettingRow* row : AllSettings()) {
    CAPTURE(row->name);
    CHECK(!row->doc.empty());
    CHECK(row->name == ToLower(row->name));
    ++names[std::string(row->name)];
    if (!row->alias.empty()) ++names[std::string(row->alias)];
    const int places =
        (row->list != nullptr) + (row->number.get != nullptr) + (row->text != nullptr);
    CHECK(places <= 1);
    if (!row->Has(kKept)) CHECK(places == 1);
    CHECK((row->type == SettingType::kEnum) == !row->choices.empty());
    CHECK((row->type == SettingType::kList) == (row->list != nullptr));
    CHECK(!AllowedText(*row).empty());
  }
  for (const auto& [name, count] : names) {
    CAPTURE(name);
    CHECK(count == 1);
  }
}

TEST_CASE("config: GET takes several globs, any case, and shows each setting once") {
  Settings settings;
  const std::string_view globs[] = {"MAXMEMORY", "max*memory", "slave-priorit?", "nosuch"};
  const auto found = settings.Get(globs);
  REQUIRE(found.size() == 2);
  CHECK(found[0] == Settings::NameValue{"maxmemory", "0"});
  CHECK(found[1] == Settings::NameValue{"slave-priority", "100"});
  CHECK(GetAll(settings, "rename-command").empty());
  CHECK(!settings.GetOne("nosuch").ok());
}

TEST_CASE("config: SET changes all or nothing, and the members with it") {
  Settings settings;
  settings.OnChange({"maxmemory", "maxmemory-policy"}, [](const Config&) { return Status::Ok(); });
  CHECK(Set(settings, {{"maxmemory", "100mb"}, {"TIMEOUT", "7"}, {"tls-ciphers", "x y"}}) == "OK");
  CHECK(settings.config().maxmemory_bytes == 100u << 20);
  CHECK(settings.config().timeout_seconds == 7);
  CHECK(Value(settings, "maxmemory") == "104857600");
  CHECK(Value(settings, "tls-ciphers") == "x y");

  CHECK(Set(settings, {{"maxmemory", "1gb"}, {"tls-ciphers", "z"}, {"maxmemory-policy", "zz"}}) !=
        "OK");
  CHECK(settings.config().maxmemory_bytes == 100u << 20);
  CHECK(Value(settings, "tls-ciphers") == "x y");
  // A setting and its older name are two names; the later wins.
  CHECK(Set(settings, {{"replica-priority", "1"}, {"slave-priority", "2"}}) == "OK");
  CHECK(Value(settings, "replica-priority") == "2");
}

TEST_CASE("config: SET refuses in Redis' words") {
  Settings settings;
  const auto failed = [](const std::string& name, const std::string& why) {
    return "ERR CONFIG SET failed (possibly related to argument '" + name + "') - " + why;
  };
  const auto set = [&](const std::string& name, const std::string& value) {
    return Set(settings, {{name, value}});
  };
  CHECK(set("port", "99999") == failed("port", "argument must be between 0 and 65535 inclusive"));
  for (const char* bad : {"x", "", "0x10", "+5", "12 ", "007", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK(set("port", bad) == failed("port", "argument couldn't be parsed into an integer"));
  }
  for (const char* bad : {"abc", "1mbb", "-1", "1.5gb", "1t", "9999999999gb"}) {
    CAPTURE(bad);
    CHECK(set("maxmemory", bad) == failed("maxmemory", "argument must be a memory value"));
  }
  CHECK(set("proto-max-bulk-len", "1") ==
        failed("proto-max-bulk-len",
               "argument must be between 1048576 and 9223372036854775807 inclusive"));
  CHECK(set("appendfsync", "foo") ==
        failed("appendfsync", "argument(s) must be one of the following: everysec, always, no"));
  CHECK(set("appendonly", "maybe") == failed("appendonly", "argument must be 'yes' or 'no'"));
  CHECK(set("daemonize", "yes") == failed("daemonize", "can't set immutable config"));
  CHECK(set("replicaof", "a 1") == failed("replicaof", "can't set immutable config"));
  CHECK(set("dir", "/tmp") == failed("dir", "can't set protected config"));
  CHECK(set("dbfilename", "x") == failed("dbfilename", "can't set protected config"));
  CHECK(set("nosuch", "1") ==
        "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
  CHECK(set("rename-command", "a b") ==
        "ERR Unknown option or number of arguments for CONFIG SET - 'rename-command'");
  CHECK(Set(settings, {{"timeout", "1"}, {"timeout", "2"}}) ==
        failed("timeout", "duplicate parameter"));
  CHECK(Set(settings, {{"port", "70000"}, {"nosuch", "1"}}) ==
        "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
  CHECK(set("maxmemory-clients", "101%") ==
        failed("maxmemory-clients", "percentage argument must be less or equal to 100"));
  CHECK(set("maxmemory-clients", "x") ==
        failed("maxmemory-clients", "argument must be a memory or percent value"));
  CHECK(set("notify-keyspace-events", "K E") ==
        failed("notify-keyspace-events", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."));
  CHECK(set("proc-title-template", "{foo}") ==
        failed("proc-title-template", "template format is invalid or contains unknown variables"));
  CHECK(set("cluster-announce-hostname", "a b") ==
        failed("cluster-announce-hostname",
               "Hostnames may only contain alphanumeric characters, hyphens or dots"));
  CHECK(set("save", "900") == failed("save", "Invalid save parameters"));
  CHECK(set("client-output-buffer-limit", "normal 1 2") ==
        failed("client-output-buffer-limit",
               "Wrong number of arguments in buffer limit configuration."));
  CHECK(set("client-output-buffer-limit", "foo 1 2 3") ==
        failed("client-output-buffer-limit",
               "Invalid client class specified in buffer limit configuration."));
  CHECK(set("client-output-buffer-limit", "normal 1 2 -3") ==
        failed("client-output-buffer-limit",
               "Error in hard, soft or soft_seconds setting in buffer limit configuration."));
  CHECK(set("latency-tracking-info-percentiles", "a") ==
        failed("latency-tracking-info-percentiles",
               "Invalid latency-tracking-info-percentiles parameters"));
  CHECK(set("latency-tracking-info-percentiles", "101") ==
        failed("latency-tracking-info-percentiles",
               "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"));
}

TEST_CASE("config: values of several words are read, kept and shown") {
  Settings settings;
  CHECK(Set(settings, {{"client-output-buffer-limit", "normal 1mb 2 3 replica 0 0 0"}}) == "OK");
  CHECK(Value(settings, "client-output-buffer-limit") ==
        "normal 1048576 2 3 slave 0 0 0 pubsub 33554432 8388608 60");
  CHECK(Set(settings, {{"save", "900 1 60 10000"}}) == "OK");
  CHECK(Value(settings, "save") == "900 1 60 10000");
  CHECK(Set(settings, {{"save", ""}}) == "OK");
  CHECK(Value(settings, "save") == "");
  CHECK(Set(settings, {{"latency-tracking-info-percentiles", "50 99.90"}}) == "OK");
  CHECK(Value(settings, "latency-tracking-info-percentiles") == "50 99.9");
  CHECK(Set(settings, {{"notify-keyspace-events", "Kg$t"}}) == "OK");
  CHECK(Value(settings, "notify-keyspace-events") == "g$tK");
  CHECK(settings.config().notify_keyspace_events ==
        (kNotifyKeyspace | kNotifyGeneric | kNotifyString | kNotifyStream));
  CHECK(Set(settings, {{"notify-keyspace-events", "g$lshzxetdKE"}}) == "OK");
  CHECK(Value(settings, "notify-keyspace-events") == "AKE");
  CHECK(Set(settings, {{"shutdown-on-sigterm", "save now"}}) == "OK");
  CHECK(Value(settings, "shutdown-on-sigterm") == "save now");
  CHECK(Set(settings, {{"bind", " 127.0.0.1   -::1 "}}) != "OK");  // no hook listens anew
  settings.OnChange({"bind", "maxmemory"}, [](const Config&) { return Status::Ok(); });
  CHECK(Set(settings, {{"bind", " 127.0.0.1   -::1 "}}) == "OK");
  CHECK(Value(settings, "bind") == "127.0.0.1 -::1");
  CHECK(Set(settings, {{"maxmemory", "5gb"}}) == "OK");
  CHECK(Set(settings, {{"maxmemory", ""}}) == "OK");
  CHECK(settings.config().maxmemory_bytes == 0);
  CHECK(Set(settings, {{"hz", "1000"}}) == "OK");
  CHECK(settings.config().hz == 500);
  CHECK(Set(settings, {{"maxmemory-clients", "5%"}}) == "OK");
  CHECK(Value(settings, "maxmemory-clients") == "5%");
}

TEST_CASE("config: every setting of Redis takes its own value back, or is immutable or protected") {
  Settings settings;
  for (const auto& [name, value] : GetAll(settings, "*")) {
    CAPTURE(name);
    const std::string answer = Set(settings, {{name, value}});
    const bool fixed = answer.ends_with("can't set immutable config") ||
                       answer.ends_with("can't set protected config");
    CHECK((answer == "OK" || fixed));
    CHECK(Value(settings, name) == value);
  }
}

TEST_CASE("config: protected settings open up as enable-protected-configs says") {
  Settings local;
  REQUIRE(Load(local, "enable-protected-configs local") == "");
  CHECK(Set(local, {{"dbfilename", "x"}}, /*local_client=*/false) != "OK");
  CHECK(Set(local, {{"dbfilename", "x"}}, /*local_client=*/true) == "OK");
  CHECK(Set(local, {{"dbfilename", "a/b"}}, /*local_client=*/true) ==
        "ERR CONFIG SET failed (possibly related to argument 'dbfilename') - dbfilename can't be "
        "a path, just a filename");
  Settings open;
  REQUIRE(Load(open, "enable-protected-configs yes") == "");
  CHECK(Set(open, {{"dbfilename", "x"}}) == "OK");
}

TEST_CASE("config: hooks run once for a change, and a failing one takes it all back") {
  Settings settings;
  int maxmemory_calls = 0;
  std::vector<int> ports;
  settings.OnChange({"maxmemory", "maxmemory-policy"}, [&](const Config&) {
    ++maxmemory_calls;
    return Status::Ok();
  });
  settings.OnChange({"port"}, [&](const Config& now) {
    ports.push_back(now.port);
    return now.port == 7000 ? InvalidArgument("Unable to listen on this port") : Status::Ok();
  });
  CHECK(Set(settings, {{"maxmemory", "1gb"}, {"maxmemory-policy", "noeviction"}}) == "OK");
  CHECK(maxmemory_calls == 1);
  CHECK(Set(settings, {{"maxmemory", "1gb"}}) == "OK");
  CHECK(maxmemory_calls == 1);  // nothing changed
  CHECK(Set(settings, {{"maxmemory", "2gb"}, {"port", "7000"}}) ==
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this "
        "port");
  CHECK(maxmemory_calls == 3);  // the new value, and the old one again
  CHECK(ports == std::vector<int>{7000});
  CHECK(settings.config().maxmemory_bytes == 1u << 30);
  CHECK(settings.config().port == 6379);
}

TEST_CASE("config: what nobody would notice is not taken as changed") {
  Settings settings;
  const std::string answer = Set(settings, {{"loglevel", "debug"}});
  CHECK(answer.find("set it in the configuration file and restart") != std::string::npos);
  CHECK(Value(settings, "loglevel") == "notice");
  settings.OnChange({"loglevel"}, [](const Config&) { return Status::Ok(); });
  CHECK(Set(settings, {{"loglevel", "debug"}}) == "OK");
}

TEST_CASE("config: passwords are known as such") {
  CHECK(Settings::IsSensitive("requirepass"));
  CHECK(Settings::IsSensitive("MASTERAUTH"));
  CHECK(!Settings::IsSensitive("port"));
  CHECK(!Settings::IsSensitive("nosuch"));
}

TEST_CASE("config: words split and quote as in redis.conf") {
  CHECK(SplitWords("a  b\tc") == std::vector<std::string>{"a", "b", "c"});
  CHECK(SplitWords("") == std::vector<std::string>{});
  CHECK(SplitWords(R"(a "" "b c" 'd "e' "\x41\n\"\q")") ==
        std::vector<std::string>{"a", "", "b c", "d \"e", "A\n\"q"});
  CHECK(SplitWords(R"('it\'s')") == std::vector<std::string>{"it's"});
  for (const char* bad : {"\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "\"a\\\""}) {
    CAPTURE(bad);
    CHECK(!SplitWords(bad).has_value());
  }
  for (const std::string word : {"", "plain", "two words", "q\"uo'te\\", "\n\r\t\x01\xff", "#x"}) {
    CAPTURE(word);
    CHECK(SplitWords(QuoteWord(word)) == std::vector<std::string>{word});
  }
  CHECK(QuoteWord("plain") == "plain");
}

TEST_CASE("config: sizes read and print with units") {
  const std::map<std::string, int64_t> sizes = {
      {"0", 0},         {"1", 1},          {"1b", 1},        {"2k", 2000},
      {"2KB", 2048},    {"3m", 3'000'000}, {"3Mb", 3 << 20}, {"1g", 1'000'000'000},
      {"1gB", 1 << 30},
  };
  for (const auto& [word, bytes] : sizes) {
    CAPTURE(word);
    int64_t out = -1;
    CHECK(ParseMemory(word, &out));
    CHECK(out == bytes);
    CHECK(ParseMemory(PrintMemory(bytes), &out));
    CHECK(out == bytes);
  }
  CHECK(PrintMemory(1 << 30) == "1gb");
  CHECK(PrintMemory(1536) == "1536");
}

TEST_CASE("config: INFO's word for each policy") {
  CHECK(MaxmemoryPolicyName(MaxmemoryPolicy::kPageOut) == "page-out");
  CHECK(MaxmemoryPolicyName(MaxmemoryPolicy::kVolatileTtl) == "volatile-ttl");
}

}  // namespace
}  // namespace redynamo
