// Writes packs. Native only: it needs liblz4 for compression.
#pragma once

#include "formats/base/Result.h"
#include "formats/pack/PackFormat.h"

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kimic::pack {

/// What a pack holds, free of everything that is only encoding.
struct PackContents {
  struct Expert {
    std::uint32_t kernel = 0;
    Domain domain = Domain::Reasoning;
    std::uint8_t flags = 0; ///< no bits are defined: 0
    float confidenceThreshold = 0;
    std::vector<std::uint8_t> parameters; ///< layoutOf(signature of the kernel).parameterBytes bytes
    friend bool operator==(const Expert &, const Expert &) = default;
  };

  std::string meta = "{}"; ///< JSON
  /// encode(signature) of every kernel, by kernel number.
  std::vector<std::vector<std::uint8_t>> signatures;
  /// [variantIndex][group]: wasm modules. A variant has one for every group, or none at all.
  std::array<std::vector<std::vector<std::uint8_t>>, kVariantCount> modules;
  std::vector<Expert> experts; ///< by expert number
  std::optional<Router> router;

  friend bool operator==(const PackContents &, const PackContents &) = default;
};

/// Log2 of the group size that writePack uses for `kernels` kernels in this many variants; modules must be grouped by
/// it. 6, that is abi::kGroupKernels, up to thousands of kernels; 7 or 8 for more.
std::uint8_t groupLog2For(std::uint32_t kernels, unsigned variants);

/// The pack's bytes: a pure function of the contents. Every block is stored or compressed, whichever is smaller; equal
/// parameter blocks are written once. The result passes verifyPack if signatures, parameter sizes and modules are
/// valid. PackContentsInvalid, PackTooManyRows and the limits of pack-v1 §9.
Result<std::vector<std::uint8_t>> writePack(const PackContents &contents);

/// The contents of a valid pack: the inverse of writePack. Errors as verifyPack, which it calls.
Result<PackContents> readContents(std::span<const std::uint8_t> file);

} // namespace kimic::pack
