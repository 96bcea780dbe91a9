#include "formats/pack/PackText.h"

#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::pair<const char *, bool Router::*> kRouterBits[] = {{"normalised", &Router::isNormalised},
                                                                   {"bias", &Router::hasBias},
                                                                   {"weights", &Router::hasWeights},
                                                                   {"thresholds", &Router::hasThresholds}};
constexpr std::size_t kMaxRepeat = kMaxBlockBytes;

template <class Number> std::string numberText(Number value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

std::string hex(std::span<const std::uint8_t> bytes, std::string_view separator) {
  std::string text;
  for (std::uint8_t byte : bytes) {
    if (!text.empty())
      text += separator;
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

/// Lines of up to 32 items, each two spaces deep; runs of at least 4 equal bytes become `bb*n`.
std::string byteLines(std::span<const std::uint8_t> bytes) {
  std::string text;
  std::size_t items = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t run = 1;
    while (i + run < bytes.size() && bytes[i + run] == bytes[i])
      ++run;
    std::size_t count = run >= 4 ? run : 1;
    text += items++ % 32 == 0 ? "\n  " : " ";
    text += hex(bytes.subspan(i, 1), "");
    if (count > 1)
      text += "*" + numberText(count);
    i += count;
  }
  return text;
}

template <std::size_t N> std::string wordText(const char *const (&words)[N], unsigned number) {
  return number < N ? words[number] : numberText(number);
}

/// The words after the layers of a kernel.
constexpr const char *kFormatWords[quant::kWeightFormatCount] = {"", "residual", "float32"};
constexpr const char *kHeadWords[quant::kHeadCount] = {"", "softmax", "argmax"};
constexpr const char *kSparseWord = "sparse", *kAffineWord = "affine";
/// What `reads` calls the request.
constexpr const char *kRequestWord = "request";

std::string kernelText(const quant::Signature &signature) {
  std::string text = "kernel " + numberText(signature.inputs);
  for (const quant::LayerSignature &layer : signature.layers) {
    text += " | " + numberText(layer.readBegin);
    for (const quant::ActivationGroup &group : layer.groups) {
      text += std::string(" ") + nameOf(group.function) + "*" + numberText(group.count);
      if (group.clamped)
        text += ":clamped";
    }
  }
  std::string separator = " | ";
  for (const char *word :
       {kFormatWords[static_cast<unsigned>(signature.weights())], signature.sparseInputs ? kSparseWord : "",
        signature.outputAffine ? kAffineWord : "", kHeadWords[static_cast<unsigned>(signature.head)]})
    if (*word) {
      text += separator + word;
      separator = " ";
    }
  return text;
}

/// Splits at spaces, which also join the lines of one thing.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    std::size_t begin = text.find_first_not_of(" \n\r");
    if (begin == text.npos)
      return words;
    text.remove_prefix(begin);
    std::size_t end = std::min(text.find_first_of(" \n\r"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

template <class Number> bool parseNumber(std::string_view text, Number &value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// Reads the things of a text one by one; the first error stays.
class Parser {
public:
  explicit Parser(const std::string &fileName) { error_.file = fileName; }

  Result<PackContents, Diagnostic> run(std::string_view text) {
    std::uint32_t line = 0, thingLine = 0;
    std::string_view thing;
    while (!text.empty() && !failed()) {
      std::string_view current = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), current.size() + 1));
      ++line;
      if (current.starts_with(' ') && !thing.empty()) {
        thing = {thing.data(), static_cast<std::size_t>(current.data() + current.size() - thing.data())};
        continue;
      }
      parseThing(thing, thingLine);
      thing = current;
      thingLine = line;
    }
    parseThing(thing, thingLine);
    if (failed())
      return error_;
    if (hasMeta_)
      contents_.meta = meta_;
    return std::move(contents_);
  }

private:
  bool failed() const { return error_.id != ErrorId::None; }

  void fail(std::string_view key, std::string_view found, std::string_view expected) {
    if (failed())
      return;
    error_.id = ErrorId::PackTextSyntax;
    error_.line = line_;
    error_.key = key;
    error_.found = found.substr(0, 40);
    error_.expected = expected;
  }

  void parseThing(std::string_view thing, std::uint32_t line) {
    if (failed() || thing.empty() || thing.front() == '#' || split(thing).empty())
      return;
    line_ = line;
    std::vector<std::string_view> words = split(thing);
    const std::string_view kind = words.front();
    const std::span<const std::string_view> rest = std::span(words).subspan(1);
    if (kind == "meta") {
      meta_ += (hasMeta_ ? "\n" : "");
      meta_ += thing.substr(std::min(thing.size(), std::size_t{5}));
      hasMeta_ = true;
    } else if (kind == "group") {
      parseGroup(rest);
    } else if (kind == "features") {
      if (rest.size() != 1 || !parseNumber(rest[0], contents_.features))
        fail("features", rest.empty() ? "" : rest[0], "how many numbers a request has");
    } else if (kind == "kernel") {
      parseKernel(rest);
    } else if (kind == "module") {
      parseModule(rest);
    } else if (kind == "expert") {
      parseExpert(rest);
    } else if (kind == "router") {
      parseRouter(rest);
    } else {
      fail("", kind, "meta, group, features, kernel, module, expert or router");
    }
  }

  void parseGroup(std::span<const std::string_view> words) {
    std::uint32_t kernels = 0;
    if (words.size() != 1 || !parseNumber(words[0], kernels) || (kernels & (kernels - 1)))
      return fail("group", words.empty() ? "" : words[0], "a power of two");
    contents_.groupLog2 = 0;
    while ((1u << contents_.groupLog2) < kernels)
      ++contents_.groupLog2;
  }

  void parseKernel(std::span<const std::string_view> words) {
    quant::Signature signature;
    if (words.empty() || !parseNumber(words[0], signature.inputs))
      return fail("kernel", words.empty() ? "" : words[0], "the number of inputs");
    for (std::size_t i = 1; i < words.size();) {
      if (words[i] != "|" || ++i == words.size())
        return fail("kernel", words[std::min(i, words.size() - 1)], "'|' and a layer");
      if (parseFeature(words[i], signature)) {
        for (++i; i < words.size(); ++i)
          if (!parseFeature(words[i], signature))
            return fail("kernel", words[i], "residual, float32, sparse, affine, softmax or argmax");
        break;
      }
      quant::LayerSignature &layer = signature.layers.emplace_back();
      if (!parseNumber(words[i], layer.readBegin))
        return fail("kernel", words[i], "the first code that the layer reads");
      for (++i; i < words.size() && words[i] != "|"; ++i)
        if (!parseActivations(words[i], layer.groups.emplace_back()))
          return fail("kernel", words[i], "FUNCTION*COUNT or FUNCTION*COUNT:clamped");
    }
    if (Result<void> valid = quant::validate(signature); !valid.ok())
      return fail("kernel", message(valid.error()), "a valid signature");
    contents_.signatures.push_back(quant::encode(signature));
  }

  static bool parseFeature(std::string_view word, quant::Signature &signature) {
    for (unsigned format = 1; format < quant::kWeightFormatCount; ++format)
      if (word == kFormatWords[format]) {
        for (quant::LayerSignature &layer : signature.layers)
          layer.weights = static_cast<quant::WeightFormat>(format);
        return true;
      }
    for (unsigned head = 1; head < quant::kHeadCount; ++head)
      if (word == kHeadWords[head]) {
        signature.head = static_cast<quant::Head>(head);
        return true;
      }
    signature.sparseInputs |= word == kSparseWord;
    signature.outputAffine |= word == kAffineWord;
    return word == kSparseWord || word == kAffineWord;
  }

  static bool parseActivations(std::string_view word, quant::ActivationGroup &group) {
    std::size_t star = word.find('*'), colon = word.find(':');
    if (star == word.npos)
      return false;
    group.clamped = colon != word.npos;
    if (group.clamped && word.substr(colon) != ":clamped")
      return false;
    for (unsigned number = 0; number < kActivationCount; ++number)
      if (word.substr(0, star) == nameOf(static_cast<Activation>(number))) {
        group.function = static_cast<Activation>(number);
        return parseNumber(word.substr(star + 1, std::min(colon, word.size()) - star - 1), group.count);
      }
    return false;
  }

  void parseModule(std::span<const std::string_view> words) {
    for (unsigned index = 0; index < kVariantCount; ++index)
      if (!words.empty() && words[0] == abi::nameOf(variantAt(index))) {
        contents_.modules[index].push_back(parseBytes(words.subspan(1)));
        return;
      }
    fail("module", words.empty() ? "" : words[0], "scalar, simd128 or relaxed");
  }

  Bytes parseBytes(std::span<const std::string_view> words) {
    Bytes bytes;
    for (std::string_view word : words) {
      std::size_t star = std::min(word.find('*'), word.size());
      unsigned byte = 0;
      std::size_t count = 1;
      const char *end = word.data() + star;
      bool good = star == 2 && std::from_chars(word.data(), end, byte, 16).ptr == end;
      if (star < word.size())
        good = good && parseNumber(word.substr(star + 1), count) && count <= kMaxRepeat;
      if (!good) {
        fail("bytes", word, "two hexadecimal digits, then perhaps *COUNT");
        break;
      }
      bytes.insert(bytes.end(), count, static_cast<std::uint8_t>(byte));
    }
    return bytes;
  }

  /// The KEY=VALUE words at the front of `words`, which are taken away.
  std::map<std::string_view, std::string_view> takeFields(std::span<const std::string_view> &words) {
    std::map<std::string_view, std::string_view> fields;
    while (!words.empty() && words[0].find('=') != words[0].npos) {
      std::size_t equals = words[0].find('=');
      if (!fields.emplace(words[0].substr(0, equals), words[0].substr(equals + 1)).second)
        fail("", words[0], "each field once");
      words = words.subspan(1);
    }
    return fields;
  }

  template <class Number>
  void take(std::map<std::string_view, std::string_view> &fields, std::string_view key, Number &value) {
    auto field = fields.find(key);
    if (field == fields.end())
      return;
    if (!parseNumber(field->second, value))
      fail(key, field->second, "a number");
    fields.erase(field);
  }

  /// A word of `words`, or its number.
  template <class Enum, std::size_t N>
  void takeWord(std::map<std::string_view, std::string_view> &fields, std::string_view key,
                const char *const (&words)[N], Enum &value) {
    auto field = fields.find(key);
    if (field == fields.end())
      return;
    std::uint8_t number = 0;
    while (number < N && field->second != words[number])
      ++number;
    if (number == N && !parseNumber(field->second, number))
      fail(key, field->second, words[0]);
    value = static_cast<Enum>(number);
    fields.erase(field);
  }

  /// A list of EXPERT:REST, separated by commas: read(EXPERT, REST) for each of them.
  template <class Read>
  void takeList(std::map<std::string_view, std::string_view> &fields, std::string_view key, const char *expected,
                Read read) {
    auto field = fields.find(key);
    if (field == fields.end())
      return;
    for (std::string_view rest = field->second; !failed();) {
      const std::string_view item = rest.substr(0, rest.find(','));
      const std::size_t colon = std::min(item.find(':'), item.size());
      if (colon == item.size() || !read(item.substr(0, colon), item.substr(colon + 1)))
        fail(key, item, expected);
      if (item.size() == rest.size())
        break;
      rest.remove_prefix(item.size() + 1);
    }
    fields.erase(field);
  }

  void refuseRest(const std::map<std::string_view, std::string_view> &fields) {
    if (!fields.empty())
      fail("", fields.begin()->first, "a field of this kind of line");
  }

  void parseExpert(std::span<const std::string_view> words) {
    static constexpr const char *kDomains[kDomainCount] = {
        nameOf(Domain::Reasoning), nameOf(Domain::Coding),  nameOf(Domain::Language), nameOf(Domain::Mathematics),
        nameOf(Domain::ToolUse),   nameOf(Domain::Context), nameOf(Domain::Planning), nameOf(Domain::Creativity)};
    auto fields = takeFields(words);
    PackContents::Expert expert;
    take(fields, "kernel", expert.kernel);
    takeWord(fields, "domain", kDomains, expert.domain);
    take(fields, "threshold", expert.confidenceThreshold);
    take(fields, "flags", expert.flags);
    takeList(fields, "next", "EXPERT:CHANCE", [&](std::string_view number, std::string_view chance) {
      Transition &next = expert.next.emplace_back();
      return parseNumber(number, next.expert) && parseNumber(chance, next.chance);
    });
    takeList(fields, "reads", "request:FIRST+COUNT or EXPERT:FIRST+COUNT",
             [&](std::string_view from, std::string_view part) {
               Source &source = expert.reads.emplace_back();
               const std::size_t plus = std::min(part.find('+'), part.size());
               return (from == kRequestWord || parseNumber(from, source.expert)) && plus < part.size() &&
                      parseNumber(part.substr(0, plus), source.first) &&
                      parseNumber(part.substr(plus + 1), source.count);
             });
    refuseRest(fields);
    expert.parameters = parseBytes(words);
    contents_.experts.push_back(std::move(expert));
  }

  void parseRouter(std::span<const std::string_view> words) {
    auto fields = takeFields(words);
    Router router;
    take(fields, "routed", router.routed);
    takeWord(fields, "head", kHeadNames, router.head);
    takeWord(fields, "strategy", kStrategyNames, router.strategy);
    takeWord(fields, "merge", kMergeNames, router.merge);
    take(fields, "top-k", router.topK);
    take(fields, "temperature", router.temperature);
    take(fields, "min-votes", router.minVotes);
    take(fields, "scale", router.scale);
    take(fields, "threshold", router.threshold);
    take(fields, "fallback", router.fallback);
    for (auto [name, member] : kRouterBits) {
      std::uint8_t bit = router.*member;
      take(fields, name, bit);
      router.*member = bit != 0;
    }
    refuseRest(fields);
    if (!words.empty())
      fail("router", words[0], "KEY=VALUE");
    if (contents_.router)
      fail("router", "a second router", "one");
    contents_.router = router;
  }

  Diagnostic error_;
  PackContents contents_;
  std::string meta_;
  bool hasMeta_ = false;
  std::uint32_t line_ = 0;
};

std::string readsText(std::span<const Source> reads) {
  std::string text;
  for (const Source &source : reads)
    text += (text.empty() ? " reads=" : ",") +
            (source.expert == kNoExpert ? std::string(kRequestWord) : numberText(source.expert)) + ":" +
            numberText(source.first) + "+" + numberText(source.count);
  return text;
}

std::string nextText(std::span<const Transition> next) {
  std::string text;
  for (const Transition &transition : next)
    text +=
        (text.empty() ? " next=" : ",") + numberText(transition.expert) + ":" + numberText(unsigned{transition.chance});
  return text;
}

std::string padded(std::string text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string blockLine(const BlockRef &block, const std::string &what) {
  const std::string codec = nameOf(block.codec);
  return padded(numberText(block.offset), 10) + " " + padded(numberText(block.storedLength), 9) + " " +
         padded(numberText(block.rawLength), 9) + " " + codec + std::string(7 - codec.size(), ' ') +
         hex(std::span(block.sha256).first(8), "") + " " + what + "\n";
}

} // namespace

std::string printContents(const PackContents &contents) {
  std::string text;
  for (std::size_t begin = 0; begin <= contents.meta.size();) {
    std::size_t end = std::min(contents.meta.find('\n', begin), contents.meta.size());
    text += "meta " + contents.meta.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  text += "group " + numberText(1u << contents.groupLog2) + "\n";
  if (contents.features)
    text += "features " + numberText(contents.features) + "\n";
  for (const Bytes &signature : contents.signatures)
    text += kernelText(quant::decodeSignature(signature).value()) + "\n";
  for (unsigned index = 0; index < kVariantCount; ++index)
    for (const Bytes &module : contents.modules[index])
      text += std::string("module ") + abi::nameOf(variantAt(index)) + byteLines(module) + "\n";
  for (const PackContents::Expert &expert : contents.experts) {
    const unsigned domain = static_cast<unsigned>(expert.domain);
    text += "expert kernel=" + numberText(expert.kernel) +
            " domain=" + (domain < kDomainCount ? nameOf(expert.domain) : numberText(domain)) +
            " threshold=" + numberText(expert.confidenceThreshold) + " flags=" + numberText(unsigned{expert.flags}) +
            nextText(expert.next) + readsText(expert.reads) + byteLines(expert.parameters) + "\n";
  }
  if (const std::optional<Router> &router = contents.router) {
    text += "router routed=" + numberText(router->routed) +
            " head=" + wordText(kHeadNames, static_cast<unsigned>(router->head)) +
            " strategy=" + wordText(kStrategyNames, static_cast<unsigned>(router->strategy)) +
            " merge=" + wordText(kMergeNames, static_cast<unsigned>(router->merge)) +
            " top-k=" + numberText(router->topK) + " temperature=" + numberText(router->temperature);
    // What is not said has its default.
    const Router plain;
    std::string rest;
    if (router->minVotes != plain.minVotes)
      rest += " min-votes=" + numberText(router->minVotes);
    if (router->scale != plain.scale)
      rest += " scale=" + numberText(router->scale);
    if (router->threshold != plain.threshold)
      rest += " threshold=" + numberText(router->threshold);
    if (router->fallback != plain.fallback)
      rest += " fallback=" + numberText(router->fallback);
    for (auto [name, member] : kRouterBits)
      if ((*router).*member != plain.*member)
        rest += std::string(" ") + name + ((*router).*member ? "=1" : "=0");
    if (!rest.empty())
      text += "\n " + rest;
    text += "\n";
  }
  return text;
}

Result<PackContents, Diagnostic> parseContents(std::string_view text, const std::string &fileName) {
  return Parser(fileName).run(text);
}

Result<std::string> printLayout(std::span<const std::uint8_t> file) {
  KIMIC_TRY(verifyPack(file));
  KIMIC_ASSIGN(Header header, parseHeader(file));
  KIMIC_ASSIGN(Root root, parseRoot(header, file.subspan(header.root.offset, header.root.length)));

  std::string text = "    offset    stored       raw codec  sha256           block\n";
  text += blockLine({0, kHeaderBytes, kHeaderBytes, Codec::Stored, packDigest(file)}, "header");
  const auto rootLength = static_cast<std::uint32_t>(header.root.length);
  text += blockLine({header.root.offset, rootLength, rootLength, Codec::Stored, header.rootSha256}, "root");
  auto groupLines = [&](std::uint32_t number) {
    const KernelGroup &group = root.groups[number];
    text += blockLine(group.signatures, "signatures " + numberText(number));
    for (unsigned index = kVariantCount; index-- > 1;)
      if (header.hasVariant(variantAt(index)))
        text += blockLine(group.modules[index],
                          std::string("module ") + abi::nameOf(variantAt(index)) + " " + numberText(number));
  };
  groupLines(0);
  if (root.router)
    text += blockLine(root.routerEntry.data, "data of the router");
  struct SharedBlock {
    BlockRef block;
    std::uint32_t firstExpert, experts;
  };
  std::map<std::uint64_t, SharedBlock> data;
  KIMIC_ASSIGN(std::vector<BlockRef> rows, leafRows(header, root, file));
  for (std::uint32_t number = 0; number < header.leafCount(); ++number) {
    if (header.branchLog2 && header.firstLeaf(number >> header.branchLog2) == number)
      text += blockLine(root.branches[number >> header.branchLog2].block,
                        "branch " + numberText(number >> header.branchLog2));
    const BlockRef &block = rows[number];
    text += blockLine(block, "leaf " + numberText(number));
    Bytes raw(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file.subspan(block.offset, block.storedLength), raw));
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header, number, raw));
    for (std::uint32_t i = 0; i < leaf.entries.size(); ++i) {
      const BlockRef &block = leaf.entries[i].data;
      if (block.codec != Codec::Zero)
        ++data.emplace(block.offset, SharedBlock{block, header.firstExpert(number) + i, 0}).first->second.experts;
    }
  }
  for (const auto &[offset, shared] : data)
    text += blockLine(shared.block, "data of expert " + numberText(shared.firstExpert) +
                                        (shared.experts > 1 ? " and " + numberText(shared.experts - 1) + " more" : ""));
  for (std::uint32_t number = 1; number < header.groupCount(); ++number)
    groupLines(number);
  if (header.scalar.length)
    for (std::uint32_t number = 0; number < header.groupCount(); ++number)
      text += blockLine(root.groups[number].modules[0], "module scalar " + numberText(number));
  text += blockLine(root.meta, "metadata");
  if (header.hasPlan())
    text += blockLine(root.plan, "plan");
  return text;
}

} // namespace kimic::pack
