#include "compiler/Store/HttpStore.h"

#include "compiler/Store/Http.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <curl/curl.h>
#include <string_view>
#include <thread>

namespace kimic::store {

namespace {

struct CurlDeleter {
  void operator()(CURL *handle) const { curl_easy_cleanup(handle); }
};
using Handle = std::unique_ptr<CURL, CurlDeleter>;

/// What arrives, up to a limit.
struct Body {
  Bytes bytes;
  std::uint64_t maxBytes = 0;
  bool isTooLong = false;
};

std::size_t receive(char *data, std::size_t size, std::size_t count, void *target) {
  auto &body = *static_cast<Body *>(target);
  std::size_t length = size * count;
  if (length > body.maxBytes - body.bytes.size()) {
    body.isTooLong = true;
    return 0; // ends the transfer
  }
  body.bytes.insert(body.bytes.end(), data, data + length);
  return length;
}

std::size_t ignore(char *, std::size_t size, std::size_t count, void *) { return size * count; }

std::size_t send(char *target, std::size_t size, std::size_t count, void *source) {
  auto &rest = *static_cast<std::span<const std::uint8_t> *>(source);
  std::size_t length = std::min(rest.size(), size * count);
  std::memcpy(target, rest.data(), length);
  rest = rest.subspan(length);
  return length;
}

class HttpStore : public Store {
public:
  HttpStore(std::string url, HttpOptions options) : url_(std::move(url)), options_(options) {
    while (url_.ends_with('/'))
      url_.pop_back();
    shown_ = withoutCredentials(url_);
  }

private:
  enum class Verb { Get, Put };

  /// Connections are kept: handles are taken from a pool, as many as there are threads.
  Handle take() {
    std::lock_guard guard(poolLock_);
    if (pool_.empty())
      return Handle(curl_easy_init());
    Handle handle = std::move(pool_.back());
    pool_.pop_back();
    return handle;
  }
  void giveBack(Handle handle) {
    std::lock_guard guard(poolLock_);
    pool_.push_back(std::move(handle));
  }

  bool isDown() const { return failuresInARow_ >= options_.maxFailures; }

  /// One attempt. Returns the status code, or 0 with `why`.
  long attempt(CURL *curl, Verb verb, const std::string &url, std::span<const std::uint8_t> sent, Body &received,
               std::string &why) {
    curl_easy_reset(curl); // keeps the connection
    char error[CURL_ERROR_SIZE] = "";
    auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
    prepareRequest(curl, url, options_.timeouts);
    set(CURLOPT_ERRORBUFFER, error);
    curl_slist *headers = nullptr;
    received.bytes.clear();
    received.isTooLong = false;
    if (verb == Verb::Get) {
      set(CURLOPT_WRITEFUNCTION, receive);
      set(CURLOPT_WRITEDATA, static_cast<void *>(&received));
    } else {
      headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
      headers = curl_slist_append(headers, "Expect:"); // no round trip before the body
      set(CURLOPT_HTTPHEADER, headers);
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_FOLLOWLOCATION, 0L); // the body would not be sent again
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(sent.size()));
      set(CURLOPT_READFUNCTION, send);
      set(CURLOPT_READDATA, static_cast<void *>(&sent));
      set(CURLOPT_WRITEFUNCTION, ignore);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    long status = 0;
    if (code == CURLE_OK || received.isTooLong)
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    else
      why = *error ? error : curl_easy_strerror(code);
    return status;
  }

  /// The status code, or 0 if none was got in all attempts.
  long request(Verb verb, Space space, const Digest &key, std::span<const std::uint8_t> sent, Body &received) {
    if (isDown()) {
      countFailure();
      return 0;
    }
    std::string url = url_ + "/" + nameOf(space, key), why;
    Handle handle = take();
    if (!handle)
      throw std::bad_alloc();
    long status = 0;
    auto pause = std::chrono::milliseconds(options_.firstPauseMs);
    for (unsigned i = 0; i < options_.attempts; ++i) {
      if (i) {
        std::this_thread::sleep_for(pause);
        pause *= 2;
      }
      status = attempt(handle.get(), verb, url, sent, received, why);
      if (status != 0 && status != 429 && status < 500)
        break;
    }
    giveBack(std::move(handle));
    if (status == 0 || status == 429 || status >= 500) {
      if (status)
        why = "HTTP status " + std::to_string(status);
      bool isLast = ++failuresInARow_ == options_.maxFailures;
      warn("store " + shown_ + ": " + why + (isLast ? "; not asked again" : ""));
      return 0;
    }
    failuresInARow_ = 0;
    return status;
  }

  Status read(Space space, const Digest &key, std::uint64_t maxBytes, Bytes &out) override {
    Body body;
    body.maxBytes = maxBytes;
    long status = request(Verb::Get, space, key, {}, body);
    if (status == 0)
      return Status::Failed;
    if (status == 404 || status == 410)
      return Status::Absent;
    if (status != 200) {
      warn("store " + shown_ + ": HTTP status " + std::to_string(status) + " to a read");
      return Status::Failed;
    }
    out = std::move(body.bytes);
    if (body.isTooLong)
      out.clear(); // no entry is empty: the digest will not hold
    return Status::Ok;
  }

  bool write(Space space, const Digest &key, std::span<const std::uint8_t> bytes) override {
    Body body;
    long status = request(Verb::Put, space, key, bytes, body);
    if (status >= 200 && status < 300)
      return true;
    // 409 and 412: somebody else was first, with the same contents.
    if (space == Space::Content && (status == 409 || status == 412))
      return true;
    if (status != 0)
      warn("store " + shown_ + ": HTTP status " + std::to_string(status) + " to a write");
    return false;
  }

  void discard(Space, const Digest &) override {} // it is written again

  std::string url_, shown_;
  HttpOptions options_;
  std::atomic<unsigned> failuresInARow_{0};
  std::mutex poolLock_;
  std::vector<Handle> pool_;
};

bool isUrl(const std::string &place) { return place.find("://") != place.npos; }

} // namespace

Result<std::unique_ptr<Store>, Diagnostic> openHttpStore(const std::string &url, HttpOptions options) {
  static const CURLcode isReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  bool isKnown = url.starts_with("http://") || url.starts_with("https://");
  bool hasQuery = url.find_first_of("?#") != url.npos;
  if (isReady != CURLE_OK || !isKnown || hasQuery || url.ends_with("://"))
    return Diagnostic{ErrorId::StoreUnusable,
                      withoutCredentials(url),
                      0,
                      "",
                      "",
                      "http://HOST/PATH or https://HOST/PATH, or a folder"};
  return std::unique_ptr<Store>(std::make_unique<HttpStore>(url, options));
}

Result<std::unique_ptr<Store>, Diagnostic> openStore(const std::string &place) {
  return isUrl(place) ? openHttpStore(place) : openDirectoryStore(place);
}

} // namespace kimic::store
