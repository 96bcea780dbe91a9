// kimic simulate: how often a pack's experts would have been in memory, by a recorded trace, under every cache policy.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/base/File.h"
#include "formats/trace/TraceReader.h"
#include "runtime/simulate/CacheSimulation.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <memory>

namespace kimic::tool {

namespace {

using runtime::CacheOutcome;
using runtime::CachePolicy;
using runtime::kCachePolicyCount;
using runtime::TraceStep;

struct SimulateOptions {
  std::string pack, trace, memory, plot;
  float bonus = 0;
  bool overwrites = false;
};

/// As the pack's head has them, but for its selection bias.
std::vector<float> scoresOf(const std::vector<float> &logits, const pack::Router &router) {
  std::vector<float> scores;
  if (logits.empty())
    return scores;
  const auto temperature = static_cast<double>(router.temperature);
  const double greatest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> shares;
  double sum = 0;
  for (float logit : logits)
    sum += shares.emplace_back(router.head == pack::Head::Sigmoid
                                   ? 1 / (1 + std::exp(-static_cast<double>(logit) / temperature))
                                   : std::exp((static_cast<double>(logit) - greatest) / temperature));
  for (double share : shares)
    scores.push_back(static_cast<float>(router.head == pack::Head::Sigmoid ? share : share / sum));
  return scores;
}

/// The steps of a trace, of experts 0 .. routed-1, whose cache is simulated.
std::vector<TraceStep> readTrace(const std::string &path, const PackFile &pack, std::uint32_t routed) {
  trace::ExpertNumbers numbers;
  numbers.count = numbers.routed = routed;
  for (std::uint32_t expert = 0; expert < routed; ++expert)
    numbers.ofId.emplace(pack.names[expert].id, expert);
  std::unique_ptr<trace::TraceReader> reader = take(trace::openTrace(path, std::move(numbers)));
  const pack::Router router = pack.root.router.value_or(pack::Router{});
  std::vector<TraceStep> steps;
  for (trace::Step step; take(reader->next(step));) {
    if (isInterrupted())
      throw Failure(ExitCode::Interrupted, "interrupted");
    steps.push_back({step.experts, scoresOf(step.logits, router)});
  }
  if (steps.empty())
    throw Failure(Diagnostic{ErrorId::TraceEmpty, path, 0, "", "", "at least one step"});
  return steps;
}

struct Rates {
  std::uint64_t memory = 0;
  std::vector<double> byPolicy;
};

/// Hit rates over memory as one SVG.
std::string plotOf(const std::vector<Rates> &points, std::uint64_t memory, std::uint64_t all) {
  constexpr double kWidth = 560, kHeight = 320, kLeft = 50, kTop = 16;
  constexpr const char *kColours[kCachePolicyCount] = {"#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#444444"};
  auto x = [&](std::uint64_t bytes) {
    return kLeft + kWidth * static_cast<double>(std::min(bytes, all)) / static_cast<double>(all);
  };
  auto y = [&](double rate) { return kTop + kHeight * (1 - rate); };
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:g} {:g}\" role=\"img\" "
                                "aria-label=\"hit rate over memory\" font-family=\"sans-serif\" font-size=\"11\">\n"
                                "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
                                kLeft + kWidth + 90, kTop + kHeight + 44);
  for (int tenth = 0; tenth <= 10; tenth += 2) {
    out += fmt::format(
        "<path d=\"M{:g} {:g}h{:g}\" stroke=\"#ddd\"/><text x=\"{:g}\" y=\"{:g}\" text-anchor=\"end\">{}%</text>\n",
        kLeft, y(tenth / 10.0), kWidth, kLeft - 6, y(tenth / 10.0) + 4, tenth * 10);
    out += fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"middle\">{}%</text>\n", kLeft + kWidth * tenth / 10,
                       kTop + kHeight + 16, tenth * 10);
  }
  out += fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"middle\">memory, of {} bytes of all experts</text>\n",
                     kLeft + kWidth / 2, kTop + kHeight + 34, all);
  out += fmt::format("<path d=\"M{:.1f} {:g}v{:g}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>\n", x(memory), kTop,
                     kHeight);
  for (unsigned policy = 0; policy < kCachePolicyCount; ++policy) {
    std::string path;
    for (const Rates &point : points)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(point.memory), y(point.byPolicy[policy]));
    out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", path, kColours[policy]);
    out += fmt::format(
        "<path d=\"M{:g} {:g}h18\" stroke=\"{}\" stroke-width=\"3\"/><text x=\"{:g}\" y=\"{:g}\">{}</text>\n",
        kLeft + kWidth + 10, kTop + 20 + 18 * policy, kColours[policy], kLeft + kWidth + 32, kTop + 24 + 18 * policy,
        nameOf(static_cast<CachePolicy>(policy)));
  }
  return out + "</svg>\n";
}

void simulate(const SimulateOptions &options, Context &context) {
  PackFile pack = openPackFile(options.pack);
  auto routed = static_cast<std::uint32_t>(pack.experts.size());
  if (pack.root.router)
    routed = pack.root.router->routed;
  std::vector<std::uint32_t> bytes;
  std::uint64_t all = 0;
  for (std::uint32_t expert = 0; expert < routed; ++expert)
    all += bytes.emplace_back(pack.experts[expert].data.rawLength);
  std::uint64_t memory = parseMemory(options.memory, all);
  std::vector<TraceStep> trace = readTrace(options.trace, pack, routed);

  std::vector<CacheOutcome> outcomes;
  for (unsigned policy = 0; policy < kCachePolicyCount; ++policy)
    outcomes.push_back(runtime::simulate(trace, bytes, static_cast<CachePolicy>(policy), {memory, options.bonus}));
  const CacheOutcome &optimum = outcomes[static_cast<unsigned>(CachePolicy::Belady)];
  auto ofOptimum = [&](const CacheOutcome &outcome) {
    return optimum.hits ? static_cast<double>(outcome.hits) / static_cast<double>(optimum.hits) : 1;
  };
  double bound = static_cast<double>(runtime::mostHits(trace, bytes, memory)) /
                 static_cast<double>(std::max<std::uint64_t>(1, optimum.uses));

  if (!options.plot.empty()) {
    std::vector<Rates> points;
    for (unsigned percent : {1, 2, 5, 10, 15, 20, 25, 33, 50, 67, 80, 100}) {
      Rates &point = points.emplace_back();
      point.memory = all * percent / 100;
      for (unsigned policy = 0; policy < kCachePolicyCount; ++policy)
        point.byPolicy.push_back(
            runtime::simulate(trace, bytes, static_cast<CachePolicy>(policy), {point.memory, options.bonus}).hitRate());
    }
    take(writeFileAtomically(options.plot, plotOf(points, memory, all), options.overwrites));
  }

  std::string text;
  if (context.isJson) {
    Json result = {{"schema", "kimic-simulate/1"}, {"pack", options.pack},           {"trace", options.trace},
                   {"steps", trace.size()},        {"uses", optimum.uses},           {"memory", memory},
                   {"expert_bytes", all},          {"bonus", number(options.bonus)}, {"hit_rate_bound", bound}};
    result["policies"] = Json::array();
    for (unsigned policy = 0; policy < kCachePolicyCount; ++policy) {
      const CacheOutcome &outcome = outcomes[policy];
      result["policies"].push_back({{"policy", nameOf(static_cast<CachePolicy>(policy))},
                                    {"hits", outcome.hits},
                                    {"hit_rate", outcome.hitRate()},
                                    {"of_belady", ofOptimum(outcome)},
                                    {"stalled_bytes", outcome.stalledBytes},
                                    {"evictions", outcome.evictions},
                                    {"score_mass", outcome.scoreMass}});
    }
    text = pretty(result);
  } else {
    text = fmt::format("{} steps, {} uses of {} experts with {} bytes; memory {} bytes ({:.0f} %)\n", trace.size(),
                       optimum.uses, routed, all, memory, 100 * static_cast<double>(memory) / static_cast<double>(all));
    text += "policy    hit rate  of belady  stalled bytes  evictions  score mass\n";
    for (unsigned policy = 0; policy < kCachePolicyCount; ++policy) {
      const CacheOutcome &outcome = outcomes[policy];
      text += fmt::format("{:<8}  {:>7.2f}%  {:>8.1f}%  {:>13}  {:>9}  {:>9.2f}%\n",
                          nameOf(static_cast<CachePolicy>(policy)), 100 * outcome.hitRate(), 100 * ofOptimum(outcome),
                          outcome.stalledBytes, outcome.evictions, 100 * outcome.scoreMass);
    }
    text += fmt::format("no policy reaches more than {:.2f}%\n", 100 * bound);
  }
  std::fputs(text.c_str(), stdout);
}

} // namespace

void addSimulate(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("simulate", "Replay a trace of used experts against cache policies");
  auto options = std::make_shared<SimulateOptions>();
  command->add_option("PACK", options->pack, "Pack whose experts were used")->required();
  command
      ->add_option("--trace", options->trace,
                   "What was chosen, and perhaps the router's logits: JSON lines, or a folder of .npy arrays")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--memory", options->memory, "For experts: bytes, 64K, 1.5M, or a percentage of all experts as 25%")
      ->required()
      ->type_name("SIZE");
  command
      ->add_option("--bonus", options->bonus,
                   "Added to the scores of resident experts, but for the best one; needs logits")
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->type_name("SCORE");
  command->add_option("--plot", options->plot, "Write hit rates over memory as SVG")->type_name("FILE");
  command->add_flag("-f,--force", options->overwrites, "Replace an existing plot");
  command->footer(
      "Policies: lru and lfu; score, by the moving average of the router's scores; adaptive, ARC by bytes; and\n"
      "belady, which knows the future: no policy has more hits if all experts are equally large. Stalled bytes\n"
      "are those of experts that a request had to wait for. A bonus changes which experts are used; score mass\n"
      "is what remains of the router's scores then.");
  addOutputOptions(*command, context);
  command->callback([options, &context] { context.run = [options, &context] { simulate(*options, context); }; });
}

} // namespace kimic::tool
