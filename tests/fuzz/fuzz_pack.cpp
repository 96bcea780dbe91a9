// Packs: the bytes as they are, then with all hashes made right, so that what lies behind the hashes is reached.
//
// What a verifier accepts must read, must survive being written again, and must then hold the same contents.
#include "formats/pack/PackReader.h"
#include "formats/pack/PackText.h"
#include "formats/pack/PackVerify.h"
#include "tests/fuzz/Require.h"
#include "tests/support/PackRehash.h"

using namespace kimic;
using namespace kimic::pack;
using kimic::test::require;

namespace {

/// As the runtime does: part by part, with no look at the file as a whole.
void readParts(std::span<const std::uint8_t> file) {
  Result<Header> header = parseHeader(file);
  if (!header.ok() || header->root.end() > file.size())
    return;
  Result<Root> root = parseRoot(*header, file.subspan(header->root.offset, header->root.length));
  if (!root.ok())
    return;
  auto decode = [&](const BlockRef &block) {
    std::vector<std::uint8_t> raw;
    if (block.end() > file.size())
      return raw;
    raw.resize(block.rawLength);
    if (!decodeBlock(block, file.subspan(block.offset, block.storedLength), raw).ok())
      raw.clear();
    return raw;
  };
  std::vector<BlockRef> leaves(root->leaves.begin(), root->leaves.end());
  for (std::uint32_t number = 0; number < root->branches.size(); ++number) {
    std::vector<std::uint8_t> raw = decode(root->branches[number].block);
    Result<Array<BlockRef>> rows = parseBranch(*header, *root, number, raw);
    if (!rows.ok())
      return;
    leaves.insert(leaves.end(), rows->begin(), rows->end());
  }
  for (std::uint32_t number = 0; number < header->leafCount(); ++number)
    if (Result<Leaf> leaf = parseLeaf(*header, number, decode(leaves[number])); leaf.ok())
      for (const LeafEntry &entry : leaf->entries) {
        require(entry.data.end() <= header->data.end() && entry.data.rawLength <= kMaxBlockBytes);
        require(entry.base == kNoExpert || entry.base < header->listed());
        for (const Transition &next : leaf->nextOf(entry))
          require(next.expert < header->listed());
      }
  if (header->hasPlan()) {
    const std::vector<std::uint8_t> raw = decode(root->plan);
    if (Result<Plan> plan = parsePlan(raw); plan.ok())
      for (const Plan::Entry &entry : plan->entries) {
        const auto *end = raw.data() + raw.size();
        require(reinterpret_cast<const std::uint8_t *>(plan->needsOf(entry).data() + plan->needsOf(entry).size()) <=
                end);
        require(reinterpret_cast<const std::uint8_t *>(plan->sourcesOf(entry).data() + plan->sourcesOf(entry).size()) <=
                end);
      }
  }
  for (std::uint32_t number = 0; number < header->groupCount(); ++number)
    (void)parseSignatures(*header, number, decode(root->groups[number].signatures));
}

void checkFile(std::span<const std::uint8_t> file) {
  readParts(file);
  if (!verifyPack(file).ok())
    return;
  Result<PackContents> contents = readContents(file);
  require(contents.ok());
  require(printLayout(file).ok());
  Result<std::vector<std::uint8_t>> again = writePack(*contents);
  require(again.ok() && verifyPack(*again).ok());
  Result<PackContents> contentsAgain = readContents(*again);
  require(contentsAgain.ok() && *contentsAgain == *contents);
  Result<PackContents, Diagnostic> fromText = parseContents(printContents(*contents), "");
  require(fromText.ok() && *fromText == *contents);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::vector<std::uint8_t> file(data, data + size);
  checkFile(file);
  test::rehashPack(file);
  checkFile(file);
  (void)parseContents({reinterpret_cast<const char *>(data), size}, "");
  return 0;
}
