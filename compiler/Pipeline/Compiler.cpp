// The facade: experts in parallel, then kernels, then the pack.
#include "kimic/Compiler.h"

#include "compiler/Pipeline/Measure.h"
#include "compiler/Pipeline/Pipeline.h"
#include "compiler/Pipeline/Report.h"
#include "compiler/Target/KernelModule.h"
#include "compiler/Transforms/Passes.h"
#include "formats/abi/KernelVerifier.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/pack/PackWriter.h"
#include "formats/quant/KernelName.h"
#include "formats/quant/Layout.h"

#include <algorithm>
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

/// The rows to calibrate with, and where they come from.
Matrix calibrationRows(const Job &job, ExpertReport &report) {
  std::uint32_t inputs = job.loaded->network.numInputs;
  auto generate = [&](const std::vector<manifest::Interval> &ranges) {
    std::vector<float> lo(inputs), hi(inputs);
    for (std::uint32_t i = 0; i < inputs; ++i) {
      const manifest::Interval &range = ranges[ranges.size() == 1 ? 0 : i];
      lo[i] = range.lo;
      hi[i] = range.hi;
    }
    return generateRows(lo, hi, kGeneratedRows);
  };
  const manifest::LoadedNetwork &loaded = *job.loaded;
  if (loaded.calibration && loaded.calibration->rows > 0)
    return everyNth(*loaded.calibration, kMaxCalibrationRows);
  if (!job.entry->inputRange.empty()) {
    report.calibration = CalibrationSource::InputRange;
    return generate(job.entry->inputRange);
  }
  if (loaded.test && loaded.test->inputs.rows > 0) {
    report.calibration = CalibrationSource::TestData;
    report.warnings.push_back("there is neither calibration data nor an input range: calibrated with the test data");
    return everyNth(loaded.test->inputs, kMaxCalibrationRows);
  }
  report.calibration = CalibrationSource::Assumed;
  report.warnings.push_back("there is no data and no input range: inputs are assumed to lie in [-1, 1]");
  return generate({{-1, 1}});
}

Diagnostic budgetError(const Job &job, const std::string &file, const char *limit, double found, double allowed,
                       bool isUpperLimit) {
  Diagnostic diagnostic;
  diagnostic.id = ErrorId::AccuracyBudgetMissed;
  diagnostic.file = file;
  diagnostic.line = job.entry->line;
  diagnostic.key = job.path + ".accuracy." + limit;
  auto text = [](double number) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6g", number);
    return std::string(digits);
  };
  diagnostic.found = text(found) + " (" + job.expert->id + ")";
  diagnostic.expected = (isUpperLimit ? "at most " : "at least ") + text(allowed);
  return diagnostic;
}

/// The first limit of the budget that the expert misses.
std::optional<Diagnostic> missedBudget(const Job &job, const std::string &file, const ExpertReport &report) {
  if (!job.expert)
    return std::nullopt;
  const manifest::AccuracyBudget &budget = job.expert->accuracy;
  if (budget.maxError && !(report.maxError <= *budget.maxError))
    return budgetError(job, file, "max_error", report.maxError, *budget.maxError, true);
  if (budget.minSqnrDb && !(report.sqnrDb >= *budget.minSqnrDb))
    return budgetError(job, file, "min_sqnr_db", report.sqnrDb, *budget.minSqnrDb, false);
  if (budget.minAgreement && report.agreement && *report.agreement < *budget.minAgreement)
    return budgetError(job, file, "min_agreement", *report.agreement, *budget.minAgreement, false);
  if (budget.maxDrop && report.floatAccuracy && *report.floatAccuracy - *report.compiledAccuracy > *budget.maxDrop)
    return budgetError(job, file, "max_drop", *report.floatAccuracy - *report.compiledAccuracy, *budget.maxDrop, true);
  return std::nullopt;
}

class Compilation {
public:
  Compilation(const manifest::ExpertSet &set, const CompileOptions &options) : set(set), options(options) {
    jobs = options.jobs ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
  }

  Result<CompileOutput, Diagnostic> run() {
    listJobs();
    KIMIC_TRY(compileExperts());
    output.report.name = set.name;
    output.report.hasRouter = set.router.has_value();
    output.report.warnings = set.warnings;
    if (options.stopAfter && *options.stopAfter <= Phase::Outline) {
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
  unsigned jobs = 1;
  std::mutex progressLock;
  std::vector<Job> work;            ///< by expert id
  std::vector<std::uint32_t> order; ///< index into set.experts by expert id, without the router
  std::vector<CompiledExpert> experts;
  std::vector<quant::Signature> signatures; ///< by kernel id
  pack::PackContents contents;
  CompileOutput output;

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
    for (std::uint32_t index : order) {
      const manifest::Expert &expert = set.experts[index];
      work.push_back({expert.id, &expert, &expert, &expert, "experts[" + std::to_string(index) + "]"});
    }
    if (set.router)
      work.push_back({std::string(manifest::kRouterId), &*set.router, &*set.router, nullptr, "router"});
  }

  Result<void, Diagnostic> compileExperts() {
    std::vector<std::optional<Diagnostic>> errors(work.size());
    experts.resize(work.size());
    output.report.experts.resize(work.size());
    std::size_t done = 0;
    inParallel(jobs, work.size(), [&](std::size_t id) {
      if (auto compiled = compileOne(work[id], output.report.experts[id]); compiled)
        experts[id] = std::move(*compiled);
      else
        errors[id] = compiled.error();
      report(Progress::Step::Experts, done, work.size());
      // All experts before a failed one have been started and are finished: the first error is always the same one.
      return !errors[id];
    });
    if (isCancelled())
      return errorOf(ErrorId::CompilationCancelled);
    for (const std::optional<Diagnostic> &error : errors)
      if (error)
        return *error;
    return {};
  }

  Result<CompiledExpert, Diagnostic> compileOne(const Job &job, ExpertReport &report) {
    const fann::Network &network = job.loaded->network;
    report.id = job.id;
    report.warnings = network.warnings;
    Matrix calibration = calibrationRows(job, report);
    report.calibrationRows = calibration.rows;
    auto expert = compileExpert(job.id, network, calibration, options);
    if (!expert) {
      Diagnostic diagnostic = expert.error();
      if (diagnostic.id == ErrorId::ExpertNotCompilable) {
        diagnostic.file = set.file;
        diagnostic.line = job.entry->line;
      }
      return diagnostic;
    }
    report.parameters = manifest::parameterCount(network);
    report.floatBytes = 4 * report.parameters;
    if (options.stopAfter && *options.stopAfter <= Phase::Outline)
      return expert;

    report.inputs = expert->signature.inputs;
    report.outputs = expert->signature.outputs();
    report.layers = static_cast<std::uint32_t>(expert->signature.layers.size());
    report.kernel = quant::kernelName(expert->signature);
    report.blockBytes = static_cast<std::uint32_t>(expert->parameters.size());
    const FannData *test = job.loaded->test.get();
    report.onTestData = test && test->inputs.rows > 0;
    measure(*expert,
            {network, report.onTestData ? test->inputs : calibration, report.onTestData ? &test->outputs : nullptr,
             job.expert ? job.expert->task : manifest::Task::Classification, job.expert && !job.expert->labels.empty(),
             options.applyScaling},
            report);
    if (auto missed = missedBudget(job, set.file, report)) {
      if (options.enforceBudgets)
        return *missed;
      report.warnings.push_back(missed->message());
    }
    return expert;
  }

  /// Kernel ids: distinct signatures in order of first use.
  void findKernels() {
    std::map<std::vector<std::uint8_t>, std::uint32_t> ids;
    for (std::size_t id = 0; id < experts.size(); ++id) {
      const quant::Signature &signature = experts[id].signature;
      auto [found, isNew] = ids.try_emplace(quant::encode(signature), static_cast<std::uint32_t>(signatures.size()));
      if (isNew) {
        signatures.push_back(signature);
        contents.signatures.push_back(found->first);
        auto layout = quant::layoutOf(signature);
        output.report.kernels.push_back(
            {quant::kernelName(signature), 0, layout->parameterBytes, layout->scratchBytes});
      }
      output.report.experts[id].kernelId = found->second;
      ++output.report.kernels[found->second].experts;
    }
  }

  static constexpr abi::Variant kVariants[] = {abi::Variant::Scalar, abi::Variant::Simd128};

  /// The smallest groups whose rows fit the root, beside those of the leaves (pack-v1, "Root").
  std::uint8_t groupLog2() const {
    std::size_t leafRows = (experts.size() >> pack::kMinLeafLog2) + 1;
    std::size_t room = pack::kFirstReadBytes - pack::kHeaderBytes - pack::kRootFixedBytes;
    for (std::uint8_t log2 = pack::kMinGroupLog2; log2 < pack::kMaxGroupLog2; ++log2) {
      std::size_t groupRows = ((signatures.size() >> log2) + 1) * (1 + std::size(kVariants));
      if ((leafRows + groupRows) * pack::kBlockRowBytes <= room)
        return log2;
    }
    return pack::kMaxGroupLog2;
  }

  Result<void, Diagnostic> emitModules() {
    auto kernels = static_cast<std::uint32_t>(signatures.size());
    contents.groupLog2 = groupLog2();
    std::uint32_t perGroup = 1u << contents.groupLog2;
    std::size_t groups = (kernels + perGroup - 1) / perGroup, count = groups * std::size(kVariants);
    for (abi::Variant variant : kVariants)
      contents.modules[pack::variantIndex(variant)].resize(groups);
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
        contents.modules[pack::variantIndex(variant)][group] = std::move(*module);
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

  Result<void, Diagnostic> writePack() {
    KIMIC_ASSIGN(contents.meta, packMetadata(set, order, output.report));
    for (std::size_t id = 0; id < experts.size(); ++id) {
      pack::PackContents::Expert &entry = contents.experts.emplace_back();
      entry.kernel = output.report.experts[id].kernelId;
      if (const manifest::Expert *expert = work[id].expert) {
        entry.domain = expert->domain;
        entry.confidenceThreshold = expert->confidenceThreshold;
      }
      entry.parameters = std::move(experts[id].parameters);
    }
    if (const auto &router = set.router) {
      pack::Router &entry = contents.router.emplace();
      entry.expert = static_cast<std::uint32_t>(experts.size() - 1);
      entry.routed = static_cast<std::uint32_t>(router->experts.size());
      entry.head = static_cast<pack::Head>(router->head);
      entry.strategy = static_cast<pack::Strategy>(router->strategy);
      entry.merge = static_cast<pack::Merge>(router->merge);
      entry.topK = router->topK;
      entry.temperature = router->temperature;
    }
    auto bytes = pack::writePack(contents);
    if (!bytes)
      return errorOf(ErrorId::PackNotWritable, bytes.error());
    output.pack = std::move(*bytes);
    if (auto valid = pack::verifyPack(output.pack); !valid)
      return errorOf(ErrorId::KernelRefused, valid.error());
    if (auto sizes = readSizes(); !sizes)
      return errorOf(ErrorId::KernelRefused, sizes.error());
    std::size_t done = 0;
    report(Progress::Step::Pack, done, 1);
    return {};
  }

  /// What the written pack says about stored sizes.
  Result<void> readSizes() {
    std::span<const std::uint8_t> file = output.pack;
    Report &report = output.report;
    KIMIC_ASSIGN(pack::Header header, pack::parseHeader(file));
    KIMIC_ASSIGN(pack::Root root, pack::parseRoot(header, file.subspan(header.root.offset, header.root.length)));
    report.packBytes = file.size();
    std::map<std::uint64_t, std::uint32_t> distinct; // stored length by offset
    for (std::uint32_t leaf = 0; leaf < root.leaves.size(); ++leaf) {
      const pack::BlockRef &block = root.leaves[leaf];
      std::vector<std::uint8_t> raw(block.rawLength);
      KIMIC_TRY(pack::decodeBlock(block, file.subspan(block.offset, block.storedLength), raw));
      KIMIC_ASSIGN(pack::Leaf entries, pack::parseLeaf(header, leaf, raw));
      for (std::uint32_t i = 0; i < entries.size(); ++i) {
        const pack::BlockRef &data = entries[i].data;
        ExpertReport &expert = report.experts[header.firstExpert(leaf) + i];
        expert.storedBytes = data.storedLength;
        expert.isCompressed = data.codec != pack::Codec::Stored;
        distinct[data.offset] = data.storedLength;
        report.floatBytes += expert.floatBytes;
        report.blockBytes += expert.blockBytes;
      }
    }
    for (auto [offset, length] : distinct)
      report.storedBytes += length;
    for (ModuleReport &module : report.modules) {
      abi::Variant variant =
          module.variant == abi::nameOf(abi::Variant::Scalar) ? abi::Variant::Scalar : abi::Variant::Simd128;
      module.storedBytes = root.groups[module.group].module(variant).storedLength;
      report.moduleBytes += module.storedBytes;
    }
    return {};
  }
};

} // namespace

Result<CompileOutput, Diagnostic> compile(const manifest::ExpertSet &set, const CompileOptions &options) {
  return Compilation(set, options).run();
}

} // namespace kimic
