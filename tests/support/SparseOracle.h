// Sparse and delta blocks decoded as pack-v1 §8 says it: bit by bit, in its words.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kimic::test {

/// The raw bytes; nothing if the block breaks a rule. `base`: empty for a sparse block.
inline std::optional<std::vector<std::uint8_t>>
decodeAsSpecified(std::span<const std::uint8_t> block, std::span<const std::uint8_t> base, std::size_t rawLength) {
  if (block.empty())
    return std::nullopt;
  const unsigned g = block[0] & 7, v = block[0] >> 3 & 15;
  const bool pairs = block[0] >> 7;
  if (v > 8 || (pairs && !base.empty()))
    return std::nullopt;
  std::size_t position = 8;
  bool isShort = false;
  auto bit = [&]() -> unsigned {
    if (position == 8 * block.size()) {
      isShort = true;
      return 0;
    }
    const unsigned value = block[position / 8] >> position % 8 & 1;
    ++position;
    return value;
  };
  auto number = [&](unsigned bits) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bits; ++i)
      value |= std::uint64_t{bit()} << i;
    return value;
  };
  auto rice = [&](unsigned k) {
    std::uint64_t q = 0;
    while (bit())
      ++q;
    return (q << k) + number(k);
  };

  std::vector<std::uint8_t> raw(rawLength);
  for (std::size_t i = 0; i < rawLength; ++i)
    raw[i] = !base.empty() ? base[i] : pairs && i % 2 == 0 ? 0x80 : 0;
  std::uint64_t at = 0;
  while (at < rawLength) {
    at += rice(g);
    if (isShort || at > rawLength)
      return std::nullopt;
    if (at == rawLength)
      break;
    std::uint64_t d = v == 8 ? number(8) : 1 + rice(v);
    if (isShort || d == 0 || d > 255)
      return std::nullopt;
    raw[at++] += static_cast<std::uint8_t>(v == 8 ? d : (d >> 1) ^ (0 - (d & 1)));
  }
  if (8 * block.size() - position >= 8)
    return std::nullopt;
  while (position < 8 * block.size())
    if (bit())
      return std::nullopt;
  return raw;
}

} // namespace kimic::test
