// One linear layer by the sequence of the default class's kernel (quantization-v1, "Blocks"), natively with 128-bit
// vectors: what the machine can do for it when no WebAssembly engine stands in between. From f32 to f32, as the kernel.
#pragma once

#include <cstdint>
#include <cstring>
#include <immintrin.h>
#include <random>
#include <vector>

namespace kimic::bench {

class PSequence {
public:
  /// Random numbers; inputs a multiple of 8, outputs of 32.
  PSequence(unsigned inputs, unsigned outputs) : inputs(inputs), outputs(outputs) {
    std::mt19937 random(1);
    auto number = [&](int limit) { return static_cast<int>(random() % (2u * limit + 1)) - limit; };
    weights.resize(std::size_t{inputs} * outputs);
    bias.resize(outputs);
    x.resize(inputs), y.resize(outputs), scale.assign(inputs, 8000.0f), multiplier.resize(outputs);
    for (std::int8_t &w : weights)
      w = static_cast<std::int8_t>(number(127));
    for (unsigned k = 0; k < inputs; ++k)
      x[k] = static_cast<float>(number(1000)) / 1000.0f;
    for (unsigned n = 0; n < outputs; ++n)
      bias[n] = number(1 << 20), multiplier[n] = 1.0f / static_cast<float>(1 << 20);
    blocks.resize(std::size_t{outputs} / 4 + std::size_t{inputs} * outputs / 16);
    codes.resize(inputs / 8);
    pack();
  }

  void run() {
    __m128i correction = quantize();
    const __m128i *block = blocks.data();
    for (unsigned n = 0; n < outputs; n += 32)
      block = accumulate(block, correction, n);
  }

  /// Outputs that differ from plain arithmetic.
  unsigned check() {
    run();
    unsigned wrong = 0;
    for (unsigned n = 0; n < outputs; ++n) {
      std::uint32_t sum = static_cast<std::uint32_t>(bias[n]);
      for (unsigned k = 0; k < inputs; ++k)
        sum += static_cast<std::uint32_t>(weights[n * inputs + k] * codeOf(k));
      wrong += y[n] != static_cast<float>(static_cast<std::int32_t>(sum)) * multiplier[n];
    }
    return wrong;
  }

private:
  std::int16_t codeOf(unsigned k) const {
    float v = x[k] * scale[k] + 12582912.0f;
    std::int32_t bits;
    std::memcpy(&bits, &v, 4);
    return static_cast<std::int16_t>(bits - 0x4B400000);
  }

  void pack() {
    auto *to = reinterpret_cast<std::uint8_t *>(blocks.data());
    for (unsigned n = 0; n < outputs; n += 32) {
      for (unsigned g = n; g < n + 32; g += 8)
        for (unsigned half = 0; half < 2; ++half)
          for (unsigned l = 0; l < 4; ++l, to += 4) {
            std::int32_t high = bias[g + 4 + l];
            std::int32_t word = half ? high : bias[g + l] + 256 * high;
            std::memcpy(to, &word, 4);
          }
      for (unsigned k = 0; k < inputs; k += 2)
        for (unsigned g = n; g < n + 32; g += 8)
          for (unsigned l = 0; l < 4; ++l)
            for (unsigned i = 0; i < 2; ++i) {
              *to++ = static_cast<std::uint8_t>(weights[(g + l) * inputs + k + i]) ^ 0x80;
              *to++ = static_cast<std::uint8_t>(weights[(g + 4 + l) * inputs + k + i]);
            }
    }
  }

  __m128i quantize() {
    const __m128 magic = _mm_set1_ps(12582912.0f), low = _mm_set1_ps(-32768.0f), high = _mm_set1_ps(32767.0f);
    const __m128i zero = _mm_set1_epi32(0x4B400000), factor = _mm_set1_epi16(-128);
    __m128i sum = _mm_setzero_si128();
    for (unsigned k = 0; k < inputs; k += 8) {
      __m128i half[2];
      for (unsigned i = 0; i < 2; ++i) {
        __m128 v = _mm_mul_ps(_mm_loadu_ps(&x[k + 4 * i]), _mm_loadu_ps(&scale[k + 4 * i]));
        v = _mm_min_ps(high, _mm_max_ps(low, v));
        half[i] = _mm_sub_epi32(_mm_castps_si128(_mm_add_ps(v, magic)), zero);
      }
      __m128i narrow = _mm_packs_epi32(half[0], half[1]);
      codes[k / 8] = narrow;
      sum = _mm_add_epi32(sum, _mm_madd_epi16(narrow, factor));
    }
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
  }

  /// The empty assembly keeps the order of the additions: a compiler that makes one tree of them spills.
  static void add(__m128i &sum, __m128i term) {
    sum = _mm_add_epi32(sum, term);
    asm("" : "+x"(sum));
  }

  const __m128i *accumulate(const __m128i *block, __m128i correction, unsigned n) {
    __m128i a[4], b[4];
    for (unsigned g = 0; g < 4; ++g) {
      a[g] = _mm_add_epi32(_mm_loadu_si128(block + 2 * g), correction);
      b[g] = _mm_loadu_si128(block + 2 * g + 1);
    }
    block += 8;
    const char *at = reinterpret_cast<const char *>(codes.data());
    for (unsigned k = 0; k < inputs; k += 2, at += 4, block += 4) {
      __m128i pair = _mm_castps_si128(_mm_broadcast_ss(reinterpret_cast<const float *>(at)));
      for (unsigned g = 0; g < 4; ++g) {
        __m128i words = _mm_loadu_si128(block + g);
        add(a[g], _mm_madd_epi16(words, pair));
        add(b[g], _mm_madd_epi16(_mm_srai_epi16(words, 8), pair));
      }
    }
    for (unsigned g = 0; g < 4; ++g) {
      __m128i low = _mm_sub_epi32(a[g], _mm_slli_epi32(b[g], 8));
      for (unsigned half = 0; half < 2; ++half) {
        unsigned first = n + 8 * g + 4 * half;
        __m128 v = _mm_mul_ps(_mm_cvtepi32_ps(half ? b[g] : low), _mm_loadu_ps(&multiplier[first]));
        _mm_storeu_ps(&y[first], v);
      }
    }
    return block;
  }

  unsigned inputs, outputs;
  std::vector<std::int8_t> weights;
  std::vector<std::int32_t> bias;
  std::vector<float> x, y, scale, multiplier;
  std::vector<__m128i> blocks, codes;
};

} // namespace kimic::bench
