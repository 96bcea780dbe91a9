// kimic compile: an expert set into a pack, or a shard of it into a store. kimic merge: a pack out of a store.
#include "compiler/include/kimic/Compiler.h"

#include "compiler/Store/HttpStore.h"
#include "compiler/include/kimic/ExpertStore.h"
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
  std::string manifest, output, stopAfter, report, emit = "mlir", store;
  bool overwrites = false, isStrict = false, ignoresScaling = false, allowsLoss = false;
  bool isMerge = false;
  std::optional<std::uint32_t> shard; ///< of options.shards
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

/// The pack's file, which has its name only when the pack is whole.
class FileOutput : public PackOutput {
public:
  explicit FileOutput(std::string path) : path_(std::move(path)) {}

  Result<void, Diagnostic> append(std::span<const std::uint8_t> bytes) override {
    if (!file_) {
      KIMIC_ASSIGN(AtomicFile file, AtomicFile::create(path_));
      file_.emplace(std::move(file));
    }
    return file_->append({reinterpret_cast<const char *>(bytes.data()), bytes.size()});
  }
  Result<std::span<const std::uint8_t>, Diagnostic> written() override {
    KIMIC_ASSIGN(std::string_view bytes, file_->map());
    return std::span(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
  }
  /// REQUIRES: something was appended.
  Result<void, Diagnostic> commit(bool overwrites) { return file_->commit(overwrites); }

private:
  std::string path_;
  std::optional<AtomicFile> file_;
};

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
  std::string out =
      table({"expert", "in-out", ">parameters", ">kernel", ">f32 bytes", ">compiled", ">stored", ">bits/par",
             ">entropy", "why", "precision", ">max error", ">sqnr", ">agreement", "float -> compiled"},
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
  out += fmt::format("{}: {} bytes, {:.2f} s\n", pack.path, withCommas(pack.header.fileBytes()), seconds);
  return out;
}

/// "store: 12 experts reused, 3 compiled".
std::string storeLine(const Report &report, std::size_t reused) {
  return fmt::format("store: {} reused, {} compiled\n", counted(reused, "expert"),
                     withCommas(report.experts.size() - reused));
}

Json storeJson(const Report &report, std::size_t reused) {
  return {{"reused", reused}, {"compiled", report.experts.size() - reused}};
}

Json resultJson(const CompileOutput &output, const PackFile &pack, double seconds, bool hasStore) {
  const Report &report = output.report;
  ColdStart start = coldStartOf(pack);
  Json result = {{"schema", "kimic-compile/1"},
                 {"pack", pack.path},
                 {"bytes", pack.header.fileBytes()},
                 {"digest", hexOf(pack.digest)},
                 {"seconds", seconds},
                 {"cold_start", {{"requests", start.requests}, {"bytes", start.bytes}}}};
  if (hasStore)
    result["store"] = storeJson(report, output.reused);
  result["report"] = Json::parse(toJson(report, -1));
  return result;
}

Json shardJson(const CompileArguments &arguments, const CompileOutput &output, double seconds) {
  Json ids = Json::array();
  for (const ExpertReport &expert : output.report.experts)
    ids.push_back(expert.id);
  return {{"schema", "kimic-shard/1"},
          {"shard", *arguments.shard},
          {"shards", arguments.options.shards},
          {"store", storeJson(output.report, output.reused)},
          {"experts", ids},
          {"seconds", seconds}};
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

/// Reads the set; of what the store has, only the manifest's words.
manifest::ExpertSet readSet(const CompileArguments &arguments, ExpertStore *experts) {
  manifest::ReadOptions options;
  options.strict = arguments.isStrict;
  options.jobs = arguments.options.jobs;
  options.onlyFound = arguments.isMerge;
  if (experts && arguments.stopAfter.empty() && arguments.options.irTreeDir.empty())
    options.find = [experts](const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                             const manifest::FileDigests &files) { return experts->find(manifest, expert, files); };
  if (arguments.shard)
    options.wants = [&arguments](std::string_view id) {
      return shardOf(id, arguments.options.shards) == *arguments.shard;
    };
  return take(manifest::readManifest(arguments.manifest, options));
}

void compile(CompileArguments arguments, Context &context) {
  auto begin = std::chrono::steady_clock::now();
  auto secondsSince = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  if (!arguments.output.empty())
    checkOutput(arguments);
  CompileOptions &options = arguments.options;
  options.applyScaling = !arguments.ignoresScaling;
  options.enforceBudgets = !arguments.allowsLoss;
  options.cancelled = &interruptFlag();
  options.progress = [&context](const Progress &progress) { showProgress(context.console, progress); };
  if (!arguments.stopAfter.empty())
    options.stopAfter = phaseNamed(arguments.stopAfter);

  std::unique_ptr<store::Store> store;
  std::optional<ExpertStore> experts;
  if (!arguments.store.empty()) {
    store = take(store::openStore(arguments.store));
    options.experts = &experts.emplace(*store, options);
  }
  auto printStoreWarnings = [&] {
    for (const std::string &warning : store ? store->takeWarnings() : std::vector<std::string>{})
      context.console.warning(printable(warning));
  };

  manifest::ExpertSet set = readSet(arguments, options.experts);
  context.console.detail(set.file + ": " + counted(set.experts.size(), "expert") + (set.router ? " and a router" : ""));
  FileOutput file(arguments.output);
  auto compiled = arguments.shard ? compileShard(set, options) : kimic::compile(set, options, &file);
  context.console.clearProgress();
  printStoreWarnings();
  CompileOutput output = take(std::move(compiled));
  for (const std::string &warning : output.report.warnings)
    context.console.warning(warning);
  for (const ExpertReport &expert : output.report.experts)
    for (const std::string &warning : expert.warnings)
      context.console.warning(expert.id + ": " + warning);
  if (options.stopAfter)
    return emitIr(arguments, output);
  if (!arguments.report.empty())
    writeReport(arguments.report, output.report);
  if (arguments.shard) {
    std::string text =
        context.isJson ? pretty(shardJson(arguments, output, secondsSince()))
                       : fmt::format("shard {}/{}: {} in the store, {} of them compiled now, {:.2f} s\n",
                                     *arguments.shard, options.shards, counted(output.report.experts.size(), "expert"),
                                     withCommas(output.report.experts.size() - output.reused), secondsSince());
    std::fputs(text.c_str(), stdout);
    return;
  }

  // The pack is whole; from here on it is written even if Ctrl-C arrives, so that no half of it can remain.
  take(file.commit(arguments.overwrites));
  PackFile pack = openPackFile(arguments.output);
  std::string text;
  if (context.isJson)
    text = pretty(resultJson(output, pack, secondsSince(), store != nullptr));
  else {
    text = printable(summary(output.report, pack, secondsSince(), context.console.isVerbose));
    if (store)
      text += storeLine(output.report, output.reused);
  }
  std::fputs(text.c_str(), stdout);
}

/// "2/16": the third of sixteen shards.
void readShard(const std::string &text, CompileArguments &arguments) {
  constexpr std::uint32_t kMaxShards = 1u << 20;
  std::size_t slash = text.find('/');
  std::uint32_t shard = 0, shards = 0;
  bool isRight = slash != text.npos && CLI::detail::lexical_cast(text.substr(0, slash), shard) &&
                 CLI::detail::lexical_cast(text.substr(slash + 1), shards) && text[0] != '-' && text[slash + 1] != '-';
  if (!isRight || shards == 0 || shards > kMaxShards || shard >= shards)
    throw CLI::ValidationError("--shard", "\"" + text + "\" is not I/N with 0 <= I < N, such as 0/16 .. 15/16");
  arguments.shard = shard;
  arguments.options.shards = shards;
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
         "\nWarnings go to stderr. The closing table lists the experts nearest to their limits first: bytes as f32, "
         "as\n"
         "parameter block and as stored, then the errors against the float original on rows that were not calibrated\n"
         "with. Each expert gets the cheapest precision that holds its accuracy budget; limits go before those of the\n"
         "manifest.";
}

} // namespace

static void checkJobs(const CompileArguments &arguments) {
  if (arguments.options.jobs > 1024)
    throw CLI::ValidationError("--jobs", "at most 1024 threads");
}

/// What `compile` and `merge` have in common, which is all that decides about the bytes of the pack.
static std::shared_ptr<CompileArguments> addPackOptions(CLI::App *command) {
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
  command
      ->add_option("--trace", arguments->options.trace,
                   "Lay the pack out by this routing trace: JSON lines, or a folder of arrays")
      ->type_name("FILE|DIR");
  command->add_option("--report", arguments->report, "Also write what was measured: .json or .html")
      ->type_name("FILE")
      ->check(CLI::Validator(
          [](std::string &path) {
            return isHtml(path) || std::string_view(path).ends_with(".json") ? "" : "expected a name in .json or .html";
          },
          ""));
  command->add_flag("--no-scale", arguments->ignoresScaling,
                    "Leave out the scaling parameters of networks that have some");
  return arguments;
}

void addCompile(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("compile", "Compile an expert set into a pack");
  std::shared_ptr<CompileArguments> arguments = addPackOptions(command);
  auto *store = command->add_option("--cas", arguments->store,
                                    "Take experts that were compiled before from this store, and put the others there");
  store->type_name("DIR|URL")->group("Sharded builds");
  command
      ->add_option_function<std::string>(
          "--shard", [arguments](const std::string &text) { readShard(text, *arguments); },
          "Only compile the I-th of N parts of the set into the store, I from 0; `kimic merge` makes the pack")
      ->type_name("I/N")
      ->group("Sharded builds")
      ->needs(store);
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
    if (arguments->shard && (!arguments->output.empty() || !arguments->stopAfter.empty()))
      throw CLI::ValidationError("--shard",
                                 "goes neither with -o (`kimic merge` writes the pack) nor with --stop-after");
    if (arguments->output.empty() && arguments->stopAfter.empty() && !arguments->shard)
      throw CLI::RequiredError("-o FILE");
    checkJobs(*arguments);
    context.run = [arguments, &context] { compile(*arguments, context); };
  });
}

void addMerge(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("merge", "Make a pack of experts that shards have compiled into a store");
  std::shared_ptr<CompileArguments> arguments = addPackOptions(command);
  command->add_option("--cas", arguments->store, "The store that all shards of the set were compiled into")
      ->type_name("DIR|URL")
      ->required()
      ->group("Sharded builds");
  command
      ->add_option("--shards", arguments->options.shards,
                   "How many shards there are: if experts are missing, tell which shard owes them")
      ->type_name("N")
      ->check(CLI::Range(1u, 1u << 20).description(""))
      ->group("Sharded builds");
  command->footer("The bytes are those of `kimic compile` with the same options, whatever the number of shards.\n"
                  "Options that decide about them must be those that the shards were given. Experts that are missing\n"
                  "are not compiled, but named.");
  addOutputOptions(*command, context);
  command->callback([arguments, &context] {
    if (arguments->output.empty())
      throw CLI::RequiredError("-o FILE");
    checkJobs(*arguments);
    arguments->isMerge = true;
    context.run = [arguments, &context] { compile(*arguments, context); };
  });
}

} // namespace kimic::tool
