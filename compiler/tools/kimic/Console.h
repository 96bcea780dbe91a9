// stderr: messages and progress. stdout is left to results.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::tool {

enum class ProgressStyle { Auto, Bar, Plain, None };

class Console {
public:
  Console();

  ProgressStyle progressStyle = ProgressStyle::Auto; ///< Auto: a bar on a terminal, lines elsewhere
  bool isQuiet = false;                              ///< errors only
  bool isVerbose = false;

  void error(std::string_view text);
  void warning(std::string_view text);
  void note(std::string_view text);
  /// Only with -v.
  void detail(std::string_view text);

  /// `done` of `total` of the step `what`. Cheap: prints at most ten times a second, or in lines at every tenth.
  void progress(std::string_view what, std::size_t done, std::size_t total);
  /// Removes the bar, if one stands.
  void clearProgress();

private:
  void message(std::string_view label, std::string_view style, std::string_view text);
  ProgressStyle style() const;

  bool isTerminal_;
  bool hasColour_;
  bool barStands_ = false;
  std::string step_;      ///< of the last progress()
  std::size_t tenth_ = 0; ///< of it that was last printed in a line
  std::chrono::steady_clock::time_point lastDrawn_{};
};

/// Lines up columns: text to the left, and columns whose heading starts with '>' (which is not printed) to the right.
std::string table(const std::vector<std::string> &headings, const std::vector<std::vector<std::string>> &rows);

/// "17,640".
std::string withCommas(std::uint64_t number);

/// "1 expert", "2,000 experts".
std::string counted(std::uint64_t count, std::string_view noun);

/// Text from a pack or a manifest as it can be shown on a terminal: control characters become '?'.
std::string printable(std::string_view text);

/// Whether SIGINT or SIGTERM has arrived since catchInterrupts(). A second one ends the process at once.
void catchInterrupts();
bool isInterrupted();
const std::atomic<bool> &interruptFlag();

} // namespace kimic::tool
