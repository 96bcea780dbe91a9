// Compiled experts in a content-addressed store: what a compilation finds there, it does not compile.
//
// An expert's key is the SHA-256 of all that its result depends on: the compiler's own sources, the options, the bytes
// of its files, and those of the manifest's words that matter. Not its id, and not where it stands.
#pragma once

#include "formats/manifest/ExpertSet.h"
#include "kimic/Compiler.h"

#include <memory>

namespace kimic {

namespace store {
class Store;
} // namespace store

struct ExpertRecord;

/// The digest of the sources that decide what an expert is compiled into: 64 hexadecimal digits.
const char *compilerId();

/// The shard of `shards` that compiles the expert `id` (the router's network is manifest::kRouterId): by the id alone,
/// so that a shard opens no file of another one. REQUIRES: shards >= 1.
std::uint32_t shardOf(std::string_view id, std::uint32_t shards);

/// Thread-safe. What was once found is remembered: records, and up to `maxInMemory` bytes of parameters.
class ExpertStore {
public:
  ExpertStore(store::Store &store, const CompileOptions &options, std::uint64_t maxInMemory = 256u << 20);
  ~ExpertStore();

  /// For manifest::ReadOptions::find. An expert is only known if its parameters are in the store too.
  manifest::ReadOptions::Found find(const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                                    const manifest::FileDigests &files);

  /// What was found under `key`, or put there; null if nothing was.
  std::shared_ptr<const ExpertRecord> record(const Digest &key) const;
  /// The parameters of such a record; nothing if they have disappeared from the store since.
  std::optional<std::vector<std::uint8_t>> parameters(const Digest &key) const;

  /// False if the store did not take it. It is known from then on in any case.
  bool put(const Digest &key, ExpertRecord record, std::span<const std::uint8_t> parameters);

  /// Experts that were put, but not taken.
  std::size_t notStored() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace kimic
