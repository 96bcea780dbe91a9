// LZ4 blocks: a strict decoder that runs everywhere, and the encoder (liblz4, native only).
#pragma once

#include "formats/base/Result.h"

#include <cstdint>
#include <span>
#include <vector>

namespace kimic::pack {

/// Decodes one LZ4 block that yields exactly output.size() bytes and uses all of `block`. Reads and writes nothing
/// outside of the two spans, whatever the bytes are; copies only from what it has written.
/// PackLz4Truncated, PackLz4Offset, PackLz4Length; arguments: position in the block, position in the output.
Result<void> decodeLz4(std::span<const std::uint8_t> block, std::span<std::uint8_t> output);

/// The LZ4 block of `raw`, or an empty vector if it would not be smaller than `raw`. Deterministic for one version of
/// liblz4. From 4 KiB on the block is given up if LZ4's fast compressor needs more than `worthwhile` bytes.
/// REQUIRES: raw.size() <= kMaxBlockBytes.
std::vector<std::uint8_t> encodeLz4(std::span<const std::uint8_t> raw, std::size_t worthwhile = SIZE_MAX);

} // namespace kimic::pack
