// Everything that pack-v1 demands, checked on a whole file.
#pragma once

#include "formats/base/Result.h"

#include <cstdint>
#include <span>

namespace kimic::pack {

/// Success exactly if `file` is a valid pack: every rule of pack-v1 §10, kernel modules included (their structure, by
/// abi::verifyKernelModule). No bit of a valid pack without optional features can be changed without an error here.
/// Parameter blocks included, as far as kernels rely on them: quant::validateParameters.
/// Memory: one decoded block at a time, plus about 200 bytes per distinct data block, plus the kernels' signatures.
Result<void> verifyPack(std::span<const std::uint8_t> file);

} // namespace kimic::pack
