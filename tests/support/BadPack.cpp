#include "tests/support/BadPack.h"

#include "formats/base/File.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackText.h"
#include "tests/support/PackRehash.h"

#include <charconv>
#include <map>

namespace kimic::test {
namespace {

using namespace kimic::pack;

struct Place {
  std::size_t offset;
  unsigned width; ///< of a field; 0 for a block
};

using Places = std::map<std::string, Place, std::less<>>;

/// Names of the fields and blocks of a valid pack with one leaf and one kernel group.
Places placesIn(std::span<const std::uint8_t> file) {
  Places places = {
      {"header", {0, 0}},
      {"root", {kRootOffset, 0}},
      {"header.major", {8, 2}},
      {"header.minor", {10, 2}},
      {"header.required_features", {12, 4}},
      {"header.optional_features", {16, 4}},
      {"header.kernel_abi", {20, 4}},
      {"header.hash", {24, 1}},
      {"header.variants", {25, 1}},
      {"header.leaf_log2", {26, 1}},
      {"header.group_log2", {27, 1}},
      {"header.branch_log2", {28, 1}},
      {"header.router", {29, 1}},
      {"header.transitions", {30, 1}},
      {"header.experts", {32, 4}},
      {"header.kernels", {36, 4}},
      {"header.data_blocks", {40, 4}},
      {"header.data_raw_length", {48, 8}},
      {"header.root_length", {56, 8}},
      {"header.first_length", {64, 8}},
      {"header.leaves_length", {72, 8}},
      {"header.data_length", {80, 8}},
      {"header.kernels_length", {88, 8}},
      {"header.scalar_length", {96, 8}},
      {"header.meta_length", {104, 8}},
      {"header.extensions_length", {112, 8}},
      {"header.content_id", {128, 8}},
      {"slots", {256, 0}},
      {"router.head", {640, 1}},
      {"router.strategy", {641, 1}},
      {"router.merge", {642, 1}},
      {"router.domain", {643, 1}},
      {"router.routed", {644, 4}},
      {"router.top_k", {648, 4}},
      {"router.temperature", {652, 4}},
      {"router.kernel", {656, 4}},
      {"router.threshold", {660, 4}},
      {"router.flags", {664, 1}},
      {"router.bits", {665, 1}},
      {"router.min_votes", {668, 4}},
      {"router.scale", {672, 4}},
      {"router.least_score", {676, 4}},
      {"router.fallback", {680, 4}},
  };
  Header header = parseHeader(file).value();
  Root root = parseRoot(header, file.subspan(header.root.offset, header.root.length)).value();
  std::size_t row = kRootOffset + kRouterBytes;
  auto add = [&](const std::string &name, const BlockRef &block) {
    places.insert({{name, {block.offset, 0}},
                   {name + ".stored", {row, 4}},
                   {name + ".raw", {row + 4, 4}},
                   {name + ".codec", {row + 8, 1}},
                   {name + ".reserved", {row + 9, 1}},
                   {name + ".sha256", {row + 12, 8}}});
    row += kBlockRowBytes;
  };
  add("signatures", root.groups[0].signatures);
  for (unsigned index = kVariantCount; index-- > 1;)
    if (header.hasVariant(variantAt(index)))
      add(abi::nameOf(variantAt(index)), root.groups[0].modules[index]);
  if (root.router)
    add("router_data", root.routerEntry.data);
  add("leaf", root.leaves[0]);
  if (header.hasVariant(abi::Variant::Scalar))
    add("scalar", root.groups[0].modules[0]);
  add("meta", root.meta);
  if (header.hasPlan())
    add("plan", root.plan);

  std::vector<std::uint8_t> raw(root.leaves[0].rawLength);
  Result<void> decoded =
      decodeBlock(root.leaves[0], file.subspan(root.leaves[0].offset, root.leaves[0].storedLength), raw);
  if (decoded.ok()) {
    std::map<std::uint64_t, BlockRef> blocks;
    const Leaf leaf = parseLeaf(header, 0, raw).value();
    for (const LeafEntry &entry : leaf.entries)
      blocks.emplace(entry.data.offset, entry.data);
    unsigned number = 0;
    for (const auto &[offset, block] : blocks)
      places.insert({"data" + std::to_string(number++), {offset, 0}});
  }
  return places;
}

bool parseNumber(std::string_view text, std::uint64_t &value) {
  int base = text.starts_with("0x") ? 16 : 10;
  if (base == 16)
    text.remove_prefix(2);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t begin; (begin = line.find_first_not_of(' ')) != line.npos;) {
    line.remove_prefix(begin);
    words.push_back(line.substr(0, line.find(' ')));
    line.remove_prefix(words.back().size());
  }
  return words;
}

std::optional<ErrorId> errorNamed(std::string_view name) {
#define KIMIC_ERROR(id, number, kind, text)                                                                            \
  if (name == #id)                                                                                                     \
    return ErrorId::id;
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
  return std::nullopt;
}

std::optional<PackContents> readGoodContents(const std::string &golden, const std::string &name, std::string &problem) {
  const std::string path = golden + "/good/" + name + ".txt";
  Result<std::string, Diagnostic> text = readFile(path, 1 << 20);
  if (!text.ok()) {
    problem = text.error().message();
    return std::nullopt;
  }
  Result<PackContents, Diagnostic> contents = parseContents(*text, path);
  if (!contents.ok()) {
    problem = contents.error().message();
    return std::nullopt;
  }
  return *contents;
}

class Builder {
public:
  Builder(const std::string &golden, std::string &problem) : golden_(golden), problem_(problem) {}

  std::optional<BadPack> run(std::string_view text) {
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      std::vector<std::string_view> words = split(line);
      if (!words.empty() && words[0].front() != '#' && !apply(words)) {
        if (problem_.empty())
          problem_ = "cannot apply: " + std::string(line);
        return std::nullopt;
      }
    }
    if (bad_.expected.id == ErrorId::None)
      problem_ = "no expect line";
    return problem_.empty() ? std::optional(bad_) : std::nullopt;
  }

private:
  bool apply(std::span<const std::string_view> words) {
    const std::span<const std::string_view> rest = words.subspan(1);
    if (words[0] == "base" && rest.size() == 1) {
      std::optional<PackContents> contents = readGoodContents(golden_, std::string(rest[0]), problem_);
      if (!contents)
        return false;
      contents_ = std::move(*contents);
      return write();
    }
    if (words[0] == "parameters" && rest.size() >= 2) {
      std::string_view name = rest[0];
      std::uint64_t expert = 0, offset = 0;
      std::optional<std::vector<std::uint8_t>> bytes = bytesIn(rest.subspan(1));
      if (!takeOffset(name, offset) || !parseNumber(name, expert) || expert >= contents_.experts.size() || !bytes)
        return false;
      std::vector<std::uint8_t> &parameters = contents_.experts[expert].parameters;
      if (offset > parameters.size() || bytes->size() > parameters.size() - offset)
        return false;
      std::copy(bytes->begin(), bytes->end(), parameters.begin() + static_cast<std::ptrdiff_t>(offset));
      return write();
    }
    if (words[0] == "set" && rest.size() == 2) {
      auto place = places_.find(rest[0]);
      std::uint64_t value;
      if (place == places_.end() || place->second.width == 0 || !parseNumber(rest[1], value))
        return false;
      for (unsigned i = 0; i < place->second.width; ++i)
        bad_.file[place->second.offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
      return true;
    }
    if ((words[0] == "patch" || words[0] == "insert") && rest.size() >= 2) {
      const std::optional<std::uint64_t> offset = placeOf(rest[0]);
      std::optional<std::vector<std::uint8_t>> bytes = bytesIn(rest.subspan(1));
      if (!bytes || !offset)
        return false;
      const auto at = bad_.file.begin() + static_cast<std::ptrdiff_t>(*offset);
      if (words[0] == "insert") {
        bad_.file.insert(at, bytes->begin(), bytes->end());
        return true;
      }
      if (bytes->size() > bad_.file.size() - *offset)
        return false;
      std::copy(bytes->begin(), bytes->end(), at);
      return true;
    }
    if (words[0] == "remove" && rest.size() == 2) {
      const std::optional<std::uint64_t> offset = placeOf(rest[0]);
      std::uint64_t count = 0;
      if (!offset || !parseNumber(rest[1], count) || count > bad_.file.size() - *offset)
        return false;
      const auto at = bad_.file.begin() + static_cast<std::ptrdiff_t>(*offset);
      bad_.file.erase(at, at + static_cast<std::ptrdiff_t>(count));
      return true;
    }
    if (words[0] == "plan" && rest.size() == 2) {
      std::uint64_t index = 0, value = 0;
      if (!parseNumber(rest[0], index) || !parseNumber(rest[1], value) || !places_.contains("plan"))
        return false;
      const std::size_t at = places_.find("plan")->second.offset;
      if (plan_.empty()) {
        Header header = parseHeader(bad_.file).value();
        Root root = parseRoot(header, std::span(bad_.file).subspan(header.root.offset, header.root.length)).value();
        plan_.resize(root.plan.rawLength);
        if (!decodeBlock(root.plan, std::span(bad_.file).subspan(at), plan_).ok())
          return false;
      }
      if (4 * index + 4 > plan_.size())
        return false;
      for (unsigned i = 0; i < 4; ++i)
        plan_[4 * index + i] = static_cast<std::uint8_t>(value >> (8 * i));
      bad_.file.resize(at);
      bad_.file.insert(bad_.file.end(), plan_.begin(), plan_.end());
      const std::string size = std::to_string(plan_.size());
      for (const std::string &change :
           {"set header.extensions_length " + size, "set plan.stored " + size, std::string("set plan.codec 0")})
        if (!apply(split(change)))
          return false;
      return true;
    }
    if (words[0] == "append") {
      std::optional<std::vector<std::uint8_t>> bytes = bytesIn(rest);
      if (bytes)
        bad_.file.insert(bad_.file.end(), bytes->begin(), bytes->end());
      return bytes.has_value();
    }
    if (words[0] == "truncate" && rest.size() == 1) {
      std::uint64_t length;
      if (!parseNumber(rest[0], length) || length > bad_.file.size())
        return false;
      bad_.file.resize(length);
      return true;
    }
    if (words[0] == "rehash") {
      RehashLevels levels;
      if (!rest.empty())
        levels = {false, false, false, false, false};
      for (std::string_view level : rest) {
        if (level == "data")
          levels.data = true;
        else if (level == "blocks")
          levels.blocks = true;
        else if (level == "root")
          levels.root = true;
        else if (level == "content")
          levels.content = true;
        else if (level == "header")
          levels.header = true;
        else
          return false;
      }
      rehashPack(bad_.file, levels);
      return true;
    }
    if (words[0] == "expect" && rest.size() >= 1 && rest.size() <= 4) {
      std::optional<ErrorId> id = errorNamed(rest[0]);
      if (!id)
        return false;
      bad_.expected.id = *id;
      for (std::size_t i = 1; i < rest.size(); ++i)
        if (!parseNumber(rest[i], bad_.expected.args[i - 1]))
          return false;
      return true;
    }
    return false;
  }

  /// Splits NAME+OFFSET; without an offset it stays as it was.
  static bool takeOffset(std::string_view &name, std::uint64_t &offset) {
    const std::size_t plus = std::min(name.find('+'), name.size());
    const bool isGood = plus == name.size() || parseNumber(name.substr(plus + 1), offset);
    name = name.substr(0, plus);
    return isGood;
  }

  /// Where NAME+OFFSET is, if that is in the file or at its end.
  std::optional<std::uint64_t> placeOf(std::string_view name) const {
    std::uint64_t offset = 0;
    if (!takeOffset(name, offset))
      return std::nullopt;
    const auto place = places_.find(name);
    if (place == places_.end() || place->second.offset > bad_.file.size() ||
        offset > bad_.file.size() - place->second.offset)
      return std::nullopt;
    return place->second.offset + offset;
  }

  /// The bytes of contents_.
  bool write() {
    Result<std::vector<std::uint8_t>> file = writePack(contents_);
    if (!file.ok()) {
      problem_ = message(file.error());
      return false;
    }
    bad_.file = *file;
    places_ = placesIn(bad_.file);
    return true;
  }

  static std::optional<std::vector<std::uint8_t>> bytesIn(std::span<const std::string_view> words) {
    std::vector<std::uint8_t> bytes;
    for (std::string_view word : words) {
      std::uint64_t byte, count = 1;
      std::size_t star = std::min(word.find('*'), word.size());
      if (star != 2 || !parseNumber("0x" + std::string(word.substr(0, 2)), byte) ||
          (star < word.size() && !parseNumber(word.substr(star + 1), count)))
        return std::nullopt;
      bytes.insert(bytes.end(), count, static_cast<std::uint8_t>(byte));
    }
    return bytes;
  }

  const std::string &golden_;
  std::string &problem_;
  BadPack bad_;
  PackContents contents_;
  Places places_;
  std::vector<std::uint8_t> plan_; ///< raw, with what was changed
};

} // namespace

std::optional<BadPack> readBadPack(const std::string &golden, std::string_view text, std::string &problem) {
  return Builder(golden, problem).run(text);
}

std::optional<std::vector<std::uint8_t>> readGoodPack(const std::string &golden, const std::string &name,
                                                      std::string &problem) {
  std::optional<PackContents> contents = readGoodContents(golden, name, problem);
  if (!contents)
    return std::nullopt;
  Result<std::vector<std::uint8_t>> file = writePack(*contents);
  if (!file.ok()) {
    problem = message(file.error());
    return std::nullopt;
  }
  return *file;
}

} // namespace kimic::test
