// Whether bytes are JSON (RFC 8259), without building anything: for the one JSON text in a pack, its metadata.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kimic::pack {

inline constexpr std::size_t kNoJsonError = ~std::size_t{0};
inline constexpr unsigned kMaxJsonDepth = 64; ///< of arrays and objects inside each other

/// kNoJsonError if `bytes` are one JSON object in UTF-8 with nothing but white space around it, nested at most
/// kMaxJsonDepth deep. Otherwise the position of the first byte that no longer fits.
std::size_t findJsonObjectError(std::span<const std::uint8_t> bytes);

} // namespace kimic::pack
