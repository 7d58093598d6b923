// SPDX-License-Identifier: Apache-2.0
#include "server/command_families.h"

namespace redynamo {

std::span<const std::span<const CommandRow>> AllCommandFamilies() {
  static const std::span<const CommandRow> kFamilies[] = {
      StringCommands(),      StringNumberCommands(), StringRangeCommands(), LcsCommands(),
      BitmapCommands(),      BitfieldCommands(),     HashCommands(),        HashReadCommands(),
      SetCommands(),         SetAlgebraCommands(),   KeyCommands(),         ExpireCommands(),
      ScanCommands(),        ObjectCommands(),       DatabaseCommands(),    ConnectionCommands(),
      ClientCommands(),      TransactionCommands(),  PubSubCommands(),      InfoCommands(),
      ConfigCommands(),      CommandCommands(),      PersistenceCommands(), SlowlogCommands(),
      LatencyCommands(),     MemoryCommands(),       DebugCommands(),       LolwutCommands(),
      RingCommands(),        RingMemberCommands(),   RingQuorumCommands(),  WaitCommands(),
      RingSiblingCommands(), ClusterCommands(),
  };
  return kFamilies;
}

}  // namespace redynamo
