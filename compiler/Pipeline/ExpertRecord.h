// What compiling one expert yields besides its parameter block, as a store keeps it.
#pragma once

#include "compiler/Store/Store.h"
#include "formats/manifest/ExpertSet.h"
#include "formats/quant/Signature.h"
#include "kimic/Compiler.h"

namespace kimic {

struct ExpertRecord {
  manifest::NetworkFacts network;
  quant::Signature signature;
  /// Without what depends on the rest of the set: id, kernelId, storedBytes, codec and what belongs to it, and the
  /// warning about a missed budget.
  ExpertReport report;
};

store::Bytes encode(const ExpertRecord &record);
/// The inverse; nothing unless `bytes` are exactly one record.
std::optional<ExpertRecord> decodeRecord(std::span<const std::uint8_t> bytes);

/// The key under which an expert (null: the router) lies in a store: `budget` and `applyScaling` as in CompileOptions.
Digest expertKey(const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                 const manifest::FileDigests &files, const manifest::AccuracyBudget &budget, bool applyScaling);

} // namespace kimic
