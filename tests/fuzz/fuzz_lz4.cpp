// LZ4 blocks: our decoder against liblz4's, on any bytes; and our encoder against our decoder.
//
// Input: u16 raw length, at least 1, then the block. Both decoders must accept the same blocks with the same output,
// but for offset 0, which liblz4 lets pass.
#include "formats/pack/Lz4Block.h"
#include "tests/fuzz/Require.h"

#include <lz4.h>

using namespace kimic;
using namespace kimic::pack;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  if (size < 2)
    return 0;
  const std::size_t rawLength = data[0] | std::size_t{data[1]} << 8;
  if (rawLength == 0) // no block of a pack is empty, and liblz4 has a rule of its own for it
    return 0;
  const std::vector<std::uint8_t> block(data + 2, data + size);
  std::vector<std::uint8_t> ours(rawLength), theirs(rawLength + 1);
  const Result<void> result = decodeLz4(block, ours);
  const int length =
      LZ4_decompress_safe(reinterpret_cast<const char *>(block.data()), reinterpret_cast<char *>(theirs.data()),
                          static_cast<int>(block.size()), static_cast<int>(rawLength));
  theirs.resize(rawLength);
  if (result.ok())
    require(length == static_cast<int>(rawLength) && ours == theirs);
  else
    require(length != static_cast<int>(rawLength) || result.error().id == ErrorId::PackLz4Offset);

  const std::vector<std::uint8_t> encoded = encodeLz4(block);
  if (!encoded.empty()) {
    std::vector<std::uint8_t> decoded(block.size());
    require(encoded.size() < block.size() && decodeLz4(encoded, decoded).ok() && decoded == block);
  }
  return 0;
}
