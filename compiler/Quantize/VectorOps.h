// The operations of ActivationMath.h on four floats at once: the same bits as reference::FloatOps in each of them.
#pragma once

#include "formats/quant/ActivationMath.h"

#include <cstring>

namespace kimic::quantize {

/// REQUIRES: `constants` points at the f32 table of the one function that is evaluated, or that function has none.
class VectorOps {
public:
  using V = float __attribute__((vector_size(16)));
  using I = std::uint32_t __attribute__((vector_size(16)));
  using M = std::int32_t __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;

  explicit VectorOps(const float *constants) : constants(constants) {}

  static V load(const float *values) {
    V v;
    std::memcpy(&v, values, sizeof v);
    return v;
  }

  V constant(quant::ConstantTable, unsigned index) const { return literal(constants[index]); }
  V literal(float value) const { return V{value, value, value, value}; }
  I integer(std::int32_t value) const {
    auto bits = static_cast<std::uint32_t>(value);
    return I{bits, bits, bits, bits};
  }

  V add(V a, V b) const { return a + b; }
  V sub(V a, V b) const { return a - b; }
  V mul(V a, V b) const { return a * b; }
  V div(V a, V b) const { return a / b; }
  V abs(V a) const { return number(bits(a) & integer(0x7FFFFFFF)); }
  V pmin(V a, V b) const { return select(b < a, b, a); }
  V pmax(V a, V b) const { return select(a < b, b, a); }

  M lt(V a, V b) const { return a < b; }
  M ge(V a, V b) const { return a >= b; }
  V select(M condition, V ifTrue, V ifFalse) const {
    I mask = reinterpret_cast<I>(condition);
    return number((bits(ifTrue) & mask) | (bits(ifFalse) & ~mask));
  }

  I bits(V value) const { return reinterpret_cast<I>(value); }
  V number(I bits) const { return reinterpret_cast<V>(bits); }
  I add(I a, I b) const { return a + b; }
  I sub(I a, I b) const { return a - b; }
  I bitXor(I a, I b) const { return a ^ b; }
  I shiftLeft(I a, unsigned count) const { return a << count; }

private:
  const float *constants;
};

} // namespace kimic::quantize
