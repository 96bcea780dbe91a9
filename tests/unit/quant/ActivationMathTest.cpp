// Every activation function against FANN's formula in float64, over all of its range.
#include "formats/quant/ActivationMath.h"
#include "formats/reference/FloatOps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace kimic::quant {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kUnitV[] = {-2.64665246009826660156, -1.47221946716308593750, -0.549306154251098632812,
                             0.549306154251098632812, 1.47221934795379638672,  2.64665293693542480469};
constexpr double kUnitY[] = {0.00499999988824129104614, 0.0500000007450580596924, 0.25, 0.75,
                             0.949999988079071044922,   0.995000004768371582031};
constexpr double kSymmetricV[] = {-2.64665293693542480469, -1.47221934795379638672, -0.549306154251098632812,
                                  0.549306154251098632812, 1.47221934795379638672,  2.64665293693542480469};
constexpr double kSymmetricY[] = {-0.990000009536743164062, -0.899999976158142089844, -0.5, 0.5,
                                  0.899999976158142089844,  0.990000009536743164062};

double stepwise(const double *v, const double *y, double low, double high, double t) {
  if (t < v[0])
    return low;
  for (int j = 0; j < 5; ++j)
    if (t < v[j + 1])
      return (y[j + 1] - y[j]) * (t - v[j]) / (v[j + 1] - v[j]) + y[j];
  return high;
}

double oracle(Activation function, double t) {
  switch (function) {
  case Activation::Linear:
    return t;
  case Activation::Threshold:
    return t < 0 ? 0 : 1;
  case Activation::ThresholdSymmetric:
    return t < 0 ? -1 : 1;
  case Activation::Sigmoid:
    return 1 / (1 + std::exp(-2 * t));
  case Activation::SigmoidStepwise:
    return stepwise(kUnitV, kUnitY, 0, 1, t);
  case Activation::SigmoidSymmetric:
    return std::tanh(t);
  case Activation::SigmoidSymmetricStepwise:
    return stepwise(kSymmetricV, kSymmetricY, -1, 1, t);
  case Activation::Gaussian:
    return std::exp(-t * t);
  case Activation::GaussianSymmetric:
    return 2 * std::exp(-t * t) - 1;
  case Activation::GaussianStepwise:
    return 0;
  case Activation::Elliot:
    return std::isinf(t) ? (t > 0 ? 1 : 0) : t / 2 / (1 + std::fabs(t)) + 0.5;
  case Activation::ElliotSymmetric:
    return std::isinf(t) ? (t > 0 ? 1 : -1) : t / (1 + std::fabs(t));
  case Activation::LinearPiece:
    return std::fmin(1, std::fmax(0, t));
  case Activation::LinearPieceSymmetric:
    return std::fmin(1, std::fmax(-1, t));
  case Activation::SinSymmetric:
    return std::sin(t);
  case Activation::CosSymmetric:
    return std::cos(t);
  case Activation::Sin:
    return std::sin(t) / 2 + 0.5;
  case Activation::Cos:
    return std::cos(t) / 2 + 0.5;
  case Activation::LinearPieceRect:
    return t < 0 ? 0 : t;
  case Activation::LinearPieceRectLeaky:
    return t < 0 ? 0.01 * t : t;
  }
  return 0;
}

bool isPeriodic(Activation function) { return function >= Activation::SinSymmetric && function <= Activation::Cos; }

/// Values of t that a function must handle: a dense sweep, every power of two and its neighbours, the neighbourhood of
/// all knots, zeros, infinities and random bits.
std::vector<float> makeArguments() {
  std::vector<float> ts = {0.0f, -0.0f, kInfinity, -kInfinity};
  for (std::int32_t i = -160000; i <= 160000; ++i)
    ts.push_back(static_cast<float>(i) * 0x1p-13f * 1.0001f);
  auto add = [&](float t) {
    for (float v : {t, std::nextafter(t, kInfinity), std::nextafter(t, -kInfinity)}) {
      ts.push_back(v);
      ts.push_back(-v);
    }
  };
  for (int exponent = -149; exponent <= 127; ++exponent)
    add(std::ldexp(1.0f, exponent));
  add(std::numeric_limits<float>::max());
  add(5.8f);
  for (double v : kUnitV)
    add(static_cast<float>(v));
  for (double v : kSymmetricV)
    add(static_cast<float>(v));
  for (std::int32_t k = 0; k < 200; ++k)
    add(static_cast<float>(k * 1.5707963267948966));
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    std::uint32_t bits = random();
    float t;
    std::memcpy(&t, &bits, sizeof t);
    if (!std::isnan(t))
      ts.push_back(t);
  }
  for (int i = 0; i < 200000; ++i)
    ts.push_back(static_cast<float>(static_cast<std::int32_t>(random())) * 0x1p-16f);
  return ts;
}

const std::vector<float> &arguments() {
  static const std::vector<float> ts = makeArguments();
  return ts;
}

class ActivationMath : public ::testing::TestWithParam<unsigned> {
protected:
  Activation function() const { return static_cast<Activation>(GetParam()); }
  reference::FloatOps ops() const {
    std::optional<ConstantTable> table = constantTableOf(function());
    return reference::FloatOps(table ? constantsOf(*table).data() : nullptr);
  }
  reference::FloatOps preciseOps() const {
    std::optional<ConstantTable> table = constantTableOf(function(), WeightFormat::Float32);
    return reference::FloatOps(table ? constantsOf(*table).data() : nullptr);
  }
  std::int32_t code(float t) const {
    reference::FloatOps o = ops();
    return static_cast<std::int32_t>(roundToCode(o, evaluateCode(o, function(), t)));
  }
  float output(float t) const {
    reference::FloatOps o = ops();
    return evaluateOutput(o, function(), t);
  }
  /// Sine and cosine hold the value of their argument's clamp at +-2^16.
  float meant(float t) const { return isPeriodic(function()) ? std::fmin(65536.0f, std::fmax(-65536.0f, t)) : t; }
};

TEST_P(ActivationMath, CodesAreWithinOneCodeOfFann) {
  CodeKind kind = codeKindOf(function());
  if (kind == CodeKind::Unbounded)
    return;
  bool isTanh = function() == Activation::Sigmoid || function() == Activation::SigmoidSymmetric;
  double worst = 0;
  float where = 0;
  for (float t : arguments()) {
    double value = (code(t) - zeroPointOf(kind)) * double{codeScaleOf(kind)};
    double error = std::fabs(value - oracle(function(), meant(t))) * 8192;
    if (!(error <= worst)) {
      worst = error;
      where = t;
    }
  }
  RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, isTanh ? 0.55 : 1.0) << "at t = " << where;
}

TEST_P(ActivationMath, CodesStayWithinTheLimit) {
  if (codeKindOf(function()) == CodeKind::Unbounded)
    return;
  std::int32_t largest = 0;
  for (float t : arguments())
    largest = std::max(largest, std::abs(code(t)));
  EXPECT_LE(largest, function() == Activation::GaussianStepwise ? 0 : kCodeLimit);
}

TEST_P(ActivationMath, OutputsAreWithin3e5OfFann) {
  double worst = 0;
  float where = 0;
  for (float t : arguments()) {
    if (codeKindOf(function()) == CodeKind::Unbounded && !(std::fabs(t) <= 300))
      continue;
    double error = std::fabs(output(t) - oracle(function(), meant(t)));
    if (!(error <= worst)) {
      worst = error;
      where = t;
    }
  }
  RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, 3e-5) << "at t = " << where;
}

TEST_P(ActivationMath, PreciseValuesAreWithin3e7OfFann) {
  reference::FloatOps o = preciseOps();
  double worst = 0;
  float where = 0;
  for (float t : arguments()) {
    if (codeKindOf(function()) == CodeKind::Unbounded && !(std::fabs(t) <= 300))
      continue;
    double error = std::fabs(evaluate(o, function(), t, Rendering::Precise) - oracle(function(), meant(t)));
    if (!(error <= worst)) {
      worst = error;
      where = t;
    }
  }
  RecordProperty("worst", std::to_string(worst * 1e9));
  EXPECT_LE(worst, 3e-7) << "at t = " << where;
}

TEST_P(ActivationMath, NoArgumentYieldsANaN) {
  reference::FloatOps o = ops(), precise = preciseOps();
  for (float t : arguments()) {
    ASSERT_FALSE(std::isnan(evaluateCode(o, function(), t))) << "code at t = " << t;
    ASSERT_FALSE(std::isnan(output(t))) << "output at t = " << t;
    ASSERT_FALSE(std::isnan(evaluate(precise, function(), t, Rendering::Precise))) << "precise at t = " << t;
  }
}

TEST_P(ActivationMath, UnboundedCodesAreTheOutputs) {
  if (codeKindOf(function()) != CodeKind::Unbounded)
    return;
  reference::FloatOps o = ops();
  for (float t : arguments())
    ASSERT_EQ(evaluateCode(o, function(), t), output(t)) << "at t = " << t;
}

INSTANTIATE_TEST_SUITE_P(All, ActivationMath, ::testing::Range(0u, kActivationCount),
                         [](const auto &info) { return nameOf(static_cast<Activation>(info.param)); });

TEST(ActivationMathValues, ThresholdsSwitchAtZeroOfEitherSign) {
  reference::FloatOps ops(nullptr);
  for (float t : {0.0f, -0.0f, std::numeric_limits<float>::denorm_min()})
    EXPECT_EQ(evaluateOutput(ops, Activation::ThresholdSymmetric, t), 1.0f);
  EXPECT_EQ(evaluateOutput(ops, Activation::ThresholdSymmetric, -std::numeric_limits<float>::denorm_min()), -1.0f);
}

TEST(ActivationMathValues, StepwiseJumpsAtItsOuterKnots) {
  float first = static_cast<float>(kUnitV[0]), last = static_cast<float>(kUnitV[5]);
  reference::FloatOps ops(constantsOf(ConstantTable::Stepwise).data());
  EXPECT_EQ(evaluateOutput(ops, Activation::SigmoidStepwise, std::nextafter(first, -kInfinity)), 0.0f);
  EXPECT_NEAR(evaluateOutput(ops, Activation::SigmoidStepwise, first), 0.005, 1e-6);
  EXPECT_NEAR(evaluateOutput(ops, Activation::SigmoidStepwise, std::nextafter(last, -kInfinity)), 0.995, 1e-6);
  EXPECT_EQ(evaluateOutput(ops, Activation::SigmoidStepwise, last), 1.0f);
}

TEST(ActivationMathValues, GaussianIsOneAtZeroAndTinyFarAway) {
  reference::FloatOps ops(constantsOf(ConstantTable::Exp).data());
  EXPECT_EQ(evaluateOutput(ops, Activation::Gaussian, 0.0f), 1.0f);
  EXPECT_EQ(evaluateOutput(ops, Activation::Gaussian, kInfinity), 0x1p-125f);
}

TEST(EvaluateExp, IsWithin3e7RelativeForUsualArguments) {
  reference::FloatOps ops(constantsOf(ConstantTable::PreciseExp).data());
  double worst = 0;
  for (std::int32_t i = 0; i <= 1 << 16; ++i) {
    float x = static_cast<float>(i) * -0x1p-16f;
    worst = std::fmax(worst, std::fabs(evaluateExp(ops, x) / std::exp(double(x)) - 1));
  }
  EXPECT_LE(worst, 3e-7);
}

TEST(EvaluateExp, IsOneAtZeroAndTinyFarAwayAndForNaN) {
  reference::FloatOps ops(constantsOf(ConstantTable::PreciseExp).data());
  EXPECT_EQ(evaluateExp(ops, 0.0f), 1.0f);
  EXPECT_EQ(evaluateExp(ops, -kInfinity), 0x1p-125f);
  EXPECT_EQ(evaluateExp(ops, std::numeric_limits<float>::quiet_NaN()), 0x1p-125f);
}

TEST(RoundToCode, RoundsTiesToEven) {
  reference::FloatOps ops(nullptr);
  EXPECT_EQ(static_cast<std::int32_t>(roundToCode(ops, 0.5f)), 0);
  EXPECT_EQ(static_cast<std::int32_t>(roundToCode(ops, 1.5f)), 2);
  EXPECT_EQ(static_cast<std::int32_t>(roundToCode(ops, -2.5f)), -2);
}

TEST(RoundToCode, IsExactUpToItsStatedRange) {
  reference::FloatOps ops(nullptr);
  EXPECT_EQ(static_cast<std::int32_t>(roundToCode(ops, 4194303.0f)), 4194303);
  EXPECT_EQ(static_cast<std::int32_t>(roundToCode(ops, -4194303.0f)), -4194303);
}

TEST(Clamp, TurnsNaNIntoTheLowerBound) {
  reference::FloatOps ops(nullptr);
  EXPECT_EQ(clamp(ops, -3.0f, 5.0f, std::numeric_limits<float>::quiet_NaN()), -3.0f);
}

} // namespace
} // namespace kimic::quant
