// The operations of ActivationMath.h on plain floats.
#pragma once

#include "formats/quant/ActivationMath.h"

#include <cstring>

namespace kimic::reference {

/// REQUIRES: `constants` points at the f32 table of the one function that is evaluated, or that function has none.
/// Needs IEEE-754 f32 arithmetic: no contraction, no fast-math, no x87.
class FloatOps {
public:
  using V = float;
  using I = std::uint32_t;
  using M = bool;

  explicit FloatOps(const void *constants) : constants_(static_cast<const unsigned char *>(constants)) {}

  V constant(quant::ConstantTable, unsigned index) const {
    V value;
    std::memcpy(&value, constants_ + index * sizeof value, sizeof value);
    return value;
  }
  V literal(float value) const { return value; }
  I integer(std::int32_t value) const { return static_cast<I>(value); }

  V add(V a, V b) const { return a + b; }
  V sub(V a, V b) const { return a - b; }
  V mul(V a, V b) const { return a * b; }
  V div(V a, V b) const { return a / b; }
  V abs(V a) const { return number(bits(a) & 0x7FFFFFFFu); }
  V pmin(V a, V b) const { return b < a ? b : a; }
  V pmax(V a, V b) const { return a < b ? b : a; }

  M lt(V a, V b) const { return a < b; }
  M ge(V a, V b) const { return a >= b; }
  V select(M condition, V ifTrue, V ifFalse) const { return condition ? ifTrue : ifFalse; }

  I bits(V value) const {
    I bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  V number(I bits) const {
    V value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  I add(I a, I b) const { return a + b; }
  I sub(I a, I b) const { return a - b; }
  I bitXor(I a, I b) const { return a ^ b; }
  I shiftLeft(I a, unsigned count) const { return a << count; }

private:
  const unsigned char *constants_;
};

} // namespace kimic::reference
