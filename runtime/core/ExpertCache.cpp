#include "runtime/core/ExpertCache.h"

namespace kimic::runtime {

void ExpertCache::append(Expert &expert, KimicPriority list) {
  List &to = lists_[list];
  expert.list = list;
  expert.newer = nullptr;
  expert.older = to.newest;
  (to.newest ? to.newest->newer : to.oldest) = &expert;
  to.newest = &expert;
}

void ExpertCache::unlink(Expert &expert) {
  List &from = lists_[expert.list];
  (expert.older ? expert.older->newer : from.oldest) = expert.newer;
  (expert.newer ? expert.newer->older : from.newest) = expert.older;
}

void ExpertCache::insert(Expert &expert, std::span<std::uint8_t> parameters, KimicPriority priority) {
  expert.parameters = parameters;
  Arena::tag(parameters.data(), KIMIC_MEMORY_EXPERTS);
  stats_.residentBytes += parameters.size();
  ++stats_.residentExperts;
  append(expert, priority);
  note(priority == KIMIC_PREFETCH ? ReplacementPolicy::Event::ArrivedAhead : ReplacementPolicy::Event::Arrived, expert);
}

void ExpertCache::touch(Expert &expert) {
  unlink(expert);
  append(expert, KIMIC_DEMANDED);
}

void ExpertCache::evict(Expert &expert) {
  note(ReplacementPolicy::Event::Dropped, expert);
  unlink(expert);
  stats_.residentBytes -= expert.parameters.size();
  --stats_.residentExperts;
  arena_.free(expert.parameters.data());
  expert.parameters = {};
  arena_.free(expert.outputs);
  expert.outputs = nullptr;
}

bool ExpertCache::evictFrom(const List &list) {
  Expert *victim = list.oldest;
  if (policy_)
    victim = parts_.victim(*policy_, victim);
  else
    while (victim && victim->pins)
      victim = victim->newer;
  if (!victim)
    return false;
  note(ReplacementPolicy::Event::Evicted, *victim);
  evict(*victim);
  ++stats_.evictions;
  return true;
}

std::uint8_t *ExpertCache::allocate(std::size_t bytes, KimicPriority priority) {
  void *address;
  while (!(address = arena_.allocate(bytes)))
    if (!evictFrom(lists_[KIMIC_PREFETCH]) && (priority == KIMIC_PREFETCH || !evictFrom(lists_[KIMIC_DEMANDED])))
      return nullptr;
  return static_cast<std::uint8_t *>(address);
}

void ExpertCache::survey(KimicMemory &memory) const {
  memory.residentExperts = stats_.residentExperts;
  for (const List &list : lists_)
    for (const Expert *expert = list.oldest; expert; expert = expert->newer)
      if (expert->pins) {
        ++memory.pinnedExperts;
        memory.pinnedBytes += expert->parameters.size();
      }
}

} // namespace kimic::runtime
