// kimic compile: an expert set into a pack.
#include "compiler/include/kimic/Compiler.h"

#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/base/File.h"
#include "formats/manifest/ExpertSet.h"
#include "formats/pack/PackReader.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <memory>
#include <optional>

namespace kimic::tool {

namespace {

struct CompileArguments {
  std::string manifest, output, stopAfter, report, emit = "mlir";
  bool overwrites = false, isStrict = false, ignoresScaling = false, allowsLoss = false;
  CompileOptions options;
};

/// Finds out before the long work, not after it, that its result has no place to go. (Writing checks again.)
void checkOutput(const CompileArguments &arguments) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path path = arguments.output, folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!arguments.overwrites && fs::exists(path, ignored))
    throw Failure(Diagnostic{ErrorId::FileExists, arguments.output, 0, "", "", "--force to replace it"});
  if (!fs::is_directory(folder, ignored))
    throw Failure(Diagnostic{ErrorId::FileNotWritten, arguments.output, 0, "", "no folder " + folder.string(), ""});
}

/// A limit on the command line: "0.0025" or "0.25%".
CLI::Option *addLimit(CLI::App &command, const char *name, std::optional<float> &limit, bool isFraction,
                      const char *description) {
  auto read = [&limit, name, isFraction](const std::string &text) {
    bool isPercent = isFraction && text.ends_with('%');
    std::string digits = text.substr(0, text.size() - isPercent);
    double value = 0;
    if (!CLI::detail::lexical_cast(digits, value) || !std::isfinite(value))
      throw CLI::ValidationError(name, "\"" + text + "\" is not a number");
    if (isPercent)
      value /= 100;
    if (value < 0 || (isFraction && value > 1) || value > std::numeric_limits<float>::max())
      throw CLI::ValidationError(name, isFraction ? "a fraction from 0 to 1, such as 0.0025 or 0.25%, is expected"
                                                  : "a number not below 0 is expected");
    limit = static_cast<float>(value);
  };
  return command.add_option_function<std::string>(name, read, description)
      ->type_name(isFraction ? "FRACTION" : "NUMBER")
      ->group("Accuracy budget");
}

bool isHtml(const std::string &path) { return std::string_view(path).ends_with(".html"); }

void writeReport(const std::string &path, const Report &report) {
  take(writeFileAtomically(path, isHtml(path) ? toHtml(report) : toJson(report), /*overwrites=*/true));
}

std::string_view textOf(const std::vector<std::uint8_t> &bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

std::string percent(double fraction) { return fmt::format("{:.2f} %", fraction * 100); }

std::string change(const ExpertReport &expert) {
  if (expert.floatAccuracy && expert.compiledAccuracy)
    return fmt::format("{} -> {}", percent(*expert.floatAccuracy), percent(*expert.compiledAccuracy));
  if (expert.floatMse && expert.compiledMse)
    return fmt::format("mse {:.4g} -> {:.4g}", *expert.floatMse, *expert.compiledMse);
  return "";
}

std::string storedWhy(const ExpertReport &expert) {
  if (expert.codec == "stored")
    return fmt::format("dense, {:.2f} bits a byte", expert.entropyBits); // nothing would make it smaller
  double saved = 1 - static_cast<double>(expert.storedBytes) / expert.blockBytes;
  std::string what = expert.base.empty() ? expert.codec : "like " + expert.base;
  return fmt::format("{} -{:.0f} %", what, saved * 100);
}

/// Bits for each of the network's parameters: stored, and as the order-0 entropy of the block has it.
std::string bitsPerParameter(const ExpertReport &expert, double bits) {
  return fmt::format("{:.2f}", bits / static_cast<double>(expert.parameters));
}

std::string summary(const Report &report, const PackFile &pack, double seconds, bool showsAll) {
  constexpr std::size_t kShown = 40;
  std::vector<std::size_t> order = worstFirst(report);
  std::size_t shown = showsAll ? order.size() : std::min(order.size(), kShown);
  std::vector<std::vector<std::string>> lines;
  for (std::size_t i = 0; i < shown; ++i) {
    const ExpertReport &e = report.experts[order[i]];
    lines.push_back({e.id, fmt::format("{}-{}", e.inputs, e.outputs), withCommas(e.parameters),
                     std::to_string(e.kernelId), withCommas(e.floatBytes), withCommas(e.blockBytes),
                     withCommas(e.storedBytes), bitsPerParameter(e, 8.0 * e.storedBytes),
                     bitsPerParameter(e, e.entropyBits * e.blockBytes), storedWhy(e), kimic::nameOf(e.precision),
                     fmt::format("{:.2g}", e.maxError),
                     std::isinf(e.sqnrDb) ? "exact" : fmt::format("{:.1f} dB", e.sqnrDb),
                     e.agreement ? percent(*e.agreement) : "", change(e)});
  }
  std::string out = table({"expert", "in-out", ">parameters", ">kernel", ">f32 bytes", ">compiled", ">stored", ">bits/par", ">entropy", "why",
                           "precision", ">max error", ">sqnr", ">agreement", "float -> compiled"},
                          lines);
  if (shown < order.size())
    out += fmt::format("... the {} worst of {} experts; -v shows all\n", shown, order.size());

  std::uint64_t largestModule = 0;
  for (const ModuleReport &module : report.modules)
    largestModule = std::max<std::uint64_t>(largestModule, module.bytes);
  ColdStart start = coldStartOf(pack);
  out += fmt::format("\n{}, {} in {} ({} bytes stored, the largest {} raw)\n", counted(report.experts.size(), "expert"),
                     counted(report.kernels.size(), "distinct kernel"), counted(report.modules.size(), "module"),
                     withCommas(report.moduleBytes), withCommas(largestModule));
  out += fmt::format("parameters {} bytes as f32 -> {} compiled -> {} stored, {}\n", withCommas(report.floatBytes),
                     withCommas(report.blockBytes), withCommas(report.storedBytes),
                     counted(pack.header.dataBlocks, "distinct block"));
  if (!order.empty()) {
    auto worst = std::min_element(report.experts.begin(), report.experts.end(),
                                  [](const auto &a, const auto &b) { return a.sqnrDb < b.sqnrDb; });
    auto byError = std::max_element(report.experts.begin(), report.experts.end(),
                                    [](const auto &a, const auto &b) { return a.maxError < b.maxError; });
    out += fmt::format("worst: {:.1f} dB ({}), max error {:.2g} ({})\n", worst->sqnrDb, worst->id, byError->maxError,
                       byError->id);
  }
  out += fmt::format("cold start: {}, {} bytes at most until an expert answers\n", counted(start.requests, "request"),
                     withCommas(start.bytes));
  out += fmt::format("{}: {} bytes, {:.2f} s\n", pack.path, withCommas(pack.bytes.size()), seconds);
  return out;
}

Json resultJson(const Report &report, const PackFile &pack, double seconds) {
  ColdStart start = coldStartOf(pack);
  return {{"schema", "kimic-compile/1"},
          {"pack", pack.path},
          {"bytes", pack.bytes.size()},
          {"digest", hexOf(pack::packDigest(pack.view()))},
          {"seconds", seconds},
          {"cold_start", {{"requests", start.requests}, {"bytes", start.bytes}}},
          {"report", Json::parse(toJson(report, -1))}};
}

void showProgress(Console &console, const Progress &progress) {
  switch (progress.step) {
  case Progress::Step::Experts:
    return console.progress("compiling experts", progress.done, progress.total);
  case Progress::Step::Kernels:
    return console.progress("generating kernels", progress.done, progress.total);
  case Progress::Step::Pack:
    return console.progress("writing the pack", progress.done, progress.total);
  }
}

void emitIr(const CompileArguments &arguments, const CompileOutput &output) {
  if (arguments.output.empty())
    std::fwrite(output.ir.data(), 1, output.ir.size(), stdout);
  else
    take(writeFileAtomically(arguments.output, output.ir, arguments.overwrites));
}

void compile(CompileArguments arguments, Context &context) {
  auto begin = std::chrono::steady_clock::now();
  if (!arguments.output.empty())
    checkOutput(arguments);
  manifest::ExpertSet set =
      take(manifest::readManifest(arguments.manifest, {.strict = arguments.isStrict, .jobs = arguments.options.jobs}));
  context.console.detail(set.file + ": " + counted(set.experts.size(), "expert") + (set.router ? " and a router" : ""));

  CompileOptions &options = arguments.options;
  options.applyScaling = !arguments.ignoresScaling;
  options.enforceBudgets = !arguments.allowsLoss;
  options.cancelled = &interruptFlag();
  options.progress = [&context](const Progress &progress) { showProgress(context.console, progress); };
  if (!arguments.stopAfter.empty())
    options.stopAfter = phaseNamed(arguments.stopAfter);
  CompileOutput output = take(kimic::compile(set, options));
  context.console.clearProgress();
  for (const std::string &warning : output.report.warnings)
    context.console.warning(warning);
  for (const ExpertReport &expert : output.report.experts)
    for (const std::string &warning : expert.warnings)
      context.console.warning(expert.id + ": " + warning);
  if (options.stopAfter)
    return emitIr(arguments, output);
  if (!arguments.report.empty())
    writeReport(arguments.report, output.report);

  // The pack is whole; from here on it is written even if Ctrl-C arrives, so that no half of it can remain.
  take(writeFileAtomically(arguments.output, textOf(output.pack), arguments.overwrites));
  PackFile pack = decodePack(arguments.output, std::string(textOf(output.pack)));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::string text = context.isJson ? pretty(resultJson(output.report, pack, seconds))
                                    : printable(summary(output.report, pack, seconds, context.console.isVerbose));
  std::fputs(text.c_str(), stdout);
}

/// The phases after which there is IR to print.
std::vector<std::string> phasesWithIr() {
  std::vector<std::string> names;
  for (Phase phase : allPhases())
    if (phase < Phase::Encode)
      names.push_back(kimic::nameOf(phase));
  return names;
}

std::string phaseHelp() {
  std::string out = "Phases for --stop-after:\n";
  for (Phase phase : allPhases())
    if (phase < Phase::Encode)
      out += fmt::format("  {:<14}{}\n", kimic::nameOf(phase), descriptionOf(phase));
  return out +
         "\nWarnings go to stderr. The closing table lists the experts nearest to their limits first: bytes as f32, as\n"
         "parameter block and as stored, then the errors against the float original on rows that were not calibrated\n"
         "with. Each expert gets the cheapest precision that holds its accuracy budget; limits go before those of the\n"
         "manifest.";
}

} // namespace

void addCompile(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("compile", "Compile an expert set into a pack");
  auto arguments = std::make_shared<CompileArguments>();
  arguments->options.jobs = 0; // as many as processors
  command->add_option("MANIFEST", arguments->manifest, "The set's experts.json, or its folder")->required();
  command->add_option("-o,--output", arguments->output, "Pack to write; with --stop-after: IR to write, else stdout")
      ->type_name("FILE");
  command->add_flag("-f,--force", arguments->overwrites, "Replace an existing output file");
  command
      ->add_option("-j,--jobs", arguments->options.jobs,
                   "Threads (default: as many as processors); the bytes are the same")
      ->type_name("N");
  command->add_flag("--strict", arguments->isStrict, "Refuse networks outside of 1,000 to 100,000 parameters");
  manifest::AccuracyBudget &budget = arguments->options.budget;
  addLimit(*command, "--max-drop", budget.maxDrop, true, "Loss of accuracy on test data (default: 0.25%)");
  addLimit(*command, "--min-agreement", budget.minAgreement, true,
           "Rows with the same class as the float original (default: 99.7%)");
  addLimit(*command, "--max-nmse-rise", budget.maxNmseRise, true, "Regression: rise of the error (default: 1%)");
  addLimit(*command, "--max-error", budget.maxError, false, "Largest difference of any output (default: none)");
  addLimit(*command, "--min-sqnr", budget.minSqnrDb, false,
           "Signal to noise in dB (default: 38 where nothing else can be measured)");
  addLimit(*command, "--max-kl", budget.maxKl, false, "Router: KL divergence of its scores (default: 1e-5)");
  addLimit(*command, "--min-top-k-agreement", budget.minTopKAgreement, true,
           "Router: rows with the same experts (default: 99.9%)");
  command
      ->add_flag("--allow-loss,--no-gate", arguments->allowsLoss,
                 "Only warn when an expert misses its accuracy budget in every precision")
      ->group("Accuracy budget");
  command->add_option("--report", arguments->report, "Also write what was measured: .json or .html")
      ->type_name("FILE")
      ->check(CLI::Validator(
          [](std::string &path) {
            return isHtml(path) || std::string_view(path).ends_with(".json") ? "" : "expected a name in .json or .html";
          },
          ""));
  command->add_flag("--no-scale", arguments->ignoresScaling,
                    "Leave out the scaling parameters of networks that have some");
  auto *stop = command->add_option("--stop-after", arguments->stopAfter, "Stop after this phase and print its IR");
  stop->type_name("PHASE")->check(CLI::IsMember(phasesWithIr()).description(""));
  command->add_option("--emit", arguments->emit, "With --stop-after: what to print; mlir is all there is")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"mlir"}).description(""))
      ->needs(stop);
  command->add_option("--print-ir-tree", arguments->options.irTreeDir, "Write the IR after every phase to DIR/EXPERT/")
      ->type_name("DIR");
  command->footer(phaseHelp());
  addOutputOptions(*command, context);
  command->callback([arguments, &context] {
    if (arguments->output.empty() && arguments->stopAfter.empty())
      throw CLI::RequiredError("-o FILE");
    if (arguments->options.jobs > 1024)
      throw CLI::ValidationError("--jobs", "at most 1024 threads");
    context.run = [arguments, &context] { compile(*arguments, context); };
  });
}

} // namespace kimic::tool
