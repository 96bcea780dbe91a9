// The instruction sequence of XNNPACK's production int8 kernel for WebAssembly SIMD, written from its description: one
// row, blocks of 4 outputs, pairs of 2 inputs that rotate instead of being broadcast ("1x4c2s4 dot16x2 ld128"), and a
// requantization per channel in f32. Codes in and out are int8, so it neither quantizes nor returns f32.
#include <wasm_simd128.h>

enum { kMax = 256 };

static _Alignas(16) signed char packed[kMax * kMax + 32 * kMax];
static signed char weights[kMax][kMax];
static int bias[kMax];
static float scale[kMax];
static _Alignas(16) signed char x[kMax + 16], y[kMax + 16];

/// Random numbers for a layer; inputs a multiple of 8, outputs of 4.
void xnn_fill(int inputs, int outputs) {
  unsigned state = 1;
  for (int k = 0; k < inputs; ++k)
    x[k] = (signed char)((state = state * 1664525 + 1013904223) >> 24);
  for (int n = 0; n < outputs; ++n) {
    bias[n] = (int)(state = state * 1664525 + 1013904223) >> 16;
    scale[n] = 1.0f / (float)(512 + n);
    for (int k = 0; k < inputs; ++k)
      weights[n][k] = (signed char)((state = state * 1664525 + 1013904223) >> 24);
  }
  signed char *to = packed;
  for (int n = 0; n < outputs; n += 4) {
    for (int j = 0; j < 4; ++j, to += 4)
      *(int *)to = bias[n + j];
    for (int k = 0; k < inputs; k += 8)
      for (int turn = 0; turn < 4; ++turn)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 2; ++i)
            *to++ = weights[n + j][k + 2 * ((j + turn) % 4) + i];
    for (int j = 0; j < 4; ++j, to += 4)
      *(float *)to = scale[n + j];
  }
}

void xnn_run(int inputs, int outputs) {
  const signed char *w = packed;
  const v128_t magic = wasm_f32x4_splat(12582912.0f);
  const v128_t least = wasm_i32x4_splat(0x4B400000 - 128), zero = wasm_i32x4_splat(0x4B400000);
  for (int n = 0; n < outputs; n += 4) {
    v128_t acc = wasm_v128_load(w);
    w += 16;
    const signed char *a = x;
    for (int k = inputs; k > 0; k -= 8, a += 8, w += 32) {
      v128_t va = wasm_i16x8_load8x8(a);
      v128_t b01 = wasm_v128_load(w), b23 = wasm_v128_load(w + 16);
      acc = wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(va, wasm_i16x8_extend_low_i8x16(b01)));
      va = wasm_i32x4_shuffle(va, va, 1, 2, 3, 0);
      acc = wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(va, wasm_i16x8_extend_high_i8x16(b01)));
      va = wasm_i32x4_shuffle(va, va, 1, 2, 3, 0);
      acc = wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(va, wasm_i16x8_extend_low_i8x16(b23)));
      va = wasm_i32x4_shuffle(va, va, 1, 2, 3, 0);
      acc = wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(va, wasm_i16x8_extend_high_i8x16(b23)));
    }
    v128_t v = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc), wasm_v128_load(w));
    w += 16;
    v = wasm_i32x4_sub(wasm_i32x4_max(wasm_f32x4_add(v, magic), least), zero);
    v = wasm_i16x8_narrow_i32x4(v, v);
    v = wasm_i8x16_narrow_i16x8(v, v);
    wasm_v128_store32_lane(y + n, v, 0);
  }
}

/// Outputs that differ from plain arithmetic.
int xnn_check(int inputs, int outputs) {
  int wrong = 0;
  xnn_run(inputs, outputs);
  for (int n = 0; n < outputs; ++n) {
    int sum = bias[n];
    for (int k = 0; k < inputs; ++k)
      sum += weights[n][k] * x[k];
    float v = __builtin_rintf((float)sum * scale[n]);
    int code = v < -128 ? -128 : v > 127 ? 127 : (int)v;
    wrong += code != y[n];
  }
  return wrong;
}
