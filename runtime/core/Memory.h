// Where arenas come from: the one seam between the runtime and the platform's memory.
#pragma once

#include "runtime/core/Arena.h"

namespace kimic::runtime {

/// An arena of at most `cap` bytes, or null. Native: one aligned block of its own. WebAssembly: what lies behind the
/// module's static data, with the linear memory growing on demand; everything else that the module allocates comes
/// from the same arena, and there is only one at a time.
Arena *acquireArena(std::size_t cap);

void releaseArena(Arena *arena);

} // namespace kimic::runtime
