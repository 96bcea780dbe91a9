// Writes random programs of the wasm dialect and their results, for runPrograms.mjs: the encoder against a plain
// interpreter of the dialect. They are dense in what the encoder decides about: values with one or many uses, loads
// between stores, nested loops that permute, drop and copy what they carry.
//
//   emit-programs OUTPUT.json
#include "compiler/Conversion/CodeBuilder.h"
#include "compiler/Target/WasmEncoder.h"

#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <array>
#include <random>

namespace kimic {
namespace {

using namespace wasm;
using mlir::Value;

constexpr unsigned kParameters = 3;
constexpr unsigned kMemoryWords = 64;

class Generator {
public:
  Generator(CodeBuilder &code, unsigned seed) : code(code), random(seed) {}

  void write(mlir::Block &body) {
    code.setInsertionPointToEnd(&body);
    std::vector<Value> known(body.getArguments().begin(), body.getArguments().end());
    writeOperations(known, 0);
    Value result = pick(known);
    for (int i = 0; i < 3; ++i)
      result = code.emit<I32XorOp>(result, pick(known));
    code.create<ReturnOp>(mlir::ValueRange(result));
  }

private:
  unsigned below(unsigned count) { return static_cast<unsigned>(random() % count); }
  /// Late values are likelier, so that chains of single uses appear.
  Value pick(const std::vector<Value> &known) {
    unsigned size = static_cast<unsigned>(known.size());
    return below(2) ? known[below(size)] : known[size - 1 - below(std::min(size, 3u))];
  }
  Value address(const std::vector<Value> &known) {
    return code.emit<I32AndOp>(pick(known), code.i32(4 * (kMemoryWords - 1)));
  }

  void writeOperations(std::vector<Value> &known, unsigned depth) {
    for (unsigned count = 4 + below(12); count > 0; --count)
      switch (below(depth < 3 ? 9 : 8)) {
      case 0:
        known.push_back(code.i32(static_cast<std::int32_t>(below(1000)) - 500));
        break;
      case 1:
        known.push_back(code.emit<I32AddOp>(pick(known), pick(known)));
        break;
      case 2:
      case 3:
        known.push_back(code.emit<I32SubOp>(pick(known), pick(known)));
        break;
      case 4:
        known.push_back(code.emit<I32MulOp>(pick(known), pick(known)));
        break;
      case 5:
      case 6:
        known.push_back(code.load<I32LoadOp>(address(known), 0));
        break;
      case 7:
        code.store<I32StoreOp>(address(known), 0, pick(known));
        break;
      default:
        writeLoop(known, depth);
        break;
      }
  }

  void writeLoop(std::vector<Value> &known, unsigned depth) {
    mlir::SmallVector<Value> initial;
    for (unsigned carried = below(4); carried > 0; --carried)
      initial.push_back(pick(known));
    initial.push_back(code.i32(1 + static_cast<std::int32_t>(below(4))));
    Value guard = below(2) ? nullptr : below(4) ? pick(known) : code.i32(0);
    auto body = [&](CodeBuilder::Carried carried) -> Value {
      std::vector<Value> inner = known;
      inner.insert(inner.end(), carried.begin(), carried.end());
      writeOperations(inner, depth + 1);
      Value counter = code.emit<I32SubOp>(carried.back(), code.i32(1));
      for (Value &value : carried.drop_back())
        value = pick(inner);
      carried.back() = counter;
      return counter;
    };
    auto results = code.loop(initial, body, guard);
    known.insert(known.end(), results.begin(), results.end());
  }

  CodeBuilder &code;
  std::mt19937 random;
};

class Interpreter {
public:
  std::array<std::uint32_t, kMemoryWords> memory{};

  std::uint32_t run(mlir::Block &block, std::array<std::uint32_t, kParameters> arguments) {
    for (auto [parameter, argument] : llvm::zip(block.getArguments(), arguments))
      values[parameter] = argument;
    runBlock(block);
    return values[block.getTerminator()->getOperand(0)];
  }

private:
  void runBlock(mlir::Block &block) {
    for (mlir::Operation &op : block.without_terminator()) {
      if (auto loop = mlir::dyn_cast<LoopOp>(op))
        runLoop(loop);
      else if (auto store = mlir::dyn_cast<I32StoreOp>(op))
        memory[values[store.getAddress()] / 4] = values[store.getValue()];
      else
        values[op.getResult(0)] = evaluate(op);
    }
  }

  std::uint32_t evaluate(mlir::Operation &op) {
    auto operand = [&](unsigned i) { return values[op.getOperand(i)]; };
    return llvm::TypeSwitch<mlir::Operation *, std::uint32_t>(&op)
        .Case([&](I32ConstOp constant) { return constant.getValue(); })
        .Case([&](I32AddOp) { return operand(0) + operand(1); })
        .Case([&](I32SubOp) { return operand(0) - operand(1); })
        .Case([&](I32MulOp) { return operand(0) * operand(1); })
        .Case([&](I32AndOp) { return operand(0) & operand(1); })
        .Case([&](I32XorOp) { return operand(0) ^ operand(1); })
        .Case([&](I32LoadOp) { return memory[operand(0) / 4]; });
  }

  void runLoop(LoopOp loop) {
    std::vector<std::uint32_t> carried;
    for (Value initial : loop.getInitial())
      carried.push_back(values[initial]);
    mlir::Block &body = loop.getBody().front();
    auto next = mlir::cast<ContinueOp>(body.getTerminator());
    bool isOver = loop.getGuard() && values[loop.getGuard()] == 0;
    while (!isOver) {
      for (auto [argument, value] : llvm::zip_equal(body.getArguments(), carried))
        values[argument] = value;
      runBlock(body);
      for (auto [value, nextValue] : llvm::zip_equal(carried, next.getNext()))
        value = values[nextValue];
      isOver = values[next.getCondition()] == 0;
    }
    for (auto [result, value] : llvm::zip_equal(loop.getResults(), carried))
      values[result] = value;
  }

  llvm::DenseMap<Value, std::uint32_t> values;
};

llvm::json::Object makeProgram(unsigned seed) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.loadDialect<WasmDialect>();
  CodeBuilder code(mlir::UnknownLoc::get(&context), &context);
  mlir::OwningOpRef<ModuleOp> module = code.create<ModuleOp>("env", "memory");
  code.setInsertionPointToEnd(&module->getBody().emplaceBlock());
  mlir::SmallVector<mlir::Type> parameters(kParameters, code.getI32Type());
  auto func = code.create<FuncOp>("f", code.getFunctionType(parameters, code.getI32Type()), "f");
  mlir::Block &body = func.getBody().front();
  Generator(code, seed).write(body);
  if (mlir::failed(mlir::verify(*module)))
    llvm::report_fatal_error("the generator wrote an invalid program");

  std::array<std::uint32_t, kParameters> arguments = {seed, 7 * seed + 1, 0xFFFFFFF0};
  Interpreter interpreter;
  std::uint32_t result = interpreter.run(body, arguments);
  return llvm::json::Object{{"seed", seed},
                            {"module", llvm::json::Array(encodeModule(*module))},
                            {"arguments", llvm::json::Array(arguments)},
                            {"result", result},
                            {"memory", llvm::json::Array(interpreter.memory)}};
}

} // namespace
} // namespace kimic

int main(int argc, char **argv) {
  if (argc != 2) {
    llvm::errs() << "usage: emit-programs OUTPUT.json\n";
    return 2;
  }
  std::error_code error;
  llvm::raw_fd_ostream output(argv[1], error);
  llvm::json::Array programs;
  for (unsigned seed = 0; seed < 400; ++seed)
    programs.push_back(kimic::makeProgram(seed));
  output << llvm::json::Value(std::move(programs));
  output.close();
  return output.has_error() ? 1 : 0;
}
