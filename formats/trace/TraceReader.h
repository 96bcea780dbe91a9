// Reads recorded routing, formats/spec/traces-v1.md: which experts were chosen, step by step, and what else was
// recorded.
//
// A trace may be larger than memory: a reader holds one step. It is only read forwards.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::trace {

/// Limits of a trace. More is refused before memory is spent on it.
inline constexpr std::size_t kMaxLineBytes = 4u << 20;
inline constexpr std::size_t kMaxChosen = 64;
inline constexpr std::size_t kMaxNumbers = 1u << 18; ///< features or logits of a step

/// One request: what was chosen for it, and what became of it.
struct Step {
  std::vector<std::uint32_t> experts;  ///< numbers in the pack, best first, all different, at least one
  std::vector<float> weights;          ///< empty, or one for each chosen expert
  std::vector<float> features;         ///< empty, or as many as in every step that has some
  std::vector<float> logits;           ///< empty, or one for each expert that the router chooses from
  std::optional<float> outcome;        ///< 0 failure .. 1 success
  std::optional<std::uint32_t> target; ///< the expert that should have been chosen
  std::uint64_t sequence = 0;          ///< equal for the steps of one sequence
};

/// The experts that a trace may speak of.
struct ExpertNumbers {
  std::map<std::string, std::uint32_t, std::less<>> ofId; ///< number in the pack
  std::uint32_t count = 0;                                ///< numbers from 0, without the router's own network
  std::uint32_t routed = 0;                               ///< the first of them, which the router chooses from; 0: none
};

class TraceReader {
public:
  virtual ~TraceReader() = default;
  /// Reads the next step; false if there is none.
  virtual Result<bool, Diagnostic> next(Step &step) = 0;
};

/// `path`: a file of JSON lines, or a folder with arrays. Errors name file, line (or row) and column.
Result<std::unique_ptr<TraceReader>, Diagnostic> openTrace(const std::string &path, ExpertNumbers experts);

Result<std::unique_ptr<TraceReader>, Diagnostic> openJsonLines(const std::string &path, ExpertNumbers experts);
Result<std::unique_ptr<TraceReader>, Diagnostic> openNpyTrace(const std::string &folder, ExpertNumbers experts);

/// One line of JSON; `line` only goes into errors. `featureCount`: of the steps before, 0 if none had features.
Result<Step, Diagnostic> parseStep(std::string_view text, const std::string &fileName, std::uint32_t line,
                                   const ExpertNumbers &experts, std::size_t featureCount = 0);

} // namespace kimic::trace
