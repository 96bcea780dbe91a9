#include "compiler/tools/kimic/PackSource.h"

#include "compiler/tools/kimic/Command.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
  explicit FileSource(const std::string &path) : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat facts{};
    if (file_ < 0 || ::fstat(file_, &facts) != 0 || !S_ISREG(facts.st_mode)) {
      Diagnostic error;
      error.id = file_ < 0 && errno == ENOENT ? ErrorId::FileNotFound : ErrorId::FileUnreadable;
      error.file = path;
      if (file_ >= 0)
        ::close(file_);
      throw Failure(error);
    }
    size_ = static_cast<std::uint64_t>(facts.st_size);
  }
  FileSource(const FileSource &) = delete;
  FileSource &operator=(const FileSource &) = delete;
  ~FileSource() override { ::close(file_); }

  std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) override {
    offset = std::min(offset, size_);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(std::min(length, size_ - offset)));
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t got = ::pread(file_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        throw Failure(path_, makeError(ErrorId::SourceReadFailed, 0, offset, length));
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }
  std::uint64_t size() const override { return size_; }
  void prefetch(std::uint64_t, std::uint64_t) override {}

private:
  std::string path_;
  int file_;
  std::uint64_t size_ = 0;
};

class UrlSource : public PackSource {
public:
  explicit UrlSource(const std::string &url) : url_(url), curl_(curl_easy_init()) {
    if (!curl_)
      throw std::bad_alloc();
    curl_easy_setopt(curl_, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl_, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &UrlSource::take);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
  }
  UrlSource(const UrlSource &) = delete;
  UrlSource &operator=(const UrlSource &) = delete;
  ~UrlSource() override { curl_easy_cleanup(curl_); }

  std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) override {
    if (offset < heldFrom_ || offset - heldFrom_ > held_.size() || held_.size() - (offset - heldFrom_) < length)
      prefetch(offset, length);
    const auto begin = held_.begin() + static_cast<std::ptrdiff_t>(offset - heldFrom_);
    return {begin,
            begin + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(length, held_.size() - (offset - heldFrom_)))};
  }

  std::uint64_t size() const override { return 0; }

  void prefetch(std::uint64_t offset, std::uint64_t length) override {
    held_.clear();
    heldFrom_ = offset;
    if (length == 0)
      return;
    wanted_ = length;
    const std::string range = std::to_string(offset) + "-" + std::to_string(offset + length - 1);
    curl_easy_setopt(curl_, CURLOPT_RANGE, range.c_str());
    const CURLcode code = curl_easy_perform(curl_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
      throw Failure(url_, makeError(ErrorId::RangeIgnored, length));
    if (status != 0 && status != 206)
      throw Failure(url_, makeError(ErrorId::HttpStatus, static_cast<std::uint64_t>(status), offset, length));
    if (code != CURLE_OK)
      throw Failure(ExitCode::Failure, url_ + ": " + curl_easy_strerror(code));
  }

private:
  static std::size_t take(char *bytes, std::size_t, std::size_t count, void *self) {
    auto &source = *static_cast<UrlSource *>(self);
    long status = 0;
    curl_easy_getinfo(source.curl_, CURLINFO_RESPONSE_CODE, &status);
    // More than was asked for is no answer to a range; nothing is kept of error pages.
    if (status != 206 || count > source.wanted_ - source.held_.size())
      return 0;
    source.held_.insert(source.held_.end(), bytes, bytes + count);
    return count;
  }

  std::string url_;
  CURL *curl_;
  std::vector<std::uint8_t> held_; ///< the last range
  std::uint64_t heldFrom_ = 0, wanted_ = 0;
};

} // namespace

std::unique_ptr<PackSource> sourceOf(std::string bytes) { return std::make_unique<MemorySource>(std::move(bytes)); }

std::unique_ptr<PackSource> openSource(const std::string &place) {
  if (place.starts_with("http://") || place.starts_with("https://"))
    return std::make_unique<UrlSource>(place);
  return std::make_unique<FileSource>(place);
}

} // namespace kimic::tool
