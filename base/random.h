// SPDX-License-Identifier: Apache-2.0
// Seeded randomness (xoshiro256**, Blackman and Vigna 2018): one seed replays one run.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace redynamo {

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (auto& word : state_) {  // splitmix64 spreads the seed
      seed += 0x9e3779b97f4a7c15;
      uint64_t z = seed;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      word = z ^ z >> 31;
    }
  }

  uint64_t Next() {
    uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return uint64_t((unsigned __int128)(Next()) * bound >> 64); }
  double Unit() { return double(Next() >> 11) * 0x1.0p-53; }

 private:
  static uint64_t Rotate(uint64_t v, int k) { return v << k | v >> (64 - k); }
  std::array<uint64_t, 4> state_;
};

// `n` bytes from the kernel, for ids that must never repeat. Not for simulated code.
std::string SystemRandomBytes(size_t n);
uint64_t SystemRandom64();

}  // namespace redynamo
