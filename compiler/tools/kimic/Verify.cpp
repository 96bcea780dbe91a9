// kimic verify: a pack's integrity, and its kernels against the reference evaluator, in Node and natively.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/Node.h"
#include "compiler/tools/kimic/PackFile.h"
#include "compiler/tools/kimic/Signing.h"
#include "formats/base/Diagnostic.h"
#include "formats/base/File.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/quant/Layout.h"
#include "formats/reference/Reference.h"
#include "kimic/NativeKernels.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <memory>

namespace kimic::tool {

/// CheckKernels.mjs.
extern const char kCheckKernelsScript[];

namespace {

struct VerifyOptions {
  std::string pack;
  bool isIntegrityOnly = false;
  unsigned expertsPerKernel = 4; ///< 0: all
  std::vector<std::string> publicKeys;
};

/// A sequence of numbers that depends on its seed only (splitmix64).
class Random {
public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// 0 <= value < 1
  float unit() { return static_cast<float>(next() >> 40) * 0x1p-24f; }

private:
  std::uint64_t state_;
};

/// Memory at an address that kernels accept.
class AlignedBytes {
public:
  explicit AlignedBytes(std::size_t size) : units_(size / sizeof(Unit) + 1) {}
  std::uint8_t *data() { return reinterpret_cast<std::uint8_t *>(units_.data()); }

private:
  struct alignas(16) Unit {
    std::uint8_t bytes[16];
  };
  std::vector<Unit> units_;
};

constexpr std::uint32_t kRows = 20;

/// Rows that reach the whole range of the input codes, and rows that no data contain: zeros, the extremes, not finite.
std::vector<float> inputsFor(const quant::Layout &layout, std::uint32_t inputs, const std::uint8_t *params,
                             std::uint64_t seed) {
  auto read = [&](std::size_t offset) {
    float value;
    std::memcpy(&value, params + offset, sizeof value);
    return value;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {
      std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, 1e30f, -1e30f, 1e-40f, -0.0f};
  float lo = read(layout.inputBoundsOffset), hi = read(layout.inputBoundsOffset + 4);
  Random random(seed);
  std::vector<float> x(std::size_t{kRows} * inputs);
  for (std::uint32_t r = 0; r < kRows; ++r)
    for (std::uint32_t k = 0; k < inputs; ++k) {
      // Float32 experts read the inputs themselves: their bounds are in the inputs' units.
      float scale = layout.inputScaleOffset == quant::kNone ? 1 : read(layout.inputScaleOffset + 4 * k);
      float code = r == 0 ? 0 : r == 1 ? lo : r == 2 ? hi : lo + (hi - lo) * (random.unit() * 1.1f - 0.05f);
      x[std::size_t{r} * inputs + k] = r == 3 ? special[random.next() % std::size(special)] : code / scale;
    }
  return x;
}

template <class T> void append(std::string &out, const T *values, std::size_t count) {
  out.append(reinterpret_cast<const char *>(values), count * sizeof(T));
}

std::string framed(const Json &header) {
  std::string text = header.dump();
  std::uint32_t length = static_cast<std::uint32_t>(text.size());
  std::string out;
  append(out, &length, 1);
  return out + text;
}

/// An expert, rows for it, and what the reference makes of them.
struct Case {
  std::uint32_t expert, kernel;
  const quant::Signature &signature;
  std::uint32_t scratchBytes;
  std::vector<std::uint8_t> block;
  std::vector<float> x, y;
};

Case caseOf(const PackFile &pack, std::uint32_t expert) {
  const pack::LeafEntry &entry = pack.experts[expert];
  const quant::Signature &signature = pack.signatures[entry.kernel];
  quant::Layout layout = take(pack.path, quant::layoutOf(signature));
  Case one{expert, entry.kernel, signature, layout.scratchBytes, parametersOf(pack, expert), {}, {}};
  AlignedBytes params(one.block.size()), scratch(layout.scratchBytes);
  std::memcpy(params.data(), one.block.data(), one.block.size());
  one.x = inputsFor(layout, signature.inputs, one.block.data(), expert);
  one.y.resize(std::size_t{kRows} * signature.outputs());
  reference::run(signature, layout, params.data(), one.x.data(), one.y.data(), scratch.data(), kRows);
  return one;
}

/// What asks Node to run it.
std::string messageOf(const Case &one) {
  std::string out = framed({{"case", one.expert},
                            {"kernel", one.kernel},
                            {"params", one.block.size()},
                            {"scratch", one.scratchBytes},
                            {"inputs", one.signature.inputs},
                            {"outputs", one.signature.outputs()},
                            {"rows", kRows}});
  append(out, one.block.data(), one.block.size());
  append(out, one.x.data(), one.x.size());
  append(out, one.y.data(), one.y.size());
  return out;
}

/// Up to `perKernel` experts of every kernel, spread over those that use it.
std::vector<std::vector<std::uint32_t>> chosenExperts(const PackFile &pack, unsigned perKernel) {
  std::vector<std::vector<std::uint32_t>> users(pack.header.kernels);
  for (std::uint32_t i = 0; i < pack.experts.size(); ++i)
    users[pack.experts[i].kernel].push_back(i);
  if (perKernel == 0)
    return users;
  for (auto &list : users) {
    if (list.size() <= perKernel)
      continue;
    std::vector<std::uint32_t> chosen;
    for (unsigned i = 0; i < perKernel; ++i)
      chosen.push_back(list[list.size() * i / perKernel]);
    list = std::move(chosen);
  }
  return users;
}

struct Outcome {
  std::uint64_t runs = 0, rows = 0, mismatches = 0;
  std::uint64_t nativeRuns = 0, nativeRows = 0;
  std::vector<std::string> problems;    ///< the first of them
  std::vector<std::string> unsupported; ///< variants that this Node does not know
};

float floatOf(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// Natively, at once and in parts of 1, 4 and the other rows. Kernels that cannot be compiled here do not run.
void runNatively(const Case &one, const PackFile &pack, Outcome &outcome) {
  native::Function function = native::kernelOrNull(encode(one.signature));
  if (!function)
    return;
  AlignedBytes params(one.block.size()), scratch(one.scratchBytes);
  std::memcpy(params.data(), one.block.data(), one.block.size());
  std::uint32_t inputs = one.signature.inputs, outputs = one.signature.outputs();
  for (const std::vector<std::uint32_t> &parts : {std::vector{kRows}, std::vector{1u, 4u, kRows - 5}}) {
    std::vector<float> y(one.y.size());
    std::uint32_t first = 0;
    for (std::uint32_t rows : parts) {
      function(params.data(), one.x.data() + std::size_t{first} * inputs, y.data() + std::size_t{first} * outputs,
               scratch.data(), rows);
      first += rows;
      ++outcome.nativeRuns;
    }
    outcome.nativeRows += kRows;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (std::memcmp(&y[i], &one.y[i], sizeof(float)) == 0)
        continue;
      ++outcome.mismatches;
      outcome.problems.push_back(fmt::format("kernel {} (native), expert {}: row {}, output {} is {}, the reference "
                                             "computes {}",
                                             one.kernel, pack.names[one.expert].id, i / outputs, i % outputs,
                                             shortest(y[i]), shortest(one.y[i])));
      break;
    }
  }
}

void read(const Json &line, const PackFile &pack, Outcome &outcome) {
  if (auto variant = line.find("unsupported"); variant != line.end()) {
    if (outcome.unsupported.empty()) // once, not per group
      outcome.unsupported.push_back(variant->get<std::string>());
  } else if (line.contains("invalid")) {
    ++outcome.mismatches;
    outcome.problems.push_back(fmt::format("{} kernels from {} on do not compile: {}",
                                           line["invalid"].get<std::string>(), line["firstKernel"].get<int>(),
                                           line["reason"].get<std::string>()));
  } else if (auto mismatch = line.find("mismatch"); mismatch != line.end()) {
    const Json &m = *mismatch;
    std::string where = fmt::format("kernel {} ({}), expert {}, {} rows", m["kernel"].get<std::uint32_t>(),
                                    m["variant"].get<std::string>(), pack.names[m["expert"].get<std::uint32_t>()].id,
                                    m["rows"].get<std::uint32_t>());
    if (m.contains("output"))
      outcome.problems.push_back(fmt::format("{}: row {}, output {} is {}, the reference computes {}", where,
                                             m["row"].get<std::uint32_t>(), m["output"].get<std::uint32_t>(),
                                             shortest(floatOf(m["found"].get<std::uint32_t>())),
                                             shortest(floatOf(m["expected"].get<std::uint32_t>()))));
    else
      outcome.problems.push_back(where + ": " + m["what"].get<std::string>());
  } else {
    outcome.runs = line["runs"].get<std::uint64_t>();
    outcome.rows = line["rows"].get<std::uint64_t>();
    outcome.mismatches += line["mismatches"].get<std::uint64_t>();
  }
}

Outcome runKernels(const PackFile &pack, const VerifyOptions &options, Context &context) {
  Outcome outcome;
  auto chosen = chosenExperts(pack, options.expertsPerKernel);
  std::vector<abi::Variant> variants = variantsOf(pack.header);
  NodeProcess node(kCheckKernelsScript);
  std::size_t done = 0;
  for (std::uint32_t g = 0; g < pack.header.groupCount(); ++g) {
    std::uint32_t first = pack.header.firstKernel(g);
    std::string cases; // the same for every variant
    for (std::uint32_t k = first; k < first + pack.header.kernelsIn(g); ++k)
      for (std::uint32_t expert : chosen[k]) {
        Case one = caseOf(pack, expert);
        cases += messageOf(one);
        runNatively(one, pack, outcome);
      }
    for (abi::Variant variant : variants) {
      if (isInterrupted())
        throw Failure(ExitCode::Interrupted, "interrupted");
      std::vector<std::uint8_t> module = blockOf(pack, pack.root.groups[g].module(variant));
      node.write(framed({{"module", module.size()}, {"variant", abi::nameOf(variant)}, {"firstKernel", first}}));
      node.write({reinterpret_cast<const char *>(module.data()), module.size()});
      node.write(cases);
      context.console.progress("kernel groups", ++done, pack.header.groupCount() * variants.size());
    }
  }
  for (const std::string &line : node.finish()) {
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object())
      throw Failure(ExitCode::Failure, "node printed something else than a result: " + line);
    read(json, pack, outcome);
  }
  return outcome;
}

void verify(const VerifyOptions &options, Context &context) {
  std::string bytes = take(readFile(options.pack, pack::kMaxFileBytes));
  const std::span<const std::uint8_t> view(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
  take(options.pack, pack::verifyPack(view));
  std::string signer;
  if (!options.publicKeys.empty()) {
    std::vector<PublicKey> keys;
    for (const std::string &key : options.publicKeys)
      keys.push_back(readPublicKey(key));
    signer = hexOf(requireSignature(options.pack, take(options.pack, pack::parseSignatureSlots(view)),
                                    pack::packDigest(view), keys));
  }
  PackFile pack = decodePack(options.pack, std::move(bytes));
  context.console.detail(options.pack + ": every rule of the format holds");
  Outcome outcome;
  if (!options.isIntegrityOnly)
    outcome = runKernels(pack, options, context);
  context.console.clearProgress();
  for (const std::string &variant : outcome.unsupported)
    context.console.warning("this Node does not know the instructions of the variant " + variant +
                            "; its kernels did not run");

  std::vector<std::string> variants;
  for (abi::Variant variant : variantsOf(pack.header))
    variants.push_back(abi::nameOf(variant));
  std::string digest = hexOf(pack.digest);
  if (context.isJson) {
    std::fputs(pretty({{"schema", "kimic-verify/1"},
                       {"pack", options.pack},
                       {"digest", digest},
                       {"content_id", hexOf(pack.header.contentId)},
                       {"signed_by", signer.empty() ? Json() : Json(signer)},
                       {"ok", outcome.mismatches == 0},
                       {"experts", pack.header.experts},
                       {"kernels", pack.header.kernels},
                       {"variants", variants},
                       {"unsupported_variants", outcome.unsupported},
                       {"kernel_runs", outcome.runs},
                       {"kernel_rows", outcome.rows},
                       {"native_runs", outcome.nativeRuns},
                       {"native_rows", outcome.nativeRows},
                       {"mismatches", outcome.mismatches},
                       {"problems", outcome.problems}})
                   .c_str(),
               stdout);
  } else if (outcome.mismatches == 0) {
    fmt::print("{}: intact, {}, {} ({}), digest {}\n", options.pack, counted(pack.header.experts, "expert"),
               counted(pack.header.kernels, "kernel"), fmt::join(variants, ", "), digest);
    if (!signer.empty())
      fmt::print("{}: signed by {}\n", options.pack, signer);
    if (!options.isIntegrityOnly) {
      fmt::print("{}: {} kernel runs of {} rows in Node equal the reference to the bit\n", options.pack,
                 withCommas(outcome.runs), withCommas(outcome.rows));
      fmt::print("{}: {} native kernel runs of {} rows ({}) equal the reference to the bit\n", options.pack,
                 withCommas(outcome.nativeRuns), withCommas(outcome.nativeRows),
                 nameOf(native::kernelsOfProcess().vectors()));
    }
  }
  if (outcome.mismatches) {
    for (const std::string &problem : outcome.problems)
      context.console.error(problem);
    throw Failure(ExitCode::CorruptPack,
                  fmt::format("{}: {} of {} kernel runs do not agree with the reference", options.pack,
                              outcome.mismatches, outcome.runs + outcome.nativeRuns));
  }
}

} // namespace

void addVerify(CLI::App &app, Context &context) {
  CLI::App *command =
      app.add_subcommand("verify", "Check a pack's integrity, and its kernels against the reference in Node");
  auto options = std::make_shared<VerifyOptions>();
  command->add_option("PACK", options->pack, "Pack to verify")->required();
  auto *integrity =
      command->add_flag("--integrity-only", options->isIntegrityOnly,
                        "Check format, hashes and the structure of kernels, but run none (needs no Node)");
  auto *deep =
      command
          ->add_flag_callback(
              "--deep", [options] { options->expertsPerKernel = 0; }, "Run every expert, not only some of each kernel")
          ->excludes(integrity);
  command
      ->add_option("--pubkey", options->publicKeys,
                   "Demand a signature of this key, or of one of several: 64 digits, or a file with them or PEM")
      ->type_name("KEY")
      ->expected(1)
      ->take_all();
  command
      ->add_option("--experts-per-kernel", options->expertsPerKernel,
                   "How many experts try out each kernel (default: 4; 0: all of them)")
      ->excludes(integrity)
      ->excludes(deep)
      ->type_name("N");
  command->footer(
      "Every kernel of every variant runs 20 rows, at once and in parts, with inputs over the whole range and\n"
      "beyond it. Node is the one on the PATH, or the environment variable KIMIC_NODE.");
  addOutputOptions(*command, context);
  command->callback([options, &context] { context.run = [options, &context] { verify(*options, context); }; });
}

} // namespace kimic::tool
