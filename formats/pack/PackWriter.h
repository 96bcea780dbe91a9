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
    std::vector<std::uint8_t> parameters; ///< as quant::packParameters makes them for the kernel's signature
    friend bool operator==(const Expert &, const Expert &) = default;
  };

  std::string meta = "{}"; ///< JSON
  /// encode(signature) of every kernel, by kernel number.
  std::vector<std::vector<std::uint8_t>> signatures;
  /// A group holds 2^groupLog2 kernels: abi::kGroupKernels, or more where thousands of kernels need fewer rows.
  std::uint8_t groupLog2 = kMinGroupLog2;
  /// [variantIndex][group]: wasm modules. A variant has one for every group, or none at all.
  std::array<std::vector<std::vector<std::uint8_t>>, kVariantCount> modules;
  std::vector<Expert> experts; ///< by expert number
  std::optional<Router> router;

  friend bool operator==(const PackContents &, const PackContents &) = default;
};

/// The pack's bytes: a pure function of the contents. Every block is stored or compressed, whichever is smaller; equal
/// parameter blocks are written once. What a reader would refuse in single parts is refused here with the reader's
/// error (numbers out of range, sizes of parameter blocks, limits), besides PackContentsModules and PackTooManyRows.
/// Modules, metadata and the contents of parameter blocks are taken as they are: verifyPack judges them.
Result<std::vector<std::uint8_t>> writePack(const PackContents &contents);

/// The contents of a valid pack: the inverse of writePack. Errors as verifyPack, which it calls.
Result<PackContents> readContents(std::span<const std::uint8_t> file);

} // namespace kimic::pack
