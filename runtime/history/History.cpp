#include "runtime/history/History.h"

#include "formats/base/Bytes.h"

#include <algorithm>
#include <cstring>

namespace kimic::runtime {

namespace {

// No arrays of constants in this file: kimic_parts.wasm has no data.
constexpr std::uint32_t kMagic = 0x5349484b; // KHIS
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kDigestBytes = sizeof(Digest);
constexpr float kMiddleMicroseconds = 100;                            // half of the latency feature
constexpr float kLongest = 1e9f;                                      // microseconds
constexpr std::uint32_t kLongestBits = 0x4e6e6b28, kOne = 0x3f800000; // the bits of 1e9 and 1

/// NaN becomes 0.
float within(float value, float highest) { return value > 0 ? std::min(value, highest) : 0; }

} // namespace

HistoryEntry *History::lowerBound(std::uint32_t expert) {
  return std::lower_bound(entries_, entries_ + count_, expert,
                          [](const HistoryEntry &entry, std::uint32_t id) { return entry.expert < id; });
}

void History::observe(std::uint32_t expert, bool isSuccess, float microseconds, float confidence) {
  HistoryEntry *entry = lowerBound(expert);
  if (entry == entries_ + count_ || entry->expert != expert) {
    if (count_ == kHistoryEntries) {
      HistoryEntry *oldest =
          std::min_element(entries_, entries_ + count_,
                           [](const HistoryEntry &a, const HistoryEntry &b) { return a.lastSeen < b.lastSeen; });
      std::copy(oldest + 1, entries_ + count_, oldest);
      --count_;
      entry = lowerBound(expert);
    }
    std::copy_backward(entry, entries_ + count_, entries_ + count_ + 1);
    ++count_;
    *entry = {expert, 0, 0, 0, 0, 0};
  }
  if (entry->runs + 1 != 0)
    ++entry->runs;
  if (now_ + 1 != 0)
    ++now_;
  entry->lastSeen = now_;
  auto average = [&](float &value, float x) {
    value += (x - value) / static_cast<float>(std::min(entry->runs, kWindow));
  };
  average(entry->success, isSuccess ? 1.0f : 0.0f);
  average(entry->microseconds, within(microseconds, kLongest));
  average(entry->confidence, within(confidence, 1));
}

const HistoryEntry *History::find(std::uint32_t expert) const {
  const HistoryEntry *entry = const_cast<History *>(this)->lowerBound(expert);
  return entry != entries_ + count_ && entry->expert == expert ? entry : nullptr;
}

void History::observeFailure(std::uint32_t expert) {
  const HistoryEntry *entry = find(expert);
  observe(expert, false, entry ? entry->microseconds : 0, entry ? entry->confidence : 0);
}

KimicExperience History::experienceOf(std::uint32_t expert) const {
  KimicExperience experience{0.5f, 0.5f, 0.5f, 0, 0};
  if (const HistoryEntry *entry = find(expert))
    experience = {entry->success, entry->confidence, entry->microseconds / (entry->microseconds + kMiddleMicroseconds),
                  entry->microseconds, entry->runs};
  return experience;
}

void History::exportTo(std::uint8_t *out, const Digest &pack) const {
  const std::uint32_t words[4] = {kMagic, kVersion, count_, now_};
  std::memcpy(out, words, sizeof words);
  std::memcpy(out + 16, pack.data(), kDigestBytes);
  std::memcpy(out + kHeaderBytes, entries_, count_ * sizeof(HistoryEntry));
}

Error History::import(std::span<const std::uint8_t> bytes, const Digest &digest, const Digest &pack,
                      std::uint32_t experts) {
  auto malformed = [](std::uint64_t at, std::uint64_t found, std::uint64_t expected) {
    return makeError(ErrorId::HistoryMalformed, at, found, expected);
  };
  if (bytes.size() < kHeaderBytes + kDigestBytes)
    return malformed(0, bytes.size(), kHeaderBytes + kDigestBytes);
  for (std::size_t i = 0; i < 4; ++i)
    if (const std::uint32_t expected = kMagic >> 8 * i & 255; bytes[i] != expected)
      return malformed(i, bytes[i], expected);
  ByteReader reader(bytes.subspan(4));
  std::uint32_t version = reader.u32(), count = reader.u32(), now = reader.u32();
  if (version != kVersion)
    return makeError(ErrorId::HistoryVersion, version, kVersion);
  if (count > kHistoryEntries)
    return malformed(8, count, kHistoryEntries);
  std::size_t end = kHeaderBytes + count * sizeof(HistoryEntry);
  if (bytes.size() != end + kDigestBytes)
    return malformed(8, bytes.size(), end + kDigestBytes);
  for (std::size_t i = 0; i < kDigestBytes; ++i)
    if (digest[i] != bytes[end + i])
      return malformed(end + i, bytes[end + i], digest[i]);
  if (!std::equal(pack.begin(), pack.end(), bytes.begin() + 16))
    return makeError(ErrorId::HistoryOfOtherPack);
  // The words of an entry and what they may be. Floats that are not negative have the order of their bits.
  constexpr std::size_t kWords = sizeof(HistoryEntry) / 4;
  std::uint32_t least = 0;
  auto lowest = [&](std::size_t i) { return i == 0 ? least : i == 1; };
  auto highest = [&](std::size_t i) {
    return i == 0 ? experts - 1 : i == 1 ? ~0u : i == 2 ? now : i == 4 ? kLongestBits : kOne;
  };
  for (std::size_t at = kHeaderBytes; at < end; at += sizeof(HistoryEntry)) {
    for (std::size_t i = 0; i < kWords; ++i) {
      const std::uint32_t word = load<std::uint32_t>(bytes.data() + at + 4 * i);
      if (word < lowest(i) || word > highest(i))
        return malformed(at + 4 * i, word, word < lowest(i) ? lowest(i) : highest(i));
    }
    least = load<std::uint32_t>(bytes.data() + at) + 1;
  }
  std::memcpy(entries_, bytes.data() + kHeaderBytes, count * sizeof(HistoryEntry));
  count_ = count;
  now_ = now;
  return {};
}

} // namespace kimic::runtime
