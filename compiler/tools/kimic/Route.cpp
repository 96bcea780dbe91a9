// kimic route: which experts a pack's router chooses for rows of data, and why.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/DataFile.h"
#include "compiler/tools/kimic/PackNames.h"
#include "runtime/native/NativePack.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <numeric>

namespace kimic::tool {

namespace {

struct RouteOptions {
  std::string pack, data;
  std::uint32_t topK = 0; ///< 0: as many as the pack says
  bool isExplained = false, isPlanned = false;
};

constexpr const char *kReasons[] = {"chosen", "outranked", "below-threshold", "router-abstained"};

using Explanation = runtime::NativePack::Explanation;

Json explanationJson(const Explanation &route, const std::vector<ExpertNames> &names) {
  Json experts = Json::array();
  for (std::size_t i = 0; i < route.explanations.size(); ++i) {
    const KimicExplanation &e = route.explanations[i];
    experts.push_back({{"expert", names[i].id},
                       {"reason", kReasons[e.reason]},
                       {"logit", number(e.logit)},
                       {"score", number(e.score)},
                       {"selection", number(e.selection)},
                       {"threshold", number(e.threshold)}});
  }
  return experts;
}

using Plan = runtime::NativePack::Plan;

/// The experts that stand in for one, one after another.
std::vector<std::uint32_t> fallbacksOf(std::uint32_t expert, const std::vector<ExpertNames> &names) {
  std::vector<std::uint32_t> chain;
  while (names[expert].fallback && std::find(chain.begin(), chain.end(), *names[expert].fallback) == chain.end())
    chain.push_back(expert = *names[expert].fallback);
  return chain;
}

Json planJson(const Plan &plan, const Explanation &route, const std::vector<ExpertNames> &names) {
  Json steps = Json::array(), fallbacks = Json::object();
  for (const KimicStep &step : plan.inOrder)
    steps.push_back({{"expert", names[step.expert].id},
                     {"level", step.level},
                     {"group", step.group},
                     {"inputs", step.inputs},
                     {"outputs", step.outputs},
                     {"bytes", step.bytes},
                     {"microseconds", number(step.microseconds)}});
  for (const KimicChoice &choice : route.choices)
    for (std::uint32_t fallback : fallbacksOf(choice.expert, names))
      fallbacks[names[choice.expert].id].push_back(names[fallback].id);
  return {{"groups", plan.groups},
          {"bytes", plan.bytes},
          {"missing_bytes", plan.missingBytes},
          {"microseconds", number(plan.microseconds)},
          {"steps", std::move(steps)},
          {"fallbacks", std::move(fallbacks)}};
}

/// A line for each group, then what the whole takes.
std::string planText(const Plan &plan, const Explanation &route, const std::vector<ExpertNames> &names) {
  std::string out;
  for (std::size_t i = 0; i < plan.inOrder.size(); ++i) {
    const KimicStep &step = plan.inOrder[i];
    const bool isNew = i == 0 || step.group != plan.inOrder[i - 1].group;
    out += isNew ? fmt::format("{}  group {}: ", i ? "\n" : "", step.group + 1) : ", ";
    out += names[step.expert].id;
  }
  for (const KimicChoice &choice : route.choices)
    if (const std::vector<std::uint32_t> chain = fallbacksOf(choice.expert, names); !chain.empty()) {
      out += fmt::format("\n  if {} fails: ", names[choice.expert].id);
      for (std::size_t i = 0; i < chain.size(); ++i)
        out += (i ? ", then " : "") + names[chain[i]].id;
    }
  return out + fmt::format("\n  {} bytes of parameters, {} of them to be read; about {:.2g} us\n",
                           withCommas(plan.bytes), withCommas(plan.missingBytes), plan.microseconds);
}

Json routeJson(const Explanation &route, const std::vector<ExpertNames> &names, bool isExplained) {
  Json out = {{"chosen", Json::array()}};
  for (const KimicChoice &choice : route.choices)
    out["chosen"].push_back(
        {{"expert", names[choice.expert].id}, {"score", number(choice.score)}, {"weight", number(choice.weight)}});
  if (isExplained)
    out["experts"] = explanationJson(route, names);
  return out;
}

/// The experts as a table, the first to be chosen on top.
std::string explanationText(const Explanation &route, const std::vector<ExpertNames> &names) {
  std::vector<std::size_t> order(route.explanations.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return route.explanations[a].selection > route.explanations[b].selection;
  });
  std::vector<std::vector<std::string>> lines;
  for (std::size_t i : order) {
    const KimicExplanation &e = route.explanations[i];
    lines.push_back({names[i].id, fmt::format("{:.4g}", e.logit), fmt::format("{:.4f}", e.score),
                     fmt::format("{:.4f}", e.selection), fmt::format("{:.4f}", e.threshold), kReasons[e.reason]});
  }
  return table({"expert", ">logit", ">score", ">selection", ">threshold", "reason"}, lines);
}

std::string choicesText(const Explanation &route, const std::vector<ExpertNames> &names) {
  if (route.choices.empty())
    return "none: the router abstains";
  std::string out;
  for (const KimicChoice &choice : route.choices)
    out += fmt::format("{}{}:{:.3f}", out.empty() ? "" : "+", names[choice.expert].id, choice.weight);
  return out;
}

void route(const RouteOptions &options, Context &context) {
  runtime::NativePack pack = take(options.pack, runtime::NativePack::openFile(options.pack));
  const KimicPackInfo &info = pack.info();
  if (info.routerExpert == KIMIC_NO_EXPERT)
    throw Failure(options.pack, makeError(ErrorId::PackHasNoRouter));
  std::vector<ExpertNames> names = expertNames(parseMetadata(take(options.pack, pack.metadata())), info.experts);
  KimicExpertInfo router = take(options.pack, pack.expertInfo(info.routerExpert));
  KimicExpertInfo answer = take(options.pack, pack.expertInfo(0));
  DataFile data = readDataFile(options.data, router.inputs, answer.outputs, context.console);

  Json routes = Json::array();
  std::string text;
  for (std::size_t row = 0; row < data.inputs.rows; ++row) {
    if (isInterrupted())
      throw Failure(ExitCode::Interrupted, "interrupted");
    Explanation made = take(options.pack, pack.explain(data.inputs.row(row), options.topK));
    std::optional<Plan> plan;
    if (options.isPlanned && !made.choices.empty())
      plan = take(options.pack, pack.plan(made.choices));
    if (context.isJson) {
      routes.push_back(routeJson(made, names, options.isExplained));
      if (plan)
        routes.back()["plan"] = planJson(*plan, made, names);
    } else {
      text += choicesText(made, names) + "\n" + (options.isExplained ? explanationText(made, names) : "") +
              (plan ? planText(*plan, made, names) : "");
    }
    context.console.progress("routing", row + 1, data.inputs.rows);
  }
  context.console.clearProgress();
  if (context.isJson)
    text = pretty({{"schema", "kimic-route/1"}, {"pack", options.pack}, {"routes", std::move(routes)}});
  std::fputs(text.c_str(), stdout);
}

} // namespace

void addRoute(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("route", "Show which experts a pack's router chooses for data, and why");
  auto options = std::make_shared<RouteOptions>();
  command->add_option("PACK", options->pack, "Pack whose router chooses")->required();
  command->add_option("--data", options->data, "Rows to route: FANN training data, or .npy with a row per sample")
      ->required()
      ->type_name("FILE");
  command->add_option("--top-k", options->topK, "At most so many experts (default: as the pack says)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("K");
  command->add_flag("--explain", options->isExplained,
                    "For every expert: scores, threshold, and why it was chosen or not");
  command->add_flag("--plan", options->isPlanned,
                    "What the answer takes: all experts that are needed, group by group, bytes and time, fallbacks");
  command->footer(
      "Text output is one line a row: the chosen experts with their weights. With --explain a table follows:\n"
      "logit of the router's network, score, what decides on the order (score, bias), the threshold of the\n"
      "score, and the reason: chosen, outranked, below-threshold, or router-abstained.");
  addOutputOptions(*command, context);
  command->callback([options, &context] { context.run = [options, &context] { route(*options, context); }; });
}

} // namespace kimic::tool
