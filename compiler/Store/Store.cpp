#include "compiler/Store/Store.h"

#include <algorithm>
#include <array>

namespace kimic::store {

namespace {

// Remote Execution API v2, message ActionResult: output_files = 2 {path = 1, digest = 2 {hash = 1, size_bytes = 2}},
// stdout_raw = 5, stderr_raw = 7.
constexpr std::uint8_t kOutputFile = 2, kStdout = 5, kStderr = 7, kPath = 1, kDigest = 2, kHash = 1, kSizeBytes = 2;
constexpr std::uint8_t kVarint = 0, kLengthDelimited = 2;
constexpr std::size_t kCheckBytes = 2 + sizeof(Digest); ///< the last field: tag, length, digest
constexpr std::size_t kMaxContents = 64;

constexpr std::uint8_t tag(std::uint8_t field, std::uint8_t wireType) {
  return static_cast<std::uint8_t>(field << 3 | wireType);
}

void putVarint(Bytes &out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

template <class Range> void putField(Bytes &out, std::uint8_t field, const Range &bytes) {
  out.push_back(tag(field, kLengthDelimited));
  putVarint(out, bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Reads the fields of a message one after another; after anything unexpected, ok() is false.
class MessageReader {
public:
  explicit MessageReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool atEnd() const { return !ok_ || bytes_.empty(); }

  bool accept(std::uint8_t field, std::uint8_t wireType) {
    if (atEnd() || bytes_[0] != tag(field, wireType))
      return false;
    bytes_ = bytes_.subspan(1);
    return true;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty())
        break;
      std::uint8_t byte = bytes_[0];
      bytes_ = bytes_.subspan(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80)
        return value;
    }
    ok_ = false;
    return 0;
  }

  std::span<const std::uint8_t> field() {
    std::uint64_t length = varint();
    if (!ok_ || length > bytes_.size()) {
      ok_ = false;
      return {};
    }
    auto out = bytes_.first(static_cast<std::size_t>(length));
    bytes_ = bytes_.subspan(out.size());
    return out;
  }

  std::span<const std::uint8_t> expect(std::uint8_t field) {
    if (accept(field, kLengthDelimited))
      return this->field();
    ok_ = false;
    return {};
  }

private:
  std::span<const std::uint8_t> bytes_;
  bool ok_ = true;
};

std::optional<Digest> digestOf(std::span<const std::uint8_t> hex) {
  Digest out{};
  if (hex.size() != 2 * out.size())
    return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    std::uint8_t c = hex[i];
    unsigned digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
    if (digit == 16)
      return std::nullopt;
    out[i / 2] = static_cast<std::uint8_t>(out[i / 2] << 4 | digit);
  }
  return out;
}

Digest checkOf(const Digest &key, std::span<const std::uint8_t> message) {
  Sha256 hash;
  hash.add(key);
  hash.add(message);
  return hash.finish();
}

} // namespace

std::string hexOf(const Digest &digest) {
  std::string out;
  for (std::uint8_t byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

ContentRef contentRefOf(std::span<const std::uint8_t> bytes) { return {sha256(bytes), bytes.size()}; }

Bytes encodeAction(const Digest &key, const ActionResult &result) {
  Bytes out;
  out.reserve(result.record.size() + 100 * result.contents.size() + kCheckBytes + 16);
  for (std::size_t i = 0; i < result.contents.size(); ++i) {
    Bytes digest;
    putField(digest, kHash, hexOf(result.contents[i].sha256));
    digest.push_back(tag(kSizeBytes, kVarint));
    putVarint(digest, result.contents[i].size);
    Bytes file;
    putField(file, kPath, std::to_string(i));
    putField(file, kDigest, digest);
    putField(out, kOutputFile, file);
  }
  putField(out, kStdout, result.record);
  putField(out, kStderr, checkOf(key, out));
  return out;
}

std::optional<ActionResult> decodeAction(const Digest &key, std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kCheckBytes)
    return std::nullopt;
  auto message = bytes.first(bytes.size() - kCheckBytes);
  MessageReader end(bytes.subspan(message.size()));
  auto check = end.expect(kStderr);
  if (!end.ok() || !std::ranges::equal(check, checkOf(key, message)))
    return std::nullopt;
  ActionResult out;
  MessageReader in(message);
  while (in.accept(kOutputFile, kLengthDelimited)) {
    MessageReader file(in.field());
    file.expect(kPath);
    MessageReader digest(file.expect(kDigest));
    auto hash = digestOf(digest.expect(kHash));
    // Zero is what an absent field means.
    std::uint64_t size = digest.accept(kSizeBytes, kVarint) ? digest.varint() : 0;
    if (!file.ok() || !digest.ok() || !hash || out.contents.size() == kMaxContents)
      return std::nullopt;
    out.contents.push_back({*hash, size});
  }
  auto record = in.expect(kStdout);
  if (!in.ok() || !in.atEnd())
    return std::nullopt;
  out.record.assign(record.begin(), record.end());
  return out;
}

std::string Store::nameOf(Space space, const Digest &key) {
  return (space == Space::Action ? "ac/" : "cas/") + hexOf(key);
}

void Store::warn(const std::string &text) {
  constexpr std::size_t kMaxWarnings = 8;
  std::lock_guard guard(lock_);
  ++counters_.failures;
  if (warnings_.size() < kMaxWarnings && std::find(warnings_.begin(), warnings_.end(), text) == warnings_.end())
    warnings_.push_back(text);
}

void Store::countFailure() {
  std::lock_guard guard(lock_);
  ++counters_.failures;
}

Store::Counters Store::counters() const {
  std::lock_guard guard(lock_);
  return counters_;
}

std::vector<std::string> Store::takeWarnings() {
  std::lock_guard guard(lock_);
  return std::exchange(warnings_, {});
}

std::optional<Bytes> Store::find(Space space, const Digest &key, std::uint64_t maxBytes) {
  Bytes bytes;
  Status status = read(space, key, maxBytes, bytes);
  std::lock_guard guard(lock_);
  ++(status == Status::Ok ? counters_.hits : counters_.misses);
  if (status == Status::Ok)
    return bytes;
  return std::nullopt;
}

void Store::foundDamaged(Space space, const Digest &key) {
  discard(space, key);
  std::lock_guard guard(lock_);
  --counters_.hits;
  ++counters_.misses;
  ++counters_.damaged;
}

std::optional<ActionResult> Store::findAction(const Digest &key) {
  auto bytes = find(Space::Action, key, kMaxActionBytes);
  if (!bytes)
    return std::nullopt;
  auto result = decodeAction(key, *bytes);
  if (!result)
    foundDamaged(Space::Action, key);
  return result;
}

std::optional<Bytes> Store::findContent(const ContentRef &content) {
  if (content.size > kMaxContentBytes)
    return std::nullopt;
  auto bytes = find(Space::Content, content.sha256, content.size);
  if (bytes && (bytes->size() != content.size || sha256(*bytes) != content.sha256)) {
    foundDamaged(Space::Content, content.sha256);
    return std::nullopt;
  }
  return bytes;
}

bool Store::put(Space space, const Digest &key, std::uint64_t maxBytes, std::span<const std::uint8_t> bytes) {
  if (bytes.size() > maxBytes || !write(space, key, bytes))
    return false;
  std::lock_guard guard(lock_);
  ++counters_.written;
  return true;
}

bool Store::putAction(const Digest &key, const ActionResult &result) {
  return result.contents.size() <= kMaxContents && put(Space::Action, key, kMaxActionBytes, encodeAction(key, result));
}

bool Store::putContent(std::span<const std::uint8_t> bytes) {
  return put(Space::Content, sha256(bytes), kMaxContentBytes, bytes);
}

} // namespace kimic::store
