// The decoder. The format is that of LZ4's lz4_Block_format.md, its rules for the end of a block included.
#include "formats/pack/Lz4Block.h"

#include <algorithm>
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

/// Copies `count` bytes forwards, byte by byte as it were: `to` may lie `distance` behind `from`. `room` bytes may be
/// read and written. Short pieces, which are most, must not be a call: engines make one of every copy of unknown
/// length.
void copyForwards(std::uint8_t *to, const std::uint8_t *from, std::size_t count, std::size_t room,
                  std::size_t distance) {
  if (count <= 16 && distance >= 8 && room >= 16) {
    std::uint64_t piece;
    std::memcpy(&piece, from, 8);
    std::memcpy(to, &piece, 8);
    std::memcpy(&piece, from + 8, 8);
    std::memcpy(to + 8, &piece, 8);
  } else if (count > 16 && distance >= count) {
    std::memcpy(to, from, count);
  } else {
    for (std::size_t i = 0; i < count; ++i)
      to[i] = from[i];
  }
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
    copyForwards(output.data() + out, block.data() + in, static_cast<std::size_t>(literals),
                 std::min(block.size() - in, output.size() - out), block.size());
    in += static_cast<std::size_t>(literals);
    out += static_cast<std::size_t>(literals);
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

    std::uint8_t *to = output.data() + out;
    copyForwards(to, to - offset, static_cast<std::size_t>(match), output.size() - out, offset);
    out += static_cast<std::size_t>(match);
  }
}

} // namespace kimic::pack
