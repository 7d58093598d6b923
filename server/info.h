// SPDX-License-Identifier: Apache-2.0
// INFO: the server's figures as text, in sections of `name:value` lines. Names and forms are Redis'
// where a figure exists there: redis-cli --stat, redis_exporter and the job frameworks read them.
// Section "redynamo" is our own.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace redynamo {

class Server;

// The sections named (any case), each once and in a fixed order; none: "default". "default", "all"
// and "everything" stand for several. Unknown names are ignored.
// `cluster_client`: it is asked on the cluster port.
std::string InfoText(Server& server, std::span<const std::string_view> sections,
                     bool cluster_client);

// Bytes as a person reads them: "512B", "1.50K", "23.54G".
std::string HumanBytes(uint64_t bytes);

}  // namespace redynamo
