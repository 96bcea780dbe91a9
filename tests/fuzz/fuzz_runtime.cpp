// Sequences of calls of the C API, with a host that answers as the input says: late, short, corrupt, with errors,
// twice.
//
// Input: options (3 bytes), then calls, one byte each, with operands behind it. Whatever comes, every call returns a
// status of the catalogue, the cap holds, and at the end an honest host gets the right answer, if there is one. Of a
// pack with a plan that does not hold there is none.
#include "formats/pack/PackReader.h"
#include "runtime/include/kimic/Cache.h"
#include "runtime/include/kimic/Plan.h"
#include "tests/fuzz/Require.h"
#include "tests/support/PackRehash.h"
#include "tests/support/TestPack.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

using namespace kimic;
using kimic::test::require;
using kimic::testing::constantExpert;
using kimic::testing::TestPack;

namespace {

constexpr std::uint32_t kExperts = 10, kInputs = 64, kOutputs = 32, kMostRows = 3, kMostCount = 12;

/// Without a plan, or one in which expert 4 reads 0 and the request, and 5 reads 4, 1 and 0.
std::vector<std::uint8_t> makePack(bool hasPlan) {
  TestPack pack;
  for (std::uint32_t i = 0; i < kExperts; ++i)
    pack.add(constantExpert(i == 9 ? 8 : kInputs, std::vector<std::int32_t>(i == 8 ? 4 : kOutputs, 1 + i)));
  pack.addRouter(kimic::testing::diagonalExpert(kInputs, kExperts), 2, pack::Merge::Weighted);
  pack.contents.router->strategy = pack::Strategy::Threshold;
  pack.contents.router->threshold = 0.05f;
  pack.contents.meta = R"({"name":"fuzz"})";
  if (hasPlan) {
    pack.contents.features = kInputs;
    pack.contents.experts[4].reads = {{0, 0, kOutputs}, {pack::kNoExpert, 7, kInputs - kOutputs}};
    pack.contents.experts[5].reads = {{4, 0, kOutputs}, {1, 0, 30}, {0, 30, 2}};
  }
  return pack.bytes();
}

/// A pack whose plan, its last block, is not compressed.
struct StoredPlan {
  std::vector<std::uint8_t> file;
  std::size_t offset; ///< of the plan
};

StoredPlan storePlan(std::vector<std::uint8_t> file) {
  const pack::Header header = pack::parseHeader(file).value();
  const pack::Root root =
      pack::parseRoot(header, std::span(file).subspan(header.root.offset, header.root.length)).value();
  const auto offset = static_cast<std::size_t>(root.plan.offset);
  std::vector<std::uint8_t> raw(root.plan.rawLength);
  require(pack::decodeBlock(root.plan, std::span(file).subspan(offset), raw).ok());
  file.resize(offset);
  file.insert(file.end(), raw.begin(), raw.end());
  const std::uint64_t length = raw.size();
  std::memcpy(&file[pack::kLengthsAt + 8 * 7], &length, 8);
  std::uint8_t *row = &file[header.root.end() - pack::kBlockRowBytes];
  std::memcpy(row, &length, 4);
  row[8] = static_cast<std::uint8_t>(pack::Codec::Stored);
  test::rehashPack(file);
  return {file, offset};
}

class Input {
public:
  Input(const std::uint8_t *data, std::size_t size) : next_(data), end_(data + size) {}
  bool isAtEnd() const { return next_ == end_; }
  std::uint8_t byte() { return isAtEnd() ? 0 : *next_++; }
  float number() {
    constexpr float kSpecial[] = {0,
                                  1,
                                  -1,
                                  0.5f,
                                  1e30f,
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity(),
                                  std::numeric_limits<float>::quiet_NaN()};
    return kSpecial[byte() % 8];
  }

private:
  const std::uint8_t *next_, *end_;
};

/// The pack with other numbers in its plan. How many a request has stays: so many the caller has to give.
std::vector<std::uint8_t> withOtherPlan(const StoredPlan &plan, Input &input) {
  std::vector<std::uint8_t> file = plan.file;
  const std::size_t numbers = (file.size() - plan.offset) / 4;
  for (unsigned count = 1 + input.byte() % 3; count; --count) {
    const std::size_t index = 1 + input.byte() % (numbers - 1);
    const std::uint8_t value = input.byte();
    constexpr std::uint32_t kLarge[] = {1u << 16, 1u << 20, 0x7FFFFFFF, 0xFFFFFFFF};
    const std::uint32_t number = value < 252 ? value % 72u : kLarge[value - 252];
    std::memcpy(&file[plan.offset + 4 * index], &number, 4);
  }
  test::rehashPack(file, {.content = false});
  return file;
}

enum class PackKind { Plain, Planned, Hostile };

class Session {
public:
  explicit Session(Input &input) : input_(input) {
    static const std::vector<std::uint8_t> plain = makePack(false), planned = makePack(true);
    static const StoredPlan stored = storePlan(planned);
    KimicOptions options{};
    options.arenaBytes = KIMIC_MINIMUM_ARENA + input.byte() * 512u;
    options.variants = input.byte() % 4 == 0 ? 1 : 0;
    const std::uint8_t last = input.byte();
    options.residentBonus = static_cast<float>(last % 3) / 2;
    kind_ = last < 128 ? PackKind::Plain : last < 192 ? PackKind::Planned : PackKind::Hostile;
    pack_ = kind_ == PackKind::Plain ? plain : kind_ == PackKind::Planned ? planned : withOtherPlan(stored, input);
    runtime_ = kimic_create(&options);
    require(runtime_);
    for (float &x : x_)
      x = 0;
  }
  ~Session() { kimic_destroy(runtime_); }

  void call() {
    const std::uint8_t what = input_.byte();
    const std::uint32_t expert = expertOf(input_.byte());
    std::uint32_t chosen = 0;
    if (what >= 248)
      return recover(expert);
    if (what >= 240)
      return plan(expert, what % 2);
    if (what >= 232)
      return check(kimic_set_cache(runtime_, what % 4, input_.byte() % 2));
    switch (what % 24) {
    case 0:
      return check(kimic_open(runtime_));
    case 1:
    case 2:
      return check(kimic_load(runtime_, expert));
    case 3:
      return check(kimic_prefetch(runtime_, expert));
    case 4:
      return kimic_cancel(runtime_, expert);
    case 5:
    case 6:
    case 7:
      return take(input_.byte());
    case 8:
    case 9:
      return answer(input_.byte(), 0);
    case 10:
      return answer(input_.byte(), input_.byte());
    case 11:
      return complete(input_.byte(), hostError(input_.byte()), input_.byte());
    case 12: {
      KimicExpertInfo info;
      return check(kimic_expert_info(runtime_, expert, &info));
    }
    case 13:
      return check(kimic_pin(runtime_, expert));
    case 14:
      return check(kimic_unpin(runtime_, expert));
    case 15:
      return check(kimic_evict(runtime_, expert));
    case 16:
      x_[input_.byte() % kInputs] = input_.number();
      return check(kimic_run(runtime_, expert, x_, input_.byte() % (kMostRows + 1), y_));
    case 17:
      return check(kimic_route(runtime_, x_, input_.byte() % kMostCount, choices_, &chosen, scores_));
    case 18:
      return check(kimic_explain(runtime_, x_, input_.byte() % kMostCount, choices_, &chosen, explanations_));
    case 19:
      for (KimicChoice &choice : choices_)
        choice = {expertOf(input_.byte()), input_.number(), input_.number()};
      return check(kimic_run_chosen(runtime_, choices_, input_.byte() % kMostCount, input_.byte() % 8, x_, y_));
    case 20:
    case 21:
      return check(kimic_ask(runtime_, x_, input_.byte() % (kMostRows + 1), input_.byte() % 4, input_.byte() % 8,
                             choices_, scores_, y_, input_.byte() % 4 ? kOutputs : 4));
    case 22: {
      void *memory = kimic_allocate(runtime_, input_.byte() * 256u);
      if (memory)
        std::memset(memory, 0xAA, 1);
      return kimic_free(runtime_, memory);
    }
    case 23: {
      KimicBytes json;
      check(kimic_metadata(runtime_, &json));
      kimic_release_metadata(runtime_);
      std::uint32_t next[pack::kMaxTransitions];
      require(kimic_next_experts(runtime_, expert, next, pack::kMaxTransitions) <= pack::kMaxTransitions);
      return;
    }
    }
  }

  void recover(std::uint32_t expert) {
    const std::uint8_t what = input_.byte();
    now_ += what;
    const KimicRecovery recovery{
        what == 77 ? NAN : double(what), 100, 200, input_.byte() % 8u, what % 3u, what % 2u, what / 200.0f};
    check(kimic_set_recovery(runtime_, &recovery));
    if (what % 2)
      return kimic_clean_up(runtime_);
    const std::int32_t status = kimic_admit(runtime_, expert, now_);
    check(status);
    double delay = -1;
    if (status == KIMIC_OK)
      require(kimic_remedy(runtime_, expert, input_.byte() % 16u, what, what % 3, now_, what / 256.0, &delay) <=
                  KIMIC_REMEDY_FAIL &&
              delay >= 0 && delay <= 100);
  }

  /// Makes a plan, or goes on with the one that was made last.
  void plan(std::uint32_t expert, bool isNew) {
    if (!isNew && plan_.steps)
      return check(runPlan(input_.byte() % 8));
    planned_ = {{expert, 1, 1}};
    for (unsigned more = input_.byte() % 4; more; --more)
      planned_.push_back({expertOf(input_.byte()), input_.number(), input_.number()});
    check(makePlan());
  }

  std::int32_t makePlan() {
    plan_ = {};
    KimicPlan made;
    const std::int32_t status =
        kimic_plan(runtime_, planned_.data(), static_cast<std::uint32_t>(planned_.size()), &made, steps_.data());
    if (status != KIMIC_OK)
      return status;
    require(made.steps > 0 && made.steps <= KIMIC_MOST_STEPS && made.groups > 0 && made.groups <= made.steps);
    plan_ = made;
    values_.assign(made.values, 0);
    return status;
  }

  std::int32_t runPlan(std::uint32_t merge) {
    return kimic_run_plan(runtime_, steps_.data(), plan_.steps, planned_.data(),
                          static_cast<std::uint32_t>(planned_.size()), merge, x_, values_.data(), y_);
  }

  /// The cap holds, and the accounts agree.
  void checkMemory() {
    KimicMemory memory;
    kimic_memory(runtime_, &memory);
    std::uint64_t sum = 0;
    for (std::uint64_t bytes : memory.byUse)
      sum += bytes;
    require(sum == memory.used && memory.used <= memory.peak && memory.peak <= memory.cap);
  }

  /// With an honest host every load ends, with the right numbers or for want of memory.
  void checkAnswers() {
    for (bool isTaken = true; isTaken;) {
      take(255);
      isTaken = !waiting_.empty();
      while (!waiting_.empty())
        answer(0, 0);
    }
    if (kind_ == PackKind::Hostile)
      return askForAll();
    if (finishHonestly([&] { return kimic_open(runtime_); }) != KIMIC_OK)
      return;
    for (std::uint32_t expert = 0; expert < kExperts; ++expert) {
      const std::int32_t status = finishHonestly([&] { return kimic_load(runtime_, expert); });
      for (float &x : x_)
        x = 1;
      if (status == KIMIC_OK) {
        require(kimic_run(runtime_, expert, x_, 1, y_) == KIMIC_OK);
        require(y_[0] == static_cast<float>(1 + expert));
        planned_ = {{expert, 1, 1}};
        if (finish([&] { return makePlan(); }) == KIMIC_OK &&
            finish([&] { return runPlan(KIMIC_MERGE_AVERAGE); }) == KIMIC_OK)
          require(y_[0] == static_cast<float>(1 + expert));
      }
    }
    checkMemory();
  }

private:
  /// Every call that looks at the plan, of every expert, with a host that answers well.
  void askForAll() {
    check(finish([&] { return kimic_open(runtime_); }));
    for (std::uint32_t expert = 0; expert < kExperts; ++expert) {
      check(finish([&] { return kimic_load(runtime_, expert); }));
      check(kimic_run(runtime_, expert, x_, 1, y_));
      check(kimic_pin(runtime_, expert));
      check(kimic_unpin(runtime_, expert));
      planned_ = {{expert, 1, 1}};
      if (const std::int32_t status = finish([&] { return makePlan(); }); status == KIMIC_OK)
        check(finish([&] { return runPlan(KIMIC_MERGE_AVERAGE); }));
      else
        check(status);
      kimic_cancel(runtime_, expert);
    }
    checkMemory();
  }

  static std::int32_t hostError(std::uint8_t byte) {
    constexpr ErrorId kErrors[] = {ErrorId::None, ErrorId::LinkFailed, ErrorId::HttpStatus, ErrorId::PackChanged};
    return static_cast<std::int32_t>(kErrors[byte % 4]);
  }
  static std::uint32_t expertOf(std::uint8_t byte) {
    return byte == 255 ? KIMIC_NO_EXPERT : byte == 254 ? 1u << 20 : byte % (kExperts + 3);
  }

  void check(std::int32_t status) {
    require(status == KIMIC_OK || status == KIMIC_PENDING || (status >= 1000 && status < 10000));
    if (status <= 0)
      return;
    KimicErrorInfo error;
    kimic_last_error(runtime_, &error);
    require(error.id == static_cast<std::uint32_t>(status));
  }

  void take(std::uint8_t count) {
    KimicRequest request;
    for (unsigned i = 0; i <= count && kimic_next_request(runtime_, count % 2, &request); ++i)
      waiting_.push_back(request);
  }

  /// Completes a request: well, if `fault` is 0.
  void answer(std::uint8_t which, std::uint8_t fault) {
    if (waiting_.empty())
      return;
    const KimicRequest request = waiting_[which % waiting_.size()];
    waiting_.erase(waiting_.begin() + which % waiting_.size());
    const auto declined = static_cast<std::int32_t>(ErrorId::LinkDeclined);
    if (request.kind == KIMIC_REQUEST_LINK)
      return check(kimic_complete(runtime_, request.id, fault % 2 ? declined + 1 : declined, 0));
    if (fault % 4 == 1)
      return check(kimic_complete(runtime_, request.id, static_cast<std::int32_t>(ErrorId::SourceReadFailed), 0));
    if (fault % 4 == 2)
      return check(kimic_complete(runtime_, request.id, static_cast<std::int32_t>(ErrorId::OperationCancelled), 0));
    auto *to = reinterpret_cast<std::uint8_t *>(static_cast<std::uintptr_t>(request.address));
    std::size_t there = request.offset < pack_.size() ? pack_.size() - static_cast<std::size_t>(request.offset) : 0;
    std::size_t length = request.length < there ? request.length : there;
    if (length)
      std::memcpy(to, pack_.data() + request.offset, length);
    if (fault % 4 == 3 && length)
      to[fault % length] ^= fault;
    check(kimic_complete(runtime_, request.id, 0, fault % 8 == 4 ? length / 2 : length));
  }

  /// Any request, known or not; what is complete is not written to any more, and functions are not made up.
  void complete(std::uint32_t id, std::int32_t error, std::uint8_t value) {
    std::erase_if(waiting_, [&](const KimicRequest &request) {
      if (request.id == id && request.kind == KIMIC_REQUEST_LINK && error == 0)
        error = static_cast<std::int32_t>(ErrorId::LinkFailed);
      return request.id == id;
    });
    check(kimic_complete(runtime_, id, error, value));
  }

  template <class Ask> std::int32_t finish(Ask ask) {
    for (int rounds = 0; rounds < 1000; ++rounds) {
      std::int32_t status = ask();
      if (status != KIMIC_PENDING)
        return status;
      take(255);
      while (!waiting_.empty())
        answer(0, 0);
    }
    std::abort(); // a load that never ends
  }

  /// What the host answered before is reported too, once for each block; then it is success, or there is no memory.
  template <class Ask> std::int32_t finishHonestly(Ask ask) {
    std::int32_t status = finish(ask);
    for (int blocks = 0; blocks < 8 && status != KIMIC_OK; ++blocks)
      status = finish(ask);
    require(status == KIMIC_OK || status == static_cast<std::int32_t>(ErrorId::ArenaExhausted));
    return status;
  }

  std::vector<std::uint8_t> pack_;
  PackKind kind_;
  Input &input_;
  KimicRuntime *runtime_;
  std::vector<KimicRequest> waiting_;
  double now_ = 0; ///< ms
  float x_[kMostRows * kInputs], y_[kMostRows * kInputs], scores_[kMostRows * kExperts];
  KimicChoice choices_[kMostRows * kMostCount];
  KimicExplanation explanations_[kExperts];
  std::vector<KimicChoice> planned_;
  KimicPlan plan_{}; ///< of these; without steps if there is none
  std::vector<KimicStep> steps_ = std::vector<KimicStep>(KIMIC_MOST_STEPS);
  std::vector<float> values_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  Input input(data, size);
  Session session(input);
  for (int calls = 0; !input.isAtEnd() && calls < 2000; ++calls)
    session.call();
  session.checkMemory();
  session.checkAnswers();
  return 0;
}
