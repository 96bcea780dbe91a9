// Properties that hold for every network, on random ones.
#include "compiler/Quantize/Quantize.h"

#include "compiler/Quantize/Activation.h"
#include "formats/reference/Reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

namespace kimic::quantize {
namespace {

struct Case {
  Network network;
  Matrix rows;
};

/// In float64. `ranges`: also fills in the ranges of the layers.
std::vector<double> evaluate(const Network &network, std::span<const float> row, Network *ranges = nullptr) {
  std::vector<double> values(row.begin(), row.end());
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const Layer &layer = network.layers[l];
    std::vector<double> out;
    for (const Run &run : layer.runs)
      for (std::uint32_t i = 0; i < run.count; ++i) {
        std::size_t n = out.size();
        double sum = layer.bias[n];
        for (std::uint32_t k = 0; k < layer.fanIn(); ++k)
          sum += static_cast<double>(layer.weights[n * layer.fanIn() + k]) * values[layer.readBegin + k];
        out.push_back(activate(run.function, sum));
        if (ranges) {
          Range &range = ranges->layers[l].range[n];
          range = {std::min(range[0], static_cast<float>(out[n])), std::max(range[1], static_cast<float>(out[n]))};
        }
      }
    values.insert(values.end(), out.begin(), out.end());
  }
  return {values.end() - network.layers.back().outputs(), values.end()};
}

Case randomCase(unsigned seed, std::uint32_t inputs, std::vector<std::vector<Run>> shapes, double gain = 1) {
  std::mt19937 random(seed);
  auto uniform = [&] { return static_cast<float>(random()) * 0x1p-31f - 1; };
  Case out;
  out.network.inputs = inputs;
  out.network.inputRange.assign(inputs, {-1, 1});
  std::uint32_t values = inputs, begin = 0;
  for (const std::vector<Run> &runs : shapes) {
    Layer &layer = out.network.layers.emplace_back();
    layer.readBegin = begin;
    layer.runs = runs;
    std::uint32_t outputs = 0;
    for (const Run &run : runs)
      outputs += run.count;
    for (std::uint32_t i = 0; i < outputs * (values - begin); ++i)
      layer.weights.push_back(static_cast<float>(gain * uniform() * std::sqrt(3.0 / (values - begin))));
    for (std::uint32_t i = 0; i < outputs; ++i)
      layer.bias.push_back(uniform());
    layer.range.assign(outputs, {0, 0});
    begin = values;
    values += outputs;
  }
  out.rows = {300, inputs, {}};
  for (std::size_t i = 0; i < 300 * inputs; ++i)
    out.rows.values.push_back(uniform());
  for (std::size_t r = 0; r < out.rows.rows; ++r)
    evaluate(out.network, out.rows.row(r), &out.network);
  return out;
}

std::vector<Case> cases() {
  using enum Activation;
  return {randomCase(1, 12, {{{SigmoidSymmetric, 20}}, {{Linear, 3}}}),
          randomCase(2, 30, {{{LinearPieceRect, 24}}, {{Sigmoid, 9}}, {{Linear, 2}}}),
          randomCase(3, 5, {{{Sigmoid, 7}, {Gaussian, 9}}, {{SigmoidSymmetric, 11}}}, 20)};
}

/// Sum of squared errors of what the reference computes, relative to the outputs.
double relativeNoise(const Case &test, const Quantized &quantized) {
  auto layout = quant::layoutOf(quantized.signature).value();
  auto block = quant::packParameters(quantized.signature, layout, quantized.parameters);
  struct alignas(16) Chunk {
    std::uint8_t bytes[16];
  };
  std::vector<Chunk> params(block.size() / 16 + 1), scratch(layout.scratchBytes / 16 + 1);
  std::memcpy(params.data(), block.data(), block.size());
  std::vector<float> y(quantized.signature.outputs());
  double signal = 0, noise = 0;
  for (std::size_t r = 0; r < test.rows.rows; ++r) {
    reference::run(quantized.signature, layout, params.data()->bytes, test.rows.row(r).data(), y.data(),
                   scratch.data()->bytes, 1);
    std::vector<double> exact = evaluate(test.network, test.rows.row(r));
    for (std::size_t n = 0; n < y.size(); ++n) {
      signal += exact[n] * exact[n];
      noise += (y[n] - exact[n]) * (y[n] - exact[n]);
    }
  }
  return noise / signal;
}

TEST(Quantize, EveryPlanProvesThatSumsFit) {
  for (const Case &test : cases())
    for (Plan plan :
         {Plan{}, Plan{quant::WeightFormat::Int8Residual, {{0, 3}}, false},
          Plan{quant::WeightFormat::Int8Residual, {}, true}, Plan{quant::WeightFormat::Float32, {}, false}}) {
      Quantized quantized = quantize(test.network, test.rows, plan).value();
      ASSERT_TRUE(quant::validate(quantized.signature));
      EXPECT_TRUE(quant::proveNoOverflow(quantized.signature, quantized.parameters));
    }
}

TEST(Quantize, IsAFunctionOfItsArguments) {
  for (const Case &test : cases())
    EXPECT_EQ(quantize(test.network, test.rows)->parameters, quantize(test.network, test.rows)->parameters);
}

TEST(Quantize, BeatsRoundingToNearest) {
  for (const Case &test : cases()) {
    Quantized nearest = quantize(test.network, test.rows, {}, Options::plain()).value();
    Quantized best = quantize(test.network, test.rows).value();
    EXPECT_LT(relativeNoise(test, best), relativeNoise(test, nearest));
  }
}

TEST(Quantize, SearchIsNeverWorseThanNearestOnItsObjective) {
  // In one layer of linear outputs, the objective is the error of the outputs itself.
  for (unsigned seed = 10; seed < 20; ++seed) {
    Case test = randomCase(seed, 16, {{{Activation::Linear, 8}}});
    Options nearest = Options::plain();
    nearest.wideCodes = true;
    EXPECT_LE(quantize(test.network, test.rows)->noise,
              quantize(test.network, test.rows, {}, nearest)->noise * (1 + 1e-5));
  }
}

TEST(Quantize, SecondPlaneLeavesAtMostAThirtiethOfTheNoise) {
  for (const Case &test : cases()) {
    double one = relativeNoise(test, quantize(test.network, test.rows).value());
    double two =
        relativeNoise(test, quantize(test.network, test.rows, {quant::WeightFormat::Int8Residual, {}, true}).value());
    EXPECT_LT(two, one / 30) << 10 * std::log10(one / two);
  }
}

TEST(Quantize, Float32IsExactToItsPrecision) {
  for (const Case &test : cases())
    EXPECT_LT(relativeNoise(test, quantize(test.network, test.rows, {quant::WeightFormat::Float32, {}, false}).value()),
              1e-11);
}

TEST(Quantize, WeightsOnTheGridStayWhatTheyAre) {
  Case test = randomCase(4, 6, {{{Activation::Linear, 4}}});
  for (std::size_t i = 0; i < test.network.layers[0].weights.size(); ++i)
    test.network.layers[0].weights[i] = i % 6 == 0 ? 127.0f / 64 : static_cast<float>(i % 11) / 64;
  Quantized quantized = quantize(test.network, test.rows).value();
  for (std::size_t i = 0; i < test.network.layers[0].weights.size(); ++i)
    EXPECT_EQ(quantized.parameters.layers[0].weights[i], test.network.layers[0].weights[i] * 64);
}

TEST(Quantize, PairsOfInputsThatAreNotZeroAreCounted) {
  Case test = randomCase(8, 5, {{{Activation::Linear, 2}}});
  // Of the pairs (0, 1), (2, 3) and (4), the first is never zero, the second in three rows of four, the third always.
  for (std::size_t r = 0; r < test.rows.rows; ++r)
    for (std::size_t k : {1, 2, 3, 4})
      if (k != 3 || r % 4)
        test.rows.values[r * 5 + k] = 0;
  EXPECT_DOUBLE_EQ(quantize(test.network, test.rows).value().inputActivity, (1 + 0.25 + 0) / 3);
}

TEST(Quantize, OnlyNeedyRowsHaveResiduals) {
  Case test = randomCase(5, 10, {{{Activation::SigmoidSymmetric, 32}}, {{Activation::Linear, 2}}});
  Quantized quantized =
      quantize(test.network, test.rows, {quant::WeightFormat::Int8Residual, {{3, 11, 19, 27}}, false}).value();
  EXPECT_EQ(quantized.parameters.layers[0].residuals.size(), 4u);
  for (const RowError &row : quantized.rows)
    EXPECT_EQ(row.hasResidual, row.layer == 0 && row.row % 8 == 3) << row.row;
}

/// A row of tanh whose first input is rare and decides it alone: where it is not 0, its weight of 1500 saturates it.
Case saturatedCase() {
  Case test = randomCase(6, 8, {{{Activation::SigmoidSymmetric, 1}}});
  test.network.layers[0].weights[0] = 1500;
  for (std::size_t r = 0; r < test.rows.rows; ++r) {
    float &x = test.rows.values[r * test.rows.cols];
    x = r % 10 == 0 ? std::copysign(1.0f, x) : 0;
  }
  return test;
}

TEST(Quantize, WeightsThatOnlySaturateDoNotCoarsenTheOthers) {
  Case test = saturatedCase();
  Options unclipped;
  unclipped.clipSearch = false;
  unclipped.balancedInputs = false;
  EXPECT_LT(relativeNoise(test, quantize(test.network, test.rows).value()),
            relativeNoise(test, quantize(test.network, test.rows, {}, unclipped).value()) / 100);
}

TEST(Quantize, InputsOfLargeWeightsAndSmallRangeDoNotCoarsenTheOthers) {
  // Ranges differ too little for scales of their own, products with the weights do not differ at all.
  Case test = randomCase(7, 12, {{{Activation::Linear, 6}}});
  for (std::size_t n = 0; n < 6; ++n)
    test.network.layers[0].weights[n * 12] *= 10;
  for (std::size_t r = 0; r < test.rows.rows; ++r)
    test.rows.values[r * 12] /= 10;
  test.network.inputRange[0] = {-0.1f, 0.1f};
  Options ranges;
  ranges.balancedInputs = false;
  EXPECT_LT(relativeNoise(test, quantize(test.network, test.rows).value()),
            relativeNoise(test, quantize(test.network, test.rows, {}, ranges).value()) / 20);
}

TEST(Quantize, BalancedInputsKeepRoomBeyondTheirRange) {
  Case test = cases()[0];
  Quantized quantized = quantize(test.network, test.rows).value();
  for (std::size_t k = 0; k < test.network.inputs; ++k)
    EXPECT_LE(test.network.inputRange[k][1] * quantized.parameters.inputScale[k] * 1.49,
              quantized.parameters.inputHigh);
}

TEST(Quantize, TwoPlanesTogetherSaturateWhereThatHelps) {
  // One scale for 1500 and the other weights would leave them 5 bits less.
  Case test = saturatedCase();
  Options unclipped;
  unclipped.clipSearch = false;
  unclipped.balancedInputs = false;
  Plan plan{quant::WeightFormat::Int8Residual, {}, true};
  double noise = relativeNoise(test, quantize(test.network, test.rows, plan).value());
  EXPECT_LT(noise, relativeNoise(test, quantize(test.network, test.rows, plan, unclipped).value()) / 100);
  EXPECT_LT(noise, 1e-7);
}

TEST(Quantize, NoisiestRowsAreThoseOfTheLargestContributionPerWeight) {
  Case test = cases()[1];
  Quantized quantized = quantize(test.network, test.rows).value();
  std::uint32_t fanIns[] = {30, 24, 9};
  const RowError *worst = &quantized.rows[0];
  for (const RowError &row : quantized.rows)
    if (row.contribution / fanIns[row.layer] > worst->contribution / fanIns[worst->layer])
      worst = &row;
  auto rows = noisiestRows(quantized, 1);
  ASSERT_EQ(rows[worst->layer].size(), 1u);
  EXPECT_EQ(rows[worst->layer][0], worst->row);
  for (std::size_t count : {0, 3, 17, 35, 99}) {
    std::size_t found = 0;
    for (const auto &ofLayer : noisiestRows(quantized, count))
      found += ofLayer.size();
    EXPECT_EQ(found, std::min<std::size_t>(count, 35));
  }
}

} // namespace
} // namespace kimic::quantize
