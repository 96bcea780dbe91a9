// What the commands of `kimic` have in common: how they are declared, how they fail, what exit code that is.
//
// A command is a function addX(app, context) that declares its options as a CLI11 subcommand and, when that is chosen,
// sets context.run. Commands throw Failure; main() prints it and exits. Results go to stdout, everything else to
// stderr.
#pragma once

#include "compiler/tools/kimic/Console.h"
#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace CLI {
class App;
}

namespace kimic::tool {

enum class ExitCode : int {
  Ok = 0,
  Failure = 1,
  Usage = 2,
  CorruptPack = 3,
  AccuracyGate = 4,
  Unsupported = 5,
  Untrusted = 6,
  Interrupted = 130,
};

ExitCode exitCodeOf(ErrorKind kind);

class Failure : public std::runtime_error {
public:
  Failure(ExitCode code, const std::string &message) : std::runtime_error(message), code_(code) {}
  explicit Failure(const Diagnostic &error) : Failure(exitCodeOf(error.kind()), error.message()) {}
  Failure(const std::string &file, const Error &error)
      : Failure(exitCodeOf(error.kind()), file + ": " + message(error)) {}

  ExitCode code() const { return code_; }

private:
  ExitCode code_;
};

/// The value of a Result, or a Failure.
template <class T> T take(Result<T, Diagnostic> result) {
  if (!result)
    throw Failure(result.error());
  return std::move(result).value();
}
inline void take(Result<void, Diagnostic> result) {
  if (!result)
    throw Failure(result.error());
}
/// The same for errors that know no file.
template <class T> T take(const std::string &file, Result<T> result) {
  if (!result)
    throw Failure(file, result.error());
  return std::move(result).value();
}
inline void take(const std::string &file, Result<void> result) {
  if (!result)
    throw Failure(file, result.error());
}

struct Context {
  Console console;
  bool isJson = false;       ///< `--json` of the chosen command
  std::function<void()> run; ///< the chosen command
};

void addCompile(CLI::App &app, Context &context);
void addMerge(CLI::App &app, Context &context);
void addInspect(CLI::App &app, Context &context);
void addRun(CLI::App &app, Context &context);
void addRoute(CLI::App &app, Context &context);
void addSimulate(CLI::App &app, Context &context);
void addEval(CLI::App &app, Context &context);
void addVerify(CLI::App &app, Context &context);
void addDiff(CLI::App &app, Context &context);
void addExtract(CLI::App &app, Context &context);
void addKeygen(CLI::App &app, Context &context);
void addSign(CLI::App &app, Context &context);
void addServe(CLI::App &app, Context &context);
void addDoctor(CLI::App &app, Context &context);
void addCompletions(CLI::App &app, Context &context);

/// Bytes of "65536", "64K", "1.5M", or "25%" of `all`; without `all` no percentages.
std::uint64_t parseMemory(const std::string &text, std::uint64_t all = 0);

/// Versions of everything that a pack can depend on, as text or JSON.
void printVersion(const Context &context);

/// `-q`, `-v`, `--progress` and, if the command reads, `--json`.
void addOutputOptions(CLI::App &command, Context &context);

} // namespace kimic::tool
