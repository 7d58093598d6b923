// SPDX-License-Identifier: Apache-2.0
// Settings at start (files, standard input, command line) and CONFIG REWRITE.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "server/config.h"
#include "server/config_row.h"
#include "server/config_words.h"
#include "storage/partition_set.h"
#include "tests/server/config_support.h"

namespace redynamo {
namespace {

using config_test::GetAll;
using config_test::Load;
using config_test::Set;
using config_test::Value;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A directory that goes with the test.
class ScratchDir {
 public:
  ScratchDir() {
    char name[] = "/tmp/redynamo_config_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    char resolved[4096];
    REQUIRE(realpath(name, resolved) != nullptr);
    path_ = resolved;
  }
  ~ScratchDir() { (void)std::system(("rm -rf '" + path_ + "'").c_str()); }

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }

 private:
  std::string path_;
};

// "" or the error.
std::string Start(Settings& settings, const std::vector<std::string>& arguments,
                  const std::string& standard_input = "") {
  const auto action = settings.LoadArguments(arguments, [&] { return standard_input; });
  return action.ok() ? "" : action.status().message();
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("config file: comments, blanks, quotes and any case; later wins") {
  Settings settings;
  CHECK(Load(settings,
             "# port 1\r\n"
             "\n"
             "   PORT 7000\r\n"
             "maxmemory 1gb\n"
             "requirepass \"a \\\"b\\\" \\x41\"\n"
             "pidfile 'it\\'s'\n"
             "bind 127.0.0.1 -::1\n"
             "port 7001") == "");
  CHECK(settings.config().port == 7001);
  CHECK(settings.config().maxmemory_bytes == 1u << 30);
  CHECK(settings.config().requirepass == "a \"b\" A");
  CHECK(settings.config().pidfile == "it's");
  CHECK(settings.config().bind == std::vector<std::string>{"127.0.0.1", "-::1"});
  CHECK(settings.warnings().empty());
}

TEST_CASE("config file: save and buffer limits add up over lines, and \"\" takes back") {
  Settings settings;
  CHECK(Load(settings,
             "save 900 1\nsave 300 10 60 5\n"
             "client-output-buffer-limit normal 1k 2kb 3\n"
             "client-output-buffer-limit replica 0 0 0\n") == "");
  CHECK(Value(settings, "save") == "900 1 300 10 60 5");
  CHECK(Value(settings, "client-output-buffer-limit") ==
        "normal 1000 2048 3 slave 0 0 0 pubsub 33554432 8388608 60");
  Settings none;
  CHECK(Load(none, "save 900 1\nsave \"\"") == "");
  CHECK(Value(none, "save") == "");
}

TEST_CASE("config file: a wrong line is refused with its number, text, range and remedy") {
  Settings settings;
  CHECK(Load(settings, "timeout 5\n\nport 99999\n") ==
        "\n*** FATAL CONFIG FILE ERROR (Redynamo 0.1.0) ***\n"
        "Reading the configuration file, at line 3\n"
        ">>> 'port 99999'\n"
        "argument must be between 0 and 65535 inclusive\n"
        "Allowed: port takes a whole number from 0 to 65535; the default is 6379\n"
        "Remedy: correct the value or remove the line, then start again.\n");

  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"port", "wrong number of arguments"},
      {"bind", "wrong number of arguments"},
      {"port 1 2", "wrong number of arguments"},
      {"port abc", "argument couldn't be parsed into an integer"},
      {"nosuch 1", "Bad directive or wrong number of arguments"},
      {"dir \"a", "Unbalanced quotes in configuration line"},
      {"maxmemory 5q", "Allowed: maxmemory takes a size from 0 to"},
      {"appendfsync sometimes", "takes one of everysec, always, no; the default is always"},
      {"daemonize on", "takes yes or no; the default is no"},
      {"unixsocketperm 999", "argument couldn't be parsed as an octal number"},
      {"unixsocketperm 1777", "argument must be between 0 and 777 inclusive"},
      {"timeout -1", "argument must be between 0 and 2147483647 inclusive"},
      {"save 1 2 3", "Invalid save parameters"},
      {"oom-score-adj-values 1 2 3000", "elements must be between -2000 and 2000"},
      {"maxmemory \"\"", "argument must be a memory value"},
      {"appendfysnc no", "did you mean 'appendfsync'?"},
      {"maxmemorypolicy noeviction", "did you mean 'maxmemory-policy'?"},
      {"loadmodule /x.so", "modules cannot be loaded"},
      {"user x on", "ACL users are not supported"},
      {"aclfile /x", "ACL users are not supported"},
      {"replicaof 10.0.0.1 6379", "its replicas are the nodes of a ring"},
      {"slaveof 10.0.0.1 6379", "its replicas are the nodes of a ring"},
      {"include /nosuch/file", "No such file or directory"},
      {"include", "wrong number of arguments"},
      {"rename-command GET", "wrong number of arguments"},
      {"dbfilename a/b", "dbfilename can't be a path"},
      {"dir \"\"", "No such file or directory"},
  };
  for (const auto& [line, why] : wrong) {
    CAPTURE(line);
    Settings fresh;
    const std::string error = Load(fresh, "\n" + line);
    CHECK(Contains(error, "at line 2\n>>> '" + line + "'\n"));
    CHECK(Contains(error, why));
    CHECK(Contains(error, "\nRemedy: "));
  }
}

TEST_CASE("config file: a password stays out of messages") {
  Settings settings;
  const std::string error = Load(settings, "requirepass secret word");
  CHECK(Contains(error, ">>> 'requirepass (hidden)'"));
  CHECK(!Contains(error, "secret"));
  Settings kept;
  CHECK(Load(kept, "masterauth secret") == "");
  REQUIRE(kept.warnings().size() == 1);
  CHECK(Contains(kept.warnings()[0], "'masterauth'"));
  CHECK(!Contains(kept.warnings()[0], "secret"));
}

TEST_CASE("config file: what has no effect is taken with one warning line naming it") {
  Settings settings;
  CHECK(Load(settings,
             "tls-port 6380\nlua-time-limit 1\nlua-time-limit 100\nappendonly no\n"
             "rdbcompression yes\nreplica-read-only yes\nappendonly no\n"
             "list-max-ziplist-entries 512\n") == "");
  const auto& warnings = settings.warnings();
  REQUIRE(warnings.size() == 5);
  CHECK(Contains(warnings[0], "'list-max-ziplist-entries'"));
  CHECK(Contains(warnings[1], "'tls-port 6380' (the configuration file, at line 1)"));
  CHECK(Contains(warnings[2], "'busy-reply-threshold 100' (the configuration file, at line 3)"));
  CHECK(Contains(warnings[3], "'appendonly no' (the configuration file, at line 7)"));
  CHECK(Contains(warnings[3], "every write is logged"));
  CHECK(Contains(warnings[4], "rdbcompression, replica-read-only"));
  CHECK(Value(settings, "tls-port") == "6380");
  CHECK(Value(settings, "appendonly") == "no");
}

TEST_CASE("config file: rename-command asks whether the command exists") {
  Settings settings;
  settings.SetCommandExists([](std::string_view name) { return EqualsIgnoringCase(name, "get"); });
  CHECK(Load(settings, "rename-command GET \"\"\nrename-command get fetch") == "");
  REQUIRE(settings.config().rename_commands.size() == 1);
  CHECK(settings.config().rename_commands[0] ==
        std::pair<std::string, std::string>{"GET", "fetch"});
  CHECK(Contains(Load(settings, "rename-command nosuch x"), "No such command in rename-command"));
}

TEST_CASE("config file: include reads files and globs at its place") {
  const ScratchDir dir;
  dir.Write("a.inc", "port 1\ntimeout 1\n");
  dir.Write("b.inc", "port 2\n");
  Settings settings;
  CHECK(Load(settings, "timeout 9\ninclude " + dir.Path("*.inc") + "\nhz 50\ninclude " +
                           dir.Path("*.none")) == "");
  CHECK(settings.config().port == 2);
  CHECK(settings.config().timeout_seconds == 1);
  CHECK(settings.config().hz == 50);

  dir.Write("bad.inc", "\nport x\n");
  CHECK(Contains(Load(settings, "include " + dir.Path("bad.inc")),
                 "Reading the configuration file " + dir.Path("bad.inc") + ", at line 2"));
  const std::string self = dir.Write("self.inc", "include " + dir.Path("self.inc") + "\n");
  CHECK(Contains(Load(settings, "include " + self), "more than 16 deep"));
}

TEST_CASE("config command line: file, then standard input, then directives") {
  const ScratchDir dir;
  const std::string file = dir.Write("x.conf", "port 1\ntimeout 1\nhz 20\nsave 900 1\n");
  Settings settings;
  CHECK(Start(settings, {file, "--port", "7000", "--save", "", "--appendfsync", "no", "-"},
              "timeout 2\nport 2\n") == "");
  CHECK(settings.config().port == 7000);
  CHECK(settings.config().timeout_seconds == 2);
  CHECK(settings.config().hz == 20);
  CHECK(settings.config().appendfsync == AppendFsync::kNo);
  CHECK(Value(settings, "save") == "");
  CHECK(settings.config_file() == file);

  Settings input;
  CHECK(Start(input, {"-"}, "port 3") == "");
  CHECK(input.config().port == 3);
  CHECK(input.config_file().empty());
  CHECK(Contains(Start(input, {"-"}, "\nport x"), "Reading standard input, at line 2\n"));
}

TEST_CASE("config command line: names, values and their borders are told apart as Redis does") {
  Settings settings;
  CHECK(Start(settings, {"--hz", "50 60"}) != "");  // one word only
  // What takes several words may have them in one argument.
  Settings lists;
  CHECK(Start(lists, {"--save", "3600 1", "--save", "60 10", "--bind", "127.0.0.1 ::1",
                      "--client-output-buffer-limit", "normal 1 2 3",
                      "--latency-tracking-info-percentiles", "50 90", "--shutdown-on-sigterm",
                      "save now"}) == "");
  CHECK(Value(lists, "save") == "3600 1 60 10");
  CHECK(Value(lists, "bind") == "127.0.0.1 ::1");
  CHECK(Value(lists, "client-output-buffer-limit").starts_with("normal 1 2 3 "));
  CHECK(Value(lists, "latency-tracking-info-percentiles") == "50 90");
  CHECK(Value(lists, "shutdown-on-sigterm") == "save now");
  Settings good;
  CHECK(Start(good, {"--port 7000", "--bind", "127.0.0.1", "::1", "--requirepass", "--x", "--save",
                     "--hz", "50", "--save"}) == "");
  CHECK(good.config().port == 7000);
  CHECK(good.config().bind == std::vector<std::string>{"127.0.0.1", "::1"});
  CHECK(good.config().requirepass == "--x");
  CHECK(good.config().hz == 50);
  CHECK(Value(good, "save") == "");

  Settings wrong;
  CHECK(Start(wrong, {"--port", "x"}) ==
        "\n*** FATAL CONFIG FILE ERROR (Redynamo 0.1.0) ***\n"
        "Reading the command line\n"
        ">>> 'port x'\n"
        "argument couldn't be parsed into an integer\n"
        "Allowed: port takes a whole number from 0 to 65535; the default is 6379\n"
        "Remedy: correct the value or remove the line, then start again.\n");
  CHECK(Contains(Start(wrong, {"--nosuch", "5"}), ">>> 'nosuch 5'"));
  CHECK(Contains(Start(wrong, {"--maxmemory"}), "wrong number of arguments"));
  CHECK(Contains(Start(wrong, {"-p", "7000"}), "write directives as --name value"));
  CHECK(Contains(Start(wrong, {"/nosuch/file.conf"}),
                 "Fatal error, can't open config file '/nosuch/file.conf': No such file"));
  CHECK(Contains(Start(wrong, {"/tmp"}), "Fatal error, can't open config file '/tmp'"));
}

TEST_CASE("config command line: version, help and check") {
  Settings settings;
  const auto action = [&](std::vector<std::string> arguments) {
    return *settings.LoadArguments(arguments, [] { return std::string(); });
  };
  CHECK(action({}) == StartAction::kRun);
  CHECK(action({"-v"}) == StartAction::kShowVersion);
  CHECK(action({"--version"}) == StartAction::kShowVersion);
  CHECK(action({"-h"}) == StartAction::kShowHelp);
  CHECK(action({"--help"}) == StartAction::kShowHelp);
  CHECK(action({"--port", "7000", "--check"}) == StartAction::kCheckOnly);
  CHECK(action({"--requirepass", "--check"}) == StartAction::kRun);
  CHECK(Contains(VersionText(), "v=0.1.0"));
  CHECK(Contains(HelpText("redynamo-server"), "Usage: redynamo-server"));
}

TEST_CASE("config rewrite: without a file it says so, as Redis does") {
  Settings settings;
  CHECK(settings.Rewrite().message() == "ERR The server is running without a config file");
}

TEST_CASE("config rewrite: comments and order stay, only what differs changes") {
  const ScratchDir dir;
  const std::string before =
      "# my server\n"
      "port 7000\n"
      "\n"
      "timeout   5   \n"
      "timeout 6\n"
      "maxmemory 1024mb\n"
      "save 900 1\n"
      "# between\n"
      "save 300 10\n"
      "rename-command CONFIG \"\"\n"
      "# end";
  const std::string file = dir.Write("x.conf", before);
  CHECK(::chmod(file.c_str(), 0640) == 0);
  Settings settings;
  REQUIRE(Start(settings, {file}) == "");
  CHECK(settings.Rewrite().ok());
  CHECK(ReadAll(file) == before);

  REQUIRE(Set(settings, {{"timeout", "7"},
                         {"save", "60 1 30 2"},
                         {"requirepass", "two \"words\""},
                         {"client-output-buffer-limit", "pubsub 1mb 0 0"},
                         {"proto-max-bulk-len", "1gb"},
                         {"tls-ciphers", "x"}}) == "OK");
  CHECK(settings.Rewrite().ok());
  const std::string after =
      "# my server\n"
      "port 7000\n"
      "\n"
      "timeout 7\n"
      "maxmemory 1024mb\n"
      "save 60 1\n"
      "save 30 2\n"
      "# between\n"
      "rename-command CONFIG \"\"\n"
      "# end\n"
      "# Generated by CONFIG REWRITE\n"
      "client-output-buffer-limit normal 0 0 0\n"
      "client-output-buffer-limit replica 256mb 64mb 60\n"
      "client-output-buffer-limit pubsub 1mb 0 0\n"
      "proto-max-bulk-len 1gb\n"
      "requirepass \"two \\\"words\\\"\"\n"
      "tls-ciphers x\n";
  CHECK(ReadAll(file) == after);
  struct stat state = {};
  REQUIRE(::stat(file.c_str(), &state) == 0);
  CHECK((state.st_mode & 0777) == 0640);

  Settings again;
  REQUIRE(Start(again, {file}) == "");
  CHECK(GetAll(again, "*") == GetAll(settings, "*"));
  REQUIRE(Set(settings, {{"slowlog-max-len", "5"}}) == "OK");
  CHECK(settings.Rewrite().ok());
  CHECK(ReadAll(file) == after + "slowlog-max-len 5\n");  // one signature is enough
}

TEST_CASE("config rewrite: directives of the command line and values under an include are kept") {
  const ScratchDir dir;
  dir.Write("later.inc", "timeout 1\nsave 900 1\n");
  const std::string file =
      dir.Write("x.conf", "timeout 5\ninclude " + dir.Path("later.inc") + "\n");
  Settings settings;
  REQUIRE(Start(settings, {file, "--port", "7000", "--save", "60 1 2", "--save", ""}) != "");
  Settings good;
  REQUIRE(Start(good, {file, "--port", "7000"}) == "");
  REQUIRE(Set(good, {{"timeout", "3"}, {"save", "30 3"}}) == "OK");
  CHECK(good.Rewrite().ok());
  Settings again;
  REQUIRE(Start(again, {file}) == "");
  CHECK(again.config().port == 7000);
  CHECK(again.config().timeout_seconds == 3);
  CHECK(Value(again, "save") == "30 3");
  CHECK(ReadAll(dir.Path("later.inc")) == "timeout 1\nsave 900 1\n");
}

TEST_CASE("config rewrite: a relative dir stays relative, another becomes absolute") {
  const ScratchDir dir;
  const std::string file = dir.Write("x.conf", "dir ./data\n");
  Settings settings;
  REQUIRE(Start(settings, {file}) == "");
  REQUIRE(settings.MakeDirAbsolute().ok());
  CHECK(settings.config().dir.starts_with('/'));
  CHECK(settings.config().dir.ends_with("/data"));
  CHECK(settings.Rewrite().ok());
  CHECK(ReadAll(file) == "dir ./data\n");

  Settings other;
  REQUIRE(Start(other, {file, "--dir", dir.Path(".")}) == "");
  REQUIRE(other.MakeDirAbsolute().ok());
  CHECK(other.Rewrite().ok());
  CHECK(ReadAll(file) == "dir " + dir.Path("").substr(0, dir.Path("").size() - 1) + "\n");
}

TEST_CASE("config rewrite: a file that has become wrong or unreachable is left alone") {
  const ScratchDir dir;
  const std::string file = dir.Write("x.conf", "port 7000\n");
  Settings settings;
  REQUIRE(Start(settings, {file}) == "");
  REQUIRE(Set(settings, {{"timeout", "3"}}) == "OK");
  dir.Write("x.conf", "prot 7000\n");
  CHECK(Contains(settings.Rewrite().message(), "ERR Rewriting config file: "));
  CHECK(ReadAll(file) == "prot 7000\n");
  REQUIRE(std::remove(file.c_str()) == 0);
  CHECK(settings.Rewrite().ok());  // made anew
  CHECK(Contains(ReadAll(file), "port 7000\ntimeout 3\n"));
}

TEST_CASE("config rewrite: whatever every setting can be set to reads back") {
  const ScratchDir dir;
  const std::string file = dir.Write("x.conf", "");
  Settings settings;
  REQUIRE(Start(settings, {file}) == "");
  int changed = 0;
  for (const SettingRow* row : AllSettings()) {
    std::string value = Value(settings, row->name);
    if (row->type == SettingType::kBool) value = value == "yes" ? "no" : "yes";
    if (row->type == SettingType::kEnum) value = std::string(row->choices.back().word);
    if (row->type == SettingType::kString) value = "a \"b'\\ \xc3\xa4";
    if (row->type == SettingType::kInteger) value = std::to_string(row->min);
    if (row->type == SettingType::kMemory) value = std::to_string(row->min + (3 << 20));
    changed += Set(settings, {{std::string(row->name), value}}) == "OK" ? 1 : 0;
  }
  CHECK(changed > 100);
  REQUIRE(settings.Rewrite().ok());
  Settings again;
  REQUIRE(Start(again, {file}) == "");
  CHECK(GetAll(again, "*") == GetAll(settings, "*"));
}

TEST_CASE("config: conf/redynamo.conf names every setting with a meaning, at its default") {
  const std::string path = REDYNAMO_SOURCE_DIR "/conf/redynamo.conf";
  const std::string text = ReadAll(path);
  REQUIRE(!text.empty());
  Settings from_file;
  REQUIRE(Start(from_file, {path}) == "");
  CHECK(from_file.warnings().empty());
  Settings defaults;
  CHECK(GetAll(from_file, "*") == GetAll(defaults, "*"));
  for (const SettingRow* meant : AllSettings()) {
    const SettingRow& row = *meant;
    if (row.Has(kKept)) continue;
    CAPTURE(row.name);
    const std::string line = (row.Has(kFileOnly) ? "\n# " : "\n") + std::string(row.name) + " ";
    CHECK(Contains(text, line));
  }
}

TEST_CASE("config: ring-partitions takes the numbers that there can be, and no others") {
  for (int count = 1; count <= 2 * kPartitionsMost; count++) {
    Settings settings;
    bool taken = settings.LoadText("ring-partitions " + std::to_string(count) + "\n", "x").ok();
    if (taken != IsPartitionCount(uint64_t(count))) FAIL("ring-partitions ", count);
    if (taken) CHECK(settings.config().ring_partitions == count);
  }
}

}  // namespace
}  // namespace redynamo
