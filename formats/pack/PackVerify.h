// Everything that pack-v1 demands, checked on a whole file.
#pragma once

#include "formats/base/Result.h"
#include "formats/pack/PackReader.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace kimic::pack {

/// The signatures of a file's slots that are used. Their form is checked, not their truth, which takes Ed25519.
/// PackTruncated, PackSignatureSlot. `bytes`: at least the first kRootOffset of a file.
Result<std::vector<SignatureSlot>> parseSignatureSlots(std::span<const std::uint8_t> bytes);

/// Everything that pack-v1 §15 demands of a plan. `signatureOf(expert)` is that of its kernel.
Result<void> checkPlan(const Header &header, const Plan &plan,
                       const std::function<const quant::Signature &(std::uint32_t)> &signatureOf);

/// Success exactly if `file` is a valid pack: every rule of pack-v1 §11, kernel modules included (their structure, by
/// abi::verifyKernelModule). No bit of a valid pack without optional features can be changed without an error here, but
/// for those of used signature slots.
/// Parameter blocks included, as far as kernels rely on them: quant::validateParameters.
/// Memory: two decoded blocks at a time, plus about 120 bytes per expert, plus the kernels' signatures.
Result<void> verifyPack(std::span<const std::uint8_t> file);

/// The content id that `file` has to have, pack-v1 §9. Errors and memory as verifyPack, which compares it with that of
/// the header.
Result<Digest> contentIdOf(std::span<const std::uint8_t> file);

} // namespace kimic::pack
