#include "runtime/load/KernelLinker.h"

#include "formats/abi/KernelVerifier.h"
#include "formats/pack/PackReader.h"

#include <new>

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

Status KernelLinker::parseKernels(std::uint32_t number, Group &group) {
  std::span<const std::uint8_t> raw = group.signatures.bytes();
  // The bulkiest thing that a signature's bytes decode to: a layer of one group from seven bytes, with its layout.
  constexpr std::size_t kDecodedPerByte =
      2 * (sizeof(quant::LayerSignature) + sizeof(quant::ActivationGroup) + sizeof(quant::LayerLayout) + 32) / 7;
  KIMIC_STEP(
      core_.ensureRoom(raw.size() * kDecodedPerByte + session_.header().kernelsIn(number) * 2 * sizeof(Kernel) + 1024));
  const std::uint32_t count = session_.header().kernelsIn(number);
  std::unique_ptr<Kernel[]> kernels(new Kernel[count]);
  KIMIC_STEP(core_.statusOf(pack::parseSignatures(
      session_.header(), number, raw, [&](std::uint32_t i) -> quant::Signature & { return kernels[i].signature; })));
  for (std::uint32_t i = 0; i < count; ++i) {
    KIMIC_STEP(core_.statusOf(quant::layoutOf(kernels[i].signature, kernels[i].layout)));
    kernels[i].outputs = kernels[i].signature.outputs();
  }
  group.kernels.swap(kernels);
  return KIMIC_OK;
}

Status KernelLinker::fetchSignatures(std::uint32_t number, Group &group) {
  if (group.kernels)
    return KIMIC_OK;
  KIMIC_STEP(group.signatures.poll(core_, session_.root().groups[number].signatures));
  Status parsed = parseKernels(number, group);
  group.signatures.release(core_);
  return parsed;
}

// Reads the module and asks the host to link it.
Status KernelLinker::fetchModule(std::uint32_t number, Group &group) {
  if (!variant_) {
    group.isLinked = true;
    return KIMIC_OK;
  }
  if (group.link.state != Ticket::State::Idle)
    return group.link.state == Ticket::State::Waiting ? KIMIC_PENDING : KIMIC_OK;
  KIMIC_STEP(group.module.poll(core_, session_.root().groups[number].module(*variant_)));
  std::span<const std::uint8_t> bytes = group.module.bytes();
  std::uint32_t count = session_.header().kernelsIn(number);
  Status verified = core_.statusOf(abi::verifyKernelModule(bytes, count, *variant_));
  if (verified != KIMIC_OK) {
    group.module.release(core_);
    return verified;
  }
  core_.requests.link(group.link, bytes.data(), static_cast<std::uint32_t>(bytes.size()),
                      session_.header().firstKernel(number), count, static_cast<std::uint32_t>(*variant_));
  return KIMIC_PENDING;
}

// Takes the host's answer. REQUIRES: the signatures are there and the host has answered.
Status KernelLinker::linkModule(std::uint32_t number, Group &group) {
  Ticket link = group.link;
  group.link.reset();
  group.module.release(core_);
  if (link.state == Ticket::State::Failed && link.error.id != ErrorId::LinkDeclined)
    return core_.fail(link.error);
  group.isLinked = true;
  if (link.state == Ticket::State::Done) {
    std::uint32_t count = session_.header().kernelsIn(number);
    for (std::uint32_t i = 0; i < count; ++i)
      group.kernels[i].function = functionOf(link.value, i);
    core_.stats.linkedKernels += count;
  }
  return KIMIC_OK;
}

// Decides what to link from and makes the groups' records.
Status KernelLinker::begin() {
  const pack::Header &header = session_.header();
  KIMIC_STEP(core_.ensureRoom(header.groupCount() * sizeof(Group)));
  new (&groups_) std::unique_ptr<Group[]>(new Group[header.groupCount()]); // without the code that destroys old ones
  for (unsigned index = 0; index < pack::kVariantCount; ++index)
    if ((wanted_ >> index & 1) && header.hasVariant(pack::variantAt(index)))
      variant_ = pack::variantAt(index);
  return KIMIC_OK;
}

bool KernelLinker::isNative() const {
#ifdef __EMSCRIPTEN__
  return false;
#else
  return wanted_ >> (KIMIC_VARIANT_NATIVE - 1) & 1;
#endif
}

#ifndef __EMSCRIPTEN__
// Asks the host for a function of its own and takes the answer.
Status KernelLinker::linkNative(std::uint32_t id, Kernel &kernel) {
  if (kernel.isSettled)
    return KIMIC_OK;
  if (kernel.link.state == Ticket::State::Idle) {
    kernel.encoded = quant::encode(kernel.signature);
    core_.requests.link(kernel.link, kernel.encoded.data(), static_cast<std::uint32_t>(kernel.encoded.size()), id, 1,
                        KIMIC_VARIANT_NATIVE);
  }
  if (kernel.link.state == Ticket::State::Waiting)
    return KIMIC_PENDING;
  Ticket link = kernel.link;
  kernel.link.reset();
  if (link.state == Ticket::State::Failed && link.error.id != ErrorId::LinkDeclined)
    return core_.fail(link.error);
  kernel.isSettled = true;
  kernel.encoded = {};
  if (link.state == Ticket::State::Done) {
    kernel.function = functionOf(link.value, 0);
    ++core_.stats.linkedKernels;
  }
  return KIMIC_OK;
}
#endif

Status KernelLinker::fetch(std::uint32_t kernel) {
  if (!groups_)
    KIMIC_STEP(begin());
  std::uint32_t number = session_.header().groupOf(kernel);
  Group &group = groups_[number];
#ifndef __EMSCRIPTEN__
  if (isNative()) {
    KIMIC_STEP(fetchSignatures(number, group));
    return linkNative(kernel, group.kernels[kernel - session_.header().firstKernel(number)]);
  }
#endif
  // The signatures and the module are asked for together.
  Status signatures = fetchSignatures(number, group);
  if (signatures > 0)
    return signatures;
  if (!group.isLinked)
    KIMIC_STEP(fetchModule(number, group));
  KIMIC_STEP(signatures);
  if (!group.isLinked)
    KIMIC_STEP(linkModule(number, group));
  return group.kernels[0].function ? KIMIC_OK : core_.needParts();
}

const Kernel &KernelLinker::kernel(std::uint32_t kernel) const {
  std::uint32_t number = session_.header().groupOf(kernel);
  return groups_[number].kernels[kernel - session_.header().firstKernel(number)];
}

void KernelLinker::run(const Kernel &kernel, const std::uint8_t *params, const float *x, float *y,
                       std::uint8_t *scratch, std::uint32_t rows) const {
  if (kernel.function)
    kernel.function(params, x, y, scratch, rows);
  else
    core_.parts.evaluate(kernel.signature, kernel.layout, params, x, y, scratch, rows);
}

std::uint32_t KernelLinker::variantOf(const Kernel &kernel) const {
  if (!kernel.function)
    return KIMIC_VARIANT_GENERIC;
  return isNative() ? KIMIC_VARIANT_NATIVE : static_cast<std::uint32_t>(*variant_);
}

} // namespace kimic::runtime
