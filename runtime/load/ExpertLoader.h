// Makes experts resident: leaf, then kernel, parameters and the base of the parameters side by side.
#pragma once

#include "runtime/load/KernelLinker.h"

#include <memory>

namespace kimic::runtime {

class ExpertLoader {
public:
  ExpertLoader(Core &core, PackSession &session, KernelLinker &linker)
      : core_(core), session_(session), linker_(linker) {}

  /// Starts or goes on loading the expert, one read per block whoever asks. KIMIC_OK when it is resident; if the core's
  /// priority is KIMIC_DEMANDED it is then the most recently used. REQUIRES: the session is open. UnknownExpert.
  Status load(std::uint32_t expert);

  /// Nobody waits for the expert any more: what there is of it and of its base goes, at once or when the host has
  /// delivered it and sweep() is called.
  void cancel(std::uint32_t expert);
  void sweep();

private:
  /// An expert whose parameters are being read.
  struct Arriving {
    Expert *record = nullptr; ///< pinned, so that it stays
    bool isAbandoned = false; ///< nobody waits for it any more, only the host still owes its bytes
    bool isDemanded = false;  ///< somebody waits for it, or did
    BlockFetch data;
    std::unique_ptr<Arriving> next;
  };

  /// Where what there is of the expert is, or the end of the list. Drops what nobody waits for.
  std::unique_ptr<Arriving> &find(std::uint32_t expert);
  void drop(std::unique_ptr<Arriving> &arriving);
  /// cancel() but for the base; of pack::kNoExpert nothing.
  void abandon(std::uint32_t expert);
  /// Starts or goes on loading an expert that is not resident.
  Status fetch(Expert &record);
  /// Makes the base of the expert's parameters resident, if they have one: then `base` is its record.
  Status fetchBase(const Expert &record, Expert *&base);
  Status fetchData(Expert &record, const Expert *base);
  Status advance(Arriving &arriving, const std::span<std::uint8_t> *base);

  Core &core_;
  PackSession &session_;
  KernelLinker &linker_;
  std::unique_ptr<Arriving> arriving_; ///< a list
};

} // namespace kimic::runtime
