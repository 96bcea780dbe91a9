// A content-addressed store: what was computed once, on any machine, is found by what it was computed from.
//
// Two maps, as in Bazel's remote cache. *Contents* are bytes under their own SHA-256. *Actions* are results under a
// key, the SHA-256 of everything that the computation depends on: a small record, and references to the contents that
// belong to it. A store only saves time: an entry that is missing, damaged or out of reach is computed again and
// written anew, and whoever wrote an entry, it is not used before its digest holds. (That makes damage harmless, not
// malice: who may write to a store decides what compilations that read it yield.)
//
// An action is written as the protocol buffer `ActionResult` of Bazel's Remote Execution API, so that servers that
// check what they are given (bazel-remote does) accept it.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/base/Sha256.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::store {

using Bytes = std::vector<std::uint8_t>;

struct ContentRef {
  Digest sha256{};
  std::uint64_t size = 0;
  friend bool operator==(const ContentRef &, const ContentRef &) = default;
};

ContentRef contentRefOf(std::span<const std::uint8_t> bytes);

struct ActionResult {
  Bytes record;
  std::vector<ContentRef> contents;
  friend bool operator==(const ActionResult &, const ActionResult &) = default;
};

/// Larger entries are neither read nor written.
inline constexpr std::uint64_t kMaxActionBytes = 16u << 20;
inline constexpr std::uint64_t kMaxContentBytes = 256u << 20;

/// What `key` names, as it lies in a store: an ActionResult whose last field holds a digest of the key and the rest.
Bytes encodeAction(const Digest &key, const ActionResult &result);
/// The inverse; nothing unless the bytes are whole, and those of this key.
std::optional<ActionResult> decodeAction(const Digest &key, std::span<const std::uint8_t> bytes);

/// Whether an entry is there is all that an operation tells; why not is a warning. Any number of threads may use one
/// store, and any number of processes the place that it stands for.
class Store {
public:
  struct Counters {
    std::uint64_t hits = 0, misses = 0;
    std::uint64_t damaged = 0; ///< found, but not what it should have been; counted as misses too
    std::uint64_t written = 0;
    std::uint64_t failures = 0; ///< operations that the place did not carry out
  };

  virtual ~Store() = default;

  std::optional<ActionResult> findAction(const Digest &key);
  std::optional<Bytes> findContent(const ContentRef &content);

  /// False if it could not be written. Contents go before the action that refers to them.
  bool putAction(const Digest &key, const ActionResult &result);
  bool putContent(std::span<const std::uint8_t> bytes);

  Counters counters() const;
  /// What went wrong since the last call, a sentence each, the first few of many.
  std::vector<std::string> takeWarnings();

protected:
  enum class Space : std::uint8_t { Action, Content };
  enum class Status : std::uint8_t { Ok, Absent, Failed };

  /// "ac/<hex>" or "cas/<hex>".
  static std::string nameOf(Space space, const Digest &key);
  /// Counts a failure, and keeps its text for takeWarnings(). From any thread.
  void warn(const std::string &text);
  void countFailure();

  virtual Status read(Space space, const Digest &key, std::uint64_t maxBytes, Bytes &out) = 0;
  virtual bool write(Space space, const Digest &key, std::span<const std::uint8_t> bytes) = 0;
  /// Takes a damaged entry away, if that is possible; it is overwritten in any case.
  virtual void discard(Space space, const Digest &key) = 0;

private:
  std::optional<Bytes> find(Space space, const Digest &key, std::uint64_t maxBytes);
  bool put(Space space, const Digest &key, std::uint64_t maxBytes, std::span<const std::uint8_t> bytes);
  void foundDamaged(Space space, const Digest &key);

  mutable std::mutex lock_;
  Counters counters_;
  std::vector<std::string> warnings_;
};

/// A store in a folder, which is made if it is not there. Entries are files that appear whole (written beside, then
/// renamed), so that processes need no locks, on network file systems too. StoreUnusable.
Result<std::unique_ptr<Store>, Diagnostic> openDirectoryStore(const std::string &path);

/// kimic/`name` in $XDG_CACHE_HOME, or in ~/.cache: where results are kept if nobody names a place. Empty if there is
/// no home.
std::string userCacheDirectory(std::string_view name);

/// "00ff...": 64 digits.
std::string hexOf(const Digest &digest);

} // namespace kimic::store
