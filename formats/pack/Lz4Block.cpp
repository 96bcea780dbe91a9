// The decoder. The format is that of LZ4's lz4_Block_format.md, its rules for the end of a block included.
#include "formats/pack/Lz4Block.h"

#include <cstring>

namespace kimic::pack {
namespace {

constexpr std::size_t kMinMatch = 4;
constexpr std::size_t kLastLiterals = 5;     ///< the output's last bytes are literals
constexpr std::size_t kMatchStartLimit = 12; ///< no match starts in the output's last bytes

/// Adds the bytes that continue a length of 15: 255 means that another one follows. False if the block ends. Lengths
/// cannot overflow: a block of n bytes adds at most 255 n.
bool continueLength(std::span<const std::uint8_t> block, std::size_t &in, std::uint64_t &length) {
  std::uint8_t byte;
  do {
    if (in == block.size())
      return false;
    byte = block[in++];
    length += byte;
  } while (byte == 255);
  return true;
}

} // namespace

Result<void> decodeLz4(std::span<const std::uint8_t> block, std::span<std::uint8_t> output) {
  std::size_t in = 0, out = 0;
  for (;;) {
    const std::size_t sequence = in;
    if (in == block.size())
      return makeError(ErrorId::PackLz4Truncated, sequence);
    const std::uint8_t token = block[in++];

    std::uint64_t literals = token >> 4;
    if (literals == 15 && !continueLength(block, in, literals))
      return makeError(ErrorId::PackLz4Truncated, sequence);
    if (literals > block.size() - in)
      return makeError(ErrorId::PackLz4Truncated, sequence);
    if (literals > output.size() - out)
      return makeError(ErrorId::PackLz4Length, sequence, out + literals, output.size());
    if (literals) {
      std::memcpy(output.data() + out, block.data() + in, static_cast<std::size_t>(literals));
      in += static_cast<std::size_t>(literals);
      out += static_cast<std::size_t>(literals);
    }
    if (in == block.size()) {
      if (out != output.size())
        return makeError(ErrorId::PackLz4Length, sequence, out, output.size());
      return {};
    }

    if (block.size() - in < 2)
      return makeError(ErrorId::PackLz4Truncated, sequence);
    const std::size_t offset = block[in] | std::size_t{block[in + 1]} << 8;
    in += 2;
    if (offset == 0 || offset > out)
      return makeError(ErrorId::PackLz4Offset, sequence, out, offset);
    std::uint64_t match = token & 15;
    if (match == 15 && !continueLength(block, in, match))
      return makeError(ErrorId::PackLz4Truncated, sequence);
    match += kMinMatch;
    if (match > output.size() - out)
      return makeError(ErrorId::PackLz4Length, sequence, out + match, output.size());
    if (output.size() - out < kMatchStartLimit || output.size() - out - match < kLastLiterals)
      return makeError(ErrorId::PackLz4End, sequence, out + match, output.size());

    // An offset shorter than the match repeats what the match itself writes: copy pieces that do not overlap.
    std::uint8_t *to = output.data() + out;
    std::size_t left = static_cast<std::size_t>(match), distance = offset;
    out += left;
    while (left > distance) {
      std::memcpy(to, to - distance, distance);
      to += distance;
      left -= distance;
      distance *= 2;
    }
    std::memcpy(to, to - distance, left);
  }
}

} // namespace kimic::pack
