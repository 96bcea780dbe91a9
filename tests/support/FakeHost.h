// A host for the runtime that a test can tell what to do with each request.
#pragma once

#include "formats/base/Error.h"
#include "runtime/include/kimic/Runtime.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

namespace kimic::testing {

class FakeHost {
public:
  explicit FakeHost(std::vector<std::uint8_t> pack, std::uint64_t arenaBytes = 64u << 20, std::uint32_t variants = 0)
      : pack(std::move(pack)) {
    KimicOptions options{arenaBytes, variants, 0};
    runtime = kimic_create(&options);
  }
  FakeHost(const FakeHost &) = delete;
  FakeHost &operator=(const FakeHost &) = delete;
  ~FakeHost() { kimic_destroy(runtime); }

  /// Takes all new requests and appends them to `waiting` and `seen`.
  void take() {
    KimicRequest request;
    while (kimic_next_request(runtime, lowest, &request)) {
      waiting.push_back(request);
      seen.push_back(request);
    }
  }

  /// Answers a request as a good host does.
  void answer(const KimicRequest &request) {
    if (request.kind == KIMIC_REQUEST_LINK) {
      kimic_complete(runtime, request.id, static_cast<std::int32_t>(linkError), table);
      return;
    }
    std::size_t delivered = request.offset < pack.size() ? pack.size() - request.offset : 0;
    if (delivered > request.length)
      delivered = request.length;
    if (delivered)
      std::memcpy(addressOf(request), pack.data() + request.offset, delivered);
    kimic_complete(runtime, request.id, 0, delivered);
  }

  std::uint8_t *addressOf(const KimicRequest &request) const {
    return reinterpret_cast<std::uint8_t *>(static_cast<std::uintptr_t>(request.address));
  }

  /// Answers what waits, in order, or the newest first.
  void answerAll() {
    std::vector<KimicRequest> requests = std::move(waiting);
    waiting.clear();
    if (newestFirst)
      std::reverse(requests.begin(), requests.end());
    for (const KimicRequest &request : requests)
      onRequest ? onRequest(request) : answer(request);
  }

  /// Asks until it is done, answering requests in between; the final status.
  std::int32_t finish(const std::function<std::int32_t()> &ask) {
    std::int32_t status;
    for (int rounds = 0; (status = ask()) == KIMIC_PENDING && rounds < 100; ++rounds) {
      take();
      answerAll();
    }
    return status;
  }
  std::int32_t open() {
    return finish([&] { return kimic_open(runtime); });
  }
  std::int32_t load(std::uint32_t expert) {
    return finish([&] { return kimic_load(runtime, expert); });
  }

  Error lastError() const {
    KimicErrorInfo info;
    kimic_last_error(runtime, &info);
    return makeError(static_cast<ErrorId>(info.id), info.args[0], info.args[1], info.args[2]);
  }
  KimicStats stats() const {
    KimicStats stats;
    kimic_stats(runtime, &stats);
    return stats;
  }

  std::vector<std::uint8_t> pack;
  KimicRuntime *runtime;
  std::vector<KimicRequest> waiting, seen;
  bool newestFirst = false;
  KimicPriority lowest = KIMIC_PREFETCH; ///< what take() takes
  ErrorId linkError = ErrorId::None;
  std::uintptr_t table = 0;
  std::function<void(const KimicRequest &)> onRequest; ///< called by answerAll() instead of answer()
};

} // namespace kimic::testing
