// What every part of the runtime works with: memory, requests, and how a step ends.
//
// Steps return a status instead of a Result: the caller at the far end is a C function that returns the same number,
// and a third of the module's code would be passing errors on.
#pragma once

#include "formats/base/Result.h"
#include "runtime/core/ExpertCache.h"
#include "runtime/core/HostRequests.h"

namespace kimic::runtime {

/// KIMIC_OK, KIMIC_PENDING, or the number of the error that fail() has noted.
using Status = std::int32_t;

/// Returns the status of `step` from the enclosing function unless it is KIMIC_OK.
#define KIMIC_STEP(step)                                                                                               \
  do {                                                                                                                 \
    if (::kimic::runtime::Status kimicStatus = (step); kimicStatus != KIMIC_OK)                                        \
      return kimicStatus;                                                                                              \
  } while (false)

struct Core {
  explicit Core(Arena &arena) : arena(arena), cache(arena, stats, parts) {}

  /// Notes the error and returns its number.
  [[gnu::noinline]] Status fail(const Error &error) {
    lastError = error;
    return static_cast<Status>(error.id);
  }
  [[gnu::noinline]] Status fail(ErrorId id, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0) {
    return fail(makeError(id, a, b, c));
  }
  template <class T> Status statusOf(const Result<T> &result) { return result.ok() ? KIMIC_OK : fail(result.error()); }

  /// Memory of the cache, or null and ArenaExhausted noted.
  std::uint8_t *allocate(std::size_t bytes) {
    std::uint8_t *memory = cache.allocate(bytes, priority);
    if (!memory)
      fail(ErrorId::ArenaExhausted, bytes, arena.used(), arena.cap());
    return memory;
  }
  Status failure() const { return static_cast<Status>(lastError.id); }

  /// Makes room for containers that the caller is about to fill, `bytes` together. ArenaExhausted.
  Status ensureRoom(std::size_t bytes) {
    std::uint8_t *room = allocate(bytes);
    cache.free(room);
    return room ? KIMIC_OK : failure();
  }

  /// Asks for the parts, unless they are there. The host's errors.
  Status needParts();

  Arena &arena;
  KimicStats stats{};                      ///< but for the arena's numbers
  KimicPriority priority = KIMIC_DEMANDED; ///< for whom the current step works: who asks, and what it may evict
  HostRequests requests;
#ifdef __EMSCRIPTEN__
  Parts parts{};
  Ticket partsLink;
#else
  Parts parts = kParts;
#endif
  ExpertCache cache;
  Error lastError;
};

} // namespace kimic::runtime
