// kimic eval: a network in float, as its own library computes it.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/DataFile.h"
#include "compiler/tools/kimic/JsonText.h"
#include "formats/fann/Evaluator.h"
#include "formats/fann/FannReader.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <memory>

namespace kimic::tool {

namespace {

struct EvalOptions {
  std::string network, data;
  bool applyScaling = false;
};

const char *nameOf(fann::Semantics semantics) {
  switch (semantics) {
  case fann::Semantics::FannFloat:
    return "fann";
  case fann::Semantics::FannFixed:
    return "fann-fixed";
  case fann::Semantics::RuvFann:
    return "ruv-fann";
  }
  return "";
}

void eval(const EvalOptions &options, Context &context) {
  fann::Network network = take(fann::readNetworkFile(options.network));
  for (const std::string &warning : network.warnings)
    context.console.warning(options.network + ": " + warning);
  if (options.applyScaling && !network.scalingIn)
    context.console.warning(options.network + ": --scale has no effect: the network has no scaling parameters");
  DataFile data = readDataFile(options.data, network.numInputs, network.numOutputs, context.console);
  Matrix outputs = fann::evaluate(network, data.inputs, {.applyScaling = options.applyScaling});
  Score score = scoreOf(outputs, data.targets);

  if (context.isJson) {
    Json result = {{"schema", "kimic-eval/1"},    {"network", options.network},
                   {"format", network.format},    {"semantics", nameOf(network.semantics)},
                   {"inputs", network.numInputs}, {"rows", outputs.rows}};
    addScore(result, score);
    result["outputs"] = rows(outputs);
    std::fputs(pretty(result).c_str(), stdout);
    return;
  }
  for (std::size_t r = 0; r < outputs.rows; ++r)
    fmt::print("{}\n", rowText(outputs.row(r)));
  printScore(score, context.console);
}

} // namespace

void addEval(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("eval", "Evaluate a network in float, as its own library computes it");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("NETWORK", options->network, "FANN network (.net, float or fixed-point) or ruv-FANN's JSON")
      ->required();
  command->add_option("--data", options->data, "Rows to evaluate: FANN training data, or .npy with a row per sample")
      ->required()
      ->type_name("FILE");
  command->add_flag("--scale", options->applyScaling,
                    "Apply the network's scaling parameters to inputs and outputs, as compiled experts do");
  addOutputOptions(*command, context);
  command->callback([options, &context] { context.run = [options, &context] { eval(*options, context); }; });
}

} // namespace kimic::tool
