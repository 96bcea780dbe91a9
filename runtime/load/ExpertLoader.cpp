#include "runtime/load/ExpertLoader.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

ExpertLoader::Arriving *ExpertLoader::find(std::uint32_t expert) {
  for (auto &arriving : arriving_)
    if (arriving->expert == expert)
      return arriving.get();
  return nullptr;
}

void ExpertLoader::forget(Arriving *arriving) {
  arriving->data.release(context_);
  for (auto i = arriving_.begin(); i != arriving_.end(); ++i)
    if (i->get() == arriving) {
      arriving_.erase(i);
      return;
    }
}

void ExpertLoader::forgetFailed() {
  for (std::size_t i = arriving_.size(); i-- > 0;)
    if (arriving_[i]->hasFailed && !arriving_[i]->data.isWaiting())
      forget(arriving_[i].get());
}

Result<bool> ExpertLoader::advance(std::uint32_t expert, Arriving &arriving) {
  KIMIC_ASSIGN(bool haveEntry, session_.fetchEntry(expert));
  if (!haveEntry)
    return false;
  const pack::LeafEntry &entry = session_.entry(expert);
  KIMIC_ASSIGN(bool haveData, arriving.data.poll(context_, entry.data));
  KIMIC_ASSIGN(bool haveKernel, linker_.fetch(entry.kernel));
  if (!haveData || !haveKernel)
    return false;
  const Kernel &kernel = linker_.kernel(entry.kernel);
  KIMIC_TRY(pack::checkParameters(expert, entry, kernel.signature));
  Expert &record = *session_.expert(expert);
  record.kernel = &kernel;
  context_.cache.insert(record, arriving.data.take());
  return true;
}

Result<bool> ExpertLoader::load(std::uint32_t expert) {
  if (expert >= session_.header().experts)
    return makeError(ErrorId::UnknownExpert, expert, session_.header().experts);
  if (Expert *record = session_.expert(expert); record && record->isResident()) {
    context_.cache.touch(*record);
    ++hits_;
    return true;
  }
  forgetFailed();
  Arriving *arriving = find(expert);
  if (!arriving) {
    KIMIC_TRY(context_.cache.ensureRoom(sizeof(Arriving) + 256));
    arriving_.push_back(std::make_unique<Arriving>());
    arriving = arriving_.back().get();
    arriving->expert = expert;
    ++misses_;
  }
  Result<bool> done = advance(expert, *arriving);
  arriving->hasFailed = !done.ok();
  if (done.ok() ? *done : !arriving->data.isWaiting())
    forget(arriving);
  return done;
}

} // namespace kimic::runtime
