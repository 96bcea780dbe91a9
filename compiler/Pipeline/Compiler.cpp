// The facade: experts in parallel, then kernels, then the pack.
#include "kimic/Compiler.h"

#include "compiler/Pipeline/ExpertRecord.h"
#include "compiler/Pipeline/Gate.h"
#include "compiler/Pipeline/Measure.h"
#include "compiler/Pipeline/Pipeline.h"
#include "compiler/Pipeline/Report.h"
#include "compiler/Pipeline/Routing.h"
#include "compiler/Pipeline/Spill.h"
#include "compiler/Target/KernelModule.h"
#include "compiler/Transforms/Passes.h"
#include "formats/abi/KernelVerifier.h"
#include "formats/pack/DataEncoder.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/pack/PackWriter.h"
#include "formats/quant/KernelName.h"
#include "formats/quant/Layout.h"
#include "kimic/ExpertStore.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

namespace kimic {

namespace {

/// What an expert and the router look like to the compiler.
struct Job {
  std::string id;
  const manifest::NetworkEntry *entry = nullptr;
  const manifest::LoadedNetwork *loaded = nullptr;
  const manifest::Expert *expert = nullptr; ///< null for the router
  std::string path;                         ///< in the manifest, for errors
};

/// Calls work(i) for i < count on `jobs` threads. `work` returns false to stop everything.
template <class Work> void inParallel(unsigned jobs, std::size_t count, Work work) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stopped{false};
  auto run = [&] {
    while (!stopped) {
      std::size_t i = next++;
      if (i >= count)
        return;
      if (!work(i))
        stopped = true;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < std::min<std::size_t>(jobs, count); ++t)
    threads.emplace_back(run);
  run();
  for (std::thread &thread : threads)
    thread.join();
}

Matrix everyNth(const Matrix &rows, std::size_t most) {
  if (rows.rows <= most)
    return rows;
  Matrix out{most, rows.cols, {}};
  out.values.reserve(most * rows.cols);
  for (std::size_t i = 0; i < most; ++i) {
    auto row = rows.row(i * rows.rows / most);
    out.values.insert(out.values.end(), row.begin(), row.end());
  }
  return out;
}

constexpr std::size_t kGeneratedRows = 256;
/// Of fewer rows none is held out.
constexpr std::size_t kMinSplitRows = 8;

/// The rows of one expert: to calibrate with, and to measure with.
struct Rows {
  Matrix calibration;
  Matrix measured;
  std::optional<Matrix> targets; ///< of the measured rows
  MeasuredOn measuredOn = MeasuredOn::TestData;
};

/// One of each four rows in a row: which one looks random, but is always the same.
bool isHeldOut(std::size_t row) {
  std::uint64_t z = (row / 4 + 1) * 0x9E3779B97F4A7C15u; // SplitMix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return row % 4 == (z ^ (z >> 31)) >> 62;
}

Matrix rowsThat(const Matrix &rows, bool areHeldOut) {
  Matrix out{0, rows.cols, {}};
  for (std::size_t r = 0; r < rows.rows; ++r)
    if (isHeldOut(r) == areHeldOut) {
      out.values.insert(out.values.end(), rows.row(r).begin(), rows.row(r).end());
      ++out.rows;
    }
  return out;
}

/// As many rows to measure with as are worth their time.
std::size_t generatedTestRows(std::size_t inputs) {
  return std::clamp<std::size_t>((std::size_t{1} << 24) / inputs, kGeneratedRows, 1024);
}

/// Both kinds of rows, generated in `ranges`: one for all inputs, or one for each.
Rows generate(const std::vector<manifest::Interval> &ranges, std::size_t inputs) {
  std::vector<float> lo(inputs), hi(inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    const manifest::Interval &range = ranges[ranges.size() == 1 ? 0 : i];
    lo[i] = range.lo;
    hi[i] = range.hi;
  }
  Rows out;
  out.calibration = generateRows(lo, hi, kGeneratedRows + generatedTestRows(inputs));
  std::vector<float> &values = out.calibration.values;
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(kGeneratedRows * inputs);
  out.measured = {out.calibration.rows - kGeneratedRows, inputs, std::vector<float>(middle, values.end())};
  values.erase(middle, values.end());
  out.calibration.rows = kGeneratedRows;
  out.measuredOn = MeasuredOn::Generated;
  return out;
}

/// The ranges of the columns: lo == hi where one is constant.
std::vector<manifest::Interval> rangesOf(const Matrix &rows) {
  std::vector<manifest::Interval> out;
  for (std::size_t c = 0; c < rows.cols; ++c) {
    manifest::Interval &range = out.emplace_back(manifest::Interval{rows.row(0)[c], rows.row(0)[c]});
    for (std::size_t r = 0; r < rows.rows; ++r) {
      range.lo = std::min(range.lo, rows.row(r)[c]);
      range.hi = std::max(range.hi, rows.row(r)[c]);
    }
  }
  return out;
}

/// Three quarters of the only data to calibrate with, the rest to measure with. Too few: they are all for calibration.
Rows split(const Matrix &inputs, const Matrix *targets, ExpertReport &report) {
  Rows out;
  if (inputs.rows < kMinSplitRows) {
    out = generate(rangesOf(inputs), inputs.cols);
    out.calibration = inputs;
    report.warnings.push_back("there are too few rows to hold some out: measured on rows generated in their range");
    return out;
  }
  out.calibration = rowsThat(inputs, false);
  out.measured = rowsThat(inputs, true);
  if (targets)
    out.targets = rowsThat(*targets, true);
  out.measuredOn = MeasuredOn::HeldOut;
  return out;
}

/// The rows of an expert; calibration sees none of those that are measured.
Rows chooseRows(const Job &job, const manifest::LoadedNetwork &loaded, ExpertReport &report) {
  std::uint32_t inputs = loaded.network.numInputs;
  const Matrix *calibration = loaded.calibration && loaded.calibration->rows > 0 ? loaded.calibration.get() : nullptr;
  const FannData *test = loaded.test && loaded.test->inputs.rows > 0 ? loaded.test.get() : nullptr;
  Rows out;
  if (calibration && test && *calibration == test->inputs) {
    report.warnings.push_back("test data and calibration data are the same: calibrated with three quarters of them, "
                              "measured on the rest");
    out = split(test->inputs, &test->outputs, report);
  } else if (calibration && test) {
    out = {*calibration, test->inputs, test->outputs, MeasuredOn::TestData};
  } else if (calibration) {
    out = split(*calibration, nullptr, report);
  } else if (!job.entry->inputRange.empty()) {
    report.calibration = CalibrationSource::InputRange;
    out = generate(job.entry->inputRange, inputs);
    if (test)
      out = {std::move(out.calibration), test->inputs, test->outputs, MeasuredOn::TestData};
  } else if (test) {
    report.calibration = CalibrationSource::TestData;
    report.warnings.push_back("there is neither calibration data nor an input range: calibrated with three quarters of "
                              "the test data, measured on the rest");
    out = split(test->inputs, &test->outputs, report);
  } else {
    report.calibration = CalibrationSource::Assumed;
    report.warnings.push_back("there is no data and no input range: inputs are assumed to lie in [-1, 1], accuracy is "
                              "measured on generated rows");
    out = generate({{-1, 1}}, inputs);
  }
  out.calibration = everyNth(out.calibration, kMaxCalibrationRows);
  report.calibrationRows = out.calibration.rows;
  return out;
}

std::string number(const char *format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// A pack in memory.
class MemoryOutput : public PackOutput {
public:
  explicit MemoryOutput(std::vector<std::uint8_t> &bytes) : bytes_(bytes) {}
  Result<void, Diagnostic> append(std::span<const std::uint8_t> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<std::span<const std::uint8_t>, Diagnostic> written() override { return std::span<const std::uint8_t>(bytes_); }

private:
  std::vector<std::uint8_t> &bytes_;
};

class Compilation {
public:
  Compilation(const manifest::ExpertSet &set, const CompileOptions &options, PackOutput *packOutput = nullptr)
      : set(set), options(options), packOutput(packOutput) {
    jobs = options.jobs ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
    unseen.applyScaling = options.applyScaling;
    unseen.cancelled = options.cancelled;
  }

  Result<CompileOutput, Diagnostic> runShard() {
    isShard = true;
    listJobs();
    KIMIC_TRY(compileExperts());
    output.report.name = set.name;
    output.report.warnings = set.warnings;
    if (std::size_t count = options.experts->notStored()) {
      Diagnostic diagnostic = errorOf(ErrorId::ShardNotStored);
      diagnostic.found = std::to_string(count) + " of " + std::to_string(work.size());
      return diagnostic;
    }
    return std::move(output);
  }

  Result<CompileOutput, Diagnostic> run() {
    listJobs();
    KIMIC_TRY(refuseMissing());
    KIMIC_TRY(readTrace());
    KIMIC_TRY(compileExperts());
    output.report.name = set.name;
    output.report.hasRouter = set.router.has_value();
    output.report.warnings = set.warnings;
    if (stopsBeforeKernels()) {
      for (std::size_t id = 0; id < experts.size(); ++id)
        output.ir += (id ? "// -----\n" : "") + experts[id].ir;
      return std::move(output);
    }
    findKernels();
    if (!options.irTreeDir.empty() || options.stopAfter == Phase::Lower) {
      KIMIC_ASSIGN(std::string ir, lowerKernels(signatures));
      if (!options.irTreeDir.empty())
        KIMIC_TRY(writeIr(options.irTreeDir + "/kernels", "7-lower-simd128", ir));
      if (options.stopAfter == Phase::Lower) {
        output.ir = std::move(ir);
        return std::move(output);
      }
    }
    KIMIC_TRY(emitModules());
    if (options.stopAfter == Phase::Encode)
      return std::move(output);
    KIMIC_TRY(writePack());
    return std::move(output);
  }

private:
  const manifest::ExpertSet &set;
  const CompileOptions &options;
  PackOutput *packOutput; ///< null: output.pack
  CompileOptions unseen;  ///< of a try: its IR is shown to nobody
  unsigned jobs = 1;
  bool isShard = false; ///< only what is not left out
  std::atomic<std::size_t> reused{0};
  std::mutex progressLock;
  std::vector<Job> work;                    ///< by expert id
  std::vector<std::uint32_t> order;         ///< index into set.experts by expert id, without the router
  std::vector<std::uint32_t> idOf;          ///< expert id by index into set.experts
  cluster::Arrangement arrangement;         ///< of the listed experts; empty without a trace
  std::vector<CompiledExpert> experts;      ///< without their parameters
  Spill blocks;                             ///< the parameters, by expert id
  std::vector<quant::Signature> signatures; ///< by kernel id
  pack::PackDirectory directory;
  CompileOutput output;

  bool stopsBeforeKernels() const { return options.stopAfter && *options.stopAfter <= Phase::Outline; }
  bool writesPack() const { return !isShard && (!options.stopAfter || *options.stopAfter == Phase::Archive); }
  bool isCancelled() const { return options.cancelled && options.cancelled->load(); }

  Diagnostic errorOf(ErrorId id) const {
    Diagnostic diagnostic;
    diagnostic.id = id;
    diagnostic.file = set.file;
    return diagnostic;
  }

  Diagnostic errorOf(ErrorId id, const Error &cause) const {
    Diagnostic diagnostic = errorOf(id);
    diagnostic.found = message(cause);
    return diagnostic;
  }

  void report(Progress::Step step, std::size_t &done, std::size_t total) {
    std::lock_guard lock(progressLock);
    ++done;
    if (options.progress)
      options.progress({step, done, total});
  }

  /// Expert ids: the routed experts in the order of the router's outputs, the others, the router's own network.
  void listJobs() {
    std::vector<bool> isListed(set.experts.size());
    if (set.router)
      for (std::uint32_t index : set.router->experts) {
        order.push_back(index);
        isListed[index] = true;
      }
    for (std::uint32_t index = 0; index < set.experts.size(); ++index)
      if (!isListed[index])
        order.push_back(index);
    idOf.resize(set.experts.size());
    for (std::uint32_t id = 0; id < order.size(); ++id)
      idOf[order[id]] = id;
    for (std::uint32_t index : order) {
      const manifest::Expert &expert = set.experts[index];
      if (expert.isLeftOut && isShard)
        continue;
      work.push_back({expert.id, &expert, &expert, &expert, "experts[" + std::to_string(index) + "]"});
    }
    if (set.router && !(set.router->isLeftOut && isShard))
      work.push_back({std::string(manifest::kRouterId), &*set.router, &*set.router, nullptr, "router"});
  }

  Result<void, Diagnostic> compileExperts() {
    std::vector<std::optional<Diagnostic>> errors(work.size());
    experts.resize(work.size());
    output.report.experts.resize(work.size());
    std::size_t done = 0;
    inParallel(jobs, work.size(), [&](std::size_t id) {
      if (auto compiled = compileOne(work[id], output.report.experts[id]); compiled) {
        experts[id] = std::move(*compiled);
        std::vector<std::uint8_t> parameters = std::exchange(experts[id].parameters, {});
        if (writesPack())
          if (auto kept = blocks.put(static_cast<std::uint32_t>(id), std::move(parameters)); !kept)
            errors[id] = kept.error();
      } else {
        errors[id] = compiled.error();
      }
      report(Progress::Step::Experts, done, work.size());
      // All experts before a failed one have been started and are finished: the first error is always the same one.
      return !errors[id];
    });
    output.reused = reused;
    if (isCancelled())
      return errorOf(ErrorId::CompilationCancelled);
    for (const std::optional<Diagnostic> &error : errors)
      if (error)
        return *error;
    return {};
  }

  Result<void, Diagnostic> readTrace() {
    const std::string path = !options.trace.empty()        ? options.trace
                             : set.routingFile.isPresent() ? pathOf(set, set.routingFile)
                                                           : "";
    if (stopsBeforeKernels() || path.empty())
      return {};
    KIMIC_ASSIGN(arrangement, arrangementOf(set, order, path, options.cancelled));
    return {};
  }

  /// What a merge finds out first: experts that nobody has compiled yet.
  Result<void, Diagnostic> refuseMissing() {
    std::size_t missing = 0;
    std::string names;
    for (const Job &job : work) {
      if (!job.loaded->isLeftOut)
        continue;
      constexpr std::size_t kShown = 20;
      if (++missing > kShown)
        continue;
      names += (missing > 1 ? ", " : ": ") + job.id;
      if (options.shards)
        names +=
            " (shard " + std::to_string(shardOf(job.id, options.shards)) + "/" + std::to_string(options.shards) + ")";
      else if (missing == kShown)
        names += " ...";
    }
    if (!missing)
      return {};
    Diagnostic diagnostic = errorOf(ErrorId::StoreIncomplete);
    diagnostic.found = std::to_string(missing) + " of " + std::to_string(work.size()) + " missing" + names;
    diagnostic.expected = "those of every shard, compiled from the same files with the same options and compiler";
    return diagnostic;
  }

  MeasureOptions measureOptions(const Job &job) const {
    MeasureOptions out;
    out.applyScaling = options.applyScaling;
    if (job.expert) {
      out.task = job.expert->task;
      out.hasLabels = !job.expert->labels.empty();
      out.head = headOf(job);
    } else {
      out.topK = set.router->topK;
      out.routerHead = set.router->head;
      out.routerTemperature = set.router->temperature;
      out.routerBias = set.router->bias;
      out.routed = set.router->experts.size();
    }
    return out;
  }

  static Head headOf(const Job &job) { return job.expert ? Head{job.expert->head, job.expert->temperature} : Head{}; }

  /// What the command line says, then the expert, then the set.
  manifest::AccuracyBudget statedBudget(const Job &job) const {
    return options.budget.orElse(job.expert ? job.expert->accuracy.orElse(set.accuracy) : set.router->accuracy);
  }

  /// One try: compiles with `plan` and measures. Writes what it found into `report`, which is as if there had been no
  /// other try. Returns nothing if the precision cannot hold the expert's numbers at all.
  Result<std::optional<CompiledExpert>, Diagnostic> attempt(const Job &job, const fann::Network &network,
                                                            const Rows &rows, const Yardstick &yardstick,
                                                            Precision precision, const quantize::Plan &plan,
                                                            ExpertReport &report) {
    report.precision = precision;
    TryReport &entry = report.tries.emplace_back();
    entry.precision = precision;
    auto expert = compileExpert(job.id, network, rows.calibration, unseen, plan, headOf(job));
    if (!expert) {
      if (expert.error().id != ErrorId::ExpertNotCompilable || precision == Precision::Float32)
        return expert.error();
      entry.missed = expert.error().found;
      return std::optional<CompiledExpert>();
    }
    static_cast<Measurement &>(report) = measure(*expert, yardstick);
    report.budget = statedBudget(job).orElse(defaultBudget(report));
    auto tightest = tightestLimit(report.budget, report);
    entry.residualRows = residualRows(*expert);
    entry.blockBytes = static_cast<std::uint32_t>(expert->parameters.size());
    entry.sqnrDb = report.sqnrDb;
    if (tightest && tightest->isMissed())
      entry.missed = tightest->text();
    return std::optional(std::move(*expert));
  }

  /// The best of some tries: of those that hold the budget, the first that meets most of the wishes.
  struct Choice {
    std::optional<CompiledExpert> expert;
    Measurement measurement;
    Precision precision = Precision::Int8;
    std::size_t tryIndex = 0;
    unsigned wishes = 0; ///< that are met
  };

  /// Takes the latest try if it is better.
  static void consider(std::optional<CompiledExpert> expert, bool hasWishes, const ExpertReport &report,
                       Choice &choice) {
    if (!expert || !report.tries.back().missed.empty())
      return;
    unsigned wishes = hasWishes ? wishesMetBy(report) : kWishes;
    if (choice.expert && wishes <= choice.wishes)
      return;
    choice = {std::move(expert), report, report.precision, report.tries.size() - 1, wishes};
  }

  /// The cheapest precision that holds the budget, or the last one. Where nobody states a budget, a little more is
  /// spent for what is wished beside it.
  Result<CompiledExpert, Diagnostic> escalate(const Job &job, const fann::Network &network, const Rows &rows,
                                              const Yardstick &yardstick, ExpertReport &report) {
    Choice choice;
    bool hasWishes = statesNothing(statedBudget(job));
    KIMIC_ASSIGN(auto expert, attempt(job, network, rows, yardstick, Precision::Int8, {}, report));
    if (expert) {
      quantize::Quantized int8 = expert->quantized;
      double affordable = (1 + kWishCost) * report.tries.back().blockBytes;
      consider(std::move(expert), hasWishes, report, choice);
      // Second planes for the rows that make most of the noise per byte, more of them each time.
      for (std::size_t count : quantize::residualSteps(int8.rows.size())) {
        if (choice.expert && choice.wishes == kWishes)
          break;
        quantize::Plan plan{quant::WeightFormat::Int8Residual, quantize::noisiestRows(int8, count), false};
        KIMIC_ASSIGN(expert, attempt(job, network, rows, yardstick, Precision::Int8Residual, plan, report));
        if (choice.expert && (!expert || report.tries.back().blockBytes > affordable))
          break;
        consider(std::move(expert), hasWishes, report, choice);
        if (isCancelled())
          return errorOf(ErrorId::CompilationCancelled);
      }
      if (!choice.expert) {
        KIMIC_ASSIGN(expert, attempt(job, network, rows, yardstick, Precision::Int16,
                                     {quant::WeightFormat::Int8Residual, {}, true}, report));
        consider(std::move(expert), false, report, choice);
      }
    }
    if (!choice.expert) {
      KIMIC_ASSIGN(expert, attempt(job, network, rows, yardstick, Precision::Float32,
                                   {quant::WeightFormat::Float32, {}, false}, report));
      return std::move(*expert);
    }
    // Tries after the chosen one were for wishes that cost too much.
    report.tries.resize(choice.tryIndex + 1);
    static_cast<Measurement &>(report) = choice.measurement;
    report.precision = choice.precision;
    return std::move(*choice.expert);
  }

  static std::string reasonFor(const ExpertReport &report) {
    auto tightest = tightestLimit(report.budget, report);
    std::string limit = tightest ? tightest->text() : "no limit applies";
    if (!report.tries.back().missed.empty())
      return "no precision holds the budget: " + limit;
    if (report.tries.size() == 1)
      return "8 bits hold the budget: " + limit;
    const TryReport &before = report.tries[report.tries.size() - 2];
    std::string name(nameOf(before.precision));
    if (before.missed.empty())
      return name + " holds the budget, but a few second planes improve " + number("%.1f dB to ", before.sqnrDb) +
             number("%.1f dB: ", report.sqnrDb) + limit;
    return name + " misses it: " + before.missed + "; now " + limit;
  }

  Diagnostic budgetError(const Job &job, const ExpertReport &report) const {
    auto tightest = tightestLimit(report.budget, report);
    Diagnostic diagnostic = errorOf(ErrorId::AccuracyBudgetMissed);
    diagnostic.line = job.entry->line;
    diagnostic.key = job.path + ".accuracy." + tightest->key;
    diagnostic.found = number("%.6g", tightest->found) + " (" + job.id + " as " + nameOf(report.precision);
    if (!report.layerReports.empty()) {
      auto worst = std::min_element(report.layerReports.begin(), report.layerReports.end(),
                                    [](const auto &a, const auto &b) { return a.sqnrDb < b.sqnrDb; });
      diagnostic.found += "; worst in layer " + std::to_string(worst - report.layerReports.begin() + 1) + ", row " +
                          std::to_string(worst->worstRow) + " (" + number("%.1f dB", worst->worstRowSqnrDb) + ")";
    }
    diagnostic.found += "; largest error " + number("%.3g", report.maxError) + " on " + nameOf(report.measuredOn) +
                        " row " + std::to_string(report.maxErrorRow) + ")";
    diagnostic.expected = (tightest->isUpper ? "at most " : "at least ") + number("%.6g", tightest->allowed);
    return diagnostic;
  }

  Result<CompiledExpert, Diagnostic> compileOne(const Job &job, ExpertReport &report) {
    auto result = findOrCompile(job, report);
    report.id = job.id;
    if (!result && result.error().id == ErrorId::ExpertNotCompilable) {
      Diagnostic diagnostic = result.error();
      diagnostic.file = set.file;
      diagnostic.line = job.entry->line;
      return diagnostic;
    }
    if (result && !report.tries.empty() && !report.tries.back().missed.empty()) {
      Diagnostic missed = budgetError(job, report);
      if (options.enforceBudgets && !stopsBeforeKernels())
        return missed;
      report.warnings.push_back(missed.message());
    }
    return result;
  }

  /// Out of the store, or into it.
  Result<CompiledExpert, Diagnostic> findOrCompile(const Job &job, ExpertReport &report) {
    // Whoever wants to see the IR wants to see it made.
    bool usesStore = options.experts && !options.stopAfter && options.irTreeDir.empty();
    const std::optional<Digest> key = usesStore ? job.loaded->key : std::nullopt;
    if (key)
      if (auto record = options.experts->record(*key))
        if (auto parameters = options.experts->parameters(*key)) {
          report = record->report;
          ++reused;
          CompiledExpert expert;
          expert.signature = record->signature;
          expert.parameters = std::move(*parameters);
          return expert;
        }
    manifest::LoadedNetwork read;
    if (!job.loaded->isInMemory) {
      KIMIC_ASSIGN(read, manifest::loadNetwork(set, job.path, *job.entry));
      if (!job.entry->inputRange.empty() && job.entry->inputRange.size() != read.network.numInputs)
        return errorOf(ErrorId::ManifestCountMismatch); // the file has changed since it was checked
    }
    const manifest::LoadedNetwork &loaded = job.loaded->isInMemory ? *job.loaded : read;
    KIMIC_ASSIGN(CompiledExpert expert, compileMeasured(job, loaded, report));
    if (key && loaded.facts)
      options.experts->put(*key, {*loaded.facts, expert.signature, report}, expert.parameters);
    expert.layers = nullptr;
    expert.quantized = {};
    expert.plan = {};
    return expert;
  }

  Result<CompiledExpert, Diagnostic> compileMeasured(const Job &job, const manifest::LoadedNetwork &loaded,
                                                     ExpertReport &report) {
    const fann::Network &network = loaded.network;
    report.warnings = network.warnings;
    report.parameters = manifest::parameterCount(network);
    report.floatBytes = 4 * report.parameters;
    Rows rows = chooseRows(job, loaded, report);
    auto show = [&](const quantize::Plan &plan) {
      return compileExpert(job.id, network, rows.calibration, options, plan, headOf(job));
    };
    if (options.stopAfter && *options.stopAfter < Phase::Quantize)
      return show({}); // no precision makes a difference there

    Yardstick yardstick =
        makeYardstick(network, std::move(rows.measured), std::move(rows.targets), rows.measuredOn, measureOptions(job));
    KIMIC_ASSIGN(CompiledExpert expert, escalate(job, network, rows, yardstick, report));
    // What is shown is what is shipped.
    if (stopsBeforeKernels())
      return show(expert.plan);
    if (!options.irTreeDir.empty())
      KIMIC_TRY(show(expert.plan));
    measureInDetail(expert, yardstick, report);
    report.reason = reasonFor(report);
    report.inputs = expert.signature.inputs;
    report.outputs = expert.signature.outputs();
    report.layers = static_cast<std::uint32_t>(expert.signature.layers.size());
    report.kernel = quant::kernelName(expert.signature);
    report.blockBytes = static_cast<std::uint32_t>(expert.parameters.size());
    return expert;
  }

  /// Kernel ids: distinct signatures in order of first use, the router's first, because a pack is read from there on.
  /// With a trace, use is the order of the data.
  void findKernels() {
    std::map<std::vector<std::uint8_t>, std::uint32_t> ids;
    for (std::size_t i = 0; i < experts.size(); ++i) {
      const std::size_t listed = set.router ? i - 1 : i;
      const std::size_t id = set.router && i == 0        ? experts.size() - 1
                             : arrangement.order.empty() ? listed
                                                         : arrangement.order[listed];
      const quant::Signature &signature = experts[id].signature;
      auto [found, isNew] = ids.try_emplace(quant::encode(signature), static_cast<std::uint32_t>(signatures.size()));
      if (isNew) {
        signatures.push_back(signature);
        directory.signatures.push_back(found->first);
        auto layout = quant::layoutOf(signature);
        output.report.kernels.push_back(
            {quant::kernelName(signature), 0, layout->parameterBytes, layout->scratchBytes});
      }
      output.report.experts[id].kernelId = found->second;
      ++output.report.kernels[found->second].experts;
    }
  }

  static constexpr abi::Variant kVariants[] = {abi::Variant::Scalar, abi::Variant::Simd128};

  Result<void, Diagnostic> emitModules() {
    auto kernels = static_cast<std::uint32_t>(signatures.size());
    std::uint8_t variants = 0;
    for (abi::Variant variant : kVariants)
      variants |= static_cast<std::uint8_t>(1u << pack::variantIndex(variant));
    directory.groupLog2 = pack::smallestGroupLog2(static_cast<std::uint32_t>(experts.size()), kernels, variants);
    std::uint32_t perGroup = 1u << directory.groupLog2;
    std::size_t groups = (kernels + perGroup - 1) / perGroup, count = groups * std::size(kVariants);
    for (abi::Variant variant : kVariants)
      directory.modules[pack::variantIndex(variant)].resize(groups);
    output.report.modules.resize(count);
    std::vector<std::optional<Diagnostic>> errors(count);
    std::size_t done = 0;
    inParallel(jobs, count, [&](std::size_t i) {
      if (isCancelled())
        return false;
      std::size_t group = i / std::size(kVariants);
      abi::Variant variant = kVariants[i % std::size(kVariants)];
      auto members =
          std::span(signatures).subspan(group * perGroup, std::min<std::size_t>(perGroup, kernels - group * perGroup));
      auto module = emitKernelModule(members, variant);
      if (!module)
        errors[i] = module.error();
      else if (auto valid = abi::verifyKernelModule(*module, static_cast<std::uint32_t>(members.size()), variant);
               !valid)
        errors[i] = errorOf(ErrorId::KernelRefused, valid.error());
      else {
        ModuleReport &entry = output.report.modules[i];
        entry.group = static_cast<std::uint32_t>(group);
        entry.variant = abi::nameOf(variant);
        entry.kernels = static_cast<std::uint32_t>(members.size());
        entry.bytes = static_cast<std::uint32_t>(module->size());
        directory.modules[pack::variantIndex(variant)][group] = std::move(*module);
      }
      report(Progress::Step::Kernels, done, count);
      return !errors[i];
    });
    if (isCancelled())
      return errorOf(ErrorId::CompilationCancelled);
    for (const std::optional<Diagnostic> &error : errors)
      if (error)
        return *error;
    return {};
  }

  /// What experts read. check() has made their sources ranges.
  void addPlan() {
    static_assert(manifest::kMaxNeeds == pack::kMaxNeeds && manifest::kMaxSources == pack::kMaxSources &&
                  manifest::kMaxPlanLevel == pack::kMaxPlanLevel);
    for (std::uint32_t id = 0; id < order.size(); ++id) {
      const std::vector<manifest::Source> &reads = set.experts[order[id]].reads;
      pack::PackDirectory::Expert &entry = directory.experts[id];
      entry.firstSource = static_cast<std::uint32_t>(directory.sources.size());
      entry.sourceCount = static_cast<std::uint32_t>(reads.size());
      for (const manifest::Source &source : reads)
        directory.sources.push_back(
            {source.expert ? idOf[*source.expert] : pack::kNoExpert, source.first, source.count});
    }
    directory.features = directory.sources.empty() ? 0 : set.features;
  }

  Result<void, Diagnostic> writePack() {
    KIMIC_ASSIGN(directory.meta, packMetadata(set, order, idOf, output.report));
    const auto listed = static_cast<std::uint32_t>(order.size());
    Spill stored;                    // encoded blocks
    std::optional<Diagnostic> cause; // of an error inside of the writer
    auto readFrom = [&](const Spill &spill, std::uint32_t number, std::vector<std::uint8_t> &bytes) -> Result<void> {
      if (isCancelled()) {
        cause = errorOf(ErrorId::CompilationCancelled);
        return makeError(ErrorId::CompilationCancelled);
      }
      auto read = spill.get(number);
      if (!read) {
        cause = read.error();
        return makeError(ErrorId::FileUnreadable);
      }
      bytes = std::move(*read);
      return {};
    };
    pack::DataEncoder encoder(
        [&](std::uint32_t id, std::vector<std::uint8_t> &raw) { return readFrom(blocks, id, raw); });
    auto refused = [&](const Error &error) { return cause ? *cause : errorOf(ErrorId::PackNotWritable, error); };

    struct Ahead {
      std::vector<std::uint8_t> raw;
      pack::EncodedData data;
      std::optional<Diagnostic> error;
    };
    constexpr std::uint32_t kAhead = 64; // blocks in memory
    std::vector<Ahead> ahead(std::min(kAhead, listed));
    auto encodeAhead = [&](std::uint32_t first) {
      inParallel(jobs, std::min(kAhead, listed - first), [&](std::size_t i) {
        Ahead &entry = ahead[i] = {};
        auto raw = blocks.get(first + static_cast<std::uint32_t>(i));
        if (!raw) {
          entry.error = raw.error();
        } else if (auto data = encoder.encodeAlone(*raw); !data) {
          entry.error = errorOf(ErrorId::PackNotWritable, data.error());
        } else {
          entry.raw = std::move(*raw);
          entry.data = std::move(*data);
        }
        return !entry.error;
      });
    };

    std::uint32_t blockCount = 0;
    for (std::uint32_t id = 0; id < listed; ++id) {
      if (isCancelled())
        return errorOf(ErrorId::CompilationCancelled);
      if (id % kAhead == 0)
        encodeAhead(id);
      auto &[raw, data, error] = ahead[id % kAhead];
      if (error)
        return *error;
      pack::PackDirectory::Expert &entry = directory.experts.emplace_back();
      entry.kernel = output.report.experts[id].kernelId;
      entry.domain = work[id].expert->domain;
      entry.confidenceThreshold = work[id].expert->confidenceThreshold;
      entry.firstNext = static_cast<std::uint32_t>(directory.next.size());
      if (id < arrangement.next.size())
        for (const cluster::Next &next : arrangement.next[id])
          directory.next.push_back({next.expert, next.chance});
      entry.nextCount = static_cast<std::uint32_t>(directory.next.size()) - entry.firstNext;
      std::vector<std::uint8_t> bytes;
      auto isNew = encoder.add(entry.kernel, raw, std::move(data), bytes);
      if (!isNew)
        return refused(isNew.error());
      if (*isNew)
        KIMIC_TRY(stored.put(blockCount++, std::move(bytes)));
      reportSizes(id, encoder.blockOf(id), raw);
    }
    addPlan();
    if (set.router)
      KIMIC_TRY(addRouter());
    auto numbers = encoder.place(arrangement.order, directory);
    if (!numbers)
      return refused(numbers.error());
    for (const pack::DataBlock &block : directory.blocks)
      output.report.storedBytes += block.storedLength;

    MemoryOutput inMemory(output.pack);
    PackOutput &to = packOutput ? *packOutput : inMemory;
    auto header = pack::writePack(
        directory,
        [&](std::uint32_t block, std::vector<std::uint8_t> &bytes) {
          return readFrom(stored, (*numbers)[block], bytes);
        },
        [&](std::span<const std::uint8_t> bytes) -> Result<void> {
          auto appended = to.append(bytes);
          if (appended)
            return {};
          cause = appended.error();
          return makeError(ErrorId::FileNotWritten);
        });
    if (!header)
      return refused(header.error());
    KIMIC_ASSIGN(std::span<const std::uint8_t> file, to.written());
    if (auto valid = pack::verifyPack(file); !valid)
      return errorOf(ErrorId::KernelRefused, valid.error());
    output.report.packBytes = file.size();
    if (auto sizes = reportModules(*header, file); !sizes)
      return errorOf(ErrorId::KernelRefused, sizes.error());
    std::size_t done = 0;
    report(Progress::Step::Pack, done, 1);
    return {};
  }

  Result<void, Diagnostic> addRouter() {
    const manifest::Router &router = *set.router;
    const auto id = static_cast<std::uint32_t>(order.size());
    pack::Router &entry = directory.router.emplace();
    entry.routed = static_cast<std::uint32_t>(router.experts.size());
    entry.head = static_cast<pack::Head>(router.head);
    entry.strategy = static_cast<pack::Strategy>(router.strategy);
    entry.merge = static_cast<pack::Merge>(router.merge);
    entry.topK = router.topK;
    entry.temperature = router.temperature;
    entry.minVotes = router.minVotes;
    entry.scale = router.scale;
    entry.isNormalised = router.isNormalised;
    if (router.fallback)
      entry.fallback = idOf[*router.fallback];
    // As pack-v1 §4 orders them. A threshold for all experts is in the record.
    KIMIC_ASSIGN(std::vector<std::uint8_t> block, blocks.get(id));
    auto addColumn = [&](const std::vector<float> &column) {
      auto *bytes = reinterpret_cast<const std::uint8_t *>(column.data());
      block.insert(block.end(), bytes, bytes + column.size() * sizeof(float));
      return !column.empty();
    };
    entry.hasBias = addColumn(router.bias);
    entry.hasWeights = addColumn(router.mergeWeights);
    if (router.thresholds.size() == 1)
      entry.threshold = router.thresholds[0];
    else
      entry.hasThresholds = addColumn(router.thresholds);
    directory.routerExpert.kernel = output.report.experts[id].kernelId;
    auto data = pack::encodeData(block);
    if (!data)
      return errorOf(ErrorId::PackNotWritable, data.error());
    directory.routerData = std::move(*data);
    reportSizes(id, directory.routerData.block, block);
    output.report.storedBytes += directory.routerData.block.storedLength;
    return {};
  }

  void reportSizes(std::uint32_t id, const pack::DataBlock &block, std::span<const std::uint8_t> raw) {
    ExpertReport &expert = output.report.experts[id];
    expert.blockBytes = static_cast<std::uint32_t>(raw.size()); // with the columns of the router
    expert.storedBytes = block.storedLength;
    expert.codec = pack::nameOf(block.codec);
    expert.codecReason = pack::reasonFor(block, raw);
    if (block.codec == pack::Codec::Delta)
      expert.base = output.report.experts[block.base].id;
    expert.entropyBits = pack::entropyOf(raw);
    output.report.floatBytes += expert.floatBytes;
    output.report.blockBytes += expert.blockBytes;
  }

  Result<void> reportModules(const pack::Header &header, std::span<const std::uint8_t> file) {
    KIMIC_ASSIGN(pack::Root root, pack::parseRoot(header, file.subspan(header.root.offset, header.root.length)));
    for (ModuleReport &module : output.report.modules) {
      abi::Variant variant =
          module.variant == abi::nameOf(abi::Variant::Scalar) ? abi::Variant::Scalar : abi::Variant::Simd128;
      module.storedBytes = root.groups[module.group].module(variant).storedLength;
      output.report.moduleBytes += module.storedBytes;
    }
    return {};
  }
};

} // namespace

Result<CompileOutput, Diagnostic> compile(const manifest::ExpertSet &set, const CompileOptions &options,
                                          PackOutput *output) {
  return Compilation(set, options, output).run();
}

Result<CompileOutput, Diagnostic> compileShard(const manifest::ExpertSet &set, const CompileOptions &options) {
  return Compilation(set, options).runShard();
}

} // namespace kimic
