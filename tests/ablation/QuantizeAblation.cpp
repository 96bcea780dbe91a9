// Prints what each part of the quantizer gains: one line per network of a manifest, the SQNR in dB on its test data (or
// calibration data) by variant. Usage: quantize_ablation EXPERTS.json [NETWORK ...]
#include "compiler/Dialect/Expert/Expert.h"
#include "compiler/Import/FannImport.h"
#include "compiler/Transforms/Passes.h"
#include "compiler/Transforms/QLayers.h"
#include "formats/fann/Evaluator.h"
#include "formats/manifest/ExpertSet.h"
#include "formats/quant/Layout.h"
#include "formats/reference/Reference.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <limits>

using namespace kimic;

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Variant {
  const char *name;
  quantize::Options options;
  bool allResidual = false;
  double target = -kInfinity; ///< second planes until this SQNR is measured, in dB
};

struct Measured {
  double sqnrDb = 0, predictedDb = 0, seconds = 0, disagreement = 0;
  std::size_t bytes = 0;
};

quantize::Options with(bool sequential, bool clip, bool compensation, bool bias, bool sensitivity, bool wide,
                       bool balanced) {
  return {sequential, clip, compensation, bias, sensitivity, wide, balanced, 16};
}

const Variant kVariants[] = {
    {"nearest", quantize::Options::plain()},
    {"+wide codes", with(false, false, false, false, false, true, false)},
    {"+balanced", with(false, false, false, false, false, true, true)},
    {"+bias", with(false, false, false, true, false, true, true)},
    {"+clip", with(false, true, false, true, false, true, true)},
    {"+gptq", with(false, true, true, true, false, true, true)},
    {"+sequential", with(true, true, true, true, false, true, true)},
    {"all", {}},
    {"res 50 dB", {}, false, 50},
    {"16 bit", {}, true},
};

Measured measure(const manifest::LoadedNetwork &loaded, const Variant &variant, const quantize::Plan &plan,
                 quantize::Quantized &result) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.loadDialect<expert::ExpertDialect, qexpert::QExpertDialect>();
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  Measured out;
  Matrix calibration = loaded.calibration ? *loaded.calibration : loaded.test->inputs;
  if (failed(importFann(*module, "e", loaded.network)))
    return out;
  QuantizeInput input{calibration, plan, variant.options, &result};
  mlir::PassManager manager(&context);
  manager.addPass(createFoldSteepness());
  manager.addPass(createFoldAffine());
  manager.addPass(createFoldConstants());
  manager.addPass(createDropDeadNeurons());
  manager.addPass(createGroupActivations());
  manager.addPass(createCalibrate(calibration));
  manager.addPass(createConvertExpertToQExpert(input));
  std::clock_t start = std::clock();
  if (failed(manager.run(*module)))
    return out;
  out.seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  out.predictedDb = result.predictedSqnrDb();

  const Matrix &inputs = loaded.test ? loaded.test->inputs : calibration;
  auto layout = quant::layoutOf(result.signature);
  std::vector<std::uint8_t> block = quant::packParameters(result.signature, *layout, result.parameters);
  out.bytes = block.size();
  struct alignas(16) Chunk {
    std::uint8_t bytes[16];
  };
  std::vector<Chunk> params(block.size() / 16 + 1), scratch(layout->scratchBytes / 16 + 1);
  std::memcpy(params.data(), block.data(), block.size());
  Matrix expected = fann::evaluate(loaded.network, inputs, {true}), actual = expected;
  reference::run(result.signature, *layout, params.data()->bytes, inputs.values.data(), actual.values.data(),
                 scratch.data()->bytes, static_cast<std::uint32_t>(inputs.rows));
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    double d = double(expected.values[i]) - actual.values[i];
    signal += double(expected.values[i]) * expected.values[i];
    noise += d * d;
  }
  out.sqnrDb = noise > 0 ? 10 * std::log10(signal / noise) : kInfinity;
  return out;
}

/// Second planes for the noisiest rows, more of them until the target is measured: the steps of the compiler, whose
/// target is an accuracy budget.
Measured measure(const manifest::LoadedNetwork &loaded, const Variant &variant) {
  quantize::Quantized int8, result;
  if (variant.allResidual)
    return measure(loaded, variant, {quant::WeightFormat::Int8Residual, {}, true}, result);
  Measured best = measure(loaded, variant, {}, int8);
  if (best.sqnrDb >= variant.target)
    return best;
  for (std::size_t count : quantize::residualSteps(int8.rows.size())) {
    best = measure(loaded, variant, {quant::WeightFormat::Int8Residual, quantize::noisiestRows(int8, count), false},
                   result);
    if (best.sqnrDb >= variant.target)
      break;
  }
  return best;
}
} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: quantize_ablation EXPERTS.json [NETWORK ...]\n");
    return 2;
  }
  auto set = manifest::readManifest(argv[1]);
  if (!set) {
    std::fprintf(stderr, "%s\n", set.error().message().c_str());
    return 1;
  }
  std::printf("%-20s", "network");
  for (const Variant &variant : kVariants)
    std::printf(" %11s", variant.name);
  std::printf(" | predicted  seconds  bytes int8, res, 16\n");
  std::vector<const manifest::LoadedNetwork *> networks;
  std::vector<std::string> names;
  for (const manifest::Expert &expert : set->experts) {
    networks.push_back(&expert);
    names.push_back(expert.id);
  }
  if (set->router) {
    networks.push_back(&*set->router);
    names.push_back("router");
  }
  std::vector<double> sums(std::size(kVariants)), least(std::size(kVariants), kInfinity);
  std::size_t measured = 0;
  for (std::size_t i = 0; i < networks.size(); ++i) {
    bool isWanted = argc == 2 || std::find(argv + 2, argv + argc, names[i]) != argv + argc;
    if (!isWanted || (!networks[i]->calibration && !networks[i]->test))
      continue;
    ++measured;
    std::printf("%-20s", names[i].c_str());
    Measured all[std::size(kVariants)];
    for (std::size_t v = 0; v < std::size(kVariants); ++v) {
      all[v] = measure(*networks[i], kVariants[v]);
      sums[v] += all[v].sqnrDb;
      least[v] = std::min(least[v], all[v].sqnrDb);
      std::printf(" %11.1f", all[v].sqnrDb);
      std::fflush(stdout);
    }
    std::printf(" | %9.1f  %7.2f  %zu %zu %zu\n", all[7].predictedDb, all[7].seconds, all[7].bytes, all[8].bytes,
                all[9].bytes);
  }
  std::printf("%-20s", "mean");
  for (double sum : sums)
    std::printf(" %11.1f", sum / double(measured));
  std::printf("\n%-20s", "least");
  for (double value : least)
    std::printf(" %11.1f", value);
  std::printf("\n");
}
