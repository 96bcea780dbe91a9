#include "compiler/tools/kimic/Console.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace kimic::tool {

static bool isSet(const char *variable) {
  const char *value = std::getenv(variable);
  return value && *value;
}

Console::Console() {
  const char *term = std::getenv("TERM");
  isTerminal_ = ::isatty(STDERR_FILENO) && !(term && std::string_view(term) == "dumb");
  hasColour_ = isTerminal_ && !isSet("NO_COLOR"); // no-color.org
}

void Console::message(std::string_view label, std::string_view style, std::string_view text) {
  clearProgress();
  std::string line = hasColour_ ? fmt::format("\x1b[{}m{}:\x1b[0m {}\n", style, label, printable(text))
                                : fmt::format("{}: {}\n", label, printable(text));
  std::fputs(line.c_str(), stderr);
}

void Console::error(std::string_view text) { message("error", "1;31", text); }

void Console::warning(std::string_view text) {
  if (!isQuiet)
    message("warning", "1;33", text);
}

void Console::note(std::string_view text) {
  if (isQuiet)
    return;
  clearProgress();
  std::fputs((printable(text) + "\n").c_str(), stderr);
}

void Console::detail(std::string_view text) {
  if (isVerbose)
    note(text);
}

ProgressStyle Console::style() const {
  if (isQuiet)
    return ProgressStyle::None;
  if (progressStyle == ProgressStyle::Auto)
    return isTerminal_ ? ProgressStyle::Bar : ProgressStyle::Plain;
  return progressStyle;
}

void Console::progress(std::string_view what, std::size_t done, std::size_t total) {
  total = std::max<std::size_t>(total, 1);
  done = std::min(done, total);
  bool isNewStep = step_ != what;
  if (isNewStep) {
    step_ = what;
    tenth_ = 0;
  }
  if (style() == ProgressStyle::Plain) {
    std::size_t tenth = done * 10 / total;
    if (tenth > tenth_ || (isNewStep && done == 0))
      std::fputs(fmt::format("{} {}/{}\n", what, done, total).c_str(), stderr);
    tenth_ = tenth;
  } else if (style() == ProgressStyle::Bar) {
    auto now = std::chrono::steady_clock::now();
    if (!isNewStep && done < total && now - lastDrawn_ < std::chrono::milliseconds(100))
      return;
    lastDrawn_ = now;
    constexpr std::size_t kWidth = 30;
    std::size_t filled = done * kWidth / total;
    std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '-');
    std::fputs(fmt::format("\r\x1b[K{} [{}] {}/{}", what, bar, done, total).c_str(), stderr);
    std::fflush(stderr);
    barStands_ = true;
  }
}

void Console::clearProgress() {
  if (barStands_)
    std::fputs("\r\x1b[K", stderr);
  barStands_ = false;
}

/// Characters of UTF-8 text: what it takes on a line, as far as alignment needs to know.
static std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string table(const std::vector<std::string> &headings, const std::vector<std::vector<std::string>> &rows) {
  std::vector<bool> isRight;
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (const std::string &heading : headings) {
    isRight.push_back(heading.starts_with('>'));
    titles.push_back(heading.substr(isRight.back() ? 1 : 0));
    widths.push_back(width(titles.back()));
  }
  for (const auto &row : rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width(row[i]));

  std::string out;
  auto append = [&](const std::vector<std::string> &cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::string padding(widths[i] - width(cells[i]), ' ');
      line += (i ? "  " : "") + (isRight[i] ? padding + cells[i] : cells[i] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  append(titles);
  for (const auto &row : rows)
    append(row);
  return out;
}

std::string withCommas(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t i = digits.size(); i > 3; i -= 3)
    digits.insert(i - 3, ",");
  return digits;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", withCommas(count), noun, count == 1 ? "" : "s");
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    bool isC1 = c == 0xC2 && i + 1 < text.size() && (text[i + 1] & 0xE0) == 0x80; // U+0080..U+009F in UTF-8
    if ((c < 0x20 && c != '\n') || c == 0x7F || isC1)
      out += '?';
    else
      out += text[i];
    i += isC1;
  }
  return out;
}

static std::atomic<bool> interrupted{false};

void catchInterrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = SA_RESETHAND;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool isInterrupted() { return interrupted; }

const std::atomic<bool> &interruptFlag() { return interrupted; }

} // namespace kimic::tool
