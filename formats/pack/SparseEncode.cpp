// The encoder of sparse and delta blocks: the parameters that make the block smallest are found by counting.
#include "formats/pack/PackFormat.h"
#include "formats/pack/SparseBlock.h"

#include <array>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// 1 .. 255 for a difference other than 0.
unsigned zigzag(std::uint8_t difference) { return difference < 128 ? 2u * difference : 2u * (256u - difference) - 1; }

std::uint64_t riceBits(unsigned k, std::uint64_t value) { return (value >> k) + 1 + k; }

class BitWriter {
public:
  void put(std::uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      put((value >> i & 1) != 0);
  }
  void rice(unsigned k, std::uint64_t value) {
    for (std::uint64_t i = value >> k; i > 0; --i)
      put(true);
    put(false);
    put(value, k);
  }
  void putByte(std::uint8_t byte) { bytes_.push_back(byte); }
  Bytes take() && { return std::move(bytes_); }

private:
  void put(bool bit) {
    if (used_ == 0)
      bytes_.push_back(0);
    bytes_.back() |= static_cast<std::uint8_t>(bit << used_);
    used_ = (used_ + 1) % 8;
  }

  Bytes bytes_;
  unsigned used_ = 0;
};

/// The block without its first byte's `pairs`; empty if it is not smaller than the raw bytes. `differences`: of all of
/// them.
Bytes encode(std::span<const std::uint8_t> differences, bool pairs) {
  constexpr unsigned kGapParameters = 8, kLiteral = 8;
  std::array<std::uint64_t, kGapParameters> gapBits{};
  std::array<std::uint64_t, 256> counts{};
  std::uint64_t gap = 0, values = 0;
  auto endGap = [&] {
    for (unsigned g = 0; g < kGapParameters; ++g)
      gapBits[g] += riceBits(g, gap);
    gap = 0;
  };
  for (std::uint8_t difference : differences) {
    if (!difference) {
      ++gap;
      continue;
    }
    endGap();
    ++counts[zigzag(difference)];
    ++values;
  }
  if (gap)
    endGap();
  unsigned g = 0;
  for (unsigned k = 1; k < kGapParameters; ++k)
    if (gapBits[k] < gapBits[g])
      g = k;
  unsigned v = kLiteral;
  std::uint64_t valueBits = 8 * values;
  for (unsigned k = 0; k < kLiteral; ++k) {
    std::uint64_t bits = 0;
    for (unsigned code = 1; code < counts.size(); ++code)
      bits += counts[code] * riceBits(k, code - 1);
    if (bits < valueBits) {
      valueBits = bits;
      v = k;
    }
  }
  const std::uint64_t length = 1 + (gapBits[g] + valueBits + 7) / 8;
  if (length >= differences.size() || differences.size() > maxRawLength(length))
    return {};

  BitWriter out;
  out.putByte(static_cast<std::uint8_t>(g | v << 3 | (pairs ? 0x80 : 0)));
  for (std::uint8_t difference : differences) {
    if (!difference) {
      ++gap;
      continue;
    }
    out.rice(g, gap);
    gap = 0;
    if (v == kLiteral)
      out.put(difference, 8);
    else
      out.rice(v, zigzag(difference) - 1);
  }
  if (gap)
    out.rice(g, gap);
  return std::move(out).take();
}

} // namespace

std::vector<std::uint8_t> encodeSparse(std::span<const std::uint8_t> raw) {
  Bytes plain = encode(raw, false);
  Bytes differences(raw.begin(), raw.end());
  for (std::size_t i = 0; i < differences.size(); i += 2)
    differences[i] -= 0x80;
  Bytes pairs = encode(differences, true);
  return plain.empty() || (!pairs.empty() && pairs.size() < plain.size()) ? pairs : plain;
}

std::vector<std::uint8_t> encodeDelta(std::span<const std::uint8_t> raw, std::span<const std::uint8_t> base) {
  Bytes differences(raw.begin(), raw.end());
  for (std::size_t i = 0; i < differences.size(); ++i)
    differences[i] -= base[i];
  return encode(differences, false);
}

} // namespace kimic::pack
