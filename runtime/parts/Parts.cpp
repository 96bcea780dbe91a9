#include "runtime/parts/Parts.h"

#include "runtime/core/ExpertCache.h"

#include <new>

namespace kimic::runtime::part {

void evaluate(const quant::Signature &signature, const quant::Layout &layout, const std::uint8_t *params,
              const float *x, float *y, std::uint8_t *scratch, std::uint32_t rows) {
  reference::run(signature, layout, params, x, y, scratch, rows);
}

void observeRun(History &history, std::uint32_t expert, bool isSuccess, float microseconds, float confidence) {
  if (isSuccess)
    history.observe(expert, true, microseconds, confidence);
  else
    history.observeFailure(expert);
}

void experienceOf(const History &history, std::uint32_t expert, KimicExperience &experience) {
  experience = history.experienceOf(expert);
}

void exportHistory(const History &history, std::uint8_t *out, const Digest &pack) { history.exportTo(out, pack); }

void importHistory(History &history, std::span<const std::uint8_t> bytes, const Digest &digest, const Digest &pack,
                   std::uint32_t experts, Error &error) {
  error = history.import(bytes, digest, pack, experts);
}

void makePolicy(ReplacementPolicy *memory, KimicCachePolicy kind, bool hasAverages, std::uint32_t experts,
                std::uint32_t capacity) {
  auto *standings = reinterpret_cast<ReplacementPolicy::Standing *>(memory + 1);
  new (memory) ReplacementPolicy(kind, hasAverages, {standings, experts}, capacity);
}

void note(ReplacementPolicy &policy, ReplacementPolicy::Event event, const Expert &expert) {
  policy.note(event, expert.id, expert.entry.data.rawLength);
}

Expert *victim(const ReplacementPolicy &policy, Expert *oldest) {
  Expert *victim = nullptr;
  for (double least = 0; oldest; oldest = oldest->newer)
    if (oldest->pins == 0)
      if (const double rank = policy.rank(oldest->id); !victim || rank < least) {
        victim = oldest;
        least = rank;
      }
  return victim;
}

void tell(ReplacementPolicy &policy, const float *scores, std::uint32_t count) { policy.tell({scores, count}); }

void begin(ReplacementPolicy &policy) { policy.begin(); }

std::uint32_t likely(const ReplacementPolicy &policy, std::uint32_t *experts, std::uint32_t room) {
  return policy.likely({experts, room});
}

} // namespace kimic::runtime::part
