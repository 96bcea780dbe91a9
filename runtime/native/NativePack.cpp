#include "runtime/native/NativePack.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <sys/stat.h>

namespace kimic::runtime {

// Answers requests from bytes or from an open file, and owns the runtime.
class NativePack::Host {
public:
  Host(std::vector<std::uint8_t> bytes, std::FILE *file) : bytes_(std::move(bytes)), file_(file) {}
  Host(const Host &) = delete;
  Host &operator=(const Host &) = delete;
  ~Host() {
    if (runtime)
      kimic_destroy(runtime);
    if (file_)
      std::fclose(file_);
  }

  Result<void> open(NativeOptions options);

  /// Repeats `ask` and answers requests until it is done.
  template <class Ask> Result<void> pump(Ask ask) {
    std::int32_t status;
    while ((status = ask()) == KIMIC_PENDING)
      answerRequests();
    return outcome(status);
  }

  Result<void> outcome(std::int32_t status) const {
    if (status == KIMIC_OK)
      return {};
    KimicErrorInfo error;
    kimic_last_error(runtime, &error);
    return makeError(static_cast<ErrorId>(error.id), error.args[0], error.args[1], error.args[2]);
  }

  Result<void> load(std::uint32_t expert) {
    return pump([&] { return kimic_load(runtime, expert); });
  }
  /// Loads the expert and keeps it until unpinned.
  Result<void> pin(std::uint32_t expert) {
    KIMIC_TRY(load(expert));
    return outcome(kimic_pin(runtime, expert));
  }
  Result<KimicExpertInfo> infoOf(std::uint32_t expert) {
    KIMIC_TRY(load(expert));
    KimicExpertInfo expertInfo;
    KIMIC_TRY(outcome(kimic_expert_info(runtime, expert, &expertInfo)));
    return expertInfo;
  }
  Result<Plan> plan(std::span<const KimicChoice> choices);
  /// One row. If there is no room for all that it takes at once, part after part of it.
  Result<std::vector<float>> runChosen(std::span<const KimicChoice> choices, std::uint32_t merge,
                                       std::span<const float> x);
  /// That there is a router, and that x is one row for it; loads it. The most experts that it then chooses.
  Result<std::uint32_t> requireRow(std::span<const float> x, std::uint32_t count);

  KimicRuntime *runtime = nullptr;
  KimicPackInfo info{};

private:
  void answerRequests();
  bool read(std::uint64_t offset, void *destination, std::size_t length, std::size_t &delivered);

  std::vector<std::uint8_t> bytes_;
  std::FILE *file_;
  std::function<KernelFunction(std::span<const std::uint8_t>)> link_;
  std::deque<KernelFunction> functions_; ///< the runtime is told their addresses
};

bool NativePack::Host::read(std::uint64_t offset, void *destination, std::size_t length, std::size_t &delivered) {
  if (!file_) {
    delivered = offset < bytes_.size() ? std::min<std::size_t>(length, bytes_.size() - offset) : 0;
    if (delivered)
      std::memcpy(destination, bytes_.data() + offset, delivered);
    return true;
  }
  if (fseeko(file_, static_cast<off_t>(offset), SEEK_SET) != 0)
    return false;
  delivered = std::fread(destination, 1, length, file_);
  return delivered == length || !std::ferror(file_);
}

void NativePack::Host::answerRequests() {
  KimicRequest request;
  while (kimic_next_request(runtime, KIMIC_PREFETCH, &request)) {
    std::size_t delivered = 0;
    ErrorId error = ErrorId::LinkDeclined;
    std::uintptr_t value = 0;
    auto address = static_cast<std::uintptr_t>(request.address);
    if (request.kind == KIMIC_REQUEST_READ) {
      bool isRead = read(request.offset, reinterpret_cast<void *>(address), request.length, delivered);
      error = isRead ? ErrorId::None : ErrorId::SourceReadFailed;
      value = delivered;
    } else if (KernelFunction function = link_({reinterpret_cast<const std::uint8_t *>(address), request.length})) {
      functions_.push_back(function);
      error = ErrorId::None;
      value = reinterpret_cast<std::uintptr_t>(&functions_.back());
    }
    kimic_complete(runtime, request.id, static_cast<std::int32_t>(error), value);
  }
}

Result<void> NativePack::Host::open(NativeOptions options) {
  link_ = std::move(options.link);
  KimicOptions runtimeOptions{options.arenaBytes, link_ ? 1u << (KIMIC_VARIANT_NATIVE - 1) : 0, options.residentBonus};
  if (!(options.residentBonus >= 0 && options.residentBonus <= 1))
    return makeError(ErrorId::OptionMalformed);
  runtime = kimic_create(&runtimeOptions);
  if (!runtime)
    return makeError(ErrorId::ArenaUnavailable, options.arenaBytes, KIMIC_MINIMUM_ARENA, KIMIC_MAXIMUM_ARENA);
  KIMIC_TRY(pump([&] { return kimic_open(runtime); }));
  if (options.cachePolicy != KIMIC_CACHE_LRU)
    KIMIC_TRY(outcome(kimic_set_cache(runtime, options.cachePolicy, 0)));
  if (options.isTimed)
    KIMIC_TRY(outcome(kimic_set_clock(runtime, [] {
      const std::chrono::duration<double, std::micro> now = std::chrono::steady_clock::now().time_since_epoch();
      return now.count();
    })));
  return outcome(kimic_pack_info(runtime, &info));
}

Result<NativePack::Plan> NativePack::Host::plan(std::span<const KimicChoice> choices) {
  Plan plan;
  plan.inOrder.resize(KIMIC_MOST_STEPS);
  KIMIC_TRY(pump([&] {
    return kimic_plan(runtime, choices.data(), static_cast<std::uint32_t>(choices.size()), &plan, plan.inOrder.data());
  }));
  plan.inOrder.resize(plan.steps);
  return plan;
}

Result<std::vector<float>> NativePack::Host::runChosen(std::span<const KimicChoice> choices, std::uint32_t merge,
                                                       std::span<const float> x) {
  const auto count = static_cast<std::uint32_t>(choices.size());
  std::vector<float> y;
  std::size_t pinned = 0;
  Result<void> done;
  for (; pinned < choices.size() && done.ok(); ++pinned)
    done = pin(choices[pinned].expert);
  if (done.ok()) {
    KimicExpertInfo first{};
    done = outcome(kimic_expert_info(runtime, choices[0].expert, &first));
    if (done.ok() && x.size() != first.inputs)
      done = makeError(ErrorId::InputLength, x.size(), 1, first.inputs);
    if (done.ok()) {
      y.resize(first.outputs);
      done = outcome(kimic_run_chosen(runtime, choices.data(), count, merge, x.data(), y.data()));
    }
  } else {
    --pinned;
  }
  while (pinned-- > 0)
    kimic_unpin(runtime, choices[pinned].expert);
  if (!done.ok() && done.error().id == ErrorId::ArenaExhausted) {
    KIMIC_ASSIGN(Plan made, plan(choices));
    std::vector<float> values(made.values);
    const auto first = std::find_if(made.inOrder.begin(), made.inOrder.end(),
                                    [&](const KimicStep &step) { return step.expert == choices[0].expert; });
    if (x.size() != first->inputs)
      return makeError(ErrorId::InputLength, x.size(), 1, first->inputs);
    y.resize(first->outputs);
    done = pump([&] {
      return kimic_run_plan(runtime, made.inOrder.data(), made.steps, choices.data(), count, merge, x.data(),
                            values.data(), y.data());
    });
  }
  if (!done.ok())
    return done.error();
  return y;
}

NativePack::NativePack(std::unique_ptr<Host> host) : host_(std::move(host)) {}
NativePack::NativePack(NativePack &&) = default;
NativePack &NativePack::operator=(NativePack &&) = default;
NativePack::~NativePack() = default;

Result<NativePack> NativePack::open(std::vector<std::uint8_t> bytes, NativeOptions options) {
  auto host = std::make_unique<Host>(std::move(bytes), nullptr);
  KIMIC_TRY(host->open(options));
  return NativePack(std::move(host));
}

Result<NativePack> NativePack::openFile(const std::string &path, NativeOptions options) {
  std::FILE *file = std::fopen(path.c_str(), "rb");
  if (!file)
    return makeError(errno == ENOENT ? ErrorId::FileNotFound : ErrorId::FileUnreadable);
  auto host = std::make_unique<Host>(std::vector<std::uint8_t>(), file);
  struct stat facts;
  if (fstat(fileno(file), &facts) != 0 || !S_ISREG(facts.st_mode))
    return makeError(ErrorId::FileUnreadable);
  KIMIC_TRY(host->open(options));
  return NativePack(std::move(host));
}

const KimicPackInfo &NativePack::info() const { return host_->info; }

Result<std::string> NativePack::metadata() {
  KimicBytes json{};
  KIMIC_TRY(host_->pump([&] { return kimic_metadata(host_->runtime, &json); }));
  std::string text(reinterpret_cast<const char *>(static_cast<std::uintptr_t>(json.address)), json.length);
  kimic_release_metadata(host_->runtime);
  return text;
}

Result<KimicExpertInfo> NativePack::expertInfo(std::uint32_t expert) { return host_->infoOf(expert); }

Result<std::vector<float>> NativePack::run(std::uint32_t expert, std::span<const float> x, std::uint32_t rows) {
  Result<KimicExpertInfo> facts = host_->infoOf(expert);
  if (!facts.ok() && facts.error().id == ErrorId::ArenaExhausted && rows && x.size() % rows == 0) {
    // It may have room without all that it reads.
    const KimicChoice only{expert, 1, 1};
    std::vector<float> all;
    for (std::uint32_t row = 0; row < rows; ++row) {
      KIMIC_ASSIGN(std::vector<float> y,
                   host_->runChosen({&only, 1}, KIMIC_MERGE_BEST, x.subspan(row * (x.size() / rows), x.size() / rows)));
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  }
  if (!facts.ok())
    return facts.error();
  if (x.size() != std::uint64_t{rows} * facts->inputs)
    return makeError(ErrorId::InputLength, x.size(), rows, facts->inputs);
  std::vector<float> y(std::size_t{rows} * facts->outputs);
  KIMIC_TRY(runInto(expert, x.data(), rows, y.data()));
  return y;
}

Result<void> NativePack::runInto(std::uint32_t expert, const float *x, std::uint32_t rows, float *y) {
  std::int32_t status = kimic_run(host_->runtime, expert, x, rows, y);
  if (status == static_cast<std::int32_t>(ErrorId::ExpertNotResident)) {
    KIMIC_TRY(host_->load(expert));
    status = kimic_run(host_->runtime, expert, x, rows, y);
  }
  return host_->outcome(status);
}

Result<std::uint32_t> NativePack::Host::requireRow(std::span<const float> x, std::uint32_t count) {
  if (info.routerExpert == KIMIC_NO_EXPERT)
    return makeError(ErrorId::PackHasNoRouter);
  KIMIC_ASSIGN(KimicExpertInfo facts, infoOf(info.routerExpert));
  if (x.size() != facts.inputs)
    return makeError(ErrorId::InputLength, x.size(), 1, facts.inputs);
  return std::min(count ? count : info.topK, info.routedExperts);
}

Result<NativePack::Route> NativePack::route(std::span<const float> x, std::uint32_t count) {
  KIMIC_ASSIGN(std::uint32_t most, host_->requireRow(x, count));
  Route result{std::vector<KimicChoice>(most), std::vector<float>(host_->info.routedExperts)};
  KIMIC_TRY(
      host_->outcome(kimic_route(host_->runtime, x.data(), count, result.choices.data(), &most, result.scores.data())));
  result.choices.resize(most);
  return result;
}

Result<NativePack::Explanation> NativePack::explain(std::span<const float> x, std::uint32_t count) {
  KIMIC_ASSIGN(std::uint32_t most, host_->requireRow(x, count));
  Explanation result;
  result.choices.resize(most);
  result.explanations.resize(host_->info.routedExperts);
  KIMIC_TRY(host_->outcome(
      kimic_explain(host_->runtime, x.data(), count, result.choices.data(), &most, result.explanations.data())));
  result.choices.resize(most);
  for (const KimicExplanation &explanation : result.explanations)
    result.scores.push_back(explanation.score);
  return result;
}

Result<NativePack::RoutedRun> NativePack::runRouted(std::span<const float> x, std::uint32_t count) {
  RoutedRun result;
  KIMIC_ASSIGN(result.route, route(x, count));
  if (result.route.choices.empty())
    return makeError(ErrorId::RouterAbstained);
  KIMIC_ASSIGN(result.y, host_->runChosen(result.route.choices, host_->info.merge, x));
  return result;
}

Result<NativePack::Plan> NativePack::plan(std::span<const KimicChoice> choices) { return host_->plan(choices); }

Result<KimicExperience> NativePack::experience(std::uint32_t expert) {
  KimicExperience seen{};
  KIMIC_TRY(host_->outcome(kimic_experience(host_->runtime, expert, &seen)));
  return seen;
}

Result<std::vector<std::uint8_t>> NativePack::exportHistory() {
  std::uint32_t length = 0;
  KIMIC_TRY(host_->outcome(kimic_export_history(host_->runtime, nullptr, 0, &length)));
  std::vector<std::uint8_t> bytes(length);
  KIMIC_TRY(host_->outcome(kimic_export_history(host_->runtime, bytes.data(), length, &length)));
  return bytes;
}

Result<void> NativePack::importHistory(std::span<const std::uint8_t> bytes) {
  return host_->outcome(kimic_import_history(host_->runtime, bytes.data(), static_cast<std::uint32_t>(bytes.size())));
}

KimicMemory NativePack::memory() const {
  KimicMemory memory;
  kimic_memory(host_->runtime, &memory);
  return memory;
}

KimicStats NativePack::stats() const {
  KimicStats stats;
  kimic_stats(host_->runtime, &stats);
  return stats;
}

} // namespace kimic::runtime
