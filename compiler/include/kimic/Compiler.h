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
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kimic {

class ExpertStore;

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
  manifest::AccuracyBudget budget = {}; ///< goes before what the manifest says
  bool enforceBudgets = true; ///< an expert that misses its accuracy budget in every precision is an error, else a
                              ///< warning
  /// If not null: experts that the set's reader has found there (manifest::ReadOptions::find) are not compiled, others
  /// are put there. Experts that it has left out are an error, StoreIncomplete.
  ExpertStore *experts = nullptr;
  std::uint32_t shards = 0; ///< for that error: how many there are, so that it can tell which one owes an expert
  /// If not empty: a routing trace (formats/spec/traces-v1.md) in place of the set's own.
  std::string trace = {};
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

/// The rows that an expert was measured with; never those that it was calibrated with.
enum class MeasuredOn : std::uint8_t {
  TestData,  ///< the manifest's test data
  HeldOut,   ///< a quarter of the only data, which calibration did not see
  Generated, ///< generated in the range of the calibration rows
};
const char *nameOf(MeasuredOn rows);

/// How an expert's weights are stored, cheapest first (docs/accuracy.md).
enum class Precision : std::uint8_t {
  Int8,         ///< 8 bits each
  Int8Residual, ///< 8 bits each, 16 in the rows that need them
  Int16,        ///< two times 8 bits each
  Float32,      ///< 32 bits each, and so are the values between layers
};
/// "int8", "int8+residual", "int16", "float32".
const char *nameOf(Precision precision);

/// From lo to hi lies the true value in 95 of 100 cases.
struct ConfidenceInterval {
  double lo = 0, hi = 0;
};

/// A float original and its compiled expert, side by side. What does not apply is absent.
struct Measurement {
  MeasuredOn measuredOn = MeasuredOn::TestData;
  std::size_t rows = 0;
  double maxError = 0;             ///< largest |compiled - float| of any output
  std::size_t maxErrorRow = 0;     ///< the row that has it
  double meanError = 0;            ///< mean |compiled - float|
  double sqnrDb = 0;               ///< 10 log10(sum float^2 / sum (compiled - float)^2); infinite if equal
  double cosine = 1;               ///< of all float and all compiled outputs as two vectors
  std::optional<double> agreement; ///< classification: fraction of rows with the same class
  std::optional<double> floatAccuracy, compiledAccuracy; ///< classification, with targets: fraction of rows
  std::optional<ConfidenceInterval> accuracyChange;      ///< of compiled minus float accuracy, by paired bootstrap
  std::optional<double> floatMse, compiledMse;           ///< otherwise, with targets: mean squared error
  std::optional<double> floatNmse, compiledNmse;         ///< the same by the variance of the targets
  std::optional<double> kl;                              ///< router: mean KL divergence of scores, in nats
  std::optional<double> top1Agreement, topKAgreement;    ///< router: fraction of rows with the same choice
};

/// One precision that was tried.
struct TryReport {
  Precision precision = Precision::Int8;
  std::uint32_t residualRows = 0; ///< rows of weights with a second plane
  std::uint32_t blockBytes = 0;
  double sqnrDb = 0;
  std::string missed; ///< the limit that it misses, or empty
};

/// A layer of the compiled expert. Values are those between layers, in the units of the float original.
struct LayerReport {
  std::uint32_t inputs = 0, outputs = 0;
  std::string functions;                 ///< "sigmoid x 8, linear x 2"
  std::uint32_t residualRows = 0;        ///< rows of weights with a second plane
  std::uint64_t weightBytes = 0;         ///< its weights and biases in the parameter block
  double sqnrDb = 0;                     ///< of the layer's values, with all earlier layers compiled too
  std::optional<double> predictedSqnrDb; ///< by the noise model
  double maxError = 0;
  double cosine = 1;
  std::uint32_t worstRow = 0; ///< the row of weights (neuron) whose values have the most noise for their signal
  double worstRowSqnrDb = 0;
};

/// Rows whose largest score falls into one tenth of 0..1.
struct ReliabilityBin {
  std::size_t rows = 0;
  double confidence = 0; ///< mean largest score
  double correct = 0;    ///< fraction of rows with the right choice: the target's, without targets the float original's
};

struct ScatterPoint {
  float original, compiled;
};

/// One compiled expert against its float original (fann::evaluate and the head).
struct ExpertReport : Measurement {
  std::string id;
  std::string kernel; ///< quant::kernelName
  std::uint32_t kernelId = 0;
  std::uint32_t inputs = 0, outputs = 0;
  std::uint32_t layers = 0;      ///< of the compiled expert
  std::uint64_t parameters = 0;  ///< of the network: weights and biases
  std::uint64_t floatBytes = 0;  ///< 4 * parameters
  std::uint32_t blockBytes = 0;  ///< its parameter block: weights, biases, scales
  std::uint64_t weightBytes = 0; ///< the weights and biases in it
  std::uint32_t storedBytes = 0; ///< in the pack
  std::string codec;             ///< how: "stored", "lz4", "sparse", "delta", "zero" (pack-v1, "Codecs and hashes")
  std::string codecReason;       ///< why, a few words
  std::string base;              ///< delta: id of the expert from which it differs
  double entropyBits = 0;        ///< order-0 entropy of a byte of the parameter block
  CalibrationSource calibration = CalibrationSource::Data;
  std::size_t calibrationRows = 0;
  manifest::AccuracyBudget budget; ///< that held for it, defaults included
  Precision precision = Precision::Int8;
  std::string reason;                      ///< why that precision, a sentence
  std::vector<TryReport> tries;            ///< in order; the last one is what the pack has
  std::optional<double> predictedSqnrDb;   ///< of the outputs, by the noise model
  std::vector<LayerReport> layerReports;   ///< in order
  std::vector<ScatterPoint> scatter;       ///< of at most 256 outputs, evenly spread
  std::vector<ReliabilityBin> reliability; ///< of the compiled router: ten, or none
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
/// Experts and layers by number; `worstFirst` lists the experts' numbers by accuracy. docs/accuracy.md lists the
/// members.
std::string toJson(const Report &report, int indent = 2);

/// The report as one HTML page that needs no other file: tables and plots, the least accurate expert first.
std::string toHtml(const Report &report);

/// Numbers of the experts, the one nearest to its budget's limits, or furthest beyond them, first.
std::vector<std::size_t> worstFirst(const Report &report);

/// Where a pack is written, front to back, and read again.
class PackOutput {
public:
  virtual ~PackOutput() = default;
  virtual Result<void, Diagnostic> append(std::span<const std::uint8_t> bytes) = 0;
  /// All that was appended; valid as long as this object. Called at most once, after the last append().
  virtual Result<std::span<const std::uint8_t>, Diagnostic> written() = 0;
};

struct CompileOutput {
  std::vector<std::uint8_t> pack; ///< empty if stopped earlier, or if it went to a PackOutput
  std::string ir;                 ///< with stopAfter: modules of all experts by id, separated by `// -----`
  Report report;                  ///< of all experts, as far as the phases have gone
  std::size_t reused = 0;         ///< experts that came out of options.experts
};

/// Compiles `set`, which manifest::check() accepts: every expert in the cheapest precision that holds its budget.
/// Errors: ExpertNotCompilable and AccuracyBudgetMissed (key: the expert; the first by id), StoreIncomplete,
/// KernelRefused, CompilationCancelled, IrTreeNotWritable, those of reading the routing trace, and those of writing the
/// pack.
/// The pack goes to `output` if that is not null; what was written there is no pack unless this succeeds. Then memory
/// holds 64 MiB of parameter blocks at most, and as much of encoded ones, whatever the size of the pack; the others lie
/// in temporary files. Besides there are what options.experts remembers, and a report for each expert.
Result<CompileOutput, Diagnostic> compile(const manifest::ExpertSet &set, const CompileOptions &options = {},
                                          PackOutput *output = nullptr);

/// Compiles those experts of the set that are not left out (manifest::ReadOptions::wants) into options.experts, which
/// must not be null. There is no pack; the report has those experts only. Besides the errors of compile():
/// ShardNotStored.
Result<CompileOutput, Diagnostic> compileShard(const manifest::ExpertSet &set, const CompileOptions &options);

} // namespace kimic
