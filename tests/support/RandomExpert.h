// Random experts of every shape that the kernel ABI allows: layered, shortcut and irregular, odd sizes, all functions.
// The same seed gives the same expert on every platform.
#pragma once

#include "formats/quant/Constants.h"
#include "formats/quant/Parameters.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace kimic::testing {

struct RandomExpertLimits {
  std::uint32_t maxInputs = 40, maxLayers = 5, maxOutputs = 40;
  std::uint32_t maxGroups = 4; ///< per layer
  /// How many weight formats and heads to choose from: the first ones of their enumerations.
  std::uint32_t weightFormats = 1, heads = 1;
  bool maybeSparse = false; ///< first layers may skip inputs of code 0
};

struct RandomExpert {
  quant::Signature signature;
  quant::ExpertParameters parameters;
};

class ExpertGenerator {
public:
  explicit ExpertGenerator(std::uint32_t seed, RandomExpertLimits limits = {}) : random_(seed), limits_(limits) {}

  /// Integer in [low, high].
  std::int32_t integer(std::int32_t low, std::int32_t high) {
    std::uint64_t span = static_cast<std::uint64_t>(std::int64_t{high} - low) + 1;
    return static_cast<std::int32_t>(low + static_cast<std::int64_t>(random_() * span >> 32));
  }
  /// Multiple of 2^-20 in [low, high].
  float real(float low, float high) {
    double unit = (random_() >> 8) * 0x1p-24;
    return static_cast<float>(std::nearbyint((low + (high - low) * unit) * 0x1p20) * 0x1p-20);
  }
  bool chance(unsigned outOf) { return random_() % outOf == 0; }

  quant::Signature signature() {
    quant::Signature signature;
    signature.inputs = integer(1, limits_.maxInputs);
    signature.outputAffine = chance(3);
    signature.layers.resize(integer(1, limits_.maxLayers));
    quant::WeightFormat weights = quant::WeightFormat::Int8;
    if (limits_.weightFormats > 1)
      weights = static_cast<quant::WeightFormat>(integer(0, limits_.weightFormats - 1));
    if (limits_.heads > 1)
      signature.head = static_cast<quant::Head>(integer(0, limits_.heads - 1));
    signature.sparseInputs = limits_.maybeSparse && chance(2);
    enum Wiring { Layered, Shortcut, Irregular };
    Wiring wiring = static_cast<Wiring>(integer(0, 2));
    std::uint32_t previousBegin = 0, codes = signature.inputs;
    for (quant::LayerSignature &layer : signature.layers) {
      layer.weights = weights;
      layer.readBegin = wiring == Layered ? previousBegin : wiring == Shortcut ? 0 : integer(0, codes - 1);
      std::uint32_t outputs = integer(1, limits_.maxOutputs), groups = integer(1, limits_.maxGroups);
      while (outputs > 0 && groups > 0) {
        std::uint32_t count = groups == 1 ? outputs : integer(1, outputs);
        quant::ActivationGroup group{static_cast<Activation>(integer(0, kActivationCount - 1)), chance(2), count};
        group.clamped |= weights == quant::WeightFormat::Float32;
        if (!layer.groups.empty() && layer.groups.back().function == group.function &&
            layer.groups.back().clamped == group.clamped)
          continue;
        layer.groups.push_back(group);
        outputs -= count;
        --groups;
      }
      previousBegin = codes;
      codes += layer.outputs();
    }
    return signature;
  }

  /// Parameters that use the functions' interesting ranges and cannot overflow an accumulator.
  quant::ExpertParameters parameters(const quant::Signature &signature) {
    quant::ExpertParameters parameters =
        signature.weights() == quant::WeightFormat::Float32 ? floatParameters(signature) : codeParameters(signature);
    if (signature.outputAffine)
      for (std::uint32_t n = 0; n < signature.logits(); ++n) {
        parameters.outputGain.push_back(real(-3, 3));
        parameters.outputOffset.push_back(real(-3, 3));
      }
    if (signature.head == quant::Head::Softmax)
      parameters.headScale = real(0.25f, 4.0f);
    return parameters;
  }

  RandomExpert expert() {
    RandomExpert expert;
    expert.signature = signature();
    expert.parameters = parameters(expert.signature);
    return expert;
  }

private:
  quant::ExpertParameters codeParameters(const quant::Signature &signature) {
    quant::ExpertParameters parameters;
    for (std::uint32_t k = 0; k < signature.inputs; ++k)
      parameters.inputScale.push_back(real(500, 8000));
    if (chance(2)) {
      parameters.inputLow = real(-9000, -4000);
      parameters.inputHigh = real(4000, 9000);
    }
    for (std::size_t l = 0; l < signature.layers.size(); ++l) {
      quant::LayerParameters layer;
      std::uint32_t fanIn = signature.fanIn(l);
      bool isLast = l + 1 == signature.layers.size();
      bool isClamped = false;
      for (const quant::ActivationGroup &group : signature.layers[l].groups)
        isClamped = isClamped || group.clamped;
      // Room for 2^31 - 1: fanIn * weight * 32768 + bias.
      std::int32_t largest = static_cast<std::int32_t>(std::min(127u, 60000u / fanIn));
      for (const quant::ActivationGroup &group : signature.layers[l].groups)
        for (std::uint32_t i = 0; i < group.count; ++i) {
          for (std::uint32_t k = 0; k < fanIn; ++k)
            layer.weights.push_back(static_cast<std::int8_t>(chance(8) ? 0 : integer(-largest, largest)));
          layer.bias.push_back(integer(-4000000, 4000000));
          float spread = real(0.25f, 4.0f) / (std::sqrt(static_cast<float>(fanIn)) * 64.0f * 4000.0f);
          bool isCode = !isLast && quant::codeKindOf(group.function) == quant::CodeKind::Unbounded;
          layer.multiplier.push_back(isCode ? spread * 5000.0f : spread);
          if (isClamped)
            layer.limit.push_back(group.clamped ? real(0.5f, 3.0f) * (isCode ? 5000.0f : 1.0f) : 0.0f);
        }
      if (!isLast && chance(2)) {
        layer.codeLow = real(-9000, -1);
        layer.codeHigh = real(1, 9000);
      }
      if (signature.weights() == quant::WeightFormat::Int8Residual)
        addResiduals(layer, fanIn, largest);
      parameters.layers.push_back(std::move(layer));
    }
    return parameters;
  }

  /// For none, some or all outputs, as large as a quarter of the rest.
  void addResiduals(quant::LayerParameters &layer, std::uint32_t fanIn, std::int32_t largest) {
    std::uint32_t outputs = static_cast<std::uint32_t>(layer.bias.size());
    enum Listed { NoRow, SomeRows, EveryRow };
    Listed listed = static_cast<Listed>(integer(0, 2));
    for (std::uint32_t n = 0; n < outputs; ++n) {
      if (listed == NoRow || (listed == SomeRows && chance(2)))
        continue;
      quant::ResidualRow residual{n, {}, layer.multiplier[n] * real(0, 0.25f)};
      for (std::uint32_t k = 0; k < fanIn; ++k)
        residual.weights.push_back(static_cast<std::int8_t>(chance(8) ? 0 : integer(-largest, largest)));
      layer.residuals.push_back(std::move(residual));
    }
  }

  quant::ExpertParameters floatParameters(const quant::Signature &signature) {
    quant::ExpertParameters parameters;
    parameters.inputLow = chance(2) ? real(-3, -1) : -3e38f;
    parameters.inputHigh = chance(2) ? real(1, 3) : 3e38f;
    for (std::size_t l = 0; l < signature.layers.size(); ++l) {
      quant::LayerParameters layer;
      std::uint32_t fanIn = signature.fanIn(l), outputs = signature.layers[l].outputs();
      float spread = real(0.5f, 4.0f) / std::sqrt(static_cast<float>(fanIn));
      for (std::uint32_t n = 0; n < outputs; ++n) {
        for (std::uint32_t k = 0; k < fanIn; ++k)
          layer.floatWeights.push_back(chance(8) ? 0.0f : real(-1, 1) * spread);
        layer.floatBias.push_back(real(-1, 1));
        layer.limit.push_back(chance(2) ? real(0.5f, 3.0f) : 150.0f);
      }
      parameters.layers.push_back(std::move(layer));
    }
    return parameters;
  }

  std::mt19937 random_;
  RandomExpertLimits limits_;
};

} // namespace kimic::testing
