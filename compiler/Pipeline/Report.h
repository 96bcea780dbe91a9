// Texts that a compilation makes besides the pack's bytes.
#pragma once

#include "kimic/Compiler.h"

namespace kimic {

/// The pack's metadata (pack-v1, "Metadata"): what the manifest says about the experts in the order of their ids
/// (`order`: indices into set.experts, without the router), kernel names, and the measured accuracy, which is left out
/// if the text would need more than 4 MiB; if that is not enough, everything but the ids, then those too, with a
/// warning. Numbers have six digits, so that the last bits of a platform's exp() do not reach the pack. PackNotWritable
/// if 4 MiB are not enough for the rest.
Result<std::string, Diagnostic> packMetadata(const manifest::ExpertSet &set, const std::vector<std::uint32_t> &order,
                                             const std::vector<std::uint32_t> &idOf, Report &report);

} // namespace kimic
