// Results kept on disk under the digest of everything that they were made from. Native only.
//
// Nothing depends on an entry being there: what is missing, damaged or not readable is made again. Entries are written
// atomically, so that any number of processes may share a directory. Nothing is ever deleted: people may, at any time.
#pragma once

#include "formats/base/Sha256.h"

#include <optional>
#include <string>
#include <string_view>

namespace kimic {

/// kimic/`name` in $XDG_CACHE_HOME, or in ~/.cache; empty if there is no home.
std::string cacheDirectory(std::string_view name);

/// Thread-safe.
class DiskCache {
public:
  /// `directory` is made when something is added; empty: nothing is found and nothing is kept.
  explicit DiskCache(std::string directory) : directory_(std::move(directory)) {}

  /// What was added under `key`, if it is there and whole.
  std::optional<std::string> find(const Digest &key) const;

  /// Keeps `bytes`; if that fails, nothing happens.
  void add(const Digest &key, std::string_view bytes) const;

  /// Where the entry of `key` lies: the first 32 bytes are the SHA-256 of the key and the bytes that follow.
  std::string pathOf(const Digest &key) const;

private:
  std::string directory_;
};

} // namespace kimic
