// kimic keygen and kimic sign: Ed25519 signatures of packs.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "compiler/tools/kimic/Signing.h"
#include "formats/base/File.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>

namespace kimic::tool {

namespace {

struct SignOptions {
  std::string pack, key, output;
  std::vector<std::string> removed;
  bool overwrites = false;
};

void sign(const SignOptions &options, Context &context) {
  std::string bytes = take(readFile(options.pack, pack::kMaxFileBytes));
  std::span<const std::uint8_t> view(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
  take(options.pack, pack::verifyPack(view)); // nobody wants to have signed a broken pack
  const Digest digest = pack::packDigest(view);
  std::vector<pack::SignatureSlot> slots = take(options.pack, pack::parseSignatureSlots(view));
  auto drop = [&](const PublicKey &key) {
    return std::erase_if(slots, [&](const pack::SignatureSlot &slot) { return slot.publicKey == key; }) != 0;
  };
  for (const std::string &text : options.removed)
    if (PublicKey key = readPublicKey(text); !drop(key))
      throw Failure(ExitCode::Failure, fmt::format("{}: has no signature of {}", options.pack, hexOf(key)));
  if (!options.key.empty()) {
    pack::SignatureSlot slot = sign(digest, options.key);
    drop(slot.publicKey);
    if (slots.size() == pack::kSignatureSlots)
      throw Failure(ExitCode::Failure, fmt::format("{}: has {} signatures already, the most there can be; --remove one",
                                                   options.pack, slots.size()));
    slots.push_back(slot);
  }
  std::fill_n(bytes.begin() + pack::kHeaderBytes, pack::kRootOffset - pack::kHeaderBytes, '\0');
  auto to = bytes.begin() + pack::kHeaderBytes;
  for (const pack::SignatureSlot &slot : slots) {
    to = std::copy(slot.publicKey.begin(), slot.publicKey.end(), to);
    to = std::copy(slot.signature.begin(), slot.signature.end(), to);
  }
  const bool isInPlace = options.output.empty();
  const std::string &output = isInPlace ? options.pack : options.output;
  take(writeFileAtomically(output, bytes, isInPlace || options.overwrites));

  std::vector<std::string> keys;
  for (const pack::SignatureSlot &slot : slots)
    keys.push_back(hexOf(slot.publicKey));
  if (context.isJson) {
    std::fputs(
        pretty({{"schema", "kimic-sign/1"}, {"pack", output}, {"digest", hexOf(digest)}, {"signed_by", keys}}).c_str(),
        stdout);
    return;
  }
  fmt::print("{}: {}, digest {}\n", output, counted(slots.size(), "signature"), hexOf(digest));
  for (const std::string &key : keys)
    fmt::print("  {}\n", key);
}

void keygen(const std::string &output, bool overwrites, Context &context) {
  // Nobody else may read it, from the first byte on.
  const mode_t before = umask(0077);
  auto written = writeFileAtomically(output, generateKey(), overwrites);
  umask(before);
  take(std::move(written));
  const std::string key = hexOf(publicKeyOfPrivate(output));
  if (context.isJson)
    std::fputs(pretty({{"schema", "kimic-keygen/1"}, {"private_key", output}, {"public_key", key}}).c_str(), stdout);
  else
    fmt::print("{}\n", key);
}

} // namespace

void addSign(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("sign", "Sign a pack with an Ed25519 key; its digest stays the same");
  auto options = std::make_shared<SignOptions>();
  command->add_option("PACK", options->pack, "Pack to sign")->required();
  command->add_option("--key", options->key, "Private key: PEM, as `kimic keygen` writes it")->type_name("FILE");
  command
      ->add_option("--remove", options->removed,
                   "Take away the signature of this public key: 64 digits, or a file with them or PEM")
      ->type_name("KEY")
      ->expected(1)
      ->take_all();
  command->add_option("-o,--output", options->output, "Write the signed pack here, not in place of the other")
      ->type_name("FILE");
  command->add_flag("-f,--force", options->overwrites, "Replace an existing output file");
  addOutputOptions(*command, context);
  command->callback([options, &context] {
    if (options->key.empty() && options->removed.empty())
      throw CLI::RequiredError("--key FILE or --remove KEY");
    context.run = [options, &context] { sign(*options, context); };
  });
}

void addKeygen(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("keygen", "Make a key that signs packs, and print its public half");
  struct Options {
    std::string output;
    bool overwrites = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("-o,--output", options->output, "Private key to write: PEM, readable for you alone")
      ->required()
      ->type_name("FILE");
  command->add_flag("-f,--force", options->overwrites, "Replace an existing file");
  addOutputOptions(*command, context);
  command->callback([options, &context] {
    context.run = [options, &context] { keygen(options->output, options->overwrites, context); };
  });
}

} // namespace kimic::tool
