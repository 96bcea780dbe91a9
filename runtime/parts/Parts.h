// The parts of the runtime that few pages need, as functions. In WebAssembly they are a module of their own,
// kimic_parts.wasm, which the host is asked for when one of them is first needed (KIMIC_REQUEST_LINK with
// KIMIC_VARIANT_GENERIC). It shares the runtime's memory and stack, has no data, imports no function, and both come
// from one build: arguments are passed as C++ has them, but no 64-bit integers, which Emscripten would split for
// JavaScript. Natively they are linked.
#pragma once

#include "formats/reference/Reference.h"
#include "runtime/core/ReplacementPolicy.h"
#include "runtime/history/History.h"

namespace kimic::runtime {

struct Expert;

/// In WebAssembly function number n of Parts is the export k<n>, as kernels are.
#ifdef __EMSCRIPTEN__
#define KIMIC_PART(number) __attribute__((export_name("k" #number)))
#else
#define KIMIC_PART(number)
#endif

namespace part {
KIMIC_PART(0)
void evaluate(const quant::Signature &signature, const quant::Layout &layout, const std::uint8_t *params,
              const float *x, float *y, std::uint8_t *scratch, std::uint32_t rows);

/// History::observe() of a success, or observeFailure().
KIMIC_PART(1)
void observeRun(History &history, std::uint32_t expert, bool isSuccess, float microseconds, float confidence);
KIMIC_PART(2)
void experienceOf(const History &history, std::uint32_t expert, KimicExperience &experience);
KIMIC_PART(3)
void exportHistory(const History &history, std::uint8_t *out, const Digest &pack);
KIMIC_PART(4)
void importHistory(History &history, std::span<const std::uint8_t> bytes, const Digest &digest, const Digest &pack,
                   std::uint32_t experts, Error &error);

/// Constructs the policy at `memory`, with its standings behind it and room for scores behind those.
KIMIC_PART(5)
void makePolicy(ReplacementPolicy *memory, KimicCachePolicy kind, bool hasAverages, std::uint32_t experts,
                std::uint32_t capacity);
KIMIC_PART(6)
void note(ReplacementPolicy &policy, ReplacementPolicy::Event event, const Expert &expert);
/// Of this one and those that are newer, who is not pinned and goes first; null if all are pinned.
KIMIC_PART(7)
Expert *victim(const ReplacementPolicy &policy, Expert *oldest);
KIMIC_PART(8)
void tell(ReplacementPolicy &policy, const float *scores, std::uint32_t count);
KIMIC_PART(9)
void begin(ReplacementPolicy &policy);
KIMIC_PART(10)
std::uint32_t likely(const ReplacementPolicy &policy, std::uint32_t *experts, std::uint32_t room);
} // namespace part

/// Pointers to all of them, in order. In WebAssembly null until Core::needParts() has been KIMIC_OK.
struct Parts {
  decltype(&part::evaluate) evaluate;
  decltype(&part::observeRun) observeRun;
  decltype(&part::experienceOf) experienceOf;
  decltype(&part::exportHistory) exportHistory;
  decltype(&part::importHistory) importHistory;
  decltype(&part::makePolicy) makePolicy;
  decltype(&part::note) note;
  decltype(&part::victim) victim;
  decltype(&part::tell) tell;
  decltype(&part::begin) begin;
  decltype(&part::likely) likely;
};

#ifndef __EMSCRIPTEN__
inline constexpr Parts kParts{part::evaluate,      part::observeRun, part::experienceOf, part::exportHistory,
                              part::importHistory, part::makePolicy, part::note,         part::victim,
                              part::tell,          part::begin,      part::likely};
#endif

} // namespace kimic::runtime
