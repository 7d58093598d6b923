// SPDX-License-Identifier: Apache-2.0
#include "server/lolwut.h"

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace redynamo {
namespace {

constexpr int kPositions = 256;
constexpr int kRows = 21, kColumns = 44;

// Whose each position is: a token's owner has all up to the next token.
std::array<char, kPositions> SpreadTokens(int nodes, int tokens, Random& random) {
  std::array<char, kPositions> owners{};
  for (int node = 0; node < nodes; node++) {
    for (int token = 0; token < tokens; token++) {
      owners[random.Below(kPositions)] = char('A' + node);
    }
  }
  char owner = 'A';
  for (char letter : owners) owner = letter ? letter : owner;  // the last token wraps around
  for (char& letter : owners) letter = owner = letter ? letter : owner;
  return owners;
}

}  // namespace

std::string DrawRing(int nodes, int tokens, Random& random) {
  std::array<char, kPositions> owners = SpreadTokens(nodes, tokens, random);
  std::vector<std::string> rows(kRows, std::string(kColumns, ' '));
  for (int position = 0; position < kPositions; position++) {
    double angle = 2 * std::numbers::pi * position / kPositions;
    for (double radius : {1.0, 0.86}) {
      int row = int(std::lround((1 - radius * std::cos(angle)) * (kRows - 1) / 2));
      int column = int(std::lround((1 + radius * std::sin(angle)) * (kColumns - 1) / 2));
      rows[row][column] = owners[position];
    }
  }
  std::string picture;
  for (std::string& row : rows) {
    row.erase(row.find_last_not_of(' ') + 1);
    picture += row + '\n';
  }
  return picture;
}

}  // namespace redynamo
