// Blocks as differences from a prediction, pack-v1 §8: from zero weights, or from the raw bytes of another block. The
// decoder runs everywhere; it needs no memory besides the output.
#pragma once

#include "formats/base/Result.h"

#include <cstdint>
#include <span>
#include <vector>

namespace kimic::pack {

/// Decodes a block of Codec::Sparse that yields exactly output.size() bytes and uses all of `block`.
/// PackSparseMalformed.
Result<void> decodeSparse(std::span<const std::uint8_t> block, std::span<std::uint8_t> output);

/// The same for Codec::Delta. REQUIRES: base.size() == output.size(); they do not overlap.
Result<void> decodeDelta(std::span<const std::uint8_t> block, std::span<const std::uint8_t> base,
                         std::span<std::uint8_t> output);

/// The smallest block that decodeSparse() turns into `raw`, or an empty vector if it would not be smaller than `raw` or
/// is so small that pack-v1 §10 excludes it. Native only. REQUIRES: raw.size() <= kMaxBlockBytes.
std::vector<std::uint8_t> encodeSparse(std::span<const std::uint8_t> raw);

/// The same for decodeDelta(). REQUIRES: base.size() == raw.size().
std::vector<std::uint8_t> encodeDelta(std::span<const std::uint8_t> raw, std::span<const std::uint8_t> base);

} // namespace kimic::pack
