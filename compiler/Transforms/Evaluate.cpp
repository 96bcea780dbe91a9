// Plain float64 arithmetic.
#include "compiler/Transforms/Evaluate.h"

#include "compiler/Quantize/Activation.h"

#include <algorithm>
#include <cmath>

using namespace kimic;

double expert::activate(Activation function, double t) { return quantize::activate(function, t); }

void expert::evaluate(const Layers &layers, std::span<const float> row, std::vector<double> &values,
                      std::vector<double> &sums) {
  values.assign(row.begin(), row.end());
  sums.assign(row.size(), 0);
  if (layers.inputAffine)
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = values[i] * layers.inputAffine->scale[i] + layers.inputAffine->offset[i];
  for (const Layer &layer : layers.layers) {
    std::size_t fanIn = layer.fanIn(), begin = values.size();
    values.resize(begin + layer.outputs());
    sums.resize(values.size());
    std::size_t n = 0;
    for (const Run &run : layer.runs)
      for (std::uint32_t i = 0; i < run.count; ++i, ++n) {
        const float *weights = layer.weights.data() + n * fanIn;
        const double *inputs = values.data() + layer.readBegin;
        double sum = layer.bias[n];
        for (std::size_t k = 0; k < fanIn; ++k)
          sum += weights[k] * inputs[k];
        sums[begin + n] = sum;
        double t = sum;
        if (!layer.steepness.empty()) {
          t *= layer.steepness[n];
          if (layer.clamp)
            t = std::clamp(t, -150.0 / layer.steepness[n], 150.0 / layer.steepness[n]);
        }
        if (!layer.limit.empty())
          t = std::clamp<double>(t, -layer.limit[n], layer.limit[n]);
        values[begin + n] = activate(run.function, t);
      }
  }
}
