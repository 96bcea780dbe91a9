// The compiler as a library: an expert set in, a pack and a report out. No LLVM types.
//
// Everything here is a pure function of its arguments: the pack's bytes and the report do not depend on the number of
// threads, the time or the machine. Any number of compilations may run at once.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/manifest/ExpertSet.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic {

enum class Phase : std::uint8_t {
#define KIMIC_PHASE(enumerator, name, description) enumerator,
#include "compiler/include/kimic/Phases.def"
#undef KIMIC_PHASE
};

/// "import", "normalize" ...
const char *nameOf(Phase phase);
/// What there is after the phase, a line for people.
const char *descriptionOf(Phase phase);
std::optional<Phase> phaseNamed(std::string_view name);
/// All phases in order.
std::vector<Phase> allPhases();

/// What is done of what; called from one thread at a time, not necessarily the caller's.
struct Progress {
  enum class Step : std::uint8_t { Experts, Kernels, Pack } step = Step::Experts;
  std::size_t done = 0;
  std::size_t total = 0;
};

struct CompileOptions {
  unsigned jobs = 1; ///< threads; 0: as many as the machine has processors
  /// Stops after that phase: the output then has its IR instead of a pack. After Encode, as after Archive, there is no
  /// IR.
  std::optional<Phase> stopAfter = {};
  std::string irTreeDir = {}; ///< if not empty: IR after every phase is written to DIR/EXPERT/N-PHASE.mlir
  bool applyScaling = true;   ///< networks with scaling parameters take unscaled inputs and give unscaled outputs
  bool enforceBudgets = true; ///< an expert that misses its accuracy budget is an error, else a warning
  std::function<void(const Progress &)> progress = {};
  const std::atomic<bool> *cancelled = nullptr; ///< polled between experts and phases
};

/// Where the ranges of an expert come from.
enum class CalibrationSource : std::uint8_t {
  Data,       ///< the manifest's calibration data
  InputRange, ///< rows generated in the manifest's input range
  TestData,   ///< the inputs of the test data, as there is neither
  Assumed,    ///< rows generated in [-1, 1], as there is nothing
};
const char *nameOf(CalibrationSource source);

/// One compiled expert against its float original (fann::evaluate), on the test data if there is some, else on what it
/// was calibrated with.
struct ExpertReport {
  std::string id;
  std::string kernel; ///< quant::kernelName
  std::uint32_t kernelId = 0;
  std::uint32_t inputs = 0, outputs = 0;
  std::uint32_t layers = 0;      ///< of the compiled expert
  std::uint64_t parameters = 0;  ///< of the network: weights and biases
  std::uint64_t floatBytes = 0;  ///< 4 * parameters
  std::uint32_t blockBytes = 0;  ///< its parameter block: 8-bit weights, biases, scales
  std::uint32_t storedBytes = 0; ///< in the pack
  bool isCompressed = false;
  CalibrationSource calibration = CalibrationSource::Data;
  std::size_t calibrationRows = 0;
  bool onTestData = false; ///< what the following numbers were measured on
  std::size_t rows = 0;
  double maxError = 0;             ///< largest |compiled - float| of any output
  double meanError = 0;            ///< mean |compiled - float|
  double sqnrDb = 0;               ///< 10 log10(sum float^2 / sum (compiled - float)^2); infinite if equal
  std::optional<double> agreement; ///< classification: fraction of rows with the same class
  std::optional<double> floatAccuracy, compiledAccuracy; ///< classification, with targets: fraction of rows
  std::optional<double> floatMse, compiledMse;           ///< otherwise, with targets: mean squared error
  std::vector<std::string> warnings;
};

struct KernelReport {
  std::string name;
  std::uint32_t experts = 0; ///< that use it
  std::uint32_t parameterBytes = 0;
  std::uint32_t scratchBytes = 0;
};

struct ModuleReport {
  std::uint32_t group = 0;
  std::string variant; ///< "scalar", "simd128"
  std::uint32_t kernels = 0;
  std::uint32_t bytes = 0;
  std::uint32_t storedBytes = 0;
};

struct Report {
  std::string name;                  ///< of the set
  std::vector<ExpertReport> experts; ///< by expert id of the pack; the router's own network is the last
  bool hasRouter = false;
  std::vector<KernelReport> kernels; ///< by kernel id
  std::vector<ModuleReport> modules; ///< by group, then variant
  std::uint64_t floatBytes = 0;      ///< sums over the experts
  std::uint64_t blockBytes = 0;
  std::uint64_t storedBytes = 0; ///< of distinct data blocks
  std::uint64_t moduleBytes = 0; ///< stored, all variants
  std::uint64_t packBytes = 0;
  std::vector<std::string> warnings; ///< of the manifest
};

/// The report as JSON (numbers that are infinite as null), the same text for the same report. `indent` < 0: one line.
std::string toJson(const Report &report, int indent = 2);

struct CompileOutput {
  std::vector<std::uint8_t> pack; ///< empty if stopped earlier
  std::string ir;                 ///< with stopAfter: modules of all experts by id, separated by `// -----`
  Report report;                  ///< of all experts, as far as the phases have gone
};

/// Compiles `set`, which manifest::check() accepts. Errors: ExpertNotCompilable and AccuracyBudgetMissed (key: the
/// expert; the first by id), KernelRefused, CompilationCancelled, IrTreeNotWritable, and those of writing the pack.
Result<CompileOutput, Diagnostic> compile(const manifest::ExpertSet &set, const CompileOptions &options = {});

} // namespace kimic
