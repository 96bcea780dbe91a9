#include "formats/quant/Constants.h"

namespace kimic::quant {
namespace {

// tanh(t) = t P(t^2) / Q(t^2) for |t| <= 5.8, minimax: |error| <= 2.3e-5 for every t.
constexpr float kP0 = 17611.49609375f, kP1 = 2023.04248046875f, kP2 = 26.782243728637695f;
constexpr float kTanh[] = {-5.8f, 5.8f, 8192 * kP2,         8192 * kP1,        8192 * kP0,      kP2,
                           kP1,   kP0,  310.5999450683594f, 7892.34130859375f, 17611.908203125f};

// The polynomials of Exp and Sine come from scripts/fit_activations.py.
//
// 2^f = 1 + C1 f + C2 f^2 + C3 f^3 + C4 f^4 for |f| <= 1/2, minimax with value 1 at 0: relative error <= 2.9e-6.
constexpr float kExp[] = {-0x1.715476p+0f, -125.0f, 0x1.3a02b6p-7f, 0x1.c9fc74p-5f, 0x1.ec0378p-3f, 0x1.62e12cp-1f};

// sin(r) = C1 r + C3 r^3 + C5 r^5 + C7 r^7 for |r| <= pi/2, minimax: |error| <= 6.3e-7.
constexpr float kSine[] = {-65536.0f,       65536.0f,       0x1.45f306p-2f, 0x1.92p+1f,    0x1.fb5444p-11f,
                           -0x1.80ecep-13f, 0x1.102b88p-7f, -0x1.554b8p-3f, 0x1.ffff8cp-1f};

// The same with more terms: relative error <= 1.2e-8 and |error| <= 2.2e-8.
constexpr float kPreciseExp[] = {0x1.715476p+0f, -125.0f,        0x1.4855c4p-13f, 0x1.5fd0eep-10f,
                                 0x1.3b243cp-7f, 0x1.c6ad7ep-5f, 0x1.ebfbe4p-3f,  0x1.62e432p-1f};
constexpr float kPreciseSine[] = {
    -65536.0f,      65536.0f,         0x1.45f306p-2f, 0x1.92p+1f,      0x1.fcp-11f, -0x1.5777a6p-20f,
    0x1.5e593p-19f, -0x1.9f8344p-13f, 0x1.110f9ap-7f, -0x1.555556p-3f, 1.0f};

// FANN's knots. Outside of them the segment's slope is 0; t is clamped first, so that 0 * infinity cannot occur.
constexpr double kUnitV[] = {-2.64665246009826660156, -1.47221946716308593750, -0.549306154251098632812,
                             0.549306154251098632812, 1.47221934795379638672,  2.64665293693542480469};
constexpr double kUnitY[] = {0.00499999988824129104614, 0.0500000007450580596924, 0.25, 0.75,
                             0.949999988079071044922,   0.995000004768371582031};
constexpr double kSymmetricV[] = {-2.64665293693542480469, -1.47221934795379638672, -0.549306154251098632812,
                                  0.549306154251098632812, 1.47221934795379638672,  2.64665293693542480469};
constexpr double kSymmetricY[] = {-0.990000009536743164062, -0.899999976158142089844, -0.5, 0.5,
                                  0.899999976158142089844,  0.990000009536743164062};

struct StepwiseTable {
  float values[stepwise_constant::Count];

  constexpr StepwiseTable(const double (&v)[6], const double (&y)[6], float low, float high) : values() {
    using namespace stepwise_constant;
    values[Low] = -4.0f;
    values[High] = 4.0f;
    values[Intercepts] = low;
    values[Intercepts + kKnots] = high;
    for (unsigned j = 0; j < kKnots; ++j)
      values[Knots + j] = static_cast<float>(v[j]);
    for (unsigned j = 0; j + 1 < kKnots; ++j) {
      double slope = (y[j + 1] - y[j]) / (v[j + 1] - v[j]);
      values[Slopes + j + 1] = static_cast<float>(slope);
      values[Intercepts + j + 1] = static_cast<float>(y[j] - slope * v[j]);
    }
  }
};
constexpr StepwiseTable kStepwise(kUnitV, kUnitY, 0.0f, 1.0f);
constexpr StepwiseTable kStepwiseSymmetric(kSymmetricV, kSymmetricY, -1.0f, 1.0f);

constexpr float kLeaky[] = {0.01f};

static_assert(std::size(kTanh) == tanh_constant::Count);
static_assert(std::size(kExp) == exp_constant::Count);
static_assert(std::size(kSine) == sine_constant::Count);
static_assert(std::size(kLeaky) == leaky_constant::Count);
static_assert(std::size(kPreciseExp) == precise_exp_constant::Count);
static_assert(std::size(kPreciseSine) == precise_sine_constant::Count);

} // namespace

std::span<const float> constantsOf(ConstantTable table) {
  switch (table) {
  case ConstantTable::Tanh:
    return kTanh;
  case ConstantTable::Exp:
    return kExp;
  case ConstantTable::Sine:
    return kSine;
  case ConstantTable::Stepwise:
    return kStepwise.values;
  case ConstantTable::StepwiseSymmetric:
    return kStepwiseSymmetric.values;
  case ConstantTable::Leaky:
    return kLeaky;
  case ConstantTable::PreciseExp:
    return kPreciseExp;
  case ConstantTable::PreciseSine:
    return kPreciseSine;
  }
  return {};
}

} // namespace kimic::quant
