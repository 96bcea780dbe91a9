// Phases as lists of passes, each followed by the check of its contract.
#include "compiler/Pipeline/Pipeline.h"

#include "compiler/Conversion/Passes.h"
#include "compiler/Dialect/Elements.h"
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Dialect/Wasm/Wasm.h"
#include "compiler/Import/FannImport.h"
#include "compiler/Transforms/Passes.h"
#include "formats/quant/KernelName.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <filesystem>
#include <fstream>

using namespace mlir;

namespace kimic {

namespace {
/// A context that holds nothing of another one's, and the first error reported in it.
class Compilation {
public:
  explicit Compilation(std::string key)
      : key(std::move(key)), context(MLIRContext::Threading::DISABLED), handler(&context, [this](mlir::Diagnostic &d) {
          if (d.getSeverity() == DiagnosticSeverity::Error && firstError.empty())
            firstError = d.str();
          return success();
        }) {
    context.loadDialect<expert::ExpertDialect, qexpert::QExpertDialect, wasm::WasmDialect>();
    module = ModuleOp::create(UnknownLoc::get(&context));
  }

  kimic::Diagnostic error(ErrorId id) const {
    kimic::Diagnostic diagnostic;
    diagnostic.id = id;
    diagnostic.key = key;
    diagnostic.found = firstError;
    return diagnostic;
  }

  std::string print() {
    std::string text;
    llvm::raw_string_ostream stream(text);
    module->print(stream);
    return text + "\n";
  }

private:
  std::string key;
  std::string firstError;

public:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;

private:
  ScopedDiagnosticHandler handler;
};
} // namespace

static void addPasses(PassManager &manager, Phase phase, const QuantizeInput &input) {
  switch (phase) {
  case Phase::Normalize:
    manager.addPass(createFoldSteepness());
    manager.addPass(createFoldAffine());
    manager.addPass(createFoldConstants());
    manager.addPass(createDropDeadNeurons());
    manager.addPass(createGroupActivations());
    break;
  case Phase::Calibrate:
    manager.addPass(createCalibrate(input.rows));
    break;
  case Phase::Quantize:
    manager.addPass(createConvertExpertToQExpert(input));
    break;
  case Phase::Pack:
    manager.addPass(createPackWeights());
    manager.addPass(createSchedule());
    break;
  case Phase::Outline:
    manager.addPass(createOutlineKernels());
    break;
  default:
    break; // Import made the module; later phases work on all kernels
  }
  manager.addPass(createVerifyPhase({nameOf(phase)}));
}

static bool isCancelled(const CompileOptions &options) { return options.cancelled && options.cancelled->load(); }

Result<void, Diagnostic> writeIr(const std::string &folder, const std::string &name, const std::string &text) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  std::string path = folder + "/" + name + ".mlir";
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (code || !file) {
    Diagnostic diagnostic;
    diagnostic.id = ErrorId::IrTreeNotWritable;
    diagnostic.file = path;
    return diagnostic;
  }
  return {};
}

Result<CompiledExpert, Diagnostic> compileExpert(const std::string &id, const fann::Network &network,
                                                 const Matrix &calibration, const CompileOptions &options,
                                                 const quantize::Plan &plan, const Head &head) {
  Compilation compilation(id);
  if (failed(importFann(*compilation.module, id, network, {options.applyScaling, head})))
    return compilation.error(ErrorId::ExpertNotCompilable);

  CompiledExpert out;
  out.plan = plan;
  QuantizeInput input{calibration, plan, {}, &out.quantized};
  for (Phase phase : allPhases()) {
    if (phase > Phase::Outline)
      break;
    if (isCancelled(options))
      return compilation.error(ErrorId::CompilationCancelled);
    PassManager manager(&compilation.context, ModuleOp::getOperationName());
    addPasses(manager, phase, input);
    if (failed(manager.run(*compilation.module)))
      return compilation.error(ErrorId::ExpertNotCompilable);
    if (phase == Phase::Calibrate)
      for (auto define : compilation.module->getOps<expert::DefineOp>())
        if (auto layers = expert::layersOf(define); succeeded(layers))
          out.layers = std::make_shared<const expert::Layers>(std::move(*layers));
    if (!options.irTreeDir.empty())
      KIMIC_TRY(writeIr(options.irTreeDir + "/" + id,
                        std::to_string(static_cast<unsigned>(phase) + 1) + "-" + nameOf(phase), compilation.print()));
    if (options.stopAfter == phase) {
      out.ir = compilation.print();
      return out;
    }
  }
  for (auto kernel : compilation.module->getOps<qexpert::KernelOp>())
    out.signature = qexpert::signatureOf(kernel);
  for (auto expert : compilation.module->getOps<qexpert::ExpertOp>()) {
    std::vector<std::int8_t> bytes = toVector<std::int8_t>(expert.getParameters());
    out.parameters.assign(bytes.begin(), bytes.end());
  }
  return out;
}

Result<std::string, Diagnostic> lowerKernels(std::span<const quant::Signature> signatures) {
  Compilation compilation("kernels");
  OpBuilder builder = OpBuilder::atBlockEnd(compilation.module->getBody());
  for (const quant::Signature &signature : signatures)
    builder.create<qexpert::KernelOp>(builder.getUnknownLoc(), quant::kernelName(signature),
                                      qexpert::SignatureAttr::get(&compilation.context, signature));
  PassManager manager(&compilation.context, ModuleOp::getOperationName());
  manager.addPass(createConvertQExpertToWasm());
  if (failed(manager.run(*compilation.module)))
    return compilation.error(ErrorId::KernelRefused);
  return compilation.print();
}

} // namespace kimic
