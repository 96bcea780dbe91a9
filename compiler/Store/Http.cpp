#include "compiler/Store/Http.h"

#include <algorithm>

namespace kimic::store {

void prepareRequest(CURL *curl, const std::string &url, HttpTimeouts timeouts) {
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 3L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "kimic/" KIMIC_VERSION);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeouts.connectMs));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max(1u, timeouts.stallMs / 1000)));
}

std::string withoutCredentials(const std::string &url) {
  std::size_t begin = url.find("://") + 3, end = std::min(url.find('/', begin), url.size());
  std::size_t at = url.rfind('@', end);
  return at == url.npos || at < begin ? url : url.substr(0, begin) + url.substr(at + 1);
}

} // namespace kimic::store
