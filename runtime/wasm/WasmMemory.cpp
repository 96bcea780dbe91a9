// The memory of the WebAssembly build: one arena behind the module's static data serves the runtime and C++'s
// operator new alike. There is no other allocator in the module.
#include "runtime/core/Memory.h"
#include "runtime/include/kimic/Runtime.h"

#include <new>

extern "C" unsigned char __heap_base;

namespace kimic::runtime {

static constexpr std::size_t kPageBytes = 65536;
static constinit Arena processArena;
static bool isAcquired = false;
static std::size_t usableEnd = 0; // address up to which the arena may touch memory

static bool grow(std::size_t bytes) {
  std::size_t end = usableEnd + bytes;
  std::size_t memoryEnd = __builtin_wasm_memory_size(0) * kPageBytes;
  if (end < usableEnd)
    return false;
  if (end > memoryEnd &&
      __builtin_wasm_memory_grow(0, (end - memoryEnd + kPageBytes - 1) / kPageBytes) == static_cast<std::size_t>(-1))
    return false;
  usableEnd = end;
  return true;
}

Arena *acquireArena(std::size_t cap) {
  if (isAcquired)
    return nullptr;
  auto start = (reinterpret_cast<std::uintptr_t>(&__heap_base) + 15) & ~std::uintptr_t{15};
  std::size_t usable = __builtin_wasm_memory_size(0) * kPageBytes - start;
  if (usable > cap)
    usable = cap;
  usableEnd = start + usable;
  new (&processArena) Arena;
  processArena.reset(reinterpret_cast<void *>(start), usable, cap, grow);
  isAcquired = true;
  return &processArena;
}

void releaseArena(Arena *) { isAcquired = false; }

} // namespace kimic::runtime

using kimic::runtime::processArena;

// The runtime makes room before it lets containers allocate, so a failure here is a bug: stop at once.
__attribute__((noinline)) void *operator new(std::size_t bytes) {
  void *memory = processArena.allocate(bytes, kimic::runtime::Arena::Placement::Lowest);
  if (!memory)
    __builtin_trap();
  return memory;
}
__attribute__((noinline)) void operator delete(void *memory) noexcept { processArena.free(memory); }
void operator delete(void *memory, std::size_t) noexcept { operator delete(memory); }
void *operator new[](std::size_t bytes) { return operator new(bytes); }
void operator delete[](void *memory) noexcept { operator delete(memory); }
void operator delete[](void *memory, std::size_t) noexcept { operator delete(memory); }
// Nothing needs more than the arena's 16 bytes, but containers refer to these.
void *operator new(std::size_t bytes, std::align_val_t) { return operator new(bytes); }
void operator delete(void *memory, std::align_val_t) noexcept { operator delete(memory); }
void operator delete(void *memory, std::size_t, std::align_val_t) noexcept { operator delete(memory); }

// Emscripten's would import the host's proc_exit.
extern "C" void abort() { __builtin_trap(); }

extern "C" __attribute__((used, visibility("default"))) void *kimic_exchange(void) {
  alignas(16) static unsigned char bytes[KIMIC_EXCHANGE_BYTES];
  return bytes;
}
