// From kernel ids to functions, one group at a time.
//
// A group is absent, or its signatures and module are on their way, or it is linked. If no variant of the pack can be
// linked here, or the host declines, the group's kernels have no function: the generic evaluator serves, which is
// one of the Parts.
// Native functions are asked for one by one, from signatures alone.
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/quant/Layout.h"
#include "runtime/load/KernelFunction.h"
#include "runtime/load/PackSession.h"

#include <memory>
#include <optional>

namespace kimic::runtime {

struct Kernel {
  quant::Signature signature;
  quant::Layout layout;
  std::uint32_t outputs = 0;         ///< signature.outputs()
  KernelFunction function = nullptr; ///< null: run generically
#ifndef __EMSCRIPTEN__
  // KIMIC_VARIANT_NATIVE:
  Ticket link;
  std::vector<std::uint8_t> encoded; ///< the signature, while the host is asked
  bool isSettled = false;            ///< the host has answered
#endif
};

class KernelLinker {
public:
  /// `variants`: KimicOptions::variants.
  KernelLinker(Core &core, const PackSession &session, std::uint32_t variants)
      : core_(core), session_(session), wanted_(variants) {}

  /// Starts or goes on linking the kernel's group; then kernel() may be called. REQUIRES: the session is open and the
  /// kernel exists.
  Status fetch(std::uint32_t kernel);
  const Kernel &kernel(std::uint32_t kernel) const;

  /// KimicVariant: what runs experts of the kernel.
  std::uint32_t variantOf(const Kernel &kernel) const;

  /// Runs an expert of the kernel. REQUIRES: fetch() was KIMIC_OK.
  void run(const Kernel &kernel, const std::uint8_t *params, const float *x, float *y, std::uint8_t *scratch,
           std::uint32_t rows) const;

private:
  struct Group {
    BlockFetch signatures, module;
    Ticket link;
    bool isLinked = false;             ///< functions are known, or it is known that there are none
    std::unique_ptr<Kernel[]> kernels; ///< null until the signatures are there
  };

  Status begin();
  Status fetchSignatures(std::uint32_t number, Group &group);
  Status parseKernels(std::uint32_t number, Group &group);
  Status fetchModule(std::uint32_t number, Group &group);
  Status linkModule(std::uint32_t number, Group &group);
  bool isNative() const;
  Status linkNative(std::uint32_t id, Kernel &kernel);

  Core &core_;
  const PackSession &session_;
  std::uint32_t wanted_;
  std::optional<abi::Variant> variant_; ///< what groups are linked from; none: nothing is linked
  std::unique_ptr<Group[]> groups_;
};

} // namespace kimic::runtime
