// The decoder of sparse and delta blocks.
#include "formats/pack/SparseBlock.h"

#include <cstring>

namespace kimic::pack {
namespace {

/// Bits of a byte string, the lowest of a byte first. A read past the end fails, and so does every one after it.
class Bits {
public:
  explicit Bits(std::span<const std::uint8_t> bytes) : next_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  /// Up to 8 bits.
  std::uint32_t take(unsigned count) {
    fill();
    if (count > count_) {
      ok_ = false;
      return 0;
    }
    std::uint32_t value = static_cast<std::uint32_t>(bits_) & ((1u << count) - 1);
    drop(count);
    return value;
  }

  /// rice(k) of pack-v1 §8; a failure if it exceeds `limit`. REQUIRES: k < 8, limit < 2^25.
  std::uint32_t rice(unsigned k, std::uint32_t limit) {
    std::uint32_t ones = 0;
    for (;;) {
      fill();
      // Above the bits that are there, bits_ is 0, so the run of ones ends there at the latest.
      unsigned run = static_cast<unsigned>(__builtin_ctzll(~bits_));
      ones += run;
      if (run < count_) {
        drop(run + 1);
        break;
      }
      if (count_ == 0 || ones > limit) {
        ok_ = false;
        return 0;
      }
      drop(run);
    }
    std::uint32_t value = (ones << k) + take(k);
    ok_ &= ones <= limit && value <= limit;
    return value;
  }

  bool ok() const { return ok_; }
  /// Whether nothing but bits 0 that fill the last byte remains.
  bool isAtEnd() const { return next_ == end_ && count_ < 8 && bits_ == 0; }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - next_) + count_ / 8; }

private:
  /// Leaves at least 56 bits in bits_, or all there are.
  void fill() {
    for (; count_ < 56 && next_ != end_; count_ += 8)
      bits_ |= std::uint64_t{*next_++} << count_;
  }
  void drop(unsigned count) {
    bits_ >>= count;
    count_ -= count;
  }

  const std::uint8_t *next_, *end_;
  std::uint64_t bits_ = 0; ///< the next count_ bits, below 64 of them; 0 above
  unsigned count_ = 0;
  bool ok_ = true;
};

/// Adds the differences to `output`, which holds the prediction.
Result<void> addDifferences(std::span<const std::uint8_t> block, std::uint8_t parameters,
                            std::span<std::uint8_t> output) {
  const unsigned g = parameters & 7, v = parameters >> 3 & 15;
  const std::uint32_t size = static_cast<std::uint32_t>(output.size());
  Bits bits(block.empty() ? block : block.subspan(1));
  std::uint32_t at = 0;
  bool good = v <= 8;
  while (good && at < size) {
    at += bits.rice(g, size - at);
    if (at == size || !bits.ok())
      break;
    std::uint32_t code = v == 8 ? bits.take(8) : 1 + bits.rice(v, 254);
    good = bits.ok() && code != 0;
    output[at++] += static_cast<std::uint8_t>(v == 8 ? code : (code >> 1) ^ (0 - (code & 1)));
  }
  if (!good || !bits.ok() || !bits.isAtEnd())
    return makeError(ErrorId::PackSparseMalformed, block.size() - bits.remaining(), at, size);
  return {};
}

constexpr std::uint8_t kPairs = 0x80;

} // namespace

Result<void> decodeSparse(std::span<const std::uint8_t> block, std::span<std::uint8_t> output) {
  const std::uint8_t parameters = block.empty() ? 0x7F : block[0];
  std::memset(output.data(), 0, output.size());
  if (parameters & kPairs)
    for (std::size_t i = 0; i < output.size(); i += 2)
      output[i] = 0x80;
  return addDifferences(block, parameters, output);
}

Result<void> decodeDelta(std::span<const std::uint8_t> block, std::span<const std::uint8_t> base,
                         std::span<std::uint8_t> output) {
  // A block of delta has no pairs: with that bit its parameters are as bad as these.
  const std::uint8_t parameters = block.empty() || block[0] & kPairs ? 0x7F : block[0];
  std::memcpy(output.data(), base.data(), output.size());
  return addDifferences(block, parameters, output);
}

} // namespace kimic::pack
