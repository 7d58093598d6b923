// SPDX-License-Identifier: Apache-2.0
// Reads directives at start, from files, standard input and the command line, into Settings.
// Private to server/config_*.cc; others use Settings.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/config.h"
#include "server/config_row.h"

namespace redynamo {

// The whole of a file, or why it cannot be read.
Result<std::string> ReadConfigFile(const std::string& path);

class SettingsLoader {
 public:
  explicit SettingsLoader(Settings& settings) : settings_(settings) {}

  Status LoadText(std::string_view text, const std::string& source, int include_depth = 0);
  Status LoadFile(const std::string& path, int include_depth = 0);
  // `--name value...` as redis-server reads them. Sets *standard_input_asked (a last `-`) and
  // *check_asked (`--check`); the directives are kept until ApplyCommandLine.
  Status ReadCommandLine(std::span<const std::string> arguments);
  Status ApplyCommandLine();
  bool standard_input_asked() const { return standard_input_asked_; }
  bool check_asked() const { return check_asked_; }
  // Turns what was taken without effect into warning lines.
  void Finish();

 private:
  // Where a directive stands, for messages.
  struct Place {
    std::string where;  // "the configuration file /etc/x.conf, at line 3"
    std::string text;   // the line
  };
  struct IdleUse {
    const SettingRow* row;
    std::string where;
  };

  Status Refuse(const Place& place, const SettingRow* row, std::string_view reason,
                std::string_view remedy) const;
  Status RefuseUnknown(const Place& place, std::string_view name) const;
  Status Apply(std::span<const std::string> words, const Place& place, int include_depth);
  // True if the directive is none of the table; *status is its outcome.
  bool ApplySpecial(std::span<const std::string> words, const Place& place, int include_depth,
                    Status* status);
  Status Include(const std::string& pattern, const Place& place, int include_depth);

  Settings& settings_;
  std::set<const SettingRow*> seen_;
  std::vector<IdleUse> idle_;
  std::vector<std::vector<std::string>> command_line_;
  bool standard_input_asked_ = false;
  bool check_asked_ = false;
};

}  // namespace redynamo
