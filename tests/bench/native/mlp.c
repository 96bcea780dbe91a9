// A hand-written f32 network with tanh: what a careful programmer writes in an afternoon, natively and for WebAssembly.
//
// Weights are packed in blocks of 16 outputs, f32 bias[16], then f32[16] for each input; four rows go together in
// blocks of 8 outputs. Sizes are multiples of 8, at most 256, so nothing has a tail. tanh is exact to about 1e-7.
typedef float F4 __attribute__((vector_size(16), aligned(4)));
typedef int I4 __attribute__((vector_size(16)));

enum { kMaxWidth = 256, kMaxRows = 64, kHeap = 8 << 20 };

static float values[2][kMaxRows * kMaxWidth];
static _Alignas(16) char heap[kHeap];
static unsigned used;

/// Memory that is never freed; 0 if there is none left.
void *mlp_allocate(unsigned bytes) {
  bytes = (bytes + 15) & ~15u;
  if (bytes > kHeap - used)
    return 0;
  used += bytes;
  return heap + used - bytes;
}

static F4 splat(float v) { return (F4){v, v, v, v}; }
static F4 load(const float *p) { return *(const F4 *)p; }
static void store(float *p, F4 v) { *(F4 *)p = v; }

static F4 select(I4 mask, F4 a, F4 b) { return (F4)((mask & (I4)a) | (~mask & (I4)b)); }

/// (1 - e) / (1 + e) with e = exp(-2 |t|) = 2^n (1 + f ...), of degree 6 in f.
static F4 tanh4(F4 t) {
  I4 sign = (I4)t & (I4){(int)0x80000000, (int)0x80000000, (int)0x80000000, (int)0x80000000};
  F4 x = (F4)((I4)t ^ sign) * splat(-2.885390081777927f);
  x = select(x < splat(-40), splat(-40), x);
  F4 z = x + splat(12582912.0f);
  F4 f = x - (z - splat(12582912.0f));
  F4 p = splat(1.5403530e-4f) * f + splat(1.3333558e-3f);
  p = p * f + splat(9.6181291e-3f);
  p = p * f + splat(5.5504109e-2f);
  p = p * f + splat(2.4022651e-1f);
  p = p * f + splat(6.9314718e-1f);
  p = p * f + splat(1.0f);
  F4 e = (F4)((I4)p + ((I4)z << 23));
  return (F4)((I4)((splat(1) - e) / (splat(1) + e)) ^ sign);
}

static void layer1(const float *w, int inputs, int outputs, const float *x, float *y) {
  int n = 0;
  for (; n + 16 <= outputs; n += 16, w += 16 * (inputs + 1)) {
    F4 a = load(w), b = load(w + 4), c = load(w + 8), d = load(w + 12);
    const float *p = w + 16;
    for (int k = 0; k < inputs; ++k, p += 16) {
      F4 v = splat(x[k]);
      a += v * load(p);
      b += v * load(p + 4);
      c += v * load(p + 8);
      d += v * load(p + 12);
    }
    store(y + n, tanh4(a));
    store(y + n + 4, tanh4(b));
    store(y + n + 8, tanh4(c));
    store(y + n + 12, tanh4(d));
  }
  if (n < outputs) {
    F4 a = load(w), b = load(w + 4);
    const float *p = w + 16;
    for (int k = 0; k < inputs; ++k, p += 16) {
      F4 v = splat(x[k]);
      a += v * load(p);
      b += v * load(p + 4);
    }
    store(y + n, tanh4(a));
    store(y + n + 4, tanh4(b));
  }
}

static void layer4(const float *w, int inputs, int outputs, const float *x, float *y) {
  for (int n = 0; n < outputs; n += 8) {
    const float *p = w + n / 16 * 16 * (inputs + 1) + n % 16;
    F4 a[4], b[4];
    for (int r = 0; r < 4; ++r)
      a[r] = load(p), b[r] = load(p + 4);
    for (int k = 0; k < inputs; ++k) {
      p += 16;
      F4 u = load(p), v = load(p + 4);
      for (int r = 0; r < 4; ++r) {
        F4 s = splat(x[r * inputs + k]);
        a[r] += s * u;
        b[r] += s * v;
      }
    }
    for (int r = 0; r < 4; ++r)
      store(y + r * outputs + n, tanh4(a[r])), store(y + r * outputs + n + 4, tanh4(b[r]));
  }
}

/// sizes[layers + 1]; `weights` packed as above, layer after layer. rows <= 64, all sizes <= 256.
void mlp_run(const float *weights, const int *sizes, int layers, const float *x, float *y, int rows) {
  for (int l = 0; l < layers; ++l) {
    int inputs = sizes[l], outputs = sizes[l + 1];
    float *to = l + 1 == layers ? y : values[l & 1];
    int r = 0;
    for (; r + 4 <= rows; r += 4)
      layer4(weights, inputs, outputs, x + r * inputs, to + r * outputs);
    for (; r < rows; ++r)
      layer1(weights, inputs, outputs, x + r * inputs, to + r * outputs);
    weights += (outputs + 15) / 16 * 16 * (inputs + 1);
    x = to;
  }
}

/// Packs W [outputs][inputs] and b [outputs] of every layer, one after the other, as they lie in the .f32 files;
/// returns the number of floats written.
int mlp_pack(const float *from, const int *sizes, int layers, float *to) {
  float *begin = to;
  for (int l = 0; l < layers; ++l) {
    int inputs = sizes[l], outputs = sizes[l + 1];
    for (int n = 0; n < outputs; n += 16, to += 16 * (inputs + 1))
      for (int j = 0; j < 16; ++j) {
        int isOutput = n + j < outputs;
        to[j] = isOutput ? from[outputs * inputs + n + j] : 0;
        for (int k = 0; k < inputs; ++k)
          to[16 * (k + 1) + j] = isOutput ? from[(n + j) * inputs + k] : 0;
      }
    from += outputs * (inputs + 1);
  }
  return to - begin;
}
