// kimic doctor: what this installation is and whether what it leans on is there.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/JsonText.h"
#include "compiler/tools/kimic/Node.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <thread>

namespace kimic::tool {

namespace {

/// The smallest modules that use an instruction of fixed-width and of relaxed SIMD; an engine that knows it says so.
constexpr const char *kFeaturesScript = R"(
  const header = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
  const body = (code) => [10, code.length + 4, 1, code.length + 2, 0, ...code, 11];
  const constant = [253, 12, ...new Array(16).fill(0)];
  const has = (code) => WebAssembly.validate(new Uint8Array([...header, ...body(code)]));
  const dot = [...constant, ...constant, 253, 146, 2]; // i16x8.relaxed_dot_i8x16_i7x16_s
  console.log(JSON.stringify({ version: process.version, simd128: has(constant), relaxed: has(dot) }));
)";

Json nodeJson() {
  try {
    NodeProcess node(kFeaturesScript);
    std::vector<std::string> lines = node.finish();
    Json facts = lines.empty() ? Json() : Json::parse(lines[0], nullptr, false);
    if (facts.is_object())
      return {{"command", nodeCommand()},
              {"version", facts.value("version", "")},
              {"simd128", facts.value("simd128", false)},
              {"relaxed", facts.value("relaxed", false)}};
  } catch (const Failure &) {
    // Reported as absent: a doctor does not fail because a patient is ill.
  }
  return nullptr;
}

void doctor(Context &context) {
  Json node = nodeJson();
  unsigned threads = std::thread::hardware_concurrency();
  if (context.isJson) {
    std::fputs(pretty({{"schema", "kimic-doctor/1"},
                       {"kimic", KIMIC_VERSION},
                       {"compiler", __VERSION__},
                       {"threads", threads},
                       {"node", node}})
                   .c_str(),
               stdout);
    return;
  }
  printVersion(context);
  fmt::print("built with {}\n", __VERSION__);
  fmt::print("{} threads for `kimic compile`\n", threads);
  if (node.is_null()) {
    fmt::print("node: '{}' does not start; `kimic verify` needs it, or --integrity-only\n", nodeCommand());
    return;
  }
  auto yesNo = [&](const char *key) { return node[key].get<bool>() ? "yes" : "no"; };
  fmt::print("node: {} (simd128: {}, relaxed SIMD: {})\n", node["version"].get<std::string>(), yesNo("simd128"),
             yesNo("relaxed"));
}

} // namespace

void addDoctor(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("doctor", "Show versions, and whether Node can run kernels");
  addOutputOptions(*command, context);
  command->callback([&context] { context.run = [&context] { doctor(context); }; });
}

} // namespace kimic::tool
