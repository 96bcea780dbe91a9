#include "compiler/tools/kimic/PackSource.h"

#include "compiler/Store/Http.h"
#include "compiler/tools/kimic/Command.h"
#include "formats/base/File.h"

#include <algorithm>
#include <curl/curl.h>
#include <new>

namespace kimic::tool {

namespace {

class MemorySource : public PackSource {
public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}

  std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) override {
    offset = std::min<std::uint64_t>(offset, bytes_.size());
    length = std::min<std::uint64_t>(length, bytes_.size() - offset);
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(length)};
  }
  std::uint64_t size() const override { return bytes_.size(); }
  void prefetch(std::uint64_t, std::uint64_t) override {}

private:
  std::string bytes_;
};

class FileSource : public PackSource {
public:
  explicit FileSource(const std::string &path) : file_(take(InputFile::open(path))) {}

  std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) override {
    offset = std::min(offset, file_.size());
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(std::min(length, file_.size() - offset)));
    take(file_.read(offset, bytes));
    return bytes;
  }
  std::uint64_t size() const override { return file_.size(); }
  void prefetch(std::uint64_t, std::uint64_t) override {}

private:
  InputFile file_;
};

/// Servers that ignore ranges send the whole pack: so much of it is kept.
constexpr std::uint64_t kMostWholeBytes = 64 << 20;

class UrlSource : public PackSource {
public:
  explicit UrlSource(const std::string &url) : shown_(store::withoutCredentials(url)), curl_(curl_easy_init()) {
    if (!curl_)
      throw std::bad_alloc();
    store::prepareRequest(curl_, url);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &UrlSource::receive);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
  }
  UrlSource(const UrlSource &) = delete;
  UrlSource &operator=(const UrlSource &) = delete;
  ~UrlSource() override { curl_easy_cleanup(curl_); }

  std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) override {
    bool isHeld =
        offset >= heldFrom_ && offset - heldFrom_ <= held_.size() && held_.size() - (offset - heldFrom_) >= length;
    if (!isHeld && !isWhole_)
      prefetch(offset, length);
    offset = std::min<std::uint64_t>(offset - heldFrom_, held_.size());
    const auto begin = held_.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(length, held_.size() - offset))};
  }

  std::uint64_t size() const override { return isWhole_ ? held_.size() : 0; }

  void prefetch(std::uint64_t offset, std::uint64_t length) override {
    if (isWhole_)
      return;
    held_.clear();
    heldFrom_ = offset;
    if (length == 0)
      return;
    wanted_ = length;
    isTooLong_ = false;
    const std::string range = std::to_string(offset) + "-" + std::to_string(offset + length - 1);
    curl_easy_setopt(curl_, CURLOPT_RANGE, range.c_str());
    const CURLcode code = curl_easy_perform(curl_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && isTooLong_)
      throw Failure(shown_, makeError(ErrorId::RangeIgnored, kMostWholeBytes));
    if (status != 0 && status != 200 && status != 206)
      throw Failure(shown_, makeError(ErrorId::HttpStatus, static_cast<std::uint64_t>(status), offset, length));
    if (code != CURLE_OK)
      throw Failure(ExitCode::Failure, shown_ + ": " + curl_easy_strerror(code));
    if (status == 200) {
      heldFrom_ = 0;
      isWhole_ = true;
    }
  }

private:
  static std::size_t receive(char *bytes, std::size_t, std::size_t count, void *self) {
    auto &source = *static_cast<UrlSource *>(self);
    long status = 0;
    curl_easy_getinfo(source.curl_, CURLINFO_RESPONSE_CODE, &status);
    // More than was asked for is no answer to a range; nothing is kept of error pages.
    const std::uint64_t limit = status == 206 ? source.wanted_ : status == 200 ? kMostWholeBytes : 0;
    source.isTooLong_ = count > limit - std::min<std::uint64_t>(limit, source.held_.size());
    if (source.isTooLong_)
      return 0;
    try {
      source.held_.insert(source.held_.end(), bytes, bytes + count);
    } catch (const std::bad_alloc &) { // must not pass through libcurl
      return 0;
    }
    return count;
  }

  std::string shown_;
  CURL *curl_;
  std::vector<std::uint8_t> held_; ///< the last range, or all
  std::uint64_t heldFrom_ = 0, wanted_ = 0;
  bool isWhole_ = false, isTooLong_ = false;
};

} // namespace

std::unique_ptr<PackSource> sourceOf(std::string bytes) { return std::make_unique<MemorySource>(std::move(bytes)); }

std::unique_ptr<PackSource> openSource(const std::string &place) {
  if (place.starts_with("http://") || place.starts_with("https://"))
    return std::make_unique<UrlSource>(place);
  return std::make_unique<FileSource>(place);
}

} // namespace kimic::tool
