#include "runtime/load/ExpertLoader.h"

#include "formats/pack/PackReader.h"
#include "formats/quant/Parameters.h"

namespace kimic::runtime {

void ExpertLoader::drop(std::unique_ptr<Arriving> &arriving) {
  arriving->data.release(context_);
  std::unique_ptr<Arriving> next = std::move(arriving->next);
  arriving = std::move(next);
}

std::unique_ptr<ExpertLoader::Arriving> &ExpertLoader::find(std::uint32_t expert) {
  std::unique_ptr<Arriving> *at = &arriving_;
  while (*at && (*at)->expert != expert) {
    if (((*at)->hasFailed && !(*at)->data.isWaiting()) || (*at)->data.isCancelled())
      drop(*at);
    else
      at = &(*at)->next;
  }
  return *at;
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
  KIMIC_TRY(pack::checkParameters(expert, entry, kernel.signature, kernel.layout));
  KIMIC_TRY(quant::validateParameters(kernel.signature, kernel.layout, arriving.data.bytes()));
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
  std::unique_ptr<Arriving> &arriving = find(expert);
  if (!arriving) {
    KIMIC_TRY(context_.cache.ensureRoom(sizeof(Arriving)));
    arriving.reset(new Arriving);
    arriving->expert = expert;
    ++misses_;
  }
  Result<bool> done = advance(expert, *arriving);
  arriving->hasFailed = !done.ok();
  if (done.ok() ? *done : !arriving->data.isWaiting())
    drop(arriving);
  return done;
}

} // namespace kimic::runtime
