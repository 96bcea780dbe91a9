// kimic run: an expert of a pack, or the experts that its router chooses, on rows of data.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/DataFile.h"
#include "compiler/tools/kimic/PackNames.h"
#include "formats/base/File.h"
#include "kimic/NativeKernels.h"
#include "runtime/native/NativePack.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <memory>

namespace kimic::tool {

namespace {

struct RunOptions {
  std::string pack, expert, data;
  bool isRouted = false;
  std::string engine = "native";
  std::uint32_t topK = 0; ///< 0: as many as the pack says
  float residentBonus = 0;
  std::string history; ///< empty: runs are not timed
  std::string memory;  ///< empty: the default
  KimicCachePolicy cachePolicy = KIMIC_CACHE_LRU;
};

void stopIfInterrupted() {
  if (isInterrupted())
    throw Failure(ExitCode::Interrupted, "interrupted");
}

struct Answers {
  Matrix outputs;
  std::vector<std::vector<KimicChoice>> routes; ///< per row; empty without a router
};

/// All rows of one expert, in pieces: so that progress shows and Ctrl-C works.
Answers runExpert(runtime::NativePack &pack, const RunOptions &options, std::uint32_t expert, const Matrix &inputs,
                  std::size_t outputCount, Console &console) {
  constexpr std::size_t kRowsAtOnce = 1024;
  Answers answers;
  answers.outputs = {inputs.rows, outputCount, {}};
  for (std::size_t row = 0; row < inputs.rows; row += kRowsAtOnce) {
    stopIfInterrupted();
    std::size_t count = std::min(kRowsAtOnce, inputs.rows - row);
    std::span<const float> x = std::span(inputs.values).subspan(row * inputs.cols, count * inputs.cols);
    std::vector<float> y = take(options.pack, pack.run(expert, x, static_cast<std::uint32_t>(count)));
    answers.outputs.values.insert(answers.outputs.values.end(), y.begin(), y.end());
    console.progress("running", row + count, inputs.rows);
  }
  return answers;
}

Answers runRouted(runtime::NativePack &pack, const RunOptions &options, const Matrix &inputs, std::size_t outputCount,
                  Console &console) {
  Answers answers;
  answers.outputs = {inputs.rows, outputCount, {}};
  for (std::size_t row = 0; row < inputs.rows; ++row) {
    stopIfInterrupted();
    auto result = take(options.pack, pack.runRouted(inputs.row(row), options.topK));
    answers.outputs.values.insert(answers.outputs.values.end(), result.y.begin(), result.y.end());
    answers.routes.push_back(std::move(result.route.choices));
    console.progress("running", row + 1, inputs.rows);
  }
  return answers;
}

constexpr std::uint64_t kMostHistoryBytes = 1 << 20;

void readHistory(runtime::NativePack &pack, const std::string &path) {
  if (!std::filesystem::exists(path))
    return;
  const std::string bytes = take(readFile(path, kMostHistoryBytes));
  take(path, pack.importHistory({reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()}));
}

void writeHistory(runtime::NativePack &pack, const std::string &path) {
  const std::vector<std::uint8_t> bytes = take(path, pack.exportHistory());
  take(writeFileAtomically(path, {reinterpret_cast<const char *>(bytes.data()), bytes.size()}, true));
}

/// Of every routed expert and the one that ran what is remembered, if anything is.
Json historyJson(runtime::NativePack &pack, const RunOptions &options, const std::vector<ExpertNames> &names) {
  Json all = Json::array();
  for (std::uint32_t expert = 0; expert < names.size(); ++expert)
    if (const KimicExperience seen = take(options.pack, pack.experience(expert)); seen.runs)
      all.push_back({{"expert", names[expert].id},
                     {"runs", seen.runs},
                     {"success", number(seen.success)},
                     {"confidence", number(seen.confidence)},
                     {"microseconds", number(seen.microseconds)}});
  return all;
}

Json routesJson(const Answers &answers, const std::vector<ExpertNames> &names) {
  Json routes = Json::array();
  for (const auto &choices : answers.routes) {
    Json route = Json::array();
    for (const KimicChoice &choice : choices)
      route.push_back(
          {{"expert", names[choice.expert].id}, {"score", number(choice.score)}, {"weight", number(choice.weight)}});
    routes.push_back(std::move(route));
  }
  return routes;
}

void run(const RunOptions &options, Context &context) {
  runtime::NativeOptions hostOptions;
  if (options.engine == "native")
    hostOptions.link = native::kernelOrNull;
  hostOptions.residentBonus = options.residentBonus;
  hostOptions.cachePolicy = options.cachePolicy;
  if (!options.memory.empty())
    hostOptions.arenaBytes = parseMemory(options.memory);
  hostOptions.isTimed = !options.history.empty();
  runtime::NativePack pack = take(options.pack, runtime::NativePack::openFile(options.pack, std::move(hostOptions)));
  const KimicPackInfo &info = pack.info();
  std::vector<ExpertNames> names = expertNames(parseMetadata(take(options.pack, pack.metadata())), info.experts);
  if (options.isRouted && info.routerExpert == KIMIC_NO_EXPERT)
    throw Failure(options.pack, makeError(ErrorId::PackHasNoRouter));
  if (!options.history.empty())
    readHistory(pack, options.history);

  // Routed experts have one shape, so the first one speaks for all.
  std::uint32_t expert = options.isRouted ? 0 : findExpert(names, options.expert, options.pack);
  KimicExpertInfo shape = take(options.pack, pack.expertInfo(expert));
  DataFile data = readDataFile(options.data, shape.inputs, shape.outputs, context.console);
  Answers answers = options.isRouted ? runRouted(pack, options, data.inputs, shape.outputs, context.console)
                                     : runExpert(pack, options, expert, data.inputs, shape.outputs, context.console);
  if (!options.history.empty())
    writeHistory(pack, options.history);
  Score score = scoreOf(answers.outputs, data.targets);
  // Routed experts that share their labels answer in them; others merge numbers whose names differ.
  bool shareLabels =
      !options.isRouted || std::all_of(names.begin(), names.begin() + info.routedExperts,
                                       [&](const ExpertNames &e) { return e.labels == names[0].labels; });
  auto answerOf = [&](std::size_t row) {
    return shareLabels ? names[expert].answer(answers.outputs.row(row)) : std::string();
  };
  bool hasAnswers = !answerOf(0).empty();

  if (context.isJson) {
    Json result = {{"schema", "kimic-run/1"}, {"pack", options.pack}};
    if (!options.isRouted)
      result["expert"] = names[expert].id;
    result["rows"] = answers.outputs.rows;
    addScore(result, score);
    if (options.isRouted)
      result["routes"] = routesJson(answers, names);
    if (hasAnswers) {
      result["answers"] = Json::array();
      for (std::size_t r = 0; r < answers.outputs.rows; ++r)
        result["answers"].push_back(answerOf(r));
    }
    if (!options.history.empty())
      result["history"] = historyJson(pack, options, names);
    result["outputs"] = rows(answers.outputs);
    std::fputs(pretty(result).c_str(), stdout);
    return;
  }
  context.console.clearProgress();
  for (std::size_t r = 0; r < answers.outputs.rows; ++r) {
    std::string line;
    if (options.isRouted) {
      for (const KimicChoice &choice : answers.routes[r])
        line += fmt::format("{}{}:{:.3f}", line.empty() ? "" : "+", names[choice.expert].id, choice.weight);
      line += '\t';
    }
    if (hasAnswers)
      line += answerOf(r) + '\t';
    std::fputs((line + rowText(answers.outputs.row(r)) + "\n").c_str(), stdout);
  }
  printScore(score, context.console);
}

} // namespace

void addRun(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("run", "Run an expert of a pack, or those that its router chooses, on data");
  auto options = std::make_shared<RunOptions>();
  command->add_option("PACK", options->pack, "Pack to run")->required();
  auto *expert = command->add_option("--expert", options->expert, "Run this expert (its id, or #NUMBER)");
  expert->type_name("ID");
  auto *route = command->add_flag("--route", options->isRouted, "Let the router choose experts for each row");
  expert->excludes(route);
  command->add_option("--data", options->data, "Rows to run: FANN training data, or .npy with a row per sample")
      ->required()
      ->type_name("FILE");
  command->add_option("--top-k", options->topK, "With --route: how many experts answer (default: as the pack says)")
      ->needs(route)
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("K");
  command
      ->add_option("--resident-bonus", options->residentBonus,
                   "With --route: added to the scores of experts in memory when all but the best one are chosen, 0 to "
                   "1 (default: 0)")
      ->needs(route)
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->type_name("BONUS");
  command
      ->add_option("--history", options->history,
                   "Time every run, and keep moving averages of success, latency and confidence in this file")
      ->type_name("FILE");
  command
      ->add_option("--memory", options->memory,
                   "Hard cap of the memory for the pack: bytes, 64K or 1.5M (default: 256M)")
      ->type_name("SIZE");
  static const std::map<std::string, KimicCachePolicy> kPolicies = {
      {"lru", KIMIC_CACHE_LRU}, {"score", KIMIC_CACHE_SCORE}, {"adaptive", KIMIC_CACHE_ADAPTIVE}};
  command
      ->add_option("--cache-policy", options->cachePolicy,
                   "Which experts make room when memory is short, as in kimic simulate (default: lru)")
      ->transform(CLI::CheckedTransformer(kPolicies).description(""))
      ->type_name("lru|score|adaptive");
  command
      ->add_option("--engine", options->engine,
                   "What computes: kernels compiled for this processor, or the reference evaluator; their results "
                   "are equal (default: native)")
      ->check(CLI::IsMember({"native", "reference"}))
      ->type_name("native|reference");
  command->footer(
      "Text output is one line a row: the chosen experts with their weights (--route), the label of the answer\n"
      "(if the experts have labels), then the outputs; the three are separated by tabs.");
  addOutputOptions(*command, context);
  command->callback([options, expert, route, &context] {
    if (expert->count() + route->count() == 0)
      throw CLI::RequiredError("--expert ID or --route");
    context.run = [options, &context] { run(*options, context); };
  });
}

} // namespace kimic::tool
