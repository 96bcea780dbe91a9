// SHA-256 (FIPS 180-4): the hash of every block of a pack.
//
// Own code, because the same function has to run inside the runtime's wasm, where no library is and where the host's
// WebCrypto is asynchronous and absent in insecure contexts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace kimic {

using Digest = std::array<std::uint8_t, 32>;

/// Hashes bytes that arrive piece by piece. Use once: add() any number of times, then finish().
class Sha256 {
public:
  void add(std::span<const std::uint8_t> bytes);
  Digest finish();

private:
  void compress(const std::uint8_t *blocks, std::size_t count);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> pending_{}; ///< the first length_ % 64 bytes are input that waits for a full block
  std::uint64_t length_ = 0;               ///< bytes added
};

Digest sha256(std::span<const std::uint8_t> bytes);

} // namespace kimic
