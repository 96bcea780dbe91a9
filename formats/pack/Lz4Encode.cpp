// The encoder, apart from the decoder because it needs liblz4.
#include "formats/pack/Lz4Block.h"

#include <lz4.h>
#include <lz4hc.h>

namespace kimic::pack {

std::vector<std::uint8_t> encodeLz4(std::span<const std::uint8_t> raw, std::size_t worthwhile) {
  // Level 10 and up parse optimally, which costs eight times the time on runs of zeros for 1 % of size.
  constexpr int kLevel = 9;
  if (raw.size() < 2)
    return {};
  std::vector<std::uint8_t> block(raw.size() - 1);
  const char *from = reinterpret_cast<const char *>(raw.data());
  char *to = reinterpret_cast<char *>(block.data());
  const int size = static_cast<int>(raw.size()), capacity = static_cast<int>(block.size());
  // Dense weights do not compress. The fast compressor finds that out in a fiftieth of the time.
  constexpr int kProbeFrom = 4096;
  if (size >= kProbeFrom) {
    const int fast = LZ4_compress_default(from, to, size, capacity);
    if (fast <= 0 || static_cast<std::size_t>(fast) > worthwhile)
      return {};
  }
  const int length = LZ4_compress_HC(from, to, size, capacity, kLevel);
  block.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return block;
}

} // namespace kimic::pack
