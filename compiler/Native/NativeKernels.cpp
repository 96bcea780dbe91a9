#include "kimic/NativeKernels.h"

#include "compiler/Native/Codegen.h"
#include "compiler/Native/KernelIr.h"
#include "compiler/Store/Store.h"

#include "llvm/Config/llvm-config.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>

namespace kimic::native {

const char *nameOf(Vectors vectors) {
  switch (vectors) {
  case Vectors::Bits128:
    return "bits128";
  case Vectors::Avx2:
    return "avx2";
  case Vectors::Avx512:
    return "avx512";
  case Vectors::Widest:
    break;
  }
  return "widest";
}

std::string defaultCacheDirectory() {
  const char *chosen = std::getenv("KIMIC_NATIVE_CACHE");
  if (!chosen || !*chosen)
    return store::userCacheDirectory("native");
  return std::string_view(chosen) == "off" ? "" : chosen;
}

class Kernels::Impl {
public:
  explicit Impl(Options options) : target(hostTarget(options.vectors)), directory(std::move(options.cacheDirectory)) {}

  Result<Function, Diagnostic> get(std::span<const std::uint8_t> signature) {
    Entry *entry;
    {
      std::lock_guard lock(mutex);
      entry = &entries[{signature.begin(), signature.end()}];
    }
    std::call_once(entry->made, [&] { entry->function = make(signature); });
    return *entry->function;
  }

  const Target target;
  std::atomic<std::uint64_t> compiled{0}, read{0};

private:
  struct Entry {
    std::once_flag made;
    std::optional<Result<Function, Diagnostic>> function;
  };

  /// Everything that the code of a kernel depends on.
  Digest keyOf(std::span<const std::uint8_t> signature) const {
    std::string text = std::string("kimic native kernel\n") + generatorId() +
                       "\nllvm " LLVM_VERSION_STRING "\nvectors " + nameOf(target.vectors);
    for (const std::string *part : {&target.triple, &target.cpu, &target.tuning, &target.features})
      text.append("\n").append(*part);
    text.append("\n").append(reinterpret_cast<const char *>(signature.data()), signature.size());
    return sha256({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
  }

  Result<Function, Diagnostic> make(std::span<const std::uint8_t> bytes) {
    auto signature = quant::decodeSignature(bytes);
    if (!signature)
      return kernelNotCompiled(message(signature.error()));
    Digest key = keyOf(bytes);
    std::call_once(opened, [&] {
      if (auto store = directory.empty() ? Result<std::unique_ptr<store::Store>, Diagnostic>(nullptr)
                                         : store::openDirectoryStore(directory))
        kept = std::move(*store);
    });
    std::optional<store::ActionResult> known = kept ? kept->findAction(key) : std::nullopt;
    if (known) {
      ++read;
      return link({reinterpret_cast<const char *>(known->record.data()), known->record.size()});
    }
    auto object = compileKernel(*signature, target, false);
    if (!object)
      return object.error();
    ++compiled;
    if (kept)
      kept->putAction(key, {{object->begin(), object->end()}, {}});
    return link(object->str());
  }

  Result<Function, Diagnostic> link(llvm::StringRef object) {
    std::lock_guard lock(linking);
    if (!jit) {
      initializeLlvm(); // nothing may have been compiled yet
      auto made = llvm::orc::LLJITBuilder().create();
      if (!made)
        return kernelNotCompiled(llvm::toString(made.takeError()));
      jit = std::move(*made);
    }
    // Every kernel has the same symbol, in a library of its own.
    auto library = jit->createJITDylib("kernel" + std::to_string(linked++));
    if (!library)
      return kernelNotCompiled(llvm::toString(library.takeError()));
    if (llvm::Error error = jit->addObjectFile(*library, llvm::MemoryBuffer::getMemBufferCopy(object)))
      return kernelNotCompiled(llvm::toString(std::move(error)));
    auto address = jit->lookup(*library, kKernelSymbol);
    if (!address)
      return kernelNotCompiled(llvm::toString(address.takeError()));
    return address->toPtr<Function>();
  }

  std::string directory;
  std::once_flag opened;
  std::unique_ptr<store::Store> kept; ///< null: kernels are not kept, or there is no place for them
  std::mutex mutex;
  std::map<std::vector<std::uint8_t>, Entry> entries; ///< by the bytes of the signature
  std::mutex linking;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  unsigned linked = 0;
};

Kernels::Kernels(Options options) : impl(std::make_unique<Impl>(std::move(options))) {}
Kernels::~Kernels() = default;

Result<Function, Diagnostic> Kernels::get(std::span<const std::uint8_t> signature) { return impl->get(signature); }
Vectors Kernels::vectors() const { return impl->target.vectors; }
Statistics Kernels::statistics() const { return {impl->compiled, impl->read}; }

Kernels &kernelsOfProcess() {
  // Never destroyed: threads may still run kernels when static objects are.
  static Kernels *kernels = new Kernels({Vectors::Widest, defaultCacheDirectory()});
  return *kernels;
}

Function kernelOrNull(std::span<const std::uint8_t> signature) {
  auto function = kernelsOfProcess().get(signature);
  return function ? *function : nullptr;
}

Result<std::string, Diagnostic> assemblyOf(std::span<const std::uint8_t> bytes, Vectors vectors,
                                           std::string_view tuning) {
  auto signature = quant::decodeSignature(bytes);
  if (!signature)
    return kernelNotCompiled(message(signature.error()));
  Target target = hostTarget(vectors);
  if (!tuning.empty())
    target.tuning = tuning;
  auto text = compileKernel(*signature, target, true);
  if (!text)
    return text.error();
  return text->str().str();
}

} // namespace kimic::native
