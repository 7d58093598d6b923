// SPDX-License-Identifier: Apache-2.0
#include "server/command_families.h"

namespace redynamo {

std::span<const std::span<const CommandRow>> AllCommandFamilies() {
  static const std::span<const CommandRow> kFamilies[] = {
      ConnectionCommands(),
      ClientCommands(),
      TransactionCommands(),
      PubSubCommands(),
  };
  return kFamilies;
}

}  // namespace redynamo
