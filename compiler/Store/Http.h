// What every request of kimic over HTTP has in common. Needs libcurl.
#pragma once

#include "compiler/Store/HttpStore.h"

#include <curl/curl.h>
#include <string>

namespace kimic::store {

/// Sets the URL, user agent, time limits, and that redirects stay with HTTP. `curl` keeps no pointer into `url`.
void prepareRequest(CURL *curl, const std::string &url, HttpTimeouts timeouts = {});

/// The URL without user and password, for messages.
std::string withoutCredentials(const std::string &url);

} // namespace kimic::store
