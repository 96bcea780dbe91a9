#include "compiler/tools/kimic/Command.h"

#include "compiler/tools/kimic/JsonText.h"
#include "formats/abi/KernelAbi.h"
#include "formats/pack/PackFormat.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <map>

namespace kimic::tool {

ExitCode exitCodeOf(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::DataLoss:
    return ExitCode::CorruptPack;
  case ErrorKind::AccuracyLoss:
    return ExitCode::AccuracyGate;
  case ErrorKind::Unsupported:
    return ExitCode::Unsupported;
  case ErrorKind::Untrusted:
    return ExitCode::Untrusted;
  case ErrorKind::Cancelled:
    return ExitCode::Interrupted;
  case ErrorKind::InvalidArgument:
  case ErrorKind::NotFound:
  case ErrorKind::ResourceExhausted:
  case ErrorKind::FailedPrecondition:
  case ErrorKind::Unavailable:
  case ErrorKind::Internal:
    break;
  }
  return ExitCode::Failure;
}

std::uint64_t parseMemory(const std::string &text, std::uint64_t all) {
  char *end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  std::string unit = end;
  double factor = unit.empty() || unit == "B" ? 1
                  : unit == "K"               ? 1024
                  : unit == "M"               ? 1024.0 * 1024
                  : unit == "G"               ? 1024.0 * 1024 * 1024
                  : unit == "%"               ? static_cast<double>(all) / 100
                                              : 0;
  if (end == text.c_str() || factor == 0 || !(value > 0) || !(value * factor < 0x1p52))
    throw Failure(ExitCode::Usage,
                  "--memory " + text + ": expected bytes, as 65536, 64K" + (all ? ", 1.5M or 25%" : " or 1.5M"));
  return static_cast<std::uint64_t>(value * factor);
}

void addOutputOptions(CLI::App &command, Context &context) {
  static const std::map<std::string, ProgressStyle> kStyles = {{"auto", ProgressStyle::Auto},
                                                               {"bar", ProgressStyle::Bar},
                                                               {"plain", ProgressStyle::Plain},
                                                               {"none", ProgressStyle::None}};
  command.add_flag("--json", context.isJson, "Print the result as one JSON object");
  command.add_flag("-q,--quiet", context.console.isQuiet, "Print errors only, besides the result");
  command.add_flag("-v,--verbose", context.console.isVerbose, "Print more about what is going on");
  command
      .add_option("--progress", context.console.progressStyle,
                  "How to show progress: auto (a bar on a terminal, lines elsewhere), bar, plain or none")
      ->transform(CLI::CheckedTransformer(kStyles).description(""))
      ->type_name("STYLE");
}

void printVersion(const Context &context) {
  std::string pack = fmt::format("{}.{}", pack::kMajor, pack::kMinor);
  if (context.isJson)
    std::fputs(pretty({{"schema", "kimic-version/1"},
                       {"kimic", KIMIC_VERSION},
                       {"pack", pack},
                       {"kernel_abi", abi::kVersion},
                       {"manifest", 1}})
                   .c_str(),
               stdout);
  else
    fmt::print("kimic {} (pack {}, kernel ABI {}, manifest 1)\n", KIMIC_VERSION, pack, abi::kVersion);
}

} // namespace kimic::tool
