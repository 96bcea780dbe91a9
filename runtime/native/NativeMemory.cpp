#include "runtime/core/Memory.h"

#include <cstdlib>
#include <new>

namespace kimic::runtime {

// The arena object lies at the start of its own block.
static constexpr std::size_t kArenaBytes = (sizeof(Arena) + 63) / 64 * 64;

Arena *acquireArena(std::size_t cap) {
  void *block = std::aligned_alloc(64, kArenaBytes + (cap + 63) / 64 * 64);
  if (!block)
    return nullptr;
  Arena *arena = new (block) Arena;
  arena->reset(static_cast<std::uint8_t *>(block) + kArenaBytes, cap, cap, nullptr);
  return arena;
}

void releaseArena(Arena *arena) {
  arena->~Arena();
  std::free(arena);
}

} // namespace kimic::runtime
