#include "runtime/load/KernelLinker.h"

#include "formats/abi/KernelVerifier.h"
#include "formats/pack/PackReader.h"

namespace kimic::runtime {

static_assert(KIMIC_VARIANT_SCALAR == static_cast<int>(abi::Variant::Scalar) &&
              KIMIC_VARIANT_SIMD128 == static_cast<int>(abi::Variant::Simd128) &&
              KIMIC_VARIANT_RELAXED == static_cast<int>(abi::Variant::Relaxed));

// Function number `index` of the table that kimic_complete() named.
static KernelFunction functionOf(std::uintptr_t table, std::uint32_t index) {
#ifdef __EMSCRIPTEN__
  return reinterpret_cast<KernelFunction>(table + index); // a function pointer is a table index
#else
  return reinterpret_cast<const KernelFunction *>(table)[index];
#endif
}

KernelLinker::KernelLinker(LoadContext context, const PackSession &session, std::uint32_t variants)
    : context_(context), session_(session), wanted_(variants) {}

Result<void> KernelLinker::parseKernels(std::uint32_t number, Group &group) {
  std::span<const std::uint8_t> raw = group.signatures.bytes();
  // The bulkiest thing that a signature's bytes decode to: a layer of one group from eight bytes, with its layout.
  constexpr std::size_t kDecodedPerByte =
      2 * (sizeof(quant::LayerSignature) + sizeof(quant::ActivationGroup) + sizeof(quant::LayerLayout) + 32) / 8;
  KIMIC_TRY(context_.cache.ensureRoom(raw.size() * kDecodedPerByte +
                                      session_.header().kernelsIn(number) * 2 * sizeof(Kernel) + 1024));
  KIMIC_ASSIGN(std::vector<quant::Signature> signatures, pack::parseSignatures(session_.header(), number, raw));
  std::unique_ptr<Kernel[]> kernels(new Kernel[signatures.size()]);
  for (std::size_t i = 0; i < signatures.size(); ++i) {
    KIMIC_ASSIGN(kernels[i].layout, quant::layoutOf(signatures[i]));
    kernels[i].signature = std::move(signatures[i]);
  }
  group.kernels = std::move(kernels);
  return {};
}

Result<bool> KernelLinker::fetchSignatures(std::uint32_t number, Group &group) {
  if (group.kernels)
    return true;
  KIMIC_ASSIGN(bool arrived, group.signatures.poll(context_, session_.root().groups[number].signatures));
  if (!arrived)
    return false;
  Result<void> parsed = parseKernels(number, group);
  group.signatures.release(context_);
  if (!parsed.ok())
    return parsed.error();
  return true;
}

Result<bool> KernelLinker::linkModule(std::uint32_t number, Group &group) {
  if (group.isLinked)
    return true;
  if (!variant_) {
    group.isLinked = true;
    return true;
  }
  std::uint32_t count = session_.header().kernelsIn(number);
  if (group.link.state == Ticket::State::Waiting)
    return false;
  if (group.link.state == Ticket::State::Idle) {
    KIMIC_ASSIGN(bool arrived, group.module.poll(context_, session_.root().groups[number].module(*variant_)));
    if (!arrived)
      return false;
    std::span<const std::uint8_t> bytes = group.module.bytes();
    auto verified = abi::verifyKernelModule(bytes, count, *variant_);
    if (!verified.ok()) {
      group.module.release(context_);
      return verified.error();
    }
    context_.requests.link(group.link, bytes.data(), static_cast<std::uint32_t>(bytes.size()),
                           session_.header().firstKernel(number), count,
                           static_cast<std::uint32_t>(*variant_));
    return false;
  }
  Ticket link = group.link;
  group.link = Ticket{};
  group.module.release(context_);
  if (link.state == Ticket::State::Failed && link.error.id != ErrorId::LinkDeclined)
    return link.error;
  group.isLinked = true;
  if (link.state == Ticket::State::Done) {
    for (std::uint32_t i = 0; i < count; ++i)
      group.kernels[i].function = functionOf(link.value, i);
    linkedKernels_ += count;
  }
  return true;
}

Result<bool> KernelLinker::fetch(std::uint32_t kernel) {
  if (!groups_) {
    const pack::Header &header = session_.header();
    KIMIC_TRY(context_.cache.ensureRoom(header.groupCount() * sizeof(Group)));
    groups_.reset(new Group[header.groupCount()]);
    for (unsigned index = 0; index < pack::kVariantCount; ++index)
      if ((wanted_ >> index & 1) && header.hasVariant(pack::variantAt(index)))
        variant_ = pack::variantAt(index);
  }
  std::uint32_t number = session_.header().groupOf(kernel);
  Group &group = groups_[number];
  if (group.isLinked && group.kernels)
    return true;
  // The signatures and the module are asked for together.
  Result<bool> haveSignatures = fetchSignatures(number, group);
  if (!haveSignatures.ok())
    return haveSignatures;
  if (!*haveSignatures) {
    if (variant_ && group.link.state == Ticket::State::Idle && !group.isLinked)
      KIMIC_TRY(group.module.poll(context_, session_.root().groups[number].module(*variant_)));
    return false;
  }
  return linkModule(number, group);
}

const Kernel &KernelLinker::kernel(std::uint32_t kernel) const {
  std::uint32_t number = session_.header().groupOf(kernel);
  return groups_[number].kernels[kernel - session_.header().firstKernel(number)];
}

std::uint32_t KernelLinker::variantOf(const Kernel &kernel) const {
  return kernel.function ? static_cast<std::uint32_t>(*variant_) : KIMIC_VARIANT_GENERIC;
}

} // namespace kimic::runtime
