// A pack in this process: the runtime with a host that reads from memory or from a file. Experts run in functions that
// the caller makes for their kernels, or in the reference evaluator. For tools, Python, servers and tests; the bits are
// those of every kernel.
#pragma once

#include "formats/base/Result.h"
#include "runtime/include/kimic/Cache.h"
#include "runtime/include/kimic/History.h"
#include "runtime/include/kimic/Plan.h"
#include "runtime/load/KernelFunction.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace kimic::runtime {

struct NativeOptions {
  std::uint64_t arenaBytes = 256u << 20; ///< cap of the memory for what is resident; touched only as far as used
  /// Finds the function for a kernel, given the canonical bytes of its signature, when the kernel is first needed; null
  /// if there is none: then, and without `link`, the reference evaluator runs. Functions outlive the pack.
  std::function<KernelFunction(std::span<const std::uint8_t>)> link = {};
  float residentBonus = 0;                        ///< KimicOptions::residentBonus
  KimicCachePolicy cachePolicy = KIMIC_CACHE_LRU; ///< who makes room when memory is short
  bool isTimed = false;                           ///< every run is timed, and remembered for experience()
};

/// Movable, not thread-safe. Experts are loaded when they are first used and evicted when memory is short.
class NativePack {
public:
  /// Opens a pack that lies in memory. The bytes are kept.
  static Result<NativePack> open(std::vector<std::uint8_t> bytes, NativeOptions options = {});

  /// Opens a regular file and reads from it on demand. FileNotFound, FileUnreadable, and the errors of open().
  static Result<NativePack> openFile(const std::string &path, NativeOptions options = {});

  NativePack(NativePack &&);
  NativePack &operator=(NativePack &&);
  ~NativePack();

  const KimicPackInfo &info() const;

  /// The metadata, JSON in UTF-8.
  Result<std::string> metadata();

  /// Facts of an expert; loads it.
  Result<KimicExpertInfo> expertInfo(std::uint32_t expert);

  /// Runs an expert, and what it reads before it, on x[rows][inputs]; returns [rows][outputs]. InputLength if x is not
  /// `rows` rows, NothingToRun.
  Result<std::vector<float>> run(std::uint32_t expert, std::span<const float> x, std::uint32_t rows);

  /// The same into `y`, which has room for [rows][outputs]; the caller knows that `x` and `y` are long enough. Resident
  /// experts run at once and without allocation.
  Result<void> runInto(std::uint32_t expert, const float *x, std::uint32_t rows, float *y);

  struct Route {
    std::vector<KimicChoice> choices; ///< best first; none if the router abstains
    std::vector<float> scores;        ///< of each routed expert
  };
  /// Runs the router on one row. count = 0: the pack's top-k. InputLength, PackHasNoRouter, TooManyChoices.
  Result<Route> route(std::span<const float> x, std::uint32_t count = 0);

  /// The same, and what became of every routed expert: explanations by number.
  struct Explanation : Route {
    std::vector<KimicExplanation> explanations;
  };
  Result<Explanation> explain(std::span<const float> x, std::uint32_t count = 0);

  struct RoutedRun {
    Route route;
    std::vector<float> y; ///< merged outputs of the chosen experts
  };
  /// Routes one row, runs the chosen experts and merges as the pack says. RouterAbstained, VoteUndecided.
  Result<RoutedRun> runRouted(std::span<const float> x, std::uint32_t count = 0);

  struct Plan : KimicPlan {
    std::vector<KimicStep> inOrder; ///< the steps
  };
  /// What an answer of these experts takes. The errors of kimic_plan().
  Result<Plan> plan(std::span<const KimicChoice> choices);

  /// What is remembered of an expert (kimic_experience).
  Result<KimicExperience> experience(std::uint32_t expert);
  /// The history of this pack's runs, formats/spec/history-v1.md.
  Result<std::vector<std::uint8_t>> exportHistory();
  /// Replaces it. The errors of kimic_import_history().
  Result<void> importHistory(std::span<const std::uint8_t> bytes);

  KimicStats stats() const;
  KimicMemory memory() const;

private:
  class Host;
  explicit NativePack(std::unique_ptr<Host> host);

  std::unique_ptr<Host> host_;
};

} // namespace kimic::runtime
