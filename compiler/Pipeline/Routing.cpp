#include "compiler/Pipeline/Routing.h"

namespace kimic {

Result<cluster::Arrangement, Diagnostic> arrangementOf(const manifest::ExpertSet &set,
                                                       const std::vector<std::uint32_t> &order, const std::string &path,
                                                       const std::atomic<bool> *cancelled) {
  trace::ExpertNumbers numbers;
  numbers.count = static_cast<std::uint32_t>(order.size());
  numbers.routed = set.router ? static_cast<std::uint32_t>(set.router->experts.size()) : 0;
  for (std::uint32_t number = 0; number < order.size(); ++number)
    numbers.ofId.emplace(set.experts[order[number]].id, number);
  KIMIC_ASSIGN(auto reader, trace::openTrace(path, std::move(numbers)));

  cluster::Usage usage(static_cast<std::uint32_t>(order.size()));
  trace::Step step;
  for (;;) {
    KIMIC_ASSIGN(bool isStep, reader->next(step));
    if (!isStep)
      break;
    usage.add(step);
    if (cancelled && usage.steps() % 1024 == 0 && cancelled->load())
      return Diagnostic{ErrorId::CompilationCancelled, path, 0, "", "", ""};
  }
  if (usage.steps() == 0)
    return Diagnostic{ErrorId::TraceEmpty, path, 0, "", "", "at least one step"};
  return cluster::arrange(usage);
}

} // namespace kimic
