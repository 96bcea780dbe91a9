#include "formats/base/Sha256.h"

#include <algorithm>
#include <utility>

// Processors with instructions for SHA-256 do it five times as fast. Other compilers and the runtime's wasm have only
// the portable code.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__EMSCRIPTEN__)
#define KIMIC_SHA_INSTRUCTIONS
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace kimic {
namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
alignas(16) constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Inlined even where code is optimised for size, as the runtime's is: otherwise a round is calls, at a tenth of the
// speed.
#define KIMIC_INLINE [[gnu::always_inline]] inline

KIMIC_INLINE std::uint32_t rotateRight(std::uint32_t value, unsigned bits) {
  return (value >> bits) | (value << (32 - bits));
}

/// One round, without the renaming of the working variables that ends it: `d` becomes the next round's `e`, `h` its
/// `a`.
KIMIC_INLINE void round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t &d, std::uint32_t e,
                        std::uint32_t f, std::uint32_t g, std::uint32_t &h, std::uint32_t constantPlusWord) {
  std::uint32_t sum1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
  std::uint32_t t1 = h + sum1 + (g ^ (e & (f ^ g))) + constantPlusWord;
  std::uint32_t sum0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
  d += t1;
  h = t1 + sum0 + ((a & b) | (c & (a | b)));
}

void compressPortably(std::array<std::uint32_t, 8> &state, const std::uint8_t *block) {
  std::uint32_t schedule[64];
  for (unsigned i = 0; i < 16; ++i)
    schedule[i] = std::uint32_t{block[4 * i]} << 24 | std::uint32_t{block[4 * i + 1]} << 16 |
                  std::uint32_t{block[4 * i + 2]} << 8 | std::uint32_t{block[4 * i + 3]};
  for (unsigned i = 16; i < 64; ++i) {
    std::uint32_t a = schedule[i - 15], b = schedule[i - 2];
    std::uint32_t sigma0 = rotateRight(a, 7) ^ rotateRight(a, 18) ^ (a >> 3);
    std::uint32_t sigma1 = rotateRight(b, 17) ^ rotateRight(b, 19) ^ (b >> 10);
    schedule[i] = schedule[i - 16] + sigma0 + schedule[i - 7] + sigma1;
  }
  std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  std::uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  // Four rounds move every variable by half of the eight.
  for (unsigned i = 0; i < 64; i += 4) {
    const std::uint32_t *k = kRound + i, *w = schedule + i;
    round(a, b, c, d, e, f, g, h, k[0] + w[0]);
    round(h, a, b, c, d, e, f, g, k[1] + w[1]);
    round(g, h, a, b, c, d, e, f, k[2] + w[2]);
    round(f, g, h, a, b, c, d, e, k[3] + w[3]);
    std::swap(a, e);
    std::swap(b, f);
    std::swap(c, g);
    std::swap(d, h);
  }
  const std::uint32_t working[8] = {a, b, c, d, e, f, g, h};
  for (unsigned i = 0; i < 8; ++i)
    state[i] += working[i];
}

#ifdef KIMIC_SHA_INSTRUCTIONS
bool hasShaInstructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  bool hasSsse3AndSse41 = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1);
  return hasSsse3AndSse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

/// The instructions keep the state as ABEF and CDGH, and do two rounds each; the schedule of four rounds is one vector.
__attribute__((target("sha,sse4.1,ssse3"))) void compressByInstructions(std::array<std::uint32_t, 8> &state,
                                                                        const std::uint8_t *blocks, std::size_t count) {
  const __m128i bigEndian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  auto load = [](const void *at) { return _mm_loadu_si128(static_cast<const __m128i *>(at)); };
  __m128i cdab = _mm_shuffle_epi32(load(state.data()), 0xB1), efgh = _mm_shuffle_epi32(load(state.data() + 4), 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
  for (; count; --count, blocks += 64) {
    const __m128i abefBefore = abef, cdghBefore = cdgh;
    __m128i words[4];
    for (unsigned i = 0; i < 4; ++i)
      words[i] = _mm_shuffle_epi8(load(blocks + 16 * i), bigEndian);
    for (unsigned i = 0; i < 16; ++i) {
      __m128i &w = words[i % 4];
      if (i >= 4) {
        const __m128i &last = words[(i + 3) % 4], &second = words[(i + 2) % 4];
        w = _mm_add_epi32(_mm_sha256msg1_epu32(w, words[(i + 1) % 4]), _mm_alignr_epi8(last, second, 4));
        w = _mm_sha256msg2_epu32(w, last);
      }
      __m128i input = _mm_add_epi32(w, load(kRound + 4 * i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, input);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(input, 0x0E));
    }
    abef = _mm_add_epi32(abef, abefBefore);
    cdgh = _mm_add_epi32(cdgh, cdghBefore);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i *>(state.data()), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(state.data() + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#endif

} // namespace

void Sha256::compress(const std::uint8_t *blocks, std::size_t count) {
#ifdef KIMIC_SHA_INSTRUCTIONS
  static const bool hasInstructions = hasShaInstructions();
  if (hasInstructions)
    return compressByInstructions(state_, blocks, count);
#endif
  for (; count; --count, blocks += 64)
    compressPortably(state_, blocks);
}

void Sha256::add(std::span<const std::uint8_t> bytes) {
  std::size_t pending = length_ % 64;
  length_ += bytes.size();
  if (pending) {
    std::size_t count = std::min(64 - pending, bytes.size());
    std::copy_n(bytes.begin(), count, pending_.begin() + pending);
    bytes = bytes.subspan(count);
    if (pending + count < 64)
      return;
    compress(pending_.data(), 1);
  }
  compress(bytes.data(), bytes.size() / 64);
  bytes = bytes.subspan(bytes.size() / 64 * 64);
  std::copy(bytes.begin(), bytes.end(), pending_.begin());
}

Digest Sha256::finish() {
  std::uint64_t bits = length_ * 8;
  std::size_t pending = length_ % 64, blocks = pending < 56 ? 1 : 2;
  std::uint8_t last[128] = {};
  std::copy_n(pending_.begin(), pending, last);
  last[pending] = 0x80;
  for (unsigned i = 0; i < 8; ++i)
    last[blocks * 64 - 8 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  compress(last, blocks);
  Digest digest;
  for (unsigned i = 0; i < 32; ++i)
    digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

Digest sha256(std::span<const std::uint8_t> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

} // namespace kimic
