// SPDX-License-Identifier: Apache-2.0
// What CONFIG SET of settings about clients has to change beyond the value that everyone reads.
#pragma once

namespace redynamo {

class Server;

// Registers the hooks. Once, by the Server itself.
void InstallConfigEffects(Server& server);

}  // namespace redynamo
