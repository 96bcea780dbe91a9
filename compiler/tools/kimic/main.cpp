// kimic: compiles expert sets into packs, and looks into packs, runs and verifies them.
#include "compiler/tools/kimic/Command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>

using namespace kimic::tool;

static int runTool(int argc, char **argv) {
  Context context;
  bool wantsVersion = false;
  CLI::App app(
      "kimic compiles small trained networks into one pack that runs in a web page, with the same bits everywhere.",
      "kimic");
  app.require_subcommand(0, 1);
  app.option_defaults()->always_capture_default(false);
  app.add_flag("--version", wantsVersion, "Print the versions of kimic and its formats");
  app.add_flag("--json", context.isJson, "With --version: print one JSON object");
  app.footer(
      "Exit codes: 0 ok, 1 failure, 2 usage, 3 corrupt pack, 4 accuracy below the manifest's budget, 5 unsupported\n"
      "input, 6 kernels or signatures that are not to be trusted, 130 interrupted. Results go to stdout, everything "
      "else to stderr.\n"
      "`kimic COMMAND --help` tells about one command.");
  addCompile(app, context);
  addMerge(app, context);
  addInspect(app, context);
  addRun(app, context);
  addRoute(app, context);
  addSimulate(app, context);
  addEval(app, context);
  addVerify(app, context);
  addDiff(app, context);
  addExtract(app, context);
  addKeygen(app, context);
  addSign(app, context);
  addServe(app, context);
  addDoctor(app, context);
  addCompletions(app, context);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &request) { // --help
    return app.exit(request, std::cout, std::cerr);
  } catch (const CLI::ParseError &error) {
    context.console.error(error.what());
    context.console.note("`kimic --help` and `kimic COMMAND --help` tell more");
    return static_cast<int>(ExitCode::Usage);
  }
  if (wantsVersion) {
    printVersion(context);
    return 0;
  }
  if (!context.run) {
    std::cerr << app.help();
    return static_cast<int>(ExitCode::Usage);
  }

  catchInterrupts();
  try {
    context.run();
    context.console.clearProgress();
    // A result that did not arrive is a failure: a full disk, for example.
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      throw Failure(ExitCode::Failure, "the result could not be written to stdout");
  } catch (const Failure &failure) {
    context.console.error(failure.what());
    return static_cast<int>(failure.code());
  } catch (const std::bad_alloc &) {
    context.console.error("out of memory");
    return static_cast<int>(ExitCode::Failure);
  }
  return 0;
}

int main(int argc, char **argv) {
  try {
    return runTool(argc, argv);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "error: internal: %s\n", error.what());
    return static_cast<int>(ExitCode::Failure);
  }
}
