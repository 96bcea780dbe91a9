// One JSON object a line, read by hand: nothing of it is kept but the step, and every error knows its column.
#include "formats/manifest/Json.h"
#include "formats/manifest/Spelling.h"
#include "formats/trace/TraceReader.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace kimic::trace {

namespace {

using Status = Result<void, Diagnostic>;

constexpr std::uint64_t kFnvOffset = 0xcbf29ce484222325u, kFnvPrime = 0x100000001b3u;

/// FNV-1a: names of sequences become numbers. Two that collide cost a wrong count, no more.
std::uint64_t hashOf(std::string_view text) {
  std::uint64_t hash = kFnvOffset;
  for (char c : text)
    hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return hash;
}

class LineParser {
public:
  LineParser(std::string_view text, const std::string &fileName, std::uint32_t line, const ExpertNumbers &experts,
             std::size_t featureCount)
      : text_(text), fileName_(fileName), line_(line), experts_(experts), featureCount_(featureCount) {}

  Result<Step, Diagnostic> parse() {
    skipSpace();
    if (!accept('{'))
      return bad("an object: {");
    bool isFirst = true;
    for (skipSpace(); !accept('}'); skipSpace()) {
      if (!isFirst && !accept(','))
        return bad("',' or '}'");
      isFirst = false;
      skipSpace();
      keyAt_ = at_;
      std::string key;
      KIMIC_TRY(readString(key));
      skipSpace();
      if (!accept(':'))
        return bad("':'");
      skipSpace();
      KIMIC_TRY(readMember(key));
    }
    skipSpace();
    if (at_ != text_.size())
      return bad("the end of the line");
    KIMIC_TRY(checkWhole());
    return std::move(step_);
  }

private:
  enum Key : unsigned { Experts, Weights, Features, Logits, Outcome, Target, Sequence, Metadata };
  static constexpr std::string_view kKeys[] = {"experts", "weights", "features", "logits",
                                               "outcome", "target",  "sequence", "metadata"};

  Diagnostic error(ErrorId id, std::size_t at, std::string found, std::string expected) const {
    std::string key = "column " + std::to_string(at + 1);
    if (!context_.empty())
      key += ": " + context_;
    return {id, fileName_, line_, key, std::move(found), std::move(expected)};
  }
  Diagnostic bad(const char *expected) const {
    std::string found = at_ < text_.size() ? manifest::quote(text_.substr(at_, 20)) : "end of the line";
    return error(ErrorId::TraceBadSyntax, at_, std::move(found), expected);
  }

  void skipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  bool accept(char c) {
    if (at_ == text_.size() || text_[at_] != c)
      return false;
    ++at_;
    return true;
  }

  Status readMember(const std::string &key) {
    std::size_t index = static_cast<std::size_t>(std::find(std::begin(kKeys), std::end(kKeys), key) - kKeys);
    if (index == std::size(kKeys)) {
      std::vector<std::string_view> known(std::begin(kKeys), std::end(kKeys));
      return error(ErrorId::TraceKeyUnknown, keyAt_, manifest::quote(key), manifest::expectedWord(key, known));
    }
    if (seen_ & (1u << index))
      return error(ErrorId::TraceBadSyntax, keyAt_, manifest::quote(key), "each key once");
    seen_ |= 1u << index;
    context_ = key;
    switch (static_cast<Key>(index)) {
    case Experts:
      KIMIC_TRY(readExperts());
      break;
    case Weights:
      KIMIC_TRY(readNumbers(step_.weights, kMaxChosen));
      break;
    case Features:
      KIMIC_TRY(readNumbers(step_.features, kMaxNumbers));
      break;
    case Logits:
      KIMIC_TRY(readNumbers(step_.logits, kMaxNumbers));
      break;
    case Outcome:
      KIMIC_TRY(readOutcome());
      break;
    case Target:
      KIMIC_TRY(readExpert(step_.target.emplace()));
      break;
    case Sequence:
      KIMIC_TRY(readSequence());
      break;
    case Metadata:
      KIMIC_TRY(skipValue());
      break;
    }
    context_.clear();
    return {};
  }

  Status readExperts() {
    std::size_t begin = at_;
    if (!accept('['))
      return bad("an array of ids or numbers");
    for (skipSpace(); !accept(']'); skipSpace()) {
      if (!step_.experts.empty() && !accept(','))
        return bad("',' or ']'");
      skipSpace();
      if (step_.experts.size() == kMaxChosen)
        return error(ErrorId::TraceOutOfRange, at_, "more experts", "at most " + std::to_string(kMaxChosen));
      std::size_t at = at_;
      std::uint32_t number = 0;
      KIMIC_TRY(readExpert(number));
      if (std::find(step_.experts.begin(), step_.experts.end(), number) != step_.experts.end())
        return error(ErrorId::TraceOutOfRange, at, std::string(text_.substr(at, at_ - at)), "each expert once");
      step_.experts.push_back(number);
    }
    if (step_.experts.empty())
      return error(ErrorId::TraceOutOfRange, begin, "an empty array", "at least one expert");
    return {};
  }

  /// An id, or the number in the pack.
  Status readExpert(std::uint32_t &number) {
    std::size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '"') {
      std::string id;
      KIMIC_TRY(readString(id));
      auto at = experts_.ofId.find(id);
      if (at == experts_.ofId.end())
        return error(ErrorId::TraceUnknownExpert, begin, manifest::quote(id), nearestId(id));
      number = at->second;
      return {};
    }
    double value = 0;
    KIMIC_TRY(readNumber(value));
    if (!(value >= 0 && value < experts_.count && value == std::floor(value)))
      return error(ErrorId::TraceUnknownExpert, begin, std::string(text_.substr(begin, at_ - begin)),
                   "a number from 0 to " + std::to_string(experts_.count - 1));
    number = static_cast<std::uint32_t>(value);
    return {};
  }

  std::string nearestId(const std::string &id) const {
    constexpr std::size_t kMaxCompared = 4096; // a suggestion is not worth more time
    if (experts_.ofId.size() > kMaxCompared)
      return "the id of an expert";
    std::vector<std::string_view> ids;
    for (const auto &[known, number] : experts_.ofId)
      ids.push_back(known);
    std::string_view nearest = manifest::nearest(id, ids);
    return nearest.empty() ? "the id of an expert" : manifest::quote(nearest);
  }

  Status readNumbers(std::vector<float> &out, std::size_t atMost) {
    if (!accept('['))
      return bad("an array of numbers");
    for (skipSpace(); !accept(']'); skipSpace()) {
      if (!out.empty() && !accept(','))
        return bad("',' or ']'");
      skipSpace();
      if (out.size() == atMost)
        return error(ErrorId::TraceOutOfRange, at_, "more numbers", "at most " + std::to_string(atMost));
      std::size_t begin = at_;
      double value = 0;
      KIMIC_TRY(readNumber(value));
      float rounded = static_cast<float>(value);
      if (!std::isfinite(rounded))
        return error(ErrorId::TraceOutOfRange, begin,
                     std::string(text_.substr(begin, std::min<std::size_t>(20, at_ - begin))),
                     "a number that float32 can hold");
      out.push_back(rounded);
    }
    return {};
  }

  Status readOutcome() {
    std::size_t begin = at_;
    for (auto [word, value] : {std::pair{"true", 1.0f}, {"false", 0.0f}})
      if (text_.substr(at_).starts_with(word)) {
        at_ += std::strlen(word);
        step_.outcome = value;
        return {};
      }
    double value = 0;
    KIMIC_TRY(readNumber(value));
    if (!(value >= 0 && value <= 1))
      return error(ErrorId::TraceOutOfRange, begin,
                   std::string(text_.substr(begin, std::min<std::size_t>(20, at_ - begin))),
                   "true, false, or a number from 0 to 1");
    step_.outcome = static_cast<float>(value);
    return {};
  }

  Status readSequence() {
    std::size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '"') {
      std::string name;
      KIMIC_TRY(readString(name));
    } else {
      double value = 0;
      KIMIC_TRY(readNumber(value));
    }
    step_.sequence = hashOf(text_.substr(begin, at_ - begin));
    return {};
  }

  Status readString(std::string &out) {
    if (!accept('"'))
      return bad("a string");
    for (;;) {
      if (at_ == text_.size())
        return bad("'\"' at the end of the string");
      char c = text_[at_++];
      if (c == '"')
        return {};
      if (static_cast<unsigned char>(c) < 0x20) {
        --at_;
        return bad("a string without control characters");
      }
      if (c != '\\') {
        out += c;
        continue;
      }
      KIMIC_TRY(readEscape(out));
    }
  }

  Status readEscape(std::string &out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kCharacters = "\"\\/\b\f\n\r\t";
    char c = at_ < text_.size() ? text_[at_] : '\0';
    if (std::size_t index = kNames.find(c); c != '\0' && index != kNames.npos) {
      ++at_;
      out += kCharacters[index];
      return {};
    }
    unsigned code = 0;
    auto begin = text_.data() + at_ + 1;
    bool isUnicode = c == 'u' && text_.size() - at_ >= 5;
    if (!isUnicode || std::from_chars(begin, begin + 4, code, 16).ptr != begin + 4)
      return bad("an escape sequence of JSON");
    at_ += 5;
    // Halves of surrogate pairs become three bytes each: nothing but equality of names depends on it.
    if (code < 0x80)
      out += static_cast<char>(code);
    else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 63));
    } else {
      out += static_cast<char>(0xE0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 63));
      out += static_cast<char>(0x80 | (code & 63));
    }
    return {};
  }

  Status readNumber(double &value) {
    // from_chars takes more than JSON does: "inf", "01", "1."
    std::size_t begin = at_, at = at_;
    auto isDigit = [&](std::size_t i) { return i < text_.size() && text_[i] >= '0' && text_[i] <= '9'; };
    auto digits = [&] {
      std::size_t first = at;
      while (isDigit(at))
        ++at;
      return at > first;
    };
    at += at < text_.size() && text_[at] == '-';
    bool isNumber = isDigit(at);
    if (isNumber && text_[at] == '0')
      ++at;
    else
      digits();
    if (at < text_.size() && text_[at] == '.') {
      ++at;
      isNumber &= digits();
    }
    if (at < text_.size() && (text_[at] == 'e' || text_[at] == 'E')) {
      ++at;
      at += at < text_.size() && (text_[at] == '+' || text_[at] == '-');
      isNumber &= digits();
    }
    if (!isNumber)
      return bad("a number");
    auto [end, code] = std::from_chars(text_.data() + begin, text_.data() + at, value);
    if (code == std::errc::result_out_of_range) {
      // Too small is 0, too large is refused. from_chars does not tell which; the exponent's sign does.
      std::string_view digitsOf = text_.substr(begin, at - begin);
      std::size_t e = digitsOf.find_first_of("eE");
      if (e == digitsOf.npos || digitsOf[e + 1] != '-')
        return error(ErrorId::TraceOutOfRange, begin, manifest::quote(digitsOf), "a number that float32 can hold");
      value = 0;
    }
    at_ = at;
    return {};
  }

  /// Any value; what is inside of it is not looked at but for strings and brackets.
  Status skipValue() {
    constexpr std::size_t kMaxDepth = 32;
    std::string open;
    do {
      skipSpace();
      if (at_ == text_.size())
        return bad("a value");
      char c = text_[at_];
      if (c == '"') {
        std::string ignored;
        KIMIC_TRY(readString(ignored));
      } else if (c == '{' || c == '[') {
        if (open.size() == kMaxDepth)
          return bad("at most 32 levels");
        open += c == '{' ? '}' : ']';
        ++at_;
      } else if (!open.empty() && c == open.back()) {
        open.pop_back();
        ++at_;
      } else if (!open.empty() && (c == ',' || c == ':')) {
        ++at_;
      } else {
        std::size_t length = text_.substr(at_).find_first_of(" \t\r,:]}[{\"");
        length = std::min(length, text_.size() - at_);
        if (length == 0)
          return bad("a value");
        at_ += length;
      }
    } while (!open.empty());
    return {};
  }

  Status checkWhole() const {
    auto mismatch = [&](const char *key, std::size_t found, std::size_t expected, const char *what) -> Status {
      return Diagnostic{ErrorId::TraceCountMismatch,    fileName_, line_, key, std::to_string(found) + " numbers",
                        std::to_string(expected) + what};
    };
    if (step_.experts.empty())
      return Diagnostic{ErrorId::TraceBadSyntax,       fileName_, line_, "", "no \"experts\"",
                        "the experts that were chosen"};
    if (!step_.weights.empty() && step_.weights.size() != step_.experts.size())
      return mismatch("weights", step_.weights.size(), step_.experts.size(), ", one for each chosen expert");
    if (!step_.logits.empty() && step_.logits.size() != experts_.routed)
      return mismatch("logits", step_.logits.size(), experts_.routed,
                      ", one for each expert that the router chooses from");
    if (!step_.features.empty() && featureCount_ && step_.features.size() != featureCount_)
      return mismatch("features", step_.features.size(), featureCount_, ", as in the steps before");
    return {};
  }

  std::string_view text_;
  const std::string &fileName_;
  std::uint32_t line_;
  const ExpertNumbers &experts_;
  std::size_t featureCount_;
  std::size_t at_ = 0, keyAt_ = 0;
  unsigned seen_ = 0;
  std::string context_; ///< the key whose value is being read
  Step step_;
};

class JsonLinesReader : public TraceReader {
public:
  JsonLinesReader(std::string path, int descriptor, ExpertNumbers experts)
      : path_(std::move(path)), descriptor_(descriptor), experts_(std::move(experts)) {}
  ~JsonLinesReader() override { ::close(descriptor_); }

  Result<bool, Diagnostic> next(Step &step) override {
    for (;;) {
      std::string_view text;
      KIMIC_ASSIGN(bool isLine, nextLine(text));
      if (!isLine)
        return false;
      ++line_;
      if (line_ == 1 && text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
      if (text.find_first_not_of(" \t\r") == text.npos)
        continue;
      KIMIC_ASSIGN(step, parseStep(text, path_, line_, experts_, featureCount_));
      if (!step.features.empty())
        featureCount_ = step.features.size();
      return true;
    }
  }

private:
  Result<bool, Diagnostic> nextLine(std::string_view &line) {
    std::size_t searched = begin_;
    for (;;) {
      std::size_t end = buffer_.find('\n', searched);
      if (end != buffer_.npos || (isAtEnd_ && begin_ < buffer_.size())) {
        end = std::min(end, buffer_.size());
        line = std::string_view(buffer_).substr(begin_, end - begin_);
        begin_ = std::min(end + 1, buffer_.size());
        return true;
      }
      if (isAtEnd_)
        return false;
      buffer_.erase(0, begin_);
      begin_ = 0;
      searched = buffer_.size();
      if (buffer_.size() > kMaxLineBytes)
        return Diagnostic{ErrorId::TraceTooLarge,
                          path_,
                          line_ + 1,
                          "",
                          "more",
                          "at most " + std::to_string(kMaxLineBytes) + " bytes"};
      constexpr std::size_t kChunk = 1u << 18;
      buffer_.resize(searched + kChunk);
      ssize_t got = 0;
      do
        got = ::read(descriptor_, buffer_.data() + searched, kChunk);
      while (got < 0 && errno == EINTR);
      if (got < 0)
        return Diagnostic{ErrorId::FileUnreadable, path_, 0, "", std::strerror(errno), ""};
      buffer_.resize(searched + static_cast<std::size_t>(got));
      isAtEnd_ = got == 0;
    }
  }

  std::string path_;
  int descriptor_;
  ExpertNumbers experts_;
  std::string buffer_;
  std::size_t begin_ = 0; ///< of the part of the buffer that was not given out
  bool isAtEnd_ = false;
  std::uint32_t line_ = 0;
  std::size_t featureCount_ = 0;
};

} // namespace

Result<Step, Diagnostic> parseStep(std::string_view text, const std::string &fileName, std::uint32_t line,
                                   const ExpertNumbers &experts, std::size_t featureCount) {
  return LineParser(text, fileName, line, experts, featureCount).parse();
}

Result<std::unique_ptr<TraceReader>, Diagnostic> openJsonLines(const std::string &path, ExpertNumbers experts) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return Diagnostic{errno == ENOENT || errno == ENOTDIR ? ErrorId::FileNotFound : ErrorId::FileUnreadable,
                      path,
                      0,
                      "",
                      errno == ENOENT || errno == ENOTDIR ? "" : std::strerror(errno),
                      ""};
  return std::unique_ptr<TraceReader>(std::make_unique<JsonLinesReader>(path, descriptor, std::move(experts)));
}

} // namespace kimic::trace
