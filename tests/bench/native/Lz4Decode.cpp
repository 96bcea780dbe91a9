// The runtime's LZ4 decoder as a module of its own, for lz4.mjs.
#include "formats/pack/Lz4Block.h"

using namespace kimic;

static std::uint8_t bytes[4 << 20]; // the block, and behind 2 MiB the output

extern "C" __attribute__((used, visibility("default"))) std::uint8_t *buffer() { return bytes; }

extern "C" __attribute__((used, visibility("default"))) int decode(std::uint32_t stored, std::uint32_t raw) {
  return pack::decodeLz4({bytes, stored}, {bytes + (2 << 20), raw}).ok();
}
