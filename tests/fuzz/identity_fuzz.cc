// SPDX-License-Identifier: Apache-2.0
// Any bytes as a data directory's identity file: refused, or an identity with an actor of its own
// that is the same after it was saved and loaded again. The checksum is made right, so that what
// is behind it is reached; odd inputs keep their own.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/identity.h"
#include "tests/support/faulty_file_system.h"

using namespace redynamo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size % 2 == 0) PutFixed32(&bytes, Crc32c(bytes));
  FaultyFileSystem fs;
  fs.SetContents("data/identity", bytes);
  bool created;
  Result<Identity> id = Identity::LoadOrCreate(&fs, "data", &created);
  CHECK_THAT(!created);
  if (!id.ok()) return 0;
  CHECK_THAT(!id->actors.empty() && id->actors.size() <= 65'535);
  CHECK_THAT(id->node_id_hex().size() == 40);
  CHECK_THAT(id->Save(&fs, "data").ok());
  Result<Identity> again = Identity::LoadOrCreate(&fs, "data", &created);
  CHECK_THAT(again.ok() && again->actors == id->actors && again->seed == id->seed &&
             again->node_id == id->node_id && again->directory_id == id->directory_id &&
             again->partitions == id->partitions && again->boot_id == id->boot_id &&
             again->clean == id->clean);
  size_t before = id->actors.size();
  id->Rotate();
  CHECK_THAT(id->actors.size() == before + (before < 65'535));
  return 0;
}
