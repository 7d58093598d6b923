// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_face.h"

namespace redynamo {

FaceVerdict JudgeOnFace(const FaceCommand& command, const SlotPlaces& places, bool moved_lately) {
  if (!places.reachable || places.coordinated_here) return FaceVerdict::kServe;
  bool reads = !command.follows_writes && (command.reads_anywhere || places.reads_overlap);
  if (reads && places.home_here) return FaceVerdict::kServeHere;
  if (places.coordinator_announced && !moved_lately) return FaceVerdict::kMoved;
  if (!command.stays) return FaceVerdict::kServe;
  if (places.home_here) return FaceVerdict::kServeHere;
  return places.coordinator_announced ? FaceVerdict::kMoved : FaceVerdict::kServe;
}

}  // namespace redynamo
