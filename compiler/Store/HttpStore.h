// A store behind plain HTTP, and how a place that a person names becomes a store. Needs libcurl.
#pragma once

#include "compiler/Store/Store.h"

namespace kimic::store {

struct HttpTimeouts {
  unsigned connectMs = 5'000;
  unsigned stallMs = 20'000; ///< without a byte in this time, a request has failed
};

struct HttpOptions {
  HttpTimeouts timeouts;
  unsigned attempts = 3;       ///< of a request that a server did not answer, or with 429 or 5xx
  unsigned firstPauseMs = 100; ///< between attempts; twice as long each time
  /// After so many requests in a row have failed in all their attempts, nothing is asked any more: a store that is down
  /// must not cost a timeout for every expert.
  unsigned maxFailures = 2;
};

/// GET and PUT of URL/ac/<hex> and URL/cas/<hex>: bazel-remote, or any server that lets files be written by PUT (nginx
/// with WebDAV). `url` is http: or https:, and may contain a user and a password. StoreUnusable if it is no such URL;
/// whether a server answers shows later.
Result<std::unique_ptr<Store>, Diagnostic> openHttpStore(const std::string &url, HttpOptions options = {});

/// A folder, or a URL.
Result<std::unique_ptr<Store>, Diagnostic> openStore(const std::string &place);

} // namespace kimic::store
