// Sparse and delta blocks: our decoder against one that follows the words of pack-v1 §8, on any bytes; and our encoder
// against our decoder.
//
// Input: u16 raw length, at least 1; u8, odd for delta; then the block.
#include "formats/pack/SparseBlock.h"
#include "tests/fuzz/Require.h"
#include "tests/support/SparseOracle.h"

using namespace kimic;
using namespace kimic::pack;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  if (size < 3)
    return 0;
  const std::size_t rawLength = data[0] | std::size_t{data[1]} << 8;
  if (rawLength == 0) // no block of a pack is empty
    return 0;
  std::vector<std::uint8_t> base;
  if (data[2] & 1)
    for (std::size_t i = 0; i < rawLength; ++i)
      base.push_back(static_cast<std::uint8_t>(i * 31));
  const std::vector<std::uint8_t> block(data + 3, data + size);
  std::vector<std::uint8_t> output(rawLength);
  const Result<void> result = base.empty() ? decodeSparse(block, output) : decodeDelta(block, base, output);
  const auto expected = test::decodeAsSpecified(block, base, rawLength);
  require(result.ok() == expected.has_value() && (!expected || output == *expected));

  if (!block.empty()) {
    std::vector<std::uint8_t> decoded(block.size());
    const std::vector<std::uint8_t> encoded = encodeSparse(block);
    require(encoded.empty() ||
            (encoded.size() < block.size() && decodeSparse(encoded, decoded).ok() && decoded == block));
    base.assign(block.rbegin(), block.rend());
    const std::vector<std::uint8_t> differences = encodeDelta(block, base);
    require(differences.empty() || (decodeDelta(differences, base, decoded).ok() && decoded == block));
  }
  return 0;
}
