#include "runtime/core/ExpertCache.h"

namespace kimic::runtime {

void ExpertCache::append(Expert &expert) {
  expert.newer = nullptr;
  expert.older = newest_;
  (newest_ ? newest_->newer : oldest_) = &expert;
  newest_ = &expert;
}

void ExpertCache::unlink(Expert &expert) {
  (expert.older ? expert.older->newer : oldest_) = expert.newer;
  (expert.newer ? expert.newer->older : newest_) = expert.older;
}

void ExpertCache::insert(Expert &expert, std::span<std::uint8_t> parameters) {
  expert.parameters = parameters;
  residentBytes_ += parameters.size();
  ++residentExperts_;
  append(expert);
}

void ExpertCache::touch(Expert &expert) {
  unlink(expert);
  append(expert);
}

void ExpertCache::evict(Expert &expert) {
  unlink(expert);
  residentBytes_ -= expert.parameters.size();
  --residentExperts_;
  arena_.free(expert.parameters.data());
  expert.parameters = {};
}

bool ExpertCache::evictOldest() {
  for (Expert *expert = oldest_; expert; expert = expert->newer)
    if (expert->pins == 0) {
      evict(*expert);
      ++evictions_;
      return true;
    }
  return false;
}

std::uint8_t *ExpertCache::allocate(std::size_t bytes) {
  void *address;
  while (!(address = arena_.allocate(bytes)))
    if (!evictOldest())
      return nullptr;
  return static_cast<std::uint8_t *>(address);
}

} // namespace kimic::runtime
